"""The approaches in the five dimensions as a table, and a problem in them: which approaches are about such problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.dimensions import ALGORITHMS, DIMENSIONS
from dnnopt.approaches.registry import published
from dnnopt.approaches.settings import in_tiers
from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.tables import Heading, Tabular, as_markdown
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.exact import EXACT
from dnnopt.problem.networks import INPUT, OUTPUT
from dnnopt.problem.problem import AnyProblem, Problem, as_problem

if TYPE_CHECKING:
    from rich.console import Console

_LIMITS = {
    "memory": "memory",
    "deadline": "deadline",
    "accuracy_loss": "accuracy",
    "energy": "energy",
    "cost": "budget",
    "leakage": "privacy",
    "worst_leakage": "privacy",
    "separate": "privacy",
    "traffic": "bandwidth",
    "bandwidth": "bandwidth",
    "utilisation": "capacity",
    "placement": "support",
    "monotone_tiers": "one-way",
    "contiguous": "contiguity",
    "colocate": "colocation",
    "max_cuts": "transitions",
    "period": "deadline",
    "batch_latency": "deadline",
}
_GOALS = {
    "latency": ("latency",),
    "period": ("throughput",),
    "batch_latency": ("latency", "throughput"),
    "energy": ("energy",),
    "cost": ("cost",),
    "traffic": ("traffic",),
    "leakage": ("privacy",),
    "worst_leakage": ("privacy",),
    "accuracy_loss": ("accuracy",),
}
_PIECES = {
    "rows": "rows",
    "grid": "rows",
    "channels": "channels",
    "paired": "channels",
    "batch": "samples",
    "fused": "fused",
}
_EXPENDABLE = ("optimisation algorithms", "partition constraints", "optimisation objectives")
_OWN = "own"
_WIDER = {"split": ("graph-cut",)}  # a chain is a graph, too
FORM = ("one-way", "contiguity", "exclusive")  # of plans, which granularity and execution tell, too
_EXACT = {
    "chain": "shortest-path",
    "blocks": "dynamic-programming",
    "min-cut": "min-cut",
    "tree": "dynamic-programming",
    "ideals": "dynamic-programming",
    "scan": "enumeration",
    "labels": "dynamic-programming",
    "groups": "dynamic-programming",
}


@dataclass(frozen=True, repr=False)
class Classification(Tabular):
    """Approaches in the five dimensions.

    Attributes
    ----------
    approaches : tuple of Approach
    """

    approaches: tuple[Approach, ...]

    row_noun = "approach"

    def headline(self) -> str:
        """Return how many approaches there are, and how many of them run."""
        return f"{_approaches(len(self.approaches))}, {sum(one.runs for one in self.approaches)} of which run here"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each approach."""
        return [
            {"name": one.name, "year": str(one.year or "")}
            | {dimension.name: ", ".join(one.values(dimension.name)) for dimension in DIMENSIONS}
            | {"runs": "yes" if one.runs else "no"}
            for one in self.approaches
        ]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above the columns."""
        return {dimension.name: Heading(dimension.title) for dimension in DIMENSIONS} | {"runs": Heading("runs here")}

    def report(self, console: Console) -> None:
        """Print it for a person."""
        rows = self.to_rows()
        titles = {name: heading.words for name, heading in self.headings().items()}
        columns = [(titles.get(name, name), "left") for name in rows[0]] if rows else []
        console.print(table("", columns, [list(row.values()) for row in rows], _EXPENDABLE))
        console.print()
        console.print(words(f"{self.headline()}"))


@dataclass(frozen=True)
class Match:
    """How far an approach is about a problem.

    Attributes
    ----------
    approach : Approach
    beyond : mapping
        For the dimensions in which it is not: what the problem has and the approach has not.
    """

    approach: Approach
    beyond: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, repr=False)
class Classified(Tabular):
    """A problem in the five dimensions.

    Attributes
    ----------
    problem : Problem
    values : mapping
        Dimension -> values; of algorithms, those that prove it here.
    matches : tuple of Match
        Of all approaches, first those that are about such problems, then those that are but for one dimension.
    """

    problem: Problem
    values: Mapping[str, tuple[str, ...]]
    matches: tuple[Match, ...]

    row_noun = "approach"

    def headline(self) -> str:
        """Return how many approaches match."""
        return f"{_approaches(sum(not one.beyond for one in self.matches))} to such problems"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each approach that matches, or does but for one dimension."""
        return [
            {
                "approach": one.approach.name,
                "beyond it": "; ".join(f"{name}: {', '.join(values)}" for name, values in one.beyond.items()),
            }
            for one in self.matches
        ]

    def report(self, console: Console) -> None:
        """Print it for a person."""
        rows = [(dimension.title, ", ".join(self.values[dimension.name])) for dimension in DIMENSIONS]
        console.print(table(self.problem.title, [("", "left"), ("", "left")], rows))
        fitting = [one.approach.name for one in self.matches if not one.beyond]
        console.print()
        console.print(words(f"Approaches to such problems: {', '.join(fitting) or 'none'}"))
        near = [list(row.values()) for row in self.to_rows() if row["beyond it"]]
        if near:
            console.print()
            console.print(
                table(
                    "Approaches that fit but for one dimension",
                    [("approach", "left"), ("what they lack", "left")],
                    near,
                )
            )


