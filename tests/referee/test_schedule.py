"""Scheduled execution: schedules that are right, and each way to be wrong."""

import math
from collections import defaultdict

import pytest
from builders import link, network, plan, platform, problem, tensor, transfer
from hypothesis import given
from hypothesis import strategies as st

from dnnopt.problem.plan import Plan, Schedule
from dnnopt.referee import evaluate

# a on pi takes 2 s; ab takes 3 s over "up"; b and c on t4 take 1 s and 2 s; the answer takes 1 s over "down".
CHAIN = network(
    "a b c",
    [
        tensor("image", "input", "a", 8),
        tensor("ab", "a", "b", 3),
        tensor("bc", "b", "c", 4),
        tensor("answer", "c", "output", 1),
    ],
    source="pi",
    sink="pi",
)
LINKS = [link("up"), link("down")]
ROUTES = {"pi>t4": "up", "t4>pi": "down"}
PAIR = platform("pi t4", LINKS, ROUTES)
TIMES = {"a": (2, 2), "b": (1, 1), "c": (2, 2)}
STARTS = {"a": 0, "b": 5, "c": 6}
TRANSFERS = [transfer("ab", "up", "t4", 2), transfer("answer", "down", "pi", 8)]


def chain(starts=STARTS, transfers=TRANSFERS, on=PAIR, placement="a:pi b:t4 c:t4", **options):
    return evaluate(problem(CHAIN, on, TIMES, "scheduled", **options), plan(placement, starts, transfers))


def found(result):
    return [(violation.constraint, violation.amount) for violation in result.violations]


def test_a_schedule_in_order_is_accepted_and_its_latency_is_the_arrival_of_the_answer():
    result = chain()
    assert result.violations == ()
    assert result.objective == 9


def test_a_schedule_may_wait():
    result = chain(STARTS | {"c": 7}, [TRANSFERS[0], transfer("answer", "down", "pi", 20)])
    assert result.feasible
    assert result.objective == 21


def test_latency_without_a_sink_is_the_end_of_the_last_layer():
    net = CHAIN.model_copy(update={"sink": None})
    result = evaluate(problem(net, PAIR, TIMES, "scheduled"), plan("a:pi b:t4 c:t4", STARTS, TRANSFERS[:1]))
    assert result.feasible
    assert result.objective == 8


def test_a_plan_without_a_schedule_violates_just_that():
    result = evaluate(problem(CHAIN, PAIR, TIMES, "scheduled"), plan("a:pi b:t4 c:t4"))
    assert found(result) == [("schedule", math.inf)]
    assert result.metrics["latency"] == math.inf
    assert result.metrics["period"] == 3


def test_other_executions_need_no_schedule():
    assert evaluate(problem(CHAIN, PAIR, TIMES), plan("a:pi b:t4 c:t4")).feasible


def test_a_layer_without_start_is_reported_and_makes_latency_infinite():
    result = chain({"a": 0, "b": 5})
    assert found(result) == [("start(c)", math.inf)]
    assert result.objective == math.inf


def test_a_start_of_an_unknown_layer_is_superfluous():
    assert found(chain(STARTS | {"z": 0})) == [("start(z)", 1)]


def test_a_missing_transfer_is_reported():
    assert found(chain(transfers=TRANSFERS[1:])) == [("transfer(ab over up to t4)", 1)]


def test_a_missing_transfer_of_the_answer_makes_latency_infinite():
    result = chain(transfers=TRANSFERS[:1])
    assert found(result) == [("transfer(answer over down to pi)", 1)]
    assert result.objective == math.inf


@pytest.mark.parametrize(
    ("extra", "label"),
    [
        (transfer("ab", "up", "t4", 20), "transfer(ab over up to t4)"),
        (transfer("bc", "down", "pi", 20), "transfer(bc over down to pi)"),
        (transfer("ab", "up", None, 20), "transfer(ab over up)"),
        (transfer("nothing", "nowhere", "nobody", 20), "transfer(nothing over nowhere to nobody)"),
    ],
    ids=["a second time", "not needed", "without destination", "unknown"],
)
def test_a_superfluous_transfer_is_reported(extra, label):
    assert found(chain(transfers=[*TRANSFERS, extra])) == [(label, 1)]


