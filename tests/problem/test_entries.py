"""Problem files that name networks of the library or ONNX files, with some keys of their own."""

import json

import onnx
import pytest
from onnx_models import floats, model, node

import dnnopt as dp
from dnnopt.problem.variants import read_any

BASE = {
    "format": "dnnopt-problem",
    "version": 1,
    "platform": "pi4-lte-t4",
    "execution": "sequential",
    "minimize": [{"metric": "latency"}],
}
OWN = {"source": "pi", "sink": "pi", "rate": 2.0, "deadline": 0.5, "weight": 3.0}


@pytest.fixture
def write(tmp_path):
    """Write a problem file beside two ONNX files: one has a symbolic dimension, one an operator of its own."""
    (tmp_path / "models").mkdir()
    dense = [node("MatMul", ["x", "w"], ["h"], name="dense"), node("Relu", ["h"], ["y"], name="last")]
    made = model(dense, {"x": ["n", 4]}, ["y"], {"w": floats(4, 8)})
    onnx.save(made, tmp_path / "models" / "mlp.onnx")
    odd = model([node("Odd", ["x"], ["y"], name="odd", domain="acme")], {"x": [1, 4]}, ["y"], domains=["acme"])
    odd.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, (1, 4)))
    onnx.save(odd, tmp_path / "odd.onnx")

    def write_problem(*networks):
        path = tmp_path / "problem.json"
        path.write_text(json.dumps({**BASE, "networks": list(networks)}), encoding="utf-8")
        return path

    return write_problem


MLP = {"onnx": "models/mlp.onnx", "dimensions": {"n": 2}}


def test_an_onnx_file_beside_the_problem_file_is_read_wherever_one_is(write, tmp_path, monkeypatch):
    path = write(MLP | OWN, {"base": "alexnet", "source": "pi"}, "squeezenet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = dp.read_problem(path)
    wanted = dp.read_onnx(tmp_path / "models" / "mlp.onnx", dimensions={"n": 2}, source="pi", sink="pi")
    assert found.networks[0] == wanted.replace(rate=2.0, deadline=0.5, weight=3.0)
    assert [network.name for network in found.networks] == ["mlp", "alexnet", "squeezenet"]
    assert read_any(path) == found
    monkeypatch.chdir(tmp_path)
    assert dp.Problem.from_data({key: found.to_data()[key] for key in BASE if key in found.to_data()} | {
        "networks": [MLP | OWN]
    }).networks == found.networks[:1]  # fmt: skip


def test_what_an_entry_says_of_costs_names_and_sensitivities_holds(write):
    says = {"name": "own", "costs": {"acme:Odd": "3*out"}, "sensitivity_decay": 0.5, "sensitivities": {"y": 0.1}}
    [network] = dp.read_problem(write({"onnx": "odd.onnx", **says})).networks
    assert (network.name, network.layers[0].flops) == ("own", 12)
    assert {tensor.name: tensor.sensitivity for tensor in network.tensors} == {"x": 1.0, "y": 0.1}
    [network] = dp.read_problem(write({"base": "alexnet", "sensitivities": {"data_0": 0.5}})).networks
    assert network.tensors[0].sensitivity == 0.5
    assert network.tensors[1].sensitivity is None


def test_a_written_problem_has_the_network_in_full(write, tmp_path):
    found = dp.read_problem(write(MLP))
    dp.write_problem(found, tmp_path / "full.json")
    (tmp_path / "models" / "mlp.onnx").unlink()
    assert dp.read_problem(tmp_path / "full.json") == found


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ({"onnx": "none.onnx"}, ["networks[1].onnx", "none.onnx", "No such file"]),
        ({"onnx": "models/mlp.onnx"}, ["networks[1].onnx", "mlp.onnx", "'n'"]),
        ({"onnx": "odd.onnx"}, ["networks[1].onnx", "no cost is known", "acme:Odd"]),
        ({"onnx": "odd.onnx", "costs": {"acme:Odd": "much"}}, ["networks[1].onnx", "costs['acme:Odd']", "much"]),
        ({"onnx": 5}, ["networks[1].onnx", "got 5, expected a text"]),
        (MLP | {"sorce": "pi"}, ["networks[1].sorce", "unknown key; did you mean 'source'?"]),
        (MLP | {"source": "fridge"}, ["networks[1].source", "'fridge'", "pi"]),
        (MLP | {"rate": -1}, ["networks[1].rate", "-1", "> 0"]),
        (MLP | {"dimensions": {"n": 1.5}}, ["networks[1].dimensions.n", "1.5", "whole number"]),
        (MLP | {"dimensions": {"m": 1}}, ["networks[1].onnx", "no dimension is called m"]),
        (MLP | {"sensitivity_decay": 2}, ["networks[1].sensitivity_decay", "got 2"]),
        (MLP | {"sensitivities": {"z": 1}}, ["networks[1].sensitivities", "'z'", "the name of a tensor: h, x, y"]),
        ({"base": "alexnet", "dimensions": {"n": 1}}, ["networks[1].dimensions", "unknown key"]),
        ({"base": "alexnot"}, ["networks[1]", "alexnot", "did you mean alexnet"]),
    ],
)
def test_an_entry_that_is_wrong_is_refused_with_its_place(write, entry, parts):
    with pytest.raises(dp.InputError) as refused:
        dp.read_problem(write("alexnet", entry))
    for part in ["problem.json: ", *parts]:
        assert part in str(refused.value)


