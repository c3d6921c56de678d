"""Workloads of "Efficient Algorithms for Device Placement of DNN Graph Operators" as problems.

Tarnawski et al., NeurIPS 2020, arXiv 2006.16423. Accelerators and processors share the host's memory: a tensor goes
from an accelerator to the host once, however many devices use it, and from the host to an accelerator once. Either way
it takes the accelerator's time, and processors pay nothing. So the platform is a star, transport is multicast, and each
accelerator and its two links are one resource.

For throughput, every processor is a device. For latency they are one pool that runs any number of nodes at a time, and
each accelerator runs what it has as one call.
"""

from __future__ import annotations

from collections import Counter
from importlib.resources.abc import Traversable
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_data
from dnnopt.base.records import Bytes, Flag, Number, Record, check_known, check_unique
from dnnopt.base.sizes import check_places
from dnnopt.problem.constraints import Colocate, Constraint, Contiguous, Memory
from dnnopt.problem.networks import RESERVED, Layer, Network, Tensor
from dnnopt.problem.objectives import latency, period
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Device, Link, Platform, Resource, Route
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile

_Objective = Literal["throughput", "latency"]
OBJECTIVES: tuple[_Objective, ...] = ("throughput", "latency")
POOL = "cpus"
BANDWIDTH = 1e9  # of links, in bytes/s: costs are times, and a tensor has the bytes that take so long
_MILLISECOND = 1e-3
_NOISE = 1e-6  # costs of one node's edges may differ by so much (ms); the first one counts, as in the authors' programs


def _flag(value: Any) -> Any:
    return bool(value) if type(value) in (int, float) and value in (0, 1) else value


Bit = Annotated[Flag, BeforeValidator(_flag)]
_Count = Annotated[int, Field(strict=True, ge=0)]
Identity = Annotated[int, Field(strict=True)]


class _Part(Record):
    """A part of the file; keys that no problem needs are passed over."""

    model_config = ConfigDict(extra="ignore")


class _Node(_Part):
    id: Identity
    name: Any = None  # "debug information": it may be missing, shared, or be no text
    supportedOnFpga: Bit
    cpuLatency: Number
    fpgaLatency: Number
    isBackwardNode: Bit = False
    size: Bytes = 0.0
    colorClass: Identity | None = None


class _Edge(_Part):
    sourceId: Identity
    destId: Identity
    cost: Number


class _Workload(_Part):
    maxSizePerFPGA: Bytes
    maxFPGAs: _Count
    maxCPUs: _Count
    nodes: Annotated[tuple[_Node, ...], Field(min_length=1)]
    edges: tuple[_Edge, ...]

    @model_validator(mode="after")
    def _check(self) -> _Workload:
        check_unique((str(node.id) for node in self.nodes), "nodes", "node")
        identities = {str(node.id) for node in self.nodes}
        cost: dict[int, float] = {}
        for index, edge in enumerate(self.edges):
            for field in ("sourceId", "destId"):
                check_known(str(getattr(edge, field)), identities, f"edges[{index}].{field}", "node (an id)")
            expected = cost.setdefault(edge.sourceId, edge.cost)
            if abs(edge.cost - expected) > _NOISE:
                raise InputError(
                    f"{expected}, the cost of the other edges of node {edge.sourceId}",
                    field=f"edges[{index}].cost",
                    value=edge.cost,
                )
        if self.maxFPGAs + self.maxCPUs == 0:
            raise InputError("at least one accelerator or processor", field="maxFPGAs", value=0)
        return self

    def names(self) -> dict[int, str]:
        """Return what each node is called: its name, with its id where that is missing, reserved or not unique."""
        given = {node.id: node.name if isinstance(node.name, str) else "" for node in self.nodes}
        often = Counter(given.values())
        taken = {name for name, count in often.items() if name and count == 1 and name not in RESERVED}
        names = {}
        for identity, name in given.items():
            if name not in taken:
                name = f"{name}-{identity}" if name else f"node{identity}"
                while name in taken:
                    name += "'"
                taken.add(name)
            names[identity] = name
        return names


