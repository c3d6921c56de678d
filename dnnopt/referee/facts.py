"""What a plan implies before anything is measured: times of layers, copies of tensors, links crossed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dnnopt.problem.networks import INPUT, OUTPUT, Network, Tensor
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Link
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import layer_joules, layer_seconds

Key = tuple[str, str]  # a network and one of its layers or tensors


def link_seconds(tensor: Tensor, link: Link) -> float:
    """Return `s_τℓ = δ_ℓ + b_τ / β_ℓ`, for which one copy of the tensor occupies the link."""
    return link.latency + tensor.bytes / link.bandwidth


@dataclass(frozen=True)
class Use:
    """A tensor as one consumer uses it: a layer on its device, or ``"output"`` on the sink.

    `origin` is the device where the tensor is made or starts; None: it is raw input that is everywhere.
    """

    network: str
    tensor: Tensor
    origin: str | None
    consumer: str
    device: str

    @property
    def sent(self) -> bool:
        """Whether the tensor has to come from another device."""
        return self.origin is not None and self.origin != self.device


@dataclass(frozen=True)
class Copy:
    """A copy of a tensor for another device, and the links of its route; None: there is no route."""

    network: str
    tensor: Tensor
    origin: str
    destination: str
    links: tuple[Link, ...] | None


@dataclass(frozen=True)
class Crossing:
    """A copy of a tensor that crosses a link and is charged there; `w_τℓ` is the number of these.

    `destination` is the device that the copy is for; None under multicast, where one copy may be for several.
    """

    network: str
    tensor: Tensor
    destination: str | None
    link: Link

    @property
    def seconds(self) -> float:
        """Seconds for which it occupies the link."""
        return link_seconds(self.tensor, self.link)


@dataclass(frozen=True)
class Facts:
    """What a plan for a problem implies.

    Attributes
    ----------
    problem : Problem
    plan : Plan
    device_of : dict of Key to str
        Device of each layer.
    seconds, joules : dict of Key to float
        Time and energy of each layer there; infinite where the device does not support it.
    uses : tuple of Use
        One for each tensor and consumer; results count only where the network has a sink.
    copies : tuple of Copy
        One for each tensor and destination; under per_edge one for each use that needs sending.
    crossings : tuple of Crossing
    """

    problem: Problem
    plan: Plan
    device_of: dict[Key, str]
    seconds: dict[Key, float]
    joules: dict[Key, float]
    uses: tuple[Use, ...]
    copies: tuple[Copy, ...]
    crossings: tuple[Crossing, ...]

    def unrouted(self, network: str | None = None) -> tuple[Copy, ...]:
        """Return the copies, of one network or of all, for which there is no route."""
        return tuple(copy for copy in self.copies if copy.links is None and network in (None, copy.network))

    def layers_of(self, network: str) -> Iterator[Key]:
        """Yield the keys of a network's layers."""
        return (key for key in self.device_of if key[0] == network)

    def title(self, network: str, name: str) -> str:
        """Name a layer or tensor for a person: with its network where there are several."""
        return name if len(self.problem.networks) == 1 else f"{network}.{name}"


def gather(problem: Problem, plan: Plan) -> Facts:
    """Return what `plan`, which must fit `problem`, implies."""
    devices = {device.name: device for device in problem.platform.devices}
    device_of, seconds, joules = {}, {}, {}
    for network in problem.networks:
        for layer in network.layers:
            key = (network.name, layer.name)
            device_of[key] = plan.placement[network.name][layer.name]
            device = devices[device_of[key]]
            time = layer_seconds(problem.profile, network, layer, device)
            seconds[key] = math.inf if time is None else time
            joules[key] = math.inf if time is None else layer_joules(problem.profile, network, layer, device, time)
    uses = tuple(use for network in problem.networks for use in _uses(problem, network, device_of))
    copies = tuple(_copies(problem, uses))
    return Facts(problem, plan, device_of, seconds, joules, uses, copies, tuple(_crossings(problem, copies)))


def _uses(problem: Problem, network: Network, device_of: dict[Key, str]) -> Iterator[Use]:
    for tensor in network.tensors:
        if tensor.producer == INPUT:
            origin = problem.source_of(network, tensor.source)
        else:
            origin = device_of[network.name, tensor.producer]
        for consumer in tensor.consumers:
            device = network.sink if consumer == OUTPUT else device_of[network.name, consumer]
            if device is not None:
                yield Use(network.name, tensor, origin, consumer, device)


def _copies(problem: Problem, uses: tuple[Use, ...]) -> Iterator[Copy]:
    links = {link.name: link for link in problem.platform.links}
    routes = {
        (route.origin, route.destination): tuple(links[name] for name in route.links)
        for route in problem.platform.routes
    }
    served = set()
    for use in uses:
        if use.origin is None or not use.sent:
            continue
        pair = (use.network, use.tensor.name, use.device)
        if problem.transport == "per_edge" or pair not in served:
            served.add(pair)
            yield Copy(use.network, use.tensor, use.origin, use.device, routes.get((use.origin, use.device)))


def _crossings(problem: Problem, copies: tuple[Copy, ...]) -> Iterator[Crossing]:
    carried = set()
    for copy in copies:
        for link in copy.links or ():
            if problem.transport != "multicast":
                yield Crossing(copy.network, copy.tensor, copy.destination, link)
            elif (copy.network, copy.tensor.name, link.name) not in carried:
                carried.add((copy.network, copy.tensor.name, link.name))
                yield Crossing(copy.network, copy.tensor, None, link)
