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
