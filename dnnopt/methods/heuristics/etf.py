"""ETF: of all nodes that are ready and all devices, the pair with the earliest start, again and again.

Hwang, Chow, Anger, Lee: Scheduling precedence graphs in systems with interprocessor communication times, SIAM Journal
on Computing 18(2), 1989. Of equal starts the node farthest from the end is taken, on the device where it ends first.
The schedule only decides the placement (see `timeline.py` for how memory is kept); what else it breaks is repaired by
local search.
"""

from __future__ import annotations

from collections.abc import Iterator

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.local_search import repaired
from dnnopt.methods.heuristics.timeline import Timeline


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the placement."""
    timeline = Timeline(evaluator.compiled)
    levels = timeline.levels()
    waiting = [len(edges) for edges in timeline.before]
    ready = [node for node, count in enumerate(waiting) if not count]
    while ready:
        start, _, _, executor, node = min(
            (start, -levels[node], finish, executor, node)
            for node in ready
            for start, finish, executor in timeline.earliest(node)
        )
        timeline.place(node, start, executor)
        ready.remove(node)
        for follower, _ in timeline.after[node]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    yield "ETF", repaired(evaluator, timeline.placement(), effort)


BASELINE = Baseline(
    name="etf",
    summary="of all layers that are ready and all devices, the pair with the earliest start",
    source="Hwang, Chow, Anger, Lee: Scheduling precedence graphs in systems with interprocessor communication "
    "times, SIAM Journal on Computing 18(2), 1989",
    order=90,
    run=placements,
)
