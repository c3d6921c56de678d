"""The bound of paths, and labels that follow times, against all placements."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from brute_force import ROUNDING, brute_force
from builders import link, network, platform, problem, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduled_optimum import scheduled_optimum
from special import in_tight_memory

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import DeadlineLimit, LatencyTerm, MaxTerm
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.methods.bounds.critical_paths import (
    PathSearch,
    maxima_of,
    refuses,
    with_tensors_of_edges,
    without_latencies,
)
from dnnopt.methods.exact import groups
from dnnopt.methods.groups import batched_loops
from dnnopt.methods.groups.families import DeviceGroups, family
from dnnopt.methods.groups.flows import PathTerms, incoming
from dnnopt.methods.groups.loops import loops
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Clock, Control, Limits
from dnnopt.problem.constraints import Deadline, Memory, Placement
from dnnopt.problem.objectives import energy, in_order, largest, latency, traffic

MANY = 10**6
PAIR = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})


DRAWN = in_tight_memory()


def by_paths(one):
    """Return the problem compiled, what is left of it beside latencies, and these; None where it is not suited."""
    c = compile_problem(one).at_stage(0, {})
    if refuses(c) is not None or not c.allowed.any(axis=1).all():
        return c, None, None
    others = without_latencies(c)
    if not groups.suits(others):
        return c, None, None
    deadlines = tuple((limit.network, limit.limit) for limit in c.constraints if isinstance(limit, DeadlineLimit))
    return c, others, PathTerms(c.seconds, c.edge_seconds, maxima_of(c), deadlines)


def decomposition_of(others, paths):
    """Return the decomposition by all groups."""
    return paths.decomposition(others, DeviceGroups.of(others, family(others)), 64)


def random_multipliers(decomposition, draw, size):
    """Return multipliers of any size, not negative where they must not be."""
    multipliers = draw.normal(size=decomposition.size) * size * 10.0 ** draw.integers(-2, 2)
    for part in decomposition.split(multipliers)[2:]:
        np.abs(part, out=part)
    multipliers[decomposition.prices_end :] = draw.normal(size=decomposition.size - decomposition.prices_end) * 3.0
    return multipliers


def test_no_flow_and_no_prices_give_a_bound_above_the_optimum():
    seen = Counter()

    @settings(max_examples=100, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c, others, paths = by_paths(one)
        best = brute_force(one)
        if others is None or best.objective is None:
            return
        decomposition = decomposition_of(others, paths)
        room = ROUNDING * abs(best.objective) + 1e-300
        multipliers = random_multipliers(decomposition, draw, abs(best.objective) or 1.0)
        value, _ = decomposition.value(multipliers)
        ascended, multipliers = decomposition.ascend(multipliers, 30, abs(best.objective), 0.1, lambda bound: False)
        assert value <= ascended <= best.objective + room
        marginals = decomposition.marginals(multipliers)
        for plan in best.plans:
            placement = c.placement(plan)
            assert (marginals[np.arange(len(placement)), placement] <= best.objective + room).all()
        seen["bound"] += 1
        seen["deadline"] += bool(paths.deadlines)
        seen["close"] += ascended >= 0.9 * best.objective

    check()
    assert seen["bound"] >= 8
    assert seen["deadline"] >= 2
    assert seen["close"] >= 2


def test_searches_end_with_the_optimum_where_nothing_is_left_out_and_with_bounds_elsewhere():
    seen = Counter()

    @settings(max_examples=200, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c = compile_problem(one).at_stage(0, {})
        if refuses(c) is not None:
            return
        best = brute_force(one)
        pool = Pool(one, c)
        if best.objective is not None and draw.random() < 0.5:
            pool.cutoff = best.objective * (1.0 + draw.random())
        search = PathSearch(pool, c, Control())
        outcome = search.run(Limits(20.0))
        if best.objective is None:
            assert pool.plan is None
            return
        room = ROUNDING * abs(best.objective) + 1e-300
        assert outcome.status != "infeasible"
        assert pool.bound is None or pool.bound <= best.objective + room
        assert pool.objective is None or pool.objective >= best.objective - room
        if pool.objective is None or pool.objective > best.objective + room:
            for plan in best.plans:  # as good plans as are looked for are not forbidden
                placement = c.placement(plan)
                assert search.kept.allowed[np.arange(len(placement)), placement].all()
        seen["bound"] += pool.bound is not None
        if pool.bound is not None and pool.objective is not None and is_whole(c):
            assert pool.bound >= best.objective - 1e-6 * abs(best.objective)
            assert pool.objective <= best.objective + 1e-6 * abs(best.objective)
            seen["optimum"] += 1
            seen["deadline"] += any(isinstance(limit, DeadlineLimit) for limit in c.constraints)

    check()
    assert seen["bound"] >= 20
    assert seen["optimum"] >= 10
    assert seen["deadline"] >= 2


def is_whole(c):
    """Return whether nothing of a problem is left out."""
    others = without_latencies(c)
    walked = {id(limit) for limit in others.constraints}
    terms = all(isinstance(term, LatencyTerm | MaxTerm) or not term.metric.exposes for term in c.objective[0])
    limits = all(id(limit) in walked or isinstance(limit, DeadlineLimit) for limit in c.constraints)
    return terms and limits and Frontier.refuses(others) is None


def test_schedules_are_not_better_than_the_bound_of_paths():
    seen = Counter()

    @settings(max_examples=60, deadline=None)
    @given(in_tight_memory(most_placements=30))
    def check(parallel):
        one = parallel.model_copy(update={"execution": "scheduled"})
        c = compile_problem(one).at_stage(0, {})
        if refuses(c) is not None:
            return
        pool = Pool(one, c)
        PathSearch(pool, c, Control()).run(Limits(20.0))
        best = scheduled_optimum(one)
        if best is not None and pool.bound is not None:
            assert pool.bound <= best + ROUNDING * abs(best) + 1e-300
            seen["bound"] += 1

    check()
    assert seen["bound"] >= 5


def test_labels_know_the_objective_of_every_plan():
    seen = Counter()

    @settings(max_examples=100, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c, others, paths = by_paths(one)
        if others is None:
            return
        placement = np.array([draw.choice(np.flatnonzero(row)) for row in c.allowed])
        late = any(
            evaluator_of(c).latencies(placement[None])[0, a] > limit * (1 + 1e-8) for a, limit in paths.deadlines
        )
        if evaluator_of(others).excess(placement[None])[0] > 0:
            return
        only = np.zeros_like(c.allowed)
        only[np.arange(len(placement)), placement] = True
        decomposition = decomposition_of(replace(others, allowed=only), paths)
        multipliers = random_multipliers(decomposition, draw, 1.0)
        search = LabelSearch(decomposition.c, decomposition.completions(multipliers))
        found = search.run(MANY, np.inf, Clock(20.0), Control())
        seen["late" if late else "plans"] += 1
        if late:
            assert np.isinf(found.least)
        elif is_whole(c):
            true = evaluator_of(c).objectives(placement[None])[0]
            assert found.least == pytest.approx(true, rel=1e-9, abs=1e-300)

    check()
    assert seen["plans"] >= 8
    assert seen["late"] >= 1


def diamond():
    """Return a problem of four layers, two of which run side by side."""
    net = network("a b c d", [tensor("t", "a", "b c", 1), tensor("u", "b", "d", 1), tensor("v", "c", "d", 1)])
    return problem(net, PAIR, dict.fromkeys("abcd", (1, 1)), "parallel")


@pytest.mark.parametrize("way", [batched_loops, loops()], ids=["numpy", "numba"])
def test_flows_are_means_of_paths(way):
    c = compile_problem(diamond())
    paths = PathTerms(c.seconds, c.edge_seconds, np.array([[2.0]]))
    nodes, edges = np.zeros(len(c.node_names)), np.zeros(len(c.edges))
    nodes[c.node_names.index("b")] = np.log(3.0)
    flow = paths.flow(c, nodes, edges, way)
    assert flow.masses.tolist() == [2.0]
    found = dict(zip(c.node_names, flow.nodes.tolist(), strict=True))
    assert {name: found[name] for name in "abcd"} == pytest.approx({"a": 1, "b": 0.75, "c": 0.25, "d": 1})
    into = incoming(c)
    for node in range(len(c.node_names)):
        mine = into.edges[into.starts[node] : into.starts[node + 1]]
        assert not len(mine) or flow.edges[mine].sum() == pytest.approx(flow.nodes[node])


def test_tensors_of_edges_take_as_long():
    c = without_latencies(compile_problem(diamond()))
    by_edges = with_tensors_of_edges(c)
    assert (by_edges.edge_producer == c.edge_producer).all()
    assert (by_edges.edge_consumer == c.edge_consumer).all()
    assert (by_edges.edge_seconds == c.edge_seconds).all()


def chain_in_three(execution="parallel", **fields):
    """Return twelve layers in a row, of which four fit on each of three devices."""
    names = [f"l{number}" for number in range(12)]
    net = network(
        [dp.Layer(name=name, weights=1.0) for name in names],
        [tensor(f"t{number}", names[number], names[number + 1], 2.0) for number in range(11)],
        **fields,
    )
    on = platform("p q r", [link("w")], {f"{i}>{j}": "w" for i in "pqr" for j in "pqr" if i != j})
    limits = [Memory(limits=dict.fromkeys("pqr", 4.0)), *([Deadline()] if "deadline" in fields else [])]
    return problem(net, on, dict.fromkeys(names, (1.0, 1.0, 3.0)), execution, subject_to=limits)


def test_layers_that_do_not_fit_together_are_seen_before_anything_is_branched_on():
    one = chain_in_three()
    c = compile_problem(one)
    pool = Pool(one, c)
    PathSearch(pool, c, Control()).run(Limits(20.0))
    assert pool.objective == pytest.approx(4 + 4 + 12 + 2 * 2)
    assert pool.bound == pytest.approx(pool.objective, rel=1e-6)
    assert solve(one, time_limit=20).status == "optimal"


@pytest.mark.parametrize(("deadline", "best"), [(100.0, 4.0), (24.0, 4.0), (23.0, None)])
def test_deadlines_are_kept_to_the_second(deadline, best):
    one = chain_in_three(deadline=deadline).replace(minimize=traffic())
    c = compile_problem(one)
    pool = Pool(one, c)
    outcome = PathSearch(pool, c, Control()).run(Limits(20.0))
    assert pool.objective == best
    if best is None:
        assert outcome.status == "infeasible"
    else:
        assert pool.bound == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    ("first", "cap", "best"), [(traffic(), 1.0, 4.0), (largest(traffic()), 1.0, 4.0), (energy(), 0, 4)]
)
def test_limits_on_objectives_of_higher_priority_are_kept_with_the_tensors_they_are_about(first, cap, best):
    net = network([dp.Layer(name=name, weights=1.0) for name in "abc"], [tensor("t", "a", "b c", 1.0)])
    one = problem(net, PAIR, {"a": (1, 5), "b": (2, 2), "c": (2, 2)}, "parallel")
    one = one.replace(subject_to=[Memory(limits={"p": 1.0, "q": 3.0})], minimize=in_order(first, latency()))
    c, caps = compile_problem(one), {0: cap}
    pool = Pool(one, c.at_stage(1, caps), 1, caps)
    PathSearch(pool, pool.compiled, Control()).run(Limits(20.0))
    assert pool.objective == pytest.approx(best)
    assert pool.bound == pytest.approx(best, rel=1e-6)


def test_copies_that_share_links_are_not_charged_more_where_devices_are_merged(monkeypatch):
    monkeypatch.setattr(groups, "_WIDTHS", (1,))  # the best plan of clusters alone
    names = [f"d{number}" for number in range(12)]
    links = [link(f"{way}-{name}") for name in names for way in ("up", "down")]
    pairs = [(i, j) for i in names for j in names if i != j]
    far = {f"{i}>{j}": "far0 far1 far2 far3 far4" for i, j in pairs if "d3" in (i, j)}
    near = {f"{i}>{j}": f"up-{i} down-{j}" for i, j in pairs if "d3" not in (i, j)}
    on = platform(" ".join(names), [*links, *(link(f"far{number}") for number in range(5))], near | far)
    net = network([dp.Layer(name=name, weights=1.0) for name in "abcd"], [tensor("t", "a", "b c d", 1.0)])
    places = {"a": ["d5"], "b": ["d7", "d3"], "c": ["d9", "d3"], "d": ["d11", "d3"]}
    limits = Memory(limits={name: 3.0 if name == "d3" else 1.0 for name in names})
    one = problem(
        net,
        on,
        dict.fromkeys("abcd", (1.0,) * 12),
        "parallel",
        subject_to=[limits, *(Placement(layer=name, allowed=allowed) for name, allowed in places.items())],
    ).replace(minimize=traffic() + 0.01 * latency(), transport="multicast")
    c = compile_problem(one)
    best = evaluator_of(c).objectives(np.array([[5, 7, 9, 11]]))[0]
    pool = Pool(one, c)
    PathSearch(pool, c, Control()).run(Limits(5.0))
    assert best == pytest.approx(4.04)
    assert pool.bound is None or pool.bound <= best * (1.0 + 1e-9)
