"""Inner loops of the group decomposition, compiled by numba where it is installed, and batched by numpy elsewhere.

`loops()` returns either; both have the same functions, on the arrays of `steps.Walk`. Costs are those of choices
(choices,) and of entries (entries,).
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Protocol

from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.groups import batched_loops
from dnnopt.methods.groups.steps import Crossings, Incoming, Rests, Walk

_MANY = 5000


class Loops(Protocol):
    """What both ways have."""

    def charge_crossings(self, events: Crossings, prices: Array, out: Array) -> None:
        """Add to each entry of `out` (G, entries) the prices (G, events) of its events, as often as these happen."""

    def count_crossings(self, events: Crossings, entries: Index, out: Array) -> None:
        """Add to `out` (G, events) how often each event happens in the entries (G, uses)."""

    def joint_table(self, walk: Walk, choices: Array, entries: Array, out: Array) -> None:
        """Fill in the least cost from each state to the end (states,)."""

    def joint_plan(self, walk: Walk, choices: Array, entries: Array, table: Array, chosen: Index, used: Index) -> None:
        """Fill in the best choices (N,), counted from the first, and the entries of their uses (uses,)."""

    def joint_marginals(self, walk: Walk, choices: Array, entries: Array, table: Array, out: Array) -> None:
        """Fill in the least cost of a plan with each choice (choices,)."""

    def side_tables(self, walk: Walk, goes_on: Mask, choices: Array, entries: Array, shifts: Index, out: Array) -> None:
        """Fill in the least cost from each state to the end, by units of memory left (G, states, units + 2).

        `choices` (G, 2N) and `entries` (G, entries) are costs; `shifts` (G, N, 2) are the units that a node takes in
        the group where it begins a run, and where it goes on with one.
        """

    def side_optima(
        self,
        walk: Walk,
        goes_on: Mask,
        choices: Array,
        entries: Array,
        shifts: Index,
        units: int,
        values: Array,
        chosen: Index,
        used: Index,
    ) -> None:
        """Fill in the least cost with so many units (G,), the best sides (G, N), and their uses' entries (G, uses)."""

    def side_marginals(
        self, walk: Walk, goes_on: Mask, choices: Array, entries: Array, shifts: Index, tables: Array, out: Array
    ) -> None:
        """Fill in the least cost with each node on each side (G, 2N)."""

    def add_rests(
        self, rests: Rests, sides: Index, state: Index, runs: Array, device: Index, used: Array, out: Array
    ) -> None:
        """Add to `out` (B,) what the rest of a plan costs at least in all groups.

        A label has a state (B,), for which `sides` (A, states) are rows of the tables, a device (B,) of the last node,
        for which `runs` (A, D) are units that a run has counted already, and what is `used` (A, B) of all memory.
        """

    def sum_paths(self, into: Incoming, nodes: Array, edges: Array, out: Array) -> None:
        """Fill in the logarithm of the sum, over all paths to each node, of what they weigh (N,).

        A path weighs the exponential of the sum of `nodes` (N,) and `edges` (E,) along it.
        """

    def share_paths(self, into: Incoming, nodes: Array, edges: Array, sums: Array, flow: Array, out: Array) -> None:
        """Fill in the flow of each edge (E,), and add to that of nodes (N,) what goes through them to where some is."""

    def undominated(self, state: Index, values: Array, leaders: int) -> Mask:
        """Return which labels (B,) none of the first few, which are not dominated either, is nowhere worse than.

        Labels of one state are next to each other; `values` (B, R).
        """


@cache
def loops() -> Loops:
    """Return the loops that numba compiles, or those of numpy. Numba takes half a second to load."""
    try:
        from dnnopt.methods.groups import compiled_loops
    except ImportError:
        return batched_loops
    return compiled_loops


def loops_for(count: int) -> Loops:
    """Return the loops for so many labels: those of numpy, if they are few and numba is not yet there."""
    return loops() if count >= _MANY or "numba" in sys.modules else batched_loops
