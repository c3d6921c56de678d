"""Hypothesis strategies: random problems of the kinds that exact methods are for, or that have identical devices."""

from itertools import pairwise, permutations

import numpy as np
from builders import link, platform
from choice_problems import problems_with_choices
from hypothesis import strategies as st
from kept import integers, lists, sampled_from
from limits import CONSTRAINTS, memories
from strategies import problems, tied, tied_problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.methods.exact import labels
from dnnopt.problem import constraints
from dnnopt.problem.networks import Tensor
from dnnopt.problem.objectives import cost, energy, largest, latency, period, traffic
from dnnopt.problem.platforms import Route

LINEAR = sampled_from((latency(), energy(), energy(idle=True), cost(), traffic(), latency() + 0.5 * energy()))
FEW = 90  # placements


def unlimited(most_placements=FEW, largest_spread=2, **options):
    """Draw a problem under an execution in which costs add up."""
    executions = ("sequential", "pipelined")
    return problems(executions, most_placements=most_placements, largest_spread=largest_spread, **options)


@st.composite
def linear(draw, **options):
    """Draw a problem with a linear objective and nothing that limits it."""
    return draw(unlimited(most_constraints=0, **options)).replace(minimize=draw(LINEAR))


@st.composite
def chosen(draw):
    """Draw a problem with choices beyond placement, a linear objective and nothing that limits it."""
    one = draw(problems_with_choices(kinds=("modes", "forms", "reach", "state")))
    return one.replace(
        minimize=draw(LINEAR),
        subject_to=(),
        platform=one.platform.replace(devices=[device.replace(one_mode=False) for device in one.platform.devices]),
    )


def pinned(draw, one, most):
    """Draw placement constraints that leave some layers at most so many devices."""
    devices = one.platform.device_names()
    return [
        constraints.Placement(
            network=net.name,
            layer=layer.name,
            allowed=tuple(draw(lists(sampled_from(devices), min_size=1, max_size=most, unique=True))),
        )
        for net in one.networks
        for layer in net.layers
        if draw(integers(0, 3)) == 0
    ]


@st.composite
def chains(draw, **options):
    """Draw chains with tensors of their own from the input and to the output, and layers that are pinned."""
    one = draw(linear(**options))
    networks = []
    for net in one.networks:
        words = [layer.name for layer in net.layers]
        ends = [("input", words[0]), *pairwise(words), (words[-1], "output")]
        ends += [("input", words[-1])] * draw(st.booleans()) + [(words[0], "output")] * draw(st.booleans())
        sizes = [draw(sampled_from((0.0, 1.0, 2.0, 7.0))) * (net.layers[0].weights or 1.0) for _ in ends]
        tensors = [
            Tensor(name=f"t{n}", producer=u, consumers=(v,), bytes=size, sensitivity=0.5)
            for n, ((u, v), size) in enumerate(zip(ends, sizes, strict=True))
            if draw(integers(0, 9))
        ]
        networks.append(net.replace(tensors=tensors))
    return one.replace(networks=networks, subject_to=pinned(draw, one, 2))


@st.composite
def two_sides(draw, **options):
    """Draw problems in which layers choose between two devices; a third one holds inputs, outputs and pinned layers."""
    one = draw(linear(**options))
    devices = one.platform.device_names()[:2]
    limits = pinned(draw, one, 1)
    limits += [
        constraints.Placement(network=net.name, layer=layer.name, allowed=devices)
        for net in one.networks
        for layer in net.layers
        if layer.name not in {limit.layer for limit in limits}
    ]
    return one.replace(subject_to=limits)


@st.composite
def followed(draw, **options):
    """Draw sums and periods, with those constraints that a walk along the network keeps track of."""
    several = {"executions": ("sequential", "pipelined"), "most_placements": FEW, "largest_spread": 2} | options
    one = draw(st.one_of(unlimited(**options), tied_problems(**several)))
    one = one.replace(minimize=draw(LINEAR | st.just(period())))
    limits = [
        limit for limit in one.subject_to if labels.refuses(compile_problem(one.replace(subject_to=[limit]))) is None
    ]
    return one.replace(subject_to=limits)


