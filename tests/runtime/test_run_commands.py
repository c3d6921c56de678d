"""The commands that take a plan to pieces that run."""

import json

import pytest
from commands import check_refused, dnnopt
from piece_models import network_of, saved, single_cut

import dnnopt as dp

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.fixture
def plan(tmp_path):
    path = saved("chain", tmp_path)
    data = single_cut(network_of(path)).to_data()
    (tmp_path / "plan.json").write_text(json.dumps(data), encoding="utf-8")
    return tmp_path


def test_split_writes_pieces_and_says_what_is_sent(plan):
    done = dnnopt("split", "chain.onnx", "plan.json", "-o", "pieces", "--form", "c=float16", cwd=plan)
    assert done.returncode == 0, done.stderr
    assert "chain: 2 pieces" in done.stdout
    assert "c      1x4x4x4  float16  128 B  a -> b" in done.stdout
    assert sorted(path.name for path in (plan / "pieces").iterdir()) == ["a.0.onnx", "b.0.onnx", "manifest.json"]


def test_a_platform_makes_the_problem_that_runs_predict_by(plan):
    names = {"a": "pi", "b": "nx"}
    data = json.loads((plan / "plan.json").read_text("utf-8"))
    data["placement"]["chain"] = {layer: names[device] for layer, device in data["placement"]["chain"].items()}
    (plan / "plan.json").write_text(json.dumps(data), encoding="utf-8")
    words = ["--platform", "pi4-wifi-nx-wan-t4", "--source", "pi", "--sink", "none", "--no-verify"]
    done = dnnopt("split", "chain.onnx", "plan.json", "-o", "pieces", *words, cwd=plan)
    assert done.returncode == 0, done.stderr
    problem = dp.read_problem(plan / "pieces" / "problem.json")
    assert [problem.networks[0].source, problem.networks[0].sink] == ["pi", None]
    assert dp.read_manifest(plan / "pieces").source == "pi"


def test_mistakes_are_named(plan):
    def refused(*parts, to="pieces", plan_file="plan.json", **options):
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        check_refused(dnnopt("split", "chain.onnx", plan_file, "-o", to, *words, cwd=plan), *parts)

    refused("forms", "'z'", form="z=int8")
    refused("TENSOR=FORM", form="c")
    refused("something else in it", to=".")
    refused("none.json", plan_file="none.json")
    refused("a problem", problem="vgg16")
    refused("--source", "goes with --platform", source="a")
    refused("--platform", "does not go with --problem", platform="pi4-lte-t4", problem="small/001")
