"""Devices that are alike: one state, one label and one group stand for all that exchanges of these lead to."""

from collections import Counter
from itertools import combinations, permutations

import numpy as np
import pytest
from brute_force import ROUNDING, brute_force
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from special import LINEAR, alike_in_memory

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.symmetry import identical_devices
from dnnopt.methods.bounds import critical_paths
from dnnopt.methods.bounds.critical_paths import PathSearch
from dnnopt.methods.exact import groups, labels
from dnnopt.methods.groups.decomposition import Decomposition
from dnnopt.methods.groups.families import DeviceGroups
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.alike import RowExchanges, alike_devices, levelled
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.programs.rows import rows_of
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Clock, Control, Limits
from dnnopt.problem.constraints import memory
from dnnopt.problem.objectives import latency, period
from dnnopt.referee import evaluate

SUMS = alike_in_memory(executions=("sequential", "pipelined"))
MAXIMA = alike_in_memory(minimise=LINEAR | st.just(period()), executions=("sequential", "pipelined"))
PATHS = alike_in_memory(
    minimise=st.just(latency()), follows=lambda c: critical_paths.refuses(c.at_stage(0, {})), executions=("parallel",)
)


def rows_and_classes(c):
    """Return the rows of a problem, and its devices that are alike."""
    rows = rows_of(c)
    listed = (*rows.objective, *rows.limits)
    return listed, alike_devices(c, listed)


def exchanged(c, placement, i, j):
    """Return a placement with two devices exchanged."""
    device = np.arange(len(c.device_names))
    device[[i, j]] = j, i
    return device[placement]


def test_rows_of_exchanged_placements_are_exchanged_rows():
    seen = Counter()

    @settings(max_examples=60, deadline=None)
    @given(MAXIMA, st.integers(0, 2**32))
    def check(one, seed):
        c = compile_problem(one)
        if labels.refuses(c) is not None or not c.allowed.any(axis=1).all():
            return
        listed, classes = rows_and_classes(c)
        alike = RowExchanges.of(c, listed, classes)
        draw = np.random.default_rng(seed)
        placement = np.array([draw.choice(np.flatnonzero(row)) for row in c.allowed])
        evaluator = evaluator_of(c)
        for members in alike.classes:
            for i, j in combinations(members, 2):
                swap = alike.swap(i, j)
                assert (swap[swap] == np.arange(len(swap))).all()
                assert (alike.orbits[swap] == alike.orbits).all()
                other = exchanged(c, placement, i, j)
                before, after = (
                    np.array([row.alpha[np.arange(len(p)), p].sum() for row in listed]) for p in (placement, other)
                )
                np.testing.assert_allclose(after, before[swap], rtol=1e-12)
                assert evaluator.objectives(other[None]) == pytest.approx(evaluator.objectives(placement[None]))
                seen["exchanged"] += 1
        becomes = np.array([list(permutations(range(len(c.device_names))))[-1]])
        if len(alike.classes) == 1 and len(alike.classes[0]) == len(c.device_names):
            (source,) = alike.sources(becomes)
            turned = becomes[0][placement]
            before, after = (
                np.array([row.alpha[np.arange(len(p)), p].sum() for row in listed]) for p in (placement, turned)
            )
            np.testing.assert_allclose(after, before[source], rtol=1e-12)
            seen["turned"] += 1

    check_until(check, lambda: seen["exchanged"] >= 20)


def test_tables_over_fewer_states_begin_with_the_same_sums():
    seen = Counter()

    @settings(max_examples=60, deadline=None)
    @given(SUMS, st.integers(0, 2**32))
    def check(one, seed):
        c = compile_problem(one)
        if labels.refuses(c) is not None or not c.allowed.any(axis=1).all():
            return
        listed, _ = rows_and_classes(c)
        few, many = Frontier(c, listed), Frontier(c, listed, [])
        weights = np.random.default_rng(seed).uniform(0.0, 1.0, (3, len(listed)))
        same = few.alike.orbits[:, None] == few.alike.orbits
        weights = weights @ (same / same.sum(axis=0))
        np.testing.assert_allclose(few.tables(weights)[0], many.tables(weights)[0], rtol=1e-9, atol=1e-300)
        assert few.states <= many.states
        seen["fewer" if few.states < many.states else "as many"] += 1

    check_until(check, lambda: seen["fewer"] >= 10)


