"""Pipelines along a line of devices: `ideals` against enumeration, alone and over all variants at once."""

import random
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from brute_force import brute_force, check_solved
from builders import link, network, platform, problem, tensor

import dnnopt as dp
from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.exact import EXACT
from dnnopt.methods.exact.all_lines import best_line
from dnnopt.methods.programs.walks import Sequences
from dnnopt.models.solvers.interface import Clock, Control
from dnnopt.problem.constraints import Contiguous, Memory, Placement

ALL = "ideals of all variants"
CONTIGUOUS, PERIOD = (Contiguous(),), dp.period()


def drawn_network(draw, *, ends=False):
    """Draw a network of 3 or 4 layers; `ends`: its input and output are on devices of the line."""
    words = [f"l{v}" for v in range(draw.randint(3, 4))]
    used = {v: [u for u in range(v + 1, len(words)) if draw.random() < 0.6] for v in range(len(words))}
    tensors = [
        tensor(f"t{v}", words[v], " ".join(words[u] for u in users), draw.choice((0.0, 1.0, 2.0, 5.0)))
        for v, users in used.items()
        if users
    ]
    if not ends:
        return network(" ".join(words), tensors)
    tensors.append(tensor("in", "input", " ".join(draw.sample(words, 2)), draw.choice((1.0, 3.0))))
    return network(" ".join(words), [*tensors, tensor("out", words[-1], "output", 2.0)], source="d0", sink="d2")


def line(draw, count, hop, resources=None):
    """Return devices d0, d1, ..., with links from each to the next, in an order of files that is not theirs."""
    devices = [f"d{i}" for i in range(count)]
    routes = {
        f"d{i}>d{j}": " ".join(name for k in range(i, j) for name in (f"h{k}", *([f"g{k}"] if k == 0 else [])))
        for i, j in combinations(range(count), 2)
    }
    links = [link(f"h{k}", *hop(k)) for k in range(count - 1)] + ([link("g0", 2.0, 0.5)] if count > 1 else [])
    return platform(" ".join(draw.sample(devices, count)), links, routes, resources)


def seconds(draw, net, count):
    return {one.name: [draw.choice((0.0, 1.0, 2.0, 3.0, 5.0)) for _ in range(count)] for one in net.layers}


def test_the_best_stages_along_a_line_are_those_of_enumeration():
    seen = Counter()
    for number in range(80):
        draw = random.Random(number)
        ends = draw.random() < 0.4
        net = drawn_network(draw, ends=ends)
        resources = None
        if draw.random() < 0.3:
            resources = {**{f"d{i}": f"d{i}" for i in range(3)}, "first": "h0 g0", "second": "h1"}
        on = line(draw, 3, lambda k, draw=draw: (draw.choice((0.5, 1.0, 3.0)), draw.choice((0.0, 1.0))), resources)
        limits = [Contiguous()]
        if draw.random() < 0.4:
            limits.append(Placement(layer="l1", allowed=["d1", "d2"]))
        if draw.random() < 0.4:
            heavy = [one.replace(weights=draw.choice((1.0, 2.0))) for one in net.layers]
            net = net.replace(layers=heavy)
            rooms = dict.fromkeys(on.device_names(), draw.choice((1.0, 3.0, 6.0)))
            limits.append(Memory(rule="weights", buffers=draw.choice((0, 1)), limits=rooms))
        transport = draw.choice(("multicast", "multicast", "per_edge", "unicast"))
        one = problem(net, on, seconds(draw, net, 3), "pipelined", dp.period(), limits, transport)
        reason = EXACT["ideals"].refuses(compile_problem(one))
        if reason is not None:
            assert reason.startswith(("unicast of a tensor with several uses", "routes that are not"))
            seen["refused"] += 1
            continue
        result = dp.solve(one, method="ideals")
        seen[check_solved(brute_force(one), result.status, result.objective, result.bound), ends] += 1
    seen["infeasible"] = seen["infeasible", True] + seen["infeasible", False]
    assert min(seen[kind] for kind in (("optimal", True), ("optimal", False), "refused", "infeasible")) > 0


