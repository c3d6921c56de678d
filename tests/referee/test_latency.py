"""Latency without a schedule, loads and the period, worked by hand."""

import math

import pytest
from builders import link, network, plan, platform, problem, tensor

from dnnopt.base.errors import InputError
from dnnopt.problem.objectives import latency, period
from dnnopt.referee import evaluate

# a -> b -> c; a on pi, b and c on t4; the input starts on pi, and the answer returns there.
CHAIN = network(
    "a b c",
    [
        tensor("image", "input", "a", 8),
        tensor("ab", "a", "b", 4),
        tensor("bc", "b", "c", 2),
        tensor("answer", "c", "output", 1),
    ],
    source="pi",
    sink="pi",
)
UP_AND_DOWN = [link("up", bandwidth=2, latency=1), link("down", bandwidth=1, latency=0.5)]
PAIR = platform("pi t4", UP_AND_DOWN, {"pi>t4": "up", "t4>pi": "down"})
TIMES = {"a": (2, 1), "b": (3, 1.5), "c": (5, 2.5)}
SPLIT = plan("a:pi b:t4 c:t4")
UP = 1 + 4 / 2  # ab
DOWN = 0.5 + 1 / 1  # answer

# a feeds b and c, which feed d: two branches.
DIAMOND = network(
    "a b c d",
    [
        tensor("a1", "a", "b", 1),
        tensor("a2", "a", "c", 2),
        tensor("b1", "b", "d", 3),
        tensor("c1", "c", "d", 4),
    ],
)
MESH = platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"})
DIAMOND_TIMES = {"a": (1, 1), "b": (10, 10), "c": (2, 2), "d": (1, 1)}


def test_sequential_latency_adds_all_layers_and_transmissions():
    result = evaluate(problem(CHAIN, PAIR, TIMES), SPLIT)
    assert result.objective == 2 + 1.5 + 2.5 + UP + DOWN == 10.5
    assert result.feasible


def test_pipelined_latency_is_the_sequential_one():
    assert evaluate(problem(CHAIN, PAIR, TIMES, "pipelined"), SPLIT).metrics["latency"] == 10.5


def test_period_is_the_largest_load_of_a_resource():
    result = evaluate(problem(CHAIN, PAIR, TIMES, "pipelined", period()), SPLIT)
    loads = {name: result.metrics[f"load({name})"] for name in ("pi", "t4", "up", "down")}
    assert loads == {"pi": 2, "t4": 1.5 + 2.5, "up": UP, "down": DOWN}
    assert result.objective == 4


@pytest.mark.parametrize("execution", ["sequential", "parallel", "scheduled", "pipelined"])
def test_period_is_defined_under_every_execution(execution):
    assert evaluate(problem(CHAIN, PAIR, TIMES, execution), SPLIT).metrics["period"] == 4


def test_a_device_that_cannot_overlap_is_loaded_by_its_links_too():
    joint = platform("pi t4", UP_AND_DOWN, {"pi>t4": "up", "t4>pi": "down"}, {"pi": "pi up down"})
    result = evaluate(problem(CHAIN, joint, TIMES, "pipelined", period()), SPLIT)
    assert result.objective == 2 + UP + DOWN
    assert "load(up)" not in result.metrics


def test_a_link_in_two_resources_loads_both():
    joint = platform("pi t4", UP_AND_DOWN, {"pi>t4": "up", "t4>pi": "down"}, {"pi": "pi up down", "t4": "t4 up down"})
    result = evaluate(problem(CHAIN, joint, TIMES, "pipelined"), SPLIT)
    assert result.metrics["load(pi)"] == 2 + UP + DOWN
    assert result.metrics["load(t4)"] == 4 + UP + DOWN


def test_a_shared_medium_is_loaded_by_all_its_links():
    shared = platform("pi t4", UP_AND_DOWN, {"pi>t4": "up", "t4>pi": "down"}, {"air": "up down"})
    assert evaluate(problem(CHAIN, shared, TIMES, "pipelined"), SPLIT).metrics["load(air)"] == UP + DOWN


def test_critical_path_is_the_longest_branch_with_its_transmissions():
    result = evaluate(problem(DIAMOND, MESH, DIAMOND_TIMES, "parallel"), plan("a:pi b:pi c:t4 d:pi"))
    assert result.objective == max(1 + 10, 1 + 2 + 2 + 4) + 1


def test_critical_path_follows_the_transmissions_where_they_dominate():
    result = evaluate(problem(DIAMOND, MESH, DIAMOND_TIMES | {"b": (1, 1)}, "parallel"), plan("a:pi b:pi c:t4 d:pi"))
    assert result.objective == 1 + 2 + 2 + 4 + 1


def test_critical_path_lets_layers_of_one_device_run_at_once():
    result = evaluate(problem(DIAMOND, MESH, DIAMOND_TIMES, "parallel"), plan("a:pi b:pi c:pi d:pi"))
    assert result.objective == 1 + 10 + 1


def test_critical_path_ends_when_the_answer_arrives_at_the_sink():
    result = evaluate(problem(CHAIN, PAIR, TIMES, "parallel"), SPLIT)
    assert result.objective == 2 + UP + 1.5 + 2.5 + DOWN