def test_the_usual_limits_on_sizes_hold(write, monkeypatch):
    monkeypatch.setattr("dnnopt.base.sizes.MOST_LAYERS", 3)
    path = write(MLP, MLP | {"name": "again"})
    with pytest.raises(dp.InputError, match="at most 3 layers"):
        dp.read_problem(path)
    assert len(dp.read_problem(path, allow_large=True).networks) == 2


def test_a_problem_file_may_name_a_platforms_file_beside_it(write, tmp_path):
    path = write("alexnet")
    on = dp.line(["pi5", "rtx4060"], "wifi")
    (tmp_path / "sub").mkdir()
    dp.write_platform(on, tmp_path / "sub" / "home.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"platform": "sub/home.json"}), encoding="utf-8")
    assert dp.read_problem(path).platform == on
    (tmp_path / "sub" / "home.json").write_text('{"devices": 3}', encoding="utf-8")
    with pytest.raises(dp.InputError, match=r"problem\.json: platform: .*home\.json"):
        dp.read_problem(path)
    path.write_text(json.dumps(data | {"platform": "none.json"}), encoding="utf-8")
    with pytest.raises(dp.InputError, match=r"problem\.json: platform: .*none\.json"):
        dp.read_problem(path)


FORM = {"name": "8-bit", "bytes": "65 kB", "loss": 0.001}
SAYS = {
    "base": "alexnet",
    "loss": 0.02,
    "layers": {"gemm3": {"reach": 0.5}, "softmax1": {"reach": 0.5}, "conv1": {"state": "1 MB"}},
    "tensors": {"r3": {"forms": [FORM], "plain": False}, "prob_1": {"reach": 0.25}},
}


def test_what_an_entry_says_of_single_layers_and_tensors_replaces_what_the_network_says(write):
    [found] = dp.read_problem(write(SAYS)).networks
    plain, layers = dp.network("alexnet"), {layer.name: layer for layer in found.layers}
    tensors = {tensor.name: tensor for tensor in found.tensors}
    assert found.loss == 0.02
    assert (layers["conv1"].state, layers["softmax1"].reach, layers["conv2"].reach) == (1e6, 0.5, 1.0)
    assert [form.bytes for form in tensors["r3"].forms] == [65e3]
    assert (tensors["r3"].plain, tensors["prob_1"].reach, tensors["r4"].plain) == (False, 0.25, True)
    assert [layer.replace(state=0.0, reach=1.0) for layer in found.layers] == list(plain.layers)
    assert dp.read_problem(write(MLP | {"loss": 0.1, "tensors": {"h": {"forms": [FORM]}}})).networks[0].loss == 0.1


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ({"layers": {"convx": {"reach": 0.5}}}, ["networks[0].layers: got 'convx'", "the name of a layer: conv1"]),
        ({"tensors": {"r99": {}}}, ["networks[0].tensors: got 'r99'", "the name of a tensor"]),
        ({"layers": {"conv1": {"flops": 1}}}, ["networks[0].layers.conv1.flops: unknown key"]),
        ({"tensors": {"r3": {"forms": [FORM | {"bytes": -1}]}}}, ["networks[0].tensors.r3.forms[0].bytes: got -1"]),
        ({"layers": {"conv1": {"reach": 0.5}}}, ["networks[0].layers[1].reach: got 1.0, expected at most 0.5"]),
    ],
)
def test_what_is_wrong_of_single_layers_and_tensors_is_refused_with_its_place(write, entry, parts):
    with pytest.raises(dp.InputError) as refused:
        dp.read_problem(write({"base": "alexnet"} | entry))
    for part in parts:
        assert part in str(refused.value)


@pytest.fixture
def on(write):
    """Read a problem on a platform that is the library's but for some values."""

    def read(override, base="pi4-lte-t4"):
        path = write("alexnet")
        data = json.loads(path.read_text(encoding="utf-8")) | {"platform": {"base": base, "override": override}}
        path.write_text(json.dumps(data), encoding="utf-8")
        return dp.read_problem(path).platform

    return read


def test_a_platform_of_the_library_may_have_other_values_and_modes(on):
    modes = [{"name": "fast"}, {"name": "slow", "efficiency": 0.2, "power": "3 W"}]
    found = on({"pi.modes": modes, "pi.one_mode": True, "lte-up.bandwidth": "1 MB/s"})
    (pi, t4), plain = found.devices, dp.platform("pi4-lte-t4")
    assert ([mode.name for mode in pi.modes], pi.modes[1].power, pi.one_mode) == (["fast", "slow"], 3.0, True)
    assert (t4, found.links[1:], found.routes) == (plain.devices[1], plain.links[1:], plain.routes)
    assert found.links[0].bandwidth == 1e6


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"fridge.modes": []}, "platform.override: got 'fridge.modes', expected DEVICE.FIELD"),
        ({"pi.modus": []}, "did you mean modes?"),
        ({"pi.modes": [{"name": "slow", "power": -1}]}, r"override\['pi.modes'\]\[0\].power: got -1"),
        (3, "platform.override: got 3, expected an object"),
    ],
)
def test_values_of_a_platform_that_are_wrong_are_refused_with_their_place(on, override, words):
    with pytest.raises(dp.InputError, match=words):
        on(override)
    with pytest.raises(dp.InputError, match="no platform named 'pi4-lte-t5'"):
        on({}, base="pi4-lte-t5")
