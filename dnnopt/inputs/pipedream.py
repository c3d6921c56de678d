"""PipeDream's graphs as problems: training by a pipeline of stages on identical machines.

Narayanan et al., PipeDream: Generalized Pipeline Parallelism for DNN Training, SOSP 2019. The accounting is that of its
planner: a layer takes the time of its forward and backward pass, and what lies across the cut between two stages goes
forward once, and its gradient comes back, while stages compute. A tensor that is used two stages later lies across both
cuts. So stages are a line with links in one direction, at half the bandwidth (the gradient is as large as the tensor);
a tensor takes every link on its way, and each once (multicast).

A stage on m machines gives every one of them an m-th of the samples, and they sum up their gradients: for each sample
it takes (t + 4 (m - 1) w / (B m)) / m with w bytes of parameters, and what it exchanges with its neighbours goes over
the connections of m machines, or of those of the neighbour, if they are fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib.resources.abc import Traversable
from itertools import accumulate, combinations, pairwise
from pathlib import Path

from dnnopt.base.arguments import Rate, checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_text
from dnnopt.base.graphs import topological_order
from dnnopt.base.numbers import counted
from dnnopt.base.records import Bytes, Name, Number, Record
from dnnopt.base.sizes import check_amount, check_places
from dnnopt.problem.constraints import Contiguous
from dnnopt.problem.networks import RESERVED, Layer, Network, Tensor
from dnnopt.problem.objectives import period
from dnnopt.problem.platforms import Device, Link, Platform, Route
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile
from dnnopt.problem.variants import Variants

_BANDWIDTH = 1e9  # bytes/s, the planner's default
_MOST_STAGES = 180  # the hops of all their routes are a million
_MOST_VARIANTS = 512  # of 10 machines
_SOURCE = "PipeDream profile; training, forward and backward"
_BETWEEN = " -- "
_NUMBERS = ("forward_compute_time", "backward_compute_time", "activation_size", "parameter_size")
_LINE = f"NAME -- DESCRIPTION -- {', '.join(f'{name}=NUMBER' for name in _NUMBERS)}"
_DROPPED_SOURCE, _DROPPED_SINK = "Input", "__getitem__"  # beginnings of descriptions


class _Node(Record):
    name: Name
    description: str
    line: int
    forward_compute_time: Number
    backward_compute_time: Number
    activation_size: Bytes
    parameter_size: Bytes


class _Graph:
    """Nodes by name, and the names that edges lead to and come from."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.nodes: dict[str, _Node] = {}
        edges: dict[tuple[str, str], int] = {}
        for number, line in enumerate(text.split("\n"), 1):
            try:
                if line.startswith("\t"):
                    edges.setdefault(_edge(line), number)
                elif line.strip():
                    self._add(_node(line, number))
            except InputError as error:
                raise _at(number, error) from None
        self.after: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.before: dict[str, list[str]] = {name: [] for name in self.nodes}
        for (source, target), number in edges.items():
            for name in (source, target):
                if name not in self.nodes:
                    raise _at(number, InputError("the name of a node", value=name))
            self.after[source].append(target)
            self.before[target].append(source)
        self._check_order(edges)

    def _add(self, node: _Node) -> None:
        if node.name in RESERVED and not node.description.startswith(_DROPPED_SOURCE):
            raise InputError(f"another name than {' and '.join(RESERVED)}", value=node.name)
        if node.name in self.nodes:
            raise InputError(f"another name; line {self.nodes[node.name].line} has it already", value=node.name)
        self.nodes[node.name] = node

    def _check_order(self, edges: dict[tuple[str, str], int]) -> None:
        index = {name: number for number, name in enumerate(self.nodes)}
        _, cycle = topological_order([[index[name] for name in self.before[node]] for node in self.nodes])
        if cycle:
            names = list(self.nodes)
            found = [names[number] for number in cycle]
            number = max(edges[pair] for pair in pairwise(found))
            raise _at(number, InputError("", problem=f"the nodes form a cycle: {' -> '.join(found)}"))

    def drop(self) -> None:
        """Drop what the planner drops: inputs, then results that nothing uses."""
        self._drop([name for name in self._begins(_DROPPED_SOURCE) if not self.before[name]])
        self._drop([name for name in self._begins(_DROPPED_SINK) if not self.after[name]])

    def _begins(self, text: str) -> Iterator[str]:
        return (name for name, node in self.nodes.items() if node.description.startswith(text))

    def _drop(self, names: list[str]) -> None:
        for name in names:
            for other in self.after.pop(name):
                self.before[other].remove(name)
            for other in self.before.pop(name):
                self.after[other].remove(name)
            del self.nodes[name]


