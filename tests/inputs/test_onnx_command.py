"""ONNX files on the command line: sizes of dimensions, and costs of operators."""

import pytest
from commands import dnnopt
from onnx_models import model, node

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.costs import Operator, OperatorCost, Value
from dnnopt.inputs.onnx.own_costs import parse_cost

OPERATOR = Operator("MyOp", (Value((2, 3)), None, Value((4,), 16)), (None, Value((5,)), Value((6,), 8)))


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("0", 0),
        ("1e+3", 1000),
        ("2*out", 22),
        ("out0 + out1+out2", 11),
        ("in", 10),
        ("3*in0 + 0.5*in2", 20),
        ("in1", 0),
        ("in9", 0),
        ("2*in0*out1", 60),
        (" 2 * out + 1e3 ", 1022),
    ],
)
def test_costs_are_sums_of_products_of_sizes(text, flops):
    name, cost = parse_cost(f"com.acme:MyOp={text}")
    assert (name, cost(OPERATOR)) == ("com.acme:MyOp", OperatorCost(flops))


def test_bytes_count_bytes():
    assert parse_cost("MyOp=2*out, bytes=in + out")[1](OPERATOR) == OperatorCost(22, 24 + 8 + 20 + 6)
    assert parse_cost("MyOp=0,bytes=0")[1](OPERATOR) == OperatorCost(0, 0)


@pytest.mark.parametrize(
    "text",
    ["MyOp", "=2", "MyOp=", "MyOp=2*", "MyOp=x", "MyOp=in-1", "MyOp=2 out", "MyOp=1, 2", "MyOp=1, bytes", "MyOp=1,2,3"],
)
def test_other_texts_are_refused(text):
    with pytest.raises(InputError, match=r"expected a cost such as 'com\.acme:MyOp=2\*out'"):
        parse_cost(text)


@pytest.fixture
def file(tmp_path):
    nodes = [node("MyOp", ["x", "p"], ["h"], domain="com.acme"), node("Relu", ["h"], ["y"])]
    inputs = {"x": ["batch", 4], "p": ["past", "?"]}
    made = model(nodes, inputs, ["y"], domains=["com.acme"], value_info=[("h", ["batch", 8])])
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    return str(tmp_path / "net.onnx")


def run(*words):
    done = dnnopt(*words)
    return done.returncode, done.output


def test_solve_takes_sizes_and_costs(file):
    words = ["solve", file, "-p", "pi4-wifi-nx-wan-t4", "--time-limit", "20"]
    sizes = ["--dim", "batch=2", "--dim", "past=0", "--dim", "p[1]=48"]
    code, output = run(*words, *sizes, "--cost", "com.acme:MyOp=2e9*out, bytes=out")
    assert (code, "optimal" in output) == (0, True), output
    code, output = run(*words, *sizes)
    assert code == 2
    assert "no cost is known for the operator com.acme:MyOp" in output
    assert "--cost 'com.acme:MyOp=2*out'" in output
    code, output = run(*words, "--dim", "batch=2", "--dim", "past=0", "--cost", "MyOp=1")
    assert code == 2
    assert "no size for p[1]" in output
    assert "on the command line --dim 'p[1]=1'" in output
    code, output = run(*words, *sizes, "--dim", "x[0]=3", "--cost", "MyOp=1")
    assert code == 2
    assert "dimensions['x[0]']: got 3, expected 2" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dim", "batch=-1"], "--dim: got '-1', expected a whole number >= 0"),
        (["--dim", "batch"], "--dim: got 'batch', expected NAME=VALUE"),
        (["--cost", "MyOp=x"], "--cost: got 'MyOp=x', expected a cost such as"),
        (["--cost", "MyOp=1", "--cost", "MyOp=2"], "--cost: got 'MyOp=2', expected every operator once"),
    ],
)
def test_options_that_cannot_be_read_are_refused(file, options, message):
    code, output = run("solve", file, "-p", "pi4-wifi-nx-wan-t4", *options)
    assert code == 2
    assert message in output


def test_costs_go_with_an_onnx_file():
    code, output = run("solve", "squeezenet", "-p", "pi4-wifi-nx-wan-t4", "--cost", "MyOp=1")
    assert (code, "--cost: goes with an ONNX file" in output) == (2, True)