def test_a_layer_that_starts_before_its_producer_has_ended_is_reported():
    result = chain(STARTS | {"c": 5.5})
    assert ("precedence(c)", 0.5) in found(result)


def test_a_layer_that_starts_before_its_tensor_has_arrived_is_reported():
    result = chain(STARTS | {"b": 4})
    assert found(result) == [("precedence(b)", 1)]
    assert result.violations[0].message == "b starts at 4 s, before ab is there at 5 s"


def test_a_transfer_that_starts_before_its_producer_has_ended_is_reported():
    result = chain(transfers=[transfer("ab", "up", "t4", 1.5), TRANSFERS[1]])
    assert found(result) == [("precedence(ab over up to t4)", 0.5)]


def test_raw_input_may_be_sent_from_the_start():
    transfers = [transfer("image", "up", "t4", 0), transfer("answer", "down", "pi", 13)]
    assert chain({"a": 8, "b": 10, "c": 11}, transfers, placement="a:t4 b:t4 c:t4").feasible


def test_a_layer_that_starts_before_raw_input_has_arrived_is_reported():
    transfers = [transfer("image", "up", "t4", 0), transfer("answer", "down", "pi", 13)]
    result = chain({"a": 7, "b": 10, "c": 11}, transfers, placement="a:t4 b:t4 c:t4")
    assert found(result) == [("precedence(a)", 1)]


def test_starts_earlier_by_less_than_the_tolerance_are_accepted():
    assert chain(STARTS | {"b": 5 - 1e-9, "c": 6 - 1e-9}).feasible
    assert not chain(STARTS | {"b": 5 - 1e-7}).feasible


# Two layers without tensors between them.
LOOSE = network("u v", [tensor("t", "u", "output", 2), tensor("s", "v", "output", 3)], sink="pi")


def loose(placement, starts, transfers=(), on=PAIR, times=None):
    return evaluate(
        problem(LOOSE, on, times or {"u": (4, 4), "v": (2, 2)}, "scheduled"), plan(placement, starts, transfers)
    )


def test_two_layers_at_once_on_one_device_are_reported():
    result = loose("u:pi v:pi", {"u": 0, "v": 3})
    assert found(result) == [("overlap(pi)", 1)]
    assert result.violations[0].message == "pi does two things at a time: u and v"


def test_a_layer_inside_another_is_reported_with_its_whole_time():
    assert found(loose("u:pi v:pi", {"u": 0, "v": 1})) == [("overlap(pi)", 2)]


def test_overlaps_within_the_tolerance_are_accepted():
    assert loose("u:pi v:pi", {"u": 0, "v": 4 - 1e-9}).feasible
    assert not loose("u:pi v:pi", {"u": 0, "v": 4 - 1e-7}).feasible


def test_two_layers_may_touch():
    assert loose("u:pi v:pi", {"u": 0, "v": 4}).feasible


def test_layers_on_different_devices_may_run_at_once():
    transfers = [transfer("s", "down", "pi", 2)]
    assert loose("u:pi v:t4", {"u": 0, "v": 0}, transfers).feasible


def test_zero_time_layers_occupy_nothing():
    assert loose("u:pi v:pi", {"u": 0, "v": 3}, times={"u": (4, 4), "v": (0, 0)}).feasible


def test_two_transfers_at_once_on_one_link_are_reported():
    transfers = [transfer("t", "down", "pi", 4), transfer("s", "down", "pi", 5)]
    assert found(loose("u:t4 v:t4", {"u": 0, "v": 2.5}, transfers)) == [("overlap(t4)", 1.5), ("overlap(down)", 1)]


