"""Group decomposition: a bound on sums under tight memory, from a program without memory and one for each group.

For groups g of devices with memory M_g = Σ_{i in g} M_i, and multipliers U, L, E (free), ν >= 0:

    J   = min over placements, whatever they need of memory, of
          cost - Σ_g (Σ_v U_vg [v in g] + Σ_τ L_τg [τ leaves g] + Σ_τ E_τg [τ enters g])
    D_g = min over sets of layers within M_g of
          Σ_v (U_vg + ν_g m_vg / M_g) [v in g] + Σ_τ L_τg [τ leaves g] + Σ_τ E_τg [τ enters g] - ν_g

J + Σ_g D_g is a bound for all multipliers: for a plan within memory the multipliers' terms cancel. With groups of one
device this is Dantzig-Wolfe decomposition by devices; larger groups see what these do not, that layers which alternate
between two devices fill both. With U_vg = -μ_g m_vg, ν_g = μ_g M_g and nothing else it is the Lagrangian bound.

J is a dynamic program over the states of `Frontier`. D_g is one over sides (in g or not) times a grid of memory. A run
of layers in g takes ⌊P_b⌋ - ⌈P_a⌉ units, with P the sum of m_v before each step in units: never more than it takes, and
what rounding loses is lost once a run, not once a layer. So the grid only relaxes.

Multipliers are found by Adam (Kingma, Ba: Adam: a method for stochastic optimization, 2015) with falling steps; the
mean of its iterates is mostly better than any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.groups.families import DeviceGroups
from dnnopt.methods.groups.loops import loops, loops_for
from dnnopt.methods.groups.steps import Rests, joint_of, sides_of
from dnnopt.methods.programs.alike import orbit_means
from dnnopt.methods.programs.arrivals import Arrivals
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.rows import PlanSum, first_memory_limits, rows_of

UNITS = 256
_FIRST, _SECOND, _SMALL = 0.95, 0.999, 1e-3  # of Adam; gradients are whole numbers
_MEAN = 0.98
_LOOKS = 6  # at the mean of the iterates
_ROUNDING = 1e-9
_ROOM = 1e-6  # of how often a group counts
_MOST_CELLS = 30_000_000  # of grids, in all states of all groups


def _may(c: CompiledProblem) -> Mask:
    """Return on which devices nodes may be (N, D)."""
    found = np.zeros((len(c.node_names), len(c.device_names)), dtype=bool)
    for device in range(len(c.device_names)):
        found[:, device] = c.allowed[:, c.executor_device == device].any(axis=1)
    return found


class Decomposition:
    """The bound as a function of multipliers.

    Parameters
    ----------
    compiled : CompiledProblem
        With an objective that is one sum; `Frontier.refuses` must not refuse it.
    groups : DeviceGroups
    units : int
        Of memory, in the grids of groups: with twice as many no bound is worse. Fewer, if tables would be too large.
    more : sequence of PlanSum
        Further limits.

    Attributes
    ----------
    size : int
        How many multipliers there are.
    prices_end : int
        How many of them, the first ones, are prices.
    """

    def __init__(
        self, compiled: CompiledProblem, groups: DeviceGroups, units: int = UNITS, more: Sequence[PlanSum] = ()
    ) -> None:
        self.c, self.groups = compiled, groups
        rows = rows_of(compiled)
        limits = (*rows.limits, *more)
        self._loops = loops_for(0)
        self.frontier = Frontier(compiled, (*rows.objective, *limits), list(groups.classes))
        assert self.frontier.alike.classes == list(groups.classes)
        # Rows with prices: the objective, and all limits but those of memory. A device's own row is that of its first
        # limit above 0.
        self.priced = np.array([number for number, row in enumerate(self.frontier.rows) if row.memory is None])
        self._orbits = self.frontier.alike.orbits[self.priced[1:]]
        chosen = {id(limit) for limit in first_memory_limits(compiled).values()}
        self._memory = {row.device: number for number, row in enumerate(self.frontier.rows) if id(row.memory) in chosen}
        self.limits = np.array([0.0, *(row.limit for row in limits)])[self.priced]
        self.joint = joint_of(self.frontier, groups)
        self.sides = sides_of(self.frontier, groups.every)
        rows_of_grids = len(groups.memory) * int(self.sides.walk.states_at[-1])
        self.units = units = max(1, min(units, _MOST_CELLS // max(1, rows_of_grids) - 2))
        nodes, tensors, count = len(compiled.node_names), len(compiled.tensor_names), len(groups.members)
        self._shape = nodes, tensors, count
        self.size = self.prices_end = (nodes + 2 * tensors + 1) * count + len(self.priced) - 1
        self._placed, self._sent = self.joint.placed[:, self.priced], self.joint.sent[:, self.priced]
        self._shifts, self.fractions = groups.grid(self.sides.nodes, units)
        inside = _may(compiled)[self.sides.nodes]  # (N, D)
        able = np.array([[inside[:, ~mine].any(axis=1), inside[:, mine].any(axis=1)] for mine in groups.members])
        self._barred = np.where(able.reshape(count, 2, nodes).transpose(0, 2, 1), 0.0, np.inf)  # (G, N, 2)
        self._share = np.ascontiguousarray((groups.held[self.sides.nodes] / groups.memory).T)  # (G, N)
        self._table = np.zeros(self.joint.walk.states_at[-1])
        self._least = np.zeros(count)
        self._chosen = np.zeros(nodes, dtype=np.int64)
        self._used = np.zeros((1, len(self.joint.walk.digits_at)), dtype=np.int64)
        self._sides_chosen = np.zeros((count, nodes), dtype=np.int64)
        self._sides_used = np.zeros((count, len(self.sides.walk.digits_at)), dtype=np.int64)

    def split(self, multipliers: Array) -> tuple[Array, Array, Array, Array]:
        """Return views: U (N, G), L and E (2T, G), ν (G,) and the prices of rows beside the objective."""
        nodes, tensors, count = self._shape
        first, second = nodes * count, (nodes + 2 * tensors) * count
        third = second + count
        return (
            multipliers[:first].reshape(nodes, count),
            multipliers[first:second].reshape(2 * tensors, count),
            multipliers[second:third],
            multipliers[third : self.prices_end],
        )

    def start(self, prices: Array) -> Array:
        """Return the multipliers with the Lagrangian bound of prices (rows of the objective and of limits)."""
        multipliers = np.zeros(self.size)
        u, _, v, others = self.split(multipliers)
        known = self.priced[1:][self.priced[1:] < len(prices)]
        others[: len(known)] = prices[known]
        others[:] = orbit_means(others, self._orbits)
        for number, members in enumerate(self.groups.members):
            if members.sum() == 1:
                price = float(prices[self._memory[int(members.argmax())]])
                v[number] = price
                u[:, number] = -price * self.groups.held[:, number] / self.groups.memory[number]
        return multipliers

    def _joint_costs(self, multipliers: Array) -> tuple[Array, Array]:
        u, crossing, _, prices = self.split(multipliers)
        weights = np.array([1.0, *prices])
        choices = self._placed @ weights - (u[self.joint.nodes] * self.joint.inside).sum(axis=1)
        entries = np.ascontiguousarray(self._sent @ weights)
        self._loops.charge_crossings(self.joint.events, -crossing.reshape(1, -1), entries[None])
        return choices, entries

    def _side_costs(self, multipliers: Array) -> tuple[Array, Array]:
        """Return the costs of choices (G, 2N) and of entries (G, entries)."""
        u, crossing, unused, _ = self.split(multipliers)
        choices = self._barred.copy()
        choices[:, :, 1] += u[self.sides.nodes].T + unused[:, None] * self._share
        entries = np.zeros((len(choices), int(self.sides.walk.entries_at[-1])))
        self._loops.charge_crossings(self.sides.events, np.ascontiguousarray(crossing.T), entries)
        return choices.reshape(len(choices), 2 * len(self.sides.nodes)), entries

    def value(self, multipliers: Array) -> tuple[float, Array]:
        """Return the bound, and a subgradient; infinite: there is no plan."""
        gradient = np.zeros(self.size)
        u, crossing, unused, prices = self.split(gradient)
        walk, sides, goes_on = self.joint.walk, self.sides.walk, self.sides.goes_on
        costs, side_costs = self._joint_costs(multipliers), self._side_costs(multipliers)
        self._loops.joint_table(walk, *costs, self._table)
        self._loops.side_optima(
            sides, goes_on, *side_costs, self._shifts, self.units, self._least, self._sides_chosen, self._sides_used
        )
        _, _, charged, priced = self.split(multipliers)
        often = self.groups.weights
        parts = np.array([self._table[0], *(often * self._least)])
        if not np.isfinite(parts).all():
            return np.inf, gradient
        total = float(parts.sum() - often @ charged - priced @ self.limits[1:])
        total -= _ROUNDING * float(np.abs(parts).sum() + often @ charged + priced.sum())
        self._loops.joint_plan(walk, *costs, self._table, self._chosen, self._used[0])
        self._loops.count_crossings(self.joint.events, self._used, crossing.reshape(1, -1))
        crossed = np.zeros(crossing.T.shape)
        self._loops.count_crossings(self.sides.events, self._sides_used, crossed)
        crossing *= -1.0
        crossing += often * crossed.T
        chosen = self._chosen + walk.choices_at[:-1]
        u[self.sides.nodes] = often * self._sides_chosen.T
        u[self.joint.nodes[chosen]] -= self.joint.inside[chosen]
        unused[:] = often * ((self._share * self._sides_chosen).sum(axis=1) - 1.0)
        prices[:] = (self._placed[chosen].sum(axis=0) + self._sent[self._used[0]].sum(axis=0) - self.limits)[1:]
        prices[:] = orbit_means(prices, self._orbits)
        return total, gradient

    def ascend(
        self,
        multipliers: Array,
        steps: int,
        step: float,
        fall: float,
        ends: Callable[[float], bool],
        pace: float = 1.0,
    ) -> tuple[float, Array]:
        """Return the best bound found, and its multipliers.

        Parameters
        ----------
        multipliers : array
        steps : int
        step : float
            Of the first step; in units of the objective.
        fall : float
            The last step is this much smaller.
        ends : callable
            Called with the best bound at every step: whether to end there.
        pace : float
            The first step of multipliers that are no prices, as a share of the longest.
        """
        self._loops = loops()
        _, _, v, prices = self.split(current := multipliers.copy())
        best, gradient = self.value(current)
        found = current.copy()
        prices_end = self.prices_end
        first, second, mean = np.zeros(prices_end), np.zeros(prices_end), current.copy()
        looks = max(1, steps // _LOOKS)
        for number in range(1, steps + 1):
            if ends(best):
                break
            direction, shrunk = gradient[:prices_end], fall ** (number / steps)
            first += (1.0 - _FIRST) * (direction - first)
            second += (1.0 - _SECOND) * (direction * direction - second)
            length = step * shrunk / (1.0 - _FIRST**number)
            current[:prices_end] += length * first / (np.sqrt(second / (1.0 - _SECOND**number)) + _SMALL)
            self.turn_weights(current[prices_end:], gradient[prices_end:], pace * shrunk)
            np.maximum(v, 0.0, out=v)
            np.maximum(prices, 0.0, out=prices)
            mean += (1.0 - _MEAN) * (current - mean)
            value, gradient = self.value(current)
            if value > best:
                best, found = value, current.copy()
            if number % looks == 0 or number == steps:
                value, _ = self.value(mean)
                if value > best:
                    best, found = value, mean.copy()
        return best, found

    def turn_weights(self, weights: Array, gradient: Array, length: float) -> None:
        """Take a step, of a relative length, with the multipliers that are no prices: here are none."""

    def _side_tables(self, costs: tuple[Array, Array]) -> Array:
        """Return the tables of groups (G, side states, units + 2) by what `_side_costs` returns."""
        tables = np.zeros((len(self._least), self.sides.walk.states_at[-1], self.units + 2))
        self._loops.side_tables(self.sides.walk, self.sides.goes_on, *costs, self._shifts, tables)
        return tables

    def marginals(self, multipliers: Array) -> Array:
        """Return the bound of all plans with each node in each executor (N, k)."""
        total, _ = self.value(multipliers)
        found = np.full(self.c.allowed.shape, np.inf)
        if not np.isfinite(total):
            return found
        walk, sides, count = self.joint.walk, self.sides.walk, len(self._least)
        parts = float(self._table[0] + self.groups.weights @ self._least)
        least = np.zeros(len(self.joint.nodes))
        self._loops.joint_marginals(walk, *self._joint_costs(multipliers), self._table, least)
        side = np.zeros((count, 2 * len(self.sides.nodes)))
        costs = self._side_costs(multipliers)
        self._loops.side_marginals(sides, self.sides.goes_on, *costs, self._shifts, self._side_tables(costs), side)
        place = np.zeros(len(self.sides.nodes), dtype=np.int64)
        place[self.sides.nodes] = np.arange(len(place))
        out, inside = side.reshape(count, -1, 2)[:, place[self.joint.nodes]].transpose(2, 1, 0)  # (choices, G)
        part = self.joint.inside
        rest = self.groups.weights - part
        least += (part * np.where(part > 0, inside, 0.0)).sum(axis=1)
        least += (rest * np.where(rest > _ROOM, out, 0.0)).sum(axis=1)
        found[self.joint.nodes, self.joint.executors] = total + (least - parts)
        for members in self.frontier.alike.classes:
            found[:, members] = found[:, members].min(axis=1)[:, None]
        return found

    def followed(self, multipliers: Array) -> Frontier:
        """Return the frontier with the rows that multipliers bound."""
        return self.frontier

    def arrivals(self, multipliers: Array) -> Arrivals | None:
        """Return what follows times in labels, where the objective is no sum itself."""
        return None

    def completions(self, multipliers: Array) -> GroupCompletions:
        """Return what the rest of a plan costs at least."""
        self.value(multipliers)
        _, _, unused, prices = self.split(multipliers)
        weights = np.zeros((1, len(self.frontier.rows)))
        weights[0, self.priced] = [1.0, *prices]
        at = self.joint.walk.states_at.tolist()
        tables = [self._table[begin:end, None].copy() for begin, end in pairwise(at)]
        devices, rows = (np.array(list(which), dtype=np.int64) for which in (self._memory, self._memory.values()))
        limits = [self.frontier.rows[number].memory for number in self._memory.values()]
        sizes = np.array([limit.limit for limit in limits if limit is not None])
        share = self.groups.every[:, devices] * sizes / self.groups.memory[self.groups.stands, None]
        return GroupCompletions(
            self,
            self.followed(multipliers),
            weights,
            np.array([prices @ self.limits[1:]]),
            tables,
            Rests(
                self._side_tables(self._side_costs(multipliers)),
                unused.copy(),
                self.groups.stands,
                self.groups.share_of_each.sum(axis=1),
            ),
            rows,
            share,
            self.arrivals(multipliers),
        )


@dataclass(frozen=True, eq=False)
class GroupCompletions:
    """What the rest of a plan costs at least, given its state and the memory that groups have left.

    Attributes
    ----------
    of : Decomposition
    frontier, weights, charged, tables
        Of `Completions`: the joint program.
    rests : Rests
    memory : array (limits of memory,)
        Numbers of their rows.
    share : array (A, limits of memory)
        What part of a group's memory that of a device is; 0 where it is no member.
    arrivals : Arrivals, optional
    """

    of: Decomposition
    frontier: Frontier
    weights: Array
    charged: Array
    tables: list[Array]
    rests: Rests
    memory: Index
    share: Array
    arrivals: Arrivals | None

    def beside(self, after: int, state: Index, values: Array, device: Index) -> Array:
        """Return what groups add (B,) after so many steps, for states and sums of rows (B, R)."""
        of, sides, groups = self.of, self.of.sides, self.of.groups
        # Rows of the tables for all states, or for those of the labels, if these are fewer.
        count = int(np.diff(of.joint.walk.states_at[after : after + 2])[0])
        listed, at = (np.arange(count), state) if count < len(state) else (state, np.arange(len(state)))
        mine = np.zeros((len(groups.every), len(listed)), dtype=np.int64)
        for axis, codes, image in sides.images[after]:
            mine = mine * codes + image[:, self.frontier.steps[after].digits[axis, listed]]
        mine += sides.walk.states_at[after]
        runs = groups.every * of.fractions[groups.stands, after, None]
        used = self.share @ values[:, self.memory].T
        found = np.zeros(len(state))
        loops_for(len(state)).add_rests(self.rests, mine, at, runs, device, used, found)
        return found
