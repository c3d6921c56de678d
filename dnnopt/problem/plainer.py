"""A problem without the choices beyond placement: devices in their first modes, no blocks, tensors as they are."""

from __future__ import annotations

from typing import Any

from dnnopt.problem.constraints import Placement
from dnnopt.problem.networks import Network
from dnnopt.problem.problem import Problem


def without_choices(problem: Problem) -> Problem:
    """Return the problem in which each device has its first mode alone, and there are no forms and no blocks.

    What the first mode holds and makes counts as that of the device itself, so that a plan may break a limit there.
    """
    device_of = problem.platform.device_of()
    first = {device.executors[0].name for device in problem.platform.devices}

    def measured(table: Any) -> Any:
        """Return a table of the profile for devices alone; what is measured of the first mode comes first."""
        return {
            network: {
                layer: {
                    **{place: value for place, value in places.items() if place not in device_of},
                    **{device_of[place]: value for place, value in places.items() if place in first},
                }
                for layer, places in layers.items()
            }
            for network, layers in table.items()
        }

    def plain(network: Network) -> Network:
        return network.model_copy(
            update={"tensors": tuple(tensor.model_copy(update={"forms": ()}) for tensor in network.tensors)}
        )

    def without_modes(entry: Any) -> Any:
        if not isinstance(entry, Placement):
            return entry
        allowed = dict.fromkeys(device_of.get(name, name) for name in entry.allowed)
        return entry.model_copy(update={"allowed": tuple(allowed)})

    devices = tuple(
        device.executors[0].device.model_copy(update={"modes": (), "one_mode": False})
        for device in problem.platform.devices
    )
    profile = problem.profile
    tables: dict[str, Any] = {name: measured(getattr(profile, name)) for name in ("time", "energy", "loss")}
    return problem.model_copy(
        update={
            "networks": tuple(map(plain, problem.networks)),
            "platform": problem.platform.model_copy(update={"devices": devices}),
            "profile": profile.model_copy(update=tables | {"blocks": ()}),
            "subject_to": tuple(map(without_modes, problem.subject_to)),
        }
    )