@st.composite
def in_memory(draw, **options):
    """Draw sums under limits on memory, with those constraints that a walk along the network keeps track of."""
    several = {"executions": ("sequential",), "most_placements": FEW, "largest_spread": 2} | options
    one = draw(tied_problems(**several)).replace(minimize=draw(LINEAR))
    limits = [
        limit for limit in one.subject_to if labels.refuses(compile_problem(one.replace(subject_to=[limit]))) is None
    ]
    return one.replace(subject_to=limits)


@st.composite
def pipelines(draw, **options):
    """Draw a network whose stages exchange tensors through a hub, with layers that take no time and alike devices.

    The hub may be a radio channel, as one link or as one resource.
    """
    one = draw(unlimited(most_constraints=0, **options))
    net, devices = one.networks[0], one.platform.device_names()
    words = [layer.name for layer in net.layers]
    alike = draw(st.booleans())
    second = sampled_from((0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 5.0, None))
    rows = [[draw(second) for _ in devices] for _ in words]
    time = {
        word: dict(zip(devices, row[:1] * 3 if alike else row, strict=False))
        for word, row in zip(words, rows, strict=True)
    }
    ways = [(device, way) for device in devices for way in ("up", "down")]
    slow = 1.0 if alike else draw(sampled_from((1.0, 3.0)))
    links = [
        link(f"{device}-{way}", 1.0 if device == devices[0] else slow, draw(sampled_from((0.0, 0.0, 0.5))))
        for device, way in ways
    ]
    hub = draw(sampled_from(("switch", "host", "channel", "channels", "air")))
    pairs = [(i, j) for i in devices for j in devices if i != j]
    resources = {
        "host": {device: f"{device} {device}-up {device}-down" for device in devices},
        "channel": {**{device: device for device in devices}, "channel": " ".join(f"{i}-{way}" for i, way in ways)},
        "channels": {
            **{device: device for device in devices},
            **{f"channel-{way}": " ".join(f"{i}-{way}" for i in devices) for way in ("up", "down")},
        },
    }
    on = platform(
        one.platform.devices,
        [link("air")] if hub == "air" else links,
        {f"{i}>{j}": "air" if hub == "air" else f"{i}-up {j}-down" for i, j in pairs},
        resources.get(hub),
    )
    small = [made.replace(bytes=draw(sampled_from((0.0, 0.0, 1.0, 2.0, 4.0)))) for made in net.tensors]
    one = one.replace(
        networks=[net.replace(tensors=small)],
        platform=on,
        profile=one.profile.replace(time={net.name: time}, energy={}),
        minimize=draw(LINEAR | st.just(period())),
        transport=draw(sampled_from(("multicast", "multicast", "per_edge", "unicast"))),
        shared_weights=(),
    )
    forward = draw(lists(sampled_from(words), min_size=1, unique=True)) if draw(st.booleans()) else words
    limits = [*pinned(draw, one, 2), constraints.Contiguous(network=net.name, layers=tuple(forward))]
    limits += [
        constraints.Colocate(network=net.name, layers=(word, draw(sampled_from(forward))))
        for word in words
        if word not in forward
    ]
    if draw(st.booleans()):
        one = one.replace(shared_weights=draw(st.just(()) | tied(one)))
        limits.append(draw(memories(one)))
    return one.replace(subject_to=limits)


@st.composite
def alike(draw, **options):
    """Draw problems whose devices differ in nothing but what networks and limits say of them."""
    one = draw(problems(most_constraints=0, **options))
    names = one.platform.device_names()
    devices = [one.platform.devices[0].replace(name=name) for name in names]
    wire = one.platform.links[0] if one.platform.links else link("w", trusted=True)
    if draw(st.booleans()):
        ends = {f"{i}-{j}": (i, j) for i, j in permutations(names, 2)}
        routes = [Route(origin=i, destination=j, links=(f"{i}-{j}",)) for i, j in permutations(names, 2)]
    else:
        ends = {f"{i}-up": (i, None) for i in names} | {f"{i}-down": (None, i) for i in names}
        routes = [Route(origin=i, destination=j, links=(f"{i}-up", f"{j}-down")) for i, j in permutations(names, 2)]
    links = [wire.replace(name=name, sender=i, receiver=j) for name, (i, j) in ends.items()]
    time = {
        network: {layer: dict.fromkeys(names, next(iter(row.values()))) for layer, row in rows.items()}
        for network, rows in one.profile.time.items()
    }
    one = one.replace(
        platform=one.platform.replace(devices=devices, links=links, routes=routes, resources=()),
        profile=one.profile.replace(time=time, energy={}),
        minimize=tuple(term.replace(links=None) for term in one.minimize),
    )
    # Under scheduled execution there is no schedule yet whose latency a deadline could be.
    unscheduled = one.replace(execution="parallel") if one.execution == "scheduled" else one
    kinds = draw(lists(sampled_from(sorted(CONSTRAINTS)), max_size=2))
    return one.replace(subject_to=[draw(CONSTRAINTS[kind](unscheduled)) for kind in kinds])


