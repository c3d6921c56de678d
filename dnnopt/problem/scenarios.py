"""Scenarios: how bandwidths, latencies of links and speeds of devices vary, and how terms and limits look across them.

One plan is for all scenarios. What is measured in each becomes one number: the expected, the worst, or the mean of the
worst share (conditional value at risk: Rockafellar, Uryasev: Optimization of conditional value-at-risk, Journal of Risk
2, 2000).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.records import Name, Positive, Probability, Record, check_known, check_unique

Across = Literal["expected", "worst", "cvar"]
Rounds = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Level = Annotated[float, Field(ge=0, lt=1)]
_CLOSE = 1e-9


class Scenario(Record):
    """What may be, and how probable it is: factors on the platform's values, 1 where not named.

    Attributes
    ----------
    name : str
    probability : float
    bandwidth, latency : mapping of str to float
        Factors on those of links.
    speed : mapping of str to float
        By what all times of a device are divided: measured ones, overhead, encoding and decoding. Energies and prices
        that derive from time follow; measured energies stay.
    """

    name: Name
    probability: Probability
    bandwidth: Frozen[Name, Positive] = FrozenDict()
    latency: Frozen[Name, Positive] = FrozenDict()
    speed: Frozen[Name, Positive] = FrozenDict()


def check_scenarios(scenarios: Sequence[Scenario], links: Collection[str], devices: Collection[str]) -> None:
    """Raise InputError unless the names of scenarios, links and devices are right and probabilities sum to 1."""
    check_unique((one.name for one in scenarios), "scenarios", "scenario")
    for index, one in enumerate(scenarios):
        for field, known, what in (
            ("bandwidth", links, "link"),
            ("latency", links, "link"),
            ("speed", devices, "device"),
        ):
            for name in getattr(one, field):
                check_known(name, known, f"scenarios[{index}].{field}", what)
    total = math.fsum(one.probability for one in scenarios)
    if scenarios and abs(total - 1) > _CLOSE:
        raise InputError("probabilities that sum to 1", field="scenarios", value=total)


def mean_scenario(scenarios: Sequence[Scenario]) -> Scenario:
    """Return the scenario with the mean of each factor, where probabilities count."""

    def means(field: str) -> dict[str, float]:
        named = dict.fromkeys(name for one in scenarios for name in getattr(one, field))
        return {name: math.fsum(s.probability * getattr(s, field).get(name, 1.0) for s in scenarios) for name in named}

    factors = {field: means(field) for field in ("bandwidth", "latency", "speed")}
    return Scenario(name="mean", probability=1.0, **factors)


def check_across(record: Any) -> None:
    """Raise InputError unless a level goes with ``cvar``, and only with it."""
    if record.across == "cvar" and record.level is None:
        raise InputError("a number from 0 to below 1, as across is 'cvar'", field="level", value=None)
    if record.across != "cvar" and record.level is not None:
        raise InputError("no level, as across is not 'cvar'", field="level", value=record.level)


def across_label(record: Any) -> str:
    """Return what a label says of how a term or a limit looks across scenarios: nothing of the expected value."""
    if record.across == "cvar":
        return f"cvar {record.level:g} of "
    return "worst " if record.across == "worst" else ""
