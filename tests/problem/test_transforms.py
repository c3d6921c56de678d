"""Networks in other pieces: the same values, the same work, and as much read as must be."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_stacks import stacks, transformer_layer
from pieces_values import Run, check_shards, check_tiles

import dnnopt as dp
from dnnopt.problem.transforms.fusing import fuse
from dnnopt.problem.transforms.sharding import shard

slow = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(make):
    """Return what is made, or None and why it is refused."""
    try:
        return make(), ""
    except dp.InputError as error:
        return None, str(error)


def total(network, field):
    return sum(getattr(layer, field) for layer in network.layers)


@slow
@given(stacks(), st.sampled_from(["rows", "channels", "batch", "grid"]), st.integers(2, 4), st.booleans())
def test_shards_put_together_are_the_layers(tmp_path, drawn, axis, parts, pair):
    made, rng = drawn
    run = Run.of(made, tmp_path, rng)
    found, refused = attempt(
        lambda: shard(run.network, axis, (parts, 2) if axis == "grid" else parts, pair=pair and axis == "channels")
    )
    if found is None:
        assert "can be divided" in refused
        return
    check_shards(run, found)
    sums = sum(layer.flops for layer in found.network.layers if layer.name.endswith("#sum"))
    assert total(found.network, "flops") - sums == pytest.approx(total(run.network, "flops"))
    held = total(found.network, "weights") + sum(shared.bytes for shared in found.network.shared_weights)
    assert held == pytest.approx(total(run.network, "weights") + sum(s.bytes for s in run.network.shared_weights))


@slow
@given(stacks(), st.integers(1, 3), st.integers(1, 3), st.data())
def test_fused_tiles_put_together_are_the_block(tmp_path, drawn, rows, columns, data):
    made, rng = drawn
    run = Run.of(made, tmp_path, rng)
    names = [layer.name for layer in run.network.layers]
    first = data.draw(st.integers(0, len(names) - 1))
    last = data.draw(st.integers(first, len(names) - 1))
    found, refused = attempt(lambda: fuse(run.network, [(names[first], names[last])], (rows, columns)))
    if found is None:
        assert "of which others read" in refused or "feature maps" in refused
        return
    check_tiles(run, found)
    once = fuse(run.network, [(names[first], names[last])], (1, 1))  # rows that nothing reads are not computed
    assert total(found.network, "flops") >= total(once.network, "flops") * (1 - 1e-9)
    assert total(once.network, "flops") <= total(run.network, "flops") * (1 + 1e-9)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_heads_of_attention_and_columns_of_a_feed_forward_layer_stay_where_they_are(tmp_path, parts):
    run = Run.of(transformer_layer(), tmp_path, np.random.default_rng(1))
    found = shard(run.network, "channels", parts, pair=True)
    check_shards(run, found)
    whole = {name for name, made in found.parts.items() if len(made) == 1}
    assert whole == {"add4", "add5"}
    part_of = {name: label for name, _, label in (layer.name.partition("#") for layer in found.network.layers)}
    for tensor in found.network.tensors:
        ends = [tensor.producer, *tensor.consumers]
        labels = {end.partition("#")[2] for end in ends if "#" in end and not end.endswith("#sum")}
        assert len(labels) <= 1 or tensor.producer == "input" or "#" not in tensor.producer, tensor
    assert part_of


@pytest.mark.parametrize("axis", ["rows", "channels", "batch"])
def test_parts_of_a_transformer_layer_are_its_values(tmp_path, axis):
    run = Run.of(transformer_layer(), tmp_path, np.random.default_rng(1))
    if axis == "batch":
        with pytest.raises(dp.InputError, match="no layer of 'net' can be divided: none has batch to divide"):
            shard(run.network, axis, 2)
    else:
        check_shards(run, shard(run.network, axis, 3))


@pytest.mark.parametrize("axis", ["rows", "channels", "batch"])
def test_one_part_is_the_network_itself(tmp_path, axis):
    run = Run.of(transformer_layer(), tmp_path, np.random.default_rng(1))
    same = shard(run.network, axis, 1)
    assert same.network is run.network
    assert same.redundancy == 0.0
    assert same.lift(dict.fromkeys(run.network.layer_names, "pi")).placement == {
        "net": dict.fromkeys(run.network.layer_names, "pi")
    }
    assert shard(run.network, "grid", (1, 1)).network is run.network
    assert fuse(run.network, None, (1, 1)).network is run.network


def chain_of_windows(windows, size):
    """Return a network of convolutions, one after the other, and how long each result is."""
    layers, tensors, sizes = [], [dp.Tensor("x", "input", ("l0",), 4.0 * size * 8, shape=(1, 1, size, 8))], [size]
    for k, (kernel, stride, pad, dilation) in enumerate(windows):
        size = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        sizes.append(size)
        window = dp.Window((kernel, 1), (stride, 1), (pad, 0, pad, 0), (dilation, 1))
        layers.append(dp.Layer(f"l{k}", "Conv", 1.0 * size, 1.0, 4.0, 1.0, window=window, weight_axes=(1,)))
        after = (f"l{k + 1}",) if k + 1 < len(windows) else ("output",)
        tensors.append(dp.Tensor(f"t{k}", f"l{k}", after, 4.0 * size * 8, shape=(1, 1, size, 8)))
    return dp.Network("net", layers=layers, tensors=tensors), sizes


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=4
    ),
    st.integers(12, 60),
    st.integers(1, 4),
)
def test_halos_and_tiles_are_receptive_fields(windows, size, parts):
    windows = [(kernel, stride, min(pad, kernel - 1), dilation) for kernel, stride, pad, dilation in windows]
    try:
        network, sizes = chain_of_windows(windows, size)
    except dp.InputError:
        return
    if min(sizes) < 1:
        return

    def needed(rows, k):
        """The rows of the k-th tensor that rows of the next one read, position by position."""
        kernel, stride, pad, dilation = windows[k]
        every = {i * stride - pad + j * dilation for i in rows for j in range(kernel)}
        return {row for row in every if 0 <= row < sizes[k]}

    def hull(rows, k):
        return {} if len(span := range(min(rows), max(rows) + 1)) == sizes[k] else {2: (span[0], span[-1] + 1)}

    dense = all(dilation == 1 for *_, dilation in windows)  # else a padded edge may lie between the rows that are read
    names = [tensor.name for tensor in network.tensors]
    found, refused = attempt(lambda: fuse(network, [("l0", f"l{len(windows) - 1}")], (parts, 1)))
    assert found is not None, refused
    for tile in found.pieces:
        rows = set(range(*tile.makes[names[-1]].get(2, (0, sizes[-1]))))
        for k in reversed(range(len(windows))):
            region = tile.regions[f"l{k}"].get(2, (0, sizes[k + 1]))
            assert set(range(*region)) >= rows
            rows = needed(rows, k)
            if not rows:
                break
        if rows:
            first, end = tile.reads["x"].get(2, (0, size))
            assert set(range(first, end)) >= rows
            if dense and all(tile.regions.values()):  # a layer that is computed whole reads all, as it does alone
                assert (first, end) == (min(rows), max(rows) + 1)
    divided, _ = attempt(lambda: shard(network, "rows", parts + 1))
    for piece in divided.pieces if divided is not None else ():
        (layer,) = piece.shares
        k = int(layer[1:])
        rows = needed(range(*piece.regions[layer].get(2, (0, sizes[k + 1]))), k)
        if rows:
            assert set(range(*piece.reads[names[k]].get(2, (0, sizes[k])))) >= rows
        if rows and dense and piece.regions[layer]:
            assert piece.reads[names[k]] == hull(rows, k)


@slow
@given(stacks(), st.sampled_from(["rows", "channels", "batch", "grid"]), st.integers(2, 4))
def test_what_parts_send_is_what_is_read_once_for_each_set_of_readers(tmp_path, drawn, axis, parts):
    made, rng = drawn
    run = Run.of(made, tmp_path, rng)
    found, _ = attempt(lambda: shard(run.network, axis, (parts, 2) if axis == "grid" else parts))
    if found is None:
        return
    sent = {}
    for tensor in found.network.tensors:
        for consumer in tensor.consumers:
            sent[consumer] = sent.get(consumer, 0.0) + tensor.bytes
    shapes = {tensor.name: tensor for tensor in run.network.tensors}
    for piece in found.pieces:
        read = 0.0
        for name, region in piece.reads.items():
            tensor = shapes[name]
            part = np.prod([(end - first) / tensor.shape[a] for a, (first, end) in region.items()])
            read += tensor.bytes * part
        assert sent.get(piece.layer.name, 0.0) == pytest.approx(read)
