"""vLLM's default: as many layers on each device."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import at_end, in_row
from dnnopt.problem.constraints import Contiguous, memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency of contiguous parts within memory."""
    return Problem(
        at_end(network, platform), platform, "sequential", latency(), subject_to=(memory("weights"), Contiguous())
    )


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
    build=_build,
    plan=_plan,
    example=("gpt2@block", "4-jetson-nx-lan"),
)
