"""Variants of a problem (which early exit, how many shards, which fusion): problems, one of which is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import HEADER, data_text, read_data, take_header, write_text
from dnnopt.base.frozen import FrozenDict
from dnnopt.base.numbers import counted
from dnnopt.base.records import Name, Record
from dnnopt.base.tables import Described
from dnnopt.problem.networks import Network, network_of
from dnnopt.problem.problem import Problem, as_problem, load, problem_of, read_problem
from dnnopt.problem.words import objective_name

_KIND = "variants"
_FEW = 4  # names in a title


def _as_problem(given: Any) -> Any:
    return as_problem(given) if isinstance(given, str | Path) else given


class Variants(Described, Record):
    """Problems that are alternatives: the best plan of all of them is asked for, and which one it is of.

    Parameters
    ----------
    problems : mapping of str to Problem, str or Path
        By the names of the variants. A text is a name in the library, or a file's.
    name : str
        Of the whole.
    provenance : str
        Where they come from.

    Raises
    ------
    InputError
        For no problem, and for two whose objectives (of the first priority) have different units.
    """

    problems: Annotated[
        dict[Name, Annotated[Problem, BeforeValidator(_as_problem)]], Field(min_length=1), AfterValidator(FrozenDict)
    ]
    name: str = ""
    provenance: str = ""

    if TYPE_CHECKING:

        def __init__(
            self, problems: Mapping[str, Problem | str | Path], name: str = "", provenance: str = ""
        ) -> None: ...

    @model_validator(mode="after")
    def _check(self) -> Variants:
        first, *others = self.problems
        for name in others:
            if _units(self.problems[name]) != _units(self.problems[first]):
                raise InputError(
                    f"an objective in the units of that of {first!r}: {_in_units(self.problems[first])}",
                    field=f"problems.{name}.minimize",
                    value=_in_units(self.problems[name]),
                )
        return self

    @property
    def title(self) -> str:
        """Its name, or those of the variants, or where they are many their number."""
        return self.name or (" | ".join(self.problems) if len(self.problems) <= _FEW else self._counted)

    @property
    def _counted(self) -> str:
        return counted(len(self.problems), "variant")

    def overview(self) -> dict[str, str]:
        """Return what to know of them."""
        return {"variants": self.title, "count": self._counted}

    def to_data(self) -> dict[str, Any]:
        """Return plain data, ready for JSON.

        Raises
        ------
        InputError
            If there is a constraint of the user's own, which is code.
        """
        data = super().to_data()
        for name, problem in self.problems.items():
            try:
                data["problems"][name] = problem.to_data()
            except InputError as error:
                raise error.within(field=f"problems.{name}") from None
        return data


def _units(problem: Problem) -> set[str]:
    """Return the SI units of what is minimised first."""
    own = {metric.name: metric.unit for metric in problem.metrics}
    first = min(term.priority for term in problem.minimize)
    return {own.get(term.metric, term.unit) for term in problem.minimize if term.priority == first}


def _in_units(problem: Problem) -> str:
    units = ", ".join(sorted(unit or "no unit" for unit in _units(problem)))
    return f"{objective_name(problem)[0]} ({units})"


@checked
def read_variants(path: str | Path | Traversable, *, allow_large: bool = False) -> Variants:
    """Read a file of variants; each is a problem's data, the name of one in the library, or a file beside this one.

    Raises
    ------
    InputError
        With the path of the field that is wrong.
    """
    return variants_of(read_data(path, _KIND, allow_large=allow_large), str(path), allow_large)


def variants_of(data: dict[str, Any], file: str, allow_large: bool) -> Variants:
    """Return the variants that a file's data say; other files that they name are beside it, or here if it is a pipe."""
    problems = data.get("problems")
    if isinstance(problems, dict):
        data = data | {"problems": {name: _read(problems[name], name, file, allow_large) for name in problems}}
    found: Variants = Variants.from_data(data, file=file)
    return found


def _read(entry: Any, name: str, file: str, allow_large: bool) -> Any:
    """Return the problem that an entry says or names; what does neither is returned as it is."""
    field = f"problems.{name}"
    if isinstance(entry, dict):
        entry = dict(entry)
        try:
            if HEADER & entry.keys():  # the whole of a problem file
                take_header(entry, "problem", file)
            return problem_of(entry, file, allow_large)
        except InputError as error:
            raise error.within(file=file, field=field) from None
    if isinstance(entry, str):
        folder = Path(file).parent if Path(file).is_file() else Path()
        try:
            is_file = entry.endswith((".json", ".json.gz"))
            return read_problem(folder / entry, allow_large=allow_large) if is_file else load(entry)
        except InputError as error:
            raise InputError("", file=file, field=field, problem=str(error)) from None
    return entry


def read_any(path: str | Path, *, allow_large: bool = False) -> Problem | Network | Variants:
    """Read a file of a problem, a network or variants, whichever it is; just once, as it may be a pipe."""
    data, file = read_data(path, None, allow_large=allow_large), str(path)
    readers: dict[str, Any] = {"network": network_of, _KIND: variants_of}
    kind = str(data.get("format")).removeprefix("dnnopt-")
    kind = kind if kind in readers else "problem"
    take_header(data, kind, file)
    found: Problem | Network | Variants = readers.get(kind, problem_of)(data, file, allow_large)
    return found


@checked
def write_variants(variants: Variants, path: str | Path) -> None:
    """Write a file of variants, with all problems in full."""
    write_text(path, variants_text(variants))


def variants_text(variants: Variants) -> str:
    """Return the text of the file that `write_variants` writes."""
    return data_text(_KIND, variants.to_data())
