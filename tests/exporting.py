"""What the tests of exported models share: random problems that other solvers can take, and one with nasty names."""

from __future__ import annotations

from typing import Any

import numpy as np
from builders import link, network, platform, problem, tensor
from hypothesis import assume
from hypothesis import strategies as st
from strategies import problems

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers import highs
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.networks import Layer, Network, Tensor
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Device, Link, Platform, Route
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile

# Beyond this, other solvers' tolerances swallow what we compare (GLPK's are 1e-7, relative to the largest).
_LARGEST_COST = 1e6
_ROOM = 1 + 1e-4


def milp_models(problem: Problem) -> dict[str, LinearModel]:
    """Return the models of every MILP formulation that supports the problem, by name."""
    names = registry.supporting(compile_problem(problem), "milp")
    return {name: dp.formulate(problem, name) for name in names}


def optimum(model: LinearModel) -> float | None:
    """Return the optimum that HiGHS finds when it is given the arrays (None: infeasible)."""
    outcome = highs.solve(model, Limits(time_limit=60, gap=0.0, threads=1), None, Control())
    assert outcome.status in ("optimal", "infeasible")
    return outcome.objective


def _loosened(constraint: Any) -> Any:
    """Return the constraint with larger limits: whether a plan at 1e-7 beyond one is in is a matter of tolerances."""
    update: dict[str, Any] = {}
    if isinstance(getattr(constraint, "limit", None), float):
        update["limit"] = constraint.limit * _ROOM
    if getattr(constraint, "limits", None):
        update["limits"] = {name: limit * _ROOM for name, limit in constraint.limits.items()}
    return constraint.model_copy(update=update)


@st.composite
def exportable(draw: Any, **arguments: Any) -> Problem:
    """Draw a problem, with at least one MILP formulation, whose costs are of moderate size."""
    drawn: Problem = draw(problems(**arguments))
    drawn = drawn.model_copy(update={"subject_to": tuple(_loosened(spec) for spec in drawn.subject_to)})
    assume(all(term.over == "sum" for term in drawn.minimize))
    models = milp_models(drawn)
    assume(models)
    assume(all(np.abs(model.arrays().cost).max(initial=0.0) <= _LARGEST_COST for model in models.values()))
    return drawn


LAYERS = [
    "conv 1", "conv_1", "conv\t1", "a/b:c[0]", "x<y>=z", "é 層", "free", "inf", "7up", "e9", "st", "a,b", "a)(", '"q"',
    "\\ * % # | ^", "new\nline", "-1 + 2", "L" * 170, "L" * 170 + "'", "L" * 170 + '"',
]  # fmt: skip
DEVICES = ["pi 4", "pi_4", "t4,(x)"]


def nasty_problem(layers: int = len(LAYERS)) -> Problem:
    """Return a chain whose names hold everything that file formats stumble over, with an optimum that is split."""
    names = LAYERS[:layers]
    tensors = [
        Tensor(name=f"{name}\n:0", producer=name, consumers=(names[v + 1], *names[v + 2 : v + 3]), bytes=10.0 + v)
        for v, name in enumerate(names[:-1])
    ]
    raw = Tensor(name="[free]", producer="input", consumers=(names[0],), bytes=5.0)
    links = [Link(name=f"{i} -> {j}", bandwidth=1.0, latency=1.0) for i in DEVICES for j in DEVICES if i != j]
    times = {
        name: {device: float((7 * v + 5 * i) % 60 + 1) for i, device in enumerate(DEVICES)}
        for v, name in enumerate(names)
    }
    return Problem(
        networks=Network(
            name="net: x. Units",
            layers=tuple(Layer(name=name, weights=1.0, activations=float(v)) for v, name in enumerate(names)),
            tensors=(raw, *tensors),
            source=DEVICES[0],
        ),
        platform=Platform(
            devices=tuple(Device(name=name, memory=1.5 * layers) for name in DEVICES),
            links=tuple(links),
            routes=tuple(
                Route(origin=i, destination=j, links=(f"{i} -> {j}",)) for i in DEVICES for j in DEVICES if i != j
            ),
        ),
        execution="sequential",
        profile=Profile(time={"net: x. Units": times}),
        minimize=latency(),
        subject_to=({"constraint": "memory", "rule": "weights+largest_activation"},),
        name="nasty: names. Units: \n none",
    )


def fork_problem() -> Problem:
    """A fork on two devices, each doing one thing at a time, whose branches overlap in the best plan."""
    return problem(
        network(
            "a b:1 b:2 c",
            [
                tensor("in", "input", "a", 2),
                tensor("s", "a", "b:1 b:2", 3),
                tensor("t", "b:1", "c", 1),
                tensor("u", "b:2", "c", 1),
            ],
            source="pi",
        ),
        platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"}),
        {"a": (3, 2), "b:1": (9, 6), "b:2": (8, 5), "c": (2, 2)},
        execution="scheduled",
    )