class _Share(_Part):
    nodes: tuple[Identity, ...] = ()


class _Split(_Part):
    """Who runs what, as the authors' programs write it, and as their experts have done by hand."""

    fpgas: tuple[_Share, ...] = ()
    cpus: tuple[_Share, ...] = ()


@checked
def read_msr(
    path: str | Path | Traversable,
    *,
    objective: _Objective = "throughput",
    contiguous: bool = False,
    allow_large: bool = False,
) -> Problem:
    """Read a workload as a problem.

    Parameters
    ----------
    path : str or Path
        JSON file with `maxSizePerFPGA`, `maxFPGAs`, `maxCPUs`, `nodes` and `edges`; times in ms. Nodes may lack a name,
        a size (none) and a class. Layers are named after their nodes, and have the node's id in their name where that
        is missing, reserved or not unique: ``node7``, ``input-7``.
    objective : {"throughput", "latency"}
        The largest load of a device, or the end of the last call or node.
    contiguous : bool
        For throughput: whether what each device runs of the forward nodes must be contiguous.
    allow_large : bool
        Whether the limits of `dnnopt.base.sizes` are lifted.

    Raises
    ------
    InputError
        If the file is malformed or too large.
    """
    if objective not in OBJECTIVES:
        raise InputError(f"one of {', '.join(OBJECTIVES)}", field="objective", value=objective)
    if contiguous and objective == "latency":
        raise InputError("", field="contiguous", problem="goes with throughput; calls are contiguous anyway")
    file = str(path)
    workload: _Workload = _Workload.from_data(read_data(path, None, allow_large=allow_large), file=file)
    devices = workload.maxFPGAs + workload.maxCPUs
    check_places(len(workload.nodes), devices, allow_large=allow_large, file=file, field="maxFPGAs + maxCPUs")
    try:
        return _problem(Path(file).stem, workload, objective, contiguous)
    except InputError as error:
        raise error.within(file=file) from None


def problem_of_workload(
    data: dict[str, Any], name: str, *, objective: _Objective = "throughput", contiguous: bool = False
) -> Problem:
    """Return the problem of what a file would have, as `read_msr` reads it, with the name of such a file."""
    return _problem(name, _Workload.from_data(data), objective, contiguous)


def _problem(name: str, workload: _Workload, objective: _Objective, contiguous: bool) -> Problem:
    names = workload.names()
    accelerators = [f"accelerator{number + 1}" for number in range(workload.maxFPGAs)]
    if objective == "throughput":
        processors = [f"cpu{number + 1}" for number in range(workload.maxCPUs)]
    else:
        processors = [POOL] if workload.maxCPUs else []
    return Problem(
        _network(name, workload, names),
        _platform(workload, accelerators, processors),
        execution="pipelined" if objective == "throughput" else "call",
        minimize=period() if objective == "throughput" else latency(),
        subject_to=_constraints(name, workload, names, contiguous),
        transport="multicast",
        profile=_profile(name, workload, names, accelerators, processors),
        name=f"{name}, {objective}" + (", contiguous" if contiguous else ""),
        provenance=f"MSR workload; bytes of tensors are times over links of {BANDWIDTH:g} bytes/s",
    )


