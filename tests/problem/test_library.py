"""Problems of the library: files that name networks and platforms."""

import pytest
from builders import network, tensor

import dnnopt as dp
from dnnopt.problem import library

REFERENCE = {
    "networks": [{"base": "alexnet", "source": "pi", "sink": "pi", "sensitivity_decay": 0.5}],
    "platform": "pi4-lte-t4",
    "execution": "sequential",
    "minimize": [{"metric": "worst_leakage"}],
}


def test_sensitivity_decays_with_the_longest_way_from_the_input():
    tensors = [tensor("x", "input", "a b", 1), tensor("t", "a", "b", 1), tensor("u", "b", "output", 1)]
    found = network("a b", tensors).with_sensitivity(0.5)
    assert [tensor.sensitivity for tensor in found.tensors] == [1.0, 0.5, 0.25]
    scaled = found.with_sensitivity(0.5, input=0.8, tensors={"t": 0})
    assert [tensor.sensitivity for tensor in scaled.tensors] == [0.8, 0.0, 0.2]
    assert [tensor.sensitivity for tensor in found.with_sensitivity(tensors={"u": 1}).tensors] == [1.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("decay", "options", "message"),
    [
        (0, {}, "decay: got 0, expected a number > 0 and <= 1"),
        ("0.9", {}, "decay: got '0.9', expected a number"),
        (0.9, {"input": 2}, "input: got 2, expected a number from 0 to 1"),
        (0.9, {"tensors": {"t": -1}}, "tensors.t: got -1, expected a number from 0 to 1"),
        (0.9, {"tensors": {"z": 1}}, "tensors: got 'z', expected the name of a tensor: t"),
    ],
)
def test_sensitivities_out_of_range_are_refused(decay, options, message):
    with pytest.raises(dp.InputError) as refused:
        network("a b", [tensor("t", "a", "b", 1)]).with_sensitivity(decay, **options)
    assert str(refused.value) == message


def test_a_problem_can_give_a_network_of_the_library_sensitivities():
    one = dp.Problem.from_data(REFERENCE)
    assert one.networks[0].tensors[0].sensitivity == 1.0
    assert one.networks[0] == library.network("alexnet", source="pi", sink="pi").with_sensitivity(0.5)


@pytest.mark.parametrize("value", [0, 1.5, "much", True])
def test_a_decay_that_is_none_is_refused(value):
    data = REFERENCE | {"networks": [REFERENCE["networks"][0] | {"sensitivity_decay": value}]}
    with pytest.raises(dp.InputError, match=r"networks\[0\].sensitivity_decay: got .*, expected (a )?number"):
        dp.Problem.from_data(data)


@pytest.mark.parametrize("name", library.names("problems"))
def test_every_problem_is_read_under_its_own_name_and_says_where_it_comes_from(name):
    problem = dp.load(name)
    assert problem.name == name
    assert problem.provenance