def test_all_overlaps_of_a_resource_are_one_violation_with_the_longest():
    net = network("u v w")
    times = {"u": (4, 4), "v": (4, 4), "w": (4, 4)}
    result = evaluate(problem(net, PAIR, times, "scheduled"), plan("u:pi v:pi w:pi", {"u": 0, "v": 3, "w": 5}))
    assert found(result) == [("overlap(pi)", 2)]
    assert result.violations[0].message.endswith("v and w (and 1 more)")


def test_an_overlap_with_a_task_that_began_long_before_is_found():
    net = network("u v w")
    times = {"u": (10, 10), "v": (2, 2), "w": (1, 1)}
    result = evaluate(problem(net, PAIR, times, "scheduled"), plan("u:pi v:pi w:pi", {"u": 0, "v": 7, "w": 5}))
    assert found(result) == [("overlap(pi)", 2)]
    assert "u and v" in result.violations[0].message


def test_a_device_that_cannot_overlap_may_not_send_while_it_computes():
    joint = platform("pi t4", LINKS, ROUTES, {"t4": "t4 up down"})
    transfers = [transfer("s", "down", "pi", 2)]
    result = loose("u:t4 v:t4", {"u": 2, "v": 0}, [*transfers, transfer("t", "down", "pi", 6)], on=joint)
    assert found(result) == [("overlap(t4)", 3)]


def test_a_shared_medium_carries_one_transfer_at_a_time():
    crossing = network("u v", [tensor("t", "u", "v", 2), tensor("s", "input", "u", 3)], source="pi", sink="pi")
    shared = platform("pi t4", LINKS, ROUTES, {"air": "up down"})
    for on, expected in ((PAIR, []), (shared, [("overlap(air)", 1)])):
        two = problem([crossing, LOOSE.model_copy(update={"name": "loose"})], on, TWO_TIMES, "scheduled")
        starts = {"net": {"u": 3, "v": 6}, "loose": {"u": 6, "v": 0}}
        transfers = [
            transfer("s", "up", "t4", 0),
            transfer("t", "down", "pi", 4),
            transfer("s", "down", "pi", 2, network="loose"),
        ]
        result = evaluate(two, plan({"net": "u:t4 v:pi", "loose": "u:pi v:t4"}, starts, transfers))
        assert [pair for pair in found(result) if pair[0] == "overlap(air)"] == expected


TWO_TIMES = {"net": {"u": (1, 1), "v": (0, 0)}, "loose": {"u": (4, 4), "v": (2, 2)}}


def test_networks_share_devices_and_links_and_have_latencies_of_their_own():
    net = network("u", [tensor("t", "u", "output", 2)], sink="pi")
    networks = [net, net.model_copy(update={"name": "late", "weight": 3.0})]
    two = problem(networks, PAIR, {"net": {"u": (1, 1)}, "late": {"u": (1, 1)}}, "scheduled")
    starts = {"net": {"u": 0}, "late": {"u": 1}}
    transfers = [transfer("t", "down", "pi", 1), transfer("t", "down", "pi", 3, network="late")]
    result = evaluate(two, plan({"net": "u:t4", "late": "u:t4"}, starts, transfers))
    assert result.feasible
    assert (result.metrics["latency(net)"], result.metrics["latency(late)"]) == (3, 5)
    assert result.objective == 3 + 3 * 5
    overlapping = evaluate(two, plan({"net": "u:t4", "late": "u:t4"}, {"net": {"u": 0}, "late": {"u": 0.5}}, transfers))
    assert found(overlapping) == [("overlap(t4)", 0.5)]
    assert overlapping.violations[0].message == "t4 does two things at a time: net.u and late.u"


# x -> hub -> y or z; t is 3 bytes.
FAN = network("a b c", [tensor("t", "a", "b c", 3)])
HUB_LINKS = [link("out"), link("y-in"), link("z-in")]
HUB = platform("x y z", HUB_LINKS, {"x>y": "out y-in", "x>z": "out z-in"})
SECOND = {"a": (1, 1, 1), "b": (1, 1, 1), "c": (1, 1, 1)}


def fan(transport, placement, starts, transfers, on=HUB, net=FAN):
    return evaluate(problem(net, on, SECOND, "scheduled", transport=transport), plan(placement, starts, transfers))


