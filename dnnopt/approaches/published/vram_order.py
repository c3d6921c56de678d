"""llama.cpp: devices are filled in order."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import in_row, parts_within_memory
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem


def _plan(problem: Problem) -> Plan:
    """Fill one device after the other with the layers whose weights fit; the last one has all that is left."""
    (network,) = problem.networks
    counts = [0] * len(problem.platform.devices)
    device, used = 0, 0.0
    for index in network.order:
        weights, room = network.layers[index].weights or 0.0, problem.platform.devices[device].memory
        while device < len(counts) - 1 and room is not None and used + weights > room:
            device, used = device + 1, 0.0
            room = problem.platform.devices[device].memory
        counts[device] += 1
        used += weights
    return Plan(placement=in_row(problem, counts))


APPROACH = Approach(
    name="vram-order",
    title="VRAM order (llama.cpp)",
    venue="",
    year=None,
    locations=("accelerators",),
    granularities=("segments",),
    constraints=("memory",),
    objectives=("latency",),
    algorithms=("heuristic",),
    communication="not looked at",
    source="public documentation of llama.cpp",
    evidence="T",
    build=parts_within_memory,
    plan=_plan,
    example=("gpt2@block", "4-jetson-nx-lan"),
)
