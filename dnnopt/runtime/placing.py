"""What a plan says of an ONNX file: which device each node runs on, whatever the granularity of the plan."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dnnopt.base.errors import InputError
from dnnopt.base.records import check_known
from dnnopt.inputs.onnx.file import load_model
from dnnopt.inputs.onnx.graph import OnnxGraph
from dnnopt.inputs.onnx.quantised import folded_graph
from dnnopt.inputs.onnx.reader import layer_names, read_onnx
from dnnopt.problem.manifest import Axis
from dnnopt.problem.networks import Network
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.coarsening import GRANULARITIES
from dnnopt.problem.transforms.fusing import fuse
from dnnopt.problem.transforms.fusion import best_fusion
from dnnopt.problem.transforms.granularity import Granularity, coarse, in_pieces
from dnnopt.problem.transforms.pieces import Transformed
from dnnopt.problem.transforms.problems import at_granularity
from dnnopt.problem.transforms.sharding import shard
from dnnopt.runtime.dividing import divided_model


@dataclass
class PlacedLayers:
    """The layers of a file, and where they run.

    Attributes
    ----------
    graph : OnnxGraph
        Of the file or, where the plan divides layers, of the model that has their parts as nodes.
    network : str
        What the plan calls the network.
    names, devices : list of str
        For each layer of the graph: the plan's layer that it belongs to, empty for what cuts and joins; and its device.
    declared : dict of str to tuple
        Sizes and names of dimensions that the file states.
    dynamic : bool
        Whether inputs have dimensions without a size.
    plan, problem : Plan, Problem or None
        At the granularity of `names`.
    modes : list of str
        Of devices, that the plan uses.
    """

    graph: OnnxGraph
    network: str
    names: list[str]
    devices: list[str]
    declared: dict[str, tuple[Axis, ...]]
    dynamic: bool
    plan: Plan
    problem: Problem | None
    modes: list[str]


def place_layers(
    path: Path,
    plan: Plan,
    *,
    problem: Problem | None,
    dimensions: Mapping[str, int] | None,
    network: str | None,
    granularity: str | None,
    allow_large: bool,
) -> PlacedLayers:
    """Return the layers of a file, and where they run by a plan; the parameters are those of `split_onnx`."""
    name = network_name(plan, network)
    if granularity is not None:
        wanted = Granularity.of(granularity)
        original = name.rpartition("@")[0] or name
        source, sink = _ends(problem, original)
        file_network = read_onnx(
            path, name=original, dimensions=dimensions, source=source, sink=sink, allow_large=allow_large
        )
        if wanted.kind not in GRANULARITIES:
            return _divided(path, plan, name, file_network, granularity, problem, dimensions, allow_large)
        placed = _all_placed(plan, name, (merged := in_pieces(file_network, granularity)).network, path)
        lifted = merged.lift(placed).placement
        assert lifted is not None, "merged layers are whole"
        forms = plan.forms.get(name)
        plan, name = Plan(placement=lifted, forms={original: forms} if forms else {}), original
    graph = folded_graph(path, dimensions or {}, allow_large=allow_large)
    graph.check_shapes()
    names = layer_names(graph.layers)
    placed = placement_of(plan, name, names, path)
    if problem is not None:
        plan.check(problem)
    device_of: Mapping[str, str] = problem.platform.device_of() if problem is not None else {}
    declared, dynamic = _declared(path)
    return PlacedLayers(
        graph=graph,
        network=name,
        names=names,
        devices=[device_of.get(placed[layer], placed[layer]) for layer in names],
        declared=declared,
        dynamic=dynamic,
        plan=plan,
        problem=problem,
        modes=sorted({place for place in placed.values() if device_of.get(place, place) != place}),
    )


def _divided(
    path: Path,
    plan: Plan,
    name: str,
    network: Network,
    granularity: str,
    problem: Problem | None,
    dimensions: Mapping[str, int] | None,
    allow_large: bool,
) -> PlacedLayers:
    """Return the parts of layers, as nodes of a model of their own, and where they run."""
    transformed = _parts(network, granularity, problem)
    owner = _owners(transformed, plan, name, path)
    placed = plan.placement[name]
    device_of: Mapping[str, str] = problem.platform.device_of() if problem is not None else {}
    devices = {part: device_of.get(placed[layer], placed[layer]) for part, layer in owner.items()}
    graph = folded_graph(path, dimensions or {}, allow_large=allow_large)
    graph.check_shapes()
    model = divided_model(graph, network, transformed, devices)
    with tempfile.TemporaryDirectory(prefix="dnnopt-parts-") as folder:
        written = Path(folder) / path.name
        written.write_bytes(model.model.SerializeToString())
        parts = folded_graph(written, {}, allow_large=allow_large)
        declared, dynamic = _declared(written)
    parts.file = str(path)
    nodes = [node.proto.name for node in parts.layers]
    if problem is not None:
        problem = at_granularity(problem, granularity).problem
        if name != network.name:
            name, plan = network.name, Plan(placement={network.name: placed})
        plan.check(problem)
    return PlacedLayers(
        graph=parts,
        network=name,
        names=[owner[part] if (part := model.part_of[node]) else "" for node in nodes],
        devices=[model.device_of[node] for node in nodes],
        declared=declared,
        dynamic=dynamic,
        plan=plan,
        problem=problem,
        modes=sorted({place for place in placed.values() if device_of.get(place, place) != place}),
    )


def _parts(network: Network, granularity: str, problem: Problem | None) -> Transformed:
    """Return the parts of operators that `at_granularity` merges to parts of layers."""
    wanted = Granularity.of(granularity)
    if wanted.kind == "fused" and isinstance(wanted.parts, tuple):
        if problem is not None:
            best = best_fusion(network, problem.platform, [wanted.parts], profile=problem.profile)
            if any(run.grid != (1, 1) for run in best.runs):
                return best.transformed()
        return fuse(network, None, wanted.parts)
    axis, pair = ("channels", True) if wanted.kind == "paired" else (wanted.kind, False)
    return shard(network, axis, wanted.parts, pair=pair)


def _owners(transformed: Transformed, plan: Plan, name: str, path: Path) -> dict[str, str]:
    """Return the plan's layer that each part of an operator belongs to: parts are merged as layers are."""
    placed = plan.placement[name]
    if placed.keys() == transformed.members.keys():
        return {part: part for part in placed}
    merged = coarse(transformed.network, "layer")
    _all_placed(plan, name, merged.network, path)
    return {part: piece.layer.name for piece in merged.pieces for part in piece.shares}


