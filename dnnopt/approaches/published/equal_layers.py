"""vLLM's default: as many layers on each device."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import in_row, parts_within_memory
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem


def _plan(problem: Problem) -> Plan:
    """Give each device as many layers; the first ones have one more where that does not come out even."""
    each, more = divmod(len(problem.networks[0].layers), len(problem.platform.devices))
    return Plan(placement=in_row(problem, [each + (k < more) for k in range(len(problem.platform.devices))]))


APPROACH = Approach(
    name="equal-layers",
    title="Equal layers (vLLM default)",
    venue="",
    year=None,
    locations=("accelerators",),
    granularities=("segments",),
    constraints=("memory",),
    objectives=("latency",),
    algorithms=("heuristic",),
    communication="not looked at",
    source="public documentation of vLLM",
    evidence="T",
    build=parts_within_memory,
    plan=_plan,
    example=("gpt2@block", "4-jetson-nx-lan"),
)