UNICAST = [
    transfer("t", "out", "y", 1),
    transfer("t", "out", "z", 4),
    transfer("t", "y-in", "y", 4),
    transfer("t", "z-in", "z", 7),
]


def test_unicast_has_one_transfer_for_each_destination_and_hop():
    assert fan("unicast", "a:x b:y c:z", {"a": 0, "b": 7, "c": 10}, UNICAST).feasible


def test_a_hop_that_starts_before_the_one_before_it_has_ended_is_reported():
    early = [*UNICAST[:3], transfer("t", "z-in", "z", 6)]
    result = fan("unicast", "a:x b:y c:z", {"a": 0, "b": 7, "c": 10}, early)
    assert found(result) == [("precedence(t over z-in to z)", 1)]


def test_a_hop_after_a_missing_one_still_waits_for_the_producer():
    late = {"a": 5, "b": 20, "c": 20}
    result = fan("unicast", "a:x b:y c:x", late, [transfer("t", "y-in", "y", 4)])
    assert found(result) == [("transfer(t over out to y)", 1), ("precedence(t over y-in to y)", 2)]


def test_a_missing_hop_is_reported_alone():
    result = fan("unicast", "a:x b:y c:z", {"a": 0, "b": 7, "c": 10}, UNICAST[1:])
    assert found(result) == [("transfer(t over out to y)", 1)]


def test_unicast_consumers_on_one_device_wait_for_one_copy():
    transfers = [transfer("t", "out", "y", 1), transfer("t", "y-in", "y", 4)]
    assert fan("unicast", "a:x b:y c:y", {"a": 0, "b": 7, "c": 8}, transfers).feasible
    assert found(fan("unicast", "a:x b:y c:y", {"a": 0, "b": 6, "c": 7}, transfers)) == [("precedence(b)", 1)]


MULTICAST = [transfer("t", "out", None, 1), transfer("t", "y-in", None, 4), transfer("t", "z-in", None, 4)]


def test_multicast_has_one_transfer_for_each_link():
    assert fan("multicast", "a:x b:y c:z", {"a": 0, "b": 7, "c": 7}, MULTICAST).feasible


def test_multicast_ignores_destinations():
    transfers = [transfer("t", one.link, "y", one.start) for one in MULTICAST]
    assert fan("multicast", "a:x b:y c:z", {"a": 0, "b": 7, "c": 7}, transfers).feasible


def test_multicast_refuses_a_transfer_for_each_destination_on_a_shared_link():
    result = fan("multicast", "a:x b:y c:z", {"a": 0, "b": 7, "c": 10}, UNICAST)
    assert found(result) == [("transfer(t over out)", 1)]


def test_a_multicast_hop_that_starts_before_the_one_before_it_has_ended_is_reported():
    early = [*MULTICAST[:2], transfer("t", "z-in", None, 3)]
    result = fan("multicast", "a:x b:y c:z", {"a": 0, "b": 7, "c": 7}, early)
    assert found(result) == [("precedence(t over z-in)", 1)]


def test_an_early_multicast_hop_on_several_routes_is_reported_once():
    early = [transfer("t", "out", None, 0.5), *MULTICAST[1:]]
    result = fan("multicast", "a:x b:y c:z", {"a": 0, "b": 7, "c": 7}, early)
    assert found(result) == [("precedence(t over out)", 0.5)]


def test_multicast_routes_that_are_no_tree_are_reported():
    net = platform("x y z", [*HUB_LINKS, link("y-z")], {"x>y": "out z-in y-in", "x>z": "z-in"})
    transfers = [transfer("t", "out", None, 1), transfer("t", "z-in", None, 4), transfer("t", "y-in", None, 7)]
    result = fan("multicast", "a:x b:y c:z", {"a": 0, "b": 10, "c": 7}, transfers, on=net)
    assert found(result) == [("multicast_tree(t)", 1)]


