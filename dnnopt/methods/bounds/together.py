"""Layers that share a device in every plan below a cap: apart, what they exchange would take a resource longer.

For the period. Let U and V be classes of layers that share a device (colocated, or found to), on devices i and j. Some
resource is then busy for its part of the time of U on i, of V on j, and of every tensor from one to the other:

    max_q ( t_U(i) [i in q] + t_V(j) [j in q] + Σ_τ (seconds of τ over the links of its route in q) )

Where that is above the cap for every i ≠ j, U and V are one class, whose tensors to others add up. Exact for plans
below the cap: it is not for others, which is why no problem is changed by it without one.
"""

from __future__ import annotations

import math

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import PeriodTerm
from dnnopt.compiled.logical import Colocation
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.scope import Scope

SCOPE = Scope(relaxes=True, terms=frozenset({PeriodTerm}), priorities=True)
_ROOM = 1e-9
_MOST_PAIRS = 20_000_000  # of classes that exchange something, times pairs of devices


def together_below(c: CompiledProblem, cap: float) -> list[Colocation]:
    """Return colocations that every plan below a cap on the objective keeps to, besides the problem's own.

    Parameters
    ----------
    c : CompiledProblem
    cap : float
        On the objective of the first priority.
    """
    plain = len(c.objective[0]) == 1 and isinstance(c.objective[0][0], PeriodTerm) and not c.has_choices
    if SCOPE.refuses(c) or not plain or not math.isfinite(cap) or len(c.executor_device) != len(c.device_names):
        return []
    term = c.objective[0][0]
    if term.weight <= 0 or len(c.edges) * len(c.pair_origin) > _MOST_PAIRS:
        return []
    label = np.arange(len(c.node_names))
    for one in c.constraints:
        if isinstance(one, Colocation):
            _unite(label, label[list(one.nodes)])
    own = label.copy()
    while True:
        before = label.copy()
        for u, v in _apart_too_long(c, label, cap / term.weight * (1.0 + _ROOM)):
            _unite(label, label[[u, v]])
        if (before == label).all():
            break
    found = []
    for number in np.unique(label):
        nodes = np.flatnonzero(label == number)
        if len(np.unique(own[nodes])) > 1:
            found.append(Colocation(f"together({c.node_names[nodes[0]]})", tuple(nodes.tolist())))
    return found


def _unite(label: Index, numbers: Index) -> None:
    label[np.isin(label, numbers)] = numbers.min()


def _apart_too_long(c: CompiledProblem, label: Index, cap: float) -> list[tuple[int, int]]:
    """Return pairs of nodes whose classes cannot be apart below a cap on the period."""
    classes, of_node = np.unique(label, return_inverse=True)
    time = np.zeros((len(classes), len(c.device_names)))
    np.add.at(time, of_node, np.where(c.allowed, c.seconds, np.inf))
    layers = c.is_layer[c.edge_producer] & c.is_layer[c.edge_consumer]
    between: dict[tuple[int, int], set[tuple[int, bool]]] = {}
    for edge in np.flatnonzero(layers).tolist():
        u, v = int(of_node[c.edge_producer[edge]]), int(of_node[c.edge_consumer[edge]])
        if u != v:
            between.setdefault((min(u, v), max(u, v)), set()).add((int(c.edge_tensor[edge]), u < v))
    first = np.unique(of_node, return_index=True)[1]
    found = []
    for (u, v), tensors in between.items():
        if (_apart(c, time[u], time[v], tensors) > cap).all():
            found.append((int(first[u]), int(first[v])))
    return found


def _apart(c: CompiledProblem, first: Array, second: Array, tensors: set[tuple[int, bool]]) -> Array:
    """Return the least largest load for each pair of devices (P,) of two classes, of these times on devices (D,)."""
    origin, destination = c.pair_origin, c.pair_destination
    back = c.pair_number[destination, origin]
    held = c.resource_devices.astype(float)
    with np.errstate(invalid="ignore"):
        loads = np.where(held[:, origin] > 0, first[origin], 0.0) + np.where(
            held[:, destination] > 0, second[destination], 0.0
        )
    links = c.resource_links.astype(float)
    for tensor, forward in tensors:
        sent = (c.pair_uses_link * c.hop_seconds[tensor]) @ links.T  # (P, Q)
        loads = loads + (sent if forward else sent[back]).T
    routed = c.pair_routed if all(forward for _, forward in tensors) else c.pair_routed & c.pair_routed[back]
    largest = loads.max(axis=0, initial=0.0)
    barred = ~routed | np.isinf(first[origin]) | np.isinf(second[destination])
    return np.where(barred, np.inf, largest)
