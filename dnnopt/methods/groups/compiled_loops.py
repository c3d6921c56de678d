"""The inner loops of the group decomposition, compiled by numba. See `loops.Loops`."""

from __future__ import annotations

import numpy as np
from numba import njit

from dnnopt.methods.groups.batched_loops import ROOM


@njit(cache=True)
def charge_crossings(events, prices, out):
    starts, listed, often = events
    for group in range(len(prices)):
        for entry in range(len(starts) - 1):
            total = 0.0
            for position in range(starts[entry], starts[entry + 1]):
                total += often[position] * prices[group, listed[position]]
            out[group, entry] += total


@njit(cache=True)
def count_crossings(events, entries, out):
    starts, listed, often = events
    for group in range(len(entries)):
        for entry in entries[group]:
            for position in range(starts[entry], starts[entry + 1]):
                out[group, listed[position]] += often[position]


@njit(cache=True)
def _cost(walk, step, state, choice, choices, entries):
    first = walk.choices_at[step]
    count = walk.choices_at[step + 1] - first
    total = choices[first + choice]
    for use in range(walk.uses_at[step], walk.uses_at[step + 1]):
        total += entries[walk.entries_at[use] + walk.digits[walk.digits_at[use] + state] * count + choice]
    return total


@njit(cache=True)
def joint_table(walk, choices, entries, out):
    steps = len(walk.moves_at) - 1
    out[walk.states_at[steps]] = 0.0
    costs = np.empty(np.diff(walk.choices_at).max())
    for step in range(steps - 1, -1, -1):
        here, after = walk.states_at[step], walk.states_at[step + 1]
        count = walk.choices_at[step + 1] - walk.choices_at[step]
        mine, following = choices[walk.choices_at[step] :], out[after:]
        move = walk.moves_at[step]
        for state in range(after - here):
            for choice in range(count):
                costs[choice] = mine[choice]
            for use in range(walk.uses_at[step], walk.uses_at[step + 1]):
                entry = walk.entries_at[use] + walk.digits[walk.digits_at[use] + state] * count
                for choice in range(count):
                    costs[choice] += entries[entry + choice]
            best = np.inf
            for choice in range(count):
                to = walk.to[move + choice]
                if to >= 0:
                    best = min(best, following[to] + costs[choice])
            move += count
            out[here + state] = best


@njit(cache=True)
def _noted(walk, step, state, choice, chosen, used):
    count = walk.choices_at[step + 1] - walk.choices_at[step]
    chosen[step] = choice
    for use in range(walk.uses_at[step], walk.uses_at[step + 1]):
        used[use] = walk.entries_at[use] + walk.digits[walk.digits_at[use] + state] * count + choice


@njit(cache=True)
def joint_plan(walk, choices, entries, table, chosen, used):
    state = 0
    for step in range(len(walk.moves_at) - 1):
        count = walk.choices_at[step + 1] - walk.choices_at[step]
        best, mine, next_state = np.inf, 0, 0
        for choice in range(count):
            to = walk.to[walk.moves_at[step] + state * count + choice]
            if to >= 0:
                cost = table[walk.states_at[step + 1] + to] + _cost(walk, step, state, choice, choices, entries)
                if cost < best:
                    best, mine, next_state = cost, choice, to
        _noted(walk, step, state, mine, chosen, used)
        state = next_state


@njit(cache=True)
def joint_marginals(walk, choices, entries, table, out):
    steps = len(walk.moves_at) - 1
    out[:] = np.inf
    before = np.full(len(table), np.inf)
    before[0] = 0.0
    for step in range(steps):
        here, after = walk.states_at[step], walk.states_at[step + 1]
        first = walk.choices_at[step]
        count = walk.choices_at[step + 1] - first
        for state in range(after - here):
            if not before[here + state] < np.inf:
                continue
            for choice in range(count):
                to = walk.to[walk.moves_at[step] + state * count + choice]
                if to >= 0:
                    cost = before[here + state] + _cost(walk, step, state, choice, choices, entries)
                    before[after + to] = min(before[after + to], cost)
                    out[first + choice] = min(out[first + choice], cost + table[after + to])


