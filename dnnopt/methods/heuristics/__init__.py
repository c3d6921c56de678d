"""Heuristic baselines, one file each. A baseline yields named placements; the pool's referee judges them.

Each is a function `placements(evaluator, effort)`. Constructive ones yield each of their placements once; those that
search yield every placement that is better than all before, under one name, until their effort is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dnnopt.compiled import Index
from dnnopt.evaluator import Evaluator
from dnnopt.methods.heuristics import all_on_one, annealing, greedy, local_search, multi_cut, random_plans, single_cut
from dnnopt.methods.heuristics.effort import Effort


@dataclass(frozen=True)
class Baseline:
    """A heuristic.

    Attributes
    ----------
    name : str
    summary : str
        What it does, in one line.
    source : str
        Authors, title, venue and year; "" where there is none.
    searches : bool
        Whether it searches until its effort is spent; the others end by themselves, soon.
    run : callable
        Takes an evaluator and an effort, yields pairs of a name and a placement (N,).
    """

    name: str
    summary: str
    source: str
    searches: bool
    run: Callable[[Evaluator, Effort], Iterator[tuple[str, Index]]]


BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            "all-on-one",
            "every layer on one device, for each device",
            "",
            False,
            all_on_one.placements,
        ),
        Baseline(
            "single-cut",
            "the best cut in two, for each ordered pair of devices",
            "Kang et al.: Neurosurgeon: Collaborative intelligence between the cloud and mobile edge, ASPLOS 2017",
            False,
            single_cut.placements,
        ),
        Baseline(
            "multi-cut",
            "the best cut into one segment a device, for each order of devices",
            "Lockhart et al.: Scission: Performance-driven and context-aware cloud-edge distribution of deep neural "
            "networks, UCC 2020",
            False,
            multi_cut.placements,
        ),
        Baseline(
            "greedy",
            "layer by layer, each to the device that is best if all later ones follow",
            "",
            False,
            greedy.placements,
        ),
        Baseline(
            "random",
            "random plans, the best of them: the floor for all that search",
            "",
            True,
            random_plans.placements,
        ),
        Baseline(
            "local-search",
            "moves that improve (one layer, swap, block, cut shift), then a kick, and again",
            "Lourenço, Martin, Stützle: Iterated local search, Handbook of Metaheuristics, 2003",
            True,
            local_search.placements,
        ),
        Baseline(
            "annealing",
            "moves that improve, and some that do not, fewer and fewer of them",
            "Kirkpatrick, Gelatt, Vecchi: Optimization by simulated annealing, Science 220, 1983",
            True,
            annealing.placements,
        ),
    )
}
