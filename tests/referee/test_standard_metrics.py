"""Every metric of the list is defined by the referee, compiled to that, and limited by the constraint that it names."""

import pytest
from brute_force import judged_plans
from builders import layer, link, network, platform, problem, tensor

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.problem.constraints import KINDS
from dnnopt.problem.metrics import STANDARD
from dnnopt.problem.objectives import limit_on
from dnnopt.referee.metrics import DEFINITIONS


def small(minimize, subject_to=()):
    net = network(
        [layer(name, 1, 1) for name in "abc"],
        [tensor("t", "a", "b c", 3, sensitivity=1.0), tensor("u", "b", "c", 2, sensitivity=0.5)],
    )
    devices = [dp.Device(name="p", trusted=True, price=1.0), dp.Device(name="q", trusted=False, price=2.0)]
    on = platform(devices, [link("w", trusted=True), link("v", trusted=True)], {"p>q": "w v", "q>p": "w"})
    times = {"a": (1, 2), "b": (2, 1), "c": (1, 2)}
    lost = {"loss": {"net": {"a": {"p": 0.1}, "b": {"q": 0.2}}}}
    one = problem(net, on, times, minimize=minimize, energies=times)
    return one.replace(subject_to=subject_to, profile=one.profile.replace(**lost))


def test_the_referee_defines_every_standard_metric():
    assert set(DEFINITIONS) == set(STANDARD)


@pytest.mark.parametrize("metric", STANDARD.values(), ids=lambda metric: metric.name)
def test_searches_and_formulations_see_a_metric_as_the_referee_defines_it(metric):
    term = dp.Term(metric=metric.name)
    one = small(term)
    compiled = compile_problem(one)
    evaluator, seen = Evaluator(compiled), set()
    for plan, judged in judged_plans(one):
        value = judged.metrics[metric.name]
        assert judged.objective == value
        assert evaluator.objectives(compiled.placement(plan)[None])[0] == pytest.approx(value, rel=1e-9)
        seen.add(value)
    assert len(seen) > 1
    result = dp.solve(one, threads=1)
    assert (result.status, result.objective) == ("optimal", pytest.approx(min(seen), rel=1e-6))


@pytest.mark.parametrize("metric", STANDARD.values(), ids=lambda metric: metric.name)
def test_a_metric_is_limited_by_the_constraint_that_the_list_names(metric):
    term = dp.Term(metric=metric.name)
    values = {judged.metrics[metric.name] for _, judged in judged_plans(small(term))}
    limit = limit_on(term, sorted(values)[0])
    assert type(limit) is KINDS[metric.limit]
    one = small(term, [limit])
    compiled, feasible = compile_problem(one), set()
    for plan, judged in judged_plans(one):
        assert judged.feasible == (judged.metrics[metric.name] <= limit.limit * (1 + 1e-9))
        assert (Evaluator(compiled).excess(compiled.placement(plan)[None])[0] == 0) == judged.feasible
        feasible.add(judged.feasible)
    assert feasible == {True, False}


def test_the_name_of_an_own_metric_may_be_that_of_a_kind_of_constraint():
    own = dp.Metric(name="memory", layers={"net": {"a": {"p": 1.0}}})
    one = small(dp.latency()).replace(
        metrics=[own], minimize=dp.metric("memory"), subject_to=[dp.metric("memory") <= 0]
    )
    assert dp.solve(one, threads=1).plan.placement["net"]["a"] == "q"
