"""Result: what `solve` returns. Objectives, bounds and gaps in SI units; the objective is the referee's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.files import read_data
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.referee import Evaluation

OPTIMAL_GAP = 1e-6
# What confirms a proof by a method of this package, which rests on no solver's word.
OWN = "exact method"


@dataclass(frozen=True)
class Event:
    """A point of the trace.

    Attributes
    ----------
    time : float
        Seconds since the start.
    objective, bound : float, optional
        Best known at that time.
    source : str
        Who found what is new.
    """

    time: float
    objective: float | None
    bound: float | None
    source: str


def relative_gap(objective: float | None, bound: float | None) -> float | None:
    """Return `(objective - bound) / |objective|`: 0 where both are 0, None where one is missing."""
    if objective is None or bound is None:
        return None
    if objective == bound:
        return 0.0
    return (objective - bound) / abs(objective) if objective else None


def evaluation_data(evaluation: Evaluation) -> dict[str, Any]:
    """Return plain data: metrics, violations and transmissions; infinite numbers become null."""
    return {
        "objective": _finite(evaluation.objective),
        "metrics": {name: _finite(value) for name, value in evaluation.metrics.items()},
        "violations": [vars(v) | {"amount": _finite(v.amount)} for v in evaluation.violations],
        "transmissions": [vars(t) | {"links": list(t.links)} for t in evaluation.transmissions],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Result:
    """The outcome of a run.

    Attributes
    ----------
    problem : Problem
    status : str
        ``optimal`` (gap at most 1e-6), ``feasible``, ``infeasible``, ``unbounded``, ``no_solution``, ``interrupted``
        or ``error``.
    plan : Plan, optional
        The best plan; it has passed the referee.
    evaluation : Evaluation, optional
        What the referee says of it.
    bounds : tuple of (float or None)
        For each priority, what no plan is better than; of later priorities only where the earlier ones are proved.
    runtime : float
        Seconds.
    method, formulation, solver : str
    found_by, bound_by : str
        Where plan and bound came from.
    confirmed_by : str
        Which second engine confirmed a solver's proof, or ``exact method`` where a method of this package needs none;
        empty: nothing confirmed it.
    confirming : float
        Seconds that were spent on that.
    contradictions : tuple of str
        Claims of solvers that were refuted, and by what.
    trace : tuple of Event
    baselines : tuple of (str, Evaluation)
        What the referee says of each baseline that was run.
    seed : int
    message : str
    versions : mapping
    date : str
        ``YYYY-MM-DD``, UTC.
    """

    problem: Problem
    status: str
    plan: Plan | None
    evaluation: Evaluation | None
    bounds: tuple[float | None, ...]
    runtime: float
    method: str
    formulation: str | None = None
    solver: str | None = None
    found_by: str = ""
    bound_by: str = ""
    confirmed_by: str = ""
    confirming: float = 0.0
    contradictions: tuple[str, ...] = ()
    trace: tuple[Event, ...] = ()
    baselines: tuple[tuple[str, Evaluation], ...] = ()
    seed: int = 0
    message: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    date: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")

    @property
    def objective(self) -> float | None:
        """The plan's objective (of the first priority)."""
        return None if self.evaluation is None else self.evaluation.objective

    @property
    def bound(self) -> float | None:
        """What no plan is better than (of the first priority)."""
        return self.bounds[0] if self.bounds else None

    @property
    def gap(self) -> float | None:
        """`(objective - bound) / |objective|`."""
        return relative_gap(self.objective, self.bound)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for a result file, which is also a plan file."""
        nothing: dict[str, Any] = {"objective": None, "metrics": {}, "violations": [], "transmissions": []}
        return {
            "format": "dnnopt-result",
            "version": 1,
            "problem": self.problem.name,
            "checksum": self.problem.checksum if self.problem.is_data else None,
            "date": self.date,
            "status": self.status,
            "bound": self.bound,
            "objectives": list(self.evaluation.objectives) if self.evaluation else [],
            "bounds": list(self.bounds),
            "gap": self.gap,
            "runtime": self.runtime,
            "method": self.method,
            "formulation": self.formulation,
            "solver": self.solver,
            "found_by": self.found_by,
            "bound_by": self.bound_by,
            "confirmed_by": self.confirmed_by,
            "confirming": self.confirming,
            "contradictions": list(self.contradictions),
            "seed": self.seed,
            "message": self.message,
            **(evaluation_data(self.evaluation) if self.evaluation else nothing),
            **(self.plan.to_data() if self.plan else {"placement": None}),
            "baselines": [
                {"name": name, "objective": _finite(baseline.objective), "violations": len(baseline.violations)}
                for name, baseline in self.baselines
            ],
            "trace": [vars(event) for event in self.trace],
            "versions": self.versions,
        }

    def __str__(self) -> str:
        from dnnopt.base.console import as_text
        from dnnopt.studies.report import print_result

        return as_text(lambda console: print_result(console, self))


def read_result(path: str | Path, *, allow_large: bool = False) -> dict[str, Any]:
    """Return the data of a result file; what a run that ended in an error lacks is None or empty.

    Raises
    ------
    InputError
        For what `read_data` refuses, and for values of another kind. The plan is left to `read_plan`.
    """
    data = read_data(path, "result", allow_large=allow_large)
    result = {**_MISSING, **data}
    for key, fits, expected in _RESULT:
        if not fits(result.get(key)):
            raise InputError(expected, file=str(path), field=key, value=result.get(key))
    return result


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


_MISSING: dict[str, Any] = {
    **dict.fromkeys(("objective", "bound", "gap", "runtime", "checksum", "placement")),
    **dict.fromkeys(("found_by", "bound_by", "date", "message"), ""),
    "versions": {},
}
_RESULT: list[tuple[str, Callable[[Any], bool], str]] = [
    *((key, lambda value: isinstance(value, str), "a text") for key in ("problem", "status")),
    *((key, _is_number, "a finite number, or null") for key in ("objective", "bound", "gap", "runtime")),
    ("checksum", lambda value: value is None or isinstance(value, str), "a text, or null"),
    *((key, lambda value: isinstance(value, str), "a text") for key in ("found_by", "bound_by", "date", "message")),
    ("versions", _is_texts, "an object of texts"),
]
