"""Formulations side by side: for each one that supports a problem, its size, its bound and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import Duration, checked
from dnnopt.base.console import table, words
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import format_gap, format_quantity, format_runtime
from dnnopt.base.tables import Heading, Tabular
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.formulated import default_solver
from dnnopt.methods.relaxing import relax_model
from dnnopt.methods.result import OPTIMAL_GAP, relative_gap
from dnnopt.methods.solving import Search
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.interface import Clock, Control, Limits, stop_on_interrupt
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.problem.words import objective_name

if TYPE_CHECKING:
    from rich.console import Console


@unchangeable
@dataclass(frozen=True)
class FormulationRow:
    """One formulation on one problem; objectives and bounds in SI units, times in seconds.

    Attributes
    ----------
    formulation, solver, status : str
    variables, rows, nonzeros : int
        Of a constraint model: variables, constraints of all kinds, and literals and coefficients in them.
    build_seconds : float
    relaxation : float, optional
        Optimum of the linear relaxation; of MILP formulations.
    relaxation_seconds : float, optional
    objective, bound, gap : float, optional
        At the end.
    first_plan_seconds : float, optional
        Until the solver had a plan; it starts without one.
    seconds : float
        Until proof, or the limit.
    """

    formulation: str
    solver: str
    status: str
    variables: int
    rows: int
    nonzeros: int
    build_seconds: float
    relaxation: float | None
    relaxation_seconds: float | None
    objective: float | None
    bound: float | None
    gap: float | None
    first_plan_seconds: float | None
    seconds: float


@unchangeable
@dataclass(frozen=True, repr=False)
class SideBySide(Tabular):
    """All formulations of a problem."""

    row_noun = "formulation"

    problem: Problem
    rows: tuple[FormulationRow, ...]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each formulation."""
        return [asdict(row) for row in self.rows]

    def page_rows(self) -> list[dict[str, Any]]:
        """Return what a page has room for."""
        kept = ("formulation", "solver", "variables", "rows", "relaxation", "objective", "gap", "seconds")
        return [{key: row[key] for key in kept} for row in self.to_rows()]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        name, unit = objective_name(self.problem)
        return {
            "build_seconds": Heading("build", "s"),
            "relaxation": Heading("LP bound", unit),
            "relaxation_seconds": Heading("LP time", "s"),
            "objective": Heading(name, unit),
            "bound": Heading("bound", unit),
            "gap": Heading("gap", "%"),
            "first_plan_seconds": Heading("first plan", "s"),
            "seconds": Heading("time", "s"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "format": "dnnopt-formulations",
            "version": 1,
            "problem": self.problem.name,
            "rows": self.to_rows(),
        }

    def report(self, console: Console) -> None:
        """Print it for a person."""
        name, unit = objective_name(self.problem)

        def shown(value: float | None) -> str:
            return "" if value is None else format_quantity(value, unit, 5)

        rows = [
            (
                f"{row.formulation} ({row.solver})",
                f"{row.variables:,}",
                f"{row.rows:,}",
                f"{row.nonzeros:,}",
                format_runtime(row.build_seconds),
                shown(row.relaxation),
                "" if row.first_plan_seconds is None else format_runtime(row.first_plan_seconds),
                shown(row.objective),
                f"gap {format_gap(row.gap)}" if row.status == "feasible" else row.status.replace("_", " "),
                format_runtime(row.seconds),
            )
            for row in self.rows
        ]
        heads = ("formulation", "variables", "rows", "nonzeros", "build", "LP bound", "first plan", name)
        columns = [(head, "right" if position else "left") for position, head in enumerate(heads)]
        columns += [("proof", "left"), ("time", "right")]
        expendable = ("nonzeros", "build", "first plan", "variables")
        console.print(table(f"{self.problem.title}: formulations", columns, rows, expendable))
        console.print(words("LP bound: the optimum without whole numbers, which no plan is better than."))


@checked
def compare_formulations(
    problem: AnyProblem,
    formulations: Sequence[str] = (),
    *,
    time_limit: Duration = 60.0,
    threads: int | None = None,
    seed: int = 0,
    watch: Callable[[FormulationRow], None] | None = None,
) -> SideBySide:
    """Build and solve a problem by several formulations (all that suit it, unless some are named), one by one.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
        Of its priorities, the first counts.
    formulations : sequence of str
    time_limit : float
        Seconds for each relaxation and for each search.
    threads, seed
        As for `solve`.
    watch : callable, optional
        Called with each row when it is done.

    Raises
    ------
    InputError, UnsupportedError
        If a formulation that was named does not exist or does not support the problem.
    """
    problem = as_problem(problem)
    compiled = compile_problem(problem).at_stage(0, {})
    named = [registry.formulation(name, compiled).name for name in formulations]
    limits = Limits(time_limit, OPTIMAL_GAP, threads, seed)
    control = Control()
    rows = []
    with stop_on_interrupt(control):
        for name in named or registry.suiting(compiled):
            formulation = registry.formulation(name, compiled)
            clock = Clock()
            model = formulation.build(compiled)
            variables, count, nonzeros = model.size()
            build_seconds = clock.elapsed()
            relaxed = relax_model(model, limits, control) if isinstance(model, LinearModel) else None
            solver = default_solver(formulation)
            again = compile_problem(problem)
            search = Search(problem, again, limits, control, formulation=name, baselines=False, confirm=False)
            result = search.run([0])
            first = next((event.time for event in result.trace if event.objective is not None), None)
            row = FormulationRow(
                formulation=name,
                solver=solver,
                status=result.status,
                variables=variables,
                rows=count,
                nonzeros=nonzeros,
                build_seconds=build_seconds,
                relaxation=None if relaxed is None else relaxed.value,
                relaxation_seconds=None if relaxed is None else relaxed.seconds,
                objective=result.objective,
                bound=result.bound,
                gap=relative_gap(result.objective, result.bound),
                first_plan_seconds=first,
                seconds=result.runtime,
            )
            rows.append(row)
            if watch is not None:
                watch(row)
            if control.stop.is_set():
                break
    return SideBySide(problem, tuple(rows))
