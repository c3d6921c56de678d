"""Exchanging identical devices changes nothing that the referee sees, and all that tells devices apart is looked at."""

import math
from collections import Counter
from dataclasses import fields, replace
from itertools import combinations, permutations, product

import numpy as np
import pytest
from builders import layer, link, network, problem, shared, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import placement_plan

import dnnopt as dp
from dnnopt.compiled import constraints as kinds
from dnnopt.compiled import logical
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.metrics import LinearMetric
from dnnopt.compiled.scheduling import plan_of
from dnnopt.compiled.symmetry import identical_devices
from dnnopt.problem.objectives import largest
from dnnopt.problem.platforms import Device, Platform, Resource, Route
from dnnopt.referee import evaluate

NAMES = "pqr"
SOME = st.sampled_from((0.0, 1.0, 2.0, 5.0))


# Problems in which devices are alike but for one thing, which may be anything


@st.composite
def platforms(draw):
    """Draw three devices that are alike, with links of their own, or around a pool's memory, or over one medium."""
    shape = draw(st.sampled_from(("mesh", "hub", "medium")))
    device = {"tier": "edge", "trusted": True, "memory": 9.0, "power": draw(SOME), "idle_power": draw(SOME)}
    devices = [Device(name=name, price=1.0, **device) for name in NAMES]
    fields = {"trusted": True, "latency": draw(SOME), "price_per_byte": draw(SOME), "send_energy_per_byte": draw(SOME)}
    if shape == "mesh":
        links = [link(f"{i}-{j}", sender=i, receiver=j, **fields) for i, j in permutations(NAMES, 2)]
        routes = {(i, j): (f"{i}-{j}",) for i, j in permutations(NAMES, 2)}
    else:
        links = [link(f"{i}-up", sender=i, **fields) for i in NAMES]
        links += [link(f"{i}-down", receiver=i, **fields) for i in NAMES]
        between = () if shape == "hub" else ("air",)
        links += [link(name, 2.0, trusted=True) for name in between]
        routes = {(i, j): (f"{i}-up", *between, f"{j}-down") for i, j in permutations(NAMES, 2)}
    resources = ()
    if draw(st.booleans()):
        resources = tuple(
            Resource(name=f"{i} alone", devices=(i,), links=tuple(one.name for one in links if one.sender == i))
            for i in NAMES
        )
    return Platform(
        devices=devices,
        links=links,
        routes=[Route(origin=i, destination=j, links=way) for (i, j), way in routes.items()],
        resources=resources,
    )


def changed(records, index, **update):
    """Return records of which one has other fields."""
    return tuple(one.model_copy(update=update) if k == index else one for k, one in enumerate(records))


@st.composite
def distinctions(draw, one):
    """Return the problem with one thing changed in which devices may differ."""
    on, net = one.platform, one.networks[0]
    name, device = draw(st.sampled_from(NAMES)), draw(st.integers(0, 2))
    wire, way = draw(st.integers(0, len(on.links) - 1)), draw(st.integers(0, len(on.routes) - 1))
    word, around = draw(st.sampled_from([one.name for one in net.layers])), on.links[wire].name
    route = on.routes[way].links

    def with_platform(**update):
        return one.replace(platform=on.model_copy(update=update))

    def with_profile(what):
        rows = dict(getattr(one.profile, what).get(net.name, {}))
        rows[word] = dict(rows.get(word, {})) | {name: 8.0}
        return one.replace(profile=one.profile.model_copy(update={what: {net.name: rows}}))

    of_devices = [{"tier": "cloud"}, {"trusted": False}, {"memory": 4.0}, {"pool": True}]
    of_devices += [{field: 7.0} for field in ("power", "idle_power", "price")]
    of_links = [{"bandwidth": 0.5}, {"latency": 7.0}, {"trusted": False}, {"sender": name}, {"receiver": name}]
    of_links += [{f"{field}_per_byte": 7.0} for field in ("send_energy", "receive_energy", "price")]
    limits = [dp.energy(name) <= 4.0, dp.memory(limits={name: 3}), dp.traffic(around) <= 1]
    limits += [dp.Bandwidth(link=around, limit=1), dp.Placement(network="net", layer=word, allowed=(name,))]
    extra = Resource(name=f"extra {len(on.resources)}", devices=draw(st.sampled_from(((), (name,)))), links=(around,))
    options = [
        *(with_platform(devices=changed(on.devices, device, **update)) for update in of_devices),
        *(with_platform(links=changed(on.links, wire, **update)) for update in of_links),
        *(with_platform(routes=changed(on.routes, way, links=links)) for links in ((), route[:1], route[::-1])),
        with_platform(routes=on.routes[:way] + on.routes[way + 1 :]),
        with_platform(resources=(*on.resources, extra)),
        *(with_profile(what) for what in ("time", "energy")),
        *(one.replace(networks=[net.model_copy(update={end: name})]) for end in ("source", "sink")),
        *(one.replace(subject_to=[*one.subject_to, limit]) for limit in limits),
    ]
    return draw(st.sampled_from(options))


