"""The oracle, which shares nothing with the referee, says of every plan of random problems what the referee says."""

from fractions import Fraction

import pytest
from builders import layer, link, network, plan, platform, problem, tensor
from choice_problems import problems_with_choices
from hunt_truth import Truth
from hypothesis import given, settings
from limits import placement_plan
from oracle import judge, placements, places
from scheduled_optimum import TooManyOrdersError, best_schedule, scheduled
from strategies import problems

from dnnopt.problem.constraints import Contiguous, Deadline, MaxCuts, Memory
from dnnopt.problem.objectives import energy, latency
from dnnopt.problem.platforms import Device
from dnnopt.referee import evaluate


@settings(max_examples=80)
@given(
    problems(
        executions=("sequential", "parallel", "pipelined", "call"),
        most_placements=81,
        largest_spread=9,
        priorities=2,
        own_metrics=True,
    )
)
def test_oracle_and_referee_agree_on_every_plan(one):
    for where in placements(one):
        judged = evaluate(one, placement_plan(one, tuple(where.values())))
        verdicts = judge(one, where)
        assert any(verdict.feasible for verdict in verdicts) == judged.feasible
        if judged.feasible:
            assert [float(value) for value in verdicts[0].objectives] == pytest.approx(judged.objectives, rel=1e-12)


@settings(max_examples=15)
@given(problems_with_choices(executions=("sequential", "parallel", "pipelined"), priorities=2))
def test_oracle_and_referee_agree_on_plans_that_choose_more_than_devices(one):
    truth = Truth(one)
    for choice, verdicts in truth.verdicts.items():
        judged = evaluate(one, truth.plan(choice))
        assert any(verdict.feasible for verdict in verdicts) == judged.feasible
        if judged.feasible:
            assert [float(value) for value in verdicts[0].objectives] == pytest.approx(judged.objectives, rel=1e-12)


@settings(max_examples=25)
@given(problems_with_choices(always=("blocks",)))
def test_oracle_and_referee_agree_on_plans_with_blocks(one):
    truth = Truth(one)
    for choice, verdicts in truth.verdicts.items():
        plan = truth.plan(choice)
        assert truth.choice(plan) == choice
        judged = evaluate(one, plan)
        assert any(verdict.feasible for verdict in verdicts) == judged.feasible
        if judged.feasible:
            assert [float(value) for value in verdicts[0].objectives] == pytest.approx(judged.objectives, rel=1e-12)


@settings(max_examples=35)
@given(scheduled(most_placements=16, largest_spread=2))
def test_oracle_and_referee_agree_on_the_best_schedule_of_every_placement(one):
    for where in placements(one):
        try:
            expected = best_schedule(one, placement_plan(one, tuple(where.values())), most_nodes=500)
        except TooManyOrdersError:  # many copies over one link take minutes
            continue
        found = [verdict.objectives[0] for verdict in judge(one, where) if verdict.feasible]
        assert bool(found) == (expected is not None)
        if found:
            assert float(min(found)) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def two_layers(execution, **fields):
    """Two layers, a tensor that takes 2 s, and a result that must return."""
    layers = [layer("a", 10, 1), layer("b", 10, 7)]
    net = network(layers, [tensor("t", "a", "b", 2), tensor("u", "b", "output", 3)], source="p", sink="p")
    devices = [Device(name="p", pool=True, idle_power=1.0), Device(name="q")]
    ways = [link("up", sender="p", receiver="q"), link("down", sender="q", receiver="p")]
    on = platform(devices, ways, {"p>q": "up", "q>p": "down"})
    return problem(net, on, {"a": (1, 9), "b": (5, 4)}, execution, **fields)


def verdict(one, words):
    (found,) = judge(one, places(one, plan(words)))
    return found


