"""Every kind of constraint is enforced, or refused by name, by everything that handles problems."""

from typing import get_args

import pytest
from brute_force import judged_plans
from builders import layer, link, network, platform, problem, tensor

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.formulations import registry
from dnnopt.methods.solving import formulate
from dnnopt.problem import constraints as c
from dnnopt.problem.custom import Metric
from dnnopt.problem.objectives import latency, period
from dnnopt.problem.platforms import Device
from dnnopt.referee.violations import CHECKS

# One constraint of every kind, which some plans break and others keep, and the label that names it.
KINDS = {
    c.Memory: (c.Memory(limits={"p": 1}), "memory(p)"),
    c.Deadline: (c.Deadline(limit=5), "deadline(net)"),
    c.Bandwidth: (c.Bandwidth(link="w", limit=2), "bandwidth(w)"),
    c.Energy: (c.Energy(limit=4), "energy"),
    c.Cost: (c.Cost(limit=6), "cost"),
    c.Traffic: (c.Traffic(limit=2), "traffic"),
    c.Leakage: (c.Leakage(limit=0.5), "leakage"),
    c.WorstLeakage: (c.WorstLeakage(limit=0.5), "worst_leakage"),
    c.AccuracyLoss: (c.AccuracyLoss(limit=0.15), "accuracy_loss"),
    c.MetricLimit: (c.MetricLimit(metric="own", limit=0.5), "metric(own)"),
    c.Utilisation: (c.Utilisation(limit=0.3), "utilisation(p)"),
    c.Placement: (c.Placement(network="net", layer="a", allowed=("p",)), "placement(net.a)"),
    c.Colocate: (c.Colocate(network="net", layers=("a", "b")), "colocate(net:a,b)"),
    c.Separate: (c.Separate(network="net", layers=("a", "b")), "separate(net:a,b)"),
    c.Contiguous: (c.Contiguous(), "contiguous"),
    c.MonotoneTiers: (c.MonotoneTiers(), "monotone_tiers"),
    c.MaxDevices: (c.MaxDevices(limit=1), "max_devices"),
    c.MaxCuts: (c.MaxCuts(limit=1), "max_cuts"),
}


def small(execution="sequential", minimize=None, subject_to=()):
    tensors = [tensor("t", "a", "b", 3, sensitivity=1.0), tensor("u", "b", "c", 2, sensitivity=0.5)]
    net = network([layer(name, 1, 1) for name in "abc"], tensors, rate=0.1)
    devices = [
        Device(name="p", tier="end", trusted=True, power=1.0, price=1.0),
        Device(name="q", tier="cloud", trusted=False, power=1.0, price=2.0),
    ]
    on = platform(devices, [link("w", trusted=True)], {"p>q": "w", "q>p": "w"})
    one = problem(net, on, {"a": (1, 2), "b": (2, 1), "c": (1, 2)}, execution, minimize)
    own = Metric(name="own", layers={"net": {"a": {"p": 1}}})
    lost = one.profile.replace(loss={"net": {"a": {"p": 0.1, "q": 0.2}}})
    return one.replace(metrics=[own], profile=lost, subject_to=subject_to)


def test_the_table_has_every_kind_of_constraint_once():
    assert set(KINDS) == set(get_args(c.Constraint))


def test_the_referee_checks_every_kind():
    assert set(CHECKS) == set(KINDS)


@pytest.mark.parametrize("execution", ["sequential", "parallel", "pipelined"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_evaluator_judges_every_kind_as_the_referee_does(kind, execution):
    one = small(execution, subject_to=[KINDS[kind][0]])
    compiled, seen = compile_problem(one), set()
    for plan, judged in judged_plans(one):
        assert (Evaluator(compiled).excess(compiled.placement(plan)[None])[0] == 0) == judged.feasible
        seen.add(judged.feasible)
    assert seen == {True, False}


@pytest.mark.parametrize("execution", ["sequential", "parallel", "pipelined", "scheduled"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_formulation_builds_every_kind_or_refuses_it_by_name(kind, execution):
    constraint, label = KINDS[kind]
    free = compile_problem(small(execution))
    compiled = compile_problem(small(execution, subject_to=[constraint]))
    able = registry.supporting(compiled)
    for name in registry.supporting(free):
        if name in able:
            model = registry.formulation(name, compiled).build(compiled)
            assert model.summary()
            assert {type(part) for part in compiled.constraints} <= registry.find(name).scope.enforces
        else:
            with pytest.raises(UnsupportedError) as error:
                registry.formulation(name, compiled)
            assert label in str(error.value)
            assert all(other in str(error.value) for other in able)


@pytest.mark.parametrize("name", registry.names())
def test_scheduled_execution_is_supported_or_refused_by_name(name):
    compiled = compile_problem(small("scheduled"))
    if name in registry.supporting(compiled):
        return
    with pytest.raises(UnsupportedError, match=r"scheduled|the timing, which needs") as error:
        registry.formulation(name, compiled)
    assert all(other in str(error.value) for other in registry.supporting(compiled))


def test_a_formulation_without_the_timing_that_is_needed_names_those_with_it():
    with pytest.raises(UnsupportedError) as error:
        formulate(small("parallel"), "product+sum")
    assert str(error.value).startswith("formulation 'product+sum' does not support latency under parallel execution")
    assert "edgewise+potentials" in str(error.value)
    with pytest.raises(UnsupportedError, match=r"'product\+sum' does not support the objective period; these do: "):
        formulate(small("pipelined", period()), "product+sum")


def test_the_default_timing_is_the_one_that_the_problem_needs():
    for execution, minimize, timing in (
        ("sequential", latency(), "sum"),
        ("pipelined", period(), "period"),
        ("parallel", latency(), "potentials"),
    ):
        compiled = compile_problem(small(execution, minimize))
        assert registry.formulation("edgewise", compiled).name == f"edgewise+{timing}"


def test_an_unknown_formulation_is_refused_with_the_names_of_all():
    with pytest.raises(InputError) as error:
        registry.formulation("edgy", compile_problem(small()))
    assert all(name in str(error.value) for name in registry.names())


@pytest.mark.parametrize("kind", [c.Colocate, c.Separate, c.Contiguous])
def test_an_empty_group_of_layers_is_refused(kind):
    with pytest.raises(InputError, match=r"layers: got .*, expected a list of at least 1"):
        kind(network="net", layers=())
