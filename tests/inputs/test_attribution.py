"""Which layers a runtime's nodes stand for: graphs worked by hand."""

from dnnopt.inputs.attribution import Operation, SameWork, same_work

CONV, RELU = Operation("conv", ("x",), ("c",)), Operation("relu", ("c",), ("r",))


def test_nodes_that_make_the_same_values_are_their_layers_whatever_their_names():
    found = same_work([CONV, RELU], [Operation("a", ("x",), ("c",)), Operation("b", ("c",), ("r",))])
    assert found == [SameWork(("conv",), ("a",)), SameWork(("relu",), ("b",))]


def test_node_that_makes_the_last_of_fused_layers_stands_for_all_of_them():
    assert same_work([CONV, RELU], [Operation("fused", ("x",), ("r",))]) == [SameWork(("conv", "relu"), ("fused",))]


def test_node_that_the_runtime_added_goes_with_the_one_that_reads_it():
    nodes = [
        Operation("reorder", ("x",), ("token",)),
        Operation("conv", ("token",), ("c",)),
        Operation("relu", ("c",), ("r",)),
    ]
    assert same_work([CONV, RELU], nodes) == [SameWork(("conv",), ("reorder", "conv")), SameWork(("relu",), ("relu",))]


def test_layer_whose_result_nobody_else_needs_is_not_taken_from_its_second_reader():
    # c is read by both relu and sum, and the runtime keeps no c: nothing tells the three apart.
    layers = [CONV, RELU, Operation("sum", ("c", "r"), ("s",))]
    nodes = [Operation("n1", ("x",), ("r",)), Operation("n2", ("x", "r"), ("s",))]
    assert same_work(layers, nodes) == [SameWork(("conv", "relu", "sum"), ("n1", "n2"))]


def test_node_of_several_outputs_is_one_layer():
    layers = [Operation("split", ("x",), ("a", "b")), Operation("relu", ("b",), ("r",))]
    nodes = [Operation("split", ("x",), ("a", "b")), Operation("relu", ("b",), ("r",))]
    assert same_work(layers, nodes) == [SameWork(("split",), ("split",)), SameWork(("relu",), ("relu",))]


def test_rewritten_node_that_keeps_its_name_goes_with_the_layer_of_that_name():
    # Two transposes cancel, so that the product makes what the second one made.
    layers = [Operation("mul", ("x",), ("m",)), Operation("t1", ("m",), ("u",)), Operation("t2", ("u",), ("y",))]
    nodes = [Operation("mul/rewritten", ("x",), ("y",)), Operation("t1", ("y",), ("u",))]
    assert same_work(layers, nodes) == [SameWork(("mul", "t1", "t2"), ("mul/rewritten", "t1"))]


def test_group_grows_until_its_nodes_read_what_its_layers_read():
    # The same under a name of its own: y, which the node makes, is what the second transpose makes of u.
    layers = [Operation("pre", ("x",), ("p",)), Operation("mul", ("p",), ("m",))]
    layers += [Operation("t1", ("m",), ("u",)), Operation("t2", ("u",), ("y",))]
    nodes = [Operation("pre", ("x",), ("p",)), Operation("new", ("p",), ("y",)), Operation("t1", ("y",), ("u",))]
    assert same_work(layers, nodes) == [SameWork(("pre",), ("pre",)), SameWork(("mul", "t1", "t2"), ("new", "t1"))]


def test_layer_that_the_runtime_computes_once_for_two_goes_with_its_twin():
    layers = [Operation("a", ("x",), ("u",)), Operation("b", ("x",), ("v",)), Operation("sum", ("u", "v"), ("s",))]
    nodes = [Operation("a", ("x",), ("u",)), Operation("sum", ("u",), ("s",))]
    assert same_work(layers, nodes) == [SameWork(("a",), ("a",)), SameWork(("b", "sum"), ("sum",))]


def test_node_of_no_layer_is_a_group_without_layers():
    nodes = [Operation("weights", (), ("w",)), Operation("conv", ("x",), ("c",)), Operation("relu", ("c",), ("r",))]
    assert same_work([CONV, RELU], nodes)[-1] == SameWork((), ("weights",))
