"""The best plan over variants of a problem, which variant it is of, and one bound for all of them.

    min over variants a of z_a,  with the bound  min over a of b_a,  where b_a bounds the optimum z_a of variant a

A plan of one variant is a cutoff for all others: presolve and searches leave out what is above it, and a variant whose
bound reaches it is stopped, as it cannot be better. So that the order matters little, each variant is looked at for a
moment first. Then they are solved in the order of their bounds: the least one is the bound of all, and the most that
any variant promises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from dnnopt.base.arguments import checked
from dnnopt.base.console import headed, table, words
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import compared, format_gap, format_quantity, format_runtime
from dnnopt.base.tables import Heading, Tabular
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.confirmation import confirm as confirm_proof
from dnnopt.methods.exact.all_lines import best_line
from dnnopt.methods.pool import Pool
from dnnopt.methods.result import OPTIMAL_GAP, STATUS, Event, Result, relative_gap
from dnnopt.methods.solving import Search, check_choice, conclude, is_search
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome, stop_on_interrupt
from dnnopt.problem.problem import Problem
from dnnopt.problem.variants import Variants, read_variants
from dnnopt.problem.words import objective_name

if TYPE_CHECKING:
    from rich.console import Console

# For the first look at all variants: a share of the time, and at most so many seconds each.
_LOOKS, _LOOK = 0.25, 2.0
_REFUSED = "refused"
_ALL = "ideals of all variants"

AnyVariants = Annotated[
    Variants | Mapping[str, Any] | str | Path, "Variants, a mapping of names to problems, or a file"
]


@unchangeable
@dataclass(frozen=True)
class VariantRow:
    """What became of one variant.

    Attributes
    ----------
    name : str
    status : str
        As of a `Result`, such as ``optimal`` or ``cut_off`` (it cannot be better), or ``refused``.
    objective, bound : float, optional
        SI. Without a plan, or without a bound, None.
    seconds : float
    result : Result, optional
        None: it was refused.
    message : str
        Why it was refused, or what the search said.
    """

    name: str
    status: str
    objective: float | None
    bound: float | None
    seconds: float
    result: Result | None
    message: str = ""

    @property
    def gap(self) -> float | None:
        """`(objective - bound) / |objective|`."""
        return relative_gap(self.objective, self.bound)


@unchangeable
@dataclass(frozen=True, repr=False)
class BestVariant(Tabular):
    """What `best_of` returns.

    Attributes
    ----------
    variants : Variants
    status : str
        ``optimal`` (over all variants, gap at most 1e-6), ``feasible``, ``infeasible`` (all of them), ``no_solution``
        or ``interrupted``.
    variant : str, optional
        Which one the best plan is of; None: there is no plan.
    bound : float, optional
        SI: no plan of any variant is better. None: not known of one that may have plans.
    rows : tuple of VariantRow
        In the order of the variants.
    runtime : float
        Seconds.
    """

    variants: Variants
    status: str
    variant: str | None
    bound: float | None
    rows: tuple[VariantRow, ...]
    runtime: float

    @property
    def results(self) -> dict[str, Result]:
        """The result of each variant that was not refused, by its name."""
        return {row.name: row.result for row in self.rows if row.result is not None}

    @property
    def result(self) -> Result | None:
        """The result of the variant with the best plan."""
        return None if self.variant is None else self.results[self.variant]

    @property
    def objective(self) -> float | None:
        """The best plan's objective (SI)."""
        return None if self.result is None else self.result.objective

    @property
    def gap(self) -> float | None:
        """`(objective - bound) / |objective|`."""
        return relative_gap(self.objective, self.bound)

    @property
    def is_optimal(self) -> bool:
        """Whether it is proved that no variant has a better plan."""
        return self.status == "optimal"

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """The variants whose proof rests on the word of one solver alone, where all is proved."""
        unsure = (name for name, result in self.results.items() if not result.confirmed_by)
        return tuple(unsure) if self.is_optimal else ()

    @property
    def _objective_name(self) -> tuple[str, str]:
        """What is minimised, and its unit; the names may differ among variants, the unit does not."""
        named = [objective_name(problem) for problem in self.variants.problems.values()]
        names = dict.fromkeys(name for name, _ in named)
        return (next(iter(names)) if len(names) == 1 else "objective"), named[0][1]

    def headline(self) -> str:
        """Return which variant is the best, in some words."""
        name, unit = self._objective_name
        best = (
            ""
            if self.objective is None
            else f", {name} {format_quantity(self.objective, unit, 6)} with {self.variant!r}"
        )
        return f"{self.variants.title}: {STATUS[self.status]}{best}"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each variant."""
        return [
            {
                "variant": row.name,
                "status": row.status,
                "objective": row.objective,
                "bound": row.bound,
                "gap": row.gap,
                "seconds": row.seconds,
                "best": row.name == self.variant,
            }
            for row in self.rows
        ]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        name, unit = self._objective_name
        return {
            "objective": Heading(name, unit),
            "bound": Heading("bound", unit),
            "gap": Heading("gap", "%"),
            "seconds": Heading("time", "s"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data; ``result`` is the data of a result file."""
        return {
            "format": "dnnopt-best-variant",
            "version": 1,
            "variants": self.variants.title,
            "status": self.status,
            "variant": self.variant,
            "objective": self.objective,
            "bound": self.bound,
            "gap": self.gap,
            "runtime": self.runtime,
            "rows": [row | {"message": found.message} for row, found in zip(self.to_rows(), self.rows, strict=True)],
            "result": None if self.result is None else self.result.to_data(),
        }

    def report(self, console: Console, *, verbose: bool = False) -> None:
        """Print it for a person: the variants, then the best one's result."""
        name, unit = self._objective_name

        def shown(value: float | None) -> str:
            return "-" if value is None else format_quantity(value, unit, 6)

        best = self.objective
        console.print(headed(self.variants.title, f": {STATUS[self.status]}"))
        if best is not None:
            bound = "unknown" if self.bound is None else shown(self.bound)
            said = f"  {name} {shown(best)} with {self.variant!r}, bound {bound}, gap {format_gap(self.gap)}"
            console.print(words(f"{said}, in {format_runtime(self.runtime)}"))
            if self.unconfirmed:
                console.print(words(f"  not confirmed by a second engine: {', '.join(self.unconfirmed)}"))
        elif self.bound is not None:
            console.print(words(f"  no plan is better than {name} {shown(self.bound)}"))
        console.print()
        rows = [
            (
                row.name,
                _said(row),
                shown(row.objective),
                "" if row.objective is None or best is None else compared(row.objective, best),
                shown(row.bound),
                "-" if row.objective is None else format_gap(row.gap),
                format_runtime(row.seconds),
            )
            for row in self.rows
        ]
        columns = [("variant", "left"), ("status", "left"), (name, "right"), ("to the best", "left")]
        columns += [("bound", "right"), ("gap", "right"), ("time", "right")]
        console.print(table("", columns, rows, ("gap", "time", "to the best")))
        if self.result is not None:
            console.print()
            self.result.report(console, verbose=verbose)


