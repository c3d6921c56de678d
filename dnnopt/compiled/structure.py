"""Structure of routes and graphs that compiled constraints are about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

Routes = Sequence[Sequence[tuple[int, ...] | None]]  # links from one device to another; None: no route


def conflicts(routes: Routes) -> tuple[tuple[int, int, int], ...]:
    """Return origins with two destinations whose routes have a link in common that other links come before."""
    return tuple(
        (origin, first, second)
        for origin, ways in enumerate(routes)
        for first, second in combinations(range(len(ways)), 2)
        if _meet_again(ways[first] or (), ways[second] or ())
    )


def _meet_again(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    before = dict(zip(first, (-1, *first), strict=False))
    return any(before.get(link, previous) != previous for previous, link in zip((-1, *second), second, strict=False))


def paths_between(
    members: Collection[int], edges: Iterable[tuple[int, int]], count: int
) -> tuple[tuple[int, int], ...]:
    """Return pairs of members with a path between them on which no other member lies.

    Parameters
    ----------
    members : collection of int
    edges : iterable of (int, int)
        Of a graph of `count` nodes in a topological order.
    count : int
    """
    chosen, found = set(members), set()
    last: list[set[int]] = [set() for _ in range(count)]  # members that reach a node without another between
    arriving: list[list[int]] = [[] for _ in range(count)]
    for u, v in edges:
        arriving[v].append(u)
    for v in range(count):
        for u in arriving[v]:
            last[v] |= {u} if u in chosen else last[u]
        if v in chosen:
            found |= {(u, v) for u in last[v]}
    return tuple(sorted(found))
