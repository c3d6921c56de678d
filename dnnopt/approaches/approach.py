"""A published approach: its place in the five dimensions, its figures, its problem and its algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from dnnopt.approaches.dimensions import DIMENSIONS
from dnnopt.base.errors import InputError
from dnnopt.problem.networks import Network
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.variants import Variants

Tag = Literal["A", "T", "M", "I"]
EVIDENCE: dict[Tag, str] = {
    "A": "the paper's abstract or official page",
    "T": "an excerpt of the paper, or its repository",
    "M": "from memory, unconfirmed",
    "I": "inferred",
}
Reproduced = Literal["exact", "same model, other numbers", "not reproducible"]


@dataclass(frozen=True)
class Claim:
    """A figure that the authors publish.

    Attributes
    ----------
    text : str
    evidence : {"A", "T", "M", "I"}
    reproduced : {"exact", "same model, other numbers", "not reproducible"}
        How far it is reproduced here; what is from memory is never exact.
    why : str
        Where it is reproduced, or why it is not; what is exact, and what is not reproducible, has it.
    """

    text: str
    evidence: Tag
    reproduced: Reproduced = "same model, other numbers"
    why: str = ""

    def __post_init__(self) -> None:
        if self.evidence not in EVIDENCE:
            raise InputError(f"one of {', '.join(EVIDENCE)}", field="evidence", value=self.evidence)
        if self.reproduced not in get_args(Reproduced):
            raise InputError(f"one of {', '.join(get_args(Reproduced))}", field="reproduced", value=self.reproduced)
        if self.evidence == "M" and self.reproduced == "exact":
            raise InputError("no exact reproduction of what is from memory", field="reproduced", value=self.text)
        if self.reproduced != "same model, other numbers" and not self.why:
            raise InputError("where it is reproduced, or why it is not", field="why", value=self.text)

    @property
    def verdict(self) -> str:
        """How far it is reproduced, in a sentence."""
        between = " because " if self.reproduced == "not reproducible" else ": "
        return self.reproduced + (f"{between}{self.why}" if self.why else "")


@dataclass(frozen=True, kw_only=True)
class Approach:
    """A published approach.

    Attributes
    ----------
    name : str
        In lists and on the command line.
    title : str
        What its authors call it.
    venue : str
    year : int, optional
    locations, granularities, constraints, objectives, algorithms : tuple of str
        Its values in the five dimensions.
    communication : str
        How sending is charged.
    source : str
        Where this is from.
    evidence : {"A", "T", "M", "I"}
        How well it is known.
    claims : tuple of Claim
        Figures that the authors publish.
    build : callable, optional
        Its problem for a network and a platform, or several where it chooses among networks or groups of devices; None:
        `missing` says why there is none.
    missing : str
        What is missing for it, or for all of it.
    example : (str, str)
        A network and a platform of the library to try it on.
    method : str
        Its own algorithm among ours: a heuristic, an exact method, or a formulation.
    stands_for : str
        What is different about `method`; "": nothing.
    plan : callable, optional
        Its algorithm, where none of ours is the same.
    reading : str
        What the model says beside the figures, where there is more to say.
    instances : tuple of str
        Problems and variants of the library in its setting.
    """

    name: str
    title: str
    venue: str
    year: int | None
    locations: tuple[str, ...]
    granularities: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    objectives: tuple[str, ...]
    algorithms: tuple[str, ...]
    communication: str
    source: str
    evidence: Tag
    claims: tuple[Claim, ...] = ()
    build: Callable[[Network, Platform], Problem | Variants] | None = field(default=None, repr=False)
    missing: str = ""
    example: tuple[str, str] = ("", "")
    method: str = ""
    stands_for: str = ""
    plan: Callable[[Problem], Plan] | None = field(default=None, repr=False)
    reading: str = ""
    instances: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for dimension in DIMENSIONS:
            dimension.check(self.values(dimension.name))
        if self.build is None and not self.missing:
            raise InputError("what is missing, as there is no problem", field="missing", value=self.missing)

    def values(self, dimension: str) -> tuple[str, ...]:
        """Return its values in a dimension."""
        found: tuple[str, ...] = getattr(self, dimension)
        return found

    @property
    def runs(self) -> bool:
        """Whether its problem can be built here."""
        return self.build is not None

    def problems(self, network: Network, platform: Platform) -> Mapping[str, Problem]:
        """Return its problems for a network and a platform, by the names of the variants; "": there is just one.

        Raises
        ------
        InputError
            If it does not run here (the message says what is missing), and for what does not suit it.
        """
        built = self.check_runs()(network, platform)
        return built.problems if isinstance(built, Variants) else {"": built}

    def check_runs(self) -> Callable[[Network, Platform], Problem | Variants]:
        """Return what builds its problems, or raise InputError if it does not run here; the message says why."""
        if self.build is None:
            raise InputError("", field=self.name, problem=f"it does not run here. Missing: {self.missing}")
        return self.build

    @property
    def problem_here(self) -> str:
        """What is minimised here, and what must hold, in a sentence; "": nothing."""
        return (self.build.__doc__ or "").partition("\n")[0] if self.build else ""

    @property
    def algorithm(self) -> str:
        """Its algorithm here, in words; "": there is none."""
        return self.method or ("its own rule" if self.plan else "")
