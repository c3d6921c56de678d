"""What is said of many runs: means, integrals over time, and whether one method is better than another beyond chance.

Definitions and their sources are in docs/reports.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dnnopt.base.errors import InputError

SAME = 1e-6  # relative: values this close are a tie
_MOST_EXACT = 60  # pairs up to which all signs are counted
Incumbents = Sequence[tuple[float, float | None]]


def shifted_geometric_mean(values: Sequence[float], shift: float) -> float:
    """Return `exp(mean(log(value + shift))) - shift`, which neither tiny nor huge values rule.

    Parameters
    ----------
    values : sequence of float
        At least one, each above `-shift`.
    shift : float

    Raises
    ------
    InputError
        For no values, or values at or below `-shift`.
    """
    if not values or min(values) + shift <= 0:
        raise InputError(f"values above {-shift:g}, at least one", field="values", value=list(values))
    return math.exp(math.fsum(math.log(value + shift) for value in values) / len(values)) - shift


def primal_gap(objective: float | None, best: float) -> float:
    """Return Berthold's gap of a plan: `|objective - best| / max(|objective|, |best|)`, 1 without a plan.

    It is 0 where both are 0 and 1 where they have different signs, so it is always from 0 to 1.
    """
    if objective is None or not math.isfinite(objective):
        return 1.0
    if objective == best:
        return 0.0
    return 1.0 if objective * best < 0 else abs(objective - best) / max(abs(objective), abs(best))


def primal_integral(trace: Incumbents, best: float, seconds: float) -> float:
    """Return the integral of the primal gap from 0 to so many seconds: what waiting for a good plan costs, in seconds.

    Parameters
    ----------
    trace : sequence of (float, float or None)
        Times, ascending, and the best objective from then on.
    best : float
        Best known objective.
    seconds : float
    """
    total, since, gap = 0.0, 0.0, 1.0
    for time, objective in trace:
        at = min(max(time, since), seconds)
        total += gap * (at - since)
        since, gap = at, primal_gap(objective, best)
    return total + gap * max(0.0, seconds - since)


@dataclass(frozen=True)
class PairedTest:
    """Two methods on the same problems.

    Attributes
    ----------
    wins, ties, losses : int
        Problems on which the first is better, as good, and worse.
    p : float
        Of Wilcoxon's signed-rank test, two-sided: how likely ranks are so one-sided if neither is better; 1 without a
        difference.
    """

    wins: int
    ties: int
    losses: int
    p: float


def paired(first: Mapping[str, float], second: Mapping[str, float]) -> PairedTest:
    """Compare two methods on the problems that both have, of which less is better; infinite values are no plan.

    Differences are relative, `(first - second) / min(|first|, |second|)`; those of at most 1e-6 are ties and dropped.
    """
    differences = [relative_difference(value, second[name]) for name, value in first.items() if name in second]
    counted = [one for one in differences if abs(one) > SAME]
    wins = sum(one < 0 for one in counted)
    return PairedTest(wins, len(differences) - len(counted), len(counted) - wins, signed_rank(counted))


def relative_difference(first: float, second: float) -> float:
    """Return `(first - second) / min(|first|, |second|)`: 0 of equal values, infinite where one is infinite or 0."""
    if first == second:
        return 0.0
    least = min(abs(first), abs(second))
    difference = first - second
    return difference / least if least > 0 and math.isfinite(difference) else math.copysign(math.inf, difference)


def signed_rank(differences: Sequence[float]) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test; differences of the same size share a rank.

    Up to 60 differences it is exact, given the ranks; beyond, the normal approximation with the correction for ties.

    Parameters
    ----------
    differences : sequence of float
        None of them 0; infinite ones have the highest ranks.
    """
    count = len(differences)
    if not count:
        return 1.0
    ranks = _double_ranks([abs(one) for one in differences])  # twice, so that shared ranks are whole
    above = sum(rank for rank, one in zip(ranks, differences, strict=True) if one > 0)
    total = sum(ranks)
    smaller = min(above, total - above)
    if count <= _MOST_EXACT:
        ways = [1] + [0] * total
        for rank in ranks:
            for amount in range(total, rank - 1, -1):
                ways[amount] += ways[amount - rank]
        return min(1.0, 2 * sum(ways[: smaller + 1]) / 2**count)
    spread = math.sqrt(sum(rank * rank for rank in ranks)) / 2  # of a sum of ranks with random signs
    score = (smaller + 1 - total / 2) / spread  # the correction for continuity is half a rank
    return min(1.0, math.erfc(-min(score, 0.0) / math.sqrt(2)))


def _double_ranks(sizes: Sequence[float]) -> list[int]:
    order = sorted(range(len(sizes)), key=lambda index: sizes[index])
    ranks = [0] * len(sizes)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and sizes[order[last + 1]] == sizes[order[first]]:
            last += 1
        for position in range(first, last + 1):
            ranks[order[position]] = first + last + 2
        first = last + 1
    return ranks


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Return p values corrected for their number, by Holm's step-down method."""
    found: dict[str, float] = {}
    least = 0.0
    for index, (name, p) in enumerate(sorted(values.items(), key=lambda entry: entry[1])):
        least = max(least, min(1.0, (len(values) - index) * p))
        found[name] = least
    return {name: found[name] for name in values}
