"""What a heuristic says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.evaluator import Evaluator, evaluator_of
from dnnopt.compiled.metrics import Index
from dnnopt.methods.heuristics.cutting import cut, uncut, without_blocks
from dnnopt.methods.heuristics.effort import Effort


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A heuristic.

    Attributes
    ----------
    name : str
    summary : str
        What it does, in one line.
    source : str
        Authors, title, venue and year; "" where there is none.
    order : int
        Where it is in lists.
    searches : bool
        Whether it searches until its effort is spent; the others end by themselves, soon.
    needs : str
        Module that must be installed; "": none.
    run : callable
        Takes an evaluator and an effort, yields pairs of a name and a placement (N,).
    """

    name: str
    summary: str
    source: str = ""
    order: int
    searches: bool = False
    needs: str = ""
    run: Callable[[Evaluator, Effort], Iterator[tuple[str, Index]]]

    @property
    def installed(self) -> bool:
        """Whether what it needs is there; where it is not, `run` raises InputError."""
        return not self.needs or find_spec(self.needs) is not None

    def placements(self, compiled: CompiledProblem, effort: Effort) -> Iterator[tuple[str, Index]]:
        """Yield pairs of a name and a placement (N,); where there are blocks, each is cut into such."""
        if not compiled.blocks:
            yield from self.run(evaluator_of(compiled), effort)
            return
        plain = without_blocks(compiled)
        if effort.start is not None:
            effort = replace(effort, start=uncut(compiled, effort.start))
        if plain.allowed.any(axis=1).all():
            for name, placement in self.run(evaluator_of(plain), effort):
                yield name, cut(compiled, placement)
