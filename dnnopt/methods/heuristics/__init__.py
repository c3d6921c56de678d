"""Heuristic baselines, one file each. A baseline yields named placements; the pool's referee judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dnnopt.compiled import Index
from dnnopt.evaluator import Evaluator
from dnnopt.methods.heuristics import all_on_one, greedy, multi_cut, single_cut
from dnnopt.solvers.interface import Clock

Baseline = Callable[[Evaluator, Clock], Iterator[tuple[str, Index]]]

BASELINES: dict[str, Baseline] = {
    "all-on-one": all_on_one.placements,
    "single-cut": single_cut.placements,
    "multi-cut": multi_cut.placements,
    "greedy": greedy.placements,
}
