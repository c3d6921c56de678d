"""The five dimensions in which the survey classifies approaches, as closed lists of values with a definition each.

The dimensions are the survey's; their values are those that the published approaches of this room need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import FrozenDict


@dataclass(frozen=True)
class Dimension:
    """A question about an approach, and all answers to it.

    Attributes
    ----------
    name : str
        The field of `Approach` that has its values.
    option : str
        What one of its values is called.
    title : str
    values : mapping
        Value -> what it means.
    """

    name: str
    option: str
    title: str
    values: Mapping[str, str]

    def check(self, given: Iterable[str]) -> None:
        """Raise InputError for what is no value of it."""
        for value in given:
            if value not in self.values:
                raise InputError(f"one of {', '.join(self.values)}", field=self.option, value=value)


LOCATIONS = Dimension(
    "locations",
    "location",
    "deployment locations",
    FrozenDict({
        "end-edge": "end devices and a server near to them",
        "end-cloud": "an end device and a cloud",
        "edge-cloud": "a device or server at the edge, and a cloud",
        "end-edge-cloud": "three tiers or more",
        "multi-end": "several end devices that help each other",
        "multi-edge": "several edge devices or servers",
        "accelerators": "several accelerators, of a machine or a cluster",
    }),
)  # fmt: skip
GRANULARITIES = Dimension(
    "granularities",
    "granularity",
    "partition granularity",
    FrozenDict({
        "split": "one cut: all layers before it run on one side, all after it on the other",
        "graph-cut": "two sides of a graph, of which data goes to the second one alone",
        "segments": "several cuts: each device runs layers that follow each other",
        "layers": "each layer, operator or group of operators is placed by itself",
        "rows": "parts of the rows, or tiles, of a layer's feature maps; neighbours exchange halos",
        "fused": "several layers at once, whole or in tiles, some of it computed twice",
        "channels": "parts of a layer's channels or features",
        "samples": "parts of a batch",
        "replicas": "copies of a layer, which take turns",
        "exits": "where a network has several answers, which one is taken",
    }),
)  # fmt: skip
CONSTRAINTS = Dimension(
    "constraints",
    "constraint",
    "partition constraints",
    FrozenDict({
        "memory": "what devices can hold",
        "deadline": "time that an answer may take, or a rate that must be kept",
        "accuracy": "accuracy that may be lost",
        "energy": "energy of a device, or what its battery holds",
        "budget": "money",
        "privacy": "what devices may see, and layers that must stay where they are",
        "bandwidth": "what links carry, and changes of it",
        "capacity": "the load that devices or servers can take, and differences between them",
        "one-way": "data goes from tier to tier in one direction alone",
        "contiguity": "what a device runs hangs together",
        "colocation": "layers that must share a device",
        "support": "operators that a device cannot run, and layers that are kept on, or off, a device",
        "exclusive": "a device or a link does one thing at a time",
        "transitions": "what it costs, or how often it is allowed, to change the device",
        "own": "what no published approach knows: how many devices take part, a constraint of one's own",
    }),
)  # fmt: skip
OBJECTIVES = Dimension(
    "objectives",
    "objective",
    "optimisation objectives",
    FrozenDict({
        "latency": "time of one inference, or of one training step",
        "throughput": "inferences in a time: the load of the busiest device or link",
        "energy": "energy of some devices, or of all",
        "cost": "money, or load of a rented server",
        "traffic": "bytes that are sent",
        "accuracy": "accuracy of the answers",
        "privacy": "what others learn of the input",
        "memory": "bytes that a device needs",
        "own": "what no published approach knows: a metric of one's own",
    }),
)  # fmt: skip
ALGORITHMS = Dimension(
    "algorithms",
    "algorithm",
    "optimisation algorithms",
    FrozenDict({
        "enumeration": "all candidates are evaluated",
        "shortest-path": "a shortest path through layers and devices",
        "min-cut": "a minimum cut, or largest flow",
        "dynamic-programming": "best ways to parts are put together to best ways to larger ones",
        "integer-programming": "an integer linear program, or constraint program, is handed to a solver",
        "linear-programming": "a linear program, its solution rounded where it must be",
        "approximation": "a heuristic with a factor that it never exceeds",
        "heuristic": "rules: greedy, proportional or list scheduling",
        "evolutionary": "swarms and genetic algorithms",
        "learning": "reinforcement learning, bandits, or a network trained for its cut",
        "game": "users or devices that choose for themselves, until none changes",
        "manual": "cuts are given, or follow from the architecture",
    }),
)  # fmt: skip
DIMENSIONS = (LOCATIONS, GRANULARITIES, CONSTRAINTS, OBJECTIVES, ALGORITHMS)