def test_routes_that_are_no_tree_are_no_matter_under_unicast():
    net = platform("x y z", HUB_LINKS, {"x>y": "out z-in y-in", "x>z": "z-in"})
    transfers = [
        transfer("t", "out", "y", 1),
        transfer("t", "z-in", "y", 4),
        transfer("t", "y-in", "y", 7),
        transfer("t", "z-in", "z", 1),
    ]
    assert fan("unicast", "a:x b:y c:z", {"a": 0, "b": 10, "c": 4}, transfers, on=net).feasible


PER_EDGE = [
    transfer("t", "out", "y", 4),
    transfer("t", "out", "y", 1),
    transfer("t", "y-in", "y", 4),
    transfer("t", "y-in", "y", 7),
]


def test_per_edge_has_equal_transfers_for_the_consumers_on_one_device_in_any_order():
    assert fan("per_edge", "a:x b:y c:y", {"a": 0, "b": 10, "c": 7}, PER_EDGE).feasible


def test_per_edge_lets_only_one_consumer_start_with_the_first_copy():
    result = fan("per_edge", "a:x b:y c:y", {"a": 0, "b": 7, "c": 8}, PER_EDGE)
    assert found(result) == [("precedence(c)", 2)]


def test_per_edge_hops_are_matched_in_order():
    early = [*PER_EDGE[:3], transfer("t", "y-in", "y", 1)]
    result = fan("per_edge", "a:x b:y c:y", {"a": 0, "b": 7, "c": 8}, early)
    assert ("precedence(t over y-in to y)", 3) in found(result)


def test_per_edge_misses_the_second_of_two_copies():
    result = fan("per_edge", "a:x b:y c:y", {"a": 0, "b": 10, "c": 11}, [PER_EDGE[1], *PER_EDGE[2:]])
    assert found(result) == [("transfer(t over out to y)", 1)]


def test_per_edge_gives_the_output_the_last_copy():
    net = network("a b c", [tensor("t", "a", "b output", 3)], sink="y")
    result = fan("per_edge", "a:x b:y c:x", {"a": 0, "b": 7, "c": 2}, PER_EDGE, net=net)
    assert result.feasible
    assert result.objective == 10


def test_a_free_route_needs_no_transfer_but_the_producer_to_end():
    free = platform("x y z", routes={"x>y": ""})
    assert fan("unicast", "a:x b:y c:x", {"a": 0, "b": 1, "c": 1}, [], on=free).feasible
    assert found(fan("unicast", "a:x b:y c:x", {"a": 0, "b": 0.5, "c": 1}, [], on=free)) == [("precedence(b)", 0.5)]


def test_a_result_over_a_free_route_arrives_when_it_is_made():
    net = network("a", [tensor("t", "a", "output", 3)], sink="y")
    free = platform("x y z", routes={"x>y": ""})
    result = evaluate(problem(net, free, {"a": (2, 2, 2)}, "scheduled"), plan("a:x", {"a": 1}))
    assert result.feasible
    assert result.objective == 3


def test_a_missing_route_is_reported_under_a_schedule_too():
    silent = platform("x y z")
    result = fan("unicast", "a:x b:y c:x", {"a": 0, "b": 5, "c": 1}, [], on=silent)
    assert found(result) == [("route(x->y)", math.inf)]
    assert result.objective == math.inf


def test_an_unsupported_layer_is_reported_alone():
    result = evaluate(
        problem(CHAIN, PAIR, TIMES | {"a": (None, 1)}, "scheduled"), plan("a:pi b:t4 c:t4", STARTS, TRANSFERS)
    )
    assert found(result) == [("unsupported(a on pi)", math.inf)]
    assert result.objective == math.inf


def test_an_unsupported_layer_hides_no_other_fault():
    net = network("u v w")
    times = {"u": (None, 1), "v": (2, 2), "w": (2, 2)}
    result = evaluate(problem(net, PAIR, times, "scheduled"), plan("u:pi v:pi w:pi", {"u": 0, "v": 1, "w": 2}))
    assert found(result) == [("unsupported(u on pi)", math.inf), ("overlap(pi)", 1)]


