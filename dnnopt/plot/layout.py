"""Layered layout of a network: each node in a column by its depth, and in a track beside those of the same depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence


def columns_and_tracks(order: Sequence[str], edges: Sequence[tuple[str, str]]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the column and the track of each node.

    Parameters
    ----------
    order : sequence of str
        The nodes in a topological order.
    edges : sequence of (str, str)

    Returns
    -------
    columns : dict of str to int
        From 0: most edges on a way to the node; a node that waits for nothing stands just before its first consumer.
    tracks : dict of str to int
        Nodes of a column have tracks of their own, close to those of their producers and around 0.
    """
    before: dict[str, list[str]] = defaultdict(list)
    after: dict[str, list[str]] = defaultdict(list)
    for producer, consumer in edges:
        before[consumer].append(producer)
        after[producer].append(consumer)
    columns: dict[str, int] = {}
    for node in order:
        columns[node] = 1 + max((columns[producer] for producer in before[node]), default=-1)
    for node in order:
        if not before[node] and after[node]:
            columns[node] = min(columns[consumer] for consumer in after[node]) - 1
    members: dict[int, list[str]] = defaultdict(list)
    for node in order:
        members[columns[node]].append(node)
    tracks: dict[str, int] = {}
    for column in sorted(members):
        tracks |= _side_by_side(members[column], before, tracks)
    return columns, tracks


def _side_by_side(nodes: Sequence[str], before: Mapping[str, list[str]], tracks: Mapping[str, int]) -> dict[str, int]:
    """Return different tracks for the nodes of one column, each as close to its producers' as the others let it."""
    if len(nodes) == 1:
        return {nodes[0]: 0}
    wanted = {}
    for node in nodes:
        known = [tracks[producer] for producer in before.get(node, ()) if producer in tracks]
        wanted[node] = sum(known) / len(known) if known else 0.0
    placed: dict[str, int] = {}
    lowest: int | None = None
    for node in sorted(nodes, key=lambda node: wanted[node]):
        lowest = round(wanted[node]) if lowest is None else max(round(wanted[node]), lowest + 1)
        placed[node] = lowest
    pushed = round(sum(placed[node] - wanted[node] for node in nodes) / len(nodes))
    return {node: track - pushed for node, track in placed.items()}
