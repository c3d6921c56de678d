"""exo: layers in proportion to memory."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import in_row, parts_within_memory
from dnnopt.base.errors import InputError
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem


def _plan(problem: Problem) -> Plan:
    """Give each device its share of the layers by its memory, rounded by the largest remainders."""
    room = {device.name: device.memory for device in problem.platform.devices}
    unknown = [name for name, memory in room.items() if memory is None]
    if unknown:
        raise InputError("the memory of each device", field="platform", value=unknown)
    sizes = [size or 0.0 for size in room.values()]
    shares = [len(problem.networks[0].layers) * size / sum(sizes) for size in sizes]
    counts = [int(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda index: counts[index] - shares[index])
    for index in order[: len(problem.networks[0].layers) - sum(counts)]:
        counts[index] += 1
    return Plan(placement=in_row(problem, counts))


APPROACH = Approach(
    name="exo",
    title="Memory-proportional (exo)",
    venue="",
    year=2024,
    locations=("multi-end",),
    granularities=("segments",),
    constraints=("memory",),
    objectives=("latency",),
    algorithms=("heuristic",),
    communication="not looked at",
    source="public issues of exo",
    evidence="T",
    build=parts_within_memory,
    plan=_plan,
    example=("gpt2@block", "six-pi4-wifi"),
)
