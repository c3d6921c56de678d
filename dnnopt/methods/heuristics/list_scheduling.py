"""List scheduling: of the nodes that are ready the one farthest from the end, on the device where it ends first.

Graham: Bounds on multiprocessing timing anomalies, SIAM Journal on Applied Mathematics 17(2), 1969; with the highest
level first (Adam, Chandy, Dickson: A comparison of list schedules for parallel processing systems, CACM 17(12), 1974).
Levels leave transfers out, and gaps are not filled: what HEFT adds. The schedule only decides the placement (see
`timeline.py` for how memory is kept); what else it breaks is repaired by local search.
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
    levels = timeline.levels()
    for node in sorted(range(len(levels)), key=lambda node: (-levels[node], node)):  # an order in which all are ready
        start, _, executor = min(timeline.earliest(node), key=by_finish)
        timeline.place(node, start, executor)
    yield "list scheduling", repaired(evaluator, timeline.placement(), effort)


BASELINE = Baseline(
    name="list-scheduling",
    summary="of the layers that are ready the one farthest from the end, where it ends first",
    source="Adam, Chandy, Dickson: A comparison of list schedules for parallel processing systems, CACM 17(12), 1974",
    order=100,
    run=placements,
)
