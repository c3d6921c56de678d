"""Read ONNX files: ``read_onnx("resnet50.onnx")`` is a Network whose layers are the operators that run.

Only shapes matter, so weights are never looked at, and weights kept in other files need not be there. What happens:

- Symbolic dimensions of the inputs get the sizes given, so every shape is known.
- Functions are written out, and so is the branch of an If whose condition is constant.
- Whatever depends on constants only is folded: initialisers, Constant and ConstantOfShape nodes, the shape of a tensor,
  and all that is computed from these. What a layer reads of it are its weights, save for settings such as the axes of a
  reduction or the target of a reshape.
- Dropout and Identity are removed, and so is what no output depends on: it may be anything.
- An operator is read by its definition in the operator set that the file, or the function, names.
- Conversions around layers that compute with small numbers are parts of these (see `dnnopt.inputs.onnx.quantised`).
- Each operator left is one layer, each value that layers exchange is one tensor, and both are in topological order.

Importing this module does not import onnx.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.costs import COSTS, DATA_INPUTS, CostFunction, Operator, OperatorCost, Value, bytes_moved
from dnnopt.inputs.onnx.file import join
from dnnopt.inputs.onnx.geometry import Reading, geometry_of
from dnnopt.inputs.onnx.microsoft_costs import COSTS as MICROSOFT_COSTS
from dnnopt.inputs.onnx.own_costs import parse_cost
from dnnopt.inputs.onnx.quantised import dtype_of, folded_graph
from dnnopt.inputs.onnx.shapes import MALFORMED, what_is_wrong
from dnnopt.problem.networks import INPUT, OUTPUT, RESERVED, Layer, Network, SharedWeights, Tensor

if TYPE_CHECKING:
    from dnnopt.inputs.onnx.functions import Node
    from dnnopt.inputs.onnx.graph import OnnxGraph

_COSTS: dict[str, CostFunction] = {**COSTS, **MICROSOFT_COSTS}


@checked
def read_onnx(
    path: str | Path,
    *,
    name: str | None = None,
    dimensions: Mapping[str, int] | None = None,
    source: str | None = None,
    sink: str | None = None,
    costs: Mapping[str, CostFunction | str] | None = None,
    allow_large: bool = False,
) -> Network:
    """Read an ONNX file as a Network.

    A layer's `flops` count a multiply-accumulate as two; `bytes` are its inputs, weights and outputs; `weights` are the
    constants that it alone reads, at the size that they are stored in (as integers, or before a Cast). Those that
    several layers read, such as a tied embedding, are the network's `shared_weights`, unless they have one element.
    `activations` are a layer's outputs, which are resident while it runs. Reshape, Flatten, Squeeze and Unsqueeze are
    views: layers with no FLOP and no bytes, but with the activations that they stand for.
    `dnnopt.inputs.onnx.costs` has the rules.

    A tensor is named after the ONNX value, so that a model can be cut there. A layer is named after its node, with
    ``.`` for ``/`` and ``_`` for other characters; nodes whose name is missing, just a number (``n21``), reserved or
    not unique are named after their operator and numbered: ``conv1``, ``conv2``, ...

    Parameters
    ----------
    path : str or Path
        The ``.onnx`` file. Weights that it keeps in other files are not read.
    name : str, optional
        The network's name; by default the file's, without its ending.
    dimensions : mapping of str to int, optional
        Sizes of symbolic dimensions, such as ``{"batch": 1, "seq": 128}``; what is computed from them, as in
        ``past + seq``, follows. Every dimension may be called after its input and axis as well, ``{"image[0]": 1}``,
        and one that has neither a name nor a size (``?``, 0 and -1 are none) must be.
    source, sink : str, optional
        Devices where the input starts and the outputs must arrive (see `Network`).
    costs : mapping of str to callable or str, optional
        FLOP of operators, for those that are not known or to be counted otherwise: functions of a
        `dnnopt.inputs.onnx.costs.Operator`, as in ``{"MyOp": lambda node: 3 * node.out.size}``, or
        ``{"com.acme:MyOp": ...}`` for that of one domain alone. A function may return a
        `dnnopt.inputs.onnx.costs.OperatorCost` instead, with bytes; a text such as ``"2*out"`` does what ``--cost``
        does. An operator with graphs of its own (If, Loop,
        Scan) that has such a cost is one layer.
    allow_large : bool
        Whether functions may become any number of nodes.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If the file cannot be read or is no acyclic ONNX graph; for shapes that do not fit, a dimension that is unset or
        unknown, sizes that contradict each other, an operator without a cost, control flow that depends on data, and a
        tensor whose shape does.
    """
    path = Path(path)
    own_costs = {name: _typed(name, cost) if isinstance(cost, str) else cost for name, cost in (costs or {}).items()}
    graph = folded_graph(path, dimensions or {}, allow_large=allow_large)
    _refuse_control_flow(graph, own_costs)
    _refuse_unknown_operators(graph, own_costs)
    graph.check_shapes()
    names = layer_names(graph.layers)
    layers = [_layer(graph, node, name, own_costs) for node, name in zip(graph.layers, names, strict=True)]
    weights, shared = _weights(graph, names)
    layers = [layer.model_copy(update={"weights": weights[layer.name]}) for layer in layers]
    consumers: dict[str, list[str]] = {}
    for node, layer in zip(graph.layers, layers, strict=True):
        for value in graph.variable_inputs(node):
            consumers.setdefault(value, []).append(layer.name)
    for value in graph.outputs:
        consumers.setdefault(value, []).append(OUTPUT)
    made = [(value.name, INPUT) for value in graph.inputs]
    made += [(value, layer.name) for node, layer in zip(graph.layers, layers, strict=True) for value in node.outputs]
    tensors = [
        _tensor(value, producer, consumers[value], graph.described(value))
        for value, producer in made
        if value in consumers
    ]
    return Network(
        name=name or path.stem,
        layers=tuple(layers),
        tensors=tuple(tensors),
        source=source,
        sink=sink,
        provenance=f"{path.name}: {graph.summary()}",
        shared_weights=shared,
    )


def _typed(name: str, cost: str) -> CostFunction:
    try:
        return parse_cost(f"{name}={cost}")[1]
    except InputError as error:
        raise InputError("", field=f"costs[{name!r}]", problem=error.problem) from None


def _own_cost(node: Node, own_costs: Mapping[str, CostFunction]) -> str | None:
    """Return the key of the user's cost for a node, if there is one: with or without its domain."""
    return next((key for key in (node.key, node.op) if key in own_costs), None)


