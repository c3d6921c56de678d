"""Every part enforces, leaves out or refuses by name whatever a problem has; what it says to enforce, it does."""

import pkgutil
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import import_module
from itertools import product
from typing import get_args

import numpy as np
import pytest
from brute_force import feasible_plans
from builders import layer, link, network, platform, problem, tensor
from pages import page
from scheduled_optimum import scheduled_optimum

import dnnopt as dp
from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled import constraints as kinds
from dnnopt.compiled import logical
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.presolve import presolve
from dnnopt.compiled.scope import Scope
from dnnopt.compiled.symmetry import identical_devices
from dnnopt.formulations import registry
from dnnopt.formulations.cp import constraints as cp
from dnnopt.formulations.milp import constraints as milp
from dnnopt.formulations.milp.timing import TIMINGS, time_indexed
from dnnopt.methods import bounds, exact
from dnnopt.methods.bounds import capped_loads, chains, contiguous, critical_paths, merged_devices
from dnnopt.methods.bounds.escapes import escapes
from dnnopt.methods.exact import EXACT
from dnnopt.methods.formulated import default_solver, run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.lagrangian import Lagrangian
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.objectives import largest
from dnnopt.problem.problem import Execution, Problem, Transport
from dnnopt.studies.capabilities import parts, parts_markdown

LIMITS = Limits(20.0, threads=1)
SAME = 1e-6


# Small problems whose optimum one constraint changes


@dataclass(frozen=True, eq=False)
class Case:
    """A problem with a constraint of a kind, and the same without it.

    `stage` and `caps` are those of a run on one of several priorities, `plain` is a problem of one that has the same
    optimum; where `implied`, the constraint follows from others and is added when the problem is compiled.
    """

    kind: type
    problem: Problem
    without: Problem
    stage: int = 0
    caps: tuple[tuple[int, float], ...] = ()
    plain: Problem | None = None
    implied: bool = False

    @cached_property
    def compiled(self):
        found = compile_problem(self.problem).at_stage(self.stage, dict(self.caps))
        return replace(found, constraints=(*found.constraints, *escapes(found))) if self.implied else found

    def pool(self):
        return Pool(self.problem, self.compiled, self.stage, dict(self.caps))

    @cached_property
    def optimum(self):
        return best(self.plain or self.problem)


def best(one):
    """Return the least objective of a plan that the referee accepts."""
    if one.execution == "scheduled":
        return scheduled_optimum(one)
    return min(objectives[0] for objectives, _ in feasible_plans(one))


THERE = {"a": (1, 9), "b": (9, 1), "c": (2, 8)}
BACK = {"a": (9, 1), "b": (1, 9), "c": (8, 2)}


def made(execution="sequential", minimize=None, subject_to=(), times=THERE):
    """Return a chain of three layers that runs fastest to and fro: a and c on p, b on q, or the other way round."""
    net = network(
        [layer(name, weights=2, activations=size) for name, size in zip("abc", (1, 2, 3), strict=True)],
        [tensor("t", "a", "b", 1, sensitivity=0.5), tensor("u", "b", "c", 2, sensitivity=1.0)],
        rate=0.1,
    )
    devices = [
        dp.Device(name="p", tier="end", trusted=True, price=2),
        dp.Device(name="q", tier="cloud", trusted=False, price=1, pool=True),
    ]
    links = [link("up", sender="p", trusted=True), link("down", receiver="p", trusted=True)]
    on = platform(devices, links, {"p>q": "up", "q>p": "down"})
    return problem(net, on, times, execution, minimize, subject_to, energies=times)


class Together(dp.CustomConstraint):
    label = "together"

    def violation(self, problem, plan):
        return len(set(plan.placement["net"].values())) - 1

    def add(self, build):
        for node in np.flatnonzero(build.c.is_layer)[1:]:
            columns = np.stack([build.x[node], build.x[0]], axis=1)
            build.model.add_rows(f"together({node})", columns, [1.0, -1.0], lower=0.0, upper=0.0)


