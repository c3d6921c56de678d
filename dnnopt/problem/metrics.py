"""The standard metrics: the one list of them, from which all that names them is derived.

What each one means is the referee's (`DEFINITIONS` of `dnnopt.referee.metrics`); as arrays it is the compiler's.
"""

from __future__ import annotations

from dataclasses import dataclass

# What texts with units are parsed as, by SI unit.
DIMENSIONS = {"s": "time", "J": "energy", "USD": "money", "bytes": "bytes", "": "number"}


@dataclass(frozen=True)
class StandardMetric:
    """What there is to know of a metric before it is measured.

    Attributes
    ----------
    name : str
    unit : str
        SI unit; empty for a pure number.
    options : tuple of str
        Fields of a term that go with it.
    parts : {"", "networks", "devices", "links"}
        Over what a maximum of it may be asked for.
    limit : str
        The kind of constraint that limits it.
    exposure : bool
        Whether all sensitivities, and all that is trusted, must be known.
    """

    name: str
    unit: str = ""
    options: tuple[str, ...] = ()
    parts: str = ""
    limit: str = "metric"
    exposure: bool = False

    @property
    def dimension(self) -> str:
        """What texts with units are parsed as."""
        return DIMENSIONS[self.unit]


STANDARD: dict[str, StandardMetric] = {
    metric.name: metric
    for metric in (
        StandardMetric("latency", "s", options=("network",), parts="networks", limit="deadline"),
        StandardMetric("period", "s"),
        StandardMetric("energy", "J", options=("devices", "idle"), parts="devices", limit="energy"),
        StandardMetric("cost", "USD", limit="cost"),
        StandardMetric("traffic", "bytes", options=("links",), parts="links", limit="traffic"),
        StandardMetric("leakage", limit="leakage", exposure=True),
        StandardMetric("worst_leakage", limit="worst_leakage", exposure=True),
        StandardMetric("accuracy_loss", limit="accuracy_loss"),
        StandardMetric("batch_latency", "s", options=("rounds",)),
    )
}


def about(name: str) -> StandardMetric:
    """Return what there is to know of a standard metric; of one of a problem's own, its name and how it is limited."""
    return STANDARD.get(name, StandardMetric(name))
