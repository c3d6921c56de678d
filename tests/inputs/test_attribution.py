"""Which layers a runtime's nodes stand for: graphs worked by hand."""

from dnnopt.inputs.attribution import Group, Step, groups

CONV, RELU = Step("conv", ("x",), ("c",)), Step("relu", ("c",), ("r",))


def test_nodes_that_make_the_same_values_are_their_layers_whatever_their_names():
    found = groups([CONV, RELU], [Step("a", ("x",), ("c",)), Step("b", ("c",), ("r",))])
    assert found == [Group(("conv",), ("a",)), Group(("relu",), ("b",))]


def test_node_that_makes_the_last_of_fused_layers_stands_for_all_of_them():
    assert groups([CONV, RELU], [Step("fused", ("x",), ("r",))]) == [Group(("conv", "relu"), ("fused",))]


def test_node_that_the_runtime_added_goes_with_the_one_that_reads_it():
    nodes = [Step("reorder", ("x",), ("token",)), Step("conv", ("token",), ("c",)), Step("relu", ("c",), ("r",))]
    assert groups([CONV, RELU], nodes) == [Group(("conv",), ("reorder", "conv")), Group(("relu",), ("relu",))]


def test_layer_whose_result_nobody_else_needs_is_not_taken_from_its_second_reader():
    # c is read by both relu and sum, and the runtime keeps no c: nothing tells the three apart.
    layers = [CONV, RELU, Step("sum", ("c", "r"), ("s",))]
    nodes = [Step("n1", ("x",), ("r",)), Step("n2", ("x", "r"), ("s",))]
    assert groups(layers, nodes) == [Group(("conv", "relu", "sum"), ("n1", "n2"))]


def test_node_of_several_outputs_is_one_layer():
    layers = [Step("split", ("x",), ("a", "b")), Step("relu", ("b",), ("r",))]
    nodes = [Step("split", ("x",), ("a", "b")), Step("relu", ("b",), ("r",))]
    assert groups(layers, nodes) == [Group(("split",), ("split",)), Group(("relu",), ("relu",))]


def test_rewritten_node_that_keeps_its_name_goes_with_the_layer_of_that_name():
    # Two transposes cancel, so that the product makes what the second one made.
    layers = [Step("mul", ("x",), ("m",)), Step("t1", ("m",), ("u",)), Step("t2", ("u",), ("y",))]
    nodes = [Step("mul/rewritten", ("x",), ("y",)), Step("t1", ("y",), ("u",))]
    assert groups(layers, nodes) == [Group(("mul", "t1", "t2"), ("mul/rewritten", "t1"))]


def test_group_grows_until_its_nodes_read_what_its_layers_read():
    # The same under a name of its own: y, which the node makes, is what the second transpose makes of u.
    layers = [Step("pre", ("x",), ("p",)), Step("mul", ("p",), ("m",))]
    layers += [Step("t1", ("m",), ("u",)), Step("t2", ("u",), ("y",))]
    nodes = [Step("pre", ("x",), ("p",)), Step("new", ("p",), ("y",)), Step("t1", ("y",), ("u",))]
    assert groups(layers, nodes) == [Group(("pre",), ("pre",)), Group(("mul", "t1", "t2"), ("new", "t1"))]


def test_layer_that_the_runtime_computes_once_for_two_goes_with_its_twin():
    layers = [Step("a", ("x",), ("u",)), Step("b", ("x",), ("v",)), Step("sum", ("u", "v"), ("s",))]
    nodes = [Step("a", ("x",), ("u",)), Step("sum", ("u",), ("s",))]
    assert groups(layers, nodes) == [Group(("a",), ("a",)), Group(("b", "sum"), ("sum",))]


def test_node_of_no_layer_is_a_group_without_layers():
    nodes = [Step("weights", (), ("w",)), Step("conv", ("x",), ("c",)), Step("relu", ("c",), ("r",))]
    assert groups([CONV, RELU], nodes)[-1] == Group((), ("weights",))
