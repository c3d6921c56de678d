"""What the oracle says of a problem, and whether an answer agrees."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

from limits import placement_plan
from oracle import Verdict, cuts, formed, judge, placements, places
from oracle_placed import Placed

from dnnopt.methods.result import Result
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate

SECONDS = 5.0  # for one answer; what is not proved in this time is counted, and no mismatch
NOTHING = Fraction(1, 10**15)  # what solvers may say instead of 0
EARLY = 0.5  # an answer in less than this share of the time had the time to be proved
GAP = Fraction(1, 10**6)
CLOSE = Fraction(1, 10**5)  # of what other programs find, at their tolerances
ROUNDING = Fraction(1, 10**9)
MOST_NODES = 3000


class Mismatch(AssertionError):  # noqa: N818
    """An answer that is not what the oracle says."""


# Executors of all layers, forms of the tensors that have some ("": not sent, or plain), blocks ("": it does not run).
Choice = tuple[str, ...]


class Truth:
    """All plans of a problem, as the oracle judges them."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.formed = [(a.name, tensor.name) for a in problem.networks for tensor in a.tensors if tensor.forms]
        self.blocks = [block.name for block in problem.blocks]
        self.verdicts: dict[Choice, list[Verdict]] = {}
        for where in placements(problem):
            sent = Placed(problem, where).sent if self.formed else {}
            for forms, blocks in product(formed(problem, sent), cuts(problem, where)):
                of_blocks = (name if number in blocks else "" for number, name in enumerate(self.blocks))
                choice = (*where.values(), *(forms.get(key, "") for key in self.formed), *of_blocks)
                self.verdicts[choice] = judge(problem, where, MOST_NODES, forms, blocks)
        found = [(one.objectives, one) for verdicts in self.verdicts.values() for one in verdicts if one.feasible]
        self.feasible = [objectives for objectives, _ in found]
        self.strictly = [objectives for objectives, one in found if one.strictly_feasible]
        self.noise = max((abs(value) for one in self.feasible for value in one), default=Fraction()) / 10**14

    @property
    def infeasible(self) -> bool:
        return not self.feasible

    def choice(self, plan: Plan) -> Choice:
        """Return what a plan chooses, as `verdicts` has it: a form of a tensor that is not sent is none."""
        where = places(self.problem, plan)
        sent = Placed(self.problem, where).sent if self.formed else {}
        forms = (plan.forms.get(a, {}).get(tensor, "") if (a, tensor) in sent else "" for a, tensor in self.formed)
        stated = {(block.network, block.name) for block in self.problem.blocks}
        stated &= {(a, name) for a, names in plan.blocks.items() for name in names}
        of_blocks = (b.name if (b.network, b.name) in stated else "" for b in self.problem.blocks)
        return (*where.values(), *forms, *of_blocks)

    def plan(self, choice: Choice) -> Plan:
        """Return the plan with these choices."""
        layers = len(choice) - len(self.formed) - len(self.blocks)
        forms: dict[str, dict[str, str]] = {}
        for (network, tensor), form in zip(self.formed, choice[layers:], strict=False):
            if form:
                forms.setdefault(network, {})[tensor] = form
        blocks: dict[str, list[str]] = {}
        for block, name in zip(self.problem.blocks, choice[len(choice) - len(self.blocks) :], strict=True):
            if name:
                blocks.setdefault(block.network, []).append(name)
        return placement_plan(self.problem, choice[:layers]).replace(forms=forms, blocks=blocks)

    def best_objective(self, choice: Choice) -> Fraction | None:
        """Return the least objective (of the first priority) of a feasible plan with these choices."""
        return min((one.objectives[0] for one in self.verdicts[choice] if one.feasible), default=None)

    def least(self, priority: int, reached: tuple[float, ...]) -> Fraction:
        """Return the least objective of a priority among the plans that keep to what earlier ones reached."""
        able = [
            one
            for one in self.strictly
            if all(value <= Fraction(cap) + self.noise for value, cap in zip(one[:priority], reached, strict=False))
        ]
        return min(one[priority] for one in able)

    def check_plan(self, plan: Plan | None, objectives: tuple[float, ...]) -> None:
        """Assert that the plan is feasible and its objectives are right."""
        if plan is None:
            raise Mismatch("an objective without a plan")
        choice = self.choice(plan)
        verdicts = [one for one in self.verdicts[choice] if one.feasible]
        if not verdicts:
            raise Mismatch(f"the plan {choice} is infeasible")
        if self.problem.execution == "scheduled":
            judged = evaluate(self.problem, plan)
            if not judged.feasible or judged.objectives != objectives:
                raise Mismatch("the referee refuses the schedule, or says another objective")
            least = min(one.objectives[0] for one in verdicts)
            if objectives[0] < least - ROUNDING * abs(least) - self.noise:
                raise Mismatch(f"{objectives[0]} is better than every schedule of {choice}")
        elif not self._same(objectives, verdicts[0].objectives):
            raise Mismatch(f"the plan's objectives are {floats(verdicts[0].objectives)}, not {objectives}")

    def _same(self, found: tuple[float, ...], right: tuple[Fraction, ...]) -> bool:
        pairs = zip(found, right, strict=True)
        return all(abs(Fraction(one) - other) <= ROUNDING * abs(other) + self.noise for one, other in pairs)

    def check(self, result: Result) -> str:
        """Assert that status, objectives and bounds are right; return what to count the answer as."""
        objectives = () if result.evaluation is None else result.evaluation.objectives
        if result.status in ("error", "unbounded"):
            raise Mismatch(f"status {result.status}: {result.message} {'; '.join(result.contradictions)}")
        if result.status == "infeasible":
            if self.strictly:
                raise Mismatch(f"infeasible, but the best is {float(self.least(0, ()))!r}")
            return "infeasible"
        if self.infeasible:
            if result.status == "optimal" or result.plan is not None:
                raise Mismatch(f"{result.status} {result.objective!r}, but no plan is feasible")
            return "unproved"
        if result.evaluation is not None:
            self.check_plan(result.plan, objectives)
        if self.strictly:
            self._check_incumbents(result)
            for priority, bound in enumerate(result.bounds):
                self._check_stage(result, priority, bound, objectives)
        if result.status != "optimal":
            return "unproved" if result.runtime > EARLY * SECONDS else "unproved early"
        return "optimal"

    def _check_incumbents(self, result: Result) -> None:
        """Assert that no solver had a plan that is better than all: its model would have left out a limit."""
        if len({term.priority for term in self.problem.minimize}) > 1 or self.problem.execution in (
            "scheduled",
            "call",
        ):
            return  # what is reported then is of any priority, or of no plan
        found = [one.objective for one in result.trace if one.objective is not None]
        best = self.least(0, ())
        if min(found, default=math.inf) < best - CLOSE * abs(best) - 10**6 * self.noise - NOTHING:
            raise Mismatch(f"a plan of {min(found)!r} was reported, but the best is {float(best)!r}")

    def _check_stage(self, result: Result, priority: int, bound: float | None, reached: tuple[float, ...]) -> None:
        if priority > len(reached):
            return
        best = self.least(priority, reached)
        allowed = GAP * abs(best) + self.noise
        if bound is not None and Fraction(bound) > best + allowed:
            raise Mismatch(f"bound {bound!r} of priority {priority}, but the best is {float(best)!r}")
        if result.status == "optimal" and (not reached or Fraction(reached[priority]) > best + allowed):
            raise Mismatch(f"optimal {reached} at priority {priority}, but the best is {float(best)!r}")


def floats(values: tuple[Fraction, ...]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