def test_critical_path_includes_layers_after_the_answer():
    early = network("a b", [tensor("answer", "a", "b output", 1)], sink="pi")
    result = evaluate(problem(early, PAIR, {"a": (1, 1), "b": (9, 9)}, "parallel"), plan("a:pi b:pi"))
    assert result.objective == 10


def test_critical_path_is_the_same_under_multicast_as_under_unicast():
    fan = network("a b c", [tensor("t", "a", "b c", 3)])
    three = platform("x y z", [link("out"), link("y-in"), link("z-in")], {"x>y": "out y-in", "x>z": "out z-in"})
    times = {"a": (1, 1, 1), "b": (1, 1, 1), "c": (1, 1, 1)}
    values = {
        evaluate(problem(fan, three, times, "parallel", transport=transport), plan("a:x b:y c:z")).objective
        for transport in ("unicast", "multicast", "per_edge")
    }
    assert values == {1 + 3 + 3 + 1}


ANOTHER = network("u v", [tensor("uv", "u", "v", 6)], name="other", weight=2.0)
BOTH = [CHAIN.model_copy(update={"weight": 0.5}), ANOTHER]
BOTH_TIMES = {"net": TIMES, "other": {"u": (1, 1), "v": (1, 1)}}
BOTH_SPLIT = plan({"net": "a:pi b:t4 c:t4", "other": "u:pi v:t4"})


def test_latency_of_several_networks_is_weighted():
    result = evaluate(problem(BOTH, PAIR, BOTH_TIMES), BOTH_SPLIT)
    other = 1 + 1 + 1 + 6 / 2
    assert result.metrics["latency(net)"] == 10.5
    assert result.metrics["latency(other)"] == other
    assert result.objective == 0.5 * 10.5 + 2 * other


def test_latency_of_a_named_network_has_no_weight():
    assert evaluate(problem(BOTH, PAIR, BOTH_TIMES, minimize=latency("other")), BOTH_SPLIT).objective == 6


def test_loads_count_one_sample_of_every_network():
    result = evaluate(problem(BOTH, PAIR, BOTH_TIMES, "pipelined"), BOTH_SPLIT)
    assert result.metrics["load(up)"] == UP + (1 + 6 / 2)
    assert result.metrics["load(pi)"] == 2 + 1


def test_critical_paths_of_several_networks_do_not_wait_for_each_other():
    result = evaluate(problem(BOTH, PAIR, BOTH_TIMES, "parallel"), BOTH_SPLIT)
    assert result.metrics["latency(other)"] == 6


def test_an_unsupported_layer_is_a_violation_and_makes_times_infinite():
    result = evaluate(problem(CHAIN, PAIR, TIMES | {"b": (3, None)}, "parallel"), SPLIT)
    (violation,) = result.violations
    assert (violation.constraint, violation.amount) == ("unsupported(b on t4)", math.inf)
    infinite = {name for name, value in result.metrics.items() if value == math.inf}
    assert infinite == {
        "latency", "latency(net)", "period", "load(t4)", "busy(t4)", "energy", "energy(t4)", "cost",
    }  # fmt: skip


def test_an_unsupported_layer_of_a_network_without_weight_leaves_the_total_latency_finite():
    networks = [CHAIN, ANOTHER.model_copy(update={"weight": 0.0})]
    times = {"net": TIMES, "other": {"u": (1, 1), "v": (1, None)}}
    result = evaluate(problem(networks, PAIR, times), BOTH_SPLIT)
    assert result.objective == 10.5
    assert not result.feasible


@pytest.mark.parametrize("execution", ["sequential", "parallel", "pipelined"])
def test_a_missing_route_is_a_violation_and_makes_times_infinite(execution):
    one_way = platform("pi t4", UP_AND_DOWN, {"pi>t4": "up"})
    result = evaluate(problem(CHAIN, one_way, TIMES, execution), SPLIT)
    (violation,) = result.violations
    assert (violation.constraint, violation.amount) == ("route(t4->pi)", math.inf)
    assert "answer" in violation.message
    totals = ("latency", "latency(net)", "period", "energy", "energy(pi)", "energy(t4)", "cost", "traffic")
    assert {result.metrics[name] for name in totals} == {math.inf}


def test_a_missing_route_leaves_what_is_known_of_links_and_devices():
    one_way = platform("pi t4", UP_AND_DOWN, {"pi>t4": "up"})
    result = evaluate(problem(CHAIN, one_way, TIMES), SPLIT)
    assert result.metrics["traffic(up)"] == 4
    assert result.metrics["busy(t4)"] == 4
    assert [one.tensor for one in result.transmissions] == ["ab"]


def test_a_missing_route_is_reported_once_for_all_its_tensors():
    silent = platform("pi t4")
    result = evaluate(problem(DIAMOND, silent, DIAMOND_TIMES), plan("a:pi b:t4 c:t4 d:t4"))
    (violation,) = result.violations
    assert violation.constraint == "route(pi->t4)"
    assert violation.message == "no route from pi to t4, for a1, a2"


def test_a_malformed_plan_is_an_input_error():
    with pytest.raises(InputError, match=r"placement\.net\.c"):
        evaluate(problem(CHAIN, PAIR, TIMES), plan("a:pi b:t4"))