def classification(**values: Iterable[str]) -> Classification:
    """Return the approaches as a table.

    Parameters
    ----------
    **values : sequence of str
        By dimension (``locations=["end-cloud"]``): values that an approach must have, all of them.

    Raises
    ------
    InputError
        For another dimension, or a value that a dimension has not.
    """
    wanted = {dimension.name: tuple(values.pop(dimension.name, ())) for dimension in DIMENSIONS}
    if values:
        raise InputError(f"dimensions: {', '.join(wanted)}", field="classification", value=list(values))
    for dimension in DIMENSIONS:
        dimension.check(wanted[dimension.name])
    return Classification(
        tuple(
            one
            for one in published().values()
            if all(set(some) <= set(one.values(name)) for name, some in wanted.items())
        )
    )


def overview_of_approaches() -> str:
    """Return the table of docs/approaches.md: all approaches in the five dimensions, and how far each one runs."""
    rows = []
    for one in published().values():
        row = {"approach": one.name, "published": " ".join(str(part) for part in (one.venue, one.year) if part)}
        row |= {dimension.title.split()[-1]: ", ".join(one.values(dimension.name)) for dimension in DIMENSIONS}
        rows.append(row | {"algorithm here": (one.algorithm or "none") if one.runs else "does not run"})
    return as_markdown(rows)


def overview_of_claims() -> str:
    """Return the other table of docs/approaches.md: what is published, how well that is known, and reproduced."""
    return as_markdown(
        [
            {"approach": one.name, "published": claim.text, "evidence": claim.evidence, "here": claim.verdict}
            for one in published().values()
            for claim in one.claims
        ]
    )


def classify(problem: AnyProblem) -> Classified:
    """Return a problem in the five dimensions, and the approaches that are about such problems.

    An approach is, if it has the problem's location or granularity (one of them, where there are several), and all of
    its objectives and constraints.

    Parameters
    ----------
    problem : Problem, str or Path
    """
    problem = as_problem(problem)
    values = {
        "locations": tuple(_locations(problem)),
        "granularities": tuple(_granularities(problem)),
        "constraints": _once(_constraints(problem)),
        "objectives": goals_of(problem),
        "algorithms": _once(_algorithms(problem)),
    }
    found = [Match(one, _beyond(one, values)) for one in published().values()]
    near = sorted((one for one in found if len(one.beyond) <= 1), key=lambda one: len(one.beyond))
    return Classified(problem, values, tuple(near))


def limit_value(limit: Any) -> str:
    """Return what a constraint is about, as a value of the dimension of constraints."""
    kind = limit.metric if limit.constraint == "metric" else limit.constraint
    return _LIMITS.get(kind, _OWN)


