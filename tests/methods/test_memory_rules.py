"""Two memory constraints with rules and limits of their own: the report, the rows and the plan keep them apart."""

import pytest
from builders import layer, network, plan, problem, tensor

import dnnopt as dp
from dnnopt.base.console import as_text
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.result import placement_table
from dnnopt.problem.constraints import memory
from dnnopt.problem.platforms import Device
from dnnopt.referee import evaluate

MB = 1e6
NET = network(
    [layer("a", weights=3 * MB, activations=4 * MB), layer("b", weights=2 * MB, activations=1 * MB)],
    [tensor("ab", "a", "b", 1)],
)
ON = [Device(name="pi", memory=64 * MB), Device(name="nx", memory=None)]
WEIGHTS, BOTH = memory(limits={"pi": 6 * MB}), memory("weights+activations", limits={"pi": 16 * MB})
HERE = plan("a:pi b:pi")


def two_rules(*listed):
    return problem(NET, dp.Platform(devices=ON), {"a": (1, 2), "b": (1, 2)}, subject_to=listed)


def shown(one):
    text = as_text(lambda console: console.print(placement_table(one, HERE, evaluate(one, HERE))))
    return next(line for line in text.splitlines() if line.strip().startswith("pi"))


def test_the_report_shows_bytes_and_limit_by_the_same_rule_the_fullest_one():
    for listed in ((WEIGHTS, BOTH), (BOTH, WEIGHTS)):
        assert "5 MB of 6 MB" in shown(two_rules(*listed))  # 10 of 16 is less
    tighter = memory("weights+activations", limits={"pi": 11 * MB})
    assert "10 MB of 11 MB" in shown(two_rules(WEIGHTS, tighter))


def test_a_device_without_a_limit_shows_its_bytes_alone():
    assert evaluate(two_rules(WEIGHTS), HERE).memory == {"pi": (5 * MB, 6 * MB)}
    assert " of " not in shown(two_rules())


def test_a_limit_of_nothing_is_the_fullest_where_anything_is_held():
    nothing = memory("weights+largest_activation", limits={"pi": 0})
    assert evaluate(two_rules(WEIGHTS, nothing), HERE).memory == {"pi": (9 * MB, 0)}


@pytest.mark.parametrize("name", ["edgewise", "cp-assignment"])
def test_their_variables_and_rows_have_names_of_their_own(name):
    peaks = [memory("weights+largest_activation", limits={"pi": size * MB}) for size in (20, 30)]
    compiled = compile_problem(two_rules(*peaks))
    model = registry.formulation(name, compiled).build(compiled)
    names = [block.name for block in model.variables]
    assert len(set(names)) == len(names)
    assert {"peak(pi)", "peak2(pi)"} <= set(names)
    assert [one.label for one in compiled.constraints] == ["memory(pi)", "memory2(pi)"]
