"""Features: what kind of problem it is, in numbers that need no solver."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dnnopt.base.console import as_text, table
from dnnopt.base.graphs import tree_decomposition
from dnnopt.base.numbers import counted, format_gap, format_number, format_quantity
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scaling import all_on_one
from dnnopt.methods.pool import Pool
from dnnopt.problem.problem import Problem
from dnnopt.problem.remarks import choices, remarks
from dnnopt.problem.words import objective_name
from dnnopt.studies.best_known import BestKnown, best_known

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Features:
    """Sizes and shape of a problem.

    Attributes
    ----------
    networks, layers, tensors, edges, devices, links : int
    locations : str
        The tiers there are, such as ``end-edge-cloud``.
    execution, transport : str
    objectives, constraints : tuple of str
        Kinds.
    choices : tuple of str
        Kinds of choices beyond placement, and what varies (docs/choices.md).
    shared_weights : int
        Weights that several layers read.
    width : int
        Most tensors that are alive at once, along the order of the layers.
    treewidth : int
        Width of a tree decomposition by minimum degree: an upper bound of the treewidth.
    compute_communication : float
        Seconds of all layers, each on its fastest device, over the seconds of all tensors, each over the median route;
        infinite where nothing is sent.
    best_trivial : float, optional
        Objective of the best feasible plan that runs everything on one device (pinned and unsupported layers where they
        can run); None: none is feasible.
    """

    networks: int
    layers: int
    tensors: int
    edges: int
    devices: int
    links: int
    locations: str
    execution: str
    transport: str
    objectives: tuple[str, ...]
    constraints: tuple[str, ...]
    choices: tuple[str, ...]
    shared_weights: int
    width: int
    treewidth: int
    compute_communication: float
    best_trivial: float | None


def features(problem: Problem) -> Features:
    """Return the features of a problem."""
    c = compile_problem(problem)
    tiers = {device.tier for device in problem.platform.devices if device.tier}
    decomposition = tree_decomposition(
        len(c.node_names), zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)
    )
    tensor = c.tensor_number[c.edge_tensor]  # of several sizes, the first one is taken
    _, first = np.unique(tensor, return_index=True)
    routed = np.flatnonzero(c.pair_routed)
    sending = 0.0
    if len(routed):
        sending = float(np.median(c.copy_seconds[:, routed], axis=1)[c.edge_tensor[first]].sum())
    computing = float(c.allowed_time.min(axis=1)[c.is_layer].sum())
    return Features(
        networks=len(problem.networks),
        layers=int(c.is_layer.sum()),
        tensors=len(set(c.tensor_number.tolist())),
        edges=len(set(zip(tensor.tolist(), c.edge_consumer.tolist(), strict=True))),
        devices=len(c.device_names),
        links=len(c.link_names),
        locations="-".join(tier for tier in ("end", "edge", "cloud") if tier in tiers),
        execution=problem.execution,
        transport=problem.transport,
        objectives=tuple(dict.fromkeys(term.metric for term in problem.minimize)),
        constraints=tuple(dict.fromkeys(constraint.constraint for constraint in problem.subject_to)),
        choices=_kinds_of_choices(problem),
        shared_weights=len(problem.all_shared_weights()),
        width=_width(tensor, c.edge_producer, c.edge_consumer),
        treewidth=decomposition.width,
        compute_communication=computing / sending if sending else float("inf"),
        best_trivial=_best_trivial(problem, c),
    )


def _kinds_of_choices(problem: Problem) -> tuple[str, ...]:
    """Return what a problem has beyond placement, by the words of ``docs/choices.md``."""
    chosen = [device for device in problem.platform.devices if len(device.modes) > 1]
    networks = problem.networks
    there = {
        "modes": any(not device.one_mode for device in chosen),
        "one mode": any(device.one_mode for device in chosen),
        "forms": any(tensor.forms for network in networks for tensor in network.tensors),
        "reach": any(network.has_exits for network in networks),
        "state": any(layer.state for network in networks for layer in network.layers),
        "scenarios": bool(problem.scenarios),
        "blocks": bool(problem.profile.blocks),
    }
    return tuple(name for name, has in there.items() if has)


def _best_trivial(problem: Problem, compiled: CompiledProblem) -> float | None:
    """Return the objective of the best feasible plan that runs everything on one device; None: there is none."""
    pool = Pool(problem, compiled)
    for placement in all_on_one(compiled):
        pool.offer_placement(placement, "all on one")
    return pool.objective


def _width(tensor: np.ndarray, producer: np.ndarray, consumer: np.ndarray) -> int:
    """Return the most tensors that are alive between two nodes that follow each other."""
    if not len(tensor):
        return 0
    size = int(tensor.max()) + 1
    first, last = np.full(size, -1), np.full(size, -1)
    first[tensor] = producer
    np.maximum.at(last, tensor, consumer)
    sent = np.flatnonzero(first >= 0)
    change = np.zeros(int(consumer.max()) + 2, dtype=np.int64)
    np.add.at(change, first[sent], 1)
    np.add.at(change, last[sent], -1)
    return int(np.cumsum(change).max())


def summary_of(problem: Problem) -> str:
    """Return features and best known value of a problem as a text."""
    return as_text(partial(print_features, problem=problem, found=features(problem), known=best_known(problem)))


def print_features(console: Console, problem: Problem, found: Features, known: BestKnown | None) -> None:
    """Print what kind of problem it is, and the best known value."""
    name, unit = objective_name(problem)
    networks = ", ".join(f"{network.name} ({counted(len(network.layers), 'layer')})" for network in problem.networks)
    trivial = "breaks a limit" if found.best_trivial is None else format_quantity(found.best_trivial, unit, 6)
    rows = [
        ("networks", networks),
        ("devices", f"{', '.join(problem.platform.device_names())} ({found.locations or 'no tiers'})"),
        ("links", f"{found.links}, {found.transport}"),
        ("execution", found.execution),
        ("minimise", name),
        ("subject to", ", ".join(constraint.label for constraint in problem.subject_to) or "nothing"),
        ("choices", choices(problem) or "a device for each layer"),
        ("tensors", f"{found.tensors:,}, at most {found.width:,} alive at once; {counted(found.edges, 'edge')}"),
        ("shared weights", f"{found.shared_weights:,}"),
        ("treewidth", f"at most {found.treewidth}"),
        ("computing : sending", format_number(found.compute_communication, 3)),
        ("all on one device", trivial),
    ]
    rows += [("remark", remark) for remark in remarks(problem)]
    if known is None:
        rows.append(("best known", "nothing"))
    elif known.objective is None:
        rows.append(("best known", known.status))
    else:
        bound = "no bound" if known.bound is None else f"bound {format_quantity(known.bound, unit, 6)}"
        value = format_quantity(known.objective, unit, 6)
        rows.append(("best known", f"{value} ({known.status}; {bound}, gap {format_gap(known.gap)})"))
        bounded = f", bound by {known.bound_by}" if known.bound_by else ""
        rows.append(("", f"plan by {known.found_by}{bounded}, {known.date}"))
    if problem.provenance:
        rows.append(("provenance", problem.provenance))
    columns = [("", "left"), ("", "left")]
    console.print(table(problem.title, columns, rows))
