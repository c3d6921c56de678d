"""Splitting ONNX files: the pieces, put together, are the whole."""

import shutil

import numpy as np
import onnx
import pytest
from onnx_models import model, node
from onnx_stacks import normal
from piece_models import DIMENSIONS, MODELS, PLANS, RNG, four_devices, network_of, placed, saved, single_cut

import dnnopt as dp
from dnnopt.inputs.profiling import wheel_files
from dnnopt.problem.manifest import MANIFEST, read_manifest
from dnnopt.runtime.sessions import ModelSession, run_in_turn
from dnnopt.runtime.split import split_onnx
from dnnopt.runtime.verification import differences

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def split(name, plan, folder, *, external=False, **options):
    path = saved(name, folder, external=external)
    network = network_of(path)
    chosen = PLANS[plan](network) if isinstance(plan, str) else plan(network)
    return split_onnx(path, chosen, folder / "pieces", dimensions=DIMENSIONS.get(name), **options)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", MODELS)
def test_pieces_put_together_are_the_whole(name, plan, tmp_path):
    manifest = split(name, plan, tmp_path)
    assert manifest.verification.max_absolute < 1e-5
    assert manifest == read_manifest(tmp_path / "pieces")
    for piece in manifest.pieces:
        made = onnx.load(tmp_path / "pieces" / piece.file)
        onnx.checker.check_model(made, full_check=True)
        assert [value.name for value in made.graph.input] == list(piece.inputs)
        assert [value.name for value in made.graph.output] == list(piece.outputs)
    layers = [layer for piece in manifest.pieces for layer in piece.layers]
    assert sorted(layers) == sorted(layer.name for layer in network_of(tmp_path / f"{name}.onnx").layers)


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_may_be_a_piece_of_its_own(name, tmp_path):
    manifest = split(name, lambda network: placed(network, [f"d{k}" for k in range(len(network.layers))]), tmp_path)
    assert manifest.verification.max_absolute < 1e-5


def test_networks_of_the_wheel_are_split(tmp_path):
    path = wheel_files()["shufflenet"]
    network = dp.read_onnx(path)
    manifest = split_onnx(path, four_devices(network), tmp_path / "pieces")
    assert manifest.verification.max_absolute < 1e-5
    assert len(manifest.pieces) > 20


@pytest.mark.parametrize("plan", PLANS)
def test_weights_in_other_files_stay_there_and_are_written_once_for_each_device(plan, tmp_path):
    manifest = split("residual", plan, tmp_path, external=True)
    assert manifest.verification.max_absolute < 1e-5
    assert {piece.weight_file for piece in manifest.pieces} - {""} == {
        f"{device}.weights" for device in {piece.device for piece in manifest.pieces if piece.weight_bytes}
    }
    for piece in manifest.pieces:
        made = onnx.load(tmp_path / "pieces" / piece.file, load_external_data=False)
        assert all(tensor.data_location == tensor.EXTERNAL for tensor in made.graph.initializer)


def test_a_weight_that_several_pieces_of_a_device_read_is_there_once(tmp_path):
    w = {"w": normal(RNG, 30, 30)}
    nodes = [node("MatMul", [f"t{k}", "w"], [f"t{k + 1}"], name=f"mat{k}") for k in range(3)]
    onnx.save(model(nodes, {"t0": [1, 30]}, ["t3"], w), tmp_path / "tied.onnx")
    network = dp.read_onnx(tmp_path / "tied.onnx")
    manifest = split_onnx(tmp_path / "tied.onnx", placed(network, "aba"), tmp_path / "pieces")
    assert [piece.weight_file for piece in manifest.pieces] == ["a.weights", "", "a.weights"]
    assert (tmp_path / "pieces" / "a.weights").stat().st_size == w["w"].nbytes
    assert manifest.verification.max_absolute < 1e-5


def test_pieces_take_other_sizes_where_the_file_does(tmp_path):
    manifest = split("dynamic", "four", tmp_path)
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.standard_normal((3, 5, 8)).astype(np.float32),
        "past_k": rng.standard_normal((3, 2, 7, 4)).astype(np.float32),
        "past_v": rng.standard_normal((3, 2, 7, 4)).astype(np.float32),
    }
    whole = ModelSession(tmp_path / "dynamic.onnx", "none").run(inputs)
    found = run_in_turn(manifest, tmp_path / "pieces", inputs, level="none")
    assert differences(found, whole)[0] < 1e-5


def test_the_shape_of_what_is_elsewhere_is_sent_in_place_of_it(tmp_path):
    def plan(network):
        return placed(network, ["a" if layer.name.startswith("mat_") else "b" for layer in network.layers])

    manifest = split("dynamic", plan, tmp_path)
    shapes = [tensor for tensor in manifest.tensors if tensor.shape_of]
    assert [
        (tensor.shape_of, tensor.bytes, tensor.tensor) for tensor in shapes
    ] == []  # the residual sum reads x itself
    other = split(
        "dynamic", lambda net: placed(net, ["b" if "reshape" in la.name else "a" for la in net.layers]), tmp_path
    )
    assert [(tensor.shape_of, tensor.bytes) for tensor in other.tensors if tensor.shape_of] == [("x", 24)]


