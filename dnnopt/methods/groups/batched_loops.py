"""The inner loops of the group decomposition, batched by numpy. See `loops.Loops`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.groups.steps import Crossings, Incoming, Rests, Walk

ROOM = 1e-6  # units


def charge_crossings(events: Crossings, prices: Array, out: Array) -> None:
    """Add to each entry of `out` (G, entries) the prices (G, events) of its events."""
    entry = np.repeat(np.arange(out.shape[1]), np.diff(events.starts))
    for mine, total in zip(prices, out, strict=True):
        total += np.bincount(entry, weights=events.counts * mine[events.events], minlength=len(total))


def count_crossings(events: Crossings, entries: Index, out: Array) -> None:
    """Add counts to `out` (G, events) for each event of the entries (G, uses)."""
    for mine, total in zip(entries, out, strict=True):
        times = np.bincount(mine, minlength=len(events.starts) - 1)
        total += np.bincount(
            events.events, events.counts * np.repeat(times, np.diff(events.starts)), minlength=len(total)
        )


def _steps(walk: Walk, choices: Array, entries: Array) -> Iterator[tuple[int, Index, Array]]:
    """Yield the steps from the last to the first, the moves (states, choices), and what these cost."""
    for step in range(len(walk.moves_at) - 2, -1, -1):
        cost = choices[walk.choices_at[step] : walk.choices_at[step + 1]]
        states, count = walk.states_at[step + 1] - walk.states_at[step], len(cost)
        to = walk.to[walk.moves_at[step] : walk.moves_at[step + 1]].reshape(states, count)
        total = np.broadcast_to(cost, (states, count))
        for use in range(walk.uses_at[step], walk.uses_at[step + 1]):
            mine = entries[walk.entries_at[use] : walk.entries_at[use + 1]].reshape(-1, count)
            digits = walk.digits[walk.digits_at[use] : walk.digits_at[use] + states]
            total = total + mine[digits]
        yield step, to, total


def _noted(walk: Walk, step: int, state: int, choice: int, chosen: Index, used: Index) -> None:
    count = walk.choices_at[step + 1] - walk.choices_at[step]
    chosen[step] = choice
    uses = np.arange(walk.uses_at[step], walk.uses_at[step + 1])
    used[uses] = walk.entries_at[uses] + walk.digits[walk.digits_at[uses] + state] * count + choice


def joint_table(walk: Walk, choices: Array, entries: Array, out: Array) -> None:
    """Fill in the least cost from each state to the end (states,)."""
    out[-1] = 0.0
    for step, to, cost in _steps(walk, choices, entries):
        here, after, end = walk.states_at[step : step + 3]
        total = np.where(to >= 0, out[after:end][to] + cost, np.inf)
        out[here:after] = total.min(axis=1, initial=np.inf)


def joint_plan(walk: Walk, choices: Array, entries: Array, table: Array, chosen: Index, used: Index) -> None:
    """Fill in the best choices (N,), counted from the first, and the entries of their uses (uses,)."""
    state = 0
    for step, to, cost in reversed(list(_steps(walk, choices, entries))):
        after, end = walk.states_at[step + 1 : step + 3]
        total = np.where(to[state] >= 0, table[after:end][to[state]] + cost[state], np.inf)
        choice = int(total.argmin())
        _noted(walk, step, state, choice, chosen, used)
        state = int(to[state, choice])


def joint_marginals(walk: Walk, choices: Array, entries: Array, table: Array, out: Array) -> None:
    """Fill in the least cost of a plan with each choice (choices,)."""
    before = np.full(len(table), np.inf)
    before[0] = 0.0
    for step, to, cost in reversed(list(_steps(walk, choices, entries))):
        here, after, end = walk.states_at[step : step + 3]
        total = np.where(to >= 0, before[here:after, None] + cost, np.inf)
        np.minimum.at(before[after:end], to[to >= 0], total[to >= 0])
        rest = np.where(to >= 0, total + table[after:end][to], np.inf)
        out[walk.choices_at[step] : walk.choices_at[step + 1]] = rest.min(axis=0, initial=np.inf)


def _left_after(size: int, runs: Mask, shifts: Index) -> Index:
    """Return the units left after being out, and in (2, states, size); -1: too few."""
    left = np.arange(size)
    outside = np.broadcast_to(np.minimum(left, size - 2), (len(runs), size))
    inside = left - np.where(runs, shifts[1], shifts[0])[:, None]
    return np.stack([outside, np.clip(inside, -1, size - 1)])


def _side_table(walk: Walk, goes_on: Mask, choices: Array, entries: Array, shifts: Index, out: Array) -> None:
    """Fill in the least cost from each state to the end, by units of memory that are left (states, units + 2)."""
    out[-1] = 0.0
    for step, to, cost in _steps(walk, choices, entries):
        here, after, end = walk.states_at[step : step + 3]
        rest = _left_after(out.shape[1], goes_on[here:after], shifts[step])
        both = [
            np.where(rest[side] >= 0, out[after:end][to[:, side, None], rest[side]] + cost[:, side, None], np.inf)
            for side in (0, 1)
        ]
        np.minimum(both[0], both[1], out=out[here:after])


def _side_plan(
    walk: Walk,
    goes_on: Mask,
    choices: Array,
    entries: Array,
    shifts: Index,
    table: Array,
    chosen: Index,
    used: Index,
) -> None:
    """Fill in the best sides (N,), and the entries of their uses (uses,)."""
    state, left = 0, table.shape[1] - 2
    for step, to, cost in reversed(list(_steps(walk, choices, entries))):
        here, after = walk.states_at[step : step + 2]
        rest = _left_after(table.shape[1], goes_on[here + state : here + state + 1], shifts[step])[:, 0, left]
        total = np.where(rest >= 0, table[after + to[state], rest] + cost[state], np.inf)
        side = int(total.argmin())
        _noted(walk, step, state, side, chosen, used)
        state, left = int(to[state, side]), int(rest[side])


def _side_marginals(
    walk: Walk, goes_on: Mask, choices: Array, entries: Array, shifts: Index, table: Array, out: Array
) -> None:
    """Fill in the least cost with each node on each side (choices,)."""
    before = np.full(table.shape, np.inf)
    before[0, -2] = 0.0
    for step, to, cost in reversed(list(_steps(walk, choices, entries))):
        here, after, end = walk.states_at[step : step + 3]
        rest = _left_after(table.shape[1], goes_on[here:after], shifts[step])
        for side in (0, 1):
            place = to[:, side, None], np.maximum(rest[side], 0)
            total = np.where(rest[side] >= 0, before[here:after] + cost[:, side, None], np.inf)
            np.minimum.at(before[after:end], place, total)
            out[walk.choices_at[step] + side] = (total + table[after:end][place]).min()


def side_tables(walk: Walk, goes_on: Mask, choices: Array, entries: Array, shifts: Index, out: Array) -> None:
    """Fill in the least cost from each state to the end, by units of memory left (G, states, units + 2)."""
    for mine in zip(choices, entries, shifts, out, strict=True):
        _side_table(walk, goes_on, *mine)


def side_optima(
    walk: Walk,
    goes_on: Mask,
    choices: Array,
    entries: Array,
    shifts: Index,
    units: int,
    values: Array,
    chosen: Index,
    used: Index,
) -> None:
    """Fill in the least cost with so many units (G,), the best sides (G, N), and their uses' entries (G, uses)."""
    table = np.zeros((int(walk.states_at[-1]), units + 2))
    for group, mine in enumerate(zip(choices, entries, shifts, strict=True)):
        _side_table(walk, goes_on, *mine, table)
        values[group] = table[0, units]
        _side_plan(walk, goes_on, *mine, table, chosen[group], used[group])


