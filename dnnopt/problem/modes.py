"""Modes of a device: settings of clocks, precision or pruning among which each layer on it has one.

An executor is a device in one of its modes. Executors of one device share its memory, its resource and its links, and
what goes from one to another of them is not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dnnopt.base.records import (
    BytesPerSecond,
    DollarsPerSecond,
    Fraction,
    Name,
    Number,
    Record,
    Seconds,
    Watts,
)
from dnnopt.problem.precision import Rates

if TYPE_CHECKING:
    from dnnopt.problem.networks import Layer
    from dnnopt.problem.platforms import Device

SEPARATOR = ":"
_TIMES = ("flops_per_s", "bytes_per_s", "overhead", "efficiency")
_OVERRIDES = (*_TIMES, "power", "price")


class Mode(Record):
    """A mode of a device; what it leaves out is the device's own.

    Attributes
    ----------
    name : str
    flops_per_s : float or mapping of str to float, optional
        Instead of the device's, which may be by type of numbers as well.
    bytes_per_s, overhead, efficiency, power, price : float, optional
        Instead of the device's.
    weight_bytes, activation_bytes, output_bytes : float
        Factors on what a layer holds there (weights, activations) and on the tensors that it makes.
    loss : float
        Accuracy lost by each layer that runs in it, where the profile does not say more; an additive proxy.
    ops : tuple of str, optional
        The operators that it can run; None: all.
    """

    name: Name
    flops_per_s: Rates | None = None
    bytes_per_s: BytesPerSecond | None = None
    overhead: Seconds | None = None
    efficiency: Fraction | None = None
    power: Watts | None = None
    price: DollarsPerSecond | None = None
    weight_bytes: Number = 1.0
    activation_bytes: Number = 1.0
    output_bytes: Number = 1.0
    loss: Number = 0.0
    ops: tuple[Name, ...] | None = None


@dataclass(frozen=True)
class Executor:
    """A device in one of its modes: what a layer is placed on.

    Attributes
    ----------
    name : str
        ``nx:int8``; of a device with one mode, the device's.
    device : Device
        With what the mode overrides.
    mode : Mode
    same_times, same_energies : bool
        Whether what was measured of the device itself holds in the mode.
    """

    name: str
    device: Device
    mode: Mode
    same_times: bool
    same_energies: bool

    def runs(self, layer: Layer) -> bool:
        """Return whether the mode can run the layer's operator."""
        return self.mode.ops is None or layer.op in self.mode.ops


def executors_of(device: Device) -> tuple[Executor, ...]:
    """Return the executors of a device, in the order of its modes."""
    modes = device.modes or (Mode(name=device.name),)
    found = []
    for mode in modes:
        own = {name: getattr(mode, name) for name in _OVERRIDES if getattr(mode, name) is not None}
        same = not any(name in own for name in _TIMES)
        found.append(
            Executor(
                name=device.name if len(modes) == 1 else f"{device.name}{SEPARATOR}{mode.name}",
                device=device.model_copy(update=own) if own else device,
                mode=mode,
                same_times=same,
                same_energies=same and "power" not in own,
            )
        )
    return tuple(found)
