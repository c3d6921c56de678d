"""Blocks in compiled problems: what the evaluator says of every plan, and what is left of them."""

import numpy as np
import pytest
from brute_force import judged_plans
from builders import network, platform, problem, tensor
from choice_problems import KINDS, problems_with_choices
from hypothesis import given, settings

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.presolve import presolve
from dnnopt.referee import evaluate
from dnnopt.studies import capabilities


@settings(max_examples=30)
@given(problem=problems_with_choices(KINDS, always=("blocks",)))
def test_the_evaluator_says_of_every_plan_what_the_referee_says(problem):
    compiled = compile_problem(problem)
    evaluator = Evaluator(compiled)
    judged = list(judged_plans(problem))
    placements = np.array([compiled.placement(plan) for plan, _ in judged])
    excess, objectives = evaluator.excess(placements), evaluator.objectives(placements)
    for (plan, seen), placement, over, objective in zip(judged, placements, excess, objectives, strict=True):
        assert (over == 0) == seen.feasible, (plan, seen.violations, over)
        assert {net: set(names) for net, names in compiled.plan(placement).blocks.items()} == {
            net: set(names) for net, names in plan.blocks.items()
        }
        if seen.feasible:
            assert objective == pytest.approx(seen.objective, rel=1e-9, abs=1e-300)


@settings(max_examples=30)
@given(problem=problems_with_choices(("blocks", "modes", "forms"), always=("blocks",)))
def test_every_placement_is_a_plan_or_tears_a_block(problem):
    compiled = compile_problem(problem)
    rng = np.random.default_rng(1)
    for _ in range(20):
        placement = np.array([rng.choice(np.flatnonzero(row)) for row in compiled.allowed if row.any()])
        if len(placement) < len(compiled.allowed):
            return
        plan = compiled.plan(placement)
        back = compiled.placement(plan)
        torn = Evaluator(compiled).excess(placement[None])[0]
        if torn == 0:
            assert Evaluator(compiled).objectives(placement[None])[0] == pytest.approx(
                evaluate(problem, plan).objective, rel=1e-9, abs=1e-300
            )
        assert compiled.plan(back) == plan


@settings(max_examples=20)
@given(problem=problems_with_choices(KINDS, always=("blocks",)))
def test_presolve_keeps_every_best_plan(problem):
    judged = [(seen.objective, plan) for plan, seen in judged_plans(problem) if seen.feasible]
    compiled = compile_problem(problem)
    if not judged:
        presolve(compiled)
        return
    least = min(objective for objective, _ in judged)
    reduced = presolve(compiled, least)
    assert not reduced.infeasible
    nodes = np.arange(len(compiled.node_names))
    for objective, plan in judged:
        if objective <= least:
            assert reduced.compiled.allowed[nodes, compiled.placement(plan)].all()


def test_every_part_knows_blocks_or_refuses_them_by_name():
    (one,) = [problem for name, problem in capabilities._choices() if name == "blocks"]
    c = compile_problem(one)
    reasons = {name: scope.refuses(c) for name, scope in capabilities.parts().items()}
    knows = {name for name, reason in reasons.items() if reason is None}
    assert knows >= {"blocks", "tree", "scan", "evaluator", "presolve", "Lagrangian", "segments+sum", "cp-assignment"}
    assert not knows & {"chain", "min-cut", "ideals", "labels", "boundary+sum", "treewise+sum", "cp-schedule"}
    for name in ("chain", "labels", "boundary+sum", "treewise+sum", "chain bound", "escapes", "identical devices"):
        assert reasons[name] == "blocks with costs of their own"


def test_a_layer_that_runs_in_a_block_alone_loses_what_it_loses_there():
    on = platform([dp.Device(name="p", modes=[dp.Mode(name="m", loss=0.25)])])
    one = problem(network("a b", [tensor("t", "a", "b", 1)]), on, {"a": (None,), "b": (4,)})
    one = one.replace(profile=one.profile.replace(blocks=[{"network": "net", "layers": ["a", "b"], "time": {"p": 3}}]))
    result = dp.solve(one.replace(minimize=dp.latency() + 2 * dp.accuracy_loss()))
    assert (result.objective, result.bound) == (pytest.approx(4.0), pytest.approx(4.0))
