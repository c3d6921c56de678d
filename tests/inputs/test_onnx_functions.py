"""Functions and branches that are written out: names, attributes, versions, and limits of what they become."""

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper
from onnx_models import floats, integers, model, node

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.functions import MOST_NODES

FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


def function(name, inputs, outputs, nodes, *, opset=17, attributes=(), defaults=(), domains=("mine",)):
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_function("mine", name, inputs, outputs, nodes, imports, attributes, defaults)


def call(function, inputs, outputs, **attributes):
    return node(function, inputs, outputs, domain="mine", **attributes)


def made(nodes, inputs, outputs, functions, weights=None, opset=17):
    return model(nodes, inputs, outputs, weights, opset=opset, domains=["mine"], functions=functions)


def graph(nodes, *outputs, weights=()):
    results = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    return helper.make_graph(nodes, "branch", [], results, weights)


def ops(network):
    return [layer.op for layer in network.layers]


def test_calls_get_values_and_layers_of_their_own(read_model):
    twice = function("Twice", ["a"], ["r"], [node("Add", ["a", "a"], ["s"], name="sum"), node("Relu", ["s"], ["r"])])
    nodes = [call("Twice", ["x"], ["h"], name="first"), call("Twice", ["h"], ["y"], name="second")]
    network = read_model(made(nodes, {"x": [3, 4]}, ["y"], [twice]))
    assert [layer.name for layer in network.layers] == ["first.sum", "relu1", "second.sum", "relu2"]
    assert [tensor.name for tensor in network.tensors] == ["x", "s", "h", "s__1", "y"]
    assert [layer.flops for layer in network.layers] == [12, 12, 12, 12]


def test_names_inside_a_function_are_not_those_of_the_graph(read_model):
    inner = function("F", ["a"], ["b"], [node("Relu", ["a"], ["h"]), node("Exp", ["h"], ["b"])])
    nodes = [node("Neg", ["x"], ["h"]), call("F", ["h"], ["a"]), node("Add", ["a", "h"], ["b"])]
    network = read_model(made(nodes, {"x": [3]}, ["b"], [inner]))
    assert [(tensor.name, tensor.consumers) for tensor in network.tensors][1:] == [
        ("h", ("relu1", "add1")),
        ("h__1", ("exp1",)),
        ("a", ("add1",)),
        ("b", ("output",)),
    ]


def test_functions_call_functions_and_may_leave_inputs_out(read_model):
    inner = function("Inner", ["a", "low", "high"], ["b"], [node("Clip", ["a", "low", "high"], ["b"])])
    outer = function("Outer", ["a"], ["b"], [call("Inner", ["a"], ["t"]), node("Relu", ["t"], ["b"])])
    network = read_model(made([call("Outer", ["x"], ["y"])], {"x": [3]}, ["y"], [outer, inner]))
    assert ops(network) == ["Clip", "Relu"]


def test_attributes_are_those_of_the_call_or_the_functions_defaults(read_model):
    def flatten(name):
        reference = node("Flatten", ["a"], ["b"])
        reference.attribute.append(AttributeProto(name="axis", ref_attr_name=name, type=AttributeProto.INT))
        return reference

    own = function("Own", ["a"], ["b"], [flatten("cut"), node("Relu", ["b"], ["c"])][:1], attributes=["cut"])
    default = function("Default", ["a"], ["b"], [flatten("cut")], defaults=[helper.make_attribute("cut", 3)])
    head = {"w": floats(6, 5), "v": floats(1, 7)}
    nodes = [call("Own", ["x"], ["f"], cut=2), node("MatMul", ["f", "w"], ["h"])]
    assert read_model(made(nodes, {"x": [2, 1, 3, 2]}, ["h"], [own], head)).layers[1].flops == 2 * 2 * 5 * 6
    nodes = [call("Own", ["x"], ["f"]), node("MatMul", ["f", "w"], ["h"])]  # left out: the operator's own default, 1
    assert read_model(made(nodes, {"x": [2, 1, 3, 2]}, ["h"], [own], head)).layers[1].flops == 2 * 2 * 5 * 6
    nodes = [call("Default", ["x"], ["f"]), node("MatMul", ["f", "v"], ["h"])]
    assert read_model(made(nodes, {"x": [2, 5, 3, 1]}, ["h"], [default], head)).layers[1].flops == 2 * 30 * 7


def test_input_that_a_function_hands_on_is_the_same_value(read_model):
    both = function("Both", ["a"], ["a", "b", "b2"], [node("Relu", ["a"], ["b"]), node("Neg", ["b"], ["b2"])])
    nodes = [call("Both", ["x"], ["same", "r"]), node("Add", ["same", "r"], ["y"])]
    network = read_model(made(nodes, {"x": [3]}, ["y"], [both]))
    assert [(tensor.name, tensor.consumers) for tensor in network.tensors] == [
        ("x", ("relu1", "add1")),
        ("r", ("add1",)),
        ("y", ("output",)),
    ]


