"""Piper: pipelines whose stages share their work."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import charged_to_devices, pipeline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least load of the busiest device in contiguous stages of one device each, whose links take its own time."""
    return pipeline(network, charged_to_devices(platform), transport="multicast")


APPROACH = Approach(
    name="piper",
    title="Piper",
    venue="NeurIPS",
    year=2021,
    locations=("accelerators",),
    granularities=("segments", "replicas", "channels"),
    constraints=("memory", "contiguity"),
    objectives=("throughput",),
    algorithms=("dynamic-programming",),
    communication="as MSR, and what replicas and parts of a stage exchange",
    source="Piper, NeurIPS 2021",
    evidence="A",
    build=_build,
    example=("bert-base@block", "pcie-host-4xa100"),
    method="ideals",
    stands_for="Stages of one device each.",
    missing="Stages on several accelerators, and memory that depends on a stage's place in the pipeline.",
)
