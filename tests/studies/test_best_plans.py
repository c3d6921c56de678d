"""The K best plans are those that enumeration finds, in order, each proved."""

import json
from collections import Counter

import pytest
from brute_force import feasible_plans
from builders import layer, link, network, platform, problem, tensor
from commands import dnnopt
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.symmetry import canonical, identical_devices
from dnnopt.problem.constraints import Deadline, Memory
from dnnopt.problem.objectives import energy, latency, period
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import write_problem
from dnnopt.referee import evaluate
from dnnopt.studies.ranking import best_plans


def enumerated(one):
    """Return the objectives of all feasible plans, in order; of those with identical devices renamed, one."""
    compiled = compile_problem(one)
    classes = identical_devices(compiled)
    found = {
        tuple(canonical(compiled, compiled.placement(plan), classes).tolist()): objective
        for (objective,), plan in feasible_plans(one)
    }
    return sorted(found.values())


def check(one, k, **options):
    """Assert that the K best plans are those of enumeration."""
    found, expected = best_plans(one, k, threads=1, **options), enumerated(one)
    assert [ranked.objective for ranked in found.plans] == pytest.approx(expected[:k], rel=2e-6)
    assert len({json.dumps(ranked.plan.placement) for ranked in found.plans}) == len(found.plans)
    for ranked in found.plans:
        assert evaluate(one, ranked.plan).feasible
        assert ranked.proved
    if len(expected) < k:
        assert found.exhausted
    return found


def chain(**fields):
    """Three layers one after the other on three devices."""
    tensors = [tensor("t", "a", "b", 2), tensor("u", "b", "c", 1)]
    net = network([layer(name, 2) for name in "abc"], tensors, source="p")
    pairs = {f"{i}>{j}": "w" for i in "pqr" for j in "pqr" if i != j}
    times = {"a": (5, 2, 4), "b": (3, 1, 2), "c": (6, 2, 4)}
    joules = {"a": (1, 4, 2), "b": (1, 4, 2), "c": (2, 3, 1)}
    return problem(net, platform("p q r", [link("w")], pairs), times, energies=joules, **fields)


def test_best_plans_of_random_problems_are_those_of_enumeration():
    seen = Counter()

    # Numbers that spread little, so that values are either the same or further apart than the gap.
    @settings(max_examples=25)
    @given(problems(most_placements=81, largest_spread=0), st.sampled_from((2, 3, 7)))
    def compare(one, k):
        found = check(one, k)
        seen[found.method] += 1
        seen["several"] += len(found.plans) > 1
        seen["exhausted"] += found.exhausted

    check_until(compare, lambda: seen["several"] > 2 and seen["exhausted"])


@pytest.mark.parametrize("formulation", ["edgewise", "product", "cp-assignment"])
def test_every_formulation_ranks_the_plans_of_a_chain(formulation):
    found = check(chain(), 10, formulation=formulation)
    assert found.method.startswith(formulation)


def test_chains_are_ranked_by_dynamic_programming():
    assert check(chain(), 10).method == "chain"
    assert check(chain(), 100).exhausted
    assert check(chain(subject_to=[Memory(limits={"q": 2})]), 10).method.startswith("edgewise")


@pytest.mark.parametrize(("execution", "minimize"), [("parallel", None), ("pipelined", period()), ("scheduled", None)])
def test_other_executions_are_ranked_too(execution, minimize):
    tensors = [tensor("t", "a", "b c", 2), tensor("u", "b", "d", 1), tensor("v", "c", "d", 1)]
    net = network("a b c d", tensors, source="p")
    on = platform("p q", [link("w"), link("r")], {"p>q": "w", "q>p": "r"})
    times = {"a": (1, 9), "b": (4, 2), "c": (4, 3), "d": (1, 8)}
    one = problem(net, on, times, execution=execution, minimize=minimize)
    if execution != "scheduled":
        check(one, 6)
        return
    found = best_plans(one, 6, threads=1)
    values = [ranked.objective for ranked in found.plans]
    assert values == sorted(values)
    assert all(ranked.proved for ranked in found.plans)
    for ranked in found.plans:  # a placement without links to wait for takes what its critical path takes
        parallel = one.replace(execution="parallel")
        assert evaluate(parallel, Plan(placement=ranked.plan.placement)).objective <= ranked.objective + 1e-9


