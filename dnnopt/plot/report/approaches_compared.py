"""What a report shows of published approaches: how good their plans are, problem by problem, and what they cost."""

from __future__ import annotations

import math
from typing import Any

from dnnopt.approaches.registry import approach_named
from dnnopt.approaches.score_table import Scores

_DIGITS = 4
_INFINITE = 1e9  # stands for the gap to a best known value of 0


def approach_data(scores: Scores) -> list[dict[str, Any]]:
    """Return for each approach that serves a problem its title and year, all of its score, and its gaps by problem."""
    found = []
    for row in scores.rows:
        one = approach_named(row.approach)
        gaps = {name: _rounded(gap) for name, gap in scores.gaps[row.approach].items()}
        score = {name: _rounded(value) if isinstance(value, float) else value for name, value in vars(row).items()}
        found.append({**score, "title": one.title, "year": one.year, "gaps": gaps})
    return found


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else _INFINITE
