"""The bound of loads under a cap, against all placements."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from brute_force import ROUNDING, brute_force
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from special import alike_in_memory, followed

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.methods.bounds import capped_loads, merged_devices
from dnnopt.methods.bounds.capped_loads import bound_loads, capped, refuses
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.lagrangian import Lagrangian
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.objectives import energy, period, traffic
from dnnopt.referee import evaluate

PERIODS = st.sampled_from((period(), 2.0 * period(), period() + 0.1 * energy(), period() + traffic()))
DRAWN = st.tuples(
    st.one_of(followed(most_placements=120), alike_in_memory(executions=("sequential", "pipelined"))), PERIODS
).map(lambda pair: pair[0].replace(minimize=pair[1]))


def balanced(count, layers=12):
    """Return a pipeline on so many devices that are alike, and a slower one, on links that take nearly no time."""
    names = [f"d{number}" for number in range(count)]
    devices = [dp.Device(name=name, flops_per_s=1e9, bytes_per_s=1e12) for name in names]
    devices.append(dp.Device(name="slow", flops_per_s=0.25e9, bytes_per_s=1e12))
    links = [dp.Link(f"{device.name}-up", bandwidth=1e9, latency=0.0, sender=device.name) for device in devices]
    links += [dp.Link(f"{device.name}-down", bandwidth=1e9, latency=0.0, receiver=device.name) for device in devices]
    routes = [
        dp.Route(origin=i.name, destination=j.name, links=(f"{i.name}-up", f"{j.name}-down"))
        for i in devices
        for j in devices
        if i is not j
    ]
    words = [f"l{number}" for number in range(layers)]
    chain = [dp.Layer(word, flops=(7 + number % 5) * 1e8, bytes=1.0) for number, word in enumerate(words)]
    tensors = [
        dp.Tensor(f"t{number}", producer=word, consumers=(after,), bytes=1e6)
        for number, (word, after) in enumerate(pairwise(words))
    ]
    net = dp.Network("net", layers=chain, tensors=tensors)
    return dp.Problem(net, dp.Platform(devices=devices, links=links, routes=routes), "pipelined", dp.period())


def test_no_plan_within_a_cap_breaks_a_limit_below_it_or_has_a_larger_mean():
    seen = Counter()

    @settings(max_examples=100, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        c = compile_problem(one).at_stage(0, {})
        best = brute_force(one)
        if refuses(c) is not None or not best.objective:
            return
        draw = np.random.default_rng(seed)
        weights = draw.dirichlet(np.ones(len(c.resource_devices)))
        cap = best.objective * (1.0 + draw.choice([0.0, 0.3]))
        below = capped(c, cap, weights)
        evaluator = evaluator_of(below)
        for plan in best.plans:
            placement = c.placement(plan)[None]
            assert evaluator.excess(placement)[0] <= 1e-9
            assert evaluator.objectives(placement)[0] <= best.objective * (1.0 + ROUNDING)
        seen["plans"] += 1

    check_until(check, lambda: seen["plans"] >= 20)


def test_the_bound_is_one_and_plans_are_plans(monkeypatch):
    monkeypatch.setattr(capped_loads, "_FULL", 0.0)
    seen = Counter()

    @settings(max_examples=60, deadline=None)
    @given(DRAWN, st.floats(0.0, 1.0), st.sampled_from((6_500_000, 60)))
    def check(one, above, moves):
        c = compile_problem(one).at_stage(0, {})
        if refuses(c) is not None or not c.allowed.any(axis=1).all():
            return
        monkeypatch.setattr(merged_devices, "_MOST_MOVES", moves)
        best = brute_force(one).objective
        pool = Pool(one, c)
        pool.cutoff = (best or 1.0) * (1.0 + above) + 1e-300
        bound_loads(pool, c, Limits(5.0), Control())
        if pool.plan is not None:
            assert evaluate(one, pool.plan).feasible
        if best is None:
            assert pool.plan is None
            return
        room = ROUNDING * abs(best) + 1e-300
        assert pool.bound is None or pool.bound <= best + room
        assert pool.objective is None or pool.objective >= best - room
        seen["optimum"] += pool.bound is not None and pool.bound >= best * (1.0 - 1e-3) > 0
        seen["plan"] += pool.objective is not None and pool.objective <= best * (1.0 + 1e-6)

    check_until(check, lambda: seen["optimum"] >= 10 and seen["plan"] >= 5)


def test_devices_that_are_alike_do_not_keep_prices_from_the_mean_of_their_loads():
    one = balanced(4)
    c = compile_problem(one)
    prices = Lagrangian(c)
    prices.maximize(Limits(10.0), Control())
    work = sum(layer.flops for network in one.networks for layer in network.layers) / 1e9
    assert prices.bound == pytest.approx(work / 4.25, rel=0.01)


def test_a_balanced_pipeline_is_bounded_where_the_mean_of_loads_is_below_it():
    one = balanced(4, layers=9)
    c = compile_problem(one)
    best = dp.solve(one, time_limit=60).objective
    pool = Pool(one, c)
    pool.cutoff = best
    prices = Lagrangian(c)
    prices.maximize(Limits(10.0), Control())
    assert prices.bound < 0.95 * best
    bound_loads(pool, c, Limits(30.0), Control())
    assert pool.bound == pytest.approx(best, rel=1e-3)


def test_what_idle_devices_save_leaves_more_time_within_a_cap():
    devices = [
        dp.Device(name=name, flops_per_s=1.0, bytes_per_s=1e12, power=0.0, idle_power=idle)
        for name, idle in (("p", 0.0), ("q", 0.9))
    ]
    links = [dp.Link(f"{i}{j}", bandwidth=1e9, latency=0.0, sender=i, receiver=j) for i, j in ("pq", "qp")]
    routes = [dp.Route(origin=one.sender, destination=one.receiver, links=(one.name,)) for one in links]
    layers = [dp.Layer(word, flops=1.0, bytes=0.0) for word in "abcd"]
    tensors = [dp.Tensor(f"{i}{j}", producer=i, consumers=(j,), bytes=1.0) for i, j in pairwise("abcd")]
    net = dp.Network("net", layers=layers, tensors=tensors, weight=0.0)
    platform = dp.Platform(devices=devices, links=links, routes=routes)
    one = dp.Problem(net, platform, "pipelined", period() + 0.5 * energy(idle=True))
    c = compile_problem(one)
    pool = Pool(one, c)
    pool.cutoff = 1.3
    bound_loads(pool, c, Limits(5.0), Control())
    best = brute_force(one).objective
    assert best == pytest.approx(1.1)
    assert pool.bound is None or pool.bound <= best * (1.0 + ROUNDING)


def test_a_period_that_weighs_nothing_is_refused():
    c = compile_problem(balanced(2, layers=3).replace(minimize=0.0 * period() + energy()))
    assert refuses(c) == "an objective without a period, or with several"