def _at(number: int, error: InputError) -> InputError:
    field = f"line {number}" + (f": {error.field}" if error.field else "")
    return InputError("", field=field, problem=error.problem)


def _edge(line: str) -> tuple[str, str]:
    names = line.strip().split(_BETWEEN)
    if len(names) != 2 or not all(names):
        raise InputError("an edge, a tab and NAME -- NAME", value=line)
    return names[0], names[1]


def _node(line: str, number: int) -> _Node:
    """Read a node; after its numbers there may be the stage that a planner gave it."""
    parts = line.strip().split(_BETWEEN)
    if len(parts) not in (3, 4):
        raise InputError(f"a node, {_LINE}", value=line)
    values = [part.partition("=") for part in parts[2].split(", ")]
    if tuple(name for name, _, _ in values) != _NUMBERS:
        raise InputError(f"a node, {_LINE}", value=line)
    data = {name: _number(name, text) for name, _, text in values}
    return _Node.from_data({"name": parts[0], "description": parts[1], "line": number, **data})


def _number(name: str, text: str) -> float:
    """Read a number; sizes of several activations stand in brackets, and are summed."""
    several = name == "activation_size" and text.startswith("[") and text.endswith("]")
    try:
        return sum(map(float, text[1:-1].split("; "))) if several else float(text)
    except ValueError:
        raise InputError("a number", field=name, value=text) from None


@checked
def read_pipedream(
    path: str | Path | Traversable,
    *,
    machines: int | Sequence[int],
    bandwidth: Rate = _BANDWIDTH,
    allow_large: bool = False,
) -> Problem:
    """Read a graph of PipeDream's profiler as a problem: the shortest period of a pipeline of stages.

    Inputs, and ``__getitem__`` nodes whose values nothing uses, are left out, as the planner does. Layers are named
    after their nodes, and have their parameters as weights; no memory is limited.

    Parameters
    ----------
    path : str or Path
        The profiler's ``graph.txt``, or one with stages that the planner wrote (they are passed over).
    machines : int or sequence of int
        How many identical machines there are, each for one stage; or how many each stage has, which share its samples:
        ``(3, 1)``. Plans may leave stages empty.
    bandwidth : float or str
        Of each machine's connection, in bytes/s, or a text such as ``"10 Gbit/s"``.
    allow_large : bool
        Whether the limits of `dnnopt.base.sizes` are lifted, and there may be more than 180 stages.

    Raises
    ------
    InputError
        If the file is malformed (with the line) or too large, or for machines or a bandwidth that are none.
    """
    counts = [machines] if isinstance(machines, int) else [int(count) for count in machines]
    if not counts or min(counts) < 1:
        raise InputError("a whole number >= 1, or one for each stage", field="machines", value=machines)
    stages = machines if isinstance(machines, int) else len(counts)
    check_amount(stages, _MOST_STAGES, "stages", allow_large=allow_large, field="machines")
    graph = _graph(path, bandwidth, allow_large)
    try:
        return _problem(graph, [1] * stages if isinstance(machines, int) else counts, bandwidth, allow_large)
    except InputError as error:
        raise error.within(file=str(path)) from None


@checked
def read_pipedream_replicated(
    path: str | Path | Traversable,
    *,
    machines: int,
    stages: int | None = None,
    bandwidth: Rate = _BANDWIDTH,
    allow_large: bool = False,
) -> Variants:
    """Read a graph of PipeDream's profiler as variants: all ways to give machines to stages, ``1+1+1`` to ``3``.

    Parameters
    ----------
    path : str or Path
        As for `read_pipedream`.
    machines : int
        How many identical machines there are.
    stages : int, optional
        How many stages there may be at most; by default one for each machine: 2 ** (machines - 1) variants.
    bandwidth, allow_large
        As for `read_pipedream`; `allow_large` also allows more than 512 variants.

    Raises
    ------
    InputError
        As `read_pipedream` does.
    """
    if machines < 1:
        raise InputError("a whole number >= 1", field="machines", value=machines)
    if stages is not None and stages < 1:
        raise InputError("a whole number >= 1", field="stages", value=stages)
    most = machines if stages is None else min(machines, stages)
    if not allow_large and sum(math.comb(machines - 1, size) for size in range(min(most, 10))) > _MOST_VARIANTS:
        words = f"at most {_MOST_VARIANTS} variants: fewer machines, or fewer stages; --allow-large lifts this"
        raise InputError(words, field="machines", value=machines)
    graph = _graph(path, bandwidth, allow_large)
    try:
        return Variants(
            {
                "+".join(map(str, counts)): _problem(graph, counts, bandwidth, allow_large)
                for counts in _compositions(machines, most)
            },
            name=f"{graph.name} on {counted(machines, 'machine')}, replicated",
            provenance=_SOURCE,
        )
    except InputError as error:
        raise error.within(file=str(path)) from None


