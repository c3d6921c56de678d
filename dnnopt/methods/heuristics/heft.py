"""HEFT: nodes by their distance from the end, each to the device where it ends first, in gaps between others too.

Topcuoglu, Hariri, Wu: Performance-effective and low-complexity task scheduling for heterogeneous computing, IEEE TPDS
13(3), 2002. Distances have mean times and mean transfers. The schedule only decides the placement (see `timeline.py`
for how memory is kept); what else it breaks is repaired by local search.
"""

from __future__ import annotations

from collections.abc import Iterator

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.local_search import repaired
from dnnopt.methods.heuristics.timeline import Timeline, by_finish


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the placement."""
    timeline = Timeline(evaluator.compiled)
    ranks = timeline.levels(*timeline.mean_transfer())
    for node in sorted(range(len(ranks)), key=lambda node: (-ranks[node], node)):
        start, _, executor = min(timeline.earliest(node, insertion=True), key=by_finish)
        timeline.place(node, start, executor)
    yield "HEFT", repaired(evaluator, timeline.placement(), effort)


BASELINE = Baseline(
    name="heft",
    summary="layers by their distance from the end, each where it ends first, in gaps too",
    source="Topcuoglu, Hariri, Wu: Performance-effective and low-complexity task scheduling for heterogeneous "
    "computing, IEEE TPDS 13(3), 2002",
    order=80,
    run=placements,
)
