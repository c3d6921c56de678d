"""What a small problem's plan takes, sends, holds and shows, for the oracle: in exact arithmetic, from the records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dnnopt.problem.modes import Mode
from dnnopt.problem.networks import Layer, Network, Tensor
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import Device, Link
from dnnopt.problem.problem import Problem
from dnnopt.problem.scenarios import Scenario

Key = tuple[str, str]  # a network and one of its layers or tensors


@dataclass(frozen=True)
class Use:
    """A tensor and one consumer; `place` is where that is, `origin` where the tensor is (None: everywhere).

    `tensor` is as the consumer gets it: its bytes and its sensitivity are those of the form that is sent.
    """

    network: str
    tensor: Tensor
    origin: str | None
    consumer: str
    place: str
    reach: Fraction

    @property
    def sent(self) -> bool:
        return self.origin not in (None, self.place)


class Placed:
    """A problem whose layers have executors, and some of whose tensors have forms, in one scenario.

    `executor[network, layer]` is a device and a mode, `where[network, layer]` the device's name. `blocks` are numbers
    of the profile's blocks that run as one.
    """

    def __init__(
        self,
        problem: Problem,
        where: dict[Key, str],
        forms: dict[Key, str] | None = None,
        scenario: Scenario | None = None,
        blocks: Collection[int] = (),
    ) -> None:
        known = executors(problem)
        self.problem, self.scenario = problem, scenario or Scenario(name="usual", probability=1.0)
        self.executor = {key: known[name] for key, name in where.items()}
        self.names = where
        self.where = {key: device.name for key, (device, _) in self.executor.items()}
        self.devices = {device.name: device for device in problem.platform.devices}
        self.links = {link.name: link for link in problem.platform.links}
        self.routes = {(route.origin, route.destination): route.links for route in problem.platform.routes}
        self.record = {(a.name, layer.name): layer for a in problem.networks for layer in a.layers}
        self.forms = {
            (a.name, tensor.name): form
            for a in problem.networks
            for tensor in a.tensors
            for form in tensor.forms
            if (forms or {}).get((a.name, tensor.name)) == form.name
        }
        self.block_of = {
            (block.network, layer): block
            for block in (problem.profile.blocks[number] for number in blocks)
            for layer in block.layers
        }
        self.torn = any(len({where[b.network, v] for v in b.layers}) > 1 for b in self.block_of.values())
        self.seconds = {key: self._seconds(key) for key in where}
        self.uses = [use for network in problem.networks for use in self._uses(network)]
        self.copies = self._copies()
        self.codings = list(self._codings())

    def _seconds(self, key: Key) -> Fraction | None:
        """Return the expected seconds of a layer; None: its executor cannot run it."""
        device, mode = self.executor[key]
        if key in self.block_of:
            return self._seconds_in_block(key)
        found = seconds(self.problem, key[0], self.record[key], self.names[key], device, mode)
        return None if found is None else Fraction(self.record[key].reach) * self.slowed(found, device.name)

    def _seconds_in_block(self, key: Key) -> Fraction | None:
        """Return all that a block takes for the layer that it lists first, and nothing for the others."""
        block, (device, mode) = self.block_of[key], self.executor[key]
        if mode is not None and mode.ops is not None and self.record[key].op not in mode.ops:
            return None
        known = dict(block.time)
        if overrides(mode, RATES) and self.names[key] != device.name:
            known.pop(device.name, None)
        takes = known.get(self.names[key], known.get(device.name))
        if takes is None or key[1] != block.layers[0]:
            return None if takes is None else Fraction()
        return Fraction(self.record[key].reach) * self.slowed(Fraction(takes), device.name)

    def slowed(self, found: Fraction, device: str) -> Fraction:
        return found / Fraction(self.scenario.speed.get(device, 1.0))

    def _uses(self, network: Network) -> Iterator[Use]:
        for tensor in network.tensors:
            origin, made, reach = tensor.source or network.source, tensor, 1.0
            if tensor.producer != "input":
                origin = self.where[network.name, tensor.producer]
                reach = self.record[network.name, tensor.producer].reach
                size = tensor.bytes * factor(self.executor[network.name, tensor.producer], "output_bytes")
                made = tensor.model_copy(update={"bytes": size})
            form = self.forms.get((network.name, tensor.name))
            for consumer in tensor.consumers:
                place = network.sink if consumer == "output" else self.where[network.name, consumer]
                share = (tensor.reach or reach) if consumer == "output" else self.record[network.name, consumer].reach
                if place is None:
                    continue
                got = made
                if form is not None and origin not in (None, place):
                    seen = tensor.sensitivity if form.sensitivity is None else form.sensitivity
                    got = tensor.model_copy(update={"bytes": form.bytes, "sensitivity": seen})
                yield Use(network.name, got, origin, consumer, place, Fraction(share))

    @property
    def sent(self) -> dict[Key, list[Use]]:
        """The uses elsewhere of each tensor that has some."""
        found: dict[Key, list[Use]] = defaultdict(list)
        for use in self.uses:
            if use.sent:
                found[use.network, use.tensor.name].append(use)
        return found

    @property
    def possible(self) -> bool:
        """Whether every executor can do what it has to, and every copy has a route and may be sent as it is."""
        routed = all((use.origin, use.place) in self.routes for use in self.uses if use.sent)
        as_it_is = [use.tensor for key, uses in self.sent.items() if key not in self.forms for use in uses]
        coded = all(takes is not None for _, _, takes in self.codings)
        return (
            routed
            and coded
            and not self.torn
            and None not in self.seconds.values()
            and all(tensor.plain for tensor in as_it_is)
        )

    def _copies(self) -> list[tuple[str, Tensor, Link, Fraction]]:
        """Return `w`: an entry for each copy of a tensor over a link, with the largest reach that it serves."""
        charged: dict[Any, Any] = {}
        for position, use in enumerate(self.uses):
            for link in self.routes.get((use.origin, use.place), ()) if use.sent else ():
                again = {"unicast": use.place, "multicast": None, "per_edge": position}[self.problem.transport]
                key = (use.network, use.tensor.name, link, again)
                most = max(use.reach, charged[key][3] if key in charged else Fraction())
                charged[key] = use.network, use.tensor, self.links[link], most
        return list(charged.values())

    def _codings(self) -> Iterator[tuple[str, str, Fraction | None]]:
        """Yield network, device and expected seconds of what is encoded, once, and decoded, once where it arrives."""
        for key, uses in self.sent.items():
            form = self.forms.get(key)
            for place in {use.place for use in uses} if form else ():
                most = max(use.reach for use in uses if use.place == place)
                yield key[0], place, self.coding(form.decode, place, most)
            if form:
                origin = uses[0].origin or ""
                yield key[0], origin, self.coding(form.encode, origin, max(use.reach for use in uses))

    def coding(self, said: Any, place: str, reach: Fraction = Fraction(1)) -> Fraction | None:
        """Return the seconds of encoding or decoding on a device, in its own mode; None: it cannot."""
        device = self.devices[place]
        if said is None:
            return Fraction()
        if hasattr(said, "roofline"):
            work = said.roofline
            return reach * self.slowed(roofline(work.flops, work.bytes, device, None), place)
        return reach * self.slowed(Fraction(said[place]), place) if place in said else None

    def occupied(self, tensor: Tensor, link: Link) -> Fraction:
        """Return `s_τℓ`."""
        bandwidth = Fraction(link.bandwidth) * Fraction(self.scenario.bandwidth.get(link.name, 1.0))
        waited = Fraction(link.latency) * Fraction(self.scenario.latency.get(link.name, 1.0))
        return waited + Fraction(tensor.bytes) / bandwidth

    def resources(self) -> list[tuple[str, set[str], set[str]]]:
        """Return name, devices and links of each resource; what no list has is one of its own."""
        listed = [(one.name, set(one.devices), set(one.links)) for one in self.problem.platform.resources]
        taken = {device for _, devices, _ in listed for device in devices}
        carried = {link for _, _, links in listed for link in links}
        own = [(device, {device}, set[str]()) for device in self.devices if device not in taken]
        return [*listed, *own, *((link, set[str](), {link}) for link in self.links if link not in carried)]

    def layers(self, devices: Any = None, network: str | None = None) -> list[Key]:
        """Return the layers on some devices, or all; of one network, or all."""
        return [
            key
            for key, device in self.where.items()
            if (devices is None or device in devices) and network in (None, key[0])
        ]

    def crossing(self, links: Any = None, network: str | None = None) -> list[tuple[Tensor, Link, Fraction]]:
        """Return the copies over some links, or all; of one network, or all; each with its reach."""
        return [
            (tensor, link, reach)
            for of, tensor, link, reach in self.copies
            if (links is None or link.name in links) and network in (None, of)
        ]

    def coded(self, devices: Any = None, network: str | None = None) -> list[tuple[str, Fraction]]:
        """Return device and seconds of what is encoded and decoded on some devices, or all."""
        return [
            (device, takes or Fraction())
            for of, device, takes in self.codings
            if (devices is None or device in devices) and network in (None, of)
        ]

    def load(self, devices: set[str], links: set[str], network: str | None = None) -> Fraction:
        computing = sum((self.seconds[key] for key in self.layers(devices, network)), Fraction())
        coding = sum((takes for _, takes in self.coded(devices, network)), Fraction())
        sending = (reach * self.occupied(*one) for *one, reach in self.crossing(links, network))
        return computing + coding + sum(sending, Fraction())

    def joules(self, devices: Any = None) -> Fraction:
        total = Fraction()
        for network, layer in self.layers(devices):
            device, mode = self.executor[network, layer]
            block = self.block_of.get((network, layer))
            of_layer = self.problem.profile.energy.get(network, {}).get(layer, {})
            measured = dict(of_layer if block is None else block.energy if layer == block.layers[0] else {})
            if overrides(mode, (*RATES, "power")) and self.names[network, layer] != device.name:
                measured.pop(device.name, None)
            known = measured.get(self.names[network, layer], measured.get(device.name))
            busy = own(device, mode, "power") * self.seconds[network, layer]
            total += busy if known is None else Fraction(self.record[network, layer].reach) * Fraction(known)
        for device_name, takes in self.coded(devices):
            total += Fraction(self.devices[device_name].power) * takes
        for tensor, link, reach in self.crossing():
            if devices is None or link.sender in devices:
                total += reach * Fraction(link.send_energy_per_byte) * Fraction(tensor.bytes)
            if devices is None or link.receiver in devices:
                total += reach * Fraction(link.receive_energy_per_byte) * Fraction(tensor.bytes)
        return total

    def idle_joules(self, devices: Any, latency: Fraction) -> Fraction:
        named = [one for one in self.devices.values() if devices is None or one.name in devices]
        return sum((Fraction(one.idle_power) * (latency - self.load({one.name}, set())) for one in named), Fraction())

    def dollars(self) -> Fraction:
        computing = (own(*self.executor[key], "price") * self.seconds[key] for key in self.where)
        coding = (Fraction(self.devices[device].price) * takes for device, takes in self.coded())
        sending = (reach * Fraction(link.price_per_byte) * Fraction(t.bytes) for t, link, reach in self.crossing())
        return sum(computing, Fraction()) + sum(coding, Fraction()) + sum(sending, Fraction())

    def traffic(self, links: Any = None, network: str | None = None) -> Fraction:
        return sum((reach * Fraction(tensor.bytes) for tensor, _, reach in self.crossing(links, network)), Fraction())

    def exposed(self) -> dict[Key, Fraction]:
        """Return the largest sensitivities of what untrusted devices use or untrusted links carry, of each tensor."""
        seen = [(use.network, use.tensor) for use in self.uses if self.devices[use.place].trusted is False]
        seen += [(network, tensor) for network, tensor, link, _ in self.copies if link.trusted is False]
        found: dict[Key, Fraction] = defaultdict(Fraction)
        for network, tensor in seen:
            key = network, tensor.name
            found[key] = max(found[key], Fraction(tensor.sensitivity or 0))
        return found

    def lost(self) -> Fraction:
        """Return the accuracy that networks, layers and the forms of sent tensors lose."""
        total = sum((Fraction(network.loss) for network in self.problem.networks), Fraction())
        for (network, layer), name in self.names.items():
            mode = self.executor[network, layer][1]
            known = self.problem.profile.loss.get(network, {}).get(layer, {})
            total += Fraction(known.get(name, 0.0 if mode is None else mode.loss))
        return total + sum((Fraction(form.loss) for key, form in self.forms.items() if key in self.sent), Fraction())

    def own(self, name: str) -> Fraction:
        """Return the value of one of the problem's own metrics."""
        (metric,) = (one for one in self.problem.metrics if one.name == name)
        total = Fraction()
        for (network, layer), device in self.where.items():
            value = Fraction(metric.layers.get(network, {}).get(layer, {}).get(device, 0.0))
            total += Fraction(self.record[network, layer].reach) * value
        for tensor, link, reach in self.crossing(metric.links):
            charge = metric.links[link.name]
            total += reach * (Fraction(charge.per_copy) + Fraction(charge.per_byte) * Fraction(tensor.bytes))
        exposed = self.exposed()
        return total + sum((Fraction(metric.exposed.get(a, {}).get(tau, 0.0)) for a, tau in exposed), Fraction())

    def memory(self, device: str, rule: str, buffers: int) -> Fraction:
        hosted = [(self.record[key], self.executor[key]) for key in self.layers({device})]
        total = sum(
            (Fraction(v.state) + factor(on, "weight_bytes") * Fraction(v.weights) for v, on in hosted), Fraction()
        )
        for readers, size in shared_weights(self.problem):
            held = {self.names[key]: self.executor[key] for key in readers if self.where[key] == device}
            total += sum((factor(on, "weight_bytes") * size for on in held.values()), Fraction())
        if rule != "weights":
            activations = [factor(on, "activation_bytes") * Fraction(v.activations) for v, on in hosted]
            total += sum(activations) if rule == "weights+activations" else max(activations, default=0)
        exchanged = {
            (use.network, use.tensor.name): Fraction(use.tensor.bytes)
            for use in self.uses
            if use.sent and device in (use.origin, use.place)
        }
        return total + buffers * sum(exchanged.values(), Fraction())

    def term(self, term: Term, latency: dict[str, Fraction]) -> Fraction:
        """Return the value of a term of the objective, without its weight."""
        together = sum((Fraction(one.weight) * latency[one.name] for one in self.problem.networks), Fraction())
        if term.over == "max":
            if term.metric == "latency":
                return max(latency.values())
            if term.metric == "energy":
                return max(self.joules({device}) for device in term.devices or self.devices)
            return max((self.traffic({link}) for link in term.links or self.links), default=Fraction())
        match term.metric:
            case "latency":
                return together if term.network is None else latency[term.network]
            case "period":
                return max(self.load(devices, links) for _, devices, links in self.resources())
            case "energy":
                idle = self.idle_joules(term.devices, together) if term.idle else 0
                return self.joules(term.devices) + idle
            case "cost":
                return self.dollars()
            case "leakage":
                return sum(self.exposed().values(), Fraction())
            case "worst_leakage":
                return max(self.exposed().values(), default=Fraction())
            case "traffic":
                return self.traffic(term.links)
            case "accuracy_loss":
                return self.lost()
            case "batch_latency":
                return together + ((term.rounds or 1) - 1) * self.term(Term(metric="period"), latency)
        return self.own(term.metric)


