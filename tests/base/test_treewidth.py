"""Tree decompositions are valid, and on graphs of known treewidth not wider."""

from collections import Counter
from itertools import combinations

import pytest
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnopt.base.graphs import tree_decomposition


def path(n):
    return [(v, v + 1) for v in range(n - 1)]


def cycle(n):
    return [*path(n), (n - 1, 0)]


def binary_tree(n):
    return [((v - 1) // 2, v) for v in range(1, n)]


def ladder(n):
    return [(v, v + 2) for v in range(2 * n - 2)] + [(2 * v, 2 * v + 1) for v in range(n)]


def diamonds(n):
    """A chain of residual blocks: 0 -> 1, 2 -> 3 -> 4, 5 -> 6 and so on."""
    return [edge for v in range(0, 3 * n, 3) for edge in ((v, v + 1), (v, v + 2), (v + 1, v + 3), (v + 2, v + 3))]


@pytest.mark.parametrize(
    ("nodes", "cliques", "width"),
    [
        (0, [], 0),
        (1, [], 0),
        (3, [], 0),
        (2, [(0, 1)], 1),
        (30, path(30), 1),
        (31, binary_tree(31), 1),
        (20, cycle(20), 2),
        (16, diamonds(5), 2),
        (12, ladder(6), 2),
        (6, [tuple(range(6))], 5),
        (6, list(combinations(range(6), 2)), 5),
        (7, [(u, v) for u in range(3) for v in range(3, 7)], 3),
        (8, [(0, 1, 2), (4, 5)], 2),
        (4, [(1, 1), (2, 2, 3)], 1),
    ],
)
def test_width_of_known_graphs(nodes, cliques, width):
    tree = tree_decomposition(nodes, cliques)
    assert tree.width == width
    assert len(tree.bags) == nodes


def check_valid(nodes, cliques, tree):
    """Every node has its own bag, every clique lies in one, and the bags of a node are connected."""
    assert [tree.bags[tree.position[node]][0] for node in range(nodes)] == list(range(nodes))
    for clique in cliques:
        assert set(clique) <= set(tree.bags[tree.holding(clique)])
    for index, (bag, parent) in enumerate(zip(tree.bags, tree.parent, strict=True)):
        assert len(set(bag)) == len(bag)
        assert parent == -1 or parent > index  # so there are no cycles
        # What is left of a bag is in its parent: from there follows the running intersection.
        assert set(bag[1:]) <= (set() if parent == -1 else set(tree.bags[parent]))
    for node in range(nodes):
        holding = {index for index, bag in enumerate(tree.bags) if node in bag}
        tops = [index for index in holding if tree.parent[index] not in holding]
        assert tops == [tree.position[node]]


def test_random_decompositions_are_valid():
    seen = Counter()

    @settings(max_examples=200)
    @given(st.data())
    def check(data):
        nodes = data.draw(st.integers(1, 12))
        clique = st.lists(st.integers(0, nodes - 1), min_size=1, max_size=4, unique=True)
        cliques = data.draw(st.lists(clique, max_size=14))
        tree = tree_decomposition(nodes, cliques)
        check_valid(nodes, cliques, tree)
        seen["wide"] += tree.width >= 3
        seen["several roots"] += tree.parent.count(-1) > 1
        assert tree.width >= max(map(len, cliques), default=1) - 1

    check_until(check, lambda: min(seen["wide"], seen["several roots"]) >= 5)