def test_a_function_is_read_by_its_own_operator_set(read_model):
    # Squeeze and ReduceSum have attributes in 11 and inputs in 17; Upsample is in neither 10 nor later.
    older = function(
        "Older",
        ["a"],
        ["b"],
        [node("Squeeze", ["a"], ["s"], axes=[1]), node("ReduceSum", ["s"], ["b"], axes=[0])],
        opset=11,
    )
    newer = [call("Older", ["x"], ["h"]), node("Unsqueeze", ["h", "axes"], ["y"])]
    network = read_model(made(newer, {"x": [4, 1, 5]}, ["y"], [older], {"axes": integers(0)}))
    assert (ops(network), network.tensors[-1].bytes) == (["Squeeze", "ReduceSum", "Unsqueeze"], 4 * 1 * 5)
    upsample = function("Up", ["a"], ["b"], [node("Upsample", ["a"], ["b"], scales=[1.0, 1.0, 2.0, 3.0])], opset=7)
    network = read_model(made([call("Up", ["x"], ["y"])], {"x": [1, 1, 4, 4]}, ["y"], [upsample], opset=20))
    assert network.tensors[-1].bytes == 4 * 8 * 12


def test_function_of_a_newer_operator_set_than_the_models(read_model):
    newer = function("F", ["a"], ["b"], [node("Gelu", ["a"], ["b"])], opset=20)
    assert ops(read_model(made([call("F", ["x"], ["y"])], {"x": [4]}, ["y"], [newer], opset=11))) == ["Gelu"]


@pytest.mark.parametrize("flag", [True, False])
def test_if_with_a_constant_condition_is_its_branch(read_model, flag):
    branches = {
        "then_branch": graph([node("Relu", ["x"], ["r"]), node("Neg", ["r"], ["then"])], "then"),
        "else_branch": graph([node("Exp", ["x"], ["r"])], "r"),
    }
    nodes = [node("If", ["flag"], ["h"], **branches), node("Abs", ["h"], ["y"])]
    network = read_model(nodes, {"x": [3]}, ["y"], {"flag": np.array(flag)})
    assert ops(network) == (["Relu", "Neg", "Abs"] if flag else ["Exp", "Abs"])


def test_condition_may_follow_from_shapes(read_model):
    branches = {
        "then_branch": graph([node("Squeeze", ["x"], ["t"], axes=[1])], "t"),
        "else_branch": graph([node("Identity", ["x"], ["e"])], "e"),
    }
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "one"], ["width"]),
        node("Equal", ["width", "one"], ["flag"]),
        node("If", ["flag"], ["h"], **branches),
        node("Relu", ["h"], ["y"]),
    ]
    for width, expected in ((1, ["Squeeze", "Relu"]), (2, ["Relu"])):
        network = read_model(nodes, {"x": [4, width, 5]}, ["y"], {"one": np.array(1)}, opset=11)
        assert ops(network) == expected
        assert network.tensors[-1].bytes == 4 * 4 * width * 5


def test_branches_have_weights_and_branches_of_their_own(read_model):
    inner = {
        "then_branch": graph([node("MatMul", ["r", "w"], ["t"])], "t"),
        "else_branch": graph([node("Identity", ["r"], ["e"])], "e"),
    }
    weight = helper.make_tensor("w", FLOAT, [3, 2], [0.0] * 6)
    outer = {
        "then_branch": graph([node("Relu", ["x"], ["r"]), node("If", ["flag"], ["t"], **inner)], "t", weights=[weight]),
        "else_branch": graph([node("Identity", ["x"], ["e"])], "e"),
    }
    nodes = [node("If", ["flag"], ["h"], **outer), node("If", ["flag"], ["g"], **outer), node("Add", ["h", "g"], ["y"])]
    network = read_model(nodes, {"x": [4, 3]}, ["y"], {"flag": np.array(True)})
    assert ops(network) == ["Relu", "MatMul", "Relu", "MatMul", "Add"]
    assert [layer.weights for layer in network.layers] == [0, 24, 0, 24, 0]


def test_branch_in_a_function_sees_the_calls_values(read_model):
    choose = function(
        "Choose",
        ["a", "flag"],
        ["b"],
        [
            node(
                "If",
                ["flag"],
                ["b"],
                then_branch=graph([node("Relu", ["a"], ["a2"])], "a2"),
                else_branch=graph([], "a"),
            )
        ],
    )
    nodes = [call("Choose", ["x", "yes"], ["a"]), call("Choose", ["a", "no"], ["a2"]), node("Neg", ["a2"], ["y"])]
    network = read_model(made(nodes, {"x": [3]}, ["y"], [choose], {"yes": np.array(True), "no": np.array(False)}))
    assert ops(network) == ["Relu", "Neg"]


def test_dead_nodes_may_be_anything(read_model):
    nodes = [
        node("Relu", ["x"], ["y"]),
        node("If", ["flag"], ["z"], then_branch=graph([], "x"), else_branch=graph([], "x")),
        node("NoSuchOperator", ["x"], ["u"], domain="nowhere"),
        node("MatMul", ["x", "x"], ["v"]),
        node("Add", ["v", "ghost"], ["w"]),
        node("NonZero", ["x"], ["n"]),
    ]
    network = read_model(nodes, {"x": [3, 4], "flag": ([], BOOL), "idle": ["unset", 2]}, ["y"])
    assert ops(network) == ["Relu"]