def _compositions(total: int, most: int) -> Iterator[list[int]]:
    """Give all lists of at most so many numbers from 1 with this sum."""
    for first in range(1, total if most > 1 else 1):
        yield from ([first, *rest] for rest in _compositions(total - first, most - 1))
    yield [total]


def _graph(path: str | Path | Traversable, bandwidth: float, allow_large: bool) -> _Graph:
    """Read the graph, less what the planner drops."""
    if not 0.0 < bandwidth < math.inf:
        raise InputError("a number > 0", field="bandwidth", value=bandwidth)
    name = Path(str(path)).name.removesuffix(".gz").removesuffix(".txt").removesuffix(".graph")
    text = read_text(path, allow_large=allow_large)
    try:
        graph = _Graph(name, text)
        graph.drop()
        if not graph.nodes:
            raise InputError("", problem="no nodes, or none but inputs")
    except InputError as error:
        raise error.within(file=str(path)) from None
    return graph


def _problem(graph: _Graph, counts: list[int], bandwidth: float, allow_large: bool) -> Problem:
    """Return the problem of stages with so many machines each."""
    check_places(len(graph.nodes), len(counts), allow_large=allow_large, field="machines")
    last = list(accumulate(counts))
    devices = [
        f"machine{end}" if count == 1 else f"machines{end - count + 1}-{end}"
        for count, end in zip(counts, last, strict=True)
    ]
    times = {
        node.name: {device: _seconds(node, count, bandwidth) for device, count in zip(devices, counts, strict=True)}
        for node in graph.nodes.values()
    }
    replicas = "" if max(counts) == 1 else f", {'+'.join(map(str, counts))}"
    return Problem(
        _network(graph),
        _platform(devices, counts, bandwidth),
        execution="pipelined",
        minimize=period(),
        subject_to=(Contiguous(),),
        transport="multicast",
        profile=Profile(time={graph.name: times}),
        name=f"{graph.name} on {counted(sum(counts), 'machine')}{replicas}",
        provenance=f"{_SOURCE}; {bandwidth:g} bytes/s",
    )


def _seconds(node: _Node, machines: int, bandwidth: float) -> float:
    """Return what a layer takes for one sample of all that machines share: its passes, and the sum of its gradients."""
    seconds = (node.forward_compute_time + node.backward_compute_time) / 1000.0
    return (seconds + 4.0 * (machines - 1) * node.parameter_size / (bandwidth * machines)) / machines


def _network(graph: _Graph) -> Network:
    return Network(
        name=graph.name,
        layers=tuple(
            Layer(name=node.name, op=node.description.partition("(")[0], weights=node.parameter_size)
            for node in graph.nodes.values()
        ),
        tensors=tuple(
            Tensor(name=source, producer=source, consumers=tuple(targets), bytes=graph.nodes[source].activation_size)
            for source, targets in graph.after.items()
            if targets
        ),
    )


def _platform(devices: list[str], counts: list[int], bandwidth: float) -> Platform:
    """Return the line: forward links alone, with half the bandwidth of the machines of the end that has fewer."""
    links = [
        Link(
            name=f"{devices[i]}->{devices[i + 1]}",
            bandwidth=bandwidth * min(counts[i : i + 2]) / 2.0,
            latency=0.0,
            sender=devices[i],
            receiver=devices[i + 1],
        )
        for i in range(len(devices) - 1)
    ]
    return Platform(
        devices=tuple(Device(name=name) for name in devices),
        links=tuple(links),
        routes=tuple(
            Route(origin=devices[i], destination=devices[j], links=tuple(link.name for link in links[i:j]))
            for i, j in combinations(range(len(devices)), 2)
        ),
    )
