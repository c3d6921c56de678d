"""States of nodes in the tree program where there are blocks: a host, and a block or none.

The state `block · H + host` of a node counts its own blocks, with none of them first. The form of a tensor is no part
of it (see `sizes.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.ties import all_ties


@dataclass(frozen=True, eq=False)
class States:
    """The states of all nodes of a problem with blocks.

    Attributes
    ----------
    c : CompiledProblem
    blocks : list of arrays
        For each node: its blocks, after -1.
    forms : array (N,)
        How many choices of forms each has.
    """

    c: CompiledProblem
    blocks: list[Index]
    forms: Index

    @classmethod
    def of(cls, c: CompiledProblem) -> States:
        """Return them."""
        assert c.block is not None
        member = [
            [number for number, one in enumerate(c.blocks) if node in one.nodes] for node in range(len(c.allowed))
        ]
        blocks = [np.array([-1, *mine]) for mine in member]
        counts = [len(c.choices[node]) // len(mine) if node in c.choices else 1 for node, mine in enumerate(blocks)]
        return cls(c, blocks, np.array(counts))

    @property
    def sizes(self) -> list[int]:
        """How many states each node has."""
        return [len(self.c.host_names) * len(mine) for mine in self.blocks]

    @property
    def ties(self) -> list[tuple[int, int]]:
        """Pairs of nodes that blocks tie."""
        return sorted({(int(u), int(v)) for u, v, _ in all_ties(self.c)})

    def costs(self, alpha: Array) -> list[Array]:
        """Return what each state costs, given the costs of executors (N, k); infinite: it is not allowed."""
        hosts = len(self.c.host_names)
        found = []
        for node, (mine, forms) in enumerate(zip(self.blocks, self.forms.tolist(), strict=True)):
            count = len(mine) * forms * hosts
            allowed = self.c.allowed[node, :count].reshape(len(mine), forms, hosts).any(axis=1)
            cost = alpha[node, :count].reshape(len(mine), forms, hosts)[:, 0]
            found.append(np.where(allowed, cost, np.inf).ravel())
        return found

    def wide(self, table: Array, variables: Sequence[int]) -> Array:
        """Return a table over hosts of nodes (and other variables, which are no nodes) as one over their states."""
        for axis, variable in enumerate(variables):
            if variable < len(self.blocks) and len(self.blocks[variable]) > 1:
                table = np.concatenate([table] * len(self.blocks[variable]), axis=axis)
        return table

    def tied(self) -> Iterator[tuple[tuple[int, int], Array]]:
        """Yield pairs of nodes that blocks tie, and a table over their states: infinite where a block is torn."""
        hosts = np.arange(len(self.c.host_names))
        by_pair: dict[tuple[int, int], list[int]] = {}
        for u, v, number in all_ties(self.c).tolist():
            by_pair.setdefault((u, v), []).append(number)
        for (u, v), numbers in by_pair.items():
            sides = [
                (np.repeat(self.blocks[node], len(hosts)), np.tile(hosts, len(self.blocks[node]))) for node in (u, v)
            ]
            (of_u, at_u), (of_v, at_v) = ((block[:, None], host[:, None]) for block, host in sides)
            torn = np.zeros((len(of_u), len(of_v)), dtype=bool)
            for number in numbers:
                has_u, has_v = of_u == number, (of_v == number).T
                torn |= (has_u != has_v) | (has_u & (at_u != at_v.T))
            yield (u, v), np.where(torn, np.inf, 0.0)

    def by_executor(self, values: Sequence[Array]) -> Array:
        """Return values of states as those of executors (N, k); infinite where a node has none. Without forms."""
        found = np.full(self.c.time.shape, np.inf)
        for row, own in zip(found, values, strict=True):
            row[: len(own)] = own
        return found

    def beyond(self, chosen: Index) -> Index:
        """Return how much higher executors are numbered in the blocks of chosen states (N,) than in none."""
        hosts = len(self.c.host_names)
        return np.asarray(hosts * (chosen // hosts) * self.forms)
