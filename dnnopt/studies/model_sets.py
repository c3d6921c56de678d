"""Model files of whole sets, as benchmark libraries have them: models, best known solutions, values, names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.files import write_text
from dnnopt.base.numbers import counted
from dnnopt.base.outputs import make_folder
from dnnopt.base.tables import as_csv
from dnnopt.base.text import visible
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import TOLERANCE
from dnnopt.compiled.priorities import of_priority
from dnnopt.compiled.scaling import SI
from dnnopt.compiled.scheduling import times_of
from dnnopt.formulations import registry
from dnnopt.methods.solving import formulate
from dnnopt.models.linear import LinearModel
from dnnopt.models.lp import number
from dnnopt.models.mps import mps_text
from dnnopt.models.portable import portable
from dnnopt.problem import library
from dnnopt.problem.plan import read_plan
from dnnopt.problem.problem import Problem, load
from dnnopt.studies.best_known import BestKnown, best_known, table_path

VALUES, NAMES, READ_ME = "values.solu", "names.csv", "README.md"
_PROVED, _OPEN, _INFEASIBLE, _UNKNOWN = "optimal", "open", "infeasible", "unknown"


@dataclass(frozen=True)
class ExportedModel:
    """A model of a set, as a row of ``names.csv`` says it.

    Attributes
    ----------
    name : str
        Of its files.
    problem : str
        Name in the library.
    formulation : str
        Empty where it is left out.
    status : str
        What is known: ``optimal`` (proved), ``open``, ``infeasible`` or ``unknown``; ``left out``: no formulation.
    objective, bound : float, optional
        In the model's unit.
    unit : float, optional
        SI value of that unit.
    priorities : int
        The model is of the first of so many.
    columns, integers, rows, nonzeros : int, optional
    why : str
        Why it is left out, or empty.
    """

    name: str
    problem: str
    formulation: str
    status: str
    objective: float | None = None
    bound: float | None = None
    unit: float | None = None
    priorities: int = 1
    columns: int | None = None
    integers: int | None = None
    rows: int | None = None
    nonzeros: int | None = None
    why: str = ""


@checked
def export_set(
    problems: str | Iterable[str],
    folder: str | Path,
    formulation: str | None = None,
    *,
    si: bool = False,
    watch: Callable[[ExportedModel], None] | None = None,
) -> list[ExportedModel]:
    """Write a folder of models as MIPLIB has it.

    For each problem there are ``NAME.mps.gz`` and, where a plan is known, ``NAME.sol`` with its value of each column
    that is not 0. ``values.solu`` has what is known of the optima, ``names.csv`` what each model is, and ``README.md``
    says so. Problems that the formulation does not support are left out, which the table says.

    Parameters
    ----------
    problems : str or iterable of str
        Sets (``small``, ``core``, ``hard``) or names of problems.
    folder : path
    formulation : str, optional
        By default the one that suits each problem.
    si : bool
        Whether the models are in plain SI units, which solvers like less.
    watch : callable, optional
        Called with each row as it is written.

    Raises
    ------
    InputError
        For names that there are not, a formulation that has no linear model, or a file that cannot be written.
    """
    given = [problems] if isinstance(problems, str) else list(problems)
    members, folder = library.members(given), Path(folder)
    if formulation is not None and registry.formulation_kind(formulation) != "milp":
        raise InputError("a MILP formulation for .mps files", field="formulation", value=formulation)
    make_folder(folder)
    rows: list[ExportedModel] = []
    for member in members:
        rows.append(_export(load(member), member, formulation, si, folder))
        # After each, so that where it is ended early the folder says what there is.
        write_text(folder / VALUES, "".join(map(_value_lines, rows)))
        write_text(folder / NAMES, as_csv([vars(row) for row in rows]))
        write_text(folder / READ_ME, _read_me(given, formulation, rows))
        if watch is not None:
            watch(rows[-1])
    return rows


def _export(problem: Problem, member: str, formulation: str | None, si: bool, folder: Path) -> ExportedModel:
    """Write the files of one problem."""
    name, priorities = member.replace("/", "-"), len({term.priority for term in problem.minimize})
    first: list[float] | None = [] if priorities > 1 else None
    try:
        model = formulate(problem, formulation, reached=first, kind="milp", units=SI if si else None)
    except UnsupportedError as error:
        return ExportedModel(name, member, "", "left out", priorities=priorities, why=str(error))
    assert isinstance(model, LinearModel)
    write_text(folder / f"{name}.mps.gz", mps_text(model, name=name))
    known = best_known(problem)
    status, bound, unit = _status(known), None if known is None else known.bound, model.objective_unit
    objective = None
    if known is not None and known.plan:
        objective, text = _solution(problem, model, known)
        write_text(folder / f"{name}.sol", text)
    columns, rows, nonzeros = model.size()
    return ExportedModel(
        name=name,
        problem=member,
        formulation=_formulation(model),
        status=status,
        objective=objective,
        bound=objective if status == _PROVED else None if bound is None else bound / unit,
        unit=unit,
        priorities=priorities,
        columns=columns,
        integers=int(model.arrays().integer.sum()),
        rows=rows,
        nonzeros=nonzeros,
    )


def _status(known: BestKnown | None) -> str:
    if known is None:
        return _UNKNOWN
    return {"proved": _PROVED, "open": _OPEN, "infeasible": _INFEASIBLE}[known.status]


def _formulation(model: LinearModel) -> str:
    return model.name.rpartition(": ")[2]


def _solution(problem: Problem, model: LinearModel, known: BestKnown) -> tuple[float, str]:
    """Return the best known plan's objective in the model's unit, and its solution file.

    Raises
    ------
    RuntimeError
        If the plan breaks a row of the model, or its objective is not the table's.
    """
    whole = compile_problem(problem)
    compiled = of_priority(whole, [] if len(whole.objective) > 1 else None)
    plan = read_plan(table_path().parent / known.plan, problem)
    times = times_of(compiled, plan) if compiled.execution == "scheduled" else None
    built = registry.formulation(_formulation(model), compiled)
    values = built.encode(compiled, model, compiled.placement(plan), times)
    broken = model.broken_by(values)
    written = portable(model, one_sided=False, constant=True)
    values = np.append(values, np.ones(len(written.columns) - len(values)))  # the constant's column
    objective = float(written.arrays.cost @ values)
    assert known.objective is not None
    if broken or abs(objective * model.objective_unit - known.objective) > TOLERANCE * max(
        abs(known.objective), 1e-300
    ):
        why = broken or f"it is {objective * model.objective_unit!r} there and {known.objective!r} in the table"
        raise RuntimeError(f"the best known plan of {problem.name} is none of {model.name}: {why}")
    lines = [f"{name} {number(value)}" for name, value in zip(written.columns, values.tolist(), strict=True) if value]
    return objective, "\n".join([f"=obj= {number(objective)}", *lines, ""])


def _value_lines(row: ExportedModel) -> str:
    """Return the lines of a .solu file: ``=opt=``, ``=best=`` (and ``=bestdual=``), ``=inf=`` or ``=unkn=``."""
    if row.unit is None:
        return ""
    if row.status == _INFEASIBLE:
        return f"=inf= {row.name}\n"
    if row.objective is None and row.bound is None:
        return f"=unkn= {row.name}\n"
    best = "" if row.objective is None else f"={'opt' if row.status == _PROVED else 'best'}= {row.name} "
    best += "" if row.objective is None else f"{number(row.objective)}\n"
    dual = "" if row.bound is None or row.status == _PROVED else f"=bestdual= {row.name} {number(row.bound)}\n"
    return best + dual


def _read_me(given: list[str], formulation: str | None, rows: list[ExportedModel]) -> str:
    """Return what the folder says of itself."""
    written = [row for row in rows if row.unit is not None]
    counts = [sum(row.status == status for row in written) for status in (_PROVED, _OPEN, _INFEASIBLE, _UNKNOWN)]
    words = ", ".join(
        f"{count:,} {word}"
        for count, word in zip(counts, ("solved to optimality", "open", "infeasible", "not known"), strict=True)
        if count
    )
    how = f"the formulation `{formulation}`" if formulation else "the formulation that suits each problem"
    text = f"""# Placement of neural networks: {", ".join(given)}

