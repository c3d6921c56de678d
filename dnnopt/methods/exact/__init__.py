"""Exact methods that use the structure, one file each.

Each is a module with two functions. `refuses` says why it does not solve a problem exactly, or None; `run` offers plans
and bounds to a pool.
"""

from __future__ import annotations

from typing import Protocol

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.scope import Scope
from dnnopt.methods.exact import blocks, chain, groups, ideals, labels, min_cut, scan, tree
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits, Outcome


class ExactMethod(Protocol):
    """What the modules of this package have."""

    SCOPE: Scope

    def refuses(self, compiled: CompiledProblem) -> str | None:
        """Return why the problem is not of the kind that this method solves, or None."""

    def run(self, pool: Pool, limits: Limits, control: Control) -> Outcome:
        """Solve the pool's problem."""


EXACT: dict[str, ExactMethod] = {
    "chain": chain,
    "blocks": blocks,
    "min-cut": min_cut,
    "tree": tree,
    "ideals": ideals,
    "scan": scan,
    "labels": labels,
    "groups": groups,
}
