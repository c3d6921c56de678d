"""Cogent: one cut, and how far each layer is pruned."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided
from dnnopt.problem.constraints import AccuracyLoss
from dnnopt.problem.modes import Mode
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_PRUNED = {0.75: 0.002, 0.5: 0.01}  # what each layer loses, by the share of it that is left; assumed


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency within a loss of 0.07, where each layer is whole, or three quarters or a half of it is left."""
    devices = []
    for device in platform.devices:
        modes = [Mode(name="whole")]
        for share, loss in _PRUNED.items():
            rates = {
                name: None if rate is None or not isinstance(rate, float) else rate / share
                for name, rate in (("flops_per_s", device.flops_per_s), ("bytes_per_s", device.bytes_per_s))
            }
            name = f"{100 * share:g}-percent"
            modes.append(Mode(name=name, weight_bytes=share, output_bytes=share, loss=loss, **rates))
        devices.append(device.replace(modes=tuple(modes)))
    return two_sided(network, platform.replace(devices=tuple(devices)), subject_to=(AccuracyLoss(limit=0.07),))


APPROACH = Approach(
    name="cogent",
    title="Cogent",
    venue="SCN",
    year=2020,
    locations=("end-edge",),
    granularities=("split",),
    constraints=("accuracy", "capacity"),
    objectives=("latency", "accuracy"),
    algorithms=("learning",),
    communication="the tensor at the cut",
    source="Hindawi SCN 8831341, 2020",
    evidence="A",
    claims=(
        Claim(
            "up to 8.89 times faster, and at most 7 % less accurate",
            "A",
            "not reproducible",
            "it needs accuracies of pruned networks",
        ),
    ),
    build=_build,
    missing="Time, bytes and accuracy of each layer as they are when it is pruned.",
    example=("alexnet@layer", "pi3-wifi-pc"),
    method="single-cut",
    stands_for="A scan of cuts, all layers of a side pruned alike, in place of reinforcement learning.",
)
