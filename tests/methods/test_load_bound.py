"""The load bound: below every plan, and what a linear program says without communication."""

import numpy as np
import pytest
from brute_force import brute_force
from hypothesis import given, settings
from strategies import problems

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.bounds.loads import SOURCE, add_load_bound, load_bound
from dnnopt.methods.pool import Pool


@settings(max_examples=100, deadline=None)
@given(problems(executions=["pipelined"], most_placements=243))
def test_no_plan_is_below_the_load_bound(problem):
    compiled = compile_problem(problem)
    pool = Pool(problem, compiled, 0)
    add_load_bound(pool)
    best = brute_force(problem)
    if pool.bound is not None and best.objective is not None:
        assert pool.bound <= best.objective * (1 + 1e-9)


def test_layers_are_spread_over_devices_as_well_as_fractions_can_be():
    layers = [dp.Layer(f"l{k}", flops=1e9, bytes=1.0) for k in range(12)]
    devices = [dp.Device(name=name, flops_per_s=speed, bytes_per_s=1e12) for name, speed in (("a", 1e9), ("b", 3e9))]
    problem = dp.Problem(dp.Network("net", layers=layers), dp.Platform(devices=devices), "pipelined", dp.period())
    compiled = compile_problem(problem)
    bound = load_bound(compiled, np.ones(len(compiled.node_names), dtype=bool))
    assert bound == pytest.approx(3.0, rel=0.01)  # 12 s on a, 4 s on b: 3 s on both
    assert bound <= 3.0


def test_it_bounds_schedules_too():
    layers = [dp.Layer(f"l{k}", flops=1e9, bytes=1.0) for k in range(8)]
    devices = [dp.Device(name=name, flops_per_s=1e9, bytes_per_s=1e12) for name in "ab"]
    problem = dp.Problem(dp.Network("net", layers=layers), dp.Platform(devices=devices), "scheduled", dp.latency())
    pool = Pool(problem, compile_problem(problem), 0)
    add_load_bound(pool)
    assert pool.bound == pytest.approx(4.0)
    assert pool.bound_by == SOURCE
