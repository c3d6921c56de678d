"""Coarser granularities: the same network with fewer, larger layers.

`operator`
    The network as it is.
`layer`
    Layers that compute little (`LIGHT`: element-wise operators, normalisations, views and other moves of data) join the
    layer whose result they alone read, or else the only one that reads theirs: a convolution with its batch
    normalisation, its activation and the residual sum after it; a matrix product with its bias.
`block`
    Of these layers, the regions between two articulation points become one: all that lies on the ways from a layer u to
    a layer p, with p itself, where every way into the region leads through u and every way out through p. So a residual
    block, an inception module, the attention or the feed-forward half of a transformer layer. Regions nest (the levels
    of a U-Net), so the largest ones of at most `largest` layers are taken.

Merging changes what can be said, not what is computed: FLOP, bytes, weights and state of the merged layers are summed,
tensors that cross from one to another stay as they are, and those inside disappear. A layer's overhead on a device is
then paid once per merged layer. Layers of different reach stay apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.graphs import immediate_dominators
from dnnopt.problem.networks import INPUT, OUTPUT, RESERVED, Layer, Network

GRANULARITIES = ("operator", "layer", "block")
LARGEST_BLOCK = 16
_ENDS = -1

_LIGHT = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr
    BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Cos Cosh CumProd CumSum DepthToSpace DequantizeLinear Div
    DynamicQuantizeLinear Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Greater
    GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization Max Mean MeanVarianceNormalization Min
    Mish Mod Mul Neg Not Or PRelu Pad Pow QuantizeLinear RMSNormalization Reciprocal Relu Reshape RotaryEmbedding Round
    Selu Shrink Sigmoid Sign Sin Sinh Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum SwiGLU
    Swish Tan Tanh ThresholdedRelu Tile Transpose Trilu Unsqueeze Where Xor
"""
LIGHT = frozenset(_LIGHT.split())
"""ONNX operators that join a neighbour at the granularity `layer`."""

Groups = tuple[tuple[str, ...], ...]
"""Names of layers, group by group."""


@checked
def coarsen(network: Network, granularity: str, *, largest: int = LARGEST_BLOCK) -> Network:
    """Return a network at a coarser granularity, called ``NAME@GRANULARITY``.

    Parameters
    ----------
    network : Network
        At the granularity of operators, as `read_onnx` gives it.
    granularity : {"operator", "layer", "block"}
    largest : int
        How many layers (of the granularity `layer`) a block may hold at most.

    Returns
    -------
    Network
        See `merge` for what its layers hold. At ``operator`` it is `network` itself.

    Raises
    ------
    InputError
        For another granularity, or `largest` below 1.
    """
    if granularity == "operator":
        return network
    merged = merge(network, groups(network, granularity, largest=largest))
    return merged.model_copy(update={"name": f"{network.name}@{granularity}"})


def groups(network: Network, granularity: str, *, largest: int = LARGEST_BLOCK) -> Groups:
    """Return which layers each layer of `coarsen` is made of, in its order; the parameters and errors are the same."""
    if granularity not in GRANULARITIES:
        raise InputError(f"one of {', '.join(GRANULARITIES)}", field="granularity", value=granularity)
    if isinstance(largest, bool) or not isinstance(largest, int) or largest < 1:
        raise InputError("a whole number >= 1", field="largest", value=largest)
    found: Groups = tuple((network.layers[v].name,) for v in network.order)
    if granularity != "operator":
        found = _sorted(network, _layers(network))
    if granularity == "block":
        blocks = _blocks(merge(network, found), largest)
        found = _sorted(network, tuple(sum((found[g] for g in block), ()) for block in blocks))
    return found


def _sorted(network: Network, groups: Groups) -> Groups:
    """Return the groups in a topological order."""
    return tuple(groups[g] for g in merge(network, groups).order)


