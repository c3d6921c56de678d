"""Communication `treewise`: marginals over the bags of a tree decomposition.

    Σ_{s: s_S = t} z_Bs = Σ_{s: s_S = t} z_B's                  for each bag B, its parent B', S = B ∩ B', and each t
    x_vi = Σ_{s: s_v = i} z_Bs                                  B: the bag of v
    y_ep = Σ_{s: s_u on i, s_v on j} z_Bs                       B: a bag with both ends of e = (u, v), p = (i, j)
    w_τp >= Σ_{s: producer on i, some use on j} z_Bs            where a bag holds the producer and all uses of τ

The states s of a bag are the placements of its nodes. The relaxation is exact for additive objectives without coupling
constraints, as far as bags hold tensors with several uses (Wainwright, Jordan, 2008, section 2.5: junction trees), and
never weaker than `edgewise`. Size: Σ_B k^|B|, which real networks with a treewidth of 2 to 4 can afford.
"""

from __future__ import annotations

import numpy as np

from dnnopt.base.graphs import TreeDecomposition, tree_decomposition
from dnnopt.base.numbers import format_number
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index, Mask
from dnnopt.formulations.copies import SharedTensors, shared_tensors
from dnnopt.formulations.milp.communication.copies import add_copies
from dnnopt.formulations.milp.communication.pairs import add_pair_variables
from dnnopt.formulations.moves import PairMoves
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.linear import LinearModel

MOST_STATES = 1_000_000
# Tensors with up to this many uses are kept together in a bag, where that does not make bags too large.
_TOGETHER = 3


