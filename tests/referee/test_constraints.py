"""Every kind of constraint: kept at the exact limit, and violated by name and amount beyond it."""

import math
from typing import get_args

import pytest
from builders import layer, link, network, plan, platform, problem, shared, tensor

from dnnopt.problem import constraints as c
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Device
from dnnopt.referee import evaluate
from dnnopt.referee.violations import CHECKS

# a -> b -> c, a on pi and the others on t4: 3 bytes over "up", 1 byte back over "down".
NET = network(
    [layer("a", 100, 10), layer("b", 200, 20), layer("c", 400, 40)],
    [
        tensor("image", "input", "a", 8, sensitivity=1.0),
        tensor("ab", "a", "b", 3, sensitivity=0.5),
        tensor("bc", "b", "c", 2, sensitivity=0.25),
        tensor("answer", "c", "output", 1, sensitivity=0.125),
    ],
    source="pi",
    sink="pi",
    rate=0.25,
    deadline=12.0,
)
OTHER = network([layer("u", 50, 5)], name="other", rate=0.5, deadline=4.0)
DEVICES = [
    Device(name="pi", tier="end", memory=150, power=1, trusted=True),
    Device(name="nx", tier="edge", trusted=True),
    Device(name="t4", tier="cloud", memory=600, power=10, price=2, trusted=False),
]
LINKS = [
    link("up", trusted=True, sender="pi", send_energy_per_byte=1, price_per_byte=0.5),
    link("down", bandwidth=0.5, trusted=True),
]
ROUTES = {f"{i}>{j}": "down" if j == "pi" else "up" for i in ("pi", "nx", "t4") for j in ("pi", "nx", "t4") if i != j}
ON = platform(DEVICES, LINKS, ROUTES)
TIMES = {"a": (2, 2, 2), "b": (1, 1, 1), "c": (2, 2, 2)}
SPLIT = "a:pi b:t4 c:t4"
LATENCY = 2 + 3 + 1 + 2 + 1 / 0.5


def found(entry, placement=SPLIT, on=ON, net=NET):
    result = evaluate(problem(net, on, TIMES, subject_to=[entry]), plan(placement))
    return [(violation.constraint, violation.amount, violation.unit) for violation in result.violations]


def found_with_other(entry, placement=SPLIT, other="u:pi"):
    two = problem([NET, OTHER], ON, {"net": TIMES, "other": {"u": (1, 1, 1)}}, subject_to=[entry])
    result = evaluate(two, plan({"net": placement, "other": other}))
    return [(violation.constraint, violation.amount, violation.unit) for violation in result.violations]


def test_every_kind_of_constraint_has_a_check():
    assert set(CHECKS) == set(get_args(c.Constraint))


@pytest.mark.parametrize(
    ("entry", "used", "label", "unit"),
    [
        (c.Deadline, LATENCY, "deadline(net)", "s"),
        (c.Energy, 2 * 1 + 3 * 10 + 3 * 1, "energy", "J"),
        (c.Cost, 3 * 2 + 3 * 0.5, "cost", "USD"),
        (c.Traffic, 4, "traffic", "bytes"),
        (c.Leakage, 0.75, "leakage", ""),
        (c.WorstLeakage, 0.5, "worst_leakage", ""),
    ],
)
def test_a_limit_on_a_metric_is_kept_at_its_exact_value_and_violated_by_the_excess(entry, used, label, unit):
    assert found(entry(limit=used)) == []
    assert found(entry(limit=used - 0.25)) == [(label, 0.25, unit)]


def test_a_limit_of_zero_is_violated_by_any_amount():
    assert found(c.Leakage(limit=0.0), "a:pi b:pi c:pi") == []
    assert found(c.Leakage(limit=0.0), "a:pi b:pi c:t4") == [("leakage", 0.25, "")]