def test_the_branch_that_is_not_taken_may_be_anything(read_model):
    branches = {
        "then_branch": graph([node("Relu", ["x"], ["r"])], "r"),
        "else_branch": graph([node("MatMul", ["x", "x"], ["m"])], "m"),
    }
    nodes = [node("If", ["flag"], ["y"], **branches)]
    assert ops(read_model(nodes, {"x": [3, 4]}, ["y"], {"flag": np.array(True)})) == ["Relu"]
    with pytest.raises(InputError, match=r"the shapes at MatMul \(of 'm'\) do not fit"):
        read_model(nodes, {"x": [3, 4]}, ["y"], {"flag": np.array(False)})


def test_malformed_branches_are_refused(read_model):
    nodes = [node("If", ["flag"], ["y"], then_branch=graph([], "x"))]
    with pytest.raises(InputError, match="malformed, expected a graph else_branch without inputs and with 1 outputs"):
        read_model(nodes, {"x": [3]}, ["y"], {"flag": np.array(False)})


@pytest.mark.parametrize("loop", [("F",), ("F", "G"), ("F", "G", "H")])
def test_functions_that_call_themselves_are_refused(read_model, loop):
    functions = [
        function(name, ["a"], ["b"], [call(loop[(position + 1) % len(loop)], ["a"], ["b"])])
        for position, name in enumerate(loop)
    ]
    with pytest.raises(InputError, match=r"the function mine:\w calls itself, by way of mine:\w"):
        read_model(made([call("F", ["x"], ["y"])], {"x": [3]}, ["y"], functions))


def doubling(levels):
    """F0 is one node, and each further function calls the one before twice."""
    functions = [function("F0", ["a"], ["b"], [node("Relu", ["a"], ["b"])])]
    for level in range(1, levels):
        body = [call(f"F{level - 1}", ["a"], ["t"]), call(f"F{level - 1}", ["t"], ["b"])]
        functions.append(function(f"F{level}", ["a"], ["b"], body))
    return made([call(f"F{levels - 1}", ["x"], ["y"])], {"x": [3]}, ["y"], functions)


def test_functions_that_become_too_many_nodes_are_refused_before_they_are_written_out(read_model):
    with pytest.raises(InputError, match=rf"got {2**59}, expected at most {MOST_NODES:,} nodes once its functions"):
        read_model(doubling(60))
    with pytest.raises(InputError, match="expected at most"):
        read_model(doubling(5000))


def test_large_functions_are_read_where_that_is_allowed(read_model, monkeypatch):
    monkeypatch.setattr("dnnopt.inputs.onnx.functions.MOST_NODES", 15)
    with pytest.raises(InputError, match=r"graph: got 16, expected at most 15 nodes once .*--allow-large"):
        read_model(doubling(5))
    assert len(read_model(doubling(5), options={"allow_large": True}).layers) == 16


def test_constants_in_functions_count_as_often_as_they_are_written_out(read_model, monkeypatch):
    constant = node("Constant", [], ["c"], value=helper.make_tensor("c", FLOAT, [100], [0.0] * 100))
    add = function("Add100", ["a"], ["b"], [constant, node("Add", ["a", "c"], ["b"])])
    chain = made([call("Add100", [f"t{i}"], [f"t{i + 1}"]) for i in range(9)], {"t0": [100]}, ["t9"], [add])
    assert sum(layer.weights for layer in read_model(chain).layers) == 3600
    monkeypatch.setattr("dnnopt.inputs.onnx.functions.MOST_ADDED", 3000)
    with pytest.raises(InputError, match="expected at most 3,000 more bytes once its functions are written out"):
        read_model(chain)


def test_calls_with_more_than_a_function_has_are_refused(read_model):
    one = function("One", ["a"], ["b"], [node("Relu", ["a"], ["b"])])
    with pytest.raises(InputError, match="the function One is called with more, expected at most 1 inputs"):
        read_model(made([call("One", ["x", "x"], ["y"])], {"x": [3]}, ["y"], [one]))


def test_values_that_no_node_of_a_function_makes_are_not_taken_from_around_it(read_model):
    odd = function("Odd", ["a"], ["b"], [node("Add", ["a", "x"], ["b"])])
    with pytest.raises(InputError, match="has the name 'x__1' \\(for Add"):
        read_model(made([call("Odd", ["x"], ["y"])], {"x": [3]}, ["y"], [odd]))


def test_operator_sets_before_the_first_are_refused(read_model):
    early = made(
        [call("F", ["x"], ["y"])], {"x": [4]}, ["y"], [function("F", ["a"], ["b"], [node("Relu", ["a"], ["b"])])]
    )
    early.opset_import[0].version = -(2**31)
    with pytest.raises(InputError, match=r"opset_import of .ai.onnx.: got -2147483648, expected a version >= 0"):
        read_model(early)
