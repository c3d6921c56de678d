"""Devices in a line, each of which sends to those after it alone, over the hops between: what crosses each hop.

If layers go to devices in the order of the line, those on the first devices are an ideal, and what crosses the hop
after them follows from this ideal alone: what is made in it and used outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Mask
from dnnopt.methods.programs.items import Items
from dnnopt.methods.programs.rows import PlanSum, loads_of
from dnnopt.methods.programs.stages import Ends


@dataclass(frozen=True, eq=False)
class Line:
    """Devices from the first to the last, and the links (D - 1, L) of the hop after each but the last."""

    devices: tuple[int, ...]
    hops: Mask


def line_of(c: CompiledProblem) -> Line | str:
    """Return the line of a problem's devices, or why there is none, or why it does not tell what crosses hops."""
    count = len(c.device_names)
    routed = c.by_devices(c.pair_routed)
    np.fill_diagonal(routed, False)
    devices = np.argsort(-routed.sum(axis=1), kind="stable")
    ahead = np.triu(np.ones((count, count), dtype=bool), 1)
    if c.forbidden_moves is not None or (routed[np.ix_(devices, devices)] != ahead).any():
        return "devices that are not in a line"
    uses = np.moveaxis(c.by_devices(c.pair_uses_link.T)[:, devices][:, :, devices], 0, -1)
    hops = uses[np.arange(count - 1), np.arange(1, count)]
    past = np.concatenate([np.zeros((1, hops.shape[1]), dtype=int), np.cumsum(hops, axis=0)])
    along = (past[None, :] - past[:, None])[ahead]
    if (hops.sum(axis=0) > 1).any() or (uses[ahead] != along).any():
        return "routes that are not the hops of a line"
    if c.transport == "unicast" and count > 2 and (c.fan_out > 1).any():
        return f"unicast of a tensor with several uses ({c.tensor_names[int(np.argmax(c.fan_out > 1))]})"
    for resource, name in enumerate(c.resource_names):
        on = c.resource_links[resource] & hops.any(axis=0)
        if c.resource_devices[resource].sum() + (hops & on).any(axis=1).sum() > 1:
            return f"a resource of several devices or hops ({name})"
    return Line(tuple(devices.tolist()), hops)


def hop_loads(c: CompiledProblem, loads: list[PlanSum], links: Mask) -> Array:
    """Return what a copy of each tensor adds to the load of each resource of a hop (resources, T)."""
    on = [row for row, held in zip(loads, c.resource_links, strict=True) if (held & links).any()]
    return np.array([row.beta @ links for row in on]).reshape(len(on), len(c.tensor_names))


def crossings(c: CompiledProblem, items: Items, held: Mask, line: Line) -> list[Array]:
    """Return the largest load of a hop's resources, for each hop and each ideal before it; infinite: a way back.

    Parameters
    ----------
    c : CompiledProblem
    items : Items
    held : array (ideals, I)
        Whether an ideal holds an item.
    line : Line
    """
    return [crossing(c, items, held, line, hop) for hop in range(len(line.hops))]


def crossing(c: CompiledProblem, items: Items, held: Mask, line: Line, hop: int) -> Array:
    """Return the largest load of one hop's resources, as `crossings` does."""
    behind = np.isin(c.executor_device[c.allowed.argmax(axis=1)], line.devices[: hop + 1])  # of inputs and outputs
    before = [
        held[:, items.of_node[node]] if c.is_layer[node] else np.full(len(held), behind[node])
        for node in range(len(c.node_names))
    ]
    back = np.zeros(len(held), dtype=bool)
    across: dict[int, Array] = {}
    for u, v, tensor in _edges(c):
        back |= ~before[u] & before[v]
        here = before[u] & ~before[v]
        known = across.setdefault(tensor, np.zeros(len(held)))
        across[tensor] = known + here if c.transport == "per_edge" else np.maximum(known, here)
    largest = np.zeros(len(held))
    for seconds in hop_loads(c, loads_of(c), line.hops[hop]):
        total = sum((float(seconds[tensor]) * here for tensor, here in across.items()), np.zeros(len(held)))
        largest = np.maximum(largest, total)
    return np.where(back, np.inf, largest)


def _edges(c: CompiledProblem) -> list[tuple[int, int, int]]:
    columns = c.edge_producer, c.edge_consumer, c.edge_tensor
    return list(zip(*(column.tolist() for column in columns), strict=True))


def ends_in_line(c: CompiledProblem) -> Ends:
    """Return how stages load devices alone: hops bear what they exchange."""
    none = np.zeros((len(c.device_names), len(c.link_names)), dtype=bool)
    holds = c.resource_devices
    owner = np.where(holds.any(axis=1), holds.argmax(axis=1), -1)
    return Ends(none, none, owner, None)