def forked(**fields):
    """Return a problem in which a tensor goes to two devices over one wire: to r, it gets there by another one."""
    net = network("a b c", [tensor("t", "a", "b c", 1)])
    links = [link("w", sender="q", receiver="q"), link("v", receiver="r")]
    on = platform("p q r", links, {"p>q": "w", "r>q": "w", "p>r": "v w", "q>r": "v w", "q>p": "", "r>p": ""})
    times = {"a": (1, 50, 50), "b": (9, 1, 9), "c": (9, 9, 1)}
    return problem(net, on, times, minimize=dp.energy(), transport="multicast", energies=times, **fields)


def in_modes(execution, one_mode):
    """Return a problem in which a runs fastest in one mode of p, and b in the other."""
    one = made(execution, OBJECTIVES[execution])
    p = one.platform.devices[0].replace(modes=[dp.Mode(name="x"), dp.Mode(name="y")], one_mode=one_mode)
    times = {name: {"p:x": x, "p:y": y, "q": 100} for name, x, y in (("a", 1, 9), ("b", 9, 1), ("c", 2, 2))}
    on = one.platform.replace(devices=[p, one.platform.devices[1]])
    return one.replace(platform=on, profile={"time": {"net": times}})


def in_scenarios(execution, *limits):
    """Return a problem in which links are sometimes too slow for the plan of the least energy."""
    busy = dp.Scenario(name="busy", probability=0.5, bandwidth={"up": 0.1, "down": 0.1})
    return made(execution, dp.energy(), limits).replace(scenarios=[busy, dp.Scenario(name="idle", probability=0.5)])


# Constraints, each with others that are there in any case.
TRIED = [
    (kinds.LinearLimit, dp.traffic() <= 2, ()),
    (kinds.LinearLimit, dp.energy("p") <= 9.5, ()),
    (kinds.LinearLimit, dp.energy("q") <= 0.5, ()),
    (kinds.LinearLimit, dp.leakage() <= 0.4, ()),
    (kinds.MemoryLimit, dp.memory(limits={"p": 2}), ()),
    (kinds.MemoryLimit, dp.memory(limits={"q": 0}), ()),
    (kinds.MemoryLimit, dp.memory("weights+activations", limits={"p": 7}), ()),
    (kinds.MemoryLimit, dp.memory("weights+largest_activation", limits={"p": 6}), ()),
    (kinds.MemoryLimit, dp.memory(buffers=1, limits={"p": 4}), ()),
    (kinds.MemoryLimit, dp.memory(limits={"p": 1}), (dp.Contiguous(),)),
    (logical.Colocation, dp.Colocate(network="net", layers=("a", "b")), ()),
    (logical.Colocation, dp.Colocate(network="net", layers=("a", "b")), (dp.Contiguous(),)),
    (logical.Separation, dp.Separate(network="net", layers=("a", "c")), ()),
    (logical.Separation, dp.Separate(network="net", layers=("b", "c")), ()),
    (logical.Contiguity, dp.Contiguous(), ()),
    (logical.TierOrder, dp.MonotoneTiers(), ()),
    (logical.DeviceCount, dp.MaxDevices(limit=1), ()),
    (logical.CutCount, dp.MaxCuts(limit=1), ()),
    (logical.CutCount, dp.MaxCuts(limit=0), ()),
    (kinds.CustomLimit, Together(), ()),
]
OBJECTIVES = {
    "sequential": dp.latency(),
    "parallel": dp.latency(),
    "pipelined": dp.period(),
    "scheduled": dp.latency(),
    "call": dp.latency(),
}


def changing():
    """Yield the cases in which a constraint changes the optimum."""
    for (execution, objective), (kind, constraint, others) in product(OBJECTIVES.items(), TRIED):
        for times in (
            (THERE, BACK) if execution == "call" else (THERE,)
        ):  # one of them has calls that wait for each other
            limited = made(execution, objective, [constraint, *others], times)
            case = Case(kind, limited, made(execution, objective, others, times))
            if case.optimum > (1 + SAME) * best(case.without):
                yield case
                if kind is kinds.MemoryLimit:
                    yield replace(case, kind=kinds.Escape, implied=True)


