"""A plan in every scenario, and the one number that the values of a metric become."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dnnopt.problem.objectives import Term
from dnnopt.referee.facts import Facts
from dnnopt.referee.metrics import Latencies, measure, term_value, times


@dataclass(frozen=True)
class Case:
    """A plan's facts and latencies in one scenario; without scenarios there is one case, with probability 1."""

    probability: float
    facts: Facts
    latencies: Latencies


def across(cases: Sequence[Case], value: Callable[[Case], float], said: Any) -> float:
    """Return what of a value in all cases counts, as a term or a limit says: the expected one, if it does not say."""
    return aggregated([(value(case), case.probability) for case in cases], said)


def aggregated(values: Sequence[tuple[float, float]], said: Any) -> float:
    """Return what counts of values with their probabilities, as a term or a limit says."""
    kind = getattr(said, "across", "expected")
    if kind == "worst":
        return max(one for one, _ in values)
    if kind == "cvar":
        return _worst_share(values, 1.0 - said.level)
    return math.fsum(times(probability, one) for one, probability in values)


def _worst_share(values: Sequence[tuple[float, float]], share: float) -> float:
    """Return the mean of the largest values, of the share of all probability that they have together."""
    left, parts = share, []
    for value, probability in sorted(values, reverse=True):
        taken = min(probability, left)
        if taken > 0:
            parts.append(value * taken)
            left -= taken
    return math.fsum(parts) / (share - left)


def objectives(cases: Sequence[Case]) -> tuple[float, ...]:
    """Return the weighted sum of each priority's terms, in ascending order of priority."""
    terms = cases[0].facts.problem.minimize

    def value(term: Term) -> float:
        return times(term.weight, across(cases, lambda case: term_value(case.facts, case.latencies, term), term))

    return tuple(
        math.fsum(value(term) for term in terms if term.priority == priority)
        for priority in sorted({term.priority for term in terms})
    )


def measured(cases: Sequence[Case]) -> dict[str, float]:
    """Return all metrics that the problem's data define (`Evaluation` lists their names), expected ones."""
    found = [measure(case.facts, case.latencies) for case in cases]
    if len(cases) == 1:
        return found[0]
    expected = {
        name: math.fsum(times(case.probability, metrics[name]) for case, metrics in zip(cases, found, strict=True))
        for name in found[0]
    }
    return expected | {"throughput": 1 / expected["period"] if expected["period"] else math.inf}
