"""exo: layers in proportion to memory."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import at_end, in_row
from dnnopt.base.errors import InputError
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
    build=_build,
    plan=_plan,
    example=("gpt2@block", "six-pi4-wifi"),
)
