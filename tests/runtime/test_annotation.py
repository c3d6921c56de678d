"""ONNX files whose nodes say where they run."""

import shutil

import onnx
import pytest
from commands import dnnopt
from piece_models import DIMENSIONS, MODELS, network_of, placed, saved, single_cut

import dnnopt as dp
from dnnopt.runtime.annotation import SETTING, annotate_onnx


def marks(path):
    nodes = onnx.load(path, load_external_data=False).graph.node
    return {node.name: {entry.key: entry.value for entry in node.metadata_props} for node in nodes}


@pytest.mark.parametrize("name", MODELS)
def test_the_runtime_takes_the_file_and_the_setting_and_computes_the_same(name, tmp_path, capfd):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = saved(name, tmp_path)
    setting = annotate_onnx(
        path,
        single_cut(network_of(path), ("pi 4", "t4")),
        tmp_path / "out.onnx",
        processors={"t4": "cpu"},
        dimensions=DIMENSIONS.get(name),
    )
    assert setting == "cpu(=pi_4); cpu(=t4)"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 1
    options.add_session_config_entry(SETTING, setting)
    onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), options, providers=["CPUExecutionProvider"])
    assert "Matched 2 out of 2 rules" in capfd.readouterr().err
    before, after = onnx.load(path), onnx.load(tmp_path / "out.onnx")
    for node in after.graph.node:
        del node.metadata_props[:]
    assert after == before


def test_each_node_has_the_device_of_its_layer(tmp_path):
    path = saved("residual", tmp_path)
    network = network_of(path)
    plan = placed(network, ["a" if "0" in layer.name else "b" for layer in network.layers])
    annotate_onnx(path, plan, tmp_path / "out.onnx")
    found = marks(tmp_path / "out.onnx")
    assert {name: found[name] for name in ("conv0", "relu0", "conv1a", "add2")} == {
        "conv0": {"layer_ann": "a"},
        "relu0": {"layer_ann": "a"},
        "conv1a": {"layer_ann": "b"},
        "add2": {"layer_ann": "b"},
    }


def test_a_call_of_a_function_in_two_places_is_left_to_the_runtime(tmp_path):
    path = saved("functions", tmp_path)
    annotate_onnx(path, single_cut(network_of(path)), tmp_path / "out.onnx")
    assert marks(tmp_path / "out.onnx") == {
        "block0": {"layer_ann": "a"}, "block1": {}, "block2": {"layer_ann": "b"},
    }  # fmt: skip


def test_the_command_prints_the_setting(tmp_path):
    path = saved("chain", tmp_path)
    (tmp_path / "plan.json").write_text(single_cut(network_of(path)).model_dump_json(), encoding="utf-8")
    done = dnnopt("annotate", path.name, "plan.json", "-o", "out.onnx", "--processor", "b=gpu:1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "session.layer_assignment_settings: cpu(=a); gpu:1(=b)\n")


def test_mistakes_are_named(tmp_path):
    path = saved("chain", tmp_path, external=True)
    plan = single_cut(network_of(path))
    with pytest.raises(dp.InputError, match="expected a place beside it"):
        annotate_onnx(path, plan, tmp_path.parent / "out.onnx")
    with pytest.raises(dp.InputError, match=r"processors.b: got 'gpu\)', expected a processor"):
        annotate_onnx(path, plan, tmp_path / "out.onnx", processors={"b": "gpu)"})
    with pytest.raises(dp.InputError, match="device of the plan"):
        annotate_onnx(path, plan, tmp_path / "out.onnx", processors={"c": "gpu"})
    shutil.copy(path, tmp_path / "kept.onnx")
