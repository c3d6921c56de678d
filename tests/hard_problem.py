"""A problem that weak formulations do not prove in minutes: resnet50 on four devices whose memory is tight."""

from functools import cache

from dnnopt.problem.constraints import Memory
from dnnopt.problem.library import network, platform
from dnnopt.problem.objectives import latency
from dnnopt.problem.problem import Problem

SHARES = {"pi": 0.5, "nano": 0.45, "nx": 0.4, "t4": 0.3}
# The formulation that each solver is given: a weak one.
FORMULATIONS = {"highs": "product", "cbc": "product", "scip": "product", "cpsat": "cp-assignment"}


@cache
def hard_problem() -> Problem:
    """Return the problem."""
    net = network("resnet50").model_copy(update={"source": "pi", "sink": "pi"})
    weights = sum(layer.weights or 0.0 for layer in net.layers)
    limits = {device: share * weights for device, share in SHARES.items()}
    return Problem(
        net,
        platform("pi4-lan-nano-nx-wan-t4"),
        execution="sequential",
        minimize=latency(),
        subject_to=[Memory(rule="weights+largest_activation", limits=limits)],
    )
