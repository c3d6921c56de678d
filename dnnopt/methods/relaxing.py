"""The linear relaxation of a formulation alone: a bound, and how long it takes, without a search for plans."""

from __future__ import annotations

from dataclasses import dataclass

from dnnopt.base.arguments import Duration, checked
from dnnopt.base.errors import UnsupportedError
from dnnopt.base.versions import versions
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.formulated import separate_on_relaxations
from dnnopt.methods.numbers import is_reliable
from dnnopt.methods.result import Event, Result
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.interface import Clock, Control, Limits, stop_on_interrupt
from dnnopt.problem.problem import AnyProblem, as_problem

RELAXATION = "relaxation"  # the method of such results


@dataclass(frozen=True)
class RelaxedModel:
    """What came of a linear relaxation.

    Attributes
    ----------
    status : str
        ``optimal``, ``infeasible``, or why there is no value.
    value : float, optional
        In SI units.
    seconds : float
    """

    status: str
    value: float | None
    seconds: float


def relax_model(model: LinearModel, limits: Limits, control: Control) -> RelaxedModel:
    """Solve the linear relaxation of a model; lazy rows are added for a share of the time."""
    from dnnopt.models.solvers.highs import relaxation

    clock = Clock(limits.time_limit)
    if model.lazy is not None:
        separate_on_relaxations(model, model.lazy, limits, control, clock)
    outcome = relaxation(model, limits, control.stop)
    proved = outcome.objective is not None and outcome.status == "optimal"
    value = outcome.objective * model.objective_unit if proved and outcome.objective is not None else None
    return RelaxedModel(outcome.status, value, clock.elapsed())


@checked
def relax(
    problem: AnyProblem,
    formulation: str,
    *,
    time_limit: Duration | None = None,
    threads: int | None = None,
    seed: int = 0,
) -> Result:
    """Solve the linear relaxation of a formulation of a problem, of whose priorities the first counts.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    formulation : str
        A mixed-integer linear one.
    time_limit : float or str, optional
        Seconds.
    threads, seed
        As for `solve`.

    Returns
    -------
    Result
        Without a plan: its status is ``no_solution`` and its bound the value of the relaxation, or ``infeasible``.

    Raises
    ------
    InputError, UnsupportedError
        If the formulation does not exist, does not support the problem, or has no linear relaxation that bounds it.
    """
    problem = as_problem(problem)
    compiled = compile_problem(problem).at_stage(0, {})
    found = registry.formulation(formulation, compiled)
    limits = Limits(time_limit, threads=threads, seed=seed)
    if found.kind != "milp" or found.value == "plan":
        words = f"formulation {found.name!r} has no linear relaxation that bounds the problem"
        raise UnsupportedError("", field="formulation", problem=words)
    clock, control = Clock(limits.time_limit), Control()
    model = found.build(compiled)
    assert isinstance(model, LinearModel), "a mixed-integer linear formulation"
    with stop_on_interrupt(control):
        relaxed = relax_model(model, limits.within(clock.left()), control)
    seconds, reliable = clock.elapsed(), is_reliable(model)
    value = relaxed.value if reliable else None
    status, message = "no_solution", "the linear relaxation alone, without a search for plans"
    if not reliable:
        message = "the model's numbers are too far apart for its relaxation to be a bound"
    elif relaxed.status == "infeasible":
        status, message = "infeasible", "even the linear relaxation has no solution"
    elif value is None:
        status = "interrupted" if control.stop.is_set() else "no_solution"
        message = f"the linear relaxation was not solved: {relaxed.status.replace('_', ' ')}"
    source = f"{found.name} ({RELAXATION})"
    return Result(
        problem=problem,
        status=status,
        plan=None,
        evaluation=None,
        bounds=(value, *[None] * (len(compile_problem(problem).objective) - 1)),
        runtime=seconds,
        method=RELAXATION,
        formulation=found.name,
        solver="highs",
        bound_by="" if value is None else source,
        trace=() if value is None else (Event(seconds, None, value, source),),
        seed=seed,
        message=message,
        versions=versions(),
    )
