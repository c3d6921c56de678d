"""Metrics across scenarios, as linear metrics of which the largest counts.

The conditional value at risk is the largest mean over probabilities that are at most p_s / (1 - level) each (Artzner,
Delbaen, Eber, Heath: Coherent measures of risk, Mathematical Finance 9, 1999): one metric for each vertex of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, product

import numpy as np

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.constraints import LinearTerm
from dnnopt.compiled.metrics import Array, LinearMetric

MOST = 2000
_ROUNDING = 1e-12
Weights = tuple[tuple[int, float], ...]  # of scenarios


def combined(terms: Sequence[LinearTerm]) -> LinearMetric:
    """Return the weighted sum of linear terms as one metric.

    Raises
    ------
    UnsupportedError
        If they weigh the copies of tensors differently, as for networks with different weights.
    """
    sending = [term for term in terms if term.metric.sends]
    scale = sending[0].metric.scale if sending else terms[0].metric.scale
    first = terms[0].metric

    def added(part: str) -> Array:
        return np.asarray(sum(term.weight * getattr(term.metric, part) for term in terms))

    total = replace(
        first,
        alpha=added("alpha"),
        gamma=added("gamma"),
        on_event=added("on_event"),
        per_copy=np.zeros(first.per_copy.shape),
        per_byte=np.zeros(first.per_byte.shape),
        scale=scale,
    )
    for term in sending:
        ratio = float(term.metric.scale.max() / scale.max())
        if not np.allclose(term.metric.scale, ratio * scale, rtol=_ROUNDING, atol=0.0):
            what = f"{term.metric.name} across scenarios, with networks of different weights"
            raise UnsupportedError("", problem=f"{what}, is not looked at")
        weight = term.weight * ratio
        total = replace(
            total,
            per_copy=total.per_copy + weight * term.metric.per_copy,
            per_byte=total.per_byte + weight * term.metric.per_byte,
        )
    return total


def worst_shares(probabilities: Sequence[float], share: float) -> Iterator[Weights]:
    """Yield the vertices: some scenarios with all of their probability, and one with the rest of the share."""

    def extend(first: int, left: float, chosen: Weights) -> Iterator[Weights]:
        for last, probability in enumerate(probabilities):
            whole = last >= first and left <= probability * (1 + _ROUNDING)
            partly = last not in [index for index, _ in chosen] and left < probability * (1 - _ROUNDING)
            if left > 0 and (whole or partly):
                yield (*chosen, (last, left / share))
        for index in range(first, len(probabilities)):
            if 0 < probabilities[index] < left * (1 - _ROUNDING):
                rest = left - probabilities[index]
                yield from extend(index + 1, rest, (*chosen, (index, probabilities[index] / share)))

    share = min(share, math.fsum(probabilities))  # which is 1 but for rounding
    yield from extend(0, share, ())


def mean_of_worst(
    values: Sequence[Sequence[LinearMetric]], probabilities: Sequence[float], level: float, name: str
) -> list[LinearMetric]:
    """Return metrics of which the largest is the mean, over the worst share 1 - `level`, of the largest in a scenario.

    Parameters
    ----------
    values : sequence of sequences
        For each scenario the metrics of which the largest counts.
    probabilities : sequence of float
    level : float
    name : str
        Of what it is, for errors.

    Raises
    ------
    UnsupportedError
        If they are more than `MOST`.
    """
    found = (
        combined([LinearTerm(weight, metric) for (_, weight), metric in zip(weights, chosen, strict=True)])
        for weights in worst_shares(probabilities, 1.0 - level)
        for chosen in product(*(values[index] for index, _ in weights))
    )
    listed = list(islice(found, MOST + 1))
    if len(listed) > MOST:
        what = f"{name} over {len(probabilities)} scenarios"
        raise UnsupportedError("", problem=f"{what} needs more than {MOST:,} combinations, which are not looked at")
    return listed
