"""Scenarios: how bandwidths, latencies of links and speeds of devices vary, and how terms and limits look across them.

One plan is for all scenarios. What is measured in each becomes one number: the expected, the worst, or the mean of the
worst share (conditional value at risk: Rockafellar, Uryasev: Optimization of conditional value-at-risk, Journal of Risk
2, 2000).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.records import Name, Positive, Probability, Record, check_known, check_unique
from dnnopt.problem.forms import Form, Roofline

if TYPE_CHECKING:
    from dnnopt.problem.networks import Network
    from dnnopt.problem.platforms import Device, Platform
    from dnnopt.problem.problem import Problem
    from dnnopt.problem.profiles import Profile

Across = Literal["expected", "worst", "cvar"]
Rounds = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Level = Annotated[float, Field(ge=0, lt=1)]
_CLOSE = 1e-9


class Scenario(Record):
    """What may be, and how probable it is: factors on the platform's values, 1 where not named.

    Attributes
    ----------
    name : str
    probability : float
    bandwidth, latency : mapping of str to float
        Factors on those of links.
    speed : mapping of str to float
        By what all times of a device are divided: measured ones, overhead, encoding and decoding. Energies and prices
        that derive from time follow; measured energies stay.
    """

    name: Name
    probability: Probability
    bandwidth: Frozen[Name, Positive] = FrozenDict()
    latency: Frozen[Name, Positive] = FrozenDict()
    speed: Frozen[Name, Positive] = FrozenDict()

    def applied(self, problem: Problem) -> Problem:
        """Return the problem as it is in the scenario, without scenarios."""
        update = {
            "platform": self._platform(problem.platform),
            "profile": self._profile(problem),
            "networks": tuple(self._network(network) for network in problem.networks),
            "scenarios": (),
        }
        return problem.model_copy(update=update)

    def _platform(self, platform: Platform) -> Platform:
        links = tuple(
            link.model_copy(
                update={
                    "bandwidth": link.bandwidth * self.bandwidth.get(link.name, 1.0),
                    "latency": link.latency * self.latency.get(link.name, 1.0),
                }
            )
            for link in platform.links
        )
        devices = tuple(self._faster(device, self.speed.get(device.name, 1.0)) for device in platform.devices)
        return platform.model_copy(update={"links": links, "devices": devices})

    def _faster(self, device: Device, factor: float) -> Device:
        modes = tuple(_scaled(mode, factor) for mode in device.modes)
        return _scaled(device, factor).model_copy(update={"modes": modes}) if factor != 1 else device

    def _profile(self, problem: Problem) -> Profile:
        device = {one.name: one.device.name for one in problem.platform.executors()}
        device |= {name: name for name in problem.platform.device_names()}
        return problem.profile.model_copy(
            update={
                "time": {
                    network: {
                        layer: {
                            place: None if seconds is None else seconds / self.speed.get(device[place], 1.0)
                            for place, seconds in places.items()
                        }
                        for layer, places in layers.items()
                    }
                    for network, layers in problem.profile.time.items()
                }
            }
        )

    def _network(self, network: Network) -> Network:
        if not self.speed or not any(tensor.forms for tensor in network.tensors):
            return network
        tensors = tuple(
            tensor.model_copy(update={"forms": tuple(map(self._form, tensor.forms))}) for tensor in network.tensors
        )
        return network.model_copy(update={"tensors": tensors})

    def _form(self, form: Form) -> Form:
        def coding(stated: Any) -> Any:
            if stated is None or isinstance(stated, Roofline):
                return stated
            return {device: seconds / self.speed.get(device, 1.0) for device, seconds in stated.items()}

        return form.model_copy(update={"encode": coding(form.encode), "decode": coding(form.decode)})


def _scaled(one: Any, factor: float) -> Any:
    """Return a device or a mode that is so many times as fast."""
    update: dict[str, Any] = {}
    for name in ("flops_per_s", "bytes_per_s"):
        rate = getattr(one, name)
        if isinstance(rate, dict):
            update[name] = {kind: value * factor for kind, value in rate.items()}
        elif rate is not None:
            update[name] = rate * factor
    if one.overhead is not None:
        update["overhead"] = one.overhead / factor
    return one.model_copy(update=update)


def check_scenarios(problem: Problem) -> None:
    """Raise InputError unless the scenarios' names are known and their probabilities sum to 1.

    What looks across them needs some.
    """
    scenarios = problem.scenarios
    check_unique((one.name for one in scenarios), "scenarios", "scenario")
    links = tuple(link.name for link in problem.platform.links)
    devices = problem.platform.device_names()
    for index, one in enumerate(scenarios):
        for field, known, what in (
            ("bandwidth", links, "link"),
            ("latency", links, "link"),
            ("speed", devices, "device"),
        ):
            for name in getattr(one, field):
                check_known(name, known, f"scenarios[{index}].{field}", what)
    total = math.fsum(one.probability for one in scenarios)
    if scenarios and abs(total - 1) > _CLOSE:
        raise InputError("probabilities that sum to 1", field="scenarios", value=total)


def check_across(record: Any) -> None:
    """Raise InputError unless a level goes with ``cvar``, and only with it."""
    if record.across == "cvar" and record.level is None:
        raise InputError("a number from 0 to below 1, as across is 'cvar'", field="level", value=None)
    if record.across != "cvar" and record.level is not None:
        raise InputError("no level, as across is not 'cvar'", field="level", value=record.level)


def across_label(record: Any) -> str:
    """Return what a label says of how a term or a limit looks across scenarios: nothing of the expected value."""
    if record.across == "cvar":
        return f"cvar {record.level:g} of "
    return "worst " if record.across == "worst" else ""
