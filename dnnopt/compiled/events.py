"""Events: what happens, or does not, as tensors with choices are sent.

Encoding on a device, decoding on one, losing accuracy, being seen: each happens once if an edge of some goes over a
pair of devices of some, or (seen only) if both ends of an edge are on one device of some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled.metrics import Array, Index, Mask


@dataclass(frozen=True, eq=False)
class Events:
    """Events (X,), and what may bring each about.

    Attributes
    ----------
    names : tuple of str
    network : array (X,)
    seconds : array (X,)
        For which the device is busy.
    device : array (X,)
        -1: none.
    loss, sensitivity, step : array (X,)
        Accuracy that is lost; sensitivity from which on the tensor is seen, and how much more that is than the next
        lower one.
    tensor : array (X,)
        Number of the tensor that is seen from the lowest sensitivity on; -1: another event.
    origins, destinations : array (X, D)
        Devices from which, and to which, an edge must go.
    exposes : array (X,)
        Whether the edge must go over an untrusted link or to an untrusted device, too.
    event, edge : array (M,)
        Which edges bring each about, ordered by event.
    stay_event, stay_edge : array (S,)
        Which bring it about without being sent, if both ends are on one of `stay_devices`.
    stay_devices : array (D,)
    """

    names: tuple[str, ...]
    network: Index
    seconds: Array
    device: Index
    loss: Array
    sensitivity: Array
    step: Array
    tensor: Index
    origins: Mask
    destinations: Mask
    exposes: Mask
    event: Index
    edge: Index
    stay_event: Index
    stay_edge: Index
    stay_devices: Mask

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class EventRow:
    """One event: its fields are those of `Events`; None for devices: all, and for stays: edges that are sent alone."""

    name: str
    network: int
    edges: Index
    seconds: float = 0.0
    device: int = -1
    loss: float = 0.0
    sensitivity: float = 0.0
    step: float = 0.0
    tensor: int = -1
    origin: int | None = None
    destination: int | None = None
    exposes: bool = False
    stays: Index | None = None


def all_events(found: Sequence[EventRow], untrusted: Mask) -> Events:
    """Return events as arrays; which devices are untrusted (D,) says where a tensor is seen without being sent."""
    count, devices = len(found), len(untrusted)

    def array(name: str, kind: type) -> NDArray[Any]:
        return np.array([getattr(event, name) for event in found], dtype=kind)

    def ends(name: str) -> Mask:
        at = [getattr(event, name) for event in found]
        rows = [np.arange(devices) == device if device is not None else np.ones(devices, dtype=bool) for device in at]
        return np.array(rows, dtype=bool).reshape(count, devices)

    def joined(parts: list[Index]) -> tuple[Index, Index]:
        which = np.repeat(np.arange(count), [len(part) for part in parts])
        return which, np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    event, edge = joined([one.edges for one in found])
    stay_event, stay_edge = joined([np.zeros(0, dtype=np.int64) if one.stays is None else one.stays for one in found])
    return Events(
        names=tuple(one.name for one in found),
        network=array("network", int),
        seconds=array("seconds", float),
        device=array("device", int),
        loss=array("loss", float),
        sensitivity=array("sensitivity", float),
        step=array("step", float),
        tensor=array("tensor", int),
        origins=ends("origin"),
        destinations=ends("destination"),
        exposes=array("exposes", bool),
        event=event,
        edge=edge,
        stay_event=stay_event,
        stay_edge=stay_edge,
        stay_devices=untrusted,
    )