@njit(cache=True)
def _side_step(walk, goes_on, choices, entries, shifts, step, following, now, sides):
    """Fill in the rows of the states before a step, the least costs by units left, and sides, from those after it.

    A row is the least of being out at a cost and in at another one; a side says whether that is in.
    """
    here, first, move = walk.states_at[step], walk.choices_at[step], walk.moves_at[step]
    full = now.shape[1] - 1
    for state in range(walk.states_at[step + 1] - here):
        cost, other = choices[first], choices[first + 1]
        for use in range(walk.uses_at[step], walk.uses_at[step + 1]):
            entry = walk.entries_at[use] + 2 * walk.digits[walk.digits_at[use] + state]
            cost += entries[entry]
            other += entries[entry + 1]
        shift = shifts[step, 1 if goes_on[here + state] else 0]
        leaves, enters = following[walk.to[move]], following[walk.to[move + 1]]
        row, side = now[state], sides[state]
        move += 2
        begin = min(max(shift, 0), full)
        for left in range(begin):
            row[left] = leaves[left] + cost
            side[left] = 0
        # Slices, and a loop without a branch, are what compilers turn into vector instructions.
        out, into = leaves[begin:full], enters[begin - shift : full - shift]
        least, inside = row[begin:full], side[begin:full]
        for left in range(full - begin):
            by_leaving, by_entering = out[left] + cost, into[left] + other
            enter = by_entering < by_leaving
            inside[left] = enter
            least[left] = by_entering if enter else by_leaving
        by_leaving = leaves[full - 1] + cost
        by_entering = enters[min(full - shift, full)] + other if shift <= full else np.inf
        side[full] = by_entering < by_leaving
        row[full] = min(by_leaving, by_entering)


@njit(cache=True)
def _side_table(walk, goes_on, choices, entries, shifts, out):
    steps = len(walk.moves_at) - 1
    sides = np.empty((np.diff(walk.states_at).max(), out.shape[1]), dtype=np.uint8)
    out[walk.states_at[steps]] = 0.0
    for step in range(steps - 1, -1, -1):
        now, following = out[walk.states_at[step] :], out[walk.states_at[step + 1] :]
        _side_step(walk, goes_on, choices, entries, shifts, step, following, now, sides)


@njit(cache=True)
def _left_after(left, choice, shift, size):
    """Units that are left; -1: too few."""
    if choice == 0:
        return min(left, size - 2)
    return min(left - shift, size - 1) if left >= shift else -1


@njit(cache=True)
def _side_optimum(walk, goes_on, choices, entries, shifts, rows, sides, chosen, used):
    """Fill in the best sides; rows are of two steps (2, states of one, size), sides of all (states, size)."""
    steps, size = len(walk.moves_at) - 1, rows.shape[2]
    now, following = rows[0], rows[1]
    following[0] = 0.0
    for step in range(steps - 1, -1, -1):
        mine = sides[walk.states_at[step] :]
        _side_step(walk, goes_on, choices, entries, shifts, step, following, now, mine)
        now, following = following, now
    state, left = 0, size - 2
    for step in range(steps):
        at = walk.states_at[step] + state
        side = np.int64(sides[at, left])
        _noted(walk, step, state, side, chosen, used)
        left = _left_after(left, side, shifts[step, 1 if goes_on[at] else 0], size)
        state = walk.to[walk.moves_at[step] + 2 * state + side]
    return following[0, size - 2]


