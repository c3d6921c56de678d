"""Latency under `call` execution, worked by hand."""

import math

import pytest
from builders import layer, link, network, plan, platform, problem, tensor

from dnnopt.base.errors import InputError
from dnnopt.problem.networks import Layer
from dnnopt.problem.platforms import Device
from dnnopt.referee import evaluate

DEVICES = [Device(name="acc"), Device(name="gpu"), Device(name="cpu", pool=True)]
LINKS = [
    link("acc-out", sender="acc"),
    link("acc-in", receiver="acc"),
    link("gpu-out", sender="gpu"),
    link("gpu-in", receiver="gpu"),
]
ROUTES = {
    "acc>gpu": "acc-out gpu-in",
    "gpu>acc": "gpu-out acc-in",
    "acc>cpu": "acc-out",
    "cpu>acc": "acc-in",
    "gpu>cpu": "gpu-out",
    "cpu>gpu": "gpu-in",
}
HOST = platform(DEVICES, LINKS, ROUTES)
# a -> b -> d and a -> c -> d; s takes 1 byte, t 2 bytes, u 4 bytes.
DIAMOND = network("a b c d", [tensor("s", "a", "b c", 1), tensor("t", "b", "d", 2), tensor("u", "c", "d", 4)])
TIMES = {"a": (1, 1, 10), "b": (2, 2, 20), "c": (3, 3, 30), "d": (5, 5, 50)}


def judge(placement, net=DIAMOND, times=TIMES, transport="multicast", **fields):
    return evaluate(problem(net, HOST, times, "call", transport=transport, **fields), plan(placement))


def test_a_pool_runs_any_number_of_layers_at_a_time():
    assert judge("a:cpu b:cpu c:cpu d:cpu").objective == 10 + 30 + 50


def test_a_call_takes_its_inputs_its_layers_and_its_outputs():
    # b and c together: s comes in, t and u go out.
    assert judge("a:cpu b:acc c:acc d:cpu").objective == 10 + (1 + 2 + 3 + 2 + 4) + 50


def test_calls_on_different_devices_run_at_the_same_time():
    b, c = 1 + 2 + 2, 1 + 3 + 4
    assert judge("a:cpu b:acc c:gpu d:cpu").objective == 10 + max(b, c) + 50


def test_a_call_waits_for_all_that_any_of_its_layers_needs():
    # a and b run on the accelerator, c alone on the pool, d on the other device: a's output appears with b's.
    first = 1 + 2 + 1 + 2
    assert judge("a:acc b:acc c:cpu d:gpu").objective == first + 30 + (2 + 4 + 5)


def test_what_two_devices_receive_is_sent_once_under_multicast_and_twice_under_unicast():
    first = {"multicast": 1 + 1, "unicast": 1 + 2}
    for transport, seconds in first.items():
        found = judge("a:acc b:gpu c:cpu d:cpu", transport=transport)
        assert found.objective == seconds + max(1 + 2 + 2, 30) + 50


def test_a_call_that_needs_what_follows_from_it_is_refused():
    found = judge("a:acc b:cpu c:acc d:acc")
    assert found.objective == math.inf
    assert [violation.constraint for violation in found.violations] == ["call(net)"]
    assert found.violations[0].message == "calls wait for each other: acc -> b -> acc"


def test_calls_that_need_each_other_are_refused():
    chains = network("a b c d", [tensor("s", "a", "b", 1), tensor("t", "c", "d", 1)])
    found = judge("a:acc b:gpu c:gpu d:acc", chains)
    assert found.violations[0].message == "calls wait for each other: acc -> gpu -> acc"
    assert judge("a:acc b:gpu c:acc d:gpu", chains).feasible


def test_input_and_result_are_part_of_calls():
    net = network("a", [tensor("in", "input", "a", 3), tensor("out", "a", "output", 7)], source="cpu", sink="cpu")
    assert judge("a:acc", net, {"a": (1, 1, 10)}).objective == 3 + 1 + 7
    assert judge("a:cpu", net, {"a": (1, 1, 10)}).objective == 10


def test_a_link_between_two_calling_devices_takes_the_time_of_both():
    on = platform([Device(name="p"), Device(name="q")], [link("w", sender="p", receiver="q")], {"p>q": "w"})
    net = network("a b", [tensor("t", "a", "b", 3)])
    made = problem(net, on, {"a": (1, 1), "b": (1, 1)}, "call")
    assert evaluate(made, plan("a:p b:q")).objective == (1 + 3) + (3 + 1)
    assert evaluate(made, plan("a:p b:p")).objective == 2


def test_memory_counts_as_elsewhere():
    from dnnopt.problem.constraints import Memory

    net = network([Layer(name="a", weights=3.0), layer("b", 4.0)], [tensor("t", "a", "b", 1)])
    found = judge("a:acc b:acc", net, {"a": (1, 1, 1), "b": (1, 1, 1)}, subject_to=[Memory(limits={"acc": 5.0})])
    assert [violation.constraint for violation in found.violations] == ["memory(acc)"]


def test_several_networks_are_refused():
    with pytest.raises(InputError, match="one network under call execution"):
        problem(
            [network("a", name="m"), network("a", name="n")],
            HOST,
            {"m": {"a": (1, 1, 1)}, "n": {"a": (1, 1, 1)}},
            "call",
        )


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"source": "acc"}, "networks[0].source"), ({"sink": "gpu"}, "networks[0].sink")],
)
def test_input_and_result_are_on_pools(fields, field):
    net = network("a", [tensor("in", "input", "a", 3), tensor("out", "a", "output", 7)], **fields)
    with pytest.raises(InputError, match="a pool, under call execution") as caught:
        problem(net, HOST, {"a": (1, 1, 1)}, "call")
    assert field in str(caught.value)


@pytest.mark.parametrize("one", [link("w"), link("w", sender="q", receiver="r"), link("w", sender="r")])
def test_links_that_are_in_no_call_of_their_route_are_refused(one):
    devices = [Device(name="p"), Device(name="q", pool=True), Device(name="r")]
    with pytest.raises(InputError, match=r"routes\[0\]\.links\[0\]: got 'w', expected under call execution, a link at"):
        problem(network("a"), platform(devices, [one], {"p>q": "w"}), {"a": (1, 1, 1)}, "call")
