"""All solvers behave alike: limits, starts, being stopped, logs, and what they refuse."""

import os
import subprocess
import sys
import threading

import pytest
from builders import link, network, plan, platform, problem, tensor
from hard_problem import FORMULATIONS, hard_problem

from dnnopt.base.errors import InputError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.methods.solving import formulate, solve
from dnnopt.models.solvers import names, solver_kind
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.constraints import MaxDevices
from dnnopt.problem.objectives import energy
from dnnopt.problem.platforms import Device
from dnnopt.referee import evaluate

# CBC and SCIP look at the clock and at signals now and then only.


def each_solver():
    return [
        pytest.param(name, marks=pytest.mark.skipif(name == "scip" and not has_scip(), reason="needs pyscipopt"))
        for name in names()
    ]


def has_scip():
    try:
        import pyscipopt  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.fixture(scope="module")
def hard():
    return hard_problem()


@pytest.fixture(scope="module")
def good_plan(hard):
    """A plan that the weak formulations do not find by themselves in a few seconds."""
    return solve(hard, formulation="edgewise", gap=0.3, time_limit=5).plan


@pytest.fixture(scope="module")
def small():
    """A chain of three layers on two devices: the optimum is a:p b:q c:q, 1 + 2 + 3 + 1 seconds."""
    net = network("a b c", [tensor("t", "a", "b", 2), tensor("u", "b", "c", 5)], source="p")
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    return problem(net, on, {"a": (1, 9), "b": (9, 3), "c": (9, 1)})


@pytest.mark.parametrize("solver", each_solver())
def test_small_problem_is_solved_with_the_optimum_worked_by_hand(small, solver):
    result = solve(small, solver=solver)
    assert (result.status, result.solver) == ("optimal", solver)
    assert result.objective == 1 + 2 + 3 + 1
    assert result.plan.placement == {"net": {"a": "p", "b": "q", "c": "q"}}


@pytest.mark.parametrize("solver", each_solver())
def test_time_limit_is_kept_and_leaves_a_plan_and_a_bound(hard, solver):
    result = solve(hard, formulation=FORMULATIONS[solver], solver=solver, time_limit=1)
    assert result.status == "feasible"
    assert result.evaluation.feasible
    assert 0 < result.bound < result.objective


@pytest.mark.parametrize("solver", each_solver())
def test_a_search_that_stops_at_a_loose_gap_is_feasible_not_optimal(hard, solver):
    result = solve(hard, formulation=FORMULATIONS[solver], solver=solver, gap=0.99, time_limit=300)
    assert result.status == "feasible"
    assert 1e-6 < result.gap <= 0.99


@pytest.mark.parametrize("solver", each_solver())
def test_number_of_threads_may_change_from_run_to_run_in_one_process(small, solver):
    objectives = [solve(small, solver=solver, threads=threads).objective for threads in (1, 2, 1)]
    assert objectives == [7, 7, 7]


@pytest.mark.parametrize("solver", each_solver())
def test_same_seed_gives_the_same_plan_and_is_recorded(small, solver):
    first, second = (solve(small, solver=solver, seed=5, threads=1) for _ in range(2))
    assert first.seed == second.seed == 5
    assert first.plan == second.plan


@pytest.mark.parametrize("solver", each_solver())
def test_start_plan_is_used(hard, good_plan, solver):
    compiled = compile_problem(hard)
    formulation = registry.formulation(FORMULATIONS[solver], compiled)
    model = formulation.build(compiled)
    run = solver_of(solver, formulation.kind)
    values = formulation.encode(compiled, model, compiled.placement(good_plan))
    found = run(model, Limits(time_limit=1, threads=1), values, Control())
    assert found.values is not None
    reached = evaluate(hard, compiled.plan(formulation.read(compiled, model, found.values))).objective
    assert reached <= evaluate(hard, good_plan).objective * (1 + 1e-6)


@pytest.mark.parametrize("solver", each_solver())
def test_at_least_the_start_plan_comes_back_when_there_is_no_time(hard, good_plan, solver):
    result = solve(hard, formulation=FORMULATIONS[solver], solver=solver, start=good_plan, time_limit=0.05)
    assert result.status == "feasible"
    assert result.objective <= evaluate(hard, good_plan).objective


@pytest.mark.parametrize("solver", each_solver())
def test_stop_event_ends_the_search_with_the_best_plan_and_bound(hard, good_plan, solver):
    compiled = compile_problem(hard)
    pool = Pool(hard, compiled)
    pool.offer(good_plan, "start")
    control = Control()
    timer = threading.Timer(1.5, control.stop.set)
    timer.start()
    formulation = registry.formulation(FORMULATIONS[solver], compiled)
    outcome = run_formulation(pool, formulation, solver, Limits(time_limit=300), control)
    timer.cancel()
    assert outcome.status == "interrupted"
    assert pool.evaluation.feasible
    assert 0 < pool.bound < pool.objective


