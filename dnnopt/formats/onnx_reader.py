"""Read ONNX files: ``read_onnx("resnet50.onnx")`` is a Network whose layers are the operators that run.

Only shapes matter, so weights are never looked at, and weights kept in other files need not be there. What happens:

- Symbolic dimensions of the inputs get the sizes given, so every shape is known.
- Whatever depends on constants only is folded: initialisers, Constant and ConstantOfShape nodes, the shape of a tensor,
  and all that is computed from these. What a layer reads of it are its weights, save for settings such as the axes of a
  reduction or the target of a reshape.
- Dropout and Identity are removed, and so is what no output depends on.
- Each operator left is one layer, each value that layers exchange is one tensor, and both are in topological order.

Importing this module does not import onnx.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.errors import InputError
from dnnopt.formats.onnx_costs import COSTS, DATA_INPUTS, CostFunction, Operator, traffic
from dnnopt.formats.onnx_graph import OnnxGraph, domain_of, join, label
from dnnopt.networks import INPUT, OUTPUT, RESERVED, Layer, Network, Tensor

if TYPE_CHECKING:
    from onnx import NodeProto


def read_onnx(
    path: str | Path,
    *,
    name: str | None = None,
    dimensions: Mapping[str, int] | None = None,
    source: str | None = None,
    sink: str | None = None,
    costs: Mapping[str, CostFunction] | None = None,
) -> Network:
    """Read an ONNX file as a Network.

    A layer's `flops` count a multiply-accumulate as two; `bytes` are its inputs, weights and outputs; `weights` are the
    constants that it reads, each counted at the first layer that reads it (quantised ones at their stored size);
    `activations` are its outputs, which are resident while it runs. Reshape, Flatten, Squeeze and Unsqueeze are views:
    layers with no FLOP and no bytes, but with the activations that they stand for. `dnnopt.formats.onnx_costs` has the
    rules.

    A tensor is named after the ONNX value, so that a model can be cut there. A layer is named after its node, with
    ``.`` for ``/`` and ``_`` for other characters; nodes whose name is missing, just a number (``n21``), reserved or
    not unique are named after their operator and numbered: ``conv1``, ``conv2``, ...

    Parameters
    ----------
    path : str or Path
        The ``.onnx`` file. Weights that it keeps in other files are not read.
    name : str, optional
        The network's name; by default the file's, without its ending.
    dimensions : mapping of str to int, optional
        Sizes of symbolic dimensions, such as ``{"batch": 1, "seq": 128}``. A dimension of an input that has neither a
        name nor a size (0 and -1 are none) is called after the input and the axis: ``{"image[0]": 1}``.
    source, sink : str, optional
        Devices where the input starts and the outputs must arrive (see `Network`).
    costs : mapping of str to callable, optional
        FLOP of operator types, for those that are not known or to be counted otherwise: functions of a
        `dnnopt.formats.onnx_costs.Operator`, as in ``{"MyOp": lambda node: 3 * node.out.size}``.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If the file cannot be read or is no acyclic ONNX graph, for a dimension that is unset or unknown, an operator
        without a cost or with a subgraph, and a tensor whose shape depends on data.
    """
    path = Path(path)
    own_costs = costs or {}
    graph = OnnxGraph(path, dimensions or {})
    _refuse_unknown_operators(graph, own_costs)
    graph.infer_types()
    counted: set[str] = set()
    layers = [
        _layer(graph, node, layer_name, own_costs, counted)
        for node, layer_name in zip(graph.layers, _layer_names(graph.layers), strict=True)
    ]
    consumers: dict[str, list[str]] = {}
    for node, layer in zip(graph.layers, layers, strict=True):
        for value in graph.variable_inputs(node):
            consumers.setdefault(value, []).append(layer.name)
    for value in graph.outputs:
        consumers.setdefault(value, []).append(OUTPUT)
    made = [(value.name, INPUT) for value in graph.inputs]
    made += [(value, layer.name) for node, layer in zip(graph.layers, layers, strict=True) for value in node.output]
    tensors = [
        Tensor(name=value, producer=producer, consumers=tuple(consumers[value]), bytes=graph.described(value).bytes)
        for value, producer in made
        if value in consumers
    ]
    return Network(
        name=name or path.stem,
        layers=tuple(layers),
        tensors=tuple(tensors),
        source=source,
        sink=sink,
        provenance=f"{path.name}: {graph.summary()}",
    )


def _refuse_unknown_operators(graph: OnnxGraph, own_costs: Mapping[str, CostFunction]) -> None:
    unknown = Counter(
        f"{domain_of(node)}.{node.op_type}".removeprefix(".")
        for node in graph.layers
        if node.op_type not in own_costs and (domain_of(node) or node.op_type not in COSTS)
    )
    if unknown:
        found = join(f"{name} ({count} nodes)" if count > 1 else name for name, count in sorted(unknown.items()))
        example = min(unknown).rpartition(".")[2]
        raise graph.error(
            f"no cost is known for the operator {found}; give a function that returns its FLOP, "
            f"such as costs={{{example!r}: lambda node: 2 * node.out.size}}"
        )


def _layer(
    graph: OnnxGraph, node: NodeProto, name: str, own_costs: Mapping[str, CostFunction], counted: set[str]
) -> Layer:
    """Make one layer; `counted` are the stored constants that earlier layers hold."""
    from onnx import helper

    operands = [graph.real(value) for value in node.input]
    operator = Operator(
        node.op_type,
        tuple(graph.described(value) if value else None for value in operands),
        tuple(graph.described(value) if value in graph.used else None for value in node.output),
        {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute},
    )
    read: dict[str, int] = {}
    weights = 0
    for position, value in enumerate(operands):
        if not value:
            continue
        if value not in graph.constants:
            read[value] = graph.described(value).bytes
        elif position < DATA_INPUTS.get(node.op_type, len(operands)):
            parts = graph.storage(value)
            read[value] = sum(parts.values())
            weights += sum(size for part, size in parts.items() if part not in counted)
            counted.update(parts)
    return Layer(
        name=name,
        op=node.op_type,
        flops=_flops(graph, node, operator, own_costs),
        bytes=traffic(operator, read.values()),
        weights=weights,
        activations=sum(value.bytes for value in operator.outputs if value is not None),
    )


def _flops(graph: OnnxGraph, node: NodeProto, operator: Operator, own_costs: Mapping[str, CostFunction]) -> float:
    if node.op_type in own_costs:
        flops = own_costs[node.op_type](operator)
        if isinstance(flops, bool) or not isinstance(flops, Real) or not 0 <= flops < math.inf:
            raise InputError("a number >= 0 of FLOP", field=f"costs[{node.op_type!r}]", value=flops, file=graph.file)
        return float(flops)
    try:
        return float(COSTS[node.op_type](operator))
    except (ValueError, IndexError, KeyError) as error:
        raise graph.error(f"the cost of {label(node)} cannot be worked out: {error}") from None


def _layer_names(nodes: list[NodeProto]) -> list[str]:
    """Name each layer after its node, or after its operator and a number where that does not do."""
    wanted = [re.sub(r"[^A-Za-z0-9_.]+", "_", node.name.strip("/").replace("/", ".")).strip("_.") for node in nodes]
    often = Counter(wanted)
    just_a_number = re.compile(r"[A-Za-z]?\d*")
    taken = {name for name in wanted if often[name] == 1 and name not in RESERVED and not just_a_number.fullmatch(name)}
    counts: Counter[str] = Counter()
    names = []
    for node, name in zip(nodes, wanted, strict=True):
        if name not in taken:
            stem = re.sub(r"[^a-z0-9_]+", "_", node.op_type.lower())
            counts[stem] += 1
            while (name := f"{stem}{counts[stem]}") in taken:
                counts[stem] += 1
            taken.add(name)
        names.append(name)
    return names