def _said(row: VariantRow) -> str:
    """Return what became of a variant, in words."""
    words = _REFUSED if row.status == _REFUSED else STATUS[row.status]
    return f"{words}: {row.message}" if row.message else words


@checked
def best_of(
    problems: AnyVariants,
    *,
    method: str = "auto",
    formulation: str | None = None,
    solver: str | None = None,
    time_limit: float | None = None,
    gap: float = OPTIMAL_GAP,
    threads: int | None = None,
    seed: int = 0,
    confirm: bool = True,
    watch: Callable[[Event], None] | None = None,
) -> BestVariant:
    """Return the best plan over variants of a problem, and what no plan of any of them is better than.

    Parameters
    ----------
    problems : Variants, mapping of str to Problem, str or Path
        A text or a path is a file of variants; within a mapping, it is a problem's name in the library, or its file.
    method, formulation, solver, threads, seed, confirm
        As for `solve`, for each variant.
    time_limit : float, optional
        Seconds for all of them together.
    gap : float
        Relative gap, over all variants, at which the search may stop.
    watch : callable, optional
        Called with an Event, of the best plan and the bound over all variants, while the search runs.

    Returns
    -------
    BestVariant
        Ctrl-C ends it early, with what has been found of each variant.

    Raises
    ------
    InputError
        As `Variants` and `solve` do.
    UnsupportedError
        For a variant with several priorities. One that no method supports is a row of the result.
    """
    if not isinstance(problems, Variants):
        problems = read_variants(problems) if isinstance(problems, str | Path) else Variants(problems)
    limits = Limits(time_limit, gap, threads, seed)
    check_choice(method, formulation, solver)
    if is_search(method) and time_limit is None:
        raise InputError("seconds > 0", field="time_limit", value=time_limit)
    for name, problem in problems.problems.items():
        if len({term.priority for term in problem.minimize}) > 1:
            words = "variants are compared by one objective, not by several priorities"
            raise UnsupportedError("", field=f"problems.{name}.minimize", problem=words)
    study = _Study(problems, limits, watch, method=method, formulation=formulation, solver=solver, confirm=confirm)
    with stop_on_interrupt(study.control):
        return study.run(look=method == "auto", at_once=formulation is None and solver is None)