@st.composite
def alike_in_memory(draw, minimise=LINEAR, follows=labels.refuses, **options):
    """Draw problems on three to five devices that are alike, with limits on memory, and others that are followed."""
    one = draw(alike(**{"most_placements": 250, "largest_spread": 2} | options))
    names = one.platform.device_names()
    names += tuple("stuv"[: draw(integers(max(0, 3 - len(names)), 2))])
    if sum(len(net.layers) for net in one.networks) > 5:
        names = names[:3]
    first, *_ = one.platform.devices
    wire = next((one for one in one.platform.links), link("w", trusted=True))
    ends = {f"{i}-up": (i, None) for i in names} | {f"{i}-down": (None, i) for i in names}
    routes = [Route(origin=i, destination=j, links=(f"{i}-up", f"{j}-down")) for i, j in permutations(names, 2)]
    time = {
        network: {layer: dict.fromkeys(names, next(iter(row.values()))) for layer, row in rows.items()}
        for network, rows in one.profile.time.items()
    }
    held = [layer.weights or 0.0 for net in one.networks for layer in net.layers]
    one = one.replace(
        platform=one.platform.replace(
            devices=[first.replace(name=name) for name in names],
            links=[wire.replace(name=name, sender=i, receiver=j) for name, (i, j) in ends.items()],
            routes=routes,
        ),
        profile=one.profile.replace(time=time),
        minimize=draw(minimise),
        subject_to=(),
    )
    kinds = draw(lists(sampled_from(sorted(CONSTRAINTS)), max_size=2))
    others = [draw(CONSTRAINTS[kind](one)) for kind in kinds]
    limit = max(max(held) * 1.1, sum(held) / len(names) * draw(sampled_from((1.1, 1.5, 2.0)))) or 1.0
    memory = constraints.memory(
        draw(sampled_from(("weights", "weights", "weights+activations"))), limits=dict.fromkeys(names, limit)
    )
    limits = [limit for limit in others if follows(compile_problem(one.replace(subject_to=[limit]))) is None]
    return one.replace(subject_to=[memory, *limits])


@st.composite
def in_tight_memory(draw, most_placements=120):
    """Draw problems whose latency is the longest path, on devices that all have a limit on memory."""
    one = draw(problems(("parallel",), most_placements=most_placements, largest_spread=2))
    kept = [limit for limit in one.subject_to if not isinstance(limit, constraints.Memory | constraints.Deadline)]
    total = sum(layer.weights or 0.0 for net in one.networks for layer in net.layers) or 1.0
    share = st.sampled_from((0.4, 0.7, 1.0, 2.0))
    limits = {device: total * draw(share) + 1.0 for device in one.platform.device_names()}
    one = one.replace(subject_to=[*kept, constraints.Memory(limits=limits)])
    goals = [latency(), latency() + 0.25 * energy(), 2.0 * largest(latency()), traffic() + 0.01 * latency(), traffic()]
    one = one.replace(minimize=draw(st.sampled_from(goals)))
    c = compile_problem(one.replace(subject_to=[]))
    if c.allowed.any(axis=1).all() and draw(st.booleans()):
        placements = np.array([[draw(st.sampled_from(np.flatnonzero(row).tolist())) for row in c.allowed]])
        latencies = evaluator_of(c).latencies(placements)[0]
        times = [max(float(value), 1e-9) * draw(st.sampled_from((0.9, 1.0, 1.3))) for value in latencies]
        networks = [net.replace(deadline=time) for net, time in zip(one.networks, times, strict=True)]
        one = one.replace(networks=networks, subject_to=[*one.subject_to, constraints.Deadline()])
    return one


@st.composite
def weighed(draw, **options):
    """Draw problems whose objectives are in very large or very small units."""
    one = draw(problems(**options))
    factor = 10.0 ** draw(sampled_from((-18, -8, -3, 3, 8, 16)))
    return one.replace(minimize=tuple(term * factor for term in one.minimize))
