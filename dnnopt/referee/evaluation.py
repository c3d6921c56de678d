"""What the referee says of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from dnnopt.base.frozen import FrozenDict, unchangeable
from dnnopt.base.numbers import counted, format_number, format_quantity
from dnnopt.base.tables import Described


@unchangeable
@dataclass(frozen=True)
class Violation:
    """One limit or rule that a plan breaks.

    Attributes
    ----------
    constraint : str
        Which, with the device, link, resource or pair where the entry covers several: ``memory(pi)``.
    amount : float
        By how much; infinite for what no amount could mend (a missing route), 1 for what is just true or false.
    unit : str
        SI unit of `amount`; empty for a pure number.
    message : str
        For a person to read.
    """

    constraint: str
    amount: float
    unit: str
    message: str


@unchangeable
@dataclass(frozen=True)
class Transmission:
    """One copy of a tensor, sent from the device where it is made to one where it is used.

    Attributes
    ----------
    network, tensor, origin, destination : str
    form : str
        In which it is sent; empty: as it is.
    links : tuple of str
        The links of the route, in order. Under multicast a link that several copies share carries the tensor once.
    bytes : float
    seconds : float
        Sum over the links of latency + bytes / bandwidth.
    """

    network: str
    tensor: str
    origin: str
    destination: str
    links: tuple[str, ...]
    bytes: float
    seconds: float
    form: str = ""


@unchangeable
@dataclass(frozen=True, repr=False)
class Evaluation(Described):
    """A plan's objectives, metrics, violations and transmissions.

    Attributes
    ----------
    objectives : tuple of float
        One for each priority of the objective, in ascending order of priority.
    metrics : dict of str to float
        ``latency``, ``latency(NETWORK)``, ``period``, ``throughput`` (1 / period), ``load(RESOURCE)``,
        ``busy(DEVICE)``, ``energy``, ``energy(DEVICE)``, ``cost``, ``traffic``, ``traffic(LINK)``; ``memory(DEVICE)``
        where the weights are known; ``leakage`` and ``worst_leakage`` where all sensitivities and all trusted flags
        are; ``accuracy_loss`` where there is any to lose. Infinite where a layer runs on a device that does not support
        it. Where a tensor has no route, so are the totals and the energies of the two devices, while the metrics of
        single links and resources count what is known.
    violations : tuple of Violation
    transmissions : tuple of Transmission
    memory : dict of str to (float, float)
        Of each device with a limit on it: bytes held and allowed, by the memory constraint that the device fills most.
    """

    objectives: tuple[float, ...]
    metrics: dict[str, float]
    violations: tuple[Violation, ...]
    transmissions: tuple[Transmission, ...]
    memory: dict[str, tuple[float, float]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", FrozenDict(self.metrics))
        object.__setattr__(self, "memory", FrozenDict(self.memory))

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        broken = [violation.constraint for violation in self.violations]
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        return {
            "objective": f"objective {', then '.join(map(format_number, self.objectives))}",
            "verdict": f"breaks {broken[0]}{more}" if broken else "feasible",
            "transmissions": counted(len(self.transmissions), "transmission"),
        }

    @property
    def objective(self) -> float:
        """The objective of the first priority."""
        return self.objectives[0]

    @property
    def feasible(self) -> bool:
        """Whether nothing is violated."""
        return not self.violations


def told_apart(first: float, second: float, unit: str) -> tuple[str, str]:
    """Return two different quantities as texts, with as many digits as show the difference."""
    for digits in range(4, 17):
        texts = format_quantity(first, unit, digits), format_quantity(second, unit, digits)
        if texts[0] != texts[1]:
            return texts
    return f"{first!r} {unit}".rstrip(), f"{second!r} {unit}".rstrip()
