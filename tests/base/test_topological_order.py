"""Topological orders take the first vertex that is ready; where there is none, a cycle is named."""

from collections import Counter
from itertools import pairwise

from examples import check_until
from hypothesis import given
from hypothesis import strategies as st

from dnnopt.base.graphs import topological_order


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 7))
    vertices = st.integers(0, size - 1)
    return [draw(st.lists(vertices, max_size=2)) for _ in range(size)]


def test_the_first_that_is_ready_comes_next_until_all_that_are_left_wait_for_a_cycle():
    seen = Counter()

    @given(graphs())
    def check(predecessors):
        order, cycle = topological_order(predecessors)
        left = set(range(len(predecessors)))
        for vertex in order:
            assert vertex == min(v for v in left if not left & set(predecessors[v]))
            left.remove(vertex)
        assert all(left & set(predecessors[v]) for v in left)
        assert bool(cycle) == bool(left)
        if cycle:
            assert cycle[0] == cycle[-1]
            assert len(set(cycle)) == len(cycle) - 1
            assert all(u in predecessors[v] for u, v in pairwise(cycle))
        seen["cycle" if cycle else "none"] += 1

    check_until(check, lambda: min(seen["cycle"], seen["none"]) >= 30)
