"""Identical devices: classes of devices whose exchange changes nothing, found in the data, not declared."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.constraints import (
    CallOrder,
    DeadlineLimit,
    Escape,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    MulticastTrees,
    ObjectiveLimit,
    ObjectiveTerm,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.compiled.logical import LOGICAL
from dnnopt.compiled.metrics import Index, LinearMetric
from dnnopt.compiled.scope import Scope

_Key = tuple[object, ...]

SCOPE = Scope(
    enforces=frozenset(
        {
            LinearLimit,
            MemoryLimit,
            DeadlineLimit,
            ObjectiveLimit,
            CallOrder,
            MulticastTrees,
            Escape,
            *(kind for kind in LOGICAL if not kind.names_devices),
        }
    ),
    terms=frozenset({LinearTerm, LatencyTerm, PeriodTerm, WorstLeakageTerm, MaxTerm}),
    latencies=frozenset({"parallel", "scheduled", "call"}),
    priorities=True,
)


@kept
def identical_devices(c: CompiledProblem) -> list[list[int]]:
    """Return the classes of two or more devices that can be exchanged in every plan, in the devices' order."""
    if SCOPE.refuses(c):
        return []
    classes: list[list[int]] = []
    totals = c.time.sum(axis=0).tolist()  # tells most devices apart at once
    for device, total in enumerate(totals):
        for members in classes:
            if (
                totals[members[0]] == total
                and _alike(c, members[0], device)
                and _is_automorphism(c, members[0], device)
            ):
                members.append(device)
                break
        else:
            classes.append([device])
    return [members for members in classes if len(members) > 1]


def canonical(c: CompiledProblem, placement: Index, classes: list[list[int]]) -> Index:
    """Return the placement (N,) with the devices of each class renamed in the order in which layers first use them."""
    if not classes:
        return placement
    renamed = np.arange(len(c.device_names))
    used = c.executor_device[placement[c.is_layer]]
    for members in classes:
        first = list(dict.fromkeys(device for device in used.tolist() if device in members))
        order = first + [device for device in members if device not in first]
        renamed[order] = members
    return np.where(c.is_layer, renamed[c.executor_device[placement]], placement)


def _alike(c: CompiledProblem, i: int, j: int) -> bool:
    """Return whether two devices are alike on their own."""
    return bool(
        np.array_equal(c.time[:, i], c.time[:, j])
        and np.array_equal(c.allowed[:, i], c.allowed[:, j])
        and c.device_tier[i] == c.device_tier[j]
        and c.device_trusted[i] == c.device_trusted[j]
        and (c.pools is None or c.pools[i] == c.pools[j])
    )


def _is_automorphism(c: CompiledProblem, i: int, j: int) -> bool:
    """Return whether exchanging two devices, and their links with them, maps the problem to itself."""
    device = np.arange(len(c.device_names))
    device[[i, j]] = device[[j, i]]
    link = exchanged_links(c, device)
    if link is None or not _moves_alike(c, device):
        return False
    for values in (c.link_bandwidth, c.link_latency, c.link_trusted):
        if not np.array_equal(values, values[link]):
            return False
    if c.call_links is not None and not np.array_equal(c.call_links, c.call_links[device][:, link]):
        return False
    resources = {(c.resource_devices[q].tobytes(), c.resource_links[q].tobytes()) for q in range(len(c.resource_names))}
    exchanged = {
        (c.resource_devices[q, device].tobytes(), c.resource_links[q, link].tobytes())
        for q in range(len(c.resource_names))
    }
    same = np.arange(len(device)), np.arange(len(link))
    return resources == exchanged and _keys(c, *same) == _keys(c, device, link)


def _moves_alike(c: CompiledProblem, device: Index) -> bool:
    """Return whether the same moves are forbidden when devices are exchanged."""
    if c.forbidden_moves is None:
        return True
    pair = c.pair_number[device[c.pair_origin], device[c.pair_destination]]
    return bool(np.array_equal(c.forbidden_moves, c.forbidden_moves[:, pair]))


def exchanged_links(c: CompiledProblem, device: Index) -> Index | None:
    """Return which link takes each link's place (L,) when devices are exchanged; None: that is not one to one."""
    link = np.full(len(c.link_names), -1)
    for i in range(len(device)):
        for j in range(len(device)):
            route, other = c.route_links[i][j], c.route_links[device[i]][device[j]]
            if route is None or other is None:
                if route is not other:
                    return None
                continue
            if len(route) != len(other):
                return None
            for mine, theirs in zip(route, other, strict=True):
                if link[mine] not in (-1, theirs):
                    return None
                link[mine] = theirs
    unused = link < 0
    link[unused] = np.flatnonzero(unused)
    return link if len(np.unique(link)) == len(link) else None


def _keys(c: CompiledProblem, device: Index, link: Index) -> tuple[_Key, ...]:
    """Return the objective and the constraints as values that can be compared, with devices and links exchanged."""
    terms = [_term_keys(objective, device, link) for objective in c.objective]
    limits: list[_Key] = []
    for constraint in c.constraints:
        match constraint:  # the others are about nodes, tiers and numbers of devices, which an exchange does not change
            case LinearLimit():
                limits.append((*_metric_key(constraint.metric, device, link), constraint.limit))
            case MemoryLimit():
                here = int(device[constraint.device])  # exchanges are their own inverses
                arrays = constraint.resident.tobytes(), constraint.peaks.tobytes()  # of a device without modes
                limits.append((here, constraint.limit, constraint.buffers, *arrays))
            case ObjectiveLimit():
                limits.append((*_term_keys(constraint.terms, device, link), constraint.limit))
            case MulticastTrees():
                limits.append(tuple(sorted((device[i], *sorted(device[[j, k]])) for i, j, k in constraint.conflicts)))
            case Escape():
                way = constraint.node, constraint.forwards, constraint.edges.tobytes()
                limits.append((int(device[constraint.device]), *way))
    return (*terms, tuple(sorted(map(repr, limits))))


def _term_keys(terms: Iterable[ObjectiveTerm], device: Index, link: Index) -> _Key:
    keys: list[str] = []
    for term in terms:
        match term:
            case LinearTerm():
                keys.append(repr((term.weight, *_metric_key(term.metric, device, link))))
            case MaxTerm():
                keys.append(repr((term.weight, _term_keys(term.parts, device, link))))
            case _:
                keys.append(repr(term))
    return tuple(sorted(keys))


def _metric_key(metric: LinearMetric, device: Index, link: Index) -> _Key:
    moved = metric.alpha[:, device], metric.per_copy[link], metric.per_byte[link]
    return (*(np.ascontiguousarray(part).tobytes() for part in moved), metric.scale.tobytes(), metric.gamma.tobytes())
