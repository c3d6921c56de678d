"""Greedy by time saved per byte sent: layers leave the device where the data is, those that pay best first.

The density order of the greedy knapsack (Dantzig: Discrete-variable extremum problems, Operations Research 5(2), 1957).
All starts on one device. What a layer saves elsewhere, for each byte of its tensors, is its density; in this order each
layer is tried on every device, alone and with the layers after it up to the next one that saves nothing, and stays
where the plan is best. Less violation is better than a lower objective; what is left of it is repaired by local search.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.compiled.moves import Change, MovingPlan
from dnnopt.compiled.scaling import all_on_one
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.local_search import repaired

_PASSES = 3


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the placement; when the time is up, the layers that are left stay."""
    c = evaluator.compiled
    plan = MovingPlan(evaluator, _at_source(evaluator))
    time = c.allowed_time
    here = time[np.arange(len(time)), plan.placement]
    fastest = time.min(axis=1)
    saving = np.where(np.isfinite(fastest), here - np.where(np.isfinite(fastest), fastest, 0.0), 0.0)
    density = saving / np.maximum(_touched_bytes(c), 1.0)
    pays = density > 0
    order = [node for node in np.argsort(-density, kind="stable").tolist() if c.is_layer[node]]
    for _ in range(_PASSES):
        before = plan.excess, plan.objective
        for node in order:
            if effort.spent():
                break
            changes = _changes(c, node, pays)
            excess, objectives = plan.judge(changes)
            chosen = np.lexsort((objectives, excess))[0]
            if (excess[chosen], objectives[chosen]) < (plan.excess, plan.objective):
                plan.move(*changes[chosen])
        if (plan.excess, plan.objective) == before:
            break
    yield "saving per byte", repaired(evaluator, np.array(plan.placement), effort)


BASELINE = Baseline(
    name="saving-per-byte",
    summary="layers leave the device of the input, those first that save most time for each byte of their tensors",
    source="Dantzig: Discrete-variable extremum problems, Operations Research 5(2), 1957",
    order=50,
    run=placements,
)


def _at_source(evaluator: Evaluator) -> Index:
    """Return all on one device: that of the input, where it has one, or the best."""
    c = evaluator.compiled
    whole = all_on_one(c)
    pinned = [node for node in c.edge_producer.tolist() if not c.is_layer[node]]
    return whole[c.allowed[pinned[0]].argmax()] if pinned else best(evaluator, whole)


def _touched_bytes(c: CompiledProblem) -> Array:
    """Return the bytes of the tensors that each node makes or uses (N,)."""
    touched = np.zeros(len(c.node_names))
    np.add.at(touched, c.use_consumer, c.tensor_bytes[c.use_tensor])
    made = np.flatnonzero(c.producer >= 0)
    np.add.at(touched, c.producer[made], c.tensor_bytes[made])
    return touched


def _changes(c: CompiledProblem, node: int, pays: Mask) -> list[Change]:
    """Return the ways in which a layer can move: to each executor, alone and with those after it that save time too."""
    end = node + 1
    while end < len(pays) and pays[end]:
        end += 1
    changes: list[Change] = []
    for executor in range(c.time.shape[1]):
        for last in dict.fromkeys((node + 1, end)):
            nodes = [other for other in range(node, last) if c.allowed[other, executor]]
            changes.append((nodes, [executor] * len(nodes)) if nodes else ([node], [int(c.allowed[node].argmax())]))
    return changes