def side_marginals(
    walk: Walk, goes_on: Mask, choices: Array, entries: Array, shifts: Index, tables: Array, out: Array
) -> None:
    """Fill in the least cost with each node on each side (G, choices)."""
    for mine in zip(choices, entries, shifts, tables, out, strict=True):
        _side_marginals(walk, goes_on, *mine)


def undominated(state: Index, values: Array, leaders: int) -> Mask:
    """Return which labels (B,) none of the first few, which are not dominated either, is nowhere worse than."""
    alive = np.ones(len(state), dtype=bool)
    begins = np.flatnonzero(np.concatenate([[True], state[1:] != state[:-1]])) if len(state) else state
    group = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(state))))
    leader = begins.copy()
    ends = np.append(begins[1:], len(state))
    for _ in range(leaders):
        mine = leader[group]
        compared = np.flatnonzero(alive & (np.arange(len(state)) > mine))
        if not len(compared):
            break
        worse = (values[compared] >= values[mine[compared]]).all(axis=1)
        alive[compared[worse]] = False
        # The next one in each group that is still there.
        following = np.where(alive, np.arange(len(state)), len(state))
        following = np.minimum.accumulate(following[::-1])[::-1]
        leader = np.minimum(np.append(following, len(state))[np.minimum(leader + 1, len(state))], ends)
        leader = np.where(leader >= ends, len(state), leader)
    return alive


def add_rests(rests: Rests, sides: Index, state: Index, runs: Array, device: Index, used: Array, out: Array) -> None:
    """Add to `out` (B,) what the rest of a plan costs at least in all groups."""
    most = rests.tables.shape[2] - 1
    left = np.floor((most - 1) * (1.0 - used) + runs[:, device] + ROOM)
    place = np.clip(left, 0, most).astype(np.int64)
    part = rests.tables[rests.stands[:, None], sides[:, state], place] + rests.unused[rests.stands, None] * (used - 1.0)
    out += rests.often @ np.where(left < 0, np.inf, part)


def sum_paths(into: Incoming, nodes: Array, edges: Array, out: Array) -> None:
    """Fill in the logarithm of the sum, over all paths to each node, of what they weigh (N,)."""
    for node, (here, after) in enumerate(pairwise(into.starts.tolist())):
        out[node] = nodes[node]
        if here < after:
            mine = into.edges[here:after]
            out[node] += np.logaddexp.reduce(out[into.producers[mine]] + edges[mine])


def share_paths(into: Incoming, nodes: Array, edges: Array, sums: Array, flow: Array, out: Array) -> None:
    """Fill in the flow of each edge, and add to that of nodes (N,) what goes through them to those that have some."""
    for node in range(len(nodes) - 1, -1, -1):
        mine = into.edges[into.starts[node] : into.starts[node + 1]]
        if len(mine) and flow[node] > 0.0:
            origins = into.producers[mine]
            out[mine] = flow[node] * np.exp(sums[origins] + edges[mine] - (sums[node] - nodes[node]))
            np.add.at(flow, origins, out[mine])
