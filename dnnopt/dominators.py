"""What every way to a vertex of a graph passes."""

from __future__ import annotations

from collections.abc import Sequence


def immediate_dominators(predecessors: Sequence[Sequence[int]]) -> list[int]:
    """Return for each vertex the last one that every way to it passes.

    Cooper, Harvey, Kennedy: A simple, fast dominance algorithm, Rice University, 2001.

    Parameters
    ----------
    predecessors : sequence of sequence of int
        For each vertex, in a topological order.

    Returns
    -------
    list of int
        -1 is a virtual vertex before all that have no predecessors.
    """
    dominator: list[int] = []
    for before in predecessors:
        common = before[0] if before else -1
        for other in before[1:]:
            while common != other:
                if common > other:
                    common = dominator[common]
                else:
                    other = dominator[other]
        dominator.append(common)
    return dominator