def test_an_excess_within_rounding_is_no_violation():
    assert found(c.Deadline(limit=LATENCY * (1 - 0.9e-9))) == []
    assert [label for label, *_ in found(c.Deadline(limit=LATENCY * (1 - 1.1e-9)))] == ["deadline(net)"]


def test_energy_of_devices_is_limited_by_itself():
    assert found(c.Energy(limit=5.0, devices=("pi",))) == []
    assert found(c.Energy(limit=4.0, devices=("pi",))) == [("energy(pi)", 1, "J")]
    assert found(c.Energy(limit=34.0, devices=("pi", "t4"))) == [("energy(pi,t4)", 1, "J")]


def test_traffic_of_links_is_limited_together():
    assert found(c.Traffic(limit=3.0, links=("up",))) == []
    assert found(c.Traffic(limit=3.0, links=("up", "down"))) == [("traffic(up,down)", 1, "bytes")]


def test_memory_is_limited_on_each_device_that_has_a_limit():
    assert found(c.memory(), "a:pi b:t4 c:t4") == []
    assert found(c.memory(), "a:pi b:pi c:nx") == [("memory(pi)", 150, "bytes")]
    assert found(c.memory(), "a:t4 b:t4 c:t4") == [("memory(t4)", 100, "bytes")]


def test_memory_is_not_limited_unless_listed():
    assert evaluate(problem(NET, ON, TIMES), plan("a:pi b:pi c:pi")).feasible


def test_memory_limits_replace_those_of_devices():
    assert found(c.memory(limits={"pi": 99, "nx": 0})) == [("memory(pi)", 1, "bytes")]
    assert found(c.memory(limits={"t4": 700}), "a:t4 b:t4 c:t4") == []
    assert found(c.memory(limits={"nx": 399}), "a:pi b:t4 c:nx") == [("memory(nx)", 1, "bytes")]


@pytest.mark.parametrize(
    ("rule", "used"),
    [("weights", 600), ("weights+activations", 660), ("weights+largest_activation", 640)],
)
def test_memory_is_limited_by_the_rule(rule, used):
    assert found(c.memory(rule, limits={"t4": used})) == []
    assert found(c.memory(rule, limits={"t4": used - 1})) == [("memory(t4)", 1, "bytes")]


def test_memory_is_limited_with_its_buffers():
    assert found(c.memory(buffers=2, limits={"t4": 608})) == []
    assert found(c.memory(buffers=2, limits={"t4": 607})) == [("memory(t4)", 1, "bytes")]


def test_memory_is_limited_over_all_networks():
    assert found_with_other(c.memory()) == []
    assert found_with_other(c.memory(), other="u:t4") == [("memory(t4)", 50, "bytes")]


def test_memory_is_limited_with_the_weights_that_layers_share():
    tied = NET.replace(shared_weights=(shared("wte", 30, "b c"),))
    assert found(c.memory(limits={"t4": 630}), net=tied) == []
    assert found(c.memory(limits={"t4": 629, "pi": 100}), net=tied) == [("memory(t4)", 1, "bytes")]


def test_memory_is_exact_to_the_byte_however_large():
    big = network([layer("a", 8e9), layer("b", 0), layer("c", 0)])
    assert found(c.memory(limits={"pi": 8e9}), "a:pi b:pi c:pi", net=big) == []
    assert found(c.memory(limits={"pi": 8e9 - 1}), "a:pi b:pi c:pi", net=big) == [("memory(pi)", 1, "bytes")]


def test_messages_show_as_many_digits_as_tell_the_amounts_apart():
    big = network([layer("a", 8e9), layer("b", 0), layer("c", 0)])
    close = problem(big, ON, TIMES, subject_to=[c.memory(limits={"pi": 8e9 - 1})])
    (violation,) = evaluate(close, plan("a:pi b:pi c:pi")).violations
    assert violation.message == "memory of pi (weights): 8 GB, 7.999999999 GB allowed"
    (violation,) = evaluate(problem(NET, ON, TIMES, subject_to=[latency() <= 9.0]), plan(SPLIT)).violations
    assert violation.message == "latency of net: 10 s, 9 s allowed"


