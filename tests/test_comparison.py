"""`compare` has a row for every method, gaps to the best bound, and the best plan's objective."""

import math

import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor

from dnnopt.comparison import compare
from dnnopt.constraints import Deadline, Memory
from dnnopt.errors import InputError, UnsupportedError
from dnnopt.objectives import latency, period
from dnnopt.referee import evaluate


def two_branches(**fields):
    """Two branches that are fast on different devices: the optimum is no single cut of the order."""
    tensors = [tensor("ta", "a", "b c", 1), tensor("tb", "b", "d", 1), tensor("tc", "c", "d", 1)]
    net = network([layer(name, 2) for name in "abcd"], tensors)
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    return problem(net, on, {"a": (1, 9), "b": (9, 1), "c": (1, 9), "d": (9, 1)}, **fields)


def test_rows_are_the_baselines_auto_and_the_formulations_named():
    found = compare(two_branches(), formulations=["product", "cp-assignment", "product"], threads=1)
    names = [row.name for row in found.rows]
    assert len(set(names)) == len(names)
    assert {"all on p", "all on q", "best single cut", "greedy"} <= set(names)
    assert names[-3:] == ["edgewise+sum (highs)", "product+sum (highs)", "cp-assignment (cpsat)"]
    assert [result.formulation for result in found.results] == ["edgewise+sum", "product+sum", "cp-assignment"]


def test_best_bound_and_gaps_are_of_all_rows_together():
    one = two_branches()
    found = compare(one, formulations=["product"], threads=1)
    best = brute_force(one).objective
    assert found.best == best == 6
    assert found.bound == pytest.approx(best, rel=1e-6)
    assert found.bound == max(result.bound for result in found.results)
    for row in found.rows:
        assert row.gap == pytest.approx((row.objective - found.bound) / row.objective, abs=1e-12)
        assert row.seconds >= 0
    exact = [row for row in found.rows if row.status == "optimal"]
    assert len(exact) == 2
    assert all(row.gap <= 1e-6 for row in exact)
    on_p = next(row for row in found.rows if row.name == "all on p")
    assert (on_p.status, on_p.objective, on_p.violations) == ("feasible", 20, ())
    assert on_p.gap == pytest.approx(14 / 20)


def test_baselines_that_break_a_constraint_say_what_they_break_and_have_no_gap():
    one = two_branches(subject_to=[Memory(limits={"p": 4, "q": 6})])
    found = compare(one, threads=1)
    on_p = next(row for row in found.rows if row.name == "all on p")
    assert (on_p.status, on_p.objective, on_p.gap) == ("infeasible", 20, None)
    assert [violation.constraint for violation in on_p.violations] == ["memory(p)"]
    assert found.best == brute_force(one).objective


def test_an_infeasible_problem_has_neither_best_nor_bound():
    found = compare(two_branches(subject_to=[Deadline(limit=1)]), threads=1)
    assert (found.best, found.bound) == (None, None)
    assert found.rows[-1].status == "infeasible"
    assert found.rows[-1].objective == math.inf
    assert all(row.status == "infeasible" and row.gap is None for row in found.rows)


@pytest.mark.parametrize("execution", ["sequential", "parallel", "scheduled", "pipelined"])
def test_every_execution_can_be_compared(execution):
    minimize = period() if execution == "pipelined" else latency()
    found = compare(two_branches(execution=execution, minimize=minimize), threads=1)
    assert found.best is not None
    assert found.bound == pytest.approx(found.best, rel=1e-6)
    assert len(found.rows) >= 4
    plan = found.results[0].plan
    assert evaluate(found.problem, plan).objective == pytest.approx(found.best)


def test_plain_data_and_text_have_every_row():
    found = compare(two_branches(subject_to=[Memory(limits={"p": 4})]), threads=1)
    data, text = found.to_data(), str(found)
    assert (data["format"], data["version"], data["best"]) == ("dnnopt-comparison", 1, found.best)
    assert [row["method"] for row in data["rows"]] == [row.name for row in found.rows]
    assert any(row["violations"] for row in data["rows"])
    nothing = compare(two_branches(subject_to=[Deadline(limit=1)]), threads=1).to_data()
    assert nothing["rows"][-1]["objective"] is None
    for row in found.rows:
        assert row.name in text


def test_events_are_told_while_it_runs():
    events = []
    compare(two_branches(), watch=events.append, threads=1)
    assert any(event.objective == 6 for event in events)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"formulations": ["magic"]}, InputError),
        ({"formulations": ["edgewise+disjunctive"]}, UnsupportedError),
        ({"time_limit": -1}, InputError),
        ({"gap": -1}, InputError),
    ],
)
def test_bad_input_is_refused(options, error):
    one = two_branches(execution="parallel")
    with pytest.raises(error):
        compare(one, **options)
