"""Immediate dominators."""

from hypothesis import given
from hypothesis import strategies as st

from dnnopt.base.graphs import immediate_dominators


@st.composite
def graphs(draw):
    """Predecessors of each vertex, in a topological order."""
    size = draw(st.integers(1, 8))
    return [sorted(draw(st.sets(st.integers(0, v - 1), max_size=3))) if v else [] for v in range(size)]


def ways(predecessors, v):
    """Return what each way to a vertex passes before it."""
    return [[*way, u] for u in predecessors[v] for way in ways(predecessors, u)] or [[-1]]


@given(graphs())
def test_dominator_is_the_last_vertex_that_every_way_passes(predecessors):
    expected = [max(set.intersection(*map(set, ways(predecessors, v)))) for v in range(len(predecessors))]
    assert immediate_dominators(predecessors) == expected
