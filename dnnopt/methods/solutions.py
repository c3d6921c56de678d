"""Plans from values of a model's variables: from a table of names, a solution file, a Pyomo or a PuLP model.

The model is built anew from the problem, so that the values are read as the formulation reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.priorities import noted, of_priority
from dnnopt.compiled.scaling import SI
from dnnopt.compiled.scheduling import plan_of
from dnnopt.formulations import registry
from dnnopt.formulations.formulation import Formulation
from dnnopt.models.constraint import ConstraintModel, sums_below
from dnnopt.models.linear import LinearModel
from dnnopt.models.portable import CONSTANT, column_names, safe_names
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem

Model = LinearModel | ConstraintModel
# Solvers take a variable that is about this far from a whole number for one, and some files have six digits.
_WHOLE = 1e-3
# The header of an exported model, with its formulation; for a constraint model also the size of its numbers.
_FORMULATION = re.compile(r": ([a-z-]+(?:\+[a-z-]+)?)\. (?:Units|Whole numbers):")
_SUMS = re.compile(r"sums below 2\^(\d\d)\b")


@checked
def plan_from_values(values: Mapping[str, float], problem: Problem, formulation: str | None = None) -> Plan:
    """Return the plan that values of a formulation's variables describe.

    Parameters
    ----------
    values : mapping
        ``{"x(conv1,pi)": 1, ...}``: names as in exported files, or with the labels as they are. What is left out is 0;
        inputs and outputs may always be left out.
    problem : Problem
    formulation : str, optional
        By default the first one that has variables of these names.

    Raises
    ------
    InputError
        If a name is none of the formulation's, or a layer is not on just one device.
    """

    def differs(model: Model) -> str | None:
        known = {*safe_names(column_names(model)), *column_names(model)}
        return next((f"it has no variable {name!r}" for name in values if name not in known), None)

    build = _build(compile_problem(problem), formulation, "", differs)
    raw = column_names(build.model)
    return build.read([values.get(name, values.get(other, 0.0)) for name, other in zip(build.names, raw, strict=True)])


@checked
def plan_from_file(
    model_file: str | Path,
    path: str | Path,
    problem: Problem,
    formulation: str | None = None,
    *,
    allow_large: bool = False,
) -> Plan:
    """Return the plan in a solver's solution of an exported model of the problem.

    Parameters
    ----------
    model_file : path
        What the solver has solved.
    path : path
        Its solution file, of one of the kinds that `read_solution` knows.
    problem : Problem
    formulation : str, optional
        By default the one that the model file names, else the first one that has its columns.
    allow_large : bool
        Whether the length of the files is not limited.

    Raises
    ------
    InputError
        If a file cannot be read, the model is not one of this problem, or the solution is not one of the model.
    """
    from dnnopt.models.columns import read_columns
    from dnnopt.models.solution_files import read_solution

    columns, header = read_columns(model_file, allow_large=allow_large)
    compiled = compile_problem(problem)
    try:
        build = _build(compiled, formulation, header, lambda model: _missing(model, columns, exactly=True))
    except InputError as error:
        words = f"not a model of the problem {problem.title!r}: {error.problem}"
        raise InputError("", file=str(model_file), problem=words) from None
    values = read_solution(path, columns, allow_large=allow_large)
    try:
        return build.read([values.get(name, 0.0) for name in build.names])
    except InputError as error:
        raise error.within(file=str(path)) from None


@checked
def plan_from_pyomo(model: Any, problem: Problem, formulation: str | None = None) -> Plan:
    """Return the plan in a solved Pyomo model that `LinearModel.to_pyomo` has made.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        With whatever has been added to it.
    problem : Problem
    formulation : str, optional
        By default the one of the model that it was made from.

    Raises
    ------
    InputError
        If it is not a model of this problem, or has no solution.
    """
    from dnnopt.models.pyomo import variable_components

    if not callable(getattr(model, "component", None)):
        raise InputError("a Pyomo model", field="model", value=model)

    def differs(own: Model) -> str | None:
        for part in variable_components(own.variables):
            there = model.component(part.name)
            if there is None:
                return f"there is no {part.name}"
            missing = next((key for key in part.members if key not in there), None)
            if missing is not None:
                return f"{part.name} has no index {missing!r}"
        return None

    build = _build(compile_problem(problem), formulation, model.doc or "", differs)
    values = {
        column: model.component(part.name)[key].value
        for part in variable_components(build.model.variables)
        for key, column in part.members.items()
    }
    return build.read([values.get(column) for column in range(len(build.names))])


@checked
def plan_from_pulp(model: Any, problem: Problem, formulation: str | None = None) -> Plan:
    """Return the plan in a solved PuLP model that `LinearModel.to_pulp` has made.

    Parameters
    ----------
    model : pulp.LpProblem
        With whatever has been added to it.
    problem : Problem
    formulation : str, optional
        By default the one of the model that it was made from.

    Raises
    ------
    InputError
        If it is not a model of this problem, or has no solution.
    """
    if not callable(getattr(model, "variables", None)):
        raise InputError("a PuLP model", field="model", value=model)
    values = {variable.name: variable.varValue for variable in model.variables()}
    header = getattr(model, "header", "")
    build = _build(compile_problem(problem), formulation, header, lambda own: _missing(own, values, exactly=False))
    return build.read([values[name] for name in build.names])


def _missing(model: Model, columns: Collection[str], *, exactly: bool) -> str | None:
    """Return how the columns differ from the model's."""
    own = safe_names(column_names(model))
    given = set(columns)
    missing = next((name for name in own if name not in given), None)
    if missing is not None:
        return f"it lacks the column {missing!r}"
    further = given - set(own) - {CONSTANT}
    return f"it has a further column {min(further)!r}" if exactly and further else None


