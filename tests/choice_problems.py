"""Hypothesis strategies: choices beyond placement, added to random small problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from block_problems import with_blocks
from hypothesis import strategies as st
from kept import integers, lists, sampled_from
from limits import CONSTRAINTS
from strategies import problems

from dnnopt.problem import constraints as c
from dnnopt.problem.forms import Form
from dnnopt.problem.modes import Mode
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.objectives import Term, latency
from dnnopt.problem.platforms import Device
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile
from dnnopt.problem.scenarios import Scenario

Draw = Callable[[st.SearchStrategy[Any]], Any]
KINDS = ("modes", "forms", "reach", "state", "scenarios")
MOST_PLANS = 200
_FACTORS = (0.0, 0.25, 0.5, 0.5, 1.0, 1.0, 2.0)


def choices_of(problem: Problem) -> list[str]:
    """Return what a problem is about beyond the devices of layers."""
    layers = [layer for network in problem.networks for layer in network.layers]
    tensors = [tensor for network in problem.networks for tensor in network.tensors]
    found = {
        "modes": any(device.modes for device in problem.platform.devices),
        "forms": any(tensor.forms or not tensor.plain for tensor in tensors),
        "reach": any(layer.reach < 1 for layer in layers) or any(tensor.reach is not None for tensor in tensors),
        "state": any(layer.state for layer in layers),
        "blocks": bool(problem.profile.blocks),
        "scenarios": bool(problem.scenarios),
        "loss": any(entry.loss for entry in problem.networks) or _names(problem, "accuracy_loss"),
        "batch latency": _names(problem, "batch_latency"),
    }
    return [kind for kind, there in found.items() if there]


def linear_terms(problem: Problem) -> tuple[Term, ...]:
    """Return the terms of the objective that are sums over layers and transfers; the latency where none is."""
    others = ("period", "leakage", "worst_leakage", "batch_latency")
    found = tuple(term for term in problem.minimize if term.over != "max" and term.metric not in others)
    return found or (latency(),)


def _names(problem: Problem, metric: str) -> bool:
    entries = (*problem.minimize, *problem.subject_to)
    return any(metric in (getattr(entry, "metric", ""), getattr(entry, "constraint", "")) for entry in entries)


@st.composite
def problems_with_choices(
    draw: Draw,
    kinds: tuple[str, ...] = KINDS,
    executions: tuple[str, ...] = ("sequential", "pipelined"),
    priorities: int = 1,
    always: tuple[str, ...] = (),
) -> Problem:
    """Draw a problem with choices of some of the kinds; limits may be those of a random plan without them."""
    plain = draw(
        problems(executions=executions, most_placements=30, most_constraints=1, largest_spread=2, priorities=priorities)
    )
    chosen = [*draw(lists(sampled_from(kinds), min_size=not always, unique=True)), *always]
    networks, devices, profile = plain.networks, plain.platform.devices, plain.profile
    if "modes" in chosen:
        layers = sum(len(network.layers) for network in networks)
        most = int(MOST_PLANS ** (1 / layers))
        devices, profile = draw(_modes(networks, devices, profile, most))
    if "forms" in chosen:
        executors = sum(len(device.executors) for device in devices)
        plans = executors ** sum(len(network.layers) for network in networks)
        networks = draw(_forms(networks, devices, MOST_PLANS / plans))
    if plain.execution == "parallel":  # whose latency would be refused
        chosen = [kind for kind in chosen if kind not in ("reach", "scenarios", "blocks")]
    if "reach" in chosen:
        networks = tuple(draw(_reaches(network)) for network in networks)
    if "state" in chosen:
        networks = tuple(draw(_states(network)) for network in networks)
    platform = plain.platform.replace(devices=devices)
    if "blocks" in chosen:
        profile = draw(with_blocks(networks, platform, profile))
    problem = plain.model_copy(update={"subject_to": ()}).replace(networks=networks, platform=platform, profile=profile)
    listed = list(plain.subject_to)
    if draw(st.booleans()):
        listed.append(draw(CONSTRAINTS["memory"](problem.model_copy(update={"platform": plain.platform}))))
    if draw(integers(0, 3)) == 0:
        listed.append(c.AccuracyLoss(limit=draw(sampled_from((0.0, 0.1, 0.2, 0.35)))))
    terms = list(problem.minimize)
    if draw(integers(0, 2)) == 0:
        terms.append(Term(metric="accuracy_loss", weight=draw(sampled_from((0.1, 1.0, 10.0)))))
    alike = len({network.weight for network in networks}) == 1  # others are refused across scenarios
    if problem.execution == "sequential" and alike and draw(integers(0, 3)) == 0:
        terms.append(Term(metric="batch_latency", rounds=draw(sampled_from((1, 2, 5)))))
    if "scenarios" in chosen:
        problem = problem.model_copy(update={"scenarios": draw(_scenarios(problem))})
        terms = [draw(_across(term)) for term in terms]
        listed = [draw(_across(entry)) for entry in listed]
        terms = [term if term.across == "expected" else term.replace(idle=False) for term in terms]
    if "forms" in chosen and any(network.weight < 1 for network in networks):  # refused, as it is no sum of costs
        terms = [term.replace(idle=False) for term in terms]
    return problem.replace(subject_to=tuple(listed), minimize=tuple(terms))


@st.composite
def _modes(
    draw: Draw, networks: tuple[Network, ...], devices: tuple[Device, ...], profile: Profile, most: int
) -> tuple[tuple[Device, ...], Profile]:
    """Draw modes of devices, at most so many executors, and perhaps their times, energies and losses."""
    changed, left = [], max(most - len(devices), 1)
    tables: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
        kind: {net: {layer: dict(values) for layer, values in layers.items()} for net, layers in table.items()}
        for kind, table in (("time", profile.time), ("energy", profile.energy), ("loss", profile.loss))
    }
    for device in devices:
        count = draw(integers(0, min(left, 2)))
        names = [f"m{k}" for k in range(count + 1)] if count or draw(st.booleans()) else []
        left -= count
        modes = tuple(draw(_mode(name)) for name in names)
        changed.append(device.replace(modes=modes, one_mode=draw(st.booleans())))
        for network in networks:
            for layer in network.layers:
                for executor in changed[-1].executors if len(modes) > 1 else ():
                    _measure(draw, tables, network.name, layer.name, executor.name)
    return tuple(changed), profile.replace(**tables)


def _measure(draw: Draw, tables: Any, network: str, layer: str, executor: str) -> None:
    """Perhaps draw what a layer takes on an executor: a multiple of what is known of another one."""
    for kind in ("time", "energy"):
        known = [value for value in tables[kind].get(network, {}).get(layer, {}).values() if value is not None]
        if known and draw(integers(0, 3)) == 0:
            factor = draw(sampled_from(_FACTORS))
            tables[kind][network][layer][executor] = factor * known[0]
    if draw(integers(0, 5)) == 0:
        tables["loss"].setdefault(network, {}).setdefault(layer, {})[executor] = draw(sampled_from((0.0, 0.1, 0.3)))


@st.composite
def _mode(draw: Draw, name: str) -> Mode:
    fields: dict[str, Any] = {}
    for field, values in (
        ("efficiency", (0.25, 0.5, 1.0)),
        ("power", (0.0, 1.0, 4.0)),
        ("price", (0.0, 2.0)),
        ("overhead", (0.0, 1.0)),
    ):
        if draw(integers(0, 3)) == 0:
            fields[field] = draw(sampled_from(values))
    for field in ("weight_bytes", "activation_bytes", "output_bytes"):
        fields[field] = draw(sampled_from((1.0, 1.0, 0.25, 0.5, 2.0)))
    ops = draw(sampled_from((None, None, None, (), ("Conv",))))
    return Mode(name=name, loss=draw(sampled_from((0.0, 0.0, 0.1, 0.25))), ops=ops, **fields)


@st.composite
def _forms(draw: Draw, networks: tuple[Network, ...], devices: tuple[Device, ...], most: float) -> tuple[Network, ...]:
    """Draw forms of tensors, at most so many combinations."""
    names, found = [device.name for device in devices], []
    for network in networks:
        tensors = []
        for tensor in network.tensors:
            count = draw(integers(1, 2)) if draw(st.booleans()) else 0
            if count and 1 + count <= most:
                most /= 1 + count
                forms = tuple(draw(_form(f"f{k}", tensor.bytes, names)) for k in range(count))
                tensor = tensor.replace(forms=forms, plain=draw(sampled_from((True, True, False))))
            tensors.append(tensor)
        found.append(network.replace(tensors=tuple(tensors)))
    return tuple(found)


@st.composite
def _form(draw: Draw, name: str, size: float, devices: list[str]) -> Form:
    def coding() -> Any:
        kind = draw(sampled_from(("free", "seconds", "seconds", "roofline")))
        if kind == "free":
            return None
        if kind == "roofline":
            return {"roofline": {"flops": draw(sampled_from((0.0, 1.0))), "bytes": draw(sampled_from((0.0, 2.0)))}}
        able = draw(lists(sampled_from(devices), unique=True))
        return {device: draw(sampled_from((0.0, 1e-3, 1.0, 3.0))) for device in able}

    return Form(
        name=name,
        bytes=size * draw(sampled_from((0.1, 0.25, 0.5, 1.0, 2.0))),
        encode=coding(),
        decode=coding(),
        loss=draw(sampled_from((0.0, 0.0, 0.1, 0.2))),
        sensitivity=draw(sampled_from((None, None, 0.0, 0.25, 0.75))),
    )


@st.composite
def _reaches(draw: Draw, network: Network) -> Network:
    """Draw reaches that do not grow from a layer to those after it."""
    reach: dict[str, float] = {INPUT: 1.0}
    before: dict[str, list[str]] = {layer.name: [] for layer in network.layers}
    for tensor in network.tensors:
        for consumer in tensor.consumers:
            if consumer != OUTPUT:
                before[consumer].append(tensor.producer)
    for index in network.order:
        name = network.layers[index].name
        most = min((reach[producer] for producer in before[name]), default=1.0)
        reach[name] = most * draw(sampled_from((1.0, 1.0, 0.5, 0.75)))
    layers = tuple(layer.replace(reach=reach[layer.name]) for layer in network.layers)
    tensors = []
    for tensor in network.tensors:
        own = None
        if OUTPUT in tensor.consumers and draw(st.booleans()):
            own = reach[tensor.producer] * draw(sampled_from((0.25, 1.0)))
        tensors.append(tensor.replace(reach=own))
    return network.replace(layers=layers, tensors=tuple(tensors))


@st.composite
def _scenarios(draw: Draw, problem: Problem) -> tuple[Scenario, ...]:
    """Draw up to three scenarios."""
    shares = draw(sampled_from(((0.5, 0.5), (0.25, 0.75), (0.2, 0.3, 0.5), (0.1, 0.9), (1.0,), (0.0, 0.4, 0.6))))
    links, devices = [link.name for link in problem.platform.links], problem.platform.device_names()

    def factors(names: Any) -> dict[str, float]:
        some = draw(lists(sampled_from(names), unique=True)) if names else []
        return {name: draw(sampled_from((0.25, 0.5, 2.0, 3.0))) for name in some}

    return tuple(
        Scenario(
            name=f"s{k}",
            probability=share,
            bandwidth=factors(links),
            latency=factors(links),
            speed=factors(devices),
        )
        for k, share in enumerate(shares)
    )


@st.composite
def _across(draw: Draw, record: Any) -> Any:
    """Draw how a term or a limit looks across scenarios."""
    kind = draw(sampled_from(("expected", "worst", "cvar", "share")))
    fields = type(record).model_fields
    if kind == "share" and "share" in fields:
        return record.replace(share=draw(sampled_from((0.25, 0.5, 0.75, 1.0))))
    if "across" not in fields or kind in ("share", "expected"):
        return record
    if kind == "cvar":
        return record.replace(across="cvar", level=draw(sampled_from((0.0, 0.5, 0.75, 0.9))))
    return record.replace(across="worst")


@st.composite
def _states(draw: Draw, network: Network) -> Network:
    """Draw state of layers, about as large as their weights, and a loss of the network's own."""
    layers = tuple(
        layer.replace(state=(layer.weights or 0.0) * draw(sampled_from((0.0, 0.5, 1.0)))) for layer in network.layers
    )
    return network.replace(layers=layers, loss=draw(sampled_from((0.0, 0.05))))