@pytest.mark.parametrize(
    ("routes", "resources"),
    [
        ({"d0>d1": "h0", "d1>d2": "h1"}, None),  # none from the first to the last
        ({"d0>d1": "h0", "d1>d2": "h1", "d0>d2": "h1"}, None),
        ({"d0>d1": "h0", "d1>d2": "h0", "d0>d2": "h0"}, None),
        ({"d0>d1": "h0", "d1>d2": "h1", "d0>d2": "h0 h1", "d1>d0": "h0"}, None),
        ({"d0>d1": "h0", "d1>d2": "h1", "d0>d2": "h0 h1"}, {"all": "h0 h1", "d0": "d0", "d1": "d1", "d2": "d2"}),
        ({"d0>d1": "h0", "d1>d2": "h1", "d0>d2": "h0 h1"}, {"d0": "d0 h0", "d1": "d1 h1", "d2": "d2"}),
    ],
)
def test_what_is_no_line_is_refused(routes, resources):
    on = platform("d0 d1 d2", [link("h0"), link("h1")], routes, resources)
    net = network("a b c", [tensor("t", "a", "b c", 1.0)])
    times = {"a": (1, 1, 1), "b": (1, 1, 1), "c": (1, 1, 1)}
    one = problem(net, on, times, "pipelined", dp.period(), [Contiguous()], "multicast")
    with pytest.raises(UnsupportedError, match="routes that are not the sender's links"):
        dp.solve(one, method="ideals")


def alternatives(draw):
    """Draw pipelines of one network over lines of one to four devices of a few kinds, with hops of a few kinds."""
    net = drawn_network(draw)
    kinds = seconds(draw, net, 3)
    found = {}
    for number in range(draw.randint(2, 6)):
        count = draw.randint(1, 4)
        on = line(draw, count, lambda k, draw=draw: (draw.choice((0.5, 1.0)), 0.0))
        of_device = [draw.randrange(3) for _ in range(count)]
        times = {name: [row[kind] for kind in of_device] for name, row in kinds.items()}
        found[f"v{number}"] = problem(net, on, times, "pipelined", dp.period(), [Contiguous()], "multicast")
    return found


@pytest.mark.parametrize("number", range(25))
def test_the_best_of_lines_is_found_at_once_and_is_that_of_enumeration(number):
    problems = alternatives(random.Random(number))
    best = {name: brute_force(one).objective for name, one in problems.items()}
    compiled = [compile_problem(one) for one in problems.values()]
    found = best_line(compiled, Clock(), Control())
    assert found.bound == pytest.approx(min(best.values()), rel=1e-9, abs=1e-9)
    assert found.bound <= min(best.values()) + 1e-12
    result = dp.best_of(problems)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(min(best.values()), rel=1e-9, abs=1e-9)
    assert result.result.found_by == ALL
    assert best[result.variant] == pytest.approx(result.objective, rel=1e-9, abs=1e-9)


def test_other_variants_are_not_searched_at_once():
    draw = random.Random(0)
    net = drawn_network(draw)
    net = net.replace(layers=[one.replace(weights=1.0) for one in net.layers])
    times = seconds(draw, net, 2)

    def one(limits=CONTIGUOUS, minimize=PERIOD, net=net):
        on = line(draw, 2, lambda k: (1.0, 0.0))
        return compile_problem(problem(net, on, times, "pipelined", minimize, limits, "multicast"))

    def is_found(*compiled):
        return best_line(compiled, Clock(), Control()) is not None

    assert is_found(one(), one())
    assert not is_found(one(), one([]))
    assert not is_found(one(), one([Contiguous(), Memory(limits={"d0": 1e9})]))
    assert not is_found(one(), one([Contiguous(), Placement(layer="l1", allowed=["d1"])]))
    assert not is_found(one(), one(minimize=dp.period() + dp.traffic()))
    assert not is_found(one(), one(net=net.replace(tensors=net.tensors[:-1])))
    stopped = Control()
    stopped.stop.set()
    assert best_line([one(), one()], Clock(), stopped) is None


def test_a_formulation_that_is_named_solves_each_variant():
    found = dp.best_of(alternatives(random.Random(3)), formulation="edgewise", time_limit=60)
    assert ALL not in {result.bound_by for result in found.results.values()}


def test_beginnings_after_which_the_same_may_come_are_one_state():
    def compositions(total):
        return (
            [()] if total == 0 else [(one, *rest) for one in range(1, total + 1) for rest in compositions(total - one)]
        )

    ways = [
        [(one, min(one, way[place - 1]) if place else -1) for place, one in enumerate(way)] for way in compositions(8)
    ]
    walk = Sequences(ways)
    assert len(ways) == 128
    assert walk.end + 1 <= 8 * 9 // 2 + 2
    prices = np.arange(9, dtype=float)  # as many as machines: all ways cost 8
    for state, steps in walk.steps():
        for step in steps:
            assert walk.left(state, prices) == prices[step.number] + walk.left(step.after, prices)
    assert walk.left(walk.start, prices) == 8.0