@dataclass(frozen=True)
class _Build:
    """A formulation's model of a problem, as it was exported."""

    compiled: CompiledProblem
    formulation: Formulation
    model: Model

    @property
    def names(self) -> list[str]:
        """The columns' names in files."""
        return safe_names(column_names(self.model))

    def read(self, given: Sequence[float | None]) -> Plan:
        """Return the plan of the values after a look at them: each layer on just one device, and what is whole whole.

        What is off by no more than solvers and their files are is rounded.
        """
        compiled, model = self.compiled, self.model
        values = np.array(given, dtype=float)  # None becomes nan
        x = values[model.placement]
        if np.isnan(x).all():
            raise InputError("", problem="the model has no solution: solve it first")
        left_out = (compiled.allowed.sum(axis=1) == 1) | (np.nan_to_num(x) == 0).all(axis=1)
        ends = np.flatnonzero(~compiled.is_layer & left_out)  # inputs and outputs are where they are, and as they are
        x[ends] = np.arange(x.shape[1]) == compiled.allowed[ends].argmax(axis=1)[:, None]
        values[model.placement[ends]] = x[ends]
        whole = (np.abs(x - np.round(x)) <= _WHOLE).all(axis=1) & (np.round(x).sum(axis=1) == 1)
        for node in np.flatnonzero(~whole).tolist():
            layer = compiled.node_names[node]
            found = dict(zip(compiled.executor_names, x[node].tolist(), strict=True))
            raise InputError("1 for one device and 0 for the others", field=f"x({layer},...)", value=found)
        values = np.nan_to_num(values)
        integer = model.arrays().integer != 0 if isinstance(model, LinearModel) else np.ones(len(values), dtype=bool)
        rounded = np.where(integer, np.round(values), values)
        for column in np.flatnonzero(np.abs(values - rounded) > _WHOLE)[:1].tolist():
            raise InputError("a whole number", field=column_names(model)[column], value=float(values[column]))
        placement = self.formulation.read(compiled, model, rounded)
        return plan_of(compiled, placement, self.formulation.times(compiled, model, rounded))


def _build(
    compiled: CompiledProblem, formulation: str | None, header: str, differs: Callable[[Model], str | None]
) -> _Build:
    """Return the formulation, and its model as the header describes it, that does not differ from what is given.

    Without a name, the one in the header is taken, else every one is tried; without a priority, the first one.
    """
    compiled = of_priority(compiled, noted(compiled, header))
    able = registry.supporting(compiled)
    stated = _FORMULATION.findall(header)
    if formulation is None and stated and stated[-1] in able:
        formulation = stated[-1]
    reasons = []
    for name in able if formulation is None else [formulation]:
        chosen = registry.formulation(name, compiled)
        model = _exported(chosen, compiled, header)
        reason = differs(model)
        if reason is None:
            return _Build(compiled, chosen, model)
        reasons.append(f"by the formulation {chosen.name}, {reason}")
    raise InputError("", problem=reasons[0] if reasons else "no formulation supports the problem")


def _exported(formulation: Formulation, compiled: CompiledProblem, header: str) -> Model:
    """Return the model in the units, or with the size of numbers, that the header states."""
    sums = _SUMS.search(header)
    with sums_below(2.0 ** int(sums[1])) if sums else nullcontext():
        model: Model = formulation.build(compiled)
    if isinstance(model, LinearModel) and SI.describe() in header:
        model = formulation.build(compiled, SI)
    return model
