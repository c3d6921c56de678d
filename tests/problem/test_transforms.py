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
