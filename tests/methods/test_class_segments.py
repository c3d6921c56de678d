"""Intervals of colocation classes: what they cost, and the best of them, against enumeration."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems
from workloads import every_placement, workload

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.logical import Colocation
from dnnopt.compiled.scaling import all_on_one
from dnnopt.inputs.generators.operators import operator_graph
from dnnopt.inputs.msr import problem_of_workload
from dnnopt.methods.bounds import chains
from dnnopt.methods.heuristics import Effort, class_segments
from dnnopt.methods.heuristics.neighbours import Neighbours
from dnnopt.methods.programs.intervals import ClassUnits, OrderIntervals
from dnnopt.models.solvers.interface import Clock


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("objective", ["throughput", "latency"])
def test_intervals_cost_what_the_evaluator_says(objective, seed):
    data = workload(seed, nodes=9, backward=0 if objective == "latency" else seed % 4)
    c = compile_problem(problem_of_workload(data, "net", objective=objective))
    evaluator, units = Evaluator(c), ClassUnits.of(c)
    cpu = c.device_names.index("cpus" if objective == "latency" else "cpu1")
    for order in units.orders():
        intervals = OrderIntervals(units, order)
        links = np.ones(len(c.link_names), dtype=bool)
        cost = intervals.seconds(0) + intervals.transfers(0, links)
        for a in range(intervals.count):
            for b in range(a + 1, intervals.count + 1):
                inside = (intervals.place >= a) & (intervals.place < b)
                plan = np.where(inside & c.is_layer, 0, cpu)[None]
                there = evaluator.loads(plan) if objective == "throughput" else evaluator.call_seconds(plan)
                assert cost[a, b] == pytest.approx(there[0, 0])
                assert intervals.fits(0)[a, b]
                if objective == "latency":
                    alone = {node for node in range(9) if inside[node]}
                    assert intervals.path(cpu)[a, b] == pytest.approx(longest(data, alone))


def longest(data, alone):
    """Return the longest path through some nodes on a processor, in seconds."""
    ends = {}
    for node in sorted(alone):
        before = [
            ends[edge["sourceId"]] for edge in data["edges"] if edge["destId"] == node and edge["sourceId"] in ends
        ]
        ends[node] = max(before, default=0.0) + 1e-3 * data["nodes"][node]["cpuLatency"]
    return max(ends.values())


@pytest.mark.parametrize("seed", range(10))
def test_orders_are_those_of_paths_and_units_those_of_cycles(seed):
    c = compile_problem(problem_of_workload(workload(seed, nodes=10), "net", objective="latency"))
    units = ClassUnits.of(c)
    edges = list(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True))
    reach = np.eye(10, dtype=bool)
    for one in c.constraints:
        if isinstance(one, Colocation):
            reach[np.ix_(one.nodes, one.nodes)] = True
    for u, v in edges:
        reach[u, v] = True
    for _ in range(4):
        reach = reach @ reach
    assert ((units.of_node[:, None] == units.of_node[None, :]) == (reach & reach.T)).all()
    orders = list(units.orders())
    assert orders
    for order in orders:
        assert sorted(order.tolist()) == list(range(len(units.before)))
        place = np.argsort(order)[units.of_node]
        assert all(place[u] <= place[v] for u, v in edges)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("objective", "contiguous"), [("throughput", True), ("throughput", False), ("latency", False)])
def test_the_best_interval_plan_is_found(objective, contiguous, seed):
    """Of all plans of one interval a device in the orders, none is better by the sum or the maximum of their loads."""
    data = workload(seed, room=0.6 if seed % 2 else None)
    c = compile_problem(problem_of_workload(data, "net", objective=objective, contiguous=contiguous))
    evaluator, units = Evaluator(c), ClassUnits.of(c)
    [(name, found)] = class_segments.placements(evaluator, Effort())
    assert name == "segments of classes"
    assert evaluator.excess(found[None])[0] == 0
    value = evaluator.objectives(found[None])[0]
    plans = every_placement(c)
    plans = plans[evaluator.excess(plans) == 0]
    values = evaluator.objectives(plans)
    assert value >= values.min() * (1 - 1e-9)
    if objective == "throughput":
        least = np.inf
        for order in units.orders():
            place = np.argsort(order)[units.of_node]
            for plan, one in zip(plans, values, strict=True):
                runs = np.diff(plan[np.argsort(place, kind="stable")]) != 0
                if runs.sum() + 1 == len(np.unique(plan)):
                    least = min(least, one)
        assert value <= least * (1 + 1e-9)


def test_loose_classes_stand_behind_what_they_exchange_most_with():
    data = workload(3, nodes=8, backward=3)
    for node in data["nodes"]:
        node["colorClass"] = 10 + node["id"]
    data["edges"] = [{"sourceId": u, "destId": v, "cost": cost} for u, v, cost in
                     [(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0), (3, 4, 1.0), (5, 1, 9.0), (6, 5, 1.0)]]  # fmt: skip
    c = compile_problem(problem_of_workload(data, "net", contiguous=True))
    units = ClassUnits.of(c)
    name = [c.node_names[units.of_node.tolist().index(unit)] for unit in range(8)]
    assert {name[unit] for unit in np.flatnonzero(units.loose)} == {"n5", "n6", "n7"}
    for order in units.orders():
        assert [name[unit] for unit in order] == ["n0", "n1", "n5", "n6", "n2", "n3", "n4", "n7"]


@pytest.mark.parametrize("seed", range(3))
def test_the_greedy_plan_fills_accelerators_one_after_the_other(seed):
    c = compile_problem(operator_graph(60, 3, room=0.8, seed=seed))
    units = ClassUnits.of(c)
    order = next(iter(units.orders()))
    for plan in class_segments.filled(units, order, all_on_one(c)):
        assert Evaluator(c).excess(plan[None])[0] == 0
        unit_plan = plan[[np.flatnonzero(units.of_node == unit)[0] for unit in order]]
        turns = [device for device in unit_plan.tolist() if c.device_names[device] != "cpus"]
        assert turns == sorted(turns)


def test_auto_starts_there_and_is_not_worse():
    one = operator_graph(60, 3, room=0.8, seed=1)
    c = compile_problem(one)
    [(_, found)] = class_segments.placements(Evaluator(c), Effort())
    result = dp.solve(one, time_limit=0.5, confirm=False)
    assert result.objective <= Evaluator(c).objectives(found[None])[0] * (1 + 1e-9)
    assert result.objective < min(Evaluator(c).objectives(all_on_one(c))[-1:])


def test_the_chain_bound_of_calls_sees_what_is_colocated_with_the_path():
    better = 0
    for seed in range(16):
        data = workload(seed, nodes=6, room=0.5)
        c = compile_problem(problem_of_workload(data, "net", objective="latency"))
        evaluator, plans = Evaluator(c), every_placement(c)
        least = evaluator.objectives(plans[evaluator.excess(plans) == 0]).min()
        bound = chains.chain_bound(c)
        assert bound <= least * (1 + 1e-9)
        apart = replace(c, constraints=tuple(one for one in c.constraints if not isinstance(one, Colocation)))
        assert bound >= chains.chain_bound(apart) * (1 - 1e-9)
        better += bound > chains.chain_bound(apart) * (1 + 1e-6)
    assert better >= 4


def test_it_takes_every_problem():
    @settings(max_examples=15)
    @given(problems(), st.integers(0, 1))
    def check(one, short):
        c = compile_problem(one)
        if Evaluator.refuses(c) is None:
            clock = Clock(0.0) if short else Clock()
            for _, placement in class_segments.BASELINE.placements(c, Effort(clock)):
                assert placement.shape == (len(c.node_names),)
                assert c.allowed[np.arange(len(placement)), placement].all() or not c.allowed.any(axis=1).all()

    check()


def test_random_changes_move_whole_classes():
    c = compile_problem(problem_of_workload(workload(5, nodes=12), "net"))
    classes = [one.nodes for one in c.constraints if isinstance(one, Colocation)]
    assert classes
    draws, placement = Neighbours(c, random.Random(1)), [0] * len(c.node_names)
    for _ in range(200):
        nodes, executors = draws.draw(placement)
        assert len(set(nodes)) == len(nodes)
        for node, executor in zip(nodes, executors, strict=True):
            placement[node] = executor
        assert all(len({placement[node] for node in nodes}) == 1 for nodes in classes)