def test_small_numbers_are_sent_as_such(tmp_path):
    def plan(network):
        return placed(network, ["a" if layer.name in ("x_quantize", "conv1") else "b" for layer in network.layers])

    manifest = split("quantised", plan, tmp_path)
    network = network_of(tmp_path / "quantised.onnx")
    (sent,) = [tensor for tensor in manifest.tensors if tensor.producer != "input" and tensor.consumers != ("output",)]
    (planned,) = [tensor for tensor in network.tensors if tensor.name == sent.tensor]
    assert (sent.dtype, sent.bytes) == ("int8", planned.bytes)
    assert manifest.verification.max_absolute == 0


def test_calls_of_functions_stay_where_all_of_them_is_in_one_piece(tmp_path):
    manifest = split("functions", "cut", tmp_path)
    pieces = [onnx.load(tmp_path / "pieces" / piece.file) for piece in manifest.pieces]
    calls = [sum(one.op_type == "Block" for one in piece.graph.node) for piece in pieces]
    assert calls == [1, 1]  # the second of the three is cut in the middle
    assert [len(piece.functions) for piece in pieces] == [1, 1]


def test_the_manifest_says_who_sends_what_to_whom(tmp_path):
    path = saved("chain", tmp_path)
    network = network_of(path).model_copy(update={"source": "a", "sink": "a"})
    platform = dp.Platform(
        devices=[dp.Device(name, flops_per_s=1e9, bytes_per_s=1e9) for name in "ab"],
        links=[dp.Link("up", bandwidth=1e6, latency=0.01), dp.Link("down", bandwidth=1e6, latency=0.01)],
        routes=[dp.Route("a", "b", ["up"]), dp.Route("b", "a", ["down"])],
    )
    problem = dp.Problem(network, platform, execution="sequential", minimize=dp.latency())
    manifest = split_onnx(path, single_cut(network), tmp_path / "pieces", problem=problem)
    assert [(one.value, one.sender, one.receiver) for one in manifest.sends] == [("c", "a", "b"), ("y", "b", "a")]
    assert manifest.devices() == ("a", "b")
    assert (tmp_path / "pieces" / "problem.json").is_file()
    assert str(manifest).startswith("<Manifest chain (chain.onnx): a.0 (3 layers), b.0 (4 layers), 2 values")


def test_a_folder_with_pieces_is_replaced_and_one_with_something_else_is_not(tmp_path):
    split("chain", "cut", tmp_path)
    again = split("chain", "back", tmp_path)
    assert read_manifest(tmp_path / "pieces") == again
    (tmp_path / "pieces" / MANIFEST).unlink()
    with pytest.raises(dp.InputError, match="something else in it"):
        split("chain", "cut", tmp_path)


def test_a_plan_for_another_network_is_refused(tmp_path):
    path = saved("chain", tmp_path)
    plan = dp.Plan(placement={"chain": {"conv1": "a", "conv9": "b"}})
    with pytest.raises(dp.InputError, match=r"placement.chain: the plan has a layer 'conv9'"):
        split_onnx(path, plan, tmp_path / "pieces")


def test_missing_weights_are_named_and_leave_nothing_behind(tmp_path):
    path = saved("chain", tmp_path, external=True)
    (tmp_path / "chain.bin").unlink()
    with pytest.raises(dp.InputError, match=r"chain.bin.*not beside it"):
        split_onnx(path, single_cut(network_of(path)), tmp_path / "pieces")
    assert sorted(tmp_path.iterdir()) == [path]


def test_weights_outside_the_folder_of_the_model_are_not_read(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = saved("chain", inner, external=True)
    shutil.move(inner / "chain.bin", tmp_path / "chain.bin")
    made = onnx.load(path, load_external_data=False)
    for tensor in made.graph.initializer:
        tensor.external_data[0].value = "../chain.bin"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(dp.InputError, match="not beside it"):
        split_onnx(path, single_cut(network_of(path)), inner / "pieces")


@pytest.mark.parametrize("most", [0, 1000])
def test_a_full_disk_is_reported_and_leaves_what_was_there(most, tmp_path):
    """A limit on the size of files stands for the disk: the system refuses what is beyond it."""
    resource = pytest.importorskip("resource", reason="no limits on this system")
    before = split("residual", "cut", tmp_path, external=True)
    kept = sorted(path.name for path in tmp_path.iterdir())
    path = tmp_path / "residual.onnx"
    plan = PLANS["back"](network_of(path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        with pytest.raises(dp.InputError, match="cannot be written: File too large"):
            split_onnx(path, plan, tmp_path / "pieces")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    assert read_manifest(tmp_path / "pieces") == before


@pytest.mark.parametrize("form", ["float16", "int8"])
def test_what_fewer_bits_on_the_way_cost_is_in_the_manifest(form, tmp_path):
    plain = split("residual", "cut", tmp_path)
    small = split("residual", "cut", tmp_path, forms={"*": form})
    assert plain.verification.max_relative < 1e-5 < small.verification.max_relative < 0.05
    assert set(small.forms.values()) == {form}


def test_no_verification_is_needed(tmp_path):
    assert split("chain", "cut", tmp_path, verify=False).verification is None
