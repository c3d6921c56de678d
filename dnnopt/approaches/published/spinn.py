"""SPINN: the cut and how sure an early exit must be."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.exits import leaving
from dnnopt.approaches.settings import two_sided
from dnnopt.problem.constraints import AccuracyLoss
from dnnopt.problem.forms import CodingWork, Form, Roofline
from dnnopt.problem.networks import INPUT, OUTPUT, Network, Tensor
from dnnopt.problem.platforms import Platform
from dnnopt.problem.variants import Variants

# Threshold -> share of the inputs at an exit that go on, and loss of accuracy; assumed.
_THRESHOLDS = {0.9: (0.6, 0.002), 0.8: (0.35, 0.008), 0.6: (0.15, 0.03)}


def _build(network: Network, platform: Platform) -> Variants:
    """Least expected latency over thresholds of exits, each cut in two, within a loss of 0.01; 8 bits a number."""
    narrow = network.replace(tensors=tuple(_packed(tensor) for tensor in network.tensors))
    limits = (AccuracyLoss(limit=0.01),)
    return Variants(
        {
            f"threshold {threshold:g}": two_sided(
                leaving(narrow, stays).replace(loss=loss), platform, subject_to=limits
            )
            for threshold, (stays, loss) in _THRESHOLDS.items()
        }
    )


def _packed(tensor: Tensor) -> Tensor:
    if OUTPUT in tensor.consumers or tensor.producer == INPUT:
        return tensor
    work = Roofline(roofline=CodingWork(flops=tensor.bytes / 2, bytes=1.25 * tensor.bytes))
    return tensor.replace(forms=(Form(name="8-bit", bytes=tensor.bytes / 4, encode=work, decode=work),), plain=False)


APPROACH = Approach(
    name="spinn",
    title="SPINN",
    venue="MobiCom",
    year=2020,
    locations=("end-cloud",),
    granularities=("exits", "split"),
    constraints=("deadline", "accuracy", "budget"),
    objectives=("throughput", "latency", "accuracy", "cost"),
    algorithms=("enumeration",),
    communication="the tensor at the cut, with 8 bits and packed [M]",
    source="arXiv 2008.06402",
    evidence="A",
    claims=(
        Claim(
            "up to twice the throughput, 6.8 times less cost of the server, 20.7 % more accurate "
            "under the same limit on latency",
            "A",
            "not reproducible",
            "it needs the exits' accuracies by threshold",
        ),
    ),
    build=_build,
    missing="For each threshold, the share of inputs that go on and the accuracy; several objectives, ranked; "
    "answers of the device alone where there is no server.",
    example=("branchynet", "pi3-lte-k80"),
    method="single-cut",
    reading="Each threshold is a network with its own shares of inputs that go on; expected times follow. The "
    "threshold that loses least sends most inputs on; the one that loses most is not allowed. Accuracies by "
    "threshold are assumed, so nothing is said of the published figures but that this model has their parts: "
    "cut, threshold, packing, limits.",
)
