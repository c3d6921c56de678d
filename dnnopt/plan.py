"""Plans: who runs where and, under scheduled execution, when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnnopt.base.errors import InputError
from dnnopt.base.records import Moment, Name, Record, check_known

if TYPE_CHECKING:
    from dnnopt.problem import Problem


class Transfer(Record):
    """One hop of one copy of a tensor: it occupies `link` from `start`.

    Under unicast and per_edge `destination` is the device that the copy is for; under multicast it is left out.
    """

    network: Name
    tensor: Name
    link: Name
    start: Moment
    destination: Name | None = None


class Schedule(Record):
    """Start times (s): network -> layer -> start, and the transfers."""

    layers: dict[str, dict[str, Moment]]
    transfers: tuple[Transfer, ...] = ()


class Plan(Record):
    """A plan.

    Attributes
    ----------
    placement : mapping
        Network -> layer -> device.
    schedule : Schedule, optional
        Needed under scheduled execution.
    """

    placement: dict[str, dict[str, Name]]
    schedule: Schedule | None = None

    def check(self, problem: Problem) -> None:
        """Raise InputError unless the plan places every layer of the problem, and nothing else, on a known device."""
        networks = {network.name: network for network in problem.networks}
        devices = problem.platform.device_names()
        for name, placed in self.placement.items():
            check_known(name, networks, "placement", "network")
            layers = {layer.name for layer in networks[name].layers}
            for key, device in placed.items():
                check_known(key, layers, f"placement.{name}", "layer")
                check_known(device, devices, f"placement.{name}.{key}", "device")
        for network in problem.networks:
            placed = self.placement.get(network.name, {})
            for layer in network.layers:
                if layer.name not in placed:
                    raise InputError(
                        "", field=f"placement.{network.name}.{layer.name}", problem="missing: expected a device"
                    )