INTERRUPTED = """
import os, signal, sys, threading
from hard_problem import FORMULATIONS, hard_problem
from dnnopt.methods.solving import solve

def kill(event):
    if event.bound and not armed:
        armed.append(True)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

armed = []
solver = sys.argv[1]
formulation = "edgewise" if solver == "highs" else FORMULATIONS[solver]  # whose first bound comes early
result = solve(hard_problem(), formulation=formulation, solver=solver, time_limit=300, watch=kill)
print(result.status, result.evaluation.feasible, 0 < result.bound < result.objective, result.runtime < 60)
"""


@pytest.mark.parametrize("solver", each_solver())
def test_ctrl_c_ends_solve_with_a_result_that_has_plan_and_bound(solver):
    words = [sys.executable, "-c", INTERRUPTED, solver]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment())
    assert done.stdout.split() == ["interrupted", "True", "True", "True"], done.stderr


def environment():
    """Return the environment of this process, with its import path."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.mark.parametrize(
    ("solver", "word"), [("highs", "HiGHS"), ("cbc", "COIN-OR"), ("scip", "SCIP"), ("cpsat", "CP-SAT")]
)
def test_log_of_the_solver_goes_to_the_file_asked_for_and_not_to_the_screen(small, solver, word, tmp_path, capfd):
    if solver == "scip" and not has_scip():
        pytest.skip("needs pyscipopt")
    log = tmp_path / "solver.log"
    solve(small, formulation=FORMULATIONS[solver], solver=solver, log=str(log))
    assert word in log.read_text(encoding="utf-8")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("solver", each_solver())
def test_solvers_say_nothing_on_the_screen(small, solver, capfd):
    solve(small, solver=solver)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("solver", each_solver())
def test_infeasible_is_said_to_be_infeasible(small, solver):
    net = network("a", [tensor("t", "a", "output", 1)], sink="q")
    nowhere = problem(net, platform("p q"), {"a": (1, None)})
    result = solve(nowhere, solver=solver)
    assert (result.status, result.plan, result.objective) == ("infeasible", None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "gurobi"}, "solver: got 'gurobi', expected one of highs, cbc"),
        ({"formulation": "edgewise", "solver": "cpsat"}, "solver: got 'cpsat', expected a solver for milp models"),
        ({"formulation": "cp-assignment", "solver": "highs"}, "solver: got 'highs', expected a solver for cp models"),
        ({"formulation": "edgy"}, "formulation: got 'edgy', expected one of product, edgewise"),
        ({"formulation": "edgewise+nothing"}, "formulation: got 'edgewise+nothing', expected one of"),
        ({"method": "magic"}, "method: got 'magic', expected one of auto, chain"),
        (
            {"method": "greedy", "solver": "highs"},
            "method: got 'greedy', expected auto, where a formulation or a solver is named",
        ),
        ({"time_limit": 0}, "time_limit: got 0, expected seconds > 0"),
        ({"time_limit": float("nan")}, "time_limit: got nan, expected seconds > 0"),
        ({"gap": -0.1}, "gap: got -0.1, expected a number >= 0"),
        ({"threads": 0}, "threads: got 0, expected a whole number from 1 to 512"),
        ({"seed": -1}, "seed: got -1, expected a whole number from 0"),
    ],
)
def test_unknown_names_and_values_out_of_range_are_refused(small, options, message):
    with pytest.raises(InputError) as error:
        solve(small, **options)
    assert str(error.value).startswith(message)


def test_a_start_plan_that_does_not_fit_is_refused_and_one_that_is_infeasible_is_not_kept(small):
    with pytest.raises(InputError, match="placement"):
        solve(small, start=plan("a:p b:q"))
    tight = small.model_copy(update={"subject_to": (MaxDevices(limit=1),)})
    result = solve(tight, start=plan("a:p b:q c:q"), formulation="edgewise")
    assert result.status == "optimal"
    assert result.objective > 7


@pytest.mark.parametrize("solver", each_solver())
def test_the_bound_of_a_negative_objective_is_not_above_it(solver):
    # A latency of weight 0 leaves what idle energy saves while a device is busy: 3 W for 2 s, or for 4 s.
    devices = [Device(name="p", idle_power=3.0), Device(name="q", idle_power=3.0)]
    net = network("a", weight=0.0)
    one = problem(net, platform(devices), {"a": (2, 4)}, minimize=energy(idle=True))
    name = "cp-assignment" if solver_kind(solver) == "cp" else "edgewise"
    model = formulate(one, name)
    outcome = solver_of(solver, solver_kind(solver))(model, Limits(threads=1), None, Control())
    assert outcome.objective * model.objective_unit == pytest.approx(-12)
    assert outcome.bound * model.objective_unit == pytest.approx(-12)