def of_priorities(execution, first, cap, limits):
    then = dict(OBJECTIVES[execution]) | {"priority": 1}
    last = made(execution, subject_to=limits)
    return Case(kinds.ObjectiveLimit, made(execution, [first, then]), made(execution), 1, ((0, cap),), plain=last)


CASES = [
    *changing(),
    *(
        Case(kinds.DeadlineLimit, made(execution, dp.traffic(), [dp.latency() <= limit]), made(execution, dp.traffic()))
        for execution, limit in (("parallel", 8), ("scheduled", 8), ("call", 11.5))
    ),
    *(
        of_priorities(execution, dp.traffic(), cap, [dp.traffic() <= cap])
        for execution, cap in (("sequential", 2), ("parallel", 2), ("scheduled", 2), ("call", 0))
    ),
    of_priorities("parallel", largest(dp.traffic()), 1, [dp.traffic("up") <= 1, dp.traffic("down") <= 1]),
    *(
        Case(kinds.CallOrder, made("call", objective), made("sequential", objective))
        for objective in (dp.energy(), dp.period(), dp.latency())
    ),
    *(
        Case(kinds.OneMode, in_modes(execution, one_mode=True), in_modes(execution, one_mode=False))
        for execution in ("sequential", "parallel", "pipelined")
    ),
    *(
        Case(kinds.ShareLimit, in_scenarios(execution, dp.Deadline(12, share=0.9)), in_scenarios(execution))
        for execution in ("sequential", "pipelined")
    ),
    Case(kinds.MulticastTrees, forked(execution="scheduled"), forked(execution="parallel")),
]


def name_of(case):
    return f"{case.kind.__name__}-{case.problem.execution}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_each_case_has_its_kind_of_constraint_which_changes_the_optimum(case):
    assert any(type(one) is case.kind for one in case.compiled.constraints)
    assert case.optimum > (1 + SAME) * best(case.without)


def test_there_is_a_case_for_every_kind_of_constraint():
    assert {case.kind for case in CASES} == set(logical.KINDS)


# What parts say of them


def solved(part, case):
    """Return the value and the bound that a part finds for a case, None each where it finds none; or its refusal."""
    pool, c = case.pool(), case.compiled
    if part in EXACT:
        reason = EXACT[part].refuses(c)
        if reason:
            return reason
        assert EXACT[part].run(pool, LIMITS, Control()).status in ("optimal", "feasible")
        return pool.objective, pool.bound
    if part in registry.names():
        formulation = registry.find(part)
        reason = formulation.supports(c)
        if reason:
            return reason
        run_formulation(pool, formulation, default_solver(formulation), LIMITS, Control())
        return pool.objective if formulation.value == "exact" else None, pool.bound
    if part == "evaluator":
        return Evaluator.refuses(c) or (least(c), None)
    if part == "Lagrangian":
        reason = Lagrangian.refuses(c)
        if reason:
            return reason
        prices = Lagrangian(c)
        prices.maximize(LIMITS, Control())
        return None, prices.bound
    if part == "chain bound":
        return chains.refuses(c) or (None, chains.chain_bound(c))
    if part == contiguous.SOURCE:
        contiguous.bound_stages(pool, LIMITS, Control())
        return None, pool.bound
    return None, None


def least(c):
    """Return the least objective of all placements in which nothing is in excess."""
    placements = np.array(list(product(*(np.flatnonzero(row) for row in c.allowed))))
    evaluator = Evaluator(c)
    return float(evaluator.objectives(placements)[evaluator.excess(placements) == 0].min())


def shown():
    """Return the parts that enforce anything in an answer of their own.

    What identical devices are has its own tests; a plan on a grid of time is judged by the referee; and the timings
    that need variables for pairs of devices have none by `boundary`.
    """
    pairless = [f"boundary+{name}" for name, timing in TIMINGS.items() if timing.pairs]
    return [
        name for name in parts() if name not in ("identical devices", *pairless) and not name.endswith("-indexed-plan")
    ]