def test_a_deadline_without_limit_is_the_networks_own():
    assert found_with_other(c.Deadline()) == []
    late = NET.model_copy(update={"deadline": 9.0})
    assert found(c.Deadline(), net=late) == [("deadline(net)", 1, "s")]


def test_a_deadline_with_a_limit_replaces_the_networks_own():
    assert found(c.Deadline(limit=9.0)) == [("deadline(net)", 1, "s")]


def test_a_deadline_holds_for_each_network_by_itself():
    assert found_with_other(c.Deadline(limit=0.75)) == [("deadline(net)", 9.25, "s"), ("deadline(other)", 0.25, "s")]


def test_a_deadline_of_a_named_network_leaves_others_alone():
    assert found_with_other(c.Deadline(limit=0.75, network="other")) == [("deadline(other)", 0.25, "s")]


def test_a_deadline_does_not_depend_on_the_networks_weight():
    assert found(c.Deadline(limit=LATENCY), net=NET.model_copy(update={"weight": 5.0})) == []


def test_an_undefined_latency_is_beyond_every_deadline():
    silent = platform(DEVICES, LINKS, {"pi>t4": "up"})
    assert found(c.Deadline(limit=100.0), on=silent) == [
        ("route(t4->pi)", math.inf, ""),
        ("deadline(net)", math.inf, "s"),
    ]


def test_bandwidth_with_a_limit_is_bytes_of_one_inference_of_each_network():
    assert found(c.Bandwidth(link="up", limit=3.0)) == []
    assert found(c.Bandwidth(link="up", limit=2.0)) == [("bandwidth(up)", 1, "bytes")]


def test_bandwidth_without_limit_is_bytes_per_second_at_the_networks_rates():
    # 3 bytes up and 1 byte down, for each request.
    full = NET.model_copy(update={"rate": 0.5})
    assert found(c.Bandwidth(), net=NET.model_copy(update={"rate": 1 / 3})) == []
    assert found(c.Bandwidth(), net=full) == [("bandwidth(up)", 0.5, "bytes/s")]
    assert found(c.Bandwidth(link="down"), net=full) == []


def test_bandwidth_without_limit_adds_up_over_networks_and_holds_on_every_link():
    second = NET.model_copy(update={"name": "second", "rate": 0.75})
    two = problem([NET, second], ON, {"net": TIMES, "second": TIMES}, subject_to=[c.Bandwidth()])
    result = evaluate(two, plan({"net": SPLIT, "second": SPLIT}))
    assert [(one.constraint, one.amount) for one in result.violations] == [
        ("bandwidth(up)", 3 * (0.25 + 0.75) - 1),
        ("bandwidth(down)", 1 * (0.25 + 0.75) - 0.5),
    ]


def test_utilisation_is_load_times_rate_over_all_networks_for_every_resource():
    # pi: 2 s at 0.25/s and 1 s at 0.5/s; up, t4: 3 s at 0.25/s.
    assert found_with_other(c.Utilisation()) == []
    assert found_with_other(c.Utilisation(limit=0.875)) == [("utilisation(pi)", 0.125, "")]
    assert found_with_other(c.Utilisation(limit=0.5), other="u:t4") == [
        ("utilisation(t4)", 0.75, ""),
        ("utilisation(up)", 0.25, ""),
    ]


def test_placement_allows_only_the_devices_listed():
    assert found(c.Placement(network="net", layer="b", allowed=("nx", "t4"))) == []
    assert found(c.Placement(network="net", layer="b", allowed=("nx", "pi"))) == [("placement(net.b)", 1, "")]
    assert found(c.Placement(network="net", layer="b", allowed=())) == [("placement(net.b)", 1, "")]