@st.composite
def alike(draw):
    """Draw a problem in which devices are alike but for at most two things."""
    words = "abc"[: draw(st.integers(1, 3))]
    tensors = [
        tensor(f"t{u}{v}", u, v, draw(SOME), sensitivity=draw(st.sampled_from((0.0, 0.5, 1.0))))
        for u, v in combinations(words, 2)
        if draw(st.integers(0, 2))
    ]
    tensors.append(tensor("end", words[-1], "output", draw(SOME), sensitivity=0.5))
    tensors.append(tensor("raw", "input", words[0], draw(SOME), sensitivity=1.0))
    net = network(
        [layer(word, draw(SOME), draw(SOME)) for word in words],
        tensors,
        rate=0.1,
        shared_weights=[shared("tied", draw(SOME), " ".join(words))],
    )
    on = draw(platforms())
    own = dp.Metric(
        name="own",
        layers={"net": {words[0]: {name: draw(st.sampled_from((1.0, 1.0, 1.0, 2.0))) for name in NAMES}}},
        links={one.name: dp.LinkCharge(per_copy=draw(st.sampled_from((1.0, 1.0, 1.0, 2.0)))) for one in on.links[:1]},
        exposed={"net": {"raw": 1.0}},
    )
    terms = [dp.latency(), dp.period(), dp.cost(), dp.energy(), dp.energy(idle=True), dp.traffic(), dp.leakage()]
    terms += [dp.worst_leakage(), largest(dp.energy()), largest(dp.traffic())]
    rarely = [dp.metric("own"), dp.energy("p"), dp.traffic(on.links[0].name), largest(dp.energy("p", "q"))]
    limits = [dp.memory(), dp.memory("weights+activations"), dp.memory("weights+largest_activation", buffers=1)]
    limits += [dp.MaxDevices(limit=2), dp.MaxCuts(limit=1), dp.MonotoneTiers(), dp.Contiguous(), dp.Utilisation()]
    limits += [dp.Bandwidth(), dp.latency() <= 9, dp.cost() <= 9, dp.leakage() <= 0.5]
    limits += [dp.Separate(network="net", layers=tuple(words)), dp.Colocate(network="net", layers=tuple(words))]
    # Mostly all at once: plans need not be feasible, and whatever tells devices apart then shows.
    some = draw(st.lists(st.sampled_from([*terms, *rarely]), min_size=1, max_size=2))
    minimize = draw(st.sampled_from((terms, terms, some)))
    minimize = [*minimize, *(dp.Term(**(dict(term) | {"priority": 1})) for term in some if draw(st.booleans()))]
    times = {word: [draw(SOME)] * 3 for word in words}
    transport = draw(st.sampled_from(("unicast", "multicast", "per_edge")))
    few = draw(st.lists(st.sampled_from([*limits, dp.metric("own") <= 1]), max_size=2))
    listed = draw(st.sampled_from((limits, limits, few)))
    one = problem(net, on, times, transport=transport).replace(
        metrics=[own], minimize=tuple(minimize), subject_to=listed
    )
    for _ in range(draw(st.sampled_from((0, 1, 1, 2)))):
        one = draw(distinctions(one))
    for execution in draw(st.permutations(("sequential", "parallel", "scheduled", "pipelined", "call"))):
        try:
            return one.replace(execution=execution)
        except dp.InputError:  # calls ask more of links and ends
            continue
    raise AssertionError


def judged(c, one, placement):
    """Return what the referee says, without names: objectives, and the amounts of violations."""
    evaluation = evaluate(one, plan_of(c, np.array(placement)))
    amounts = [(found.constraint.partition("(")[0], found.unit, found.amount) for found in evaluation.violations]
    return evaluation.objectives, sorted(amounts)


def same(first, second):
    """Return whether two judgements are the same but for rounding."""
    (objectives, amounts), (others, other_amounts) = first, second
    return (
        all(map(close, objectives, others))
        and [one[:2] for one in amounts] == [one[:2] for one in other_amounts]
        and all(close(one[2], other[2]) for one, other in zip(amounts, other_amounts, strict=True))
    )


def close(first, second):
    return first == second or math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12)