def goals_of(problem: Problem) -> tuple[str, ...]:
    """Return what a problem minimises, as values of the dimension of objectives."""
    return _once(goal for term in problem.minimize for goal in _GOALS.get(term.metric, (_OWN,)))


def _approaches(count: int) -> str:
    return f"{count} approach{'es' * (count != 1)}"


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _beyond(approach: Approach, values: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return what a problem has and the approach has not, by dimension."""
    found = {}
    for dimension in DIMENSIONS:
        if dimension is ALGORITHMS:
            continue
        own, asked = approach.values(dimension.name), values[dimension.name]
        missing = tuple(one for one in asked if not {one, *_WIDER.get(one, ())} & {*own} and one not in FORM)
        one_is_enough = dimension.name in ("locations", "granularities") and len(missing) < len(asked)
        if missing and not one_is_enough:
            found[dimension.name] = missing
    return found


def _locations(problem: Problem) -> Iterator[str]:
    tiers = {device.tier for device in problem.platform.devices if device.tier}
    if len(tiers) == 1 and len(problem.platform.devices) > 1:
        yield {"end": "multi-end", "edge": "multi-edge", "cloud": "accelerators"}[tiers.pop()]
    elif len(tiers) > 1:
        yield "-".join(tier for tier in ("end", "edge", "cloud") if tier in tiers)


def _is_one_way(problem: Problem) -> bool:
    """Whether data never goes back to a lower tier: no plan may do so, or no route would carry it."""
    if any(limit.constraint == "monotone_tiers" for limit in problem.subject_to):
        return True
    routes = problem.platform.routes
    if not routes or any(device.tier is None for device in problem.platform.devices):
        return False
    rank = {device.name: position for position, device in enumerate(in_tiers(problem.platform))}
    return all(rank[route.origin] < rank[route.destination] for route in routes)


def _is_chain(problem: Problem) -> bool:
    for network in problem.networks:
        layers = [[one for one in tensor.consumers if one != OUTPUT] for tensor in network.tensors]
        if any(len(readers) > 1 for readers in layers):
            return False
        inner = [
            (tensor.producer, reader)
            for tensor, readers in zip(network.tensors, layers, strict=True)
            for reader in readers
            if tensor.producer != INPUT
        ]
        if any(len({pair[side] for pair in inner}) < len(inner) for side in (0, 1)):
            return False
    return True


def pieces_of(problem: Problem) -> tuple[str, ...]:
    """Return of what kind the parts of layers are that its networks have."""
    kinds = {network.name.rpartition("@")[2].partition(":")[0] for network in problem.networks}
    return _once(_PIECES[kind] for kind in sorted(kinds) if kind in _PIECES)


def _granularities(problem: Problem) -> Iterator[str]:
    pieces = pieces_of(problem)
    yield from pieces
    if problem.profile.blocks:
        yield "fused"
        return
    if any(network.has_exits for network in problem.networks):
        yield "exits"
    if pieces:
        return
    if _is_one_way(problem):
        if len(problem.platform.devices) == 2:
            yield "split" if _is_chain(problem) else "graph-cut"
            return
        if _is_chain(problem):
            yield "segments"
            return
    yield "segments" if any(limit.constraint == "contiguous" for limit in problem.subject_to) else "layers"


def _constraints(problem: Problem) -> Iterator[str]:
    yield from map(limit_value, problem.subject_to)
    if _is_one_way(problem):
        yield "one-way"
    times = problem.profile.time.values()
    if any(value is None for layers in times for places in layers.values() for value in places.values()):
        yield "support"
    if problem.execution == "scheduled":
        yield "exclusive"


def _algorithms(problem: Problem) -> Iterator[str]:
    compiled = compile_problem(problem)
    for name, method in EXACT.items():
        if method.refuses(compiled) is None:
            yield _EXACT[name]
    yield "integer-programming"
