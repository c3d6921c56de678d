"""ScissionLite: one cut, whose tensor a learned codec makes smaller."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided
from dnnopt.problem.forms import CodingWork, Form, Roofline
from dnnopt.problem.networks import INPUT, OUTPUT, Network, Tensor
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_SHARE = 0.25  # of a tensor's bytes that the transfer layer leaves; assumed


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency of a graph on two sides, where a tensor may be sent as a quarter, for a pass over it on each."""
    return two_sided(network.replace(tensors=tuple(_with_form(one) for one in network.tensors)), platform)


def _with_form(tensor: Tensor) -> Tensor:
    if OUTPUT in tensor.consumers or tensor.producer == INPUT:
        return tensor
    work = Roofline(roofline=CodingWork(flops=tensor.bytes / 4, bytes=(1 + _SHARE) * tensor.bytes))
    return tensor.replace(forms=(Form(name="transfer-layer", bytes=_SHARE * tensor.bytes, encode=work, decode=work),))


APPROACH = Approach(
    name="scissionlite",
    title="ScissionLite",
    venue="arXiv",
    year=2021,
    locations=("end-edge",),
    granularities=("split",),
    constraints=(),
    objectives=("latency",),
    algorithms=("enumeration",),
    communication="the tensor at the cut as the transfer layer leaves it; it takes time on both sides",
    source="ScissionLite, ScissionTL, 2021",
    evidence="T",
    claims=(
        Claim(
            "DenseNet-169: 0.1261 s, 0.1588 MB, cut after layer 1",
            "T",
            "not reproducible",
            "its profiles are not among what the package reads",
        ),
        Claim(
            "the codec lowers the optimum by 13 to 53 % on 18 networks",
            "T",
            "not reproducible",
            "its profiles are not among what the package reads",
        ),
    ),
    build=_build,
    missing="Bytes and times of the transfer layer as it was trained for each cut.",
    example=("alexnet", "pi3-wifi-pc"),
    method="single-cut",
)