def merge(network: Network, groups: Sequence[Collection[str]]) -> Network:
    """Return the network with each group of layers merged into one layer.

    A merged layer has the sum of its members' `flops`, `bytes`, `weights` and `state`, and the largest of their
    `activations`: its members run one after the other, so a device that hosts it needs what it needs for them under the
    memory rule ``weights+largest_activation``; under ``weights+activations`` it needs less, as what stays inside is not
    kept. What one member leaves open (None), the merged layer does. Its name is the longest path that all its members'
    names begin with (``layer1.0`` of ``layer1.0.conv1`` and ``layer1.0.relu``) where that is its own alone, else that
    of the member with most FLOP; its operator is those of the members that compute something, joined by ``+``. Its type
    of numbers is that of the member with most FLOP. It has no window, axes, inputs or axes of weights.

    Tensors keep their name, size, shape, sensitivity and forms, and lose the consumers that are in their producer's
    group. Shared weights are read by the merged layers; where one of several members has all that read them, they
    become its own (if its members' weights are known).

    Parameters
    ----------
    network : Network
    groups : sequence of collections of str
        Names of layers; every layer is in one group. A group of one leaves its layer as it is.

    Raises
    ------
    InputError
        If a name is unknown, missing or in two groups, a group is empty or has layers of different reach, or the merged
        layers would form a cycle.
    """
    index = {layer.name: v for v, layer in enumerate(network.layers)}
    place: dict[str, int] = {}
    for g, group in enumerate(groups):
        if not group:
            raise InputError("at least one layer", field=f"groups[{g}]", value=group)
        for name in group:
            if name not in index:
                raise InputError(f"the name of a layer of {network.name!r}", field=f"groups[{g}]", value=name)
            if name in place:
                expected = f"layers that no other group has (groups[{place[name]}] has this one)"
                raise InputError(expected, field=f"groups[{g}]", value=name)
            place[name] = g
    for name in index:
        if name not in place:
            raise InputError("", field="groups", problem=f"the layer {name!r} is in no group")
    position = {name: k for k, name in enumerate(network.layers[v].name for v in network.order)}
    members = [[network.layers[index[name]] for name in sorted(group, key=position.__getitem__)] for group in groups]
    for g, layers in enumerate(members):
        if len({layer.reach for layer in layers}) > 1:
            words = ", ".join(f"{layer.name} {layer.reach:g}" for layer in layers)
            raise InputError("", field=f"groups[{g}]", problem=f"layers of different reach do not merge: {words}")
    names = _names(members)
    tensors = []
    for tensor in network.tensors:
        home = place.get(tensor.producer)
        consumers = dict.fromkeys(
            OUTPUT if consumer == OUTPUT else names[place[consumer]]
            for consumer in tensor.consumers
            if consumer == OUTPUT or place[consumer] != home
        )
        if consumers:
            producer = INPUT if home is None else names[home]
            tensors.append(tensor.model_copy(update={"producer": producer, "consumers": tuple(consumers)}))
    shared_weights = []
    own: list[list[float]] = [[] for _ in members]
    for shared in network.shared_weights:
        readers = list(dict.fromkeys(place[name] for name in shared.layers))
        known = all(layer.weights is not None for layer in members[readers[0]])
        if len(readers) == 1 and len(members[readers[0]]) > 1 and known:
            own[readers[0]].append(shared.bytes)
        else:
            shared_weights.append(shared.model_copy(update={"layers": tuple(names[g] for g in readers)}))
    merged = tuple(one_layer(group, name, extra) for group, name, extra in zip(members, names, own, strict=True))
    fields = {field: getattr(network, field) for field in Network.model_fields}
    changed = {"layers": merged, "tensors": tuple(tensors), "shared_weights": tuple(shared_weights)}
    return Network(**{**fields, **changed})


def one_layer(members: list[Layer], name: str, shared: Sequence[float] = ()) -> Layer:
    """Return one layer for all members, or the only one as it is; `shared`: bytes of what they alone share."""
    if len(members) == 1:
        return members[0]

    def over(field: str, combine: Callable[[Iterable[float]], float]) -> float | None:
        values = [getattr(layer, field) for layer in members]
        return None if None in values else combine(values)

    computing = [layer for layer in members if layer.flops != 0] or members
    most = max(computing, key=lambda layer: layer.flops or 0.0)
    return Layer(
        name=name,
        op="+".join(dict.fromkeys(layer.op for layer in computing if layer.op)),
        flops=over("flops", math.fsum),
        bytes=over("bytes", math.fsum),
        weights=over("weights", lambda values: math.fsum([*values, *shared])),
        activations=over("activations", max),
        state=math.fsum(layer.state for layer in members),
        reach=most.reach,
        dtype=most.dtype,
    )


def _names(groups: list[list[Layer]]) -> list[str]:
    """Name each group: see `merge`. Members of other groups keep their names to themselves."""
    paths = [_common_path([layer.name for layer in group]) for group in groups]
    often = Counter(paths)
    owner = {layer.name: g for g, group in enumerate(groups) for layer in group}
    names = []
    for g, (group, path) in enumerate(zip(groups, paths, strict=True)):
        if path and often[path] == 1 and owner.get(path, g) == g and path not in RESERVED:
            names.append(path)
        else:
            names.append(max(group, key=lambda layer: layer.flops or 0.0).name)
    return names


