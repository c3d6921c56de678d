"""The same problem with larger numbers: times, bytes, energies, money, and all that derives from them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from dnnopt.problem.metrics import STANDARD
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import Device, Link
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile


@dataclass(frozen=True)
class Factors:
    """By how much numbers are larger.

    Attributes
    ----------
    seconds, bytes, joules, dollars : float
        What one second, byte, joule or dollar becomes.
    objective : float
        What the objective is multiplied by.
    """

    seconds: float = 1.0
    bytes: float = 1.0
    joules: float = 1.0
    dollars: float = 1.0
    objective: float = 1.0

    def __str__(self) -> str:
        return ", ".join(f"{one.name} x {getattr(self, one.name):g}" for one in fields(self))

    def of(self, unit: str) -> float:
        """Return the factor of quantities in a unit."""
        return {"s": self.seconds, "bytes": self.bytes, "J": self.joules, "USD": self.dollars}.get(unit, 1.0)


def _times(record: Any, **factors: float) -> Any:
    """Return a record with some of its numbers multiplied; those that are not given stay so."""
    known = {name: getattr(record, name) for name in factors}
    return record.model_copy(update={name: value * factors[name] for name, value in known.items() if value is not None})


def restated(problem: Problem, by: Factors) -> Problem:
    """Return the problem with larger numbers: each plan's objective is `by.objective` times what it was."""
    platform = problem.platform.model_copy(
        update={
            "devices": tuple(_device(device, by) for device in problem.platform.devices),
            "links": tuple(_link(link, by) for link in problem.platform.links),
        }
    )
    return problem.model_copy(
        update={
            "networks": tuple(_network(network, by) for network in problem.networks),
            "shared_weights": tuple(_times(one, bytes=by.bytes) for one in problem.shared_weights),
            "platform": platform,
            "profile": _profile(problem.profile, by),
            "minimize": tuple(_term(term, by) for term in problem.minimize),
            "subject_to": tuple(_constraint(constraint, by) for constraint in problem.subject_to),
        }
    )


def _device(device: Device, by: Factors) -> Any:
    return _times(
        device,
        memory=by.bytes,
        flops_per_s=1.0 / by.seconds,
        bytes_per_s=by.bytes / by.seconds,
        overhead=by.seconds,
        power=by.joules / by.seconds,
        idle_power=by.joules / by.seconds,
        price=by.dollars / by.seconds,
    )


def _link(link: Link, by: Factors) -> Any:
    return _times(
        link,
        bandwidth=by.bytes / by.seconds,
        latency=by.seconds,
        send_energy_per_byte=by.joules / by.bytes,
        receive_energy_per_byte=by.joules / by.bytes,
        price_per_byte=by.dollars / by.bytes,
    )


def _network(network: Network, by: Factors) -> Any:
    layers = [_times(layer, bytes=by.bytes, weights=by.bytes, activations=by.bytes) for layer in network.layers]
    shared = [_times(one, bytes=by.bytes) for one in network.shared_weights]
    tensors = [_times(tensor, bytes=by.bytes) for tensor in network.tensors]
    update = {"layers": tuple(layers), "tensors": tuple(tensors), "shared_weights": tuple(shared)}
    return _times(network.model_copy(update=update), rate=1.0 / by.seconds, deadline=by.seconds)


def _profile(profile: Profile, by: Factors) -> Any:
    def table(values: Any, factor: float) -> Any:
        return {
            network: {
                layer: {device: None if value is None else value * factor for device, value in row.items()}
                for layer, row in rows.items()
            }
            for network, rows in values.items()
        }

    return profile.model_copy(
        update={"time": table(profile.time, by.seconds), "energy": table(profile.energy, by.joules)}
    )


def _term(term: Term, by: Factors) -> Any:
    return _times(term, weight=by.objective / by.of(STANDARD[term.metric].unit))


def _constraint(constraint: Any, by: Factors) -> Any:
    if constraint.constraint == "memory":
        limits = {device: limit * by.bytes for device, limit in constraint.limits.items()}
        return constraint.model_copy(update={"limits": limits})
    unit = {"deadline": "s", "energy": "J", "cost": "USD", "traffic": "bytes", "bandwidth": "bytes"}
    factor = by.of(unit.get(constraint.constraint, ""))
    return _times(constraint, limit=factor) if factor != 1.0 else constraint
