"""Times under `call` execution: each device but pools runs what it has of a network as one call.

A call starts when everything that it needs is there, and all that it makes appears at its end. Pools run any number of
layers at a time, each when what it needs is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index


@dataclass(frozen=True, eq=False)
class CallTimes:
    """When things happen, in seconds; infinite where calls wait for each other.

    Attributes
    ----------
    end : array (N,)
        When what a node makes appears.
    call_start, call_end : array (D,)
        0 for pools and devices without layers.
    rank, call_rank : arrays (N,), (D,)
        The most moves from device to device on a path to the node or call.
    """

    end: Array
    call_start: Array
    call_end: Array
    rank: Array
    call_rank: Array


def call_times(c: CompiledProblem, placement: Index, seconds: Array) -> CallTimes:
    """Return the earliest times of a placement (N,); `seconds` are those of each device's call (D,)."""
    assert c.pools is not None
    devices, nodes = len(c.device_names), len(c.node_names)
    device = c.executor_device[placement]
    # Steps are calls, by their device, then nodes on pools.
    step = np.where(c.pools[device], devices + np.arange(nodes), device)
    lasts = np.concatenate([seconds, c.seconds[np.arange(nodes), placement]])
    start, rank = np.zeros(devices + nodes), np.zeros(devices + nodes)
    edges: dict[int, set[tuple[int, bool]]] = {}
    waiting = np.zeros(devices + nodes, dtype=np.int64)
    for u, v in zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True):
        before, after = int(step[u]), int(step[v])
        entry = after, bool(device[u] != device[v])
        if before != after and entry not in edges.setdefault(before, set()):
            edges[before].add(entry)
            waiting[after] += 1
    used = np.unique(step)
    ready = [int(one) for one in used if waiting[one] == 0]
    done = 0
    while ready:
        one = ready.pop()
        done += 1
        for after, moved in edges.get(one, ()):
            start[after] = max(start[after], start[one] + lasts[one])
            rank[after] = max(rank[after], rank[one] + moved)
            waiting[after] -= 1
            if waiting[after] == 0:
                ready.append(after)
    end = start + lasts
    if done < len(used):
        end[:] = np.inf
    idle = np.setdiff1d(np.arange(devices), used)
    end[idle] = 0.0
    return CallTimes(end[step], start[:devices], end[:devices], rank[step], rank[:devices])
