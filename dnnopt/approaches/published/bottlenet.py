"""BottleNet: a narrow unit, trained for its cut."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided
from dnnopt.problem.constraints import AccuracyLoss
from dnnopt.problem.forms import CodingWork, Form, Roofline
from dnnopt.problem.networks import INPUT, OUTPUT, Network, Tensor
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_LOSSES = {1 / 4: 0.001, 1 / 16: 0.005, 1 / 64: 0.015, 1 / 256: 0.05}  # by the share of bytes that is left; assumed


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency within a loss of 0.02, where what is cut passes a unit on either side and is a quarter or less."""
    narrow = network.replace(tensors=tuple(_through_a_unit(tensor) for tensor in network.tensors))
    return two_sided(narrow, platform, subject_to=(AccuracyLoss(limit=0.02),))


def _through_a_unit(tensor: Tensor) -> Tensor:
    """Return the tensor, sent as a convolution of one pixel leaves it with the share of its channels."""
    if OUTPUT in tensor.consumers or tensor.producer == INPUT:
        return tensor
    numbers = tensor.bytes / 4
    channels = tensor.shape[1] if tensor.shape and len(tensor.shape) == 4 else 1
    forms = []
    for share, loss in _LOSSES.items():
        work = Roofline(
            roofline=CodingWork(flops=2 * numbers * max(1.0, channels * share), bytes=(1 + share) * tensor.bytes)
        )
        forms.append(Form(name=f"1/{1 / share:g}", bytes=share * tensor.bytes, loss=loss, encode=work, decode=work))
    return tensor.replace(forms=tuple(forms), plain=False)


APPROACH = Approach(
    name="bottlenet",
    title="BottleNet",
    venue="ISLPED",
    year=2019,
    locations=("end-cloud",),
    granularities=("split",),
    constraints=("accuracy",),
    objectives=("latency", "energy"),
    algorithms=("learning", "enumeration"),
    communication="the bottleneck's tensor, as JPEG",
    source="arXiv 1902.01000",
    evidence="A",
    claims=(
        Claim(
            "30 times less latency, 40 times less energy than in the cloud alone (v1)",
            "A",
            "not reproducible",
            "the published abstract says 5.1 and 6.9 times, and both need trained units",
        ),
    ),
    build=_build,
    missing="Units trained for each cut, with their loss of accuracy; JPEG, which makes bytes fewer once more.",
    example=("alexnet@layer", "pixel4-lte-v100"),
    method="single-cut",
)