@checked
def read_msr_split(path: str | Path | Traversable, workload: str | Path | Traversable) -> Plan:
    """Read a split of a workload's nodes among devices as a plan for its throughput, to judge it or to start from.

    Parameters
    ----------
    path : str or Path
        JSON file with `fpgas` and `cpus`: for each device the ids of its `nodes`, as the authors' programs write it;
        their loads are passed over.
    workload : str or Path
        File of the workload, as for `read_msr`.

    Raises
    ------
    InputError
        If a file is malformed, for nodes that are missing, twice or not the workload's, and for devices too many.
    """
    file = str(path)
    whole: _Workload = _Workload.from_data(read_data(workload, None), file=str(workload))
    split: _Split = _Split.from_data(read_data(path, None), file=file)
    names, placed = whole.names(), {}
    for field, kind, shares, most in (
        ("fpgas", "accelerator", split.fpgas, whole.maxFPGAs),
        ("cpus", "cpu", split.cpus, whole.maxCPUs),
    ):
        for number, share in enumerate(shares):
            where = f"{field}[{number}].nodes"
            if share.nodes and number >= most:
                raise InputError(
                    f"none, as the workload has {most} {field}", file=file, field=where, value=share.nodes[0]
                )
            for node in share.nodes:
                if node not in names:
                    raise InputError("a node (an id) of the workload", file=file, field=where, value=node)
                if names[node] in placed:
                    raise InputError("every node once", file=file, field=where, value=node)
                placed[names[node]] = f"{kind}{number + 1}"
    missing = [node for node, name in names.items() if name not in placed]
    if missing:
        raise InputError("every node of the workload", file=file, field="nodes", value=f"none on {missing[0]}")
    return Plan(placement={Path(str(workload)).stem: placed})


def _network(name: str, workload: _Workload, names: dict[int, str]) -> Network:
    consumers: dict[int, list[str]] = {}
    cost: dict[int, float] = {}
    for edge in workload.edges:
        consumers.setdefault(edge.sourceId, []).append(names[edge.destId])
        cost.setdefault(edge.sourceId, edge.cost)
    return Network(
        name=name,
        layers=tuple(Layer(name=names[node.id], weights=node.size) for node in workload.nodes),
        tensors=tuple(
            Tensor(
                name=names[source],
                producer=names[source],
                consumers=tuple(dict.fromkeys(found)),
                bytes=cost[source] * (_MILLISECOND * BANDWIDTH),
            )
            for source, found in consumers.items()
        ),
    )


def _platform(workload: _Workload, accelerators: list[str], processors: list[str]) -> Platform:
    links, resources = [], []
    for name in accelerators:
        links.append(Link(name=f"{name}-out", bandwidth=BANDWIDTH, latency=0.0, sender=name))
        links.append(Link(name=f"{name}-in", bandwidth=BANDWIDTH, latency=0.0, receiver=name))
        resources.append(Resource(name=name, devices=(name,), links=(f"{name}-out", f"{name}-in")))

    def hops(device: str, direction: str) -> tuple[str, ...]:
        return (f"{device}-{direction}",) if device in accelerators else ()

    return Platform(
        devices=(
            *(Device(name=name, memory=workload.maxSizePerFPGA) for name in accelerators),
            *(Device(name=name, pool=name == POOL) for name in processors),
        ),
        links=tuple(links),
        routes=tuple(
            Route(origin=i, destination=j, links=(*hops(i, "out"), *hops(j, "in")))
            for i, j in permutations((*accelerators, *processors), 2)
        ),
        resources=tuple(resources),
    )


def _profile(
    name: str, workload: _Workload, names: dict[int, str], accelerators: list[str], processors: list[str]
) -> Profile:
    times: dict[str, dict[str, float | None]] = {}
    for node in workload.nodes:
        there = node.fpgaLatency * _MILLISECOND if node.supportedOnFpga else None
        times[names[node.id]] = dict.fromkeys(accelerators, there)
        times[names[node.id]].update(dict.fromkeys(processors, node.cpuLatency * _MILLISECOND))
    return Profile(time={name: times})


def _constraints(name: str, workload: _Workload, names: dict[int, str], contiguous: bool) -> tuple[Constraint, ...]:
    """Return memory of the accelerators, colour classes together, and contiguity of the forward nodes if asked for."""
    classes: dict[int, list[str]] = {}
    for node in workload.nodes:
        if node.colorClass is not None:
            classes.setdefault(node.colorClass, []).append(names[node.id])
    together = [Colocate(network=name, layers=tuple(nodes)) for nodes in classes.values() if len(nodes) > 1]
    forward = tuple(names[node.id] for node in workload.nodes if not node.isBackwardNode)
    convex = [Contiguous(network=name, layers=forward)] if contiguous and forward else []
    return (Memory(), *together, *convex)