def _ends(problem: Problem | None, name: str) -> tuple[str | None, str | None]:
    """Return where the input starts, and where the answer must arrive."""
    for network in () if problem is None else problem.networks:
        if network.name.partition("@")[0] == name:
            return network.source, network.sink
    return None, None


def network_name(plan: Plan, network: str | None) -> str:
    """Return which network of a plan is meant.

    Raises
    ------
    InputError
        If it is not one of the plan's, or there are several and none is named.
    """
    check_known(network, plan.placement, "network", "network of the plan")
    if network is None and len(plan.placement) > 1:
        listed = ", ".join(plan.placement)
        raise InputError("", field="network", problem=f"missing, and the plan has several; expected one of {listed}")
    return network if network is not None else next(iter(plan.placement))


def placement_of(plan: Plan, name: str, names: list[str], path: Path) -> Mapping[str, str]:
    """Return where each of a network's layers runs.

    Raises
    ------
    InputError
        Unless the plan places exactly these.
    """
    placed = plan.placement[name]
    known = set(names)
    unknown = next((layer for layer in placed if layer not in known), None)
    missing = next((layer for layer in names if layer not in placed), None)
    if unknown is not None or missing is not None:
        what = f"the plan has a layer {unknown!r}" if unknown is not None else f"the plan lacks the layer {missing!r}"
        problem = (
            f"{what}, and the network of {path.name} has {len(names)} layers, such as {names[0]!r}; expected a plan "
            "for the network as it is read from the file, or the granularity of the plan"
        )
        raise InputError("", field=f"placement.{name}", problem=problem)
    return placed


def _all_placed(plan: Plan, name: str, network: Network, path: Path) -> Mapping[str, str]:
    return placement_of(plan, name, [layer.name for layer in network.layers], path)


def _declared(path: Path) -> tuple[dict[str, tuple[Axis, ...]], bool]:
    """Return the sizes and names of dimensions that a file states, and whether some of its inputs are open."""
    graph = load_model(path).graph
    stored = {tensor.name for tensor in graph.initializer} | {one.values.name for one in graph.sparse_initializer}
    found: dict[str, tuple[Axis, ...]] = {}
    for value in (*graph.value_info, *graph.output, *graph.input):
        if value.type.tensor_type.HasField("shape"):
            found[value.name] = tuple(
                axis.dim_value if axis.HasField("dim_value") and axis.dim_value >= 0 else axis.dim_param or None
                for axis in value.type.tensor_type.shape.dim
            )
    inputs = [value.name for value in graph.input if value.name not in stored]
    dynamic = any(not isinstance(axis, int) or not axis for name in inputs for axis in found.get(name, (None,)))
    if not dynamic:  # what the file says of values between may be open, and is not needed
        found = {name: axes for name, axes in found.items() if all(isinstance(axis, int) for axis in axes)}
    return found, dynamic
