"""Small problems for tests, written in few words.

Names are given in one text (``"a b"``), times as one number per device in the platform's order (None: unsupported).
Bandwidths default to 1 byte/s and latencies to 0, so that a tensor of n bytes takes n seconds over a link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dnnopt.problem.networks import Layer, Network, SharedAcross, SharedWeights, Tensor
from dnnopt.problem.objectives import latency
from dnnopt.problem.plan import Plan, Schedule, Transfer
from dnnopt.problem.platforms import Device, Link, Platform, Resource, Route
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile


def layer(name: str, weights: float | None = None, activations: float | None = None) -> Layer:
    """Return a layer."""
    return Layer(name=name, weights=weights, activations=activations)


def tensor(name: str, producer: str, consumers: str, size: float, **fields: Any) -> Tensor:
    """Return a tensor of `size` bytes from its producer to its consumers."""
    return Tensor(name=name, producer=producer, consumers=tuple(consumers.split()), bytes=size, **fields)


def network(layers: str | Iterable[Layer], tensors: Iterable[Tensor] = (), name: str = "net", **fields: Any) -> Network:
    """Return a network."""
    records = [layer(word) for word in layers.split()] if isinstance(layers, str) else list(layers)
    return Network(name=name, layers=tuple(records), tensors=tuple(tensors), **fields)


def shared(name: str, size: float, layers: str) -> SharedWeights:
    """Return weights of `size` bytes that these layers of a network share."""
    return SharedWeights(name=name, bytes=size, layers=tuple(layers.split()))


def shared_across(name: str, size: float, layers: str) -> SharedAcross:
    """Return weights of `size` bytes that layers of several networks share: ``"net.a other.u"``."""
    pairs = (word.split(".") for word in layers.split())
    return SharedAcross(name=name, bytes=size, layers=tuple((network, layer) for network, layer in pairs))


def link(name: str, bandwidth: float = 1.0, latency: float = 0.0, **fields: Any) -> Link:
    """Return a link."""
    return Link(name=name, bandwidth=bandwidth, latency=latency, **fields)


def platform(
    devices: str | Iterable[Device],
    links: Iterable[Link] = (),
    routes: Mapping[str, str] | None = None,
    resources: Mapping[str, str] | None = None,
) -> Platform:
    """Return a platform: routes as ``{"pi>t4": "up"}``, resources as ``{"radio": "up down"}`` (devices or links)."""
    machines = [Device(name=word) for word in devices.split()] if isinstance(devices, str) else list(devices)
    links = tuple(links)
    names = {machine.name for machine in machines}
    return Platform(
        devices=tuple(machines),
        links=links,
        routes=tuple(
            Route(origin=pair.split(">")[0], destination=pair.split(">")[1], links=tuple(words.split()))
            for pair, words in (routes or {}).items()
        ),
        resources=tuple(
            Resource(
                name=name,
                devices=tuple(word for word in words.split() if word in names),
                links=tuple(word for word in words.split() if word not in names),
            )
            for name, words in (resources or {}).items()
        ),
    )


def problem(
    networks: Network | Sequence[Network],
    on: Platform,
    times: Mapping[str, Any],
    execution: Any = "sequential",
    minimize: Any = None,
    subject_to: Sequence[Any] = (),
    transport: Any = "unicast",
    energies: Mapping[str, Any] | None = None,
    shared_weights: Sequence[SharedAcross] = (),
) -> Problem:
    """Return a problem.

    `times` and `energies` are ``{layer: (value on each device, ...)}``, or one such table for each of several networks.
    """
    networks = (networks,) if isinstance(networks, Network) else tuple(networks)

    def table(values: Mapping[str, Any] | None) -> dict[str, Any]:
        if values is None:
            return {}
        by_network = {networks[0].name: values} if len(networks) == 1 else values
        return {
            name: {word: dict(zip(on.device_names(), row, strict=True)) for word, row in rows.items()}
            for name, rows in by_network.items()
        }

    return Problem(
        networks=networks,
        platform=on,
        execution=execution,
        minimize=latency() if minimize is None else minimize,
        subject_to=tuple(subject_to),
        transport=transport,
        profile=Profile(time=table(times), energy=table(energies)),
        shared_weights=tuple(shared_weights),
    )


def plan(placement: str | Mapping[str, str], starts: Any = None, transfers: Iterable[Transfer] = ()) -> Plan:
    """Return a plan from ``"a:pi b:t4"``, or one such text for each network; `starts` likewise: ``{"a": 0}``."""
    placements = {"net": placement} if isinstance(placement, str) else placement
    schedule = None
    if starts is not None:
        layers = starts if any(isinstance(value, Mapping) for value in starts.values()) else {"net": starts}
        schedule = Schedule(layers=layers, transfers=tuple(transfers))
    return Plan(
        placement={
            name: dict(pair.split(":", 1) for pair in words.split())  # type: ignore[misc]
            for name, words in placements.items()
        },
        schedule=schedule,
    )


def transfer(tensor: str, link: str, destination: str | None, start: float, network: str = "net") -> Transfer:
    """Return a transfer of a schedule."""
    return Transfer(network=network, tensor=tensor, link=link, destination=destination, start=start)
