"""Exact merging: layers that some optimal plan never separates become one.

Under sequential execution, let a group of layers U hand all that it makes to a group V. Say U runs on i and V on j.
There are two ways to bring them together:

    A   U moves to j:   Δ_A = α_U(j) - α_U(i) + Σ_{τ into U} C_τ(i, j) - Σ_{τ from U to V} C_τ(i, j)
    B   V moves to i:   Δ_B = α_V(i) - α_V(j) + Σ_{τ out of V} n_τ C_τ(i, j) - Σ_{τ from U to V} C_τ(i, j)

α are what layers cost, C_τ(i, j) what a copy of τ costs from i to j, n_τ how many layers read τ. What comes from a
third device k, or goes there, then costs C_τ(k, j) <= C_τ(k, i) + C_τ(i, j) or the like, where the triangle inequality
holds (it is checked), and so the plan's cost changes by Δ at most. A needs that U alone reads what comes into it, B
that all that V reads comes from U.

If for every pair of devices i and j that U and V may have, A or B is possible with Δ <= 0 in the objective and in every
linear limit, adds nothing to what memory holds and goes where the group may be, then any optimal plan can be changed to
one that has U and V together and is feasible and no worse: to merge them keeps the optimum. By induction so does one
merger after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dnnopt.base.arguments import checked
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import LinearLimit, LinearTerm, MemoryLimit
from dnnopt.compiled.metrics import Array, LinearMetric, Mask
from dnnopt.methods.pool import Pool
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.problem.transforms.problems import AtGranularity, with_merged

WORTH_MERGING = 0.25  # a share of the layers; where fewer are merged away, solvers are hardly faster
_MOST_TESTS = 100_000  # of edges and pairs of devices
_ROUNDING = 1e-12  # the triangle inequality of sums of the same numbers


@checked
def merge_exactly(problem: AnyProblem) -> AtGranularity:
    """Return a problem with fewer layers and the same optimum.

    Nothing is merged where it is not known to keep the optimum: under another execution than ``sequential``, with
    transport other than ``unicast``, choices beyond placement, priorities, terms that are not linear, and constraints
    other than memory without buffers, allowed devices and linear limits.

    Parameters
    ----------
    problem : Problem, str or Path

    Returns
    -------
    AtGranularity
        Its `lift` says what a plan means for the original.
    """
    original = as_problem(problem)
    compiled = compile_problem(original)
    return _merged(original, compiled, never_apart(compiled))


def merged_pool(pool: Pool) -> Pool | None:
    """Return a pool of the problem with its layers merged, all of whose plans and claims go to the given pool too.

    None: merging is not known to keep the optimum, or leaves nearly as many layers, or to try it takes long.
    """
    c = pool.compiled
    if pool.stage or len(c.edge_producer) * len(c.pair_origin) > _MOST_TESTS:
        return None
    groups = never_apart(c)
    if len(groups) > (1 - WORTH_MERGING) * len(c.node_names):
        return None
    at = _merged(pool.problem, c, groups)
    merged = compile_problem(at.problem).at_stage(pool.stage, {})
    member_of = {
        (one.original.name, name): (one.original.name, joined)
        for one in at.networks
        for joined, members in one.members.items()
        for name in members
    }
    there = {
        key or name: node for node, (key, name) in enumerate(zip(merged.layer_keys, merged.node_names, strict=True))
    }
    image = np.array(
        [there[name if key is None else member_of[key]] for key, name in zip(c.layer_keys, c.node_names, strict=True)]
    )
    relay = Pool(at.problem, merged, pool.stage, cutoff=pool.cutoff)
    relay.twin = pool
    relay.pass_on = lambda placement, source, times: pool.offer_placement(placement[image], source)
    first = np.unique(image, return_index=True)[1]
    for known in pool.known:
        relay.offer_placement(known.placement[first], pool.found_by)
    return relay


def _merged(problem: Problem, compiled: CompiledProblem, groups: list[list[int]]) -> AtGranularity:
    """Return the problem with the layers among these nodes merged, group by group."""
    layers: dict[str, list[list[str]]] = {network.name: [] for network in problem.networks}
    for members in groups:
        keys = [key for key in (compiled.layer_keys[node] for node in members) if key is not None]
        if keys:
            layers[keys[0][0]].append([name for _, name in keys])
    return with_merged(problem, layers)


def never_apart(c: CompiledProblem) -> list[list[int]]:
    """Return the nodes in groups that some optimal plan has together; most groups have one node."""
    metrics = _metrics(c)
    alone = [[node] for node in range(len(c.node_names))]
    if metrics is None:
        return alone
    costs = [_copies(c, beta) for _, beta in metrics]
    if not all(_is_metric(cost) for cost in costs):
        return alone
    return _Merging(c, [alpha for alpha, _ in metrics], costs).groups()


def _metrics(c: CompiledProblem) -> list[tuple[Array, Array]] | None:
    """Return what must not grow, as what nodes (N, k) and copies over links (T, L) cost; None: there is more to it."""
    plain = c.execution == "sequential" and c.transport == "unicast" and not c.has_choices and not c.blocks
    plain = plain and not any(network.has_exits for network in c.problem.networks) and not c.problem.scenarios
    if not plain or len(c.objective) != 1 or len(c.executor_device) != len(c.device_names):
        return None
    terms = [term for term in c.objective[0] if isinstance(term, LinearTerm)]
    limits = [limit for limit in c.constraints if isinstance(limit, LinearLimit)]
    memory = [limit for limit in c.constraints if isinstance(limit, MemoryLimit) and not limit.buffers]
    listed: list[LinearMetric] = [term.metric for term in terms] + [limit.metric for limit in limits]
    known = len(terms) == len(c.objective[0]) and len(limits) + len(memory) == len(c.constraints)
    if not known or any(metric.exposes or metric.happens for metric in listed):
        return None
    alpha = sum((term.weight * term.metric.alpha for term in terms), np.zeros(c.allowed.shape))
    beta = sum(
        (term.weight * term.metric.link_charges(c.tensor_bytes) for term in terms),
        np.zeros((len(c.tensor_names), len(c.link_names))),
    )
    return [(alpha, beta), *((one.metric.alpha, one.metric.link_charges(c.tensor_bytes)) for one in limits)]


def _copies(c: CompiledProblem, beta: Array) -> Array:
    """Return what a copy of each tensor costs from device to device (T, D, D); inf: there is no route."""
    found = np.full((len(c.tensor_names), len(c.device_names), len(c.device_names)), np.inf)
    routed = c.pair_routed
    found[:, c.pair_origin[routed], c.pair_destination[routed]] = (beta @ c.pair_uses_link.T)[:, routed]
    devices = np.arange(len(c.device_names))
    found[:, devices, devices] = 0.0
    return found


def _is_metric(cost: Array) -> bool:
    """Return whether no detour is cheaper than the route."""
    return all(
        bool((cost <= (cost[:, :, j, None] + cost[:, j, None, :]) * (1 + _ROUNDING)).all())
        for j in range(cost.shape[1])
    )


@dataclass
class _Group:
    nodes: list[int]
    alpha: list[Array]  # (D,) for each metric
    allowed: Mask
    light: Mask  # on which devices it holds nothing that stays
    peak: Array
    into: set[int]  # tensors
    out: set[int]


class _Merging:
    def __init__(self, c: CompiledProblem, alphas: list[Array], costs: list[Array]) -> None:
        self.c, self.costs = c, costs
        count, devices = len(c.node_names), len(c.device_names)
        self.readers: dict[int, set[int]] = {}
        into: list[set[int]] = [set() for _ in range(count)]
        out: list[set[int]] = [set() for _ in range(count)]
        for tensor, u, v in zip(
            c.edge_tensor.tolist(), c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True
        ):
            self.readers.setdefault(tensor, set()).add(v)
            into[v].add(tensor)
            out[u].add(tensor)
        light, peak = np.ones((count, devices), dtype=bool), np.zeros((count, devices))
        for limit in c.constraints:
            if isinstance(limit, MemoryLimit):
                light[:, limit.device] &= limit.resident_in.max(axis=1) <= 0
                light[:, limit.device] &= ~limit.shared.readers.any(axis=0)
                if limit.peak_in.size:
                    peak[:, limit.device] = limit.peak_in.max(axis=1)
        self.group = {
            node: _Group(
                [node], [a[node] for a in alphas], c.allowed[node], light[node], peak[node], into[node], out[node]
            )
            for node in range(count)
        }

    def _edges(self) -> Iterator[tuple[int, int]]:
        return zip(self.c.edge_producer.tolist(), self.c.edge_consumer.tolist(), strict=True)

    def groups(self) -> list[list[int]]:
        """Merge what can be, until nothing more can, and return the nodes of each group."""
        merged = True
        while merged:
            merged = False
            for u, v in dict.fromkeys(self._edges()):
                first, second = self.group[u], self.group[v]
                both = self.c.is_layer[u] and self.c.is_layer[v]
                if first is not second and both and self._never_apart(first, second):
                    self._merge(first, second)
                    merged = True
        return [group.nodes for group in {id(group): group for group in self.group.values()}.values()]

    def _merge(self, first: _Group, second: _Group) -> None:
        joined = _Group(
            first.nodes + second.nodes,
            [a + b for a, b in zip(first.alpha, second.alpha, strict=True)],
            first.allowed & second.allowed,
            first.light & second.light,
            np.maximum(first.peak, second.peak),
            first.into | (second.into - first.out),
            second.out,
        )
        self.group |= dict.fromkeys(joined.nodes, joined)

    def _never_apart(self, first: _Group, second: _Group) -> bool:
        inside = set(second.nodes)
        if not all(self.readers[tensor] <= inside for tensor in first.out):
            return False
        moves_first = all(self.readers[tensor] <= set(first.nodes) for tensor in first.into)
        moves_second = second.into <= first.out
        found = False
        for i, j in self._pairs(first, second):
            if not (
                (moves_first and self._first_moves(first, second, i, j))
                or (moves_second and self._second_moves(first, second, i, j))
            ):
                return False
            found = True
        return found

    def _pairs(self, first: _Group, second: _Group) -> Iterator[tuple[int, int]]:
        """Yield the devices that the two may have, where they differ."""
        routed = np.isfinite(self.costs[0][next(iter(first.out))])
        for i in np.flatnonzero(first.allowed).tolist():
            for j in np.flatnonzero(second.allowed & routed[i]).tolist():
                if i != j:
                    yield i, j

    def _first_moves(self, first: _Group, second: _Group, i: int, j: int) -> bool:
        """Return whether the first is no worse off where the second is."""
        if not (first.allowed[j] and first.light[j] and first.peak[j] <= second.peak[j]):
            return False
        return all(
            alpha[j] - alpha[i] + self._sent(cost, first.into, i, j) <= self._sent(cost, first.out, i, j)
            for alpha, cost in zip(first.alpha, self.costs, strict=True)
        )

    def _second_moves(self, first: _Group, second: _Group, i: int, j: int) -> bool:
        """Return whether the second is no worse off where the first is."""
        if not (second.allowed[i] and second.light[i] and second.peak[i] <= first.peak[i]):
            return False
        return all(
            alpha[i] - alpha[j] + sum(len(self.readers[x]) * cost[x, i, j] for x in second.out)
            <= self._sent(cost, first.out, i, j)
            for alpha, cost in zip(second.alpha, self.costs, strict=True)
        )

    @staticmethod
    def _sent(cost: Array, tensors: set[int], i: int, j: int) -> float:
        return float(sum(cost[tensor, i, j] for tensor in tensors))