class _Study:
    """A run over all variants."""

    def __init__(
        self, variants: Variants, limits: Limits, watch: Callable[[Event], None] | None, **options: Any
    ) -> None:
        self.variants, self.limits, self.control = variants, limits, Control()
        self.clock = Clock(limits.time_limit)
        self._watch = watch
        self.parts = [
            _Part(name, problem, limits, self.control, partial(self._tell, name), options)
            for name, problem in variants.problems.items()
        ]

    def run(self, *, look: bool, at_once: bool) -> BestVariant:
        if look and at_once:
            self._look_at_all()
        if look:
            for part in self.parts:
                self._improve(part, self._seconds_of_a_look())
        waiting = self._open()
        while waiting and not self._is_over():
            part = min(waiting, key=_Part.promise)
            left = self.clock.left()
            self._improve(part, None if left is None else left / len(waiting))
            waiting = [one for one in self._open() if one in waiting and one is not part]
        self._open()  # all know the best plan
        for part in self.parts:
            part.confirm(self.clock.left())
        return self._result()

    def _look_at_all(self) -> None:
        """Solve all at once, if they are pipelines that differ in the devices of a line alone."""
        clock = Clock(None if self.limits.time_limit is None else _LOOKS * self.limits.time_limit)
        found = best_line([part.pool.compiled for part in self.parts], clock, self.control)
        if found is not None:
            self.parts[found.number].pool.offer_placement(found.placement, _ALL)
            for part in self.parts:
                part.pool.add_bound(found.bound, _ALL)

    def _seconds_of_a_look(self) -> float:
        limit = self.limits.time_limit
        return _LOOK if limit is None else min(_LOOK, _LOOKS * limit / len(self.parts))

    def _is_over(self) -> bool:
        return self.clock.expired() or self.control.stop.is_set()

    def _open(self) -> list[_Part]:
        """Return the variants that may still have a better plan."""
        best = self._best()
        for part in self.parts:
            part.pool.cutoff = math.inf if part.infeasible else best
        return [part for part in self.parts if part.is_open]

    def _improve(self, part: _Part, seconds: float | None) -> None:
        if part in self._open() and not self._is_over():
            part.improve(seconds, self.clock.left())

    def _best(self) -> float:
        """Return the objective of the best plan; infinite: there is none."""
        return min(math.inf if part.pool.objective is None else part.pool.objective for part in self.parts)

    def _bound(self) -> float | None:
        """Return what no plan of any variant is better than; infinite: there is none."""
        bounds = [part.bound for part in self.parts]
        known = [bound for bound in bounds if bound is not None]
        return min(known) if len(known) == len(bounds) else None

    def _tell(self, name: str, event: Event) -> None:
        if self._watch is not None:
            best, bound = min(self._best(), event.objective or math.inf), self._bound()
            self._watch(Event(self.clock.elapsed(), _finite(best), _finite(bound), f"{name}: {event.source}"))

    def _result(self) -> BestVariant:
        self._open()
        rows, stopped = tuple(part.row() for part in self.parts), self.control.stop.is_set()
        best = min((row for row in rows if row.objective is not None), key=_objective, default=None)
        bound, status = self._bound(), "interrupted" if stopped else "no_solution"
        if best is not None:
            bound = None if bound is None else min(bound, _objective(best))
            gap = relative_gap(best.objective, bound)
            proved = gap is not None and gap <= OPTIMAL_GAP
            status = "optimal" if proved else "interrupted" if stopped else "feasible"
        elif all(row.status == "infeasible" for row in rows):
            status = "infeasible"
        name = None if best is None else best.name
        return BestVariant(self.variants, status, name, _finite(bound), rows, self.clock.elapsed())


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _objective(row: VariantRow) -> float:
    return math.inf if row.objective is None else row.objective


