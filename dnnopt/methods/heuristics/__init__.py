"""Heuristic baselines, one file each. A baseline yields named placements; the pool's referee judges them.

Each is a function `placements(evaluator, effort)`, and a `BASELINE` that says what it is: a file with one is all that
it takes. Constructive ones yield each of their placements once; those that search yield every placement that is better
than all before, under one name, until their effort is spent.
"""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter
from pkgutil import iter_modules

from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort

__all__ = ["BASELINES", "Baseline", "Effort", "discovered"]


def discovered() -> dict[str, Baseline]:
    """Return the heuristics of this folder's files by their names, in order."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found: list[Baseline] = [module.BASELINE for module in modules if hasattr(module, "BASELINE")]
    return {baseline.name: baseline for baseline in sorted(found, key=attrgetter("order", "name"))}


BASELINES = discovered()
