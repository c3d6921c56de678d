"""Modes of a device: settings of clocks, precision or pruning among which each layer on it has one.

An executor is a device in one of its modes. Executors of one device share its memory, its resource and its links, and
what goes from one to another of them is not sent.
"""

from __future__ import annotations

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
        The operators that it can run; None: all. A merged layer (``Conv+Relu``) needs all of its own.
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