def representatives(c, classes):
    """Return all groups of devices with limits, but for those that exchanges lead to."""
    first = {device: members[0] for members in classes for device in members}
    limited = sorted({limit.device for limit in c.constraints if isinstance(limit, MemoryLimit) and limit.limit > 0})
    every = [group for size in range(1, len(limited) + 1) for group in combinations(limited, size)]
    found = {}
    for group in every:
        found.setdefault(tuple(sorted(first.get(device, device) for device in group)), group)
    return list(found.values())


def test_groups_that_stand_for_others_give_bounds_and_forbid_no_optimal_placement():
    seen = Counter()

    @settings(max_examples=60, deadline=None)
    @given(SUMS, st.integers(0, 2**32), st.sampled_from((1, 2, 1000)))
    def check(one, seed, width):
        c = compile_problem(one)
        if not groups.suits(c) or not c.allowed.any(axis=1).all():
            return
        draw = np.random.default_rng(seed)
        _, classes = rows_and_classes(c)
        listed = representatives(c, classes)
        chosen = [group for group in listed if draw.random() < 0.6] or listed[:1]
        found = Decomposition(c, DeviceGroups.of(c, chosen, classes), int(draw.choice([7, 256, 300])))
        best = brute_force(one)
        size = abs(best.objective or 1.0) or 1.0
        multipliers = found.start(np.zeros(len(found.frontier.rows)))
        for part in found.split(multipliers)[:3]:
            part += np.abs(draw.normal(size=part.shape)) * size * 10.0 ** draw.integers(-2, 2)
        value, _ = found.value(multipliers)
        ascended, better = found.ascend(multipliers, 30, size, 0.1, lambda bound: False)
        search = LabelSearch(c, found.completions(multipliers))
        result = search.run(width, np.inf, Clock(60.0), Control())
        assert search.bound == pytest.approx(value, rel=1e-6, abs=1e-6 * size)
        objectives = [evaluate(one, c.plan(placement)).objective for placement in result.placements]
        if best.objective is None:
            assert not objectives
            return
        room = ROUNDING * size + 1e-300
        assert max(value, ascended) <= best.objective + room
        marginals = found.marginals(better)
        for plan in best.plans:
            placement = c.placement(plan)
            assert (marginals[np.arange(len(placement)), placement] <= best.objective + room).all()
        assert min([result.bound, *objectives]) <= best.objective + 1e-6 * size
        assert all(objective >= best.objective - 1e-6 * size for objective in objectives)
        assert not objectives or result.least == pytest.approx(min(objectives), rel=1e-6, abs=1e-6 * size)
        assert width < 1000 or min(objectives) <= best.objective + 1e-6 * size
        seen["alike" if classes else "none"] += 1

    check_until(check, lambda: seen["alike"] >= 10)


@pytest.mark.parametrize(("method", "drawn"), [("groups", SUMS), ("labels", MAXIMA)])
def test_methods_prove_the_optimum_where_devices_are_alike(method, drawn):
    seen = Counter()

    @settings(max_examples=40, deadline=None)
    @given(drawn)
    def check(one):
        c = compile_problem(one)
        if {"groups": groups, "labels": labels}[method].refuses(c) is not None:
            return
        best = brute_force(one).objective
        result = solve(one, method=method, time_limit=60)
        assert result.status == ("infeasible" if best is None else "optimal")
        assert best is None or result.objective == pytest.approx(best, rel=1e-6, abs=1e-300)
        seen["alike"] += bool(identical_devices(c))

    check_until(check, lambda: seen["alike"] >= 10)