RATES = ("flops_per_s", "bytes_per_s", "overhead", "efficiency")
Executor = tuple[Device, Mode | None]


def executors(problem: Problem) -> dict[str, Executor]:
    """Return device and mode by the names that plans say; of one mode, it is the device's."""
    found: dict[str, Executor] = {}
    for device in problem.platform.devices:
        for mode in device.modes or (None,):
            found[device.name if mode is None or len(device.modes) == 1 else f"{device.name}:{mode.name}"] = (
                device,
                mode,
            )
    return found


def own(device: Device, mode: Mode | None, field: str) -> Fraction:
    """Return what a mode says, or the device where it says nothing."""
    said = getattr(mode, field, None)
    return Fraction(getattr(device, field) if said is None else said)


def factor(executor: Executor, field: str) -> Fraction:
    return Fraction(getattr(executor[1], field, 1.0))


def overrides(mode: Mode | None, fields: tuple[str, ...]) -> bool:
    return any(getattr(mode, field, None) is not None for field in fields)


def roofline(flops: float, moved: float, device: Device, mode: Mode | None) -> Fraction:
    rate, width, overhead, share = (own(device, mode, field) for field in RATES)
    return overhead + max(Fraction(flops) / (share * rate), Fraction(moved) / (share * width))


def seconds(
    problem: Problem, network: str, layer: Layer, name: str, device: Device, mode: Mode | None
) -> Fraction | None:
    """Return `t_vi`: measured, else by the roofline; None: unsupported."""
    if mode is not None and mode.ops is not None and layer.op not in mode.ops:
        return None
    measured = problem.profile.time.get(network, {}).get(layer.name, {})
    for known in (name, device.name):
        if known in measured and (known == name or measured[known] is None or not overrides(mode, RATES)):
            return None if measured[known] is None else Fraction(measured[known])
    return roofline(layer.flops, layer.bytes, device, mode)


def shared_weights(problem: Problem) -> list[tuple[list[Key], Fraction]]:
    """Return the readers and bytes of all weights that several layers read."""
    found = [(list(one.layers), Fraction(one.bytes)) for one in problem.shared_weights]
    for network in problem.networks:
        found += [([(network.name, v) for v in one.layers], Fraction(one.bytes)) for one in network.shared_weights]
    return found