def _common_path(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    shared = []
    for parts in zip(*(name.split(".") for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)


def _layers(network: Network) -> Groups:
    """Return the groups of the granularity `layer`.

    Two neighbours may be merged where the first has no other follower, or the second nothing else before it: a cycle
    would have to leave by the first or come back by the second. Where the result of the first is read by others too,
    the second joins it only together with all of them, so that no more tensors leave the merged layer than before.
    """
    before, after = _neighbours(network)
    reach = [layer.reach for layer in network.layers]
    light = [layer.op in LIGHT for layer in network.layers]
    rank = {v: position for position, v in enumerate(network.order)}
    members = [[v] for v in range(len(network.layers))]  # of the group that is called after its layer v; or nothing

    def join(u: int, v: int) -> None:
        """Let the group v become a part of the group u."""
        for w in before[v] - {u, _ENDS}:
            after[w] = after[w] - {v} | {u}
        for w in after[v] - {u, _ENDS}:
            before[w] = before[w] - {v} | {u}
        before[u] = (before[u] | before[v]) - {u, v}
        after[u] = (after[u] | after[v]) - {u, v}
        light[u] = light[u] and light[v]
        members[u] += members[v]
        members[v] = []

    def join_earlier(v: int) -> bool:
        """Let v join what it works on; of several, what ends last."""
        able = [u for u in before[v] - {_ENDS} if after[u] == {v} and reach[u] == reach[v]]
        if able:
            join(max(able, key=lambda u: max(rank[w] for w in members[u])), v)
        return bool(able)

    def gather(u: int) -> bool:
        """Let all that read u join it, where none of them reads anything else."""
        readers = sorted(after[u] - {_ENDS}, key=rank.__getitem__)
        able = len(readers) == len(after[u]) > 1 and all(
            light[v] and before[v] == {u} and reach[v] == reach[u] for v in readers
        )
        for v in readers if able else ():
            join(u, v)
        return able

    def join_later(v: int, into_light: bool) -> bool:
        """Let v join the only layer that reads it."""
        able = len(after[v]) == 1 and all(
            w != _ENDS and light[w] >= into_light and reach[w] == reach[v] for w in after[v]
        )
        if able:
            join(next(iter(after[v])), v)
        return able

    changed = True
    while changed:
        changed = False
        for v in network.order:
            changed |= bool(members[v]) and ((light[v] and join_earlier(v)) or gather(v))
        for v in reversed(network.order):
            changed |= bool(members[v]) and light[v] and join_later(v, into_light=True)
    changed = True
    while changed:  # what read from two layers may read from one once these are one
        changed = False
        for v in reversed(network.order):
            changed |= bool(members[v]) and light[v] and join_later(v, into_light=False)
    return tuple(
        tuple(network.layers[v].name for v in sorted(group, key=rank.__getitem__)) for group in members if group
    )


def _blocks(network: Network, largest: int) -> list[list[int]]:
    """Return which layers (their indices) each block is made of."""
    before, after = _neighbours(network)
    results = len(network.layers) + 1  # vertices: 0 is the input, then the layers in order, then the results
    vertex = {v: position for position, v in enumerate(network.order, start=1)}
    predecessors = [[], *([vertex.get(u, 0) for u in before[v]] or [0] for v in network.order)]
    successors = [
        [vertex[v] for v in network.order if 0 in predecessors[vertex[v]]],
        *([vertex.get(w, results) for w in after[v]] or [results] for v in network.order),
    ]
    dominator = immediate_dominators(predecessors)
    mirrored = immediate_dominators([[], *([results - w for w in successors[v]] for v in range(results - 1, -1, -1))])
    postdominator = [results - mirrored[results - v] for v in range(results)]
    regions = []
    for last in range(1, results):
        if postdominator[dominator[last]] == last:
            region = {last}
            waiting = [last]
            while waiting:
                new = set(predecessors[waiting.pop()]) - region - {dominator[last]}
                region |= new
                waiting += new
            if len(region) <= largest and len({network.layers[network.order[v - 1]].reach for v in region}) == 1:
                regions.append(sorted(region))
    taken: set[int] = set()
    blocks = []
    for vertices in sorted(regions, key=lambda vertices: (-len(vertices), vertices)):
        if taken.isdisjoint(vertices):
            taken.update(vertices)
            blocks.append(vertices)
    blocks += [[v] for v in range(1, results) if v not in taken]
    return [[network.order[v - 1] for v in block] for block in blocks]


def _neighbours(network: Network) -> tuple[list[set[int]], list[set[int]]]:
    """Return which layers precede and which follow each layer; `_ENDS` stands for raw input, and for results."""
    index = {layer.name: v for v, layer in enumerate(network.layers)}
    before: list[set[int]] = [set() for _ in network.layers]
    after: list[set[int]] = [set() for _ in network.layers]
    for tensor in network.tensors:
        u = index.get(tensor.producer, _ENDS)
        for v in (index.get(consumer, _ENDS) for consumer in tensor.consumers):
            if v != _ENDS:
                before[v].add(u)
            if u != _ENDS:
                after[u].add(v)
    return before, after
