"""Forms of a tensor: as what it may be sent (a codec, a quantisation for the wire, a bottleneck).

A tensor that is sent goes in one form, the same to all destinations; one that is not sent has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from dnnopt.base.frozen import Frozen
from dnnopt.base.records import Bytes, Flop, Name, Number, Probability, Record, Seconds


class CodingWork(Record):
    """CodingWork of which the roofline tells the time on each device.

    Attributes
    ----------
    flops, bytes : float
    """

    flops: Flop
    bytes: Bytes


class Roofline(Record):
    """Coding whose time is the roofline's."""

    roofline: CodingWork


def _kind(value: Any) -> str:
    if isinstance(value, Roofline) or (isinstance(value, Mapping) and isinstance(value.get("roofline"), Mapping)):
        return "<roofline>"
    return "<seconds>"


Coding = Annotated[
    Annotated[Roofline, Tag("<roofline>")] | Annotated[Frozen[Name, Seconds], Tag("<seconds>")], Discriminator(_kind)
]


class Form(Record):
    """A form in which a tensor may be sent.

    Attributes
    ----------
    name : str
    bytes : float
        Bytes that are sent, whatever the producer's mode.
    encode, decode : mapping of str to float, Roofline or None
        Seconds on each device that can do it, in the device's own mode; None: free, and every device can.
    loss : float
        Accuracy that is lost if the tensor is sent so; an additive proxy.
    sensitivity : float, optional
        Privacy sensitivity of what is sent; None: the tensor's.
    """

    name: Name
    bytes: Bytes
    encode: Coding | None = None
    decode: Coding | None = None
    loss: Number = 0.0
    sensitivity: Probability | None = None
