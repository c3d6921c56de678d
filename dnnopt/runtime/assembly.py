"""Pieces of a graph, one for each device and stage: which nodes are in each, and what goes from one to another."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.file import type_name
from dnnopt.inputs.onnx.functions import Node
from dnnopt.inputs.onnx.graph import OnnxGraph
from dnnopt.problem.manifest import Axis, PieceTensor
from dnnopt.problem.networks import INPUT, OUTPUT
from dnnopt.runtime.origins import NodeSet, Origins
from dnnopt.runtime.stages import stage_levels

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

_NUMBERS = {
    **{"DOUBLE": "float64", "FLOAT": "float32", "FLOAT16": "float16", "BOOL": "bool"},
    **{f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
}


@dataclass
class PieceDraft:
    """A piece in the making.

    Attributes
    ----------
    device, stage, name : int, str, str
    layers : list of int
    part : NodeSet
        What it is; of the nodes in it that return shapes, those whose shapes are known here.
    inputs, outputs : dict of str
        Values, in order.
    constants : list of onnx.TensorProto
        Shapes that are the same for each input.
    extra : list of onnx.NodeProto
        Conversions of values that are small on the way.
    """

    device: str
    stage: int
    name: str
    layers: list[int] = field(default_factory=list)
    part: NodeSet = field(default_factory=NodeSet)
    inputs: dict[str, None] = field(default_factory=dict)
    outputs: dict[str, None] = field(default_factory=dict)
    constants: list[TensorProto] = field(default_factory=list)
    before: list[NodeProto] = field(default_factory=list)
    after: list[NodeProto] = field(default_factory=list)


class Assembly:
    """The pieces of a graph.

    Parameters
    ----------
    graph : OnnxGraph
    devices : sequence of str
        Of each layer.
    declared : mapping of str to tuple
        Sizes and names of dimensions that the file states: of inputs, outputs and values between.
    dynamic : bool
        Whether inputs have dimensions without a size.

    Attributes
    ----------
    drafts : list of PieceDraft
        In an order in which they can run.
    tensors : list of PieceTensor
    """

    def __init__(
        self, graph: OnnxGraph, devices: Sequence[str], declared: dict[str, tuple[Axis, ...]], dynamic: bool
    ) -> None:
        self.graph, self.declared, self.dynamic = graph, declared, dynamic
        self.origins = Origins(graph)
        self._parts = [self.origins.layer_part(index) for index in range(len(graph.layers))]
        self.drafts = self._grouped(devices)
        self._draft_of = {layer: draft for draft in self.drafts for layer in draft.layers}
        self._inputs = {value.name for value in graph.inputs}
        self._uses: dict[str, dict[str, None]] = {}  # value -> pieces and OUTPUT that need it
        self._shapes: dict[str, Node] = {}  # what comes from elsewhere as a shape
        self._original: dict[str, str] = {}  # what is called otherwise on the way
        self._taken = {value for node in graph.nodes for value in (*node.proto.input, *node.proto.output)}
        self._place_outputs()
        self._place_shapes()
        for draft in self.drafts:
            self._connect(draft)
        self.wire: dict[str, str] = {}  # small values -> what is sent in their place
        self._convert_small()
        places = {INPUT: -1} | {draft.name: position for position, draft in enumerate(self.drafts)}
        self.tensors = sorted(map(self._tensor, self._uses), key=lambda tensor: places[tensor.producer])

    def _needs(self, index: int) -> set[int]:
        """Return the layers that a layer waits for."""
        part = self._parts[index]
        found = {self.origins.made_by[value] for value in part.reads if value in self.origins.made_by}
        if self.dynamic:
            found |= {owner for node in part.shapes if isinstance(owner := self.origins.owner(node), int)}
        return found - {index}

    def _grouped(self, devices: Sequence[str]) -> list[PieceDraft]:
        needs = [self._needs(index) for index in range(len(devices))]
        levels = stage_levels(devices, needs)
        places = sorted(
            {(level, index, device) for index, (level, device) in enumerate(zip(levels, devices, strict=True))}
        )
        drafts: dict[tuple[int, str], PieceDraft] = {}
        counts: Counter[str] = Counter()
        files = _file_names(list(dict.fromkeys(devices)))
        for level, index, device in places:
            if (level, device) not in drafts:
                name = f"{files[device]}.{counts[device]}"
                drafts[level, device] = PieceDraft(device, counts[device], name)
                counts[device] += 1
            draft = drafts[level, device]
            draft.layers.append(index)
            draft.part.add(self._parts[index])
        return list(drafts.values())

    def _place_outputs(self) -> None:
        """Let what is constant come from the last piece; all else is made by a layer, or is an input."""
        self.results = []
        for output in self.graph.model.graph.output:
            value = self.graph.real(output.name)
            self.results.append((output.name, value))
            if value in self.graph.constants:
                last = self.drafts[-1]
                last.part.add(self.origins.part([value]))
                if value in last.part.stored:  # an initialiser is no output of a piece, and what hands it on is
                    copy = self._fresh(value, value)
                    last.after.append(_node("Identity", [value], copy))
                    self.results[-1] = (output.name, value := copy)
                last.outputs[value] = None
            self._uses.setdefault(value, {})[OUTPUT] = None

    def _place_shapes(self) -> None:
        """Give each piece the shapes that it needs: from what it has, as constants, or from who has the value."""
        for draft in self.drafts:
            for node in list(draft.part.shapes):
                if self._has(draft, node):
                    self._take_shape(draft, node)
                elif not self.dynamic:
                    draft.constants.append(self._constant(node))
                else:
                    self._request(draft, node)
        for draft in self.drafts:
            draft.part.shapes = {node: None for node in draft.part.shapes if node in draft.part.nodes}

    def _has(self, draft: PieceDraft, node: Node) -> bool:
        owner = self.origins.owner(node)
        value = self.graph.real(self.origins.shaped(node))
        return value in draft.part.reads or (isinstance(owner, int) and self._draft_of[owner] is draft)

    def _take_shape(self, draft: PieceDraft, node: Node) -> None:
        known = [*draft.part.reads, *(value for layer in draft.layers for value in self.graph.layers[layer].outputs)]
        draft.part.add(self.origins.part([self.origins.shaped(node)], known))
        draft.part.nodes[node] = None

    def _request(self, draft: PieceDraft, node: Node) -> None:
        """Let a piece receive a shape from the piece that makes the value, or from where the inputs are."""
        owner = self.origins.owner(node)
        value = node.outputs[0]
        if isinstance(owner, int):
            maker = self._draft_of[owner]
            self._take_shape(maker, node)
            maker.outputs[value] = None
        self._shapes[value] = node
        self._use(value, draft)

    def _constant(self, node: Node) -> TensorProto:
        from onnx import numpy_helper

        array = self.graph.values_of(node.outputs[0])
        if array is None:
            raise self.graph.error(f"the shape that {node.label} returns is not known")
        return numpy_helper.from_array(array, node.outputs[0])

    def _connect(self, draft: PieceDraft) -> None:
        """Find what a piece receives, and let others make it."""
        for value in draft.part.reads:
            maker = self.origins.made_by.get(value)
            if maker is None or self._draft_of[maker] is not draft:
                self._use(value, draft)
                if maker is not None:
                    self._draft_of[maker].outputs[value] = None
        for value, uses in self._uses.items():
            made = self.origins.made_by.get(value)
            if OUTPUT in uses and made is not None and self._draft_of[made] is draft:
                draft.outputs[value] = None

    def _use(self, value: str, draft: PieceDraft) -> None:
        draft.inputs[value] = None
        self._uses.setdefault(value, {})[draft.name] = None

    def _convert_small(self) -> None:
        """Send what the network takes for small numbers as such: what is done with them can be done after that."""
        for value, end in self.graph.quantised_by.items():
            if OUTPUT in self._uses.get(value, {OUTPUT: None}) or self.graph.described(end.inputs[1]).size != 1:
                continue
            small = self.wire[value] = self._fresh(f"{value}__quantised", value)
            settings = [*end.proto.input[1:]]
            made = self._draft_of[self.origins.made_by[value]]
            for draft in self.drafts:
                if draft is made or value in draft.inputs:
                    draft.part.add(self.origins.part(filter(None, settings)))
                if draft is made:
                    draft.outputs = {small if one == value else one: None for one in draft.outputs}
                    quantize = type(end.proto)()
                    quantize.CopyFrom(end.proto)
                    quantize.name = ""
                    quantize.input[0], quantize.output[0] = value, small
                    draft.after.append(quantize)
                elif value in draft.inputs:
                    draft.inputs = {small if one == value else one: None for one in draft.inputs}
                    draft.before.append(_node("DequantizeLinear", [small, *settings], value, end.domain))
            self._uses[small] = self._uses.pop(value)

    def _fresh(self, name: str, value: str) -> str:
        """Return a new name for a value on the way."""
        fresh, number = name, 1
        while fresh in self._taken:
            number += 1
            fresh = f"{name}_{number}"
        self._taken.add(fresh)
        self._original[fresh] = value
        return fresh

    def _tensor(self, value: str) -> PieceTensor:
        """Return what is to know of a value that is sent or is an output."""
        original = self._original.get(value, value)
        shape_node = self._shapes.get(value)
        makers = [draft.name for draft in self.drafts if value in draft.outputs]
        owner = self.origins.owner(shape_node) if shape_node is not None and not makers else ""
        bounds: tuple[int, ...] = ()
        if shape_node is not None and owner:
            found = {attribute.name: attribute.i for attribute in shape_node.proto.attribute}
            rank = len(self.graph.described(str(owner)).shape)
            start, end = (_clamped(found.get(key, default), rank) for key, default in (("start", 0), ("end", rank)))
            bounds = (start, end) if shape_node.key == "Shape" else (-1,)
        counted = original in self.origins.made_by or original in self._inputs
        return PieceTensor(
            value=value,
            tensor=original if counted else "",
            dtype=self.number_type(value),
            shape=self.shape(value),
            bytes=self._bytes(value),
            producer=makers[0] if makers else INPUT,
            consumers=tuple(self._uses[value]),
            shape_of=str(owner),
            axes=bounds,
        )

    def _bytes(self, value: str) -> float:
        original = self._original.get(value, value)
        described = self.graph.described(original)
        if original == value and value in self.graph.quantised_by:
            return float(math.prod(described.shape) * 4)
        return float(described.bytes)

    def element_type(self, value: str) -> int:
        """Return ONNX's number of the type of a value, as the files have it."""
        original = self._original.get(value, value)
        end = self.graph.quantised_by.get(original)
        if end is None or original != value:
            return self.graph.element_type(original)
        return self.graph.element_type(end.inputs[1])  # what is quantised has the type of its scale

    def number_type(self, value: str) -> str:
        """Return what numpy calls the type of a value.

        Raises
        ------
        InputError
            If nothing of that type can be sent.
        """
        name = type_name(self.element_type(value))
        if name not in _NUMBERS:
            listed = ", ".join(map(str.lower, _NUMBERS))
            problem = f"{value!r} would be sent, and is of type {name.lower()}; expected one of {listed}"
            raise InputError("", file=self.graph.file, problem=problem)
        return _NUMBERS[name]

    def shape(self, value: str) -> tuple[Axis, ...]:
        """Return the sizes of a value; names, or None, where any will do."""
        original = self._original.get(value, value)
        if original in self.declared:
            return self.declared[original]
        sizes = self.graph.described(original).shape
        return (None,) * len(sizes) if self.dynamic and value not in self._shapes else sizes


def _clamped(axis: int, rank: int) -> int:
    return min(max(axis + rank if axis < 0 else axis, 0), rank)


def _node(op: str, inputs: Sequence[str], output: str, domain: str = "") -> NodeProto:
    from onnx import helper

    return helper.make_node(op, inputs, [output], domain=domain)


def _file_names(devices: Sequence[str]) -> dict[str, str]:
    """Return a name for the files of each device, in letters that every system takes."""
    found: dict[str, str] = {}
    for device in devices:
        name = stem = re.sub(r"[^A-Za-z0-9_-]+", "_", device)[:60].strip("_") or "device"
        number = 1
        while name.lower() in {other.lower() for other in found.values()}:
            number += 1
            name = f"{stem}_{number}"
        found[device] = name
    return found