def test_plans_of_chains_under_scheduled_execution_have_schedules():
    found = best_plans(chain(execution="scheduled", minimize=energy()), 4, threads=1)
    assert found.method == "chain"
    assert [ranked.objective for ranked in found.plans] == [3, 4, 4, 4]  # one layer of the best is elsewhere
    assert all(ranked.proved and evaluate(found.problem, ranked.plan).feasible for ranked in found.plans)


@pytest.mark.parametrize("formulation", [None, "cp-assignment"])
def test_plans_that_differ_in_the_names_of_identical_devices_are_one(formulation):
    net = network([layer(name, 2) for name in "abc"], [tensor("t", "a", "b", 1), tensor("u", "b", "c", 3)])
    pairs = {f"{i}>{j}": "w" for i in "pqr" for j in "pqr" if i != j}
    times = {"a": (3,) * 3, "b": (2,) * 3, "c": (1,) * 3}
    one = problem(net, platform("p q r", [link("w")], pairs), times, minimize=latency())
    found = check(one, 10, formulation=formulation)
    assert len(found.plans) == 5  # ways to split three layers into groups
    assert found.exhausted


def test_an_infeasible_problem_has_no_plans():
    found = best_plans(chain(subject_to=[Deadline(limit=1)]), 3, threads=1)
    assert (found.plans, found.exhausted) == ((), True)
    assert str(found) == "no plan is feasible"


def test_without_time_nothing_but_the_best_plan_is_called_proved():
    found = best_plans(chain(subject_to=[Memory(limits={"q": 2})]), 3, time_limit=1e-6, threads=1)
    assert not any(ranked.proved for ranked in found.plans[1:])
    assert not found.exhausted


def test_text_rows_and_data_have_every_plan():
    told = []
    found = best_plans(chain(), 4, threads=1, watch=told.append)
    assert told == list(found.plans)
    data = json.loads(json.dumps(found.to_data()))
    assert [entry["rank"] for entry in data["plans"]] == [1, 2, 3, 4]
    assert [entry["objective"] for entry in data["plans"]] == [ranked.objective for ranked in found.plans]
    assert all(entry["proved"] and entry["placement"]["net"] for entry in data["plans"])
    assert "the 4 best plans, by chain" in str(found)
    assert "P p, Q q, R r" in str(found)


@pytest.mark.parametrize(
    ("k", "options", "part"),
    [
        (0, {}, "k: got 0"),
        (2, {"formulation": "magic"}, "magic"),
        (2, {"solver": "gurobi"}, "gurobi"),
        (2, {"time_limit": 0}, "time_limit"),
    ],
)
def test_bad_input_is_refused(k, options, part):
    with pytest.raises(InputError, match=part):
        best_plans(chain(), k, **options)


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(UnsupportedError, match="several priorities"):
        best_plans(chain(minimize=[latency(), energy().model_copy(update={"priority": 1})]), 2)
    with pytest.raises(UnsupportedError, match="gives a bound"):
        best_plans(chain(execution="scheduled"), 2, formulation="edgewise+modules")


def test_solve_best_prints_a_table_or_json(tmp_path):
    path = tmp_path / "problem.json"
    write_problem(chain(subject_to=[Memory(limits={"q": 2})]), path)

    def best(*words):
        return dnnopt("solve", path, "--best", "3", *words)

    run = best("--json", "-")
    assert run.returncode == 0, run.stderr
    assert len(json.loads(run.stdout)["plans"]) == 3
    assert "the 3 best plans" in best().stdout
    refused = best("--method", "greedy")
    assert (refused.returncode, refused.stderr) == (2, "dnnopt: --method: does not go with --best\n")
