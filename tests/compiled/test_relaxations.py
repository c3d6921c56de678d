"""Bounds never exceed the optimum, optimal plans satisfy every model, and a grid of time gives a bound or a plan."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from builders import network, platform, problem, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduled_optimum import scheduled, scheduled_optimum

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.precedence import fork_joins, reachability
from dnnopt.compiled.scaling import all_on_one
from dnnopt.compiled.scheduling import plan_of
from dnnopt.formulations import registry
from dnnopt.methods.formulated import default_solver, run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers import highs
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.objectives import cost, latency, leakage, period, traffic
from dnnopt.referee import evaluate

ONE_THREAD = Limits(threads=1)
SLACK = 1e-6


def solved(drawn, name, cap=np.inf):
    """Return compiled problem, formulation, model and outcome; None where the formulation does not support it."""
    compiled = replace(compile_problem(drawn), cap=cap)
    if name not in registry.supporting(compiled):
        return None
    formulation = registry.formulation(name, compiled)
    model = formulation.build(compiled)
    return compiled, formulation, model, highs.solve(model, ONE_THREAD, None, Control())


def test_module_cuts_and_loads_never_exceed_the_optimum():
    @settings(max_examples=60)
    @given(scheduled(most_placements=100, largest_spread=2))
    def check(drawn):
        best = scheduled_optimum(drawn)
        for communication in ("product", "edgewise", "boundary", "treewise"):
            found = solved(drawn, f"{communication}+modules")
            if found is not None and best is not None:
                _, _, model, outcome = found
                assert outcome.status == "optimal", communication
                assert outcome.bound * model.objective_unit <= best + SLACK * abs(best), communication

    check()


def test_linear_relaxations_never_exceed_the_optimum():
    @settings(max_examples=60)
    @given(scheduled(most_placements=100, largest_spread=2))
    def check(drawn):
        best = scheduled_optimum(drawn)
        compiled = replace(compile_problem(drawn), cap=np.inf if best is None else best + SLACK * abs(best))
        for name in ("edgewise+disjunctive", "product+disjunctive", "edgewise+modules"):
            if best is not None and name in registry.supporting(compiled):
                model = registry.formulation(name, compiled).build(compiled)
                outcome = highs.relaxation(model, ONE_THREAD)
                assert outcome.status == "optimal", name
                assert outcome.objective * model.objective_unit <= best + SLACK * abs(best), name

    check()


def breach(model, encoded):
    """Return by how much the values of all variables break a constraint model, and where."""
    values = encoded.astype(np.int64)
    worst = [(max(low - v, v - high), "bounds") for low, v, high in zip(model.lower, values, model.upper, strict=True)]
    worst += [(abs(values[row].sum() - 1), "exactly one") for rows in model.exactly_one for row in rows]
    for clauses in model.clauses:
        true = np.where(clauses.positive, values[clauses.columns], 1 - values[clauses.columns])
        worst += [(1 - one, clauses.name) for one in true.max(axis=1, initial=0)]
    for row in model.linear:
        activity = row.coefficients @ values[row.columns]
        worst += [(row.lower - activity, row.name)] if row.lower is not None else []
        worst += [(activity - row.upper, row.name)] if row.upper is not None else []
    for rows in model.rows:
        activity = (rows.coefficients * values[rows.columns]).sum(axis=1)
        on = values[rows.literals].all(axis=1)
        worst += [(one, rows.name) for one in (rows.lower - activity)[on]] if rows.lower is not None else []
        worst += [(one, rows.name) for one in (activity - rows.upper)[on]] if rows.upper is not None else []
    spans = [
        (values[start], values[start] + size, bool(values[presence]))
        for block in model.intervals
        for start, size, presence in zip(block.start, block.size, block.presence, strict=True)
    ]
    for no_overlap in model.no_overlaps:
        busy = sorted(spans[index][:2] for index in no_overlap.intervals if spans[index][2])
        worst += [(first[1] - second[0], no_overlap.name) for first, second in pairwise(busy)]
    return max(worst)


@settings(max_examples=80)
@given(scheduled(most_placements=800, largest_spread=2))
def test_plans_satisfy_the_models_that_they_start(drawn):
    compiled = compile_problem(drawn)
    for placement in all_on_one(compiled):
        judged = evaluate(drawn, plan_of(compiled, placement))
        if not judged.feasible:
            continue
        capped = replace(compiled, cap=judged.objective)
        for name in registry.supporting(compiled):
            if name.endswith(("+modules", "+disjunctive")):
                formulation = registry.formulation(name, capped)
                model = formulation.build(capped)
                values = formulation.encode(capped, model, placement)
                assert model.arrays().worst_violation(values) <= SLACK
                objective = (model.arrays().cost @ values + model.arrays().offset) * model.objective_unit
                assert objective == pytest.approx(judged.objective, rel=1e-6, abs=1e-9 * model.objective_unit)
            elif name == "cp-schedule":
                formulation = registry.formulation(name, capped)
                model = formulation.build(capped)
                assert breach(model, formulation.encode(capped, model, placement))[0] <= 0


@settings(max_examples=15)
@given(scheduled(most_placements=32, largest_spread=1))
def test_rounding_down_on_a_grid_of_time_gives_a_bound(drawn):
    best = scheduled_optimum(drawn)
    found = solved(drawn, "edgewise+time-indexed", np.inf if best is None else 1.2 * best)
    if found is not None and best is not None:
        _, _, model, outcome = found
        assert outcome.status == "optimal"
        assert outcome.bound * model.objective_unit <= best + SLACK * abs(best)


@settings(max_examples=30)
@given(scheduled(most_placements=27, largest_spread=1), st.sampled_from((cost(), leakage(), traffic(), period())))
def test_timings_give_bounds_where_no_latency_is_asked_for(drawn, objective):
    one = drawn.replace(minimize=objective, subject_to=())
    compiled, best = compile_problem(one), scheduled_optimum(one)
    for name in registry.supporting(compiled, "milp"):
        if best is not None and name.partition("+")[0] == "edgewise" and not name.endswith("-plan"):
            _, _, model, outcome = solved(one, name)
            assert outcome.status == "optimal"
            assert outcome.bound * model.objective_unit <= best + SLACK * abs(best)


@pytest.mark.parametrize("objective", [latency(), cost(), period()])
@pytest.mark.parametrize("name", ["edgewise+time-indexed", "edgewise+time-indexed-plan"])
def test_multicast_to_several_layers_on_a_grid_of_time_is_refused_whatever_the_objective(name, objective):
    one = problem(FORK, PAIR, TIMES, "scheduled", objective)
    assert name in registry.supporting(compile_problem(one))
    with pytest.raises(UnsupportedError, match="does not support multicast on a grid of time"):
        registry.formulation(name, compile_problem(one.replace(transport="multicast")))


@settings(max_examples=6)
@given(scheduled(most_placements=8, largest_spread=0))
def test_rounding_up_on_a_grid_of_time_gives_a_plan(drawn):
    best = scheduled_optimum(drawn)
    found = solved(drawn, "edgewise+time-indexed-plan", np.inf if best is None else 1.2 * best)
    if found is None:
        return
    compiled, formulation, model, outcome = found
    if best is None:
        assert outcome.values is None
    elif outcome.values is not None:
        placement = formulation.read(compiled, model, outcome.values)
        times = formulation.times(compiled, model, outcome.values)
        assert times is not None
        judged = evaluate(drawn, plan_of(compiled, placement, times))
        assert judged.feasible
        value = outcome.objective * model.objective_unit
        noise = 2e-9 * model.objective_unit  # the solver's tolerance, where the optimum is 0
        assert best - SLACK * abs(best) <= judged.objective <= value + SLACK * abs(value) + noise


# s, then a, b and c beside each other, then j; everything takes as long on either device, and sending takes for ever.
FORK = network("s a b c j", [tensor("sa", "s", "a b c", 99), *(tensor(f"{v}j", v, "j", 99) for v in "abc")])
PAIR = platform("pi t4", [], {})
TIMES = {"s": (1, 1), "a": (2, 2), "b": (3, 3), "c": (4, 4), "j": (1, 1)}


def test_the_module_of_a_fork_join_is_what_lies_between():
    compiled = compile_problem(problem(FORK, PAIR, TIMES, "scheduled"))
    (module,) = fork_joins(compiled, reachability(compiled))
    assert (module.begin, module.end) == (0, 4)
    assert np.flatnonzero(module.inside).tolist() == [1, 2, 3]
    assert module.tensors.all()
    assert not module.chain


def test_a_module_cut_counts_what_a_device_has_to_do_one_after_the_other():
    fork = problem(FORK, PAIR, TIMES, "scheduled")
    _, _, model, outcome = solved(fork, "edgewise+modules")
    assert outcome.objective * model.objective_unit == pytest.approx(1 + 2 + 3 + 4 + 1)
    parallel = problem(FORK, PAIR, TIMES, "parallel")
    _, _, model, outcome = solved(parallel, "edgewise+potentials")
    assert outcome.objective * model.objective_unit == pytest.approx(1 + 4 + 1)


def test_the_optimum_of_a_relaxation_is_a_bound_and_its_placement_a_plan():
    fork = problem(FORK, PAIR, TIMES, "scheduled")
    compiled = compile_problem(fork)
    pool = Pool(fork, compiled)
    formulation = registry.formulation("edgewise+modules", compiled)
    assert formulation.value == "bound"
    run_formulation(pool, formulation, default_solver(formulation), ONE_THREAD, Control())
    assert pool.bound == pytest.approx(11)
    assert pool.objective == pytest.approx(11)
    assert pool.plan.schedule is not None
