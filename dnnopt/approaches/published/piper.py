"""Piper: pipelines whose stages share their work."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach

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
    missing="Stages on several accelerators, and memory that depends on a stage's place in the pipeline.",
)
