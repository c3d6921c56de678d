"""MSR: contiguous parts of a graph on accelerators, the busiest of which counts."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import charged_to_devices, pipeline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least load of the busiest device, whose links take its own time."""
    return pipeline(network, charged_to_devices(platform), transport="multicast")


APPROACH = Approach(
    name="msr",
    title="MSR device placement",
    venue="NeurIPS",
    year=2020,
    locations=("accelerators",),
    granularities=("segments", "layers"),
    constraints=("memory", "colocation", "support", "contiguity"),
    objectives=("throughput", "latency"),
    algorithms=("dynamic-programming", "integer-programming", "heuristic"),
    communication="each tensor once out of an accelerator and once into each other one; both take the "
    "accelerators' own time, and processors pay nothing",
    source="Tarnawski et al.: Efficient algorithms for device placement of DNN graph operators, "
    "NeurIPS 2020, arXiv 2006.16423, and its repository",
    evidence="T",
    claims=(
        Claim(
            "BERT-24: 17.7899 ms, its training 41.7458 ms, GNMT 32.9107 ms",
            "T",
            "exact",
            "tests/methods/test_exact_msr.py",
        ),
    ),
    build=_build,
    missing="Its workloads are read by 'dnnopt import msr'.",
    example=("bert-base@block", "pcie-host-4xa100"),
    method="ideals",
    reading="A tensor is charged once out of an accelerator and once into each other one, in the accelerators' "
    "own time. Its three published optima are reproduced exactly from its workloads ('dnnopt import "
    "msr'), and the splits that its experts made by hand are 12.9 %, 18.3 % and 40.4 % above them "
    "(docs/importing.md). The example here is a network of the library with the same accounting.",
)