{counted(len(written), "mixed-integer linear model")} of {how}: {words or "none"}. Each decides which device runs which
layer of a deep neural network; every `x(LAYER,DEVICE)` is 1 where that device runs that layer.

| file | what |
|---|---|
| `NAME.mps.gz` | The model, in the free MPS format; minimise. Its first line says the units. |
| `NAME.sol` | The best known plan: `=obj=` and its objective, then each column that is not 0. |
| `{VALUES}` | `=opt=` proved optima; `=best=` and `=bestdual=` value and bound of what is open; `=inf=`, `=unkn=`. |
| `{NAMES}` | For each model the problem, formulation, sizes, the SI value of one unit of its objective. |

A model holds the first of the problem's priorities alone (`priorities` in `{NAMES}` says of how many). Objectives and
bounds are in the model's unit: times `unit`, they are in SI units. Every plan satisfies all rows of its model, and was
judged by an independent evaluation of the problem itself. HiGHS, as pip installs it, reads unpacked files alone.

Made by `dnnopt export {" ".join(given)}{f" --formulation {formulation}" if formulation else ""} -o FOLDER`. A solution
comes back as a plan by `dnnopt import-solution NAME.mps.gz SOLUTION --problem PROBLEM`.
"""
    left = [f"- {row.problem}: {visible(row.why)}" for row in rows if row.unit is None]
    return "\n".join([text, "Left out:", "", *left, ""]) if left else text