def test_colocated_layers_share_a_device():
    assert found(c.Colocate(network="net", layers=("b", "c"))) == []
    assert found(c.Colocate(network="net", layers=("a", "b", "c"))) == [("colocate(net:a,b,c)", 1, "")]


def test_separated_layers_are_apart_pairwise():
    assert found(c.Separate(network="net", layers=("a", "b", "c")), "a:pi b:nx c:t4") == []
    assert found(c.Separate(network="net", layers=("a", "b"))) == []
    assert found(c.Separate(network="net", layers=("a", "b", "c"))) == [("separate(net:a,b,c)", 1, "")]


def test_so_many_separated_layers_may_be_together():
    most_two = c.Separate(network="net", layers=("a", "b", "c"), at_most=2)
    assert found(most_two, "a:pi b:pi c:t4") == []
    assert found(most_two, "a:pi b:pi c:pi") == [("separate(net:a,b,c)<=2", 1, "")]


@pytest.mark.parametrize(
    ("placement", "back"),
    [("a:pi b:nx c:t4", False), ("a:pi b:pi c:t4", False), ("a:pi b:t4 c:nx", True), ("a:nx b:pi c:pi", True)],
)
def test_tensors_between_layers_go_up_the_tiers_only(placement, back):
    assert found(c.MonotoneTiers(), placement) == [("monotone_tiers", 1, "")] * back


def test_raw_input_and_results_may_go_down_the_tiers():
    net = NET.model_copy(update={"source": "t4", "sink": "pi"})
    assert found(c.MonotoneTiers(), "a:pi b:nx c:t4", net=net) == []


def test_only_devices_with_layers_count_for_max_devices():
    assert found(c.MaxDevices(limit=2)) == []
    assert found(c.MaxDevices(limit=1)) == [("max_devices", 1, "devices")]
    assert found(c.MaxDevices(limit=1), "a:t4 b:t4 c:t4") == []  # the source and the sink are on pi


def test_cuts_are_the_tensors_sent_with_raw_input_and_results():
    assert found(c.MaxCuts(limit=2)) == []  # ab and the answer
    assert found(c.MaxCuts(limit=1)) == [("max_cuts", 1, "cuts")]
    assert found(c.MaxCuts(limit=1), "a:t4 b:t4 c:t4") == [("max_cuts", 1, "cuts")]  # the image and the answer
    assert found(c.MaxCuts(limit=0), "a:pi b:pi c:pi") == []


@pytest.mark.parametrize("transport", ["unicast", "multicast", "per_edge"])
def test_cuts_are_distinct_pairs_of_tensor_and_device_under_every_transport(transport):
    fan = network("a b c d", [tensor("t", "a", "b c d", 3)])
    times = dict.fromkeys("abcd", (0, 0, 0))
    limited = problem(fan, ON, times, transport=transport, subject_to=[c.MaxCuts(limit=1)])
    result = evaluate(limited, plan("a:pi b:nx c:nx d:t4"))
    assert [(one.constraint, one.amount) for one in result.violations] == [("max_cuts", 1)]


def test_all_violations_are_listed_in_the_order_of_the_constraints():
    entries = [c.MaxDevices(limit=1), c.Cost(limit=0.0), c.Leakage(limit=0.0)]
    result = evaluate(problem(NET, ON, TIMES, subject_to=entries), plan(SPLIT))
    assert [one.constraint for one in result.violations] == ["max_devices", "cost", "leakage"]
    assert not result.feasible


def test_names_have_their_network_where_there_are_several():
    two = problem([NET, OTHER], ON, {"net": TIMES, "other": {"u": (None, 1, 1)}}, subject_to=[c.MaxCuts(limit=1)])
    result = evaluate(two, plan({"net": SPLIT, "other": "u:pi"}))
    assert result.violations[0].constraint == "unsupported(other.u on pi)"
    assert "net.ab to t4" in result.violations[1].message