def test_exchanging_identical_devices_in_a_plan_changes_nothing_that_the_referee_sees():
    seen = Counter()

    @settings(max_examples=100)
    @given(alike())
    def check(one):
        c = compile_problem(one)
        classes = identical_devices(c)
        seen[len(classes[0]) if classes else 1] += 1
        found = {}
        for devices in product(range(3), repeat=len(one.networks[0].layers)) if classes else ():
            placement = c.placement(placement_plan(one, [NAMES[device] for device in devices]))
            found[devices] = judged(c, one, placement)
        for devices, (first, other) in product(found, [(m[0], other) for m in classes for other in m[1:]]):
            exchanged = {0: 0, 1: 1, 2: 2} | {first: other, other: first}
            moved = tuple(exchanged[device] for device in devices)
            assert same(found[devices], found[moved]), (NAMES[first], NAMES[other], devices)
            seen[one.execution] += moved != devices

    executions = ("sequential", "parallel", "scheduled", "pipelined", "call")
    check_until(check, lambda: all(seen[n] for n in (1, 2, 3)) and all(seen[execution] for execution in executions))


# Every field of the arrays


def symmetric(execution="sequential", transport="unicast"):
    """Return a compiled problem of three identical devices."""
    words = "abc"
    net = network([layer(word, 1, 1) for word in words], [tensor("t", "a", "b c", 1), tensor("u", "b", "c", 2)])
    links = [link(f"{i}-{j}", sender=i, receiver=j) for i, j in permutations(NAMES, 2)]
    on = Platform(
        devices=[Device(name=name) for name in NAMES],
        links=links,
        routes=[Route(origin=i, destination=j, links=(f"{i}-{j}",)) for i, j in permutations(NAMES, 2)],
    )
    return compile_problem(problem(net, on, dict.fromkeys(words, (1, 1, 1)), execution, transport=transport))


def at(array, index, value):
    other = np.array(array)
    other[index] = value
    return other


# How one device (r), or a link at it, is told apart in a field of CompiledProblem, ...
TOLD_APART = {
    "time": lambda c: at(c.time, (0, 2), 3.0),
    "allowed": lambda c: at(c.allowed, (0, 2), False),
    "device_tier": lambda c: at(c.device_tier, 2, 1),
    "device_trusted": lambda c: at(c.device_trusted, 2, False),
    "link_bandwidth": lambda c: at(c.link_bandwidth, 5, 3.0),
    "link_latency": lambda c: at(c.link_latency, 5, 3.0),
    "link_trusted": lambda c: at(c.link_trusted, 5, False),
    "route_links": lambda c: (*c.route_links[:2], (c.route_links[2][0], None, ())),
    "resource_devices": lambda c: at(c.resource_devices, (2, 0), True),
    "resource_links": lambda c: at(c.resource_links, (2, 5), True),
    "forbidden_moves": lambda c: at(np.zeros((len(c.edges), 6), dtype=bool), (0, 5), True),
    "call_links": lambda c: at(c.call_links, (2, 5), False),
    "pools": lambda c: at(c.pools, 2, True),
    "executor_device": lambda c: np.array([0, 1, 2, 2]),
    "made": lambda c: np.ones((len(c.tensor_names), 3), dtype=bool),
    "barred_moves": lambda c: np.zeros((len(c.edges), 6), dtype=bool),
}
# ... those in which no device can be (what they name or count is in others, or is about layers alone), and those that
# count where a metric, a limit or a term of the objective reads them.
ABOUT_NO_DEVICE = {
    *("problem_name", "execution", "transport", "network_names", "node_names", "node_network"),
    *("is_layer", "executor_names", "device_names", "tensor_names", "tensor_network", "tensor_bytes", "sensitivity"),
    *("producer", "use_tensor", "use_consumer", "link_names", "resource_names", "layer_keys", "shared_weights"),
    *("floor", "cap"),
    *("executor_host", "host_names", "host_device", "tensor_share", "tensor_number", "tensor_whole"),
    *("events", "choices", "block", "blocks"),  # where there are any, there are others that tell
    "problem",  # for pieces of a user's own; with constraints of that kind no devices count as identical
}
READ_BY_METRICS = {"energy", "objective", "constraints"}


def names_of(kind):
    return {field.name for field in fields(kind)}


def test_every_field_of_the_arrays_is_one_that_tells_devices_apart_or_cannot():
    assert names_of(CompiledProblem) == set(TOLD_APART) | ABOUT_NO_DEVICE | READ_BY_METRICS


@pytest.mark.parametrize("name", TOLD_APART)
def test_devices_that_differ_in_a_field_are_not_identical(name):
    c = symmetric("call" if name in ("call_links", "pools") else "sequential")
    assert identical_devices(c) == [[0, 1, 2]]
    found = identical_devices(replace(c, **{name: TOLD_APART[name](c)}))
    assert all(2 not in members for members in found)


