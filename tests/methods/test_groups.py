"""Group decomposition: its bound, its tables and what it forbids, against all placements."""

from collections import Counter
from itertools import combinations, permutations

import numpy as np
import pytest
from brute_force import ROUNDING, brute_force
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from special import in_memory

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.methods.exact import groups
from dnnopt.methods.exact.groups import GroupSearch
from dnnopt.methods.groups import batched_loops
from dnnopt.methods.groups.decomposition import UNITS, Decomposition
from dnnopt.methods.groups.families import DeviceGroups, family
from dnnopt.methods.groups.loops import loops
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Clock, Control, Limits
from dnnopt.problem.constraints import memory
from dnnopt.referee import evaluate

DRAWN = in_memory(most_placements=250)
PAIR = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})


def decompositions(one, draw):
    """Return the problem compiled, and its decomposition by random groups; None where the method refuses."""
    c = compile_problem(one)
    if not groups.suits(c) or not c.allowed.any(axis=1).all():
        return c, None
    limited = sorted({limit.device for limit in c.constraints if isinstance(limit, MemoryLimit) and limit.limit > 0})
    listed = [group for size in range(1, len(limited) + 1) for group in combinations(limited, size)]
    chosen = [group for group in listed if draw.random() < 0.6] or listed[:1]
    return c, Decomposition(c, DeviceGroups.of(c, chosen), int(draw.choice([7, UNITS, 300])))


def random_multipliers(decomposition, draw, size):
    """Return multipliers of any size, not negative where they must not be."""
    multipliers = draw.normal(size=decomposition.size) * size * 10.0 ** draw.integers(-2, 2)
    for part in decomposition.split(multipliers)[2:]:
        np.abs(part, out=part)
    return multipliers