@njit(cache=True)
def _side_marginals(walk, goes_on, choices, entries, shifts, table, out):
    steps, size = len(walk.moves_at) - 1, table.shape[1]
    out[:] = np.inf
    before = np.full(table.shape, np.inf)
    before[0, size - 2] = 0.0
    for step in range(steps):
        here, after = walk.states_at[step], walk.states_at[step + 1]
        for state in range(after - here):
            shift = shifts[step, 1 if goes_on[here + state] else 0]
            for choice in range(2):
                cost = _cost(walk, step, state, choice, choices, entries)
                if not cost < np.inf:
                    continue
                to = after + walk.to[walk.moves_at[step] + 2 * state + choice]
                for left in range(size):
                    rest = _left_after(left, choice, shift, size)
                    if rest >= 0:
                        value = before[here + state, left] + cost
                        if value < before[to, rest]:
                            before[to, rest] = value
                        place = walk.choices_at[step] + choice
                        out[place] = min(out[place], value + table[to, rest])


@njit(cache=True)
def side_tables(walk, goes_on, choices, entries, shifts, out):
    for group in range(len(out)):
        _side_table(walk, goes_on, choices[group], entries[group], shifts[group], out[group])


@njit(cache=True)
def side_optima(walk, goes_on, choices, entries, shifts, units, values, chosen, used):
    # Rows of two steps stay in the processor's caches, which tables of all would not.
    rows = np.empty((2, np.diff(walk.states_at).max(), units + 2))
    sides = np.empty((walk.states_at[-1], units + 2), dtype=np.uint8)
    for group in range(len(values)):
        mine = choices[group], entries[group], shifts[group]
        values[group] = _side_optimum(walk, goes_on, *mine, rows, sides, chosen[group], used[group])


@njit(cache=True)
def side_marginals(walk, goes_on, choices, entries, shifts, tables, out):
    for group in range(len(tables)):
        mine = tables[group]
        _side_marginals(walk, goes_on, choices[group], entries[group], shifts[group], mine, out[group])


@njit(cache=True)
def undominated(state, values, leaders):
    count, size = values.shape
    alive = np.ones(count, dtype=np.bool_)
    first = np.zeros(leaders, dtype=np.int64)
    known = 0
    for label in range(count):
        if label and state[label] != state[label - 1]:
            known = 0
        for other in first[:known]:
            worse = True
            for place in range(size):
                if values[label, place] < values[other, place]:
                    worse = False
                    break
            if worse:
                alive[label] = False
                break
        if alive[label] and known < leaders:
            first[known] = label
            known += 1
    return alive


@njit(cache=True)
def add_rests(rests, sides, state, runs, device, used, out):
    tables, unused, stands, often = rests
    most = tables.shape[2] - 1
    for group in range(len(stands)):
        mine, each, price = tables[stands[group]], often[group], unused[stands[group]]
        for label in range(len(out)):
            left = np.floor((most - 1) * (1.0 - used[group, label]) + runs[group, device[label]] + ROOM)
            if left < 0:
                out[label] = np.inf
            else:
                part = mine[sides[group, state[label]], min(np.int64(left), most)]
                out[label] += each * (part + price * (used[group, label] - 1.0))


@njit(cache=True)
def sum_paths(into, nodes, edges, out):
    for node in range(len(nodes)):
        first, last = into.starts[node], into.starts[node + 1]
        out[node] = nodes[node]
        if first < last:
            most = -np.inf
            for position in range(first, last):
                edge = into.edges[position]
                most = max(most, out[into.producers[edge]] + edges[edge])
            total = 0.0
            for position in range(first, last):
                edge = into.edges[position]
                total += np.exp(out[into.producers[edge]] + edges[edge] - most)
            out[node] += most + np.log(total)


@njit(cache=True)
def share_paths(into, nodes, edges, sums, flow, out):
    for node in range(len(nodes) - 1, -1, -1):
        if flow[node] > 0.0:
            for position in range(into.starts[node], into.starts[node + 1]):
                edge = into.edges[position]
                origin = into.producers[edge]
                out[edge] = flow[node] * np.exp(sums[origin] + edges[edge] - (sums[node] - nodes[node]))
                flow[origin] += out[edge]