def _refuse_control_flow(graph: OnnxGraph, own_costs: Mapping[str, CostFunction]) -> None:
    nested = [node.label for node in graph.layers if node.has_graphs and _own_cost(node, own_costs) is None]
    if nested:
        raise graph.error(
            f"expected no control flow that depends on data; these operators run a graph of their own: {join(nested)} "
            "(with a cost of its own, each is one layer)"
        )


def _refuse_unknown_operators(graph: OnnxGraph, own_costs: Mapping[str, CostFunction]) -> None:
    unknown = Counter(
        node.key for node in graph.layers if node.key not in _COSTS and _own_cost(node, own_costs) is None
    )
    if unknown:
        found = join(f"{name} ({count} nodes)" if count > 1 else name for name, count in sorted(unknown.items()))
        example = min(unknown)
        raise graph.error(
            f"no cost is known for the operator {found}; give a function that returns its FLOP, "
            f"such as costs={{{example!r}: lambda node: 2 * node.out.size}} (--cost '{example}=2*out')"
        )


def _tensor(name: str, producer: str, consumers: list[str], value: Value) -> Tensor:
    return Tensor(name=name, producer=producer, consumers=tuple(consumers), bytes=value.bytes, shape=value.shape)


def _layer(graph: OnnxGraph, node: Node, name: str, own_costs: Mapping[str, CostFunction]) -> Layer:
    operator = graph.operator(node)
    read = {value: graph.described(value).bytes for value in graph.variable_inputs(node)}
    read |= {value: sum(graph.storage(value).values()) for value in _weights_of(graph, node)}
    order = dict.fromkeys(graph.real(value) for value in node.reads)
    flops, moved = _cost(graph, node, operator, own_costs)
    window, axes, weight_axes = geometry_of(_reading(graph, node, operator))
    return Layer(
        name=name,
        op=node.op,
        flops=flops,
        bytes=bytes_moved(operator, [read[value] for value in order if value in read]) if moved is None else moved,
        activations=sum(value.bytes for value in operator.outputs if value is not None),
        dtype=dtype_of(graph, node),
        window=window,
        axes=axes,
        inputs=_operands(graph, node),
        weight_axes=weight_axes,
    )