def metric(c, **parts):
    return replace(c.zero_metric("own", ""), **parts)


def metrics(c):
    """Yield metrics, by the field in which they tell r from the others."""
    zero = c.zero_metric("own", "")
    yield "alpha", metric(c, alpha=at(zero.alpha, (0, 2), 1.0))
    yield "per_copy", metric(c, per_copy=at(zero.per_copy, 5, 1.0))
    yield "per_byte", metric(c, per_byte=at(zero.per_byte, 5, 1.0))


def limits(c):
    """Yield constraints, by kind and field in which they tell r from the others."""
    (_, one), *_ = metrics(c)
    nothing = np.zeros(len(c.node_names))

    def limit_on(device, **fields):
        held = np.zeros((len(c.node_names), 1))
        here = {"executors": np.array([device]), "hosts": np.array([device]), "factors": np.ones(1)}
        memory = {"limit": 9.0, "resident_in": held, "peak_in": held, "shared": c.shared_weights, "buffers": 0}
        return kinds.MemoryLimit(**({"label": "memory", "device": device} | here | memory | fields))

    tied = replace(c.shared_weights, names=("s",), bytes=np.ones(1), readers=at([nothing > 0], (0, 0), True))
    some = at(nothing, 0, 1.0)[:, None]
    yield "MemoryLimit.device", [limit_on(2)]
    for name, value in {"limit": 8.0, "resident_in": some, "peak_in": some, "buffers": 1, "shared": tied}.items():
        yield f"MemoryLimit.{name}", [limit_on(0), limit_on(1), limit_on(2, **{name: value})]
    halves = [limit_on(device, shared=tied, factors=np.full(1, factor)) for device, factor in enumerate((1, 1, 0.5))]
    yield "MemoryLimit.factors", halves
    yield "OneMode.device", [kinds.OneMode("one mode", 2)]
    yield "ShareLimit.metrics", [kinds.ShareLimit("share", (one,), (1.0,), 1.0, 1.0)]
    yield "LinearLimit.metric", [kinds.LinearLimit("limit", one, 1.0)]
    yield "ObjectiveLimit.terms", [kinds.ObjectiveLimit("limit", (kinds.LinearTerm(1.0, one),), 1.0)]
    largest_of = kinds.MaxTerm(1.0, (kinds.LinearTerm(1.0, one),))
    yield "ObjectiveLimit.terms", [kinds.ObjectiveLimit("limit", (largest_of,), 1.0)]
    yield "Escape.device", [kinds.Escape("escape", 0, 2, True, np.array([0]))]
    yield "MulticastTrees.conflicts", [kinds.MulticastTrees("trees", ((2, 0, 1),))]
    yield "CustomLimit.constraint", [kinds.CustomLimit("own", dp.CustomConstraint(), lambda plan: 0.0)]


# Fields of constraints that are about nodes, networks and numbers alone; `label` says nothing.
WITHOUT_DEVICES = {
    *("LinearLimit.limit", "DeadlineLimit.network", "DeadlineLimit.limit", "ObjectiveLimit.limit"),
    *("Colocation.nodes", "Separation.nodes", "Separation.at_most", "Contiguity.nodes", "Contiguity.edges"),
    *("DeviceCount.limit", "CutCount.limit", "CallOrder.network", "CustomLimit.violation"),
    *("Escape.node", "Escape.forwards", "Escape.edges"),
    *("MemoryLimit.executors", "MemoryLimit.hosts"),  # of the device
    *("ShareLimit.probabilities", "ShareLimit.limit", "ShareLimit.share"),
}


def test_every_field_of_a_constraint_is_one_that_tells_devices_apart_or_cannot():
    c = symmetric()
    every = {f"{kind.__name__}.{name}" for kind in logical.KINDS for name in names_of(kind) - {"label"}}
    assert every == {name for name, _ in limits(c)} | WITHOUT_DEVICES
    assert names_of(LinearMetric) == {name for name, _ in metrics(c)} | {"name", "unit", "scale", "gamma", "on_event"}


def test_devices_that_differ_in_a_constraint_or_a_term_are_not_identical():
    c = symmetric()
    for name, constraints in limits(c):
        found = identical_devices(replace(c, constraints=tuple(constraints)))
        assert all(2 not in members for members in found), name
    for name, one in metrics(c):
        term = kinds.LinearTerm(1.0, one)
        for objective in (((term,),), ((kinds.MaxTerm(1.0, (term,)),),), ((kinds.PeriodTerm(1.0),), (term,))):
            found = identical_devices(replace(c, objective=objective))
            assert all(2 not in members for members in found), name
