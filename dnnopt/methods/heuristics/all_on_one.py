"""Baseline `all-on-one`: every layer on one device, for each device. What one does without partitioning."""

from __future__ import annotations

from collections.abc import Iterator

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import all_on_one
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield ``all on <device>`` for each device, or mode; layers that may not run there run where they are fastest."""
    c = evaluator.compiled
    for name, placement in zip(c.host_names, all_on_one(c), strict=True):
        yield f"all on {name}", placement


BASELINE = Baseline(
    name="all-on-one",
    summary="every layer on one device, for each device",
    order=10,
    run=placements,
)