@st.composite
def placed_problems(draw):
    """Draw a small problem under scheduled execution, and a placement."""
    names = "abcde"[: draw(st.integers(1, 5))]
    small = st.integers(0, 3)
    tensors = []
    for position, name in enumerate(["input", *names]):
        consumers = [word for word in names[position:] if draw(st.booleans())] + ["output"] * draw(st.booleans())
        if consumers:
            tensors.append(tensor(f"t{position}", name, " ".join(consumers), draw(small)))
    places = st.sampled_from(["x", "y", "z"])
    ends = st.one_of(st.none(), places)
    net = network(" ".join(names), tensors, source=draw(ends), sink=draw(ends))
    links = [link(name, latency=draw(small)) for name in ("x-out", "x-in", "y-out", "y-in", "z-out", "z-in")]
    routes = {f"{i}>{j}": f"{i}-out {j}-in" for i in "xyz" for j in "xyz" if i != j} | draw(
        st.sampled_from([{}, {"x>y": ""}, {"x>y": "x-out"}])
    )
    resources = draw(st.sampled_from([{}, {"x": "x x-out x-in"}, {"air": "x-out y-out z-in"}]))
    times = {name: (draw(small), draw(small), draw(small)) for name in names}
    transport = draw(st.sampled_from(["unicast", "multicast", "per_edge"]))
    one = problem(net, platform("x y z", links, routes, resources), times, "scheduled", transport=transport)
    return one, {name: draw(places) for name in names}


def one_thing_at_a_time(one, placement):
    """Return the plan that does everything one after the other, and its end; written without the referee's notions."""
    net = one.networks[0]
    delays = {record.name: record.latency for record in one.platform.links}
    routes = {(route.origin, route.destination): route.links for route in one.platform.routes}
    now, starts, transfers = 0.0, {}, []
    for name in ["input", *(net.layers[position].name for position in net.order)]:
        if name != "input":
            starts[name] = now
            now += one.profile.time["net"][name][placement[name]]
        for sent in (record for record in net.tensors if record.producer == name):
            origin = net.source if name == "input" else placement[name]
            users = defaultdict(int)
            for consumer in sent.consumers:
                users[net.sink if consumer == "output" else placement[consumer]] += 1
            hops = [
                (hop, device)
                for device, count in users.items()
                if origin is not None and device is not None and device != origin
                for _ in range(count if one.transport == "per_edge" else 1)
                for hop in routes[origin, device]
            ]
            if one.transport == "multicast":
                hops = [(hop, None) for hop in dict.fromkeys(hop for hop, _ in hops)]
            for hop, device in hops:
                transfers.append(transfer(sent.name, hop, device, now))
                now += delays[hop] + sent.bytes
    return Plan(placement={"net": placement}, schedule=Schedule(layers={"net": starts}, transfers=transfers)), now


@given(placed_problems())
def test_doing_one_thing_at_a_time_is_a_schedule_that_ends_within_the_sequential_latency(case):
    one, placement = case
    serial, end = one_thing_at_a_time(one, placement)
    scheduled = evaluate(one, serial)
    sequential = evaluate(one.model_copy(update={"execution": "sequential"}), serial)
    assert scheduled.violations == ()
    assert sequential.objective == end
    assert scheduled.objective <= end


@given(placed_problems(), st.data())
def test_a_schedule_shorter_than_the_critical_path_is_never_accepted(case, data):
    one, placement = case
    serial, _ = one_thing_at_a_time(one, placement)
    starts = dict(serial.schedule.layers["net"])
    for name in starts:
        starts[name] = max(0.0, starts[name] - data.draw(st.integers(0, 4)))
    transfers = [
        record.model_copy(update={"start": max(0.0, record.start - data.draw(st.integers(0, 4)))})
        for record in serial.schedule.transfers
    ]
    hasty = evaluate(
        one, Plan(placement=serial.placement, schedule=Schedule(layers={"net": starts}, transfers=transfers))
    )
    critical = evaluate(one.model_copy(update={"execution": "parallel"}), serial)
    assert hasty.objective >= critical.objective or not hasty.feasible
