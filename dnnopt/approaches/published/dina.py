"""DINA: users who share fog nodes."""

from __future__ import annotations

from itertools import combinations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import in_tiers, some_counts
from dnnopt.base.errors import InputError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scheduling import plan_of
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.referee import Evaluation, evaluate

_ROUNDS = 10  # of all users' choices
_Choice = tuple[int, str]  # how many layers stay with the user, and where the others go


def _build(network: Network, platform: Platform) -> Problem:
    """Least sum of all users' times: each end device has the network to run, and nodes serve one layer at a time."""
    users = _users(platform)
    runs = [
        network.model_copy(update={"name": f"{network.name}-{name}", "source": name, "sink": name}) for name in users
    ]
    return Problem(runs, platform, "scheduled", latency())


def _users(platform: Platform) -> list[str]:
    devices = in_tiers(platform)
    users = [device.name for device in devices if device.tier == "end"]
    if len(users) < 2 or len(users) == len(devices):
        raise InputError("two end devices or more, and nodes that they share", field="platform", value=platform.name)
    return users


def _plan(problem: Problem) -> Plan:
    """Let users choose their cut and node, and swap nodes, as long as one gains by it and none of a swap loses."""
    compiled = compile_problem(problem)
    users = [network.source or "" for network in problem.networks]
    nodes = [name for name in problem.platform.device_names() if name not in users]
    count = len(problem.networks[0].layers)

    def tried(choices: list[_Choice]) -> tuple[Plan, Evaluation]:
        placed = {}
        for network, user, (kept, node) in zip(problem.networks, users, choices, strict=True):
            names = [network.layers[index].name for index in network.order]
            placed[network.name] = {name: user if rank < kept else node for rank, name in enumerate(names)}
        plan = plan_of(compiled, compiled.placement(Plan(placement=placed)))
        return plan, evaluate(problem, plan)

    def seconds(choices: list[_Choice]) -> list[float]:
        metrics = tried(choices)[1].metrics
        return [metrics[f"latency({network.name})"] for network in problem.networks]

    choices: list[_Choice] = [(count, nodes[0])] * len(users)
    for _ in range(_ROUNDS):
        before = list(choices)
        for user in range(len(users)):
            ways = [
                [*choices[:user], (kept, node), *choices[user + 1 :]]
                for node in nodes
                for kept in [0, *some_counts(count)]
            ]
            choices = min([choices, *ways], key=lambda way: seconds(way)[user])
        for a, b in combinations(range(len(users)), 2):
            swapped = list(choices)
            swapped[a], swapped[b] = (choices[a][0], choices[b][1]), (choices[b][0], choices[a][1])
            old, new = seconds(choices), seconds(swapped)
            if new[a] <= old[a] and new[b] <= old[b] and (new[a], new[b]) != (old[a], old[b]):
                choices = swapped
        if choices == before:
            break
    return tried(choices)[0]


APPROACH = Approach(
    name="dina",
    title="DINA",
    venue="INFOCOM",
    year=2020,
    locations=("end-edge", "end-edge-cloud"),
    granularities=("layers", "rows"),
    constraints=("capacity", "bandwidth"),
    objectives=("latency",),
    algorithms=("game", "heuristic"),
    communication="tensors over radio channels that disturb each other",
    source="DINA, INFOCOM 2020",
    evidence="A",
    claims=(
        Claim(
            "2.6 to 4.2 times less latency than the state of the art",
            "A",
            "not reproducible",
            "interference is not in the model, and its topologies are drawn at random",
        ),
    ),
    build=_build,
    plan=_plan,
    missing="Interference between users, parts of layers, and queues of random arrivals: here all begin at once.",
    example=("alexnet@block", "two-phones-wifi-nx-wan-v100"),
    stands_for="Each user cuts once, at one of 13 places; users choose in turn and swap nodes.",
)
