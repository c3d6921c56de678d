"""Result: what `solve` returns. Objectives, bounds and gaps in SI units; the objective is the referee's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import as_text, headed, table, words
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_data, take_header
from dnnopt.base.frozen import FrozenDict, unchangeable
from dnnopt.base.json_text import parse_json
from dnnopt.base.numbers import compared, format_gap, format_number, format_quantity, format_runtime
from dnnopt.base.tables import Described, Framed
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.problem.words import metric_line, objective_name, runs
from dnnopt.referee import Evaluation, Violation

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


OPTIMAL_GAP = 1e-6
# What confirms a proof by a method of this package, which rests on no solver's word.
OWN = "exact method"
STATUS = {
    "optimal": "proved optimal",
    "feasible": "a plan, not proved optimal",
    "infeasible": "infeasible: no plan satisfies every constraint",
    "unbounded": "unbounded",
    "no_solution": "no plan was found in the time given",
    "interrupted": "interrupted",
    "cut_off": "stopped: cannot be better",
    "error": "the solver failed",
}


@unchangeable
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


@unchangeable
@dataclass(frozen=True, repr=False)
class Result(Framed, Described):
    """The outcome of a run.

    Attributes
    ----------
    problem : Problem
    status : str
        ``optimal`` (gap at most 1e-6), ``feasible``, ``infeasible``, ``unbounded``, ``no_solution``, ``interrupted``,
        ``cut_off`` (of several problems: no plan is better than one of another problem) or ``error``.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "versions", FrozenDict(self.versions))

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

    @property
    def is_optimal(self) -> bool:
        """Whether the plan is proved optimal."""
        return self.status == "optimal"

    @property
    def placement(self) -> dict[str, dict[str, str]] | None:
        """The plan's: network -> layer -> device; None without a plan."""
        return None if self.plan is None else self.plan.placement

    @property
    def metrics(self) -> dict[str, float]:
        """The plan's metrics (SI); none without a plan."""
        return {} if self.evaluation is None else self.evaluation.metrics

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each layer, in topological order: network, layer, device and, where it is known, start."""
        if self.plan is None:
            return []
        starts = {} if self.plan.schedule is None else self.plan.schedule.layers
        rows = []
        for network in self.problem.networks:
            for name in (network.layers[index].name for index in network.order):
                row = {"network": network.name, "layer": name, "device": self.plan.placement[network.name][name]}
                rows.append(row | ({"start": starts[network.name][name]} if starts else {}))
        return rows

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

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        name, unit = objective_name(self.problem)
        value = self.objective
        return {
            "result": self.problem.title,
            "status": STATUS[self.status],
            "objective": "" if value is None else f"{name} {format_quantity(value, unit, 6)}",
            "gap": "" if value is None else f"gap {format_gap(self.gap)}",
            "runtime": f"in {format_runtime(self.runtime)}",
        }

    def __str__(self) -> str:
        return as_text(self.report)

    def report(self, console: Console, *, verbose: bool = False) -> None:
        """Print it for a person."""
        name, unit = objective_name(self.problem)
        console.print(headed(self.problem.title, f": {STATUS[self.status]}"))
        if self.message:
            console.print(words(f"  {self.message}"))
        for contradiction in self.contradictions:
            console.print(words("  ") + headed("contradiction", f": {contradiction}"))
        if self.status == "infeasible":
            console.print(words(f"  {self._confirmation()}"))
        if self.bound is not None and self.evaluation is None:
            console.print(words(f"  no plan is better than {name} {format_quantity(self.bound, unit)}"))
        if self.plan is None or self.evaluation is None:
            return
        evaluation = self.evaluation
        bound = "unknown" if self.bound is None else format_quantity(self.bound, unit, 6)
        value = format_quantity(evaluation.objective, unit, 6)
        console.print(words(f"  {name} {value}, bound {bound}, gap {format_gap(self.gap)}"))
        how = f"found by {self.found_by}" + (f", bound by {self.bound_by}" if self.bound_by else "")
        console.print(words(f"  {how}, in {format_runtime(self.runtime)}"))
        if self.status == "optimal":
            console.print(words(f"  {self._confirmation()}"))
        console.print()
        console.print(placement_table(self.problem, self.plan, evaluation))
        if self.plan.blocks:
            console.print()
            console.print(block_table(self.problem, self.plan))
        console.print()
        if self.problem.all_shared_weights():
            console.print(_shared_weights_table(self.problem, self.plan, 1000 if verbose else 12))
            console.print()
        if evaluation.transmissions:
            console.print(_transmission_table(self.problem, evaluation, 1000 if verbose else 12))
        else:
            console.print("Nothing is sent.")
        console.print()
        console.print(headed("Metrics", f"  {metric_line(self.problem, evaluation.metrics)}"))
        if verbose:
            rows = [(key, format_number(value, 9)) for key, value in evaluation.metrics.items()]
            console.print(table("All metrics (SI units)", [("metric", "left"), ("value", "right")], rows))
        if self.baselines:
            by_hand = [
                (label, *against(baseline.objective, unit, evaluation.objective, baseline.violations))
                for label, baseline in self.baselines
            ]
            console.print()
            console.print(table("By hand", [("plan", "left"), (name, "right"), ("against this plan", "left")], by_hand))

    def _confirmation(self) -> str:
        """Return what stands behind a proof, in words."""
        if self.confirmed_by == OWN:
            return "proved by an exact method"
        took = f"in {format_runtime(self.confirming)}"
        if not self.confirmed_by:
            return f"not confirmed by a second engine {took}" if self.confirming else "not confirmed by a second engine"
        return f"confirmed by a second engine, {self.confirmed_by}, {took}"


def read_result(path: str | Path, *, allow_large: bool = False) -> dict[str, Any]:
    """Return the data of a result file; what a run that ended in an error lacks is None or empty.

    Raises
    ------
    InputError
        For what `read_data` refuses, and for values of another kind. The plan is left to `read_plan`.
    """
    return _checked(read_data(path, "result", allow_large=allow_large), str(path))


def result_from_text(text: str, *, file: str = "") -> dict[str, Any]:
    """Return the data in the text of a result file, as `read_result` does; `file` is named in messages."""
    data = parse_json(text, file=file)
    if not isinstance(data, dict):
        raise InputError("an object (names to values)", file=file, value=data)
    take_header(data, "result", file)
    return _checked(data, file)


def _checked(data: dict[str, Any], file: str) -> dict[str, Any]:
    result = {**_MISSING, **data}
    for key, fits, expected in _RESULT:
        if not fits(result.get(key)):
            raise InputError(expected, file=file, field=key, value=result.get(key))
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


def print_check(console: Console, problem: Problem, evaluation: Evaluation) -> None:
    """Print what the referee says of a plan."""
    name, unit = objective_name(problem)
    console.print(headed(problem.title, f": {name} {format_quantity(evaluation.objective, unit, 6)}"))
    console.print(words(metric_line(problem, evaluation.metrics)))
    if evaluation.feasible:
        console.print("feasible: every constraint holds")
        return
    rows = [(violation.constraint, violation.message) for violation in evaluation.violations]
    console.print(table(f"infeasible: {len(rows)} broken", [("constraint", "left"), ("what", "left")], rows))


def placement_table(problem: Problem, plan: Plan, evaluation: Evaluation) -> RenderableType:
    """Return a table of what each device runs."""
    rows, of = [], problem.platform.device_of()
    for device, texts in runs(problem, plan).items():
        count = sum(of[placed] == device for layers in plan.placement.values() for placed in layers.values())
        busy = evaluation.metrics.get(f"busy({device})", 0.0)
        if device in evaluation.memory:
            memory = " of ".join(format_quantity(amount, "bytes") for amount in evaluation.memory[device])
        else:
            used = evaluation.metrics.get(f"memory({device})")
            memory = "" if used is None else format_quantity(used, "bytes")
        rows.append(
            (
                device,
                f"{count:,}",
                format_quantity(busy, "s") if count else "",
                memory if count else "",
                _shorten(texts),
            )
        )
    columns = [("device", "left"), ("layers", "right"), ("busy", "right"), ("memory", "right"), ("which", "left")]
    return table("What runs where", columns, rows)


def block_table(problem: Problem, plan: Plan) -> RenderableType:
    """Return a table of the blocks that run."""
    executors = {executor.name: executor for executor in problem.platform.executors()}
    rows = []
    for block in problem.blocks:
        if block.name in plan.blocks.get(block.network, ()):
            place = plan.placement[block.network][block.layers[0].name]
            seconds = block.seconds(executors[place])
            time = "-" if seconds is None else format_quantity(seconds, "s")
            name = block.name if len(problem.networks) == 1 else f"{block.network}: {block.name}"
            rows.append((name, f"{len(block.layers):,}", place, time))
    columns = [("block", "left"), ("layers", "right"), ("on", "left"), ("time", "right")]
    return table("What runs as one", columns, rows)


def _shared_weights_table(problem: Problem, plan: Plan, most: int) -> RenderableType:
    places, shared = problem.platform.device_of(), problem.all_shared_weights()
    rows = []
    for one in shared[:most]:
        holding = {plan.placement[network][layer] for network, layer in one.layers}
        held_by = ", ".join(place for place in places if place in holding)
        rows.append((one.name, format_quantity(one.bytes, "bytes"), str(len(one.layers)), held_by))
    if len(shared) > most:
        rows.append((f"and {len(shared) - most} more", "", "", ""))
    columns = [("weights", "left"), ("size", "right"), ("layers", "right"), ("held by", "left")]
    return table("What layers share", columns, rows)


def _shorten(texts: Sequence[str], most: int = 4) -> str:
    shown = list(texts[:most])
    if len(texts) > most:
        shown.append(f"and {len(texts) - most} more runs")
    return ", ".join(shown)


def _transmission_table(problem: Problem, evaluation: Evaluation, most: int) -> RenderableType:
    several = len(problem.networks) > 1
    rows = [
        (
            (f"{t.network}: " if several else "") + t.tensor + (f" as {t.form}" if t.form else ""),
            format_quantity(t.bytes, "bytes"),
            f"{t.origin} -> {t.destination}",
            ", ".join(t.links),
            format_quantity(t.seconds, "s"),
        )
        for t in evaluation.transmissions[:most]
    ]
    hidden = len(evaluation.transmissions) - most
    if hidden > 0:
        rows.append((f"and {hidden} more", "", "", "", ""))
    columns = [("tensor", "left"), ("size", "right"), ("from -> to", "left"), ("links", "left"), ("time", "right")]
    notes = ["where an input gets there"] if any(network.has_exits for network in problem.networks) else []
    notes += ["times without scenarios"] if problem.scenarios else []
    return table("What is sent" + (f" ({', '.join(notes)})" if notes else ""), columns, rows)


def against(value: float, unit: str, best: float | None, violations: Sequence[Violation]) -> tuple[str, str]:
    """Return a plan's value, and how it compares with the best, or what it breaks."""
    shown = format_quantity(value, unit) if math.isfinite(value) else "-"
    if violations:
        more = f" and {len(violations) - 1} more" if len(violations) > 1 else ""
        return shown, f"breaks {violations[0].constraint}{more}"
    if best is None or not math.isfinite(value):
        return shown, ""
    return shown, compared(value, best)
