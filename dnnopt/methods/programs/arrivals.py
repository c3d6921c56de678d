"""When layers end on the critical path, in labels: what a mean of paths leaves out of the plan so far.

Let φ be a flow along the networks (see `flows.py`). Where node v starts at s_v, when the last of its tensors is there,
a label's sum over paths is too low by

    Σ_uv φ_uv (s_v - (e_u + c_uv)) >= 0         e_u: when u ends, c_uv: seconds of sending to v

With these slacks added up, it is the mean of when the last layers end; at the end of the networks, with one last layer
each, that is what all latencies come to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.slots import FrontierStep, SlotUse


@dataclass(frozen=True, eq=False)
class LabelTimes:
    """Times in labels.

    Attributes
    ----------
    slack : array (B,)
        What the sum over paths is too low by.
    ends : array (B, slots)
        When the producer of each slot ends; 0 where there is none.
    sums : array (B, M + 1)
        The largest weighted end of nodes without successors, in each of several maxima, and the sum of other terms.
    """

    slack: Array
    ends: Array
    sums: Array

    def take(self, chosen: Index | Mask) -> LabelTimes:
        """Return some of them."""
        return LabelTimes(self.slack[chosen], self.ends[chosen], self.sums[chosen])

    @property
    def objectives(self) -> Array:
        """Those of labels after the last step (B,)."""
        total: Array = self.sums.sum(axis=1)
        return total

    @property
    def columns(self) -> Array:
        """What must nowhere be later, or more, in a label that dominates another one."""
        return np.concatenate([self.ends, self.sums], axis=1)


@dataclass(frozen=True, eq=False)
class Arrivals:
    """What is needed to follow times.

    Attributes
    ----------
    frontier : Frontier
        With one row: the other terms of the objective.
    nodes : array (N, k)
        Seconds of nodes in executors.
    edges : array (E, P + 1)
        Seconds of edges over pairs of devices; none over the last.
    weights : array (E,)
        What a second of slack at each edge adds to the bound.
    maxima : array (M, A)
        The weight of each network's latency in each maximum.
    latest : array (N, k)
        When a node must start at the latest.
    means : array
        Numbers of the rows that are means of paths.
    """

    frontier: Frontier
    nodes: Array
    edges: Array
    weights: Array
    maxima: Array
    latest: Array
    means: Index

    def start(self) -> LabelTimes:
        """Return those of the label before the first step."""
        return LabelTimes(np.zeros(1), np.zeros((1, 0)), np.zeros((1, len(self.maxima) + 1)))

    def of_children(
        self, step: FrontierStep, times: LabelTimes, digits: Index, executors: Index
    ) -> tuple[Array, Array]:
        """Return when the step's node starts in each executor (B, h), and the slack that this adds."""
        devices = self.frontier.c.executor_device[executors]
        starts = np.zeros((len(times.slack), len(executors)))
        arrivals = [
            (edge, times.ends[:, use.axis, None] + seconds[digits[use.axis]])
            for use in step.uses
            for edge, seconds in self.seconds(use, devices)
        ]
        for _, arrival in arrivals:
            np.maximum(starts, arrival, out=starts)
        slack = np.zeros(starts.shape)
        for edge, arrival in arrivals:
            slack += self.weights[edge] * (starts - arrival)
        return starts, slack

    def seconds(self, use: SlotUse, devices: Index) -> list[tuple[int, Array]]:
        """Return the edges of a use, with their seconds from each code to each device (codes, devices)."""
        pairs = self.frontier.c.pair_number[use.slot.origins][:, devices]
        return [(edge, self.edges[edge][pairs]) for edge in use.edges]

    def after(
        self,
        step: FrontierStep,
        times: LabelTimes,
        digits: Index,
        parent: Index,
        executor: Index,
        starts: Array,
        slack: Array,
    ) -> LabelTimes:
        """Return those of children of labels, given the starts and slacks of each child (B,)."""
        frontier = self.frontier
        others = frontier.alpha[step.node, executor, 0].copy()
        for use in step.uses:
            others += frontier.sent(use, digits[use.axis][parent], frontier.c.executor_device[executor])[..., 0]
        end = starts + self.nodes[step.node, executor]
        begun = step.slots_after[len(step.kept) :]
        columns = [end if slot.producer >= 0 else np.zeros(len(end)) for slot in begun]
        ends = np.concatenate([times.ends[parent][:, step.kept], *(column[:, None] for column in columns)], axis=1)
        sums = times.sums[parent]
        sums[:, -1] += others
        if all(slot.producer < 0 for slot in begun):
            weights = self.maxima[:, frontier.c.node_network[step.node]]
            sums[:, :-1] = np.maximum(sums[:, :-1], end[:, None] * weights)
        return LabelTimes(times.slack[parent] + slack, ends, sums)