@pytest.mark.parametrize("part", shown())
def test_what_a_part_enforces_changes_its_answer_to_that_of_enumeration(part, monkeypatch):
    monkeypatch.setattr(time_indexed, "STEPS", 8)
    scope, seen = parts()[part], Counter()
    for case in CASES:
        if part in registry.names() and case.kind in seen:
            continue  # one of each kind: models take long
        found = solved(part, case)
        if isinstance(found, str):
            continue
        (value, bound), optimum = found, case.optimum
        assert value is None or value == pytest.approx(optimum, rel=SAME), (part, name_of(case))
        assert bound is None or bound <= optimum * (1 + SAME), (part, name_of(case))
        seen[case.kind] += 1
    claimed = {kind for kind in scope.enforces if may_be(kind, scope)}
    assert claimed <= set(seen), f"no case shows that {part} enforces {claimed - set(seen)}"


def may_be(kind, scope):
    """Return whether a problem with a constraint of a kind may have an execution that the part knows."""
    where = {
        kinds.CallOrder: {"call"},
        kinds.MulticastTrees: {"scheduled"},
        kinds.OneMode: {"sequential", "parallel", "pipelined"},
        kinds.ShareLimit: {"sequential", "pipelined"},
    }
    return (
        bool(scope.latencies)
        if kind is kinds.DeadlineLimit
        else bool(where.get(kind, scope.executions) & scope.executions)
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_no_best_plan_is_presolved_away(case):
    c, optimum = case.compiled, case.optimum
    reduced = presolve(c, optimum).compiled
    pool = Pool(case.problem, reduced, case.stage, dict(case.caps))
    name = next(name for name in registry.supporting(reduced, "milp") if registry.find(name).value == "exact")
    run_formulation(pool, registry.find(name), "highs", LIMITS, Control())
    assert pool.objective == pytest.approx(optimum, rel=SAME)


# What they refuse


@dataclass(frozen=True)
class Unheard:
    """A kind of constraint that no part has heard of."""

    label: str = "unheard of"


@dataclass(frozen=True)
class UnheardRule(Unheard, kinds.Logical):
    """A kind of logical constraint that no part has heard of; no placement keeps to it."""

    def excess(self, c, devices, pairs):
        return np.ones(len(devices))


def answer(part, c):
    """Return why a part refuses a problem, as whoever uses it would learn it; None: it does not."""
    if part in EXACT:
        return EXACT[part].refuses(c)
    if part in registry.names():
        return registry.find(part).supports(c)
    asked = {"evaluator": Evaluator.refuses, "Lagrangian": Lagrangian.refuses}
    if part in asked:
        return asked[part](c)
    return parts()[part].refuses(c)


@cache
def unlimited(execution):
    return replace(compile_problem(made(execution)), constraints=())


def known(part):
    """Return a problem without constraints in which a part knows everything."""
    for execution in OBJECTIVES:
        c = unlimited(execution)
        if parts()[part].refuses(c) is None:
            return c
    raise AssertionError(part)


def ignored(kind, constraint):
    """Return the parts that accept a constraint and neither enforce it nor say that they leave it out."""
    return [
        part
        for part, scope in parts().items()
        if kind not in scope.enforces and not scope.relaxes
        if constraint.label not in (answer(part, replace(known(part), constraints=(constraint,))) or "")
    ]


def one_of(kind):
    return next(one for case in CASES for one in case.compiled.constraints if type(one) is kind)


@pytest.mark.parametrize("kind", logical.KINDS, ids=lambda kind: kind.__name__)
def test_every_part_enforces_leaves_out_or_refuses_by_name_every_kind_of_constraint(kind):
    assert ignored(kind, one_of(kind)) == []


@pytest.mark.parametrize(("name", "table"), [("edgewise+sum", milp.CONSTRAINTS), ("cp-assignment", cp.CONSTRAINTS)])
def test_a_formulation_refuses_by_name_what_its_table_of_constraints_lacks(name, table, monkeypatch):
    for kind in list(table):
        constraint = one_of(kind)
        c = replace(known(name), constraints=(constraint,))
        assert registry.find(name).supports(c) is None or not may_be(kind, registry.find(name).scope)
        with monkeypatch.context() as patched:
            patched.delitem(table, kind)
            assert registry.find(name).supports(c) == f"the constraint {constraint.label}"


def relaxing():
    return {part for part, scope in parts().items() if scope.relaxes}


def test_only_what_yields_bounds_and_choices_that_go_may_leave_constraints_out():
    bounds_alone = {name for name in registry.names() if registry.find(name).value == "bound"}
    assert (
        relaxing()
        <= {
            *("presolve", "Lagrangian", "chain bound", "load bound", "escapes"),
            *(contiguous.SOURCE, merged_devices.SOURCE, critical_paths.SOURCE, capped_loads.SOURCE),
        }
        | bounds_alone
    )


@pytest.mark.parametrize("new", [Unheard(), UnheardRule()], ids=["any", "logical"])
def test_a_new_kind_of_constraint_is_refused_by_every_part_that_does_not_leave_out_others(new):
    assert ignored(type(new), new) == []


@pytest.mark.parametrize("part", sorted(set(parts()) - relaxing()))
def test_a_part_that_forgets_to_ask_for_constraints_is_found(part, monkeypatch):
    scope, asked = parts()[part], Scope._constraint_outside
    monkeypatch.setattr(Scope, "_constraint_outside", lambda self, *one: () if self == scope else asked(self, *one))
    assert part in ignored(UnheardRule, UnheardRule())


def test_nothing_looks_past_a_constraint_that_it_has_not_heard_of():
    one = made()
    c = compile_problem(one)
    strange = replace(c, constraints=(Unheard(),))
    with pytest.raises(UnsupportedError, match="unheard of"):
        Evaluator(strange).excess(np.zeros((1, 3), dtype=np.int64))
    for name in ("edgewise+sum", "cp-assignment"):
        with pytest.raises(UnsupportedError, match="does not support the constraint unheard of"):
            registry.find(name).build(strange)
    alike = compile_problem(problem(network("a b"), platform("p q"), {"a": (1, 1), "b": (2, 2)}))
    assert identical_devices(alike) == [[0, 1]]
    assert identical_devices(replace(alike, constraints=(Unheard(),))) == []
    assert identical_devices(replace(alike, constraints=(UnheardRule(),))) == []
    assert (Evaluator(replace(c, constraints=(UnheardRule(),))).excess(np.zeros((2, 3), dtype=np.int64)) == 1).all()
    bound = Lagrangian(strange)
    bound.maximize(LIMITS, Control())
    assert bound.bound <= best(one) * (1 + SAME)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"execution": "replicated"}, "replicated execution"),
        ({"transport": "gossip"}, "gossip transport"),
        ({"objective": ((Unheard(),),)}, "the objective Unheard"),
    ],
    ids=["execution", "transport", "term"],
)
def test_every_part_refuses_an_execution_a_transport_and_a_term_that_it_has_not_heard_of(change, named):
    for part in parts():
        assert named in (answer(part, replace(known(part), **change)) or ""), part
    c = compile_problem(made())
    strange = replace(c, **change)
    assert identical_devices(strange) == []
    assert escapes(strange) == []
    assert list(contiguous.relaxations(strange)) == []
    assert np.array_equal(presolve(strange, 1.0).compiled.allowed, c.allowed)


def test_parts_know_the_executions_and_transports_that_there_are():
    for scope in parts().values():
        assert scope.executions <= set(get_args(Execution))
        assert scope.transports == set(get_args(Transport))
        assert scope.terms <= set(get_args(kinds.ObjectiveTerm))
        assert scope.enforces <= set(logical.KINDS)


def test_every_exact_method_and_every_bound_is_a_part():
    scopes = list(parts().values())
    for package in (exact, bounds):
        for module in pkgutil.iter_modules(package.__path__):
            found = import_module(f"{package.__name__}.{module.name}")
            if hasattr(found, "refuses") or hasattr(found, "SOURCE"):
                # a destructive bound is what presolve and a formulation say of caps
                assert module.name == "destructive" or any(found.SCOPE is scope for scope in scopes), module.name


def test_table_in_the_docs_is_what_the_parts_say():
    assert parts_markdown() in page("methods.md")
