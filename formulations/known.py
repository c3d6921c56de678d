"""What is known of a problem's optimum before a model of it is built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """Bounds on the optimum, in SI units.

    Attributes
    ----------
    upper : float, optional
        Objective of a plan: a model may leave out what is worse.
    lower : float, optional
        A bound: a model may say so.
    """

    upper: float | None = None
    lower: float | None = None


NOTHING = Known()