def decompose(c: CompiledProblem) -> TreeDecomposition:
    """Return a tree decomposition that holds every edge, and tensors with few uses as a whole where there is room."""
    edges = list(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True))
    plain = tree_decomposition(len(c.node_names), edges)
    together = [_clique(c, int(t)) for t in np.flatnonzero((c.fan_out > 1) & (c.fan_out <= _TOGETHER))]
    whole = tree_decomposition(len(c.node_names), [*edges, *together])
    return whole if states(c, whole) <= max(2 * states(c, plain), MOST_STATES // 10) else plain


def _clique(c: CompiledProblem, tensor: int) -> list[int]:
    return sorted({int(c.producer[tensor]), *c.edge_consumer[c.edge_tensor == tensor].tolist()})


def states(c: CompiledProblem, tree: TreeDecomposition) -> float:
    """Return the number of states of all bags."""
    choices = c.allowed.sum(axis=1).astype(float)
    return float(sum(np.prod(choices[list(bag)]) for bag in tree.bags))


def refuses(c: CompiledProblem) -> str | None:
    """Return why the linearisation does not fit the problem, or None."""
    count = states(c, decompose(c))
    if count > MOST_STATES:
        return f"a graph whose tree decomposition has {format_number(count, 3)} states (at most {MOST_STATES:,})"
    return None


class _Bag:
    """A bag's states: the executor of each of its nodes in each state (states, |B|), and the columns of z."""

    def __init__(self, c: CompiledProblem, nodes: tuple[int, ...]) -> None:
        self.nodes = nodes
        self.choices = [np.flatnonzero(c.allowed[node]) for node in nodes]
        grid = np.meshgrid(*self.choices, indexing="ij")
        self.executors: Index = np.stack([part.ravel() for part in grid], axis=1)
        self.columns: Columns = np.zeros(0, dtype=np.int32)

    def of(self, node: int) -> Index:
        """Return the node's executor in each state."""
        executors: Index = self.executors[:, self.nodes.index(node)]
        return executors

    def key(self, nodes: tuple[int, ...], executors: int) -> Index:
        """Return a number for each state that is the same where these nodes are placed alike."""
        key = np.zeros(len(self.executors), dtype=np.int64)
        for node in nodes:
            key = key * executors + self.of(node)
        return key


def add_bags(model: LinearModel, c: CompiledProblem, x: Columns) -> PairMoves:
    """Add the variables and rows; return the moves."""
    tree = decompose(c)
    bags = [_Bag(c, nodes) for nodes in tree.bags]
    sizes = np.array([len(bag.executors) for bag in bags])
    first = np.concatenate([[0], np.cumsum(sizes)])

    def occupied(placement: Index) -> Values:
        return np.concatenate([(bag.executors == placement[list(bag.nodes)]).all(axis=1) for bag in bags]).astype(float)

    def names() -> list[str]:
        return [
            ",".join(f"{c.node_names[v]}@{c.executor_names[i]}" for v, i in zip(bag.nodes, state, strict=True))
            for bag in bags
            for state in bag.executors
        ]

    z = model.add_variables("z", (int(first[-1]),), axes=lambda: (names(),), upper=1.0, evaluate=occupied)
    for bag, start, size in zip(bags, first, sizes, strict=False):
        bag.columns = z[start : start + size]
    _add_marginals(model, c, x, bags)
    _add_consistency(model, c, tree, bags)
    y = add_pair_variables(model, c)
    _add_pairs(model, c, y, tree, bags)
    copies = add_copies(model, c, y)
    shared = shared_tensors(c)
    if shared is not None:
        _add_joint_copies(model, c, copies[1].columns, shared, tree, bags)
    return PairMoves(c, y, copies)


class _Rows:
    """Entries of sparse rows, gathered block by block."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[tuple[Index, Columns, Values]] = []

    def add(self, rows: Index, columns: Columns, value: float) -> None:
        """Add entries at rows counted from the current block's first."""
        self._parts.append((rows + self.count, columns, np.full(len(columns), value)))

    def put(self, model: LinearModel, name: str, lower: float, upper: float) -> None:
        """Add all rows to the model."""
        if self.count:
            rows, columns, values = (np.concatenate(part) for part in zip(*self._parts, strict=True))
            count = self.count
            model.add_sparse_rows(
                name,
                (count,),
                rows,
                columns,
                values,
                lower=lower,
                upper=upper,
                axes=lambda: ([str(r) for r in range(count)],),
            )


def _add_marginals(model: LinearModel, c: CompiledProblem, x: Columns, bags: list[_Bag]) -> None:
    rows = _Rows()
    executors = np.arange(x.shape[1])
    for bag in bags:
        node = bag.nodes[0]
        rows.add(executors, x[node], -1.0)
        rows.add(bag.of(node), bag.columns, 1.0)
        rows.count += len(executors)
    rows.put(model, "marginal", 0.0, 0.0)


def _add_consistency(model: LinearModel, c: CompiledProblem, tree: TreeDecomposition, bags: list[_Bag]) -> None:
    rows = _Rows()
    executors = c.allowed.shape[1]
    for bag, parent in zip(bags, tree.parent, strict=True):
        separator = bag.nodes[1:]
        if parent < 0:
            continue
        mine, theirs = bag.key(separator, executors), bags[parent].key(separator, executors)
        keys = np.unique(np.concatenate([mine, theirs]))
        rows.add(np.searchsorted(keys, mine), bag.columns, 1.0)
        rows.add(np.searchsorted(keys, theirs), bags[parent].columns, -1.0)
        rows.count += len(keys)
    rows.put(model, "consistent", 0.0, 0.0)


def _add_pairs(model: LinearModel, c: CompiledProblem, y: Columns, tree: TreeDecomposition, bags: list[_Bag]) -> None:
    rows = _Rows()
    pairs = np.arange(y.shape[1])
    for edge, (u, v) in enumerate(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)):
        bag = bags[tree.holding((u, v))]
        pair = c.pair_number[c.executor_device[bag.of(u)], c.executor_device[bag.of(v)]]
        moved = pair >= 0
        rows.add(pairs, y[edge], -1.0)
        rows.add(pair[moved], bag.columns[moved], 1.0)
        rows.count += len(pairs)
    rows.put(model, "pair", 0.0, 0.0)


def _add_joint_copies(
    model: LinearModel,
    c: CompiledProblem,
    w: Columns,
    shared: SharedTensors,
    tree: TreeDecomposition,
    bags: list[_Bag],
) -> None:
    """Charge a copy in every state in which some use needs it: what single edges cannot say together."""
    rows = _Rows()
    ways = np.arange(w.shape[1])
    for position, tensor in enumerate(shared.tensors):
        clique = _clique(c, tensor)
        bag = bags[tree.holding(clique)]
        if not set(clique) <= set(bag.nodes):
            continue
        origin = c.executor_device[bag.of(clique[0])]
        used = np.zeros((len(bag.executors), len(ways)), dtype=bool)
        for consumer in clique[1:]:
            pair = c.pair_number[origin, c.executor_device[bag.of(consumer)]]
            used |= _ways_of(c, pair)
        state, way = np.nonzero(used)
        rows.add(ways, w[position], 1.0)
        rows.add(way, bag.columns[state], -1.0)
        rows.count += len(ways)
    rows.put(model, "joint_copy", 0.0, np.inf)


def _ways_of(c: CompiledProblem, pair: Index) -> Mask:
    """Return which ways (pairs, or links under multicast) a pair of devices uses, for each entry; -1: none."""
    if c.transport == "multicast":
        nothing = np.zeros((1, len(c.link_names)), dtype=bool)
        uses: Mask = np.vstack([c.pair_uses_link, nothing])[pair]
        return uses
    return pair[:, None] == np.arange(len(c.pair_origin))
