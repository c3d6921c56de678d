"""Coarser granularities: what merging keeps, and what the layers and blocks of known networks are."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnnopt.base.errors import InputError
from dnnopt.problem import library
from dnnopt.problem.forms import Form
from dnnopt.problem.modes import Mode
from dnnopt.problem.networks import Layer, Network, SharedWeights, Tensor
from dnnopt.problem.platforms import Device
from dnnopt.problem.transforms.coarsening import GRANULARITIES, LIGHT, coarsen, groups, merge

OPERATORS = ("Conv", "MatMul", "Concat", "Relu", "Add", "Reshape", "Sigmoid", "LayerNormalization")


@st.composite
def networks(draw):
    """Draw a DAG of up to 14 layers whose tensors go to a few of the later ones, and perhaps to the output."""
    count = draw(st.integers(1, 14))
    names = [draw(st.sampled_from(("", "a.", "a.b.", "c."))) + f"n{v}" for v in range(count)]
    whole = st.integers(0, 100)
    layers = tuple(
        Layer(
            name=name,
            op=draw(st.sampled_from(OPERATORS)),
            flops=draw(whole),
            bytes=draw(whole),
            weights=draw(whole),
            activations=draw(whole),
        )
        for name in names
    )
    tensors = []
    for v in range(-1, count):
        for _ in range(draw(st.sampled_from((1, 1, 1, 2, 0)))):
            later = names[v + 1 :]
            near = [*later[: draw(st.integers(0, 2))], *draw(st.lists(st.sampled_from([*later, "output"]), max_size=2))]
            tensors.append(
                Tensor(
                    name=f"t{len(tensors)}",
                    producer="input" if v < 0 else names[v],
                    consumers=tuple(dict.fromkeys(near)),
                    bytes=draw(whole),
                    sensitivity=draw(st.sampled_from((0.0, 0.5))),
                )
            )
    listed = tuple(draw(st.permutations(layers)))
    readers = st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)
    shared = [
        SharedWeights(name=f"w{k}", bytes=draw(whole), layers=draw(readers)) for k in range(draw(st.integers(0, 2)))
    ]
    return Network(
        name="random",
        layers=listed,
        tensors=tuple(tensors),
        source="p",
        sink="q",
        family="random",
        shared_weights=shared,
    )


def totals(network):
    flops, moved, weights = (sum(getattr(v, field) for v in network.layers) for field in ("flops", "bytes", "weights"))
    return flops, moved, weights + sum(shared.bytes for shared in network.shared_weights)


def sent(network, device_of):
    """Bytes of all copies, one for each tensor and device that needs it and has not made it."""
    device = {"input": "p", "output": "q", **device_of}
    return sum(t.bytes * len({device[c] for c in t.consumers} - {device[t.producer]}) for t in network.tensors)


def memory(network, device_of, device):
    """Bytes on a device under the rule weights+largest_activation."""
    hosted = [layer for layer in network.layers if device_of[layer.name] == device]
    shared = [one.bytes for one in network.shared_weights if any(device_of[name] == device for name in one.layers)]
    weights = sum(layer.weights for layer in hosted) + sum(shared)
    return weights + max((layer.activations for layer in hosted), default=0)


@given(networks(), st.sampled_from(GRANULARITIES), st.integers(1, 6))
def test_coarsening_keeps_totals_and_every_layer_once(network, granularity, largest):
    coarse = coarsen(network, granularity, largest=largest)
    members = groups(network, granularity, largest=largest)
    assert sorted(name for group in members for name in group) == sorted(layer.name for layer in network.layers)
    assert len(coarse.layers) == len(members)
    assert totals(coarse) == totals(network)
    assert max(layer.activations for layer in coarse.layers) == max(layer.activations for layer in network.layers)
    assert (coarse.source, coarse.sink, coarse.family) == ("p", "q", "random")
    assert coarse == coarsen(network, granularity, largest=largest)


@given(networks(), st.sampled_from(("layer", "block")), st.data())
def test_placements_of_the_coarse_network_send_and_need_what_they_do_at_the_granularity_of_operators(
    network, granularity, data
):
    coarse = coarsen(network, granularity)
    members = groups(network, granularity)
    devices = [data.draw(st.sampled_from("pqr")) for _ in members]
    placed = {layer.name: device for layer, device in zip(coarse.layers, devices, strict=True)}
    lifted = {name: device for group, device in zip(members, devices, strict=True) for name in group}
    assert sent(coarse, placed) == sent(network, lifted)
    assert all(memory(coarse, placed, device) == memory(network, lifted, device) for device in "pqr")


@given(networks(), st.sampled_from(("layer", "block")))
def test_tensors_that_cross_stay_and_those_inside_disappear(network, granularity):
    coarse = coarsen(network, granularity)
    members = groups(network, granularity)
    assert coarse.order == tuple(range(len(coarse.layers)))  # listed in a topological order, so there is no cycle
    home = {name: layer.name for layer, group in zip(coarse.layers, members, strict=True) for name in group}
    expected = {}
    for tensor in network.tensors:
        consumers = {home.get(c, c) for c in tensor.consumers} - {home.get(tensor.producer)}
        if consumers:
            producer = home.get(tensor.producer, "input")
            expected[tensor.name] = (producer, consumers, tensor.bytes, tensor.sensitivity)
    assert {t.name: (t.producer, set(t.consumers), t.bytes, t.sensitivity) for t in coarse.tensors} == expected


@given(networks(), st.integers(1, 6))
def test_a_block_is_entered_from_one_layer_and_left_from_one_layer(network, largest):
    layers = groups(network, "layer")
    fine = merge(network, layers)
    place = {name: g for g, group in enumerate(layers) for name in group}
    for block in groups(network, "block", largest=largest):
        inside = {fine.layers[place[name]].name for name in block}
        assert sorted(block) == sorted(name for g in {place[name] for name in block} for name in layers[g])
        assert len(inside) <= max(largest, 1)
        if len(inside) > 1:
            entered = {t.producer for t in fine.tensors if inside.intersection(t.consumers)} - inside
            left = {t.producer for t in fine.tensors if t.producer in inside and not inside.issuperset(t.consumers)}
            assert len(entered) <= 1
            assert len(left) <= 1


@given(networks())
def test_no_light_layer_stays_alone_beside_the_only_neighbour_that_it_could_join(network):
    coarse = coarsen(network, "layer")
    members = groups(network, "layer")
    op = {layer.name: layer.op for layer in network.layers}
    for layer, group in zip(coarse.layers, members, strict=True):
        if all(op[name] in LIGHT for name in group):
            readers = {c for t in coarse.tensors if t.producer == layer.name for c in t.consumers}
            assert len(readers) != 1 or readers == {"output"}


# By hand


def chain(*layers, tensors=None, **fields):
    """Layers of (name, operator), each of which reads the one before."""
    names = [name for name, _ in layers]
    tensors = tensors or list(zip(["input", *names], [*names, "output"], strict=True))
    readers = {}
    for producer, consumer in tensors:
        readers.setdefault(producer, []).append(consumer)
    return Network(
        name="net",
        layers=tuple(Layer(name=name, op=op, **fields) for name, op in layers),
        tensors=tuple(Tensor(name=f"of {p}", producer=p, consumers=tuple(c), bytes=8) for p, c in readers.items()),
    )


def test_an_activation_joins_the_convolution_before_it_and_a_leading_normalisation_the_one_after_it():
    network = chain(("norm", "LayerNormalization"), ("conv1", "Conv"), ("relu", "Relu"), ("conv2", "Conv"))
    assert groups(network, "layer") == (("norm", "conv1", "relu"), ("conv2",))


def test_a_normalisation_beside_a_skip_leaves_its_input_the_only_tensor_to_cut():
    network = chain(
        ("before", "MatMul"),
        ("norm", "LayerNormalization"),
        ("up", "MatMul"),
        ("down", "MatMul"),
        ("sum", "Add"),
        ("after", "MatMul"),
        tensors=[
            ("input", "before"),
            ("before", "norm"),
            ("norm", "up"),
            ("up", "down"),
            ("down", "sum"),
            ("before", "sum"),
            ("sum", "after"),
            ("after", "output"),
        ],
    )
    assert groups(network, "layer") == (("before",), ("norm", "up"), ("down", "sum"), ("after",))
    assert groups(network, "block") == (("before",), ("norm", "up", "down", "sum"), ("after",))
    readers = [tensor.consumers for tensor in coarsen(network, "block").tensors]
    assert readers == [("before",), ("norm",), ("after",), ("output",)]


def test_parts_of_one_result_stay_with_it_where_nothing_else_reads_it():
    parts = [("all", "q"), ("all", "k"), ("q", "scores"), ("k", "scores"), ("scores", "output"), ("input", "all")]
    network = chain(("all", "MatMul"), ("q", "Slice"), ("k", "Slice"), ("scores", "MatMul"), tensors=parts)
    assert groups(network, "layer") == (("all", "q", "k"), ("scores",))


def test_what_reads_two_layers_joins_them_once_they_are_one():
    # "sum" joins "first", and that "last": only then is there one layer that reads "both", which comes in between.
    ways = [("first", "sum"), ("both", "sum"), ("both", "last"), ("sum", "last"), ("last", "output")]
    network = chain(("first", "Relu"), ("both", "Relu"), ("sum", "Add"), ("last", "Conv"), tensors=ways)
    assert groups(network, "layer") == (("first", "both", "sum", "last"),)


def test_an_early_exit_is_no_part_of_a_block():
    ways = [("input", "a"), ("a", "exit"), ("exit", "output"), ("a", "b"), ("b", "output")]
    network = chain(("a", "Conv"), ("exit", "Conv"), ("b", "Conv"), tensors=ways)
    assert groups(network, "block") == (("a",), ("exit",), ("b",))


def test_nested_regions_merge_as_far_as_the_size_allows():
    ways = [("input", "a"), ("a", "b"), ("b", "c"), ("b", "d"), ("c", "e"), ("d", "e"), ("e", "f"), ("a", "f")]
    network = chain(*((name, "Conv") for name in "abcdef"), tensors=[*ways, ("f", "output")])
    assert groups(network, "block") == (("a",), ("b", "c", "d", "e", "f"))
    assert groups(network, "block", largest=4) == (("a",), ("b",), ("c", "d", "e"), ("f",))


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("resnet18", {"stem": 2, "residual": 8, "head": 2}),
        ("bert-base", {"embedding": 1, "attention": 12, "feed-forward": 12}),
        ("inception_v1", {"stem": 5, "inception": 9, "pool": 2, "head": 2}),
    ],
)
def test_blocks_of_known_networks(name, blocks):
    assert len(library.network(f"{name}@block").layers) == sum(blocks.values())


def test_layers_of_resnet18_are_its_convolutions_with_pooling_and_classifier():
    network = library.network("resnet18@layer")
    assert Counter(layer.op.split("+")[0] for layer in network.layers) == {
        "Conv": 20,
        "MaxPool": 1,
        "ReduceMean": 1,
        "Gemm": 1,
    }
    assert network.name == "resnet18@layer"


# Names, missing data, and mistakes


def test_a_merged_layer_is_named_after_the_path_that_is_its_alone():
    network = chain(("block.conv", "Conv"), ("block.relu", "Relu"), ("other.conv", "Conv"), flops=1)
    assert [layer.name for layer in coarsen(network, "layer").layers] == ["block", "other.conv"]
    assert coarsen(network, "layer").layers[0].op == "Conv+Relu"


@pytest.mark.parametrize("taken", ["block", "block.a"])
def test_a_merged_layer_is_named_after_its_largest_member_where_others_have_the_path(taken):
    network = chain(("block.conv", "Conv"), ("block.relu", "Relu"), (taken, "Conv"), ("block.b", "Relu"), flops=1)
    names = [layer.name for layer in coarsen(network, "layer").layers]
    assert names[0] == "block.conv"
    assert len(set(names)) == 2


def test_what_one_member_leaves_open_the_merged_layer_does():
    merged = merge(
        Network(
            name="net",
            layers=(Layer(name="a", flops=1, weights=4, activations=8), Layer(name="b", flops=2, activations=3)),
            tensors=(Tensor(name="t", producer="a", consumers=("b",), bytes=8),),
        ),
        [["b", "a"]],
    )
    assert merged.layers == (Layer(name="b", flops=3, activations=8),)
    assert merged.tensors == ()


def exits(*layers):
    """Return a chain with an early exit after its first layer."""
    tensors = [
        Tensor(name="t", producer="a", consumers=("head", "b"), bytes=1, forms=[Form(name="jpeg", bytes=0.5)]),
        Tensor(name="u", producer="b", consumers=("c",), bytes=1),
        Tensor(name="v", producer="head", consumers=("pool",), bytes=1),
        Tensor(name="early", producer="pool", consumers=("output",), bytes=1, reach=0.4),
        Tensor(name="late", producer="c", consumers=("output",), bytes=1),
    ]
    return Network(name="exits", layers=layers, tensors=tensors, loss=0.25)


def test_layers_of_other_reach_stay_apart_and_state_adds_up():
    layers = [Layer(name=name, op="Relu", flops=1, state=5) for name in ("a", "head", "pool")]
    layers += [Layer(name=name, op="Conv", flops=1, state=7, reach=0.6) for name in "bc"]
    network = exits(*layers)
    for granularity in ("layer", "block"):
        coarse = coarsen(network, granularity)
        together = {layer.name: (layer.reach, layer.state) for layer in coarse.layers}
        if granularity == "layer":
            assert together == {"a": (1.0, 5.0), "head": (1.0, 10.0), "b": (0.6, 7.0), "c": (0.6, 7.0)}
        assert sum(layer.state for layer in coarse.layers) == 29
        assert {layer.reach for layer in coarse.layers} == {1.0, 0.6}
        assert coarse.tensors[0].forms == network.tensors[0].forms
        assert coarse.loss == 0.25
    with pytest.raises(InputError, match=r"groups\[0\]: layers of different reach do not merge: a 1, b 0.6"):
        merge(network, [("a", "b"), ("c",), ("head", "pool")])


def test_a_mode_for_some_operators_runs_merged_layers_of_these():
    device = Device(name="nx", modes=[Mode(name="int8", ops=["Conv", "Relu"])])
    (executor,) = device.executors
    assert [executor.runs(op) for op in ("Conv", "Conv+Relu", "Conv+Softmax", "")] == [True, True, False, False]


def test_weights_shared_inside_a_merged_layer_are_kept_where_its_own_are_not_known():
    network = chain(("a", "Conv"), ("b", "Conv")).replace(
        shared_weights=[SharedWeights(name="wte", bytes=3, layers=("a", "b"))]
    )
    merged = merge(network, [["a", "b"]])
    assert merged.layers[0].weights is None
    assert merged.shared_weights == (SharedWeights(name="wte", bytes=3, layers=(merged.layers[0].name,)),)


def test_shared_weights_follow_the_layers_that_read_them_and_become_those_of_a_layer_that_has_them_all():
    network = chain(("a", "Conv"), ("b", "Conv"), ("c", "Conv"), ("d", "Conv"), weights=10).replace(
        shared_weights=(
            SharedWeights(name="inside", bytes=3, layers=("b", "a")),
            SharedWeights(name="across", bytes=5, layers=("d", "a", "b")),
            SharedWeights(name="one", bytes=7, layers=("b",)),
            SharedWeights(name="alone", bytes=9, layers=("d",)),
        )
    )
    merged = merge(network, [["a", "b"], ["c"], ["d"]])
    name = merged.layers[0].name
    assert [layer.weights for layer in merged.layers] == [10 + 10 + 3 + 7, 10, 10]
    assert merged.shared_weights == (
        SharedWeights(name="across", bytes=5, layers=("d", name)),
        SharedWeights(name="alone", bytes=9, layers=("d",)),
    )


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([["a", "b"], ["x"]], r"groups\[1\]: got 'x', expected the name of a layer of 'net'"),
        ([["a", "b"], ["b", "c"]], r"groups\[1\]: got 'b', expected .* \(groups\[0\] has this one\)"),
        ([["a", "b"]], r"groups: the layer 'c' is in no group"),
        ([["a", "b", "c"], []], r"groups\[1\]: got \[\], expected at least one layer"),
        ([["a", "c"], ["b"]], r"the layers form a cycle"),
    ],
)
def test_groups_that_are_no_partition_or_form_a_cycle_are_refused(wanted, message):
    with pytest.raises(InputError, match=message):
        merge(chain(("a", "Conv"), ("b", "Conv"), ("c", "Conv")), wanted)


def test_unknown_granularity_and_size_are_refused():
    network = chain(("a", "Conv"))
    with pytest.raises(InputError, match="granularity: got 'stage', expected one of operator, layer, block"):
        coarsen(network, "stage")
    with pytest.raises(InputError, match="largest: got 0, expected a whole number >= 1"):
        coarsen(network, "block", largest=0)
    with pytest.raises(InputError, match="expected one of operator, layer, block"):
        library.network("resnet50@stage")
    with pytest.raises(InputError, match="no network named 'resnet5' in the library; did you mean resnet50"):
        library.network("resnet5@block")
