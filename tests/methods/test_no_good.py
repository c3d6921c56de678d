"""A plan that breaks a limit by less than a solver's tolerance is forbidden, and the search goes on."""

import numpy as np
import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods import formulated
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.methods.solving import solve
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.highs import solve_arrays
from dnnopt.models.solvers.interface import Control, Limits, Outcome
from dnnopt.problem.constraints import Deadline, Memory, Traffic
from dnnopt.problem.objectives import energy

RUNS = [("highs", "product"), ("highs", "edgewise"), ("cbc", "edgewise"), ("cpsat", "cp-assignment")]


def heavy(size, room):
    """Return a problem whose fastest plan, all on q, needs `size` bytes where there is `room`."""
    net = network([layer("a", size - 1), layer("b", 1)], [tensor("t", "a", "b", 1)])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    return problem(net, on, {"a": (5, 1), "b": (5, 1)}, subject_to=[Memory(limits={"q": room})])


@pytest.mark.parametrize(("solver", "formulation"), RUNS)
@pytest.mark.parametrize("size", [10**6, 10**9, 10**12])
def test_one_byte_less_than_a_plan_needs_is_too_little(solver, formulation, size):
    tight, enough = heavy(size, size - 1), heavy(size, size)
    assert (brute_force(tight).objective, brute_force(enough).objective) == (7, 2)
    for one, best in ((tight, 7), (enough, 2)):
        result = solve(one, solver=solver, formulation=formulation)
        assert (result.status, result.objective) == ("optimal", best)


@pytest.mark.parametrize(("solver", "formulation"), RUNS)
def test_what_the_referee_lets_through_by_rounding_is_the_optimum(solver, formulation):
    # Each layer on q breaks the deadline of 4 s by 2e-9 s, and the referee lets 4e-9 s through; the link is free.
    net = network("a b c d", [tensor(f"{u}{v}", u, v, 0) for u, v in ("ab", "bc", "cd")])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    times, energies = dict.fromkeys("abcd", (1, 1 + 2e-9)), dict.fromkeys("abcd", (5, 1))
    one = problem(net, on, times, minimize=energy(), subject_to=[Deadline(limit=4)], energies=energies)
    best = brute_force(one)
    result = solve(one, solver=solver, formulation=formulation)
    assert result.status == "optimal"
    assert result.objective == best.objective
    assert 4 < best.objective < 20


@pytest.mark.parametrize(("solver", "formulation"), RUNS)
def test_a_limit_that_is_tiny_beside_other_plans_is_kept(solver, formulation):
    # q is cheap in energy but sends; the traffic allowed is a billionth of the largest tensor.
    net = network("a b c", [tensor("ab", "a", "b", 1e9), tensor("bc", "b", "c", 1.001)])
    on = platform("p q", [link("w", 1e9)], {"p>q": "w", "q>p": "w"})
    times, energies = dict.fromkeys("abc", (1, 1)), {"a": (1, 9), "b": (9, 1), "c": (9, 2)}
    limits = [Traffic(limit=1.0), Memory(limits={"q": 1})]
    net = net.model_copy(update={"layers": tuple(layer(name, 1) for name in "abc")})
    one = problem(net, on, times, minimize=energy(), subject_to=limits, energies=energies)
    best = brute_force(one)
    result = solve(one, solver=solver, formulation=formulation)
    assert (result.status, result.objective) == ("optimal", best.objective)
    assert best.objective == 19


def test_the_loop_forbids_each_refused_plan_and_stops_at_the_first_that_the_referee_accepts(monkeypatch):
    one = heavy(10, 9)
    compiled = compile_problem(one)
    offered = []

    def careless(model, limits, start, control):
        """Solve without the memory row."""
        arrays = model.arrays()
        names = model.row_names()
        rows = [index for index, name in enumerate(names) if name.startswith("memory")]
        arrays.row_upper[rows] = float("inf")
        outcome = solve_arrays(arrays, limits, None, control)
        offered.append(outcome.objective)
        return outcome

    monkeypatch.setattr(formulated, "solver_of", lambda name, kind: careless)
    pool = Pool(one, compiled)
    outcome = run_formulation(pool, registry.formulation("edgewise", compiled), "highs", Limits(threads=1), Control())
    assert outcome.status == "optimal"
    assert pool.objective == 7
    assert len(offered) == 2


def test_the_loop_ends_where_a_solver_finds_only_plans_that_the_referee_refuses(monkeypatch):
    one = heavy(10, 9)
    compiled = compile_problem(one)
    formulation = registry.formulation("edgewise", compiled)
    bad = formulation.encode(compiled, formulation.build(compiled), np.array([1, 1]))
    calls = []

    def stubborn(model, limits, start, control):
        assert isinstance(model, LinearModel)
        calls.append(model.row_count)
        return Outcome("optimal", bad, 2.0, 2.0)

    monkeypatch.setattr(formulated, "solver_of", lambda name, kind: stubborn)
    pool = Pool(one, compiled)
    outcome = run_formulation(pool, formulation, "highs", Limits(threads=1), Control())
    assert outcome.values is not None
    assert pool.plan is None
    assert 1 < len(calls) < 1000
    assert calls == list(range(calls[0], calls[0] + len(calls)))
