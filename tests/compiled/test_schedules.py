"""Schedules of placements: every one is accepted by the referee, and times are exact."""

import numpy as np
import pytest
from builders import link, network, platform, problem, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduled_optimum import best_schedule, placed

from dnnopt.compiled.batch_scheduling import BatchScheduler
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scheduling import Scheduler, plan_of, times_of
from dnnopt.formulations.hops import not_a_tree
from dnnopt.methods.pool import Pool
from dnnopt.methods.sequencing import sequence
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.referee import evaluate

# What a placement breaks whatever its schedule is.
OF_PLACEMENT = ("unsupported(", "route(", "multicast_tree(")


def broken(judged):
    return [v for v in judged.violations if not v.constraint.startswith(OF_PLACEMENT)]


@settings(max_examples=70)
@given(placed(), st.randoms(use_true_random=False))
def test_list_schedules_with_any_priorities_pass_the_referee(drawn, random):
    given_problem, compiled, placement = drawn
    if not_a_tree(compiled):
        return
    tasks = Scheduler(compiled).tasks(placement)
    priorities = (None, [random.random() for _ in tasks.seconds], [0.0] * len(tasks.seconds))
    for starts in map(tasks.list_schedule, priorities):
        judged = evaluate(given_problem, tasks.plan(starts))
        assert broken(judged) == []
        latencies = [judged.metrics[f"latency({name})"] for name in compiled.network_names]
        if judged.feasible:
            assert latencies == pytest.approx(tasks.latencies(starts).tolist(), rel=1e-12)


@settings(max_examples=50)
@given(placed())
def test_a_plan_keeps_its_times_on_the_way_to_a_file_and_back(drawn):
    given_problem, compiled, placement = drawn
    if not_a_tree(compiled):
        return
    tasks = Scheduler(compiled).tasks(placement)
    starts = tasks.list_schedule()
    times = times_of(compiled, tasks.plan(starts))
    if given_problem.transport != "per_edge":
        assert times.starts == pytest.approx(starts, rel=1e-12)
    # Of several copies for one device a file does not say whose they are: who starts first has the first one.
    assert (tasks.latencies(times.starts) <= tasks.latencies(starts) * (1 + 1e-12)).all()
    assert broken(evaluate(given_problem, times.tasks.plan(times.starts))) == []


@settings(max_examples=50)
@given(placed(), st.randoms(use_true_random=False))
def test_many_placements_at_once_are_timed_like_each_alone(drawn, random):
    _, compiled, placement = drawn
    scheduler = Scheduler(compiled)
    executors = range(compiled.time.shape[1])
    others = [[random.choice(executors) for _ in placement] for _ in range(5)]
    placements = np.array([placement, *(np.where(compiled.is_layer, other, placement) for other in others)])
    latencies = BatchScheduler(scheduler).latencies(placements)
    for row, one in zip(latencies, placements, strict=True):
        tasks = scheduler.tasks(one)
        assert row == pytest.approx(tasks.latencies(tasks.retime(tasks.order)), rel=1e-12)


@settings(max_examples=40)
@given(placed(most_placements=250))
def test_sequencing_finds_the_best_schedule_of_a_placement(drawn):
    given_problem, compiled, placement = drawn
    pool = Pool(given_problem, compiled.at_stage(0, {}))
    if not pool.accepts(pool.offer_placement(placement, "list")) or not_a_tree(compiled):
        return
    sequence(pool, Limits(threads=1), Control())
    best = best_schedule(given_problem, compiled.plan(placement), pool.objective)
    assert pool.objective == pytest.approx(best, rel=1e-6)


# Two chains that share the device pi: a1 -> b1 is long after a1, so a1 should go first.
CHAINS = network(
    "a1 b1 a2", [tensor("t", "a1", "b1", 5), tensor("r", "b1", "output", 0), tensor("s", "a2", "output", 0)]
)
PAIR = platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"})
TIMES = {"a1": (2, 9), "b1": (9, 3), "a2": (2, 9)}


def test_the_list_schedule_starts_what_has_most_to_follow():
    chains = problem(CHAINS, PAIR, TIMES, "scheduled")
    compiled = compile_problem(chains)
    judged = evaluate(chains, plan_of(compiled, np.array([0, 1, 0])))
    assert judged.objective == 10
    tasks = Scheduler(compiled).tasks(np.array([0, 1, 0]))
    late = tasks.list_schedule([0.0, 0.0, 1.0, 0.0])
    assert evaluate(chains, tasks.plan(late)).objective == 12


def test_sequencing_lets_a_device_wait_for_what_is_urgent():
    # b is ready at once, a at 1, and c, which is long, waits for a: a list schedule starts b.
    net = network("z a b c", [tensor("za", "z", "a", 0), tensor("ac", "a", "c", 0)])
    on = platform("pi t4", [], {"pi>t4": "", "t4>pi": ""})
    waiting = problem(net, on, {"z": (9, 1), "a": (1, 9), "b": (5, 99), "c": (99, 9)}, "scheduled")
    pool = Pool(waiting, compile_problem(waiting))
    assert pool.offer_placement(np.array([1, 0, 0, 1]), "list").objective == 15
    assert sequence(pool, Limits(threads=1), Control())
    assert pool.objective == 11


def test_layers_and_transfers_of_no_time_occupy_nothing():
    net = network("a b", [tensor("x", "input", "a b", 0)], source="pi")
    free = problem(net, platform("pi t4", [link("up")], {"pi>t4": "up"}), {"a": (0, 0), "b": (4, 4)}, "scheduled")
    tasks = Scheduler(compile_problem(free)).tasks(np.array([0, 1, 1]))
    assert tasks.list_schedule() == [0.0, 0.0, 0.0, 0.0]
