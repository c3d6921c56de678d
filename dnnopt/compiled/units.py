"""Units of a model: what one unit of each of its quantities is in SI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Units:
    """SI values of the model's units, and of one unit of its objective.

    Attributes
    ----------
    time, bytes, energy, money : float
        Seconds, bytes, joules and USD in one unit of the model.
    objective : float
        SI objective in one unit of the model's objective.
    other : mapping of str to float
        The same for units of a user's own metrics.
    """

    time: float
    bytes: float
    energy: float
    money: float
    objective: float
    other: Mapping[str, float] = field(default_factory=dict)

    def of(self, unit: str) -> float:
        """Return the SI value of the model's unit for quantities measured in the SI unit `unit`."""
        return {"s": self.time, "bytes": self.bytes, "J": self.energy, "USD": self.money, **self.other}.get(unit, 1.0)

    def describe(self) -> str:
        """Return a sentence for the top of exported files."""
        return (
            f"Units: 1 of time = {self.time:g} s, of data = {self.bytes:g} bytes, of energy = {self.energy:g} J, "
            f"of money = {self.money:g} USD, of the objective = {self.objective:g} (SI)."
        )
