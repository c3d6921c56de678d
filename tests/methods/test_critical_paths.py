"""The bound of paths, and labels that follow times, against all placements."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from brute_force import ROUNDING, brute_force
from builders import link, network, platform, problem, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import LinearLimit, MemoryLimit
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.logical import Colocation, DeviceCount, Separation, TierOrder
from dnnopt.methods.bounds.critical_paths import PathSearch, maxima_of, refuses, split
from dnnopt.methods.exact import groups
from dnnopt.methods.groups import batched_loops
from dnnopt.methods.groups.decomposition import DeviceGroups
from dnnopt.methods.groups.families import family
from dnnopt.methods.groups.flows import PathFlow, incoming
from dnnopt.methods.groups.loops import loops
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Clock, Control, Limits
from dnnopt.problem.constraints import Memory
from dnnopt.problem.objectives import energy, largest, latency

MANY = 10**6
KEPT = (LinearLimit, MemoryLimit, Colocation, Separation, TierOrder, DeviceCount)
PAIR = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})


@st.composite
def in_tight_memory(draw):
    """Draw problems whose latency is the longest path, on devices that all have a limit on memory."""
    one = draw(problems(("parallel",), most_placements=120, largest_spread=2))
    kept = [limit for limit in one.subject_to if not isinstance(limit, Memory)]
    total = sum(layer.weights or 0.0 for net in one.networks for layer in net.layers) or 1.0
    share = st.sampled_from((0.4, 0.7, 1.0, 2.0))
    limits = {device: total * draw(share) + 1.0 for device in one.platform.device_names()}
    terms = [latency(), latency() + 0.25 * energy(), 2.0 * largest(latency())]
    return one.replace(minimize=draw(st.sampled_from(terms)), subject_to=[*kept, Memory(limits=limits)])


DRAWN = in_tight_memory()


def by_paths(one):
    """Return the problem compiled, that with a tensor for each edge, and flows there; None where it is not suited."""
    c = compile_problem(one).at_stage(0, {})
    if refuses(c) is not None or not c.allowed.any(axis=1).all():
        return c, None, None
    by_edges = split(c)
    if not groups.suits(by_edges):
        return c, None, None
    return c, by_edges, PathFlow(by_edges.objective[0][0].metric, maxima_of(c))


def decomposition_of(by_edges, flow):
    """Return the decomposition by all groups."""
    return flow.decomposition(by_edges, DeviceGroups.of(by_edges, family(by_edges)), 64)


def random_multipliers(decomposition, draw, size):
    """Return multipliers of any size, not negative where they must not be."""
    multipliers = draw.normal(size=decomposition.size) * size * 10.0 ** draw.integers(-2, 2)
    for part in decomposition.split(multipliers)[2:]:
        np.abs(part, out=part)
    multipliers[decomposition.prices_end :] = draw.normal(size=decomposition.size - decomposition.prices_end) * 3.0
    return multipliers


def test_no_flow_and_no_prices_give_a_bound_above_the_optimum():
    seen = Counter()

    @settings(max_examples=80, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c, by_edges, flow = by_paths(one)
        best = brute_force(one)
        if by_edges is None or best.objective is None:
            return
        decomposition = decomposition_of(by_edges, flow)
        room = ROUNDING * abs(best.objective) + 1e-300
        multipliers = random_multipliers(decomposition, draw, abs(best.objective) or 1.0)
        value, _ = decomposition.value(multipliers)
        ascended, multipliers = decomposition.ascend(multipliers, 30, abs(best.objective), 0.1, lambda bound: False)
        assert value <= ascended <= best.objective + room
        marginals = decomposition.marginals(multipliers)
        mean = evaluator_of(decomposition.problem(multipliers))
        for plan in best.plans:
            placement = c.placement(plan)
            assert (marginals[np.arange(len(placement)), placement] <= best.objective + room).all()
            assert mean.objectives(placement[None])[0] <= best.objective + room
        seen["bound"] += 1
        seen["close"] += ascended >= 0.9 * best.objective

    check()
    assert seen["bound"] >= 8
    assert seen["close"] >= 2


def test_searches_end_with_the_optimum_where_nothing_is_relaxed_and_with_bounds_elsewhere():
    seen = Counter()

    @settings(max_examples=150, deadline=None)
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
        relaxed = len(one.minimize) > 1 or any(
            not isinstance(limit, KEPT) or (isinstance(limit, MemoryLimit) and limit.buffers) for limit in c.constraints
        )
        if pool.bound is not None and not relaxed and not any(limit.metric.sends for limit in linear_limits(c)):
            assert pool.bound >= best.objective - 1e-6 * abs(best.objective)
            seen["optimum"] += 1

    check()
    assert seen["bound"] >= 20
    assert seen["optimum"] >= 10


def linear_limits(c):
    """Return the limits on metrics."""
    return [limit for limit in c.constraints if isinstance(limit, LinearLimit)]


def test_labels_know_the_latency_of_every_plan():
    seen = Counter()

    @settings(max_examples=80, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c, by_edges, flow = by_paths(one)
        if by_edges is None or len(one.minimize) > 1:  # what copies cost is spread over edges
            return
        placement = np.array([draw.choice(np.flatnonzero(row)) for row in c.allowed])
        if evaluator_of(by_edges).excess(placement[None])[0] > 0:
            return
        only = np.zeros_like(c.allowed)
        only[np.arange(len(placement)), placement] = True
        decomposition = decomposition_of(replace(by_edges, allowed=only), flow)
        multipliers = random_multipliers(decomposition, draw, 1.0)
        search = LabelSearch(decomposition.problem(multipliers), decomposition.completions(multipliers))
        found = search.run(MANY, np.inf, Clock(20.0), Control())
        true = evaluator_of(c).objectives(placement[None])[0]
        assert found.least == pytest.approx(true, rel=1e-9, abs=1e-300)
        seen["plans"] += 1

    check()
    assert seen["plans"] >= 8


@pytest.mark.parametrize("way", [batched_loops, loops()], ids=["numpy", "numba"])
def test_flows_are_means_of_paths(way):
    diamond = network("a b c d", [tensor("t", "a", "b c", 1), tensor("u", "b", "d", 1), tensor("v", "c", "d", 1)])
    c = split(compile_problem(problem(diamond, PAIR, dict.fromkeys("abcd", (1, 1)), "parallel")))
    flow = PathFlow(c.objective[0][0].metric, np.array([[2.0]]))
    nodes, edges = np.zeros(len(c.node_names)), np.zeros(len(c.tensor_names))
    nodes[c.node_names.index("b")] = np.log(3.0)
    found, over = flow.of(c, nodes, edges, way)
    assert dict(zip(c.node_names, found.tolist(), strict=True)) == pytest.approx({"a": 2, "b": 1.5, "c": 0.5, "d": 2})
    into = incoming(c)
    for node in range(len(found)):
        mine = into.edges[into.starts[node] : into.starts[node + 1]]
        assert not len(mine) or over[mine].sum() == pytest.approx(found[node])


def test_of_two_tensors_from_layer_to_layer_the_larger_counts():
    net = network("a b", [tensor("t", "a", "b", 1), tensor("u", "a", "b", 5)])
    c = split(compile_problem(problem(net, PAIR, {"a": (1, 1), "b": (1, 1)}, "parallel")))
    assert c.tensor_bytes.tolist() == [5.0]


def test_layers_that_do_not_fit_together_are_seen_before_anything_is_branched_on():
    names = [f"l{number}" for number in range(12)]
    net = network(
        [dp.Layer(name=name, weights=1.0) for name in names],
        [tensor(f"t{number}", names[number], names[number + 1], 2.0) for number in range(11)],
    )
    on = platform("p q r", [link("w")], {f"{i}>{j}": "w" for i in "pqr" for j in "pqr" if i != j})
    one = problem(
        net,
        on,
        dict.fromkeys(names, (1.0, 1.0, 3.0)),
        "parallel",
        subject_to=[Memory(limits=dict.fromkeys("pqr", 4.0))],
    )
    c = compile_problem(one)
    pool = Pool(one, c)
    PathSearch(pool, c, Control()).run(Limits(20.0))
    assert pool.objective == pytest.approx(4 + 4 + 12 + 2 * 2)
    assert pool.bound == pytest.approx(pool.objective, rel=1e-6)
    assert solve(one, time_limit=20).status == "optimal"
