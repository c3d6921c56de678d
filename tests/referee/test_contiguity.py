"""Contiguity: convex in the graph, and an acyclic quotient."""

import pytest
from builders import network, plan, platform, problem, tensor
from hypothesis import given
from hypothesis import strategies as st

from dnnopt.problem.constraints import Contiguous
from dnnopt.referee import evaluate

ON = platform("x y z", routes={f"{i}>{j}": "" for i in "xyz" for j in "xyz" if i != j})


def graph(edges, name="net", **fields):
    """Return the network with these edges, ``"ab bc"``."""
    names = sorted(set(edges.replace(" ", "")))
    return network(" ".join(names), [tensor(pair, pair[0], pair[1], 1) for pair in edges.split()], name=name, **fields)


def messages(net, placement, entry=None):
    times = {layer.name: (1, 1, 1) for layer in net.layers}
    result = evaluate(problem(net, ON, times, subject_to=[entry or Contiguous()]), plan(placement))
    assert {(one.constraint, one.amount) for one in result.violations} <= {("contiguous(net)", 1)}
    return [one.message for one in result.violations]


def test_a_chain_in_blocks_is_contiguous():
    assert messages(graph("ab bc cd"), "a:x b:x c:y d:z") == []


def test_a_path_that_leaves_and_comes_back_is_not_contiguous():
    (message,) = messages(graph("ab bc cd"), "a:x b:y c:y d:x")
    assert message == "net is not contiguous: a path from a to d, both on x, passes through b on y"


def test_parallel_branches_may_share_a_device():
    assert messages(graph("ab ac bd cd"), "a:x b:y c:y d:z") == []


def test_one_branch_may_leave_a_device_only_if_it_does_not_come_back():
    assert messages(graph("ab ac bd cd"), "a:x b:x c:y d:y") == []
    assert len(messages(graph("ab ac bd cd"), "a:x b:x c:y d:x")) == 1


def test_convex_parts_that_feed_each_other_are_not_contiguous():
    # x has a and d, y has b and c: no path comes back to a device, but x feeds y and y feeds x.
    (message,) = messages(graph("ab cd"), "a:x b:y c:y d:x")
    assert message == "net is not contiguous: paths go round x -> y -> x"


def test_a_cycle_of_three_devices_is_not_contiguous():
    (message,) = messages(graph("ab cd ef"), "a:x b:y c:y d:z e:z f:x")
    assert message.endswith("paths go round x -> y -> z -> x")


def test_input_and_output_are_ignored():
    net = network(
        "a b",
        [tensor("image", "input", "a", 1), tensor("ab", "a", "b", 1), tensor("answer", "b", "output", 1)],
        source="x",
        sink="x",
    )
    assert messages(net, "a:y b:z") == []


def test_layers_outside_the_subset_break_nothing():
    entry = Contiguous(network="net", layers=("a", "c"))
    assert messages(graph("ab bc"), "a:x b:y c:x") != []
    assert messages(graph("ab bc"), "a:x b:y c:x", entry) == []


def test_paths_run_through_layers_outside_the_subset():
    entry = Contiguous(network="net", layers=("a", "c", "e"))
    assert len(messages(graph("ab bc cd de"), "a:x b:z c:y d:z e:x", entry)) == 1


def test_layers_outside_the_subset_are_not_in_the_quotient():
    entry = Contiguous(network="net", layers=("a", "b", "c"))
    assert messages(graph("ab cd"), "a:x b:y c:y d:x", entry) == []


def test_paths_through_layers_outside_the_subset_are_in_the_quotient():
    entry = Contiguous(network="net", layers=("a", "c", "d", "f"))
    (message,) = messages(graph("ab bc de ef"), "a:x b:z c:y d:y e:z f:x", entry)
    assert message.endswith("paths go round x -> y -> x")


def test_networks_are_judged_by_themselves():
    networks = [graph("ab", "one"), graph("ab", "two")]
    times = {"a": (1, 1, 1), "b": (1, 1, 1)}
    two = problem(networks, ON, {"one": times, "two": times}, subject_to=[Contiguous()])
    assert evaluate(two, plan({"one": "a:x b:y", "two": "a:y b:x"})).feasible


@pytest.mark.parametrize(
    ("entry", "labels"),
    [
        (Contiguous(), ["contiguous(one)", "contiguous(two)"]),
        (Contiguous(network="two"), ["contiguous(two)"]),
    ],
)
def test_a_named_network_or_every_one_must_be_contiguous(entry, labels):
    networks = [graph("ab bc", "one"), graph("ab bc", "two")]
    times = {"a": (1, 1, 1), "b": (1, 1, 1), "c": (1, 1, 1)}
    two = problem(networks, ON, {"one": times, "two": times}, subject_to=[entry])
    result = evaluate(two, plan({"one": "a:x b:y c:x", "two": "a:x b:y c:x"}))
    assert [one.constraint for one in result.violations] == labels


@st.composite
def cases(draw):
    """Draw the edges of a graph, a placement and a subset of the layers."""
    names = "abcdefg"[: draw(st.integers(1, 7))]
    edges = [(u, v) for i, u in enumerate(names) for v in names[i + 1 :] if draw(st.integers(0, 2)) == 0]
    placement = {name: draw(st.sampled_from("xyz")) for name in names}
    return names, edges, placement, draw(st.lists(st.sampled_from(names), unique=True, min_size=1))


def brute_force(names, edges, placement, members):
    """Judge by all paths, and by whether some order of the devices has every edge forwards."""

    def paths(path):
        yield path
        for u, v in edges:
            if u == path[-1]:
                yield from paths([*path, v])

    for name in names:
        for path in paths([name]):
            ends = {path[0], path[-1]}
            if ends <= set(members) and placement[path[0]] == placement[path[-1]]:
                inside = [layer for layer in path if layer in members]
                if {placement[layer] for layer in inside} != {placement[path[0]]}:
                    return False
    between = [
        (placement[name], placement[path[-1]]) for name in members for path in paths([name]) if path[-1] in members
    ]
    return any(
        all(order.index(i) <= order.index(j) for i, j in between)
        for order in ("xyz", "xzy", "yxz", "yzx", "zxy", "zyx")
    )


@given(cases())
def test_contiguity_agrees_with_all_paths_and_all_orders_of_devices(case):
    names, edges, placement, members = case
    net = network(" ".join(names), [tensor(u + v, u, v, 1) for u, v in edges])
    text = " ".join(f"{name}:{device}" for name, device in placement.items())
    found = messages(net, text, Contiguous(network="net", layers=tuple(members)))
    assert (found == []) == brute_force(names, edges, placement, members)
