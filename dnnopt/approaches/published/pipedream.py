"""PipeDream: stages of a pipeline, some of them on several machines."""

from __future__ import annotations

from collections.abc import Mapping

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.groups import taking_turns
from dnnopt.approaches.settings import pipeline
from dnnopt.base.errors import InputError
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile, layer_seconds
from dnnopt.problem.variants import Variants

_BATCH = 32  # samples
_PASSES = 3  # forward, and the two products of the backward pass


def _build(network: Network, platform: Platform) -> Variants:
    """Least period of training batches of 32 samples in contiguous stages, over all ways to give them machines."""
    double = tuple(one.replace(bytes=2 * _BATCH * one.bytes) for one in network.tensors)  # forward, and gradients back
    training = network.replace(tensors=double)
    rate = min((link.bandwidth for link in platform.links), default=0.0)
    if rate == 0:
        raise InputError("a platform with links", field="platform", value=platform.name)

    def stages(groups: Platform, sizes: Mapping[str, int]) -> Problem:
        times = {layer.name: dict[str, float | None]() for layer in network.layers}
        for device in groups.devices:
            m = sizes[device.name]
            for layer in network.layers:
                seconds = layer_seconds(
                    Profile(), network, layer, device.executors[0]
                )  # an m-th of those of one machine
                added = 4 * (m - 1) * (layer.weights or 0.0) / (rate * m) / m  # sums of gradients
                times[layer.name][device.name] = None if seconds is None else _PASSES * _BATCH * seconds + added
        return pipeline(
            training, groups, in_memory=False, transport="multicast", profile=Profile(time={network.name: times})
        )

    return taking_turns(platform, stages)


APPROACH = Approach(
    name="pipedream",
    title="PipeDream",
    venue="SOSP",
    year=2019,
    locations=("accelerators",),
    granularities=("segments", "replicas"),
    constraints=("contiguity",),
    objectives=("throughput",),
    algorithms=("dynamic-programming",),
    communication="each cut on the link to the next machine, forward and backward",
    source="PipeDream, SOSP 2019, and its repository (MIT)",
    evidence="T",
    claims=(
        Claim(
            "VGG-16 on 4 machines: 0.411041792 s without replicas, 0.205520896 s with (3 + 1)",
            "T",
            "exact",
            "tests/inputs/test_pipedream.py",
        ),
    ),
    build=_build,
    missing="Measured times of both passes; the line of machines: here all are joined. 'dnnopt import pipedream "
    "--replicated' reads its graphs with both.",
    example=("vgg16@block", "4-jetson-nx-lan"),
    method="ideals",
    stands_for="A dynamic program for each way to give machines to stages.",
    reading="A stage on m machines takes (t + 4 (m - 1) w / (B m)) / m, with t its passes and w its weights. "
    "The published figures are those of its graphs, and exact: without replicas VGG-16 takes "
    "0.411041792 s on 4 machines, with 3 + 1 the half. How communication is charged decides the value: "
    "on a full mesh with unicast, ResNet-18 takes 0.191629 s, on PipeDream's line of forward links "
    "0.201601 s. In the example 2 + 1 + 1 machines are best for VGG-16, on slower ones ('four-pi3-lan- "
    "blocking') 3 + 1, as in the published plan: weights that are worth no sum of gradients have a "
    "machine of their own.",
)
