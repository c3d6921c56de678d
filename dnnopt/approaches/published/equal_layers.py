"""vLLM's default: as many layers on each device."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import in_equal_counts, parts_within_memory

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
    plan=in_equal_counts,
    example=("gpt2@block", "4-jetson-nx-lan"),
)