def test_no_multipliers_give_a_bound_above_the_optimum_nor_forbid_an_optimal_placement():
    seen = Counter()

    @settings(max_examples=40, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c, decomposition = decompositions(one, draw)
        best = brute_force(one)
        if decomposition is None or best.objective is None:
            return
        room = ROUNDING * abs(best.objective) + 1e-300
        start, _ = decomposition.value(np.zeros(decomposition.size))
        multipliers = random_multipliers(decomposition, draw, abs(best.objective) or 1.0)
        value, _ = decomposition.value(multipliers)
        ascended, multipliers = decomposition.ascend(multipliers, 30, abs(best.objective), 0.1, lambda bound: False)
        assert start <= best.objective + room
        assert value <= best.objective + room
        assert value <= ascended <= best.objective + room
        marginals = decomposition.marginals(multipliers)
        assert marginals.min(axis=1).max() >= ascended - room  # every plan has one of the executors of each node
        for plan in best.plans:
            placement = c.placement(plan)
            assert (marginals[np.arange(len(placement)), placement] <= best.objective + room).all()
        seen["bound"] += 1
        seen["closed"] += ascended >= best.objective - 1e-6 * abs(best.objective)

    check()
    assert seen["bound"] >= 10
    assert seen["closed"] >= 2


def test_beams_with_tables_of_groups_have_bounds_and_wide_ones_the_optimum():
    seen = Counter()

    @settings(max_examples=50, deadline=None)
    @given(DRAWN, st.integers(0, 2**32), st.sampled_from((1, 2, 1000)))
    def check(one, seed, width):
        draw = np.random.default_rng(seed)
        c, decomposition = decompositions(one, draw)
        if decomposition is None:
            return
        best = brute_force(one).objective
        multipliers = random_multipliers(decomposition, draw, abs(best or 1.0))
        search = LabelSearch(c, decomposition.completions(multipliers))
        value, _ = decomposition.value(multipliers)
        assert search.bound == pytest.approx(value, rel=1e-6, abs=1e-6 * abs(best or 1.0))
        found = search.run(width, np.inf, Clock(60), Control())
        objectives = [evaluate(one, c.plan(placement)).objective for placement in found.placements]
        if best is None:
            assert not objectives
            return
        room = 1e-6 * abs(best) + 1e-300
        assert min([found.bound, *objectives]) <= best + room
        assert all(objective >= best - room for objective in objectives)
        if width == 1000:
            assert min(objectives) <= best + room
        seen["feasible"] += 1

    check()
    assert seen["feasible"] >= 10


@settings(max_examples=40, deadline=None)
@given(DRAWN)
def test_the_method_proves_the_optimum(one):
    c = compile_problem(one)
    if groups.refuses(c) is not None:
        return
    best = brute_force(one).objective
    result = solve(one, method="groups", time_limit=60)
    assert result.status == ("infeasible" if best is None else "optimal")
    if best is not None:
        assert result.objective == pytest.approx(best, rel=1e-6)


def test_a_search_that_begins_with_any_multipliers_proves_the_optimum():
    seen = Counter()

    @settings(max_examples=40, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c, decomposition = decompositions(one, draw)
        if decomposition is None:
            return
        best = brute_force(one).objective
        listed = family(c)
        size = Decomposition(c, DeviceGroups.of(c, listed), UNITS).size
        begun = draw.normal(size=int(draw.choice([size, size + 1]))) * (best or 1.0)
        pool = Pool(one, c)
        search = GroupSearch(pool, c, Control(), classes=[], multipliers=np.maximum(begun, 0.0))
        outcome = search.run(Limits(60.0))
        if best is None:
            assert outcome.status == "infeasible"
        else:
            assert pool.objective == pytest.approx(best, rel=1e-6, abs=1e-300)
            assert pool.is_closed(0.0)
        seen["as many" if len(begun) == size else "others"] += 1

    check_until(check, lambda: min(seen["as many"], seen["others"]) >= 5)


def test_loops_of_numpy_and_of_numba_give_the_same_tables():
    if loops() is batched_loops:
        pytest.skip("numba is not installed")
    seen = Counter()

    @settings(max_examples=25, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        _, decomposition = decompositions(one, draw)
        if decomposition is None:
            return
        multipliers = random_multipliers(decomposition, draw, 1.0)
        after = int(draw.integers(0, len(decomposition.frontier.steps) + 1))
        count = int(np.diff(decomposition.joint.walk.states_at)[after])
        state = draw.integers(0, count, int(draw.choice([1, 40])))
        values = draw.uniform(0.0, 1.1, (len(state), len(decomposition.frontier.rows)))
        device = draw.integers(0, len(decomposition.c.device_names), len(state))
        found = []
        for way in (loops(), batched_loops):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(decomposition, "_loops", way)
                patched.setattr("dnnopt.methods.groups.decomposition.loops_for", lambda count, way=way: way)
                value, gradient = decomposition.value(multipliers)
                tables = decomposition.completions(multipliers)
                beside = tables.beside(after, state, values, device)
                marginals = decomposition.marginals(multipliers)
                found.append((value, gradient, *tables.tables, tables.rests.tables, beside, marginals))
        for one_way, other_way in zip(*found, strict=True):
            np.testing.assert_allclose(one_way, other_way, rtol=1e-9, atol=1e-9)
        seen["compared"] += 1

    check()
    assert seen["compared"] >= 10


def test_grids_are_coarser_where_tables_would_be_too_large(monkeypatch):
    net = network([layer(name, weights=2) for name in "abc"], [tensor("t", "a", "b", 1), tensor("u", "b", "c", 1)])
    one = problem(net, PAIR, dict.fromkeys("abc", (1, 2)), subject_to=[memory(limits={"p": 4, "q": 4})])
    monkeypatch.setattr("dnnopt.methods.groups.decomposition._MOST_CELLS", 100)
    c = compile_problem(one)
    assert Decomposition(c, DeviceGroups.of(c, family(c))).units < 10
    result = solve(one, method="groups")
    assert (result.status, result.objective) == ("optimal", 5)


def test_a_run_of_layers_takes_no_more_units_than_its_bytes():
    draw = np.random.default_rng(0)
    for _ in range(200):
        held = draw.choice([0.0, 1.0, 3.0, 1e3, draw.random() * 100], size=12)
        memory_ = float(held.sum() * draw.uniform(0.2, 1.5) + 1e-3)
        one = np.ones((1, 1), dtype=bool)
        groups_ = DeviceGroups(one, np.array([memory_]), held[:, None], np.ones(1), one, np.zeros(1, dtype=np.int64))
        shifts = groups_.grid(np.arange(12), UNITS)[0][0]
        first, last = sorted(draw.choice(13, size=2, replace=False))
        units = shifts[first, 0] + shifts[first + 1 : last, 1].sum()
        assert units <= held[first:last].sum() / memory_ * UNITS


def test_groups_are_devices_with_limits_and_clusters_of_those_with_cheap_links():
    links = [link("near", bandwidth=1e9), link("far", bandwidth=1.0), link("mid", bandwidth=1e3)]
    between = {"p>q": "near", "q>p": "near", "r>s": "mid", "s>r": "mid"}
    between = {f"{i}>{j}": "far" for i, j in permutations("pqrs", 2)} | between
    on = platform("p q r s", links, between)
    net = network([layer("a", 1), layer("b", 1)], [tensor("t", "a", "b", 100)])
    limit = memory(limits={"p": 10, "q": 10, "r": 10, "s": 10})
    one = problem(net, on, dict.fromkeys("ab", (1, 1, 1, 1)), subject_to=[limit])
    assert family(compile_problem(one)) == [(0,), (1,), (2,), (3,), (0, 1), (2, 3)]


def test_a_problem_without_limits_on_memory_has_no_groups_and_is_solved_all_the_same():
    one = problem(network([layer("a", 1), layer("b", 1)], [tensor("t", "a", "b", 1)]), PAIR, {"a": (1, 3), "b": (4, 2)})
    assert not groups.suits(compile_problem(one))
    assert family(compile_problem(one)) == []
    result = solve(one, method="groups")
    assert (result.status, result.objective) == ("optimal", 4)
