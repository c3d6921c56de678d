"""Makes a problem from a recipe, with a plan that is known beforehand and the bounds that deadlines are set between."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dnnopt.base.arguments import checked
from dnnopt.base.sizes import check_places
from dnnopt.inputs.generators.networks import draft_network
from dnnopt.inputs.generators.platforms import TOPOLOGIES, build_platform, machines, ramp
from dnnopt.inputs.generators.recipe import Recipe
from dnnopt.inputs.generators.stream import Stream
from dnnopt.inputs.generators.tightness import DeviceOfLayer, blocks, capacities, deadline, lower_bound, weights_on
from dnnopt.problem.constraints import Colocate, Constraint, Deadline, Memory
from dnnopt.problem.objectives import Term, energy, latency, period
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate

VERSION = 1  # of the generators: the same recipe gives the same problem in one version


@dataclass(frozen=True)
class Generated:
    """A generated problem.

    Attributes
    ----------
    problem : Problem
    witness : Plan
        A plan that keeps to memory and colocation, and to deadlines of a tightness up to 1/2.
    lower, known, upper : dict of str to float
        Seconds of each network that deadlines are set between: a lower bound on its latency, its latency in the
        witness, and the largest one in any plan that was tried.
    """

    problem: Problem
    witness: Plan
    lower: dict[str, float]
    known: dict[str, float]
    upper: dict[str, float]


@checked
def generate(recipe: Recipe, *, allow_large: bool = False) -> Generated:
    """Return the problem of a recipe.

    Raises
    ------
    InputError
        If it would be larger than `dnnopt.base.sizes` has it, unless that is allowed.
    """
    check_places(recipe.size * len(recipe.kinds), recipe.devices, allow_large=allow_large)
    names = [kind if len(recipe.kinds) == 1 else f"{kind}{index + 1}" for index, kind in enumerate(recipe.kinds)]
    drafts = [
        draft_network(kind, name, recipe.size, Stream(recipe.seed, "network", index, kind))
        for index, (kind, name) in enumerate(zip(recipe.kinds, names, strict=True))
    ]
    ratio = _exact(recipe.heterogeneity)
    devices = machines(recipe.devices, ratio, Stream(recipe.seed, "devices"))
    factors = [ramp(ratio, index, recipe.devices) for index in range(recipe.devices)]
    shares = [factor / sum(factors) for factor in factors]
    memory = capacities(drafts, shares, _exact(recipe.memory))
    platform = build_platform(
        devices,
        memory,
        TOPOLOGIES[recipe.topology]([machine.name for machine in devices], recipe.hosts),
        drafts,
        _exact(recipe.link_heterogeneity),
        _exact(recipe.communication),
        Stream(recipe.seed, "links"),
    )
    networks = [draft.network(_exact(recipe.decay), devices[0].name) for draft in drafts]
    constraints: list[Constraint] = [Memory()] if recipe.memory else []
    constraints += [
        Colocate(network=draft.name, layers=tuple(draft.works[v].name for v in group))
        for draft in drafts
        for group in draft.together
    ]
    problem = Problem(
        networks,
        platform,
        execution=recipe.execution,
        minimize=recipe.minimize or (_objective(recipe),),
        subject_to=constraints,
        transport=recipe.transport,
        name=f"{'-'.join(recipe.kinds)}-{recipe.size}-{recipe.topology}-{recipe.devices}-{recipe.seed}",
        provenance=f"generated, version {VERSION}: {recipe.to_data()}",
    )
    placements = [[[device] * len(draft.works) for draft in drafts] for device in range(recipe.devices)]
    placements.append(blocks(drafts, shares))
    plans = [_plan(problem, placement) for placement in placements]
    latencies = [_latencies(problem, plan) for plan in plans]
    fitting = [
        index
        for index, placement in enumerate(placements)
        if all(held <= limit for held, limit in zip(weights_on(drafts, placement, len(memory)), memory, strict=True))
    ]
    best = min(fitting, key=lambda index: sum(latencies[index].values()))
    lower = {draft.name: lower_bound(draft, devices, recipe.execution) for draft in drafts}
    known = latencies[best]
    upper = {name: max(found[name] for found in latencies) for name in names}
    if recipe.deadline is not None:
        tightness = _exact(recipe.deadline)
        limits = {name: deadline(lower[name], known[name], upper[name], tightness) for name in names}
        networks = [network.model_copy(update={"deadline": limits[network.name]}) for network in networks]
        constraints.append(Deadline())
    problem = Problem(**dict(problem) | {"networks": networks, "subject_to": (*constraints, *recipe.subject_to)})
    return Generated(problem, _scheduled(problem, plans[best]), lower, known, upper)


def _exact(value: float) -> Fraction:
    """Return a knob as the decimal number that was written, not its binary neighbour."""
    return Fraction(repr(value))


def _objective(recipe: Recipe) -> Term:
    if recipe.deadline is not None:
        return energy()
    return period() if recipe.execution == "pipelined" else latency()


def _plan(problem: Problem, placement: DeviceOfLayer) -> Plan:
    names = problem.platform.device_names()
    return Plan(
        placement={
            network.name: {layer.name: names[device] for layer, device in zip(network.layers, where, strict=True)}
            for network, where in zip(problem.networks, placement, strict=True)
        }
    )


def _latencies(problem: Problem, plan: Plan) -> dict[str, float]:
    """Return each network's latency (s); of all of them one thing at a time where a schedule decides."""
    names = [network.name for network in problem.networks]
    if problem.execution == "scheduled":
        one_by_one = _latencies(Problem(**dict(problem) | {"execution": "sequential"}), plan)
        return dict.fromkeys(names, sum(one_by_one.values()))
    metrics = evaluate(problem, plan).metrics
    return {name: metrics[f"latency({name})"] for name in names}


def _scheduled(problem: Problem, plan: Plan) -> Plan:
    """Return the plan, with a list schedule under scheduled execution."""
    if problem.execution != "scheduled":
        return plan
    from dnnopt.compiled.compiler import compile_problem
    from dnnopt.compiled.scheduling import plan_of

    compiled = compile_problem(problem)
    return plan_of(compiled, compiled.placement(plan))