def test_critical_paths_over_devices_that_are_alike_are_bounded_and_found():
    seen = Counter()

    @settings(max_examples=40, deadline=None)
    @given(PATHS)
    def check(one):
        c = compile_problem(one).at_stage(0, {})
        if critical_paths.refuses(c) is not None or not c.allowed.any(axis=1).all():
            return
        best = brute_force(one).objective
        pool = Pool(one, c)
        outcome = PathSearch(pool, c, Control()).run(Limits(20.0))
        if best is None:
            assert pool.objective is None
            return
        assert outcome.status != "infeasible"
        assert pool.bound is None or pool.bound <= best + ROUNDING * abs(best) + 1e-300
        if pool.objective is not None and pool.is_closed(1e-6):
            assert pool.objective == pytest.approx(best, rel=1e-6, abs=1e-300)
            seen["proved"] += 1
        seen["alike"] += bool(identical_devices(c))

    check_until(check, lambda: seen["alike"] >= 10 and seen["proved"] >= 5)


def test_what_one_device_may_have_all_that_are_alike_may_have():
    seen = Counter()

    @settings(max_examples=40, deadline=None)
    @given(SUMS, st.integers(0, 2**32))
    def check(one, seed):
        from dataclasses import replace

        c = compile_problem(one)
        classes = identical_devices(c)
        draw = np.random.default_rng(seed)
        torn = replace(
            c,
            allowed=c.allowed & (draw.random(c.allowed.shape) < 0.7),
            forbidden_moves=draw.random((len(c.edges), len(c.pair_origin))) < 0.5,
        )
        mended = levelled(torn, classes)
        assert (mended.allowed >= torn.allowed).all()
        assert (mended.forbidden_moves <= torn.forbidden_moves).all()
        assert identical_devices(mended) == classes
        seen["alike"] += bool(classes)

    check_until(check, lambda: seen["alike"] >= 10)


def hub(names):
    """Return devices, each with a link up and one down."""
    links = [link(f"{name}-{way}") for name in names for way in ("up", "down")]
    routes = {f"{i}>{j}": f"{i}-up {j}-down" for i, j in permutations(names, 2)}
    return platform(" ".join(names), links, routes)


@pytest.mark.parametrize("method", ["groups", "labels"])
def test_several_limits_on_memory_may_come_in_another_order_on_devices_that_are_alike(method):
    net = network([layer("a", 6, 10), layer("b", 6, 10)], [tensor("t", "a", "b", 1)])
    limits = [
        memory("weights", limits={"p": 10}),
        memory("weights+activations", limits={"p": 20, "q": 20}),
        memory("weights", limits={"q": 10}),
    ]
    result = solve(problem(net, hub("pq"), dict.fromkeys("ab", (1, 1)), subject_to=limits), method=method)
    assert (result.status, result.objective) == ("optimal", 4)


def test_a_device_may_have_a_limit_of_0_and_another_one():
    net = network([layer("a", 0, 10), layer("b", 0, 10)], [tensor("t", "a", "b", 1)])
    limits = [memory("weights", limits={"p": 0}), memory("weights+activations", limits={"p": 20, "q": 20})]
    result = solve(problem(net, hub("pq"), dict.fromkeys("ab", (1, 1)), subject_to=limits), method="groups")
    assert (result.status, result.objective) == ("optimal", 2)


@pytest.mark.parametrize("method", ["groups", "labels"])
def test_a_layer_may_have_many_tensors_that_several_layers_read(method):
    net = network("a b c", [tensor(f"t{number}", "a", "b c", 1) for number in range(40)])
    result = solve(problem(net, hub("pq"), dict.fromkeys("abc", (1, 2))), method=method)
    assert (result.status, result.objective) == ("optimal", 3)


def test_too_many_tensors_that_different_layers_read_are_refused():
    readers = [f"r{number}" for number in range(16)]
    tensors = [tensor(f"t{number}", "a", f"{readers[number]} z", 1) for number in range(16)]
    words = ["a", *readers, "z"]
    one = problem(network([*map(layer, words)], tensors), hub("pq"), dict.fromkeys(words, (1, 2)))
    assert labels.refuses(compile_problem(one)) == "more than 2,000,000 states of what is alive at once"
    assert solve(one, time_limit=20).status == "optimal"