class _Part:
    """A variant, and what is known of it; it may be searched again and again."""

    def __init__(
        self,
        name: str,
        problem: Problem,
        limits: Limits,
        control: Control,
        watch: Callable[[Event], None],
        options: Mapping[str, Any],
    ) -> None:
        self.name = name
        compiled = compile_problem(problem)
        self.search = Search(problem, compiled, limits, control, **options)
        self.pool = Pool(problem, compiled.at_stage(0, {}), watch=watch)
        self.outcome = Outcome("no_solution")
        self.seconds = 0.0
        self.refused = ""  # why it cannot be searched (any more)
        self.infeasible = False  # whatever the cutoff

    def _concluded(self) -> tuple[str, float | None, str]:
        """Return its status, bound and message."""
        if self.refused and self.pool.plan is None and self.pool.bound is None:
            return _REFUSED, None, self.refused
        stopped, gap = self.search.control.stop.is_set(), self.search.limits.gap
        status, bound, message = conclude(self.pool, self.outcome, stopped, gap)
        return status, bound, message or self.refused

    @property
    def bound(self) -> float | None:
        """What no plan is better than; infinite: there is none."""
        status, bound, _ = self._concluded()
        return math.inf if status == "infeasible" else None if status == "error" else bound

    def promise(self) -> float:
        """Return what a plan might reach; negative infinity: that is not known."""
        return -math.inf if self.pool.bound is None else self.pool.bound

    @property
    def is_open(self) -> bool:
        """Whether a better plan than the best one of all variants may be found."""
        closed = bool(self.refused) or self.pool.is_closed(self.search.limits.gap)
        return not closed and self._concluded()[0] in ("feasible", "no_solution")

    def improve(self, seconds: float | None, with_confirmation: float | None) -> None:
        clock = Clock()
        try:
            self.outcome = self.search.improve(self.pool, seconds, with_confirmation)
        except UnsupportedError as error:
            self.refused = str(error)
        self.infeasible = self._concluded()[0] == "infeasible"
        self.seconds += clock.elapsed()

    def confirm(self, seconds: float | None) -> None:
        """Ask a second engine where a plan that was found later has cut the variant off."""
        if self.search.confirm and self.pool.is_cut_off(0.0) and not self.pool.confirmed_by:
            clock = Clock()
            limits = self.search.limits.within(seconds)
            self.outcome = confirm_proof(self.pool, self.outcome, limits, self.search.control)
            self.seconds += clock.elapsed()

    def row(self) -> VariantRow:
        status, bound, message = self._concluded()
        found = None if status == _REFUSED else self.search.result([(self.pool, self.outcome)], self.seconds)
        return VariantRow(self.name, status, self.pool.objective, bound, self.seconds, found, message)
