"""JALAD: one cut, and how many bits its tensor is sent with."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided
from dnnopt.problem.constraints import AccuracyLoss
from dnnopt.problem.forms import Form
from dnnopt.problem.networks import INPUT, OUTPUT, Network, Tensor
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_LOSSES = {8: 0.0005, 4: 0.005, 2: 0.05}  # by bits; assumed, as in the problems papers/jalad-*


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency within a loss of 0.01, where tensors of 4 bytes a number may be sent with fewer bits."""
    narrow = network.replace(tensors=tuple(_with_forms(tensor) for tensor in network.tensors))
    return two_sided(narrow, platform, subject_to=(AccuracyLoss(limit=0.01),))


def _with_forms(tensor: Tensor) -> Tensor:
    if OUTPUT in tensor.consumers or tensor.producer == INPUT:
        return tensor
    forms = [
        Form(name=f"{bits}-bit", bytes=float(-(-tensor.bytes * bits // 32)), loss=loss)
        for bits, loss in _LOSSES.items()
    ]
    return tensor.replace(forms=tuple(forms))


APPROACH = Approach(
    name="jalad",
    title="JALAD",
    venue="ICPADS",
    year=2018,
    locations=("edge-cloud",),
    granularities=("split",),
    constraints=("accuracy", "bandwidth"),
    objectives=("latency",),
    algorithms=("integer-programming", "enumeration"),
    communication="the tensor at the cut, with c bits for each number",
    source="Li, Hu, Jiang, Wang, Wen, Zhu: JALAD, ICPADS 2018, arXiv 1812.10027",
    evidence="A",
    claims=(
        Claim("significantly less latency with a guaranteed loss of accuracy", "A"),
        Claim("up to 25.1 times less latency, as is often quoted", "M"),
    ),
    build=_build,
    missing="Losses by layer and bits as the authors measured them, and their entropy coding; coding takes no time.",
    example=("vgg16@layer", "pi4-lte-t4"),
    method="single-cut",
    instances=("papers/jalad-resnet50", "papers/jalad-resnet101"),
    reading="With fewer bits three layers stay on the Pi and a tensor of a few bits a number is sent, where "
    "floats would all go to the cloud: 4 % faster than that. The losses by bits are assumed, so the "
    "published factor cannot be checked.",
)