def _reading(graph: OnnxGraph, node: Node, operator: Operator) -> Reading:
    """Return an operator with what is known of its inputs."""
    settings = DATA_INPUTS.get(node.key, len(node.inputs))
    inputs = [
        replace(value, data=graph.values_of(node.inputs[index])) if value is not None and index >= settings else value
        for index, value in enumerate(operator.inputs)
    ]
    constant = tuple(bool(value) and graph.real(value) in graph.constants for value in node.inputs)
    return Reading(replace(operator, inputs=tuple(inputs)), constant, node.version)


def _operands(graph: OnnxGraph, node: Node) -> tuple[str, ...]:
    """Return the tensors that a layer reads as each operand; none where the only one is the first operand."""
    reals = (graph.real(value) for value in node.inputs)
    names = tuple("" if value in graph.constants else value for value in reals)
    return names if any(names[1:]) else ()


def _weights_of(graph: OnnxGraph, node: Node) -> list[str]:
    """Return the constants that a layer reads as data, not as settings."""
    data = node.inputs[: DATA_INPUTS.get(node.key, len(node.inputs))]
    settings = set(node.inputs) - set(data)
    reals = (graph.real(value) for value in node.reads if value not in settings)
    return [value for value in dict.fromkeys(reals) if value in graph.constants]


def _weights(graph: OnnxGraph, names: list[str]) -> tuple[dict[str, float], tuple[SharedWeights, ...]]:
    """Return the bytes of constants that each layer alone reads, and those that several do.

    A constant of one element is no weight to share: each layer that reads it has it.
    """
    readers: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for node, name in zip(graph.layers, names, strict=True):
        parts = {part: size for value in _weights_of(graph, node) for part, size in graph.storage(value).items()}
        sizes |= parts
        for part in parts:
            readers.setdefault(part, []).append(name)
    weights = dict.fromkeys(names, 0.0)
    shared = []
    for part, layers in readers.items():
        if len(layers) > 1 and math.prod(graph.described(part).shape) > 1:
            shared.append(SharedWeights(name=part, bytes=sizes[part], layers=tuple(layers)))
        else:
            for layer in layers:
                weights[layer] += sizes[part]
    return weights, tuple(shared)


def _cost(
    graph: OnnxGraph, node: Node, operator: Operator, own_costs: Mapping[str, CostFunction]
) -> tuple[float, float | None]:
    """Return the FLOP of a layer, and its bytes where they are not those of all it reads and writes."""
    key = _own_cost(node, own_costs)
    try:
        found = own_costs[key](operator) if key is not None else _COSTS[node.key](operator)
    except MALFORMED as error:
        raise graph.error(f"the cost of {node.label} cannot be worked out: {what_is_wrong(error)}") from None
    cost = found if isinstance(found, OperatorCost) else OperatorCost(found)
    amounts = {"FLOP": cost.flops} if cost.bytes is None else {"FLOP": cost.flops, "bytes": cost.bytes}
    for what, amount in amounts.items():
        if isinstance(amount, bool) or not isinstance(amount, Real) or not 0 <= amount < math.inf:
            if key is None:
                raise graph.error(f"the cost of {node.label} cannot be worked out: it would be {amount} {what}")
            raise InputError(f"a number >= 0 of {what}", field=f"costs[{key!r}]", value=amount, file=graph.file)
    return float(cost.flops), None if cost.bytes is None else float(cost.bytes)


def layer_names(nodes: list[Node]) -> list[str]:
    """Name each layer after its node, or after its operator and a number where that does not do."""
    given = (node.proto.name for node in nodes)
    wanted = [re.sub(r"[^A-Za-z0-9_.]+", "_", name.strip("/").replace("/", ".")).strip("_.") for name in given]
    often = Counter(wanted)
    just_a_number = re.compile(r"[A-Za-z]?\d*")
    taken = {name for name in wanted if often[name] == 1 and name not in RESERVED and not just_a_number.fullmatch(name)}
    counts: Counter[str] = Counter()
    names = []
    for node, name in zip(nodes, wanted, strict=True):
        if name not in taken:
            stem = re.sub(r"[^a-z0-9_]+", "_", node.op.lower())
            counts[stem] += 1
            while (name := f"{stem}{counts[stem]}") in taken:
                counts[stem] += 1
            taken.add(name)
        names.append(name)
    return names