@pytest.mark.parametrize("execution", ["sequential", "parallel", "pipelined", "scheduled", "call"])
def test_latency_of_a_chain_worked_by_hand(execution):
    # a 1 s on p, t 2 s over up, b 4 s on q, u 3 s over down: one after the other, whatever the execution.
    assert verdict(two_layers(execution), "a:p b:q").objectives == (10,)


def test_idle_energy_and_priorities_worked_by_hand():
    one = two_layers("sequential", minimize=[energy(idle=True), latency().model_copy(update={"priority": 1})])
    assert verdict(one, "a:p b:q").objectives == (9, 10)  # p waits for all but its one second


def test_limits_hold_exactly_and_with_the_promised_tolerance():
    for limit, feasible, strictly in ((10.0, True, True), (10 - 5e-9, True, False), (10 - 2e-8, False, False)):
        found = verdict(two_layers("sequential", subject_to=[Deadline(limit=limit)]), "a:p b:q")
        assert (found.feasible, found.strictly_feasible) == (feasible, strictly)


def test_a_tie_beside_a_billion_is_no_tie():
    one = two_layers("sequential")
    times = {"net": {"a": {"p": 1e9, "q": 1e9}, "b": {"p": 1.0, "q": 1.0 + 2**-52}}}
    one = one.replace(profile=one.profile.replace(time=times))
    first, second = (verdict(one, words).objectives[0] for words in ("a:p b:p", "a:p b:q"))
    assert second - first == 5 + Fraction(1, 2**52)


def test_calls_that_wait_for_each_other_and_missing_routes_have_no_verdict():
    net = network("a b c", [tensor("t", "a", "b", 1), tensor("u", "b", "c", 1)])
    devices = [Device(name="p", pool=True), Device(name="q")]
    ways = [link("up", sender="p", receiver="q"), link("down", sender="q", receiver="p")]
    times = dict.fromkeys("abc", (1, 1))
    one = problem(net, platform(devices, ways, {"p>q": "up", "q>p": "down"}), times, "call")
    assert judge(one, places(one, plan("a:q b:p c:q"))) == []
    assert verdict(one, "a:p b:q c:p").objectives == (5,)
    lone = problem(net, platform(devices, ways, {"p>q": "up"}), times)
    assert judge(lone, places(lone, plan("a:q b:p c:p"))) == []


def test_contiguity_asks_for_an_order_of_the_devices():
    # Convex on both devices, but p waits for q and q for p.
    net = network("a b c d", [tensor("t", "a", "b", 1), tensor("u", "c", "d", 1)])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    one = problem(net, on, dict.fromkeys("abcd", (1, 1)), subject_to=[Contiguous()])
    assert not verdict(one, "a:p b:q c:q d:p").feasible
    assert verdict(one, "a:p b:q c:p d:q").feasible
    some = problem(net, on, dict.fromkeys("abcd", (1, 1)), subject_to=[Contiguous(network="net", layers=("a", "b"))])
    assert verdict(some, "a:p b:q c:q d:p").feasible


def test_memory_counts_buffers_once_a_tensor_and_the_largest_activation():
    rule = Memory(rule="weights+largest_activation", buffers=2, limits={"q": 0.0})
    one = two_layers("sequential", subject_to=[rule, MaxCuts(limit=1)])
    used = {limit.label: limit.used for limit in verdict(one, "a:p b:q").limits}
    assert used == {"memory(q)": 10 + 7 + 2 * (2 + 3), "max_cuts": 2}


def test_a_schedule_waits_for_the_link_and_zero_seconds_occupy_nothing():
    net = network("a b c d", [tensor("t", "a", "c", 3), tensor("u", "b", "d", 3)])
    on = platform("p q", [link("w")], {"p>q": "w"})
    one = problem(net, on, {"a": (1, 1), "b": (1, 1), "c": (0, 2), "d": (0, 0)}, "scheduled")
    assert verdict(one, "a:p b:p c:q d:q").objectives == (7,)  # a, t, u; c beside u, and nothing after it
