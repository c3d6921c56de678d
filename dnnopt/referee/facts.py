"""What a plan implies before anything is measured: times of layers, copies of tensors, links crossed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dnnopt.problem.blocks import NamedBlock
from dnnopt.problem.forms import Form
from dnnopt.problem.networks import INPUT, OUTPUT, Network, Tensor
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Executor, Link
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import coding_seconds, layer_joules, layer_seconds

Key = tuple[str, str]  # a network and one of its layers or tensors


def link_seconds(tensor: Tensor, link: Link) -> float:
    """Return `s_τℓ = δ_ℓ + b_τ / β_ℓ`, for which one copy of the tensor occupies the link."""
    return link.latency + tensor.bytes / link.bandwidth


@dataclass(frozen=True)
class Use:
    """A tensor as one consumer uses it: a layer on its device, or ``"output"`` on the sink.

    `tensor` has the bytes and the sensitivity of what the consumer gets: the form that is sent, or the plain tensor.
    `origin` is the device where the tensor is made or starts; None: it is raw input that is everywhere. `reach` is the
    share of the inputs for which the consumer needs it.
    """

    network: str
    tensor: Tensor
    origin: str | None
    consumer: str
    device: str
    reach: float

    @property
    def sent(self) -> bool:
        """Whether the tensor has to come from another device."""
        return self.origin is not None and self.origin != self.device


@dataclass(frozen=True)
class Copy:
    """A copy of a tensor for another device, and the links of its route; None: there is no route.

    `reach`: the largest among the consumers that it serves.
    """

    network: str
    tensor: Tensor
    origin: str
    destination: str
    links: tuple[Link, ...] | None
    reach: float


@dataclass(frozen=True)
class Crossing:
    """A copy of a tensor that crosses a link and is charged there; `w_τℓ` is the number of these.

    `destination` is the device that the copy is for; None under multicast, where one copy may be for several.
    `reach`: the share of the inputs for which it crosses, the largest among the consumers that it serves.
    """

    network: str
    tensor: Tensor
    destination: str | None
    link: Link
    reach: float

    @property
    def bytes(self) -> float:
        """Expected bytes over the link."""
        return self.reach * self.tensor.bytes

    @property
    def seconds(self) -> float:
        """Expected seconds for which it occupies the link."""
        return self.reach * link_seconds(self.tensor, self.link)


@dataclass(frozen=True)
class CodedTensor:
    """A tensor that is encoded on the device where it is made, or decoded on one to which it is sent.

    `seconds` are expected ones; infinite where the device cannot do it.
    """

    network: str
    tensor: str
    form: str
    device: str
    encodes: bool
    seconds: float


@dataclass(frozen=True)
class Facts:
    """What a plan for a problem implies.

    Attributes
    ----------
    problem : Problem
    plan : Plan
    executor_of : dict of Key to Executor
        Device and mode of each layer.
    device_of : dict of Key to str
        Device of each layer.
    form_of : dict of Key to Form
        Of each tensor that is sent in one.
    fused, torn : tuple of NamedBlock
        Blocks that the plan states: those that run as one, and those whose layers are not all on one executor.
    seconds, joules : dict of Key to float
        Expected time and energy of each layer there; infinite where the device does not support it. Those of a block
        that runs as one are its first layer's.
    codings : tuple of CodedTensor
    uses : tuple of Use
        One for each tensor and consumer; results count only where the network has a sink.
    copies : tuple of Copy
        One for each tensor and destination; under per_edge one for each use that needs sending.
    crossings : tuple of Crossing
    """

    problem: Problem
    plan: Plan
    executor_of: dict[Key, Executor]
    device_of: dict[Key, str]
    form_of: dict[Key, Form]
    seconds: dict[Key, float]
    joules: dict[Key, float]
    uses: tuple[Use, ...]
    copies: tuple[Copy, ...]
    crossings: tuple[Crossing, ...]
    codings: tuple[CodedTensor, ...]
    fused: tuple[NamedBlock, ...]
    torn: tuple[NamedBlock, ...]

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
    executors = {executor.name: executor for executor in problem.platform.executors()}
    executor_of, seconds, joules = {}, {}, {}
    for network in problem.networks:
        for layer in network.layers:
            key = (network.name, layer.name)
            executor = executor_of[key] = executors[plan.placement[network.name][layer.name]]
            time = layer_seconds(problem.profile, network, layer, executor)
            if time is None:
                seconds[key] = joules[key] = math.inf
            else:
                seconds[key] = layer.reach * time
                joules[key] = layer.reach * layer_joules(problem.profile, network, layer, executor, time)
    fused, torn = [], []
    for block in problem.blocks if plan.blocks else ():
        if block.name in plan.blocks.get(block.network, ()):
            keys = [(block.network, layer.name) for layer in block.layers]
            executor = executor_of[keys[0]]
            if any(executor_of[key].name != executor.name for key in keys):
                torn.append(block)
                continue
            fused.append(block)
            time = block.seconds(executor)
            seconds |= dict.fromkeys(keys, 0.0)
            joules |= dict.fromkeys(keys, 0.0)
            seconds[keys[0]] = math.inf if time is None else block.reach * time
            joules[keys[0]] = math.inf if time is None else block.reach * block.joules(executor, time)
    device_of = {key: executor.device.name for key, executor in executor_of.items()}
    sent = _sent_tensors(problem, device_of) if plan.forms else set()
    form_of = {
        (network.name, tensor.name): form
        for network in problem.networks
        for tensor in network.tensors
        for form in tensor.forms
        if (network.name, tensor.name) in sent and plan.forms.get(network.name, {}).get(tensor.name) == form.name
    }
    uses = tuple(
        use for network in problem.networks for use in _uses(problem, network, executor_of, device_of, form_of)
    )
    copies = tuple(_copies(problem, uses))
    return Facts(
        problem=problem,
        plan=plan,
        executor_of=executor_of,
        device_of=device_of,
        form_of=form_of,
        seconds=seconds,
        joules=joules,
        uses=uses,
        copies=copies,
        crossings=tuple(_crossings(problem, copies)),
        codings=tuple(_codings(problem, uses, form_of)),
        fused=tuple(fused),
        torn=tuple(torn),
    )


def _origin(problem: Problem, network: Network, tensor: Tensor, device_of: dict[Key, str]) -> str | None:
    """Return the device where a tensor is made or starts; None: it is everywhere."""
    if tensor.producer == INPUT:
        return problem.source_of(network, tensor.source)
    return device_of[network.name, tensor.producer]


def _sent_tensors(problem: Problem, device_of: dict[Key, str]) -> set[Key]:
    """Return the tensors that go to another device."""
    sent = set()
    for network in problem.networks:
        for tensor in network.tensors:
            origin = _origin(problem, network, tensor, device_of)
            ends = [network.sink if name == OUTPUT else device_of[network.name, name] for name in tensor.consumers]
            if origin is not None and any(device not in (None, origin) for device in ends):
                sent.add((network.name, tensor.name))
    return sent


def _uses(
    problem: Problem,
    network: Network,
    executor_of: dict[Key, Executor],
    device_of: dict[Key, str],
    form_of: dict[Key, Form],
) -> Iterator[Use]:
    for tensor in network.tensors:
        origin = _origin(problem, network, tensor, device_of)
        plain = tensor
        if tensor.producer != INPUT:
            factor = executor_of[network.name, tensor.producer].mode.output_bytes
            plain = tensor if factor == 1 else tensor.model_copy(update={"bytes": tensor.bytes * factor})
        form = form_of.get((network.name, tensor.name))
        carried = plain
        if form is not None:
            sensitivity = tensor.sensitivity if form.sensitivity is None else form.sensitivity
            carried = tensor.model_copy(update={"bytes": form.bytes, "sensitivity": sensitivity})
        for consumer in tensor.consumers:
            device = network.sink if consumer == OUTPUT else device_of[network.name, consumer]
            if device is not None:
                got = plain if origin in (None, device) else carried
                yield Use(network.name, got, origin, consumer, device, network.reach_of(tensor, consumer))


def _copies(problem: Problem, uses: tuple[Use, ...]) -> Iterator[Copy]:
    links = {link.name: link for link in problem.platform.links}
    routes = {
        (route.origin, route.destination): tuple(links[name] for name in route.links)
        for route in problem.platform.routes
    }
    served: dict[tuple[str, str, str, str], list[Use]] = {}
    for use in uses:
        if use.sent:
            alone = use.consumer if problem.transport == "per_edge" else ""
            served.setdefault((use.network, use.tensor.name, use.device, alone), []).append(use)
    for (network, _, device, _), together in served.items():
        first = together[0]
        assert first.origin is not None
        route = routes.get((first.origin, device))
        yield Copy(network, first.tensor, first.origin, device, route, max(use.reach for use in together))


def _crossings(problem: Problem, copies: tuple[Copy, ...]) -> Iterator[Crossing]:
    carried: dict[tuple[str, str, str], list[tuple[Copy, Link]]] = {}
    for copy in copies:
        for link in copy.links or ():
            if problem.transport == "multicast":
                carried.setdefault((copy.network, copy.tensor.name, link.name), []).append((copy, link))
            else:
                yield Crossing(copy.network, copy.tensor, copy.destination, link, copy.reach)
    for together in carried.values():
        first, link = together[0]
        yield Crossing(first.network, first.tensor, None, link, max(copy.reach for copy, _ in together))


def _codings(problem: Problem, uses: tuple[Use, ...], form_of: dict[Key, Form]) -> Iterator[CodedTensor]:
    """Yield what is encoded, once where it is made, and decoded, once on each device to which it goes."""
    devices = {device.name: device for device in problem.platform.devices}
    for (network, tensor), form in form_of.items():
        sent = [use for use in uses if (use.network, use.tensor.name) == (network, tensor) and use.sent]
        origin = devices[sent[0].origin or ""]
        takes = coding_seconds(form.encode, origin, "encode")
        most = max(use.reach for use in sent)
        yield CodedTensor(network, tensor, form.name, origin.name, True, math.inf if takes is None else most * takes)
        for name in dict.fromkeys(use.device for use in sent):
            takes = coding_seconds(form.decode, devices[name], "decode")
            most = max(use.reach for use in sent if use.device == name)
            yield CodedTensor(network, tensor, form.name, name, False, math.inf if takes is None else most * takes)
