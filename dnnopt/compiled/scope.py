"""Scopes: what a part of the package looks at of a problem. What it does not look at, it refuses by name.

A part is whatever reads compiled problems: a formulation, an exact method, a bound, an evaluator, a presolve, the
search for identical devices. It declares its scope as data and asks it first, so that a new kind of constraint or term,
of execution or transport, is refused by every part until somebody has thought about it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    CompiledConstraint,
    DeadlineLimit,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    ObjectiveLimit,
    ObjectiveTerm,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.compiled.metrics import LinearMetric

Kinds = frozenset[type]

# Those that every part was written with in mind; others are named where they are known.
_EXECUTIONS = frozenset({"sequential", "parallel", "scheduled", "pipelined", "call"})
_WITHOUT_CHOICES = frozenset({"scheduled", "call"})
_TRANSPORTS = frozenset({"unicast", "multicast", "per_edge"})


@dataclass(frozen=True)
class Scope:
    """What a part looks at.

    Attributes
    ----------
    enforces : frozenset of type
        Kinds of constraints that hold in what the part says.
    relaxes : bool
        Whether there may be others: what the part says (a bound, choices that go, a start) then holds all the same.
    terms : frozenset of type
        Kinds of objective terms, in the objective and in limits on it.
    latencies : frozenset of str
        Executions whose latency it knows where that is no linear metric.
    executions, transports : frozenset of str
    exposure : bool
        Whether it counts tensors that are exposed, or does without.
    priorities : bool
        Whether there may be several objectives.
    choices : bool
        Whether executors may be more than devices (modes, forms), and what events cost counts.
    blocks : bool
        Whether layers may run as blocks with costs of their own; where these are the only choices, `choices` is not
        asked.
    """

    enforces: Kinds = frozenset()
    relaxes: bool = False
    terms: Kinds = frozenset({LinearTerm})
    latencies: frozenset[str] = frozenset()
    executions: frozenset[str] = _EXECUTIONS
    transports: frozenset[str] = _TRANSPORTS
    exposure: bool = True
    priorities: bool = False
    choices: bool = False
    blocks: bool = False

    def refuses(self, c: CompiledProblem) -> str | None:
        """Return the first thing in a problem that the part does not look at, or None."""
        return next(self._outside(c), None)

    def _outside(self, c: CompiledProblem) -> Iterator[str]:
        if c.execution not in self.executions:
            yield f"{c.execution} execution"
        if c.transport not in self.transports:
            yield f"{c.transport} transport"
        if c.blocks and not self.blocks:
            yield "blocks with costs of their own"
        if c.has_other_choices and (not self.choices or c.execution in _WITHOUT_CHOICES):
            what = "modes of devices" if c.barred_moves is None and not c.choices else "forms of tensors"
            yield f"{what} under {c.execution} execution" if self.choices else what
        if len(c.objective) > 1 and not self.priorities:
            yield "objectives of several priorities"
        for terms in c.objective:
            yield from self._terms_outside(terms, c)
        for constraint in () if self.relaxes else c.constraints:
            yield from self._constraint_outside(constraint, c)

    def _constraint_outside(self, constraint: CompiledConstraint, c: CompiledProblem) -> Iterator[str]:
        where = f"the constraint {constraint.label}"
        if type(constraint) not in self.enforces:
            yield where
        elif isinstance(constraint, DeadlineLimit) and c.execution not in self.latencies:
            yield f"latency under {c.execution} execution, in {where}"
        elif isinstance(constraint, LinearLimit) and not self.exposure and exposes(c, constraint.metric):
            yield f"exposure, in {where}"
        elif isinstance(constraint, ObjectiveLimit):
            yield from (f"{what}, in {where}" for what in self._terms_outside(constraint.terms, c))

    def _terms_outside(self, terms: tuple[ObjectiveTerm, ...], c: CompiledProblem) -> Iterator[str]:
        for term in terms:
            if type(term) not in self.terms or (isinstance(term, LatencyTerm) and c.execution not in self.latencies):
                yield _name(term, c.execution)
            elif isinstance(term, LinearTerm) and not self.exposure and exposes(c, term.metric):
                yield f"exposure, in the objective {term.metric.name}"
            elif isinstance(term, MaxTerm):
                yield from self._terms_outside(term.parts, c)


def exposes(c: CompiledProblem, metric: LinearMetric) -> bool:
    """Return whether it costs anything that tensors are exposed."""
    return metric.exposes or bool(metric.on_event[c.events.exposes].any())


def _name(term: ObjectiveTerm, execution: str) -> str:
    match term:
        case LinearTerm():
            return f"the objective {term.metric.name}"
        case LatencyTerm():
            return f"latency under {execution} execution"
        case PeriodTerm():
            return "the objective period"
        case WorstLeakageTerm():
            return "the objective worst leakage"
        case MaxTerm():
            return "the largest of several objectives"
    return f"the objective {type(term).__name__}"
