"""What is sent: copies under each transport, routes, raw input and results."""

import pytest
from builders import link, network, plan, platform, problem, tensor

from dnnopt.problem.constraints import MaxCuts
from dnnopt.referee import Transmission, evaluate

# One tensor of 3 bytes from a on x: to b and c on y, and to d on z; both routes begin with the link "out".
FAN = network("a b c d", [tensor("t", "a", "b c d", 3)])
TREE = platform(
    "x y z",
    [link("out", price_per_byte=1.0, send_energy_per_byte=2.0), link("y-in", latency=1), link("z-in", bandwidth=3)],
    {"x>y": "out y-in", "x>z": "out z-in"},
)
ZERO = dict.fromkeys("abcd", (0, 0, 0))
FANNED = plan("a:x b:y c:y d:z")


def fan(transport):
    return evaluate(problem(FAN, TREE, ZERO, transport=transport), FANNED)


def pairs(result):
    return [(one.tensor, one.origin, one.destination) for one in result.transmissions]


def test_unicast_sends_one_copy_to_each_device():
    assert pairs(fan("unicast")) == [("t", "x", "y"), ("t", "x", "z")]


def test_unicast_charges_a_shared_link_once_for_each_destination():
    metrics = fan("unicast").metrics
    assert (metrics["traffic(out)"], metrics["traffic(y-in)"], metrics["traffic(z-in)"]) == (6, 3, 3)
    assert metrics["traffic"] == 12
    assert metrics["load(out)"] == 6
    assert metrics["cost"] == 6
    assert metrics["energy"] == 12
    assert metrics["latency"] == (3 + 1 + 3) + (3 + 1)


def test_multicast_charges_a_shared_link_once():
    metrics = fan("multicast").metrics
    assert (metrics["traffic(out)"], metrics["traffic(y-in)"], metrics["traffic(z-in)"]) == (3, 3, 3)
    assert metrics["traffic"] == 9
    assert metrics["load(out)"] == 3
    assert metrics["cost"] == 3
    assert metrics["energy"] == 6
    assert metrics["latency"] == 3 + (1 + 3) + 1


def test_multicast_lists_one_transmission_for_each_destination():
    result = fan("multicast")
    assert pairs(result) == [("t", "x", "y"), ("t", "x", "z")]
    assert [one.links for one in result.transmissions] == [("out", "y-in"), ("out", "z-in")]


def test_per_edge_sends_one_copy_to_each_consumer_elsewhere():
    result = fan("per_edge")
    assert pairs(result) == [("t", "x", "y"), ("t", "x", "y"), ("t", "x", "z")]
    assert result.metrics["traffic(out)"] == 9
    assert result.metrics["traffic(y-in)"] == 6
    assert result.metrics["latency"] == 2 * (3 + 1 + 3) + (3 + 1)


@pytest.mark.parametrize("transport", ["unicast", "multicast", "per_edge"])
def test_consumers_on_the_producers_device_need_no_copy(transport):
    result = evaluate(problem(FAN, TREE, ZERO, transport=transport), plan("a:x b:x c:x d:z"))
    assert pairs(result) == [("t", "x", "z")]


def test_different_tensors_to_one_device_are_different_copies():
    two = network("a b", [tensor("t", "a", "b", 3), tensor("s", "a", "b", 5)])
    result = evaluate(problem(two, TREE, {"a": (0, 0, 0), "b": (0, 0, 0)}), plan("a:x b:y"))
    assert result.metrics["traffic(out)"] == 8


def test_tensors_of_one_name_in_two_networks_are_different_copies():
    networks = [network("a b", [tensor("t", "a", "b", 3)], name=name) for name in ("one", "two")]
    times = {"a": (0, 0, 0), "b": (0, 0, 0)}
    two = problem(networks, TREE, {"one": times, "two": times}, transport="multicast")
    result = evaluate(two, plan({"one": "a:x b:y", "two": "a:x b:y"}))
    assert result.metrics["traffic(out)"] == 6


def test_a_transmission_over_several_hops_takes_the_sum_of_their_times():
    assert fan("unicast").transmissions[0] == Transmission(
        network="net", tensor="t", origin="x", destination="y", links=("out", "y-in"), bytes=3, seconds=3 + (1 + 3)
    )


FREE = platform("x y", routes={"x>y": "", "y>x": ""})


def test_an_empty_route_is_free_but_still_a_transmission_and_a_cut():
    two = network("a b", [tensor("t", "a", "b", 3)])
    result = evaluate(problem(two, FREE, {"a": (1, 1), "b": (1, 1)}, subject_to=[MaxCuts(limit=0)]), plan("a:x b:y"))
    assert result.transmissions == (Transmission("net", "t", "x", "y", (), 3, 0),)
    assert result.objective == 2
    assert result.metrics["traffic"] == 0
    assert [violation.constraint for violation in result.violations] == ["max_cuts"]


ENDS = platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"})


def ends(tensors, placement="a:t4 b:t4", **fields):
    net = network("a b", tensors, **fields)
    return evaluate(problem(net, ENDS, {"a": (0, 0), "b": (0, 0)}), plan(placement))


IMAGE = tensor("image", "input", "a b", 7)
ANSWER = tensor("answer", "b", "output", 2)


def test_raw_input_is_sent_once_from_the_source():
    assert pairs(ends([IMAGE], source="pi")) == [("image", "pi", "t4")]


def test_raw_input_stays_where_it_is_used():
    assert pairs(ends([IMAGE], source="t4")) == []


def test_raw_input_without_source_is_never_sent():
    assert pairs(ends([IMAGE])) == []


def test_raw_input_starts_on_its_own_source_rather_than_the_networks():
    audio = tensor("audio", "input", "a", 1, source="t4")
    assert pairs(ends([IMAGE, audio], source="pi")) == [("image", "pi", "t4")]


def test_raw_input_with_a_source_of_its_own_is_sent_where_the_network_has_none():
    assert pairs(ends([tensor("audio", "input", "a", 1, source="pi")])) == [("audio", "pi", "t4")]


def test_a_result_is_sent_to_the_sink():
    assert pairs(ends([ANSWER], sink="pi")) == [("answer", "t4", "pi")]


def test_a_result_stays_where_it_is_made_without_a_sink():
    assert pairs(ends([ANSWER])) == []


def test_a_result_made_on_the_sink_is_not_sent():
    assert pairs(ends([ANSWER], sink="t4")) == []


def test_raw_input_may_be_a_result():
    assert pairs(ends([tensor("image", "input", "output", 7)], source="pi", sink="t4")) == [("image", "pi", "t4")]


SHARED_ANSWER = tensor("answer", "a", "b output", 2)


@pytest.mark.parametrize(("transport", "copies"), [("unicast", 1), ("multicast", 1), ("per_edge", 2)])
def test_a_result_shares_its_copy_with_consumers_on_the_sink(transport, copies):
    net = network("a b", [SHARED_ANSWER], sink="pi")
    result = evaluate(problem(net, ENDS, {"a": (0, 0), "b": (0, 0)}, transport=transport), plan("a:t4 b:pi"))
    assert pairs(result) == [("answer", "t4", "pi")] * copies
    assert result.metrics["traffic(down)"] == 2 * copies
