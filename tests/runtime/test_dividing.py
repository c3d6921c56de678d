"""Plans at other granularities: merged layers, and parts of layers as nodes of their own."""

import tempfile
from pathlib import Path

import onnx
import pytest
from devices import devices
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx_stacks import stacks
from piece_models import network_of, placed, saved
from pieces_values import lan

import dnnopt as dp
from dnnopt.problem.transforms.granularity import in_pieces
from dnnopt.problem.transforms.sharding import shard
from dnnopt.runtime.sessions import ModelSession
from dnnopt.runtime.verification import differences, random_inputs

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


GRANULARITIES = ("rows:2", "rows:3", "grid:2x2", "fused:2x2", "fused:3x1", "batch:3", "channels:2", "paired:2")


def spread(network, names="ab"):
    """A plan with the parts of a layer on devices in turn, and whole layers on the first."""

    def device(layer):
        _, mark, part = layer.rpartition("#")
        return names[int(part) % len(names)] if mark and part.isdigit() else names[0]

    return dp.Plan(placement={network.name: {layer.name: device(layer.name) for layer in network.layers}})


@pytest.mark.parametrize("name", ["chain", "residual", "branches", "transformer"])
@pytest.mark.parametrize(
    "granularity", ["layer", "block", "rows:2", "rows:3", "grid:2x2", "fused:2x1", "fused:2x2", "channels:2"]
)
def test_pieces_of_a_plan_at_a_granularity_are_the_whole(name, granularity, tmp_path):
    path = saved(name, tmp_path)
    try:
        plan = spread(in_pieces(network_of(path), granularity).network)
    except dp.InputError:
        pytest.skip("no layer can be divided so")
    manifest = dp.split_onnx(path, plan, tmp_path / "pieces", granularity=granularity)
    assert manifest.verification.max_absolute < 1e-5
    listed = [layer for piece in manifest.pieces for layer in piece.layers]
    assert len(listed) == len(set(listed))
    if ":" in granularity:
        assert set(listed) == set(plan.placement[f"{name}@{granularity}"])
        assert {piece.device for piece in manifest.pieces} == {"a", "b"}


@settings(max_examples=12, deadline=None)
@given(stacks(), st.randoms(use_true_random=False))
def test_random_stacks_in_random_pieces_are_the_whole(made, random):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "stack.onnx"
        onnx.save(made[0], path)
        network = network_of(path)
        plan = placed(network, [random.choice("abc") for _ in network.layers])
        assert dp.split_onnx(path, plan, Path(name) / "pieces").verification.max_absolute < 1e-5
        granularity = random.choice(
            ["rows:2", "rows:3", "grid:2x2", "fused:2x2", "fused:3x1", "batch:3", "channels:2", "paired:2"]
        )
        try:
            divided = in_pieces(network, granularity).network
        except dp.InputError:
            return  # there is nothing to divide
        plan = placed(divided, [random.choice("abc") for _ in divided.layers])
        made = dp.split_onnx(path, plan, Path(name) / "pieces", granularity=granularity)
        assert made.verification.max_absolute < 1e-5


@pytest.mark.parametrize("granularity", ["rows:2", "fused:2x1"])
def test_parts_of_layers_run_on_devices_and_send_what_the_problem_says(granularity, tmp_path):
    path = saved("residual", tmp_path)
    network = network_of(path).model_copy(update={"source": "a", "sink": "a"})
    problem = dp.Problem(network, lan("a", "b"), execution="sequential", minimize=dp.latency())
    divided = dp.at_granularity(problem, granularity).problem
    plan = spread(divided.networks[0])
    manifest = dp.split_onnx(path, plan, tmp_path / "pieces", problem=problem, granularity=granularity)
    sent = {}
    for one in manifest.sends:
        route = f"{one.sender}-{one.receiver}"
        sent[route] = sent.get(route, 0) + manifest.sent_bytes(one.value)
    planned = {}
    for one in dp.evaluate(divided, plan).transmissions:
        planned[one.links[0]] = planned.get(one.links[0], 0) + one.bytes
    assert sent == pytest.approx(planned)
    with devices(tmp_path / "pieces", level="none") as run, run.driver() as driver:
        inputs = random_inputs(run.manifest, 1)
        (found,) = driver.stream(lambda number: inputs, 1, 1)
    assert differences(found.outputs, ModelSession(path, "none").run(inputs))[0] < 1e-5


def test_devices_have_their_share_of_divided_weights_alone(tmp_path):
    path = saved("residual", tmp_path)
    whole = sum(numpy_helper.to_array(tensor).nbytes for tensor in onnx.load(path).graph.initializer)
    plan = spread(in_pieces(network_of(path), "channels:2").network)
    manifest = dp.split_onnx(path, plan, tmp_path / "pieces", granularity="channels:2")
    held = {}
    for piece in manifest.pieces:
        for tensor in onnx.load(tmp_path / "pieces" / piece.file).graph.initializer:
            if tensor.name.startswith("conv"):
                held.setdefault(piece.device, {})[tensor.name] = numpy_helper.to_array(tensor).nbytes
    assert {device: sum(sizes.values()) for device, sizes in held.items()} == {"a": whole / 2, "b": whole / 2}


def test_what_cannot_be_written_as_nodes_is_refused_by_name(tmp_path):
    path = saved("chain", tmp_path)
    plan = spread(shard(network_of(path), "rows", 2).network)
    with pytest.raises(dp.InputError, match="granularity of the plan"):
        dp.split_onnx(path, plan, tmp_path / "pieces")
    quantised = saved("quantised", tmp_path)
    plan = spread(in_pieces(network_of(quantised), "rows:2").network)
    with pytest.raises(dp.InputError, match="small numbers"):
        dp.split_onnx(quantised, plan, tmp_path / "pieces", granularity="rows:2")
