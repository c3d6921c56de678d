"""Rows, grids, channels and fused tiles of layers as nodes: the model that a divided network stands for.

Each part of a layer becomes a node of the same operator that reads its part of the operands: of windows with the pads
that are at its edge, of all others as they are. Whoever makes a tensor cuts it where others read it, and whoever reads
it puts the parts together; both is done on the device of the part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.functions import Node
from dnnopt.inputs.onnx.graph import OnnxGraph
from dnnopt.inputs.onnx.reader import layer_names
from dnnopt.problem.networks import INPUT, Layer, Network
from dnnopt.problem.transforms.pieces import LayerShapes, Piece, Region, Transformed
from dnnopt.problem.transforms.sharding import needs
from dnnopt.runtime.origins import Origins

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Box = tuple[tuple[int, int], ...]

_WINDOWS = ("Conv", "MaxPool", "AveragePool")
_ONE_BY_ONE = """
    Abs Add And Cast Ceil Celu Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater HardSigmoid HardSwish LeakyRelu Less
    Log Max Mean Min Mish Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt
    Sub Sum Swish Tanh ThresholdedRelu Where
"""
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_POINTWISE = frozenset(_ONE_BY_ONE.split())
_WITHIN = """
    BatchNormalization Concat Gemm GlobalAveragePool GlobalMaxPool LRN LayerNormalization LogSoftmax MatMul
    RMSNormalization ReduceMax ReduceMean ReduceSum Softmax Transpose
"""
_WEIGHTS = ("Conv", "BatchNormalization", "MatMul", "Gemm")  # parts of these have parts of the weights
_APART = frozenset(_WITHIN.split())  # these are divided only along axes where each position stands for itself


@dataclass
class DividedModel:
    """A model in parts.

    Attributes
    ----------
    model : onnx.ModelProto
    part_of, device_of : dict of str to str
        For each node by its name: the part that it is, empty for one that cuts or joins; and where it runs.
    """

    model: ModelProto
    part_of: dict[str, str] = field(default_factory=dict)
    device_of: dict[str, str] = field(default_factory=dict)


def divided_model(
    graph: OnnxGraph, network: Network, transformed: Transformed, devices: Mapping[str, str]
) -> DividedModel:
    """Return the model of a network in other pieces.

    Parameters
    ----------
    graph : OnnxGraph
        Of the file; it is changed.
    network : Network
        The file's, as it was before it was divided.
    transformed : Transformed
        Of `shard` or `fuse`.
    devices : mapping of str to str
        Where each of its pieces runs.

    Raises
    ------
    InputError
        For operators and ways to divide them that cannot be written as nodes, and for models with open dimensions or
        with layers that compute with small numbers.
    """
    return _Divider(graph, network, transformed, devices).result()


class _Divider:
    def __init__(
        self, graph: OnnxGraph, network: Network, transformed: Transformed, devices: Mapping[str, str]
    ) -> None:
        self.graph, self.network, self.transformed, self.devices = graph, network, transformed, devices
        self.origins = Origins(graph)
        self.node_of = dict(zip(layer_names(graph.layers), graph.layers, strict=True))
        self.shapes = LayerShapes(network)
        self.layers = {layer.name: layer for layer in network.layers}
        self.found = DividedModel(graph.flat_model())
        self.nodes: list[NodeProto] = []
        self.made: dict[str, list[tuple[str, Box, str]]] = {}  # tensor -> values, what they are of it, and where
        self.cuts: dict[tuple[str, Box], str] = {}
        self.sums: dict[str, list[str]] = {}  # what adds up partial sums -> these
        self.constants: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.stored = {tensor.name: tensor for tensor in self.found.model.graph.initializer}
        self.version = next((one.version for one in self.found.model.opset_import if one.domain in ("", "ai.onnx")), 1)
        if graph.quantised_by or any(tuple(node.proto.output) != node.outputs for node in graph.layers):
            raise self._refused("it has layers that compute with small numbers")

    def _refused(self, why: str) -> InputError:
        return self.graph.error(f"parts of layers cannot be written as nodes: {why}")

    def result(self) -> DividedModel:
        for tensor in self.network.tensors:
            if tensor.producer == INPUT:
                place = tensor.source or self.network.source or ""
                self.made[tensor.name] = [(tensor.name, self._box(tensor.name, {}), place)]
        for piece in self.transformed.pieces:
            self._piece(piece)
        graph = self.found.model.graph
        for output in graph.output:
            self._output(output.name)
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self.nodes)
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")
        return self.found

    def _box(self, tensor: str, region: Region) -> Box:
        shape = self.shapes.tensors[tensor].shape
        if shape is None:
            raise self._refused(f"the shape of {tensor!r} is not known")
        return tuple(tuple(region.get(axis, (0, size))) for axis, size in enumerate(shape))  # type: ignore[misc]

    def _add(self, op: str, inputs: Sequence[str], output: str, device: str, part: str = "", **attributes: Any) -> str:
        from onnx import helper

        self.counts[op] += 1
        name = f"dnnopt_{op}_{self.counts[op]}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        self.found.part_of[name], self.found.device_of[name] = part, device
        return output

    def _settings(self, *numbers: int) -> str:
        """Return an initialiser of whole numbers."""
        import numpy as np
        from onnx import numpy_helper

        name = "dnnopt_" + "_".join(map(str, numbers)).replace("-", "m")
        if name not in self.constants:
            self.constants.add(name)
            self.found.model.graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
        return name

    def _cut(self, value: str, has: Box, wanted: Box, device: str) -> str:
        """Return a part of what a value is of its tensor."""
        if has == wanted:
            return value
        key = (value, wanted)
        if key not in self.cuts:
            axes = [axis for axis, (one, other) in enumerate(zip(has, wanted, strict=True)) if one != other]
            starts = [wanted[axis][0] - has[axis][0] for axis in axes]
            ends = [wanted[axis][1] - has[axis][0] for axis in axes]
            label = ",".join(f"{axis}={wanted[axis][0]}:{wanted[axis][1]}" for axis in axes)
            made = f"{value}[{label}]"
            if self.version < 10:
                self._add("Slice", [value], made, device, axes=axes, starts=starts, ends=ends)
            else:
                self._add("Slice", [value, *(self._settings(*some) for some in (starts, ends, axes))], made, device)
            self.cuts[key] = made
        return self.cuts[key]

    def _gather(self, tensor: str, wanted: Box, device: str) -> str:
        """Return a part of a tensor, put together of what those who make it cut out."""
        blocks = []
        for value, has, place in self.made[tensor]:
            common = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(has, wanted, strict=True))
            if all(first < end for first, end in common):
                blocks.append((common, self._cut(value, has, common, place or device)))
        if len({box for box, _ in blocks}) != len(blocks):
            raise self._refused(f"parts of {tensor!r} are made several times")
        return self._joined(tensor, blocks, device)

    def _joined(self, tensor: str, blocks: Sequence[tuple[Box, str]], device: str) -> str:
        if len(blocks) == 1:
            return blocks[0][1]
        axis = next(axis for axis in range(len(blocks[0][0])) if len({box[axis] for box, _ in blocks}) > 1)
        rows: dict[tuple[int, int], list[tuple[Box, str]]] = {}
        for box, value in blocks:
            rows.setdefault(box[axis], []).append((box, value))
        parts = [self._joined(tensor, rows[span], device) for span in sorted(rows)]
        self.counts["joined"] += 1
        return self._add("Concat", parts, f"{tensor}#joined{self.counts['joined']}", device, axis=axis)

    def _output(self, name: str) -> None:
        """Let an output of the graph be whole, on the sink, or where its last part is made."""
        tensor = self.graph.real(name)
        if tensor in self.graph.constants:
            self._constant(name)
            return
        values = self.made[tensor]
        device = self.network.sink or values[-1][2]
        value = self._gather(tensor, self._box(tensor, {}), device)
        if value != name:
            self._add("Identity", [value], name, device)

    def _constant(self, value: str) -> str:
        """Put in what a constant is made of."""
        part = self.origins.part([value])
        if part.shapes:
            for node in part.shapes:
                self._shape(node.outputs[0])
        for node in sorted(part.nodes, key=self.origins.position.__getitem__):
            if node.outputs[0] not in self.constants:
                self.constants.update(node.outputs)
                self.nodes.append(node.proto)
        return value

    def _shape(self, value: str) -> None:
        from onnx import numpy_helper

        array = self.graph.values_of(value)
        if value not in self.constants and array is not None:
            self.constants.add(value)
            self.found.model.graph.initializer.append(numpy_helper.from_array(array, value))

    def _piece(self, piece: Piece) -> None:
        """Write a piece: its layers, one after the other, each its region."""
        name, device = piece.layer.name, self.devices[piece.layer.name]
        if piece.extra:
            self._partial_sum(piece, device)
            return
        if name in self.sums:
            (tensor,) = piece.makes
            value = self._add("Sum", self.sums[name], tensor, device, name)
            self.made[tensor] = [(value, self._box(tensor, {}), device)]
            return
        inner: dict[str, tuple[str, Box]] = {}
        for tensor, region in piece.reads.items():
            wanted = self._box(tensor, region)
            inner[tensor] = self._gather(tensor, wanted, device), wanted
        for member, region in piece.regions.items():
            self._member(self.layers[member], region, inner, name, device)
        for tensor, region in piece.makes.items():
            value, has = inner[tensor]
            wanted = self._box(tensor, region)
            self.made.setdefault(tensor, []).append((self._cut(value, has, wanted, device), wanted, device))

    def _member(self, layer: Layer, region: Region, inner: dict[str, tuple[str, Box]], part: str, device: str) -> None:
        """Write a layer's region, which reads what the piece has, and add what it makes to that."""
        node = self.node_of[layer.name]
        made = [value for value in node.outputs if value]
        wanted: Mapping[str, Region] = {}
        if region:
            self._check(layer, region, made)
            reading = self.shapes.reading(layer)
            assert reading is not None, "it was divided"
            wanted = needs(self.shapes, layer, reading, region)
        if region and layer.op in _VIEWS:
            self._view(layer, region, wanted, inner, part, device)
            return
        copy = type(node.proto)()
        copy.CopyFrom(node.proto)
        self.counts["part"] += 1
        copy.name = f"dnnopt_part_{self.counts['part']}"
        for position, operand in enumerate(node.inputs):
            real = self.graph.real(operand)
            if operand and real in self.graph.constants:
                copy.input[position] = self._weight(layer, position, region, made, real, device)
            elif operand:
                value, has = inner[real]
                copy.input[position] = self._cut(value, has, self._box(real, wanted.get(real, {})), device)
        if set(node.reads) - set(node.inputs):
            raise self._refused(f"{layer.name} has a graph of its own")
        if region and layer.op == "Conv" and 1 in region:
            self._set_groups(copy, layer, wanted.get(self.graph.real(node.inputs[0]), {}), node)
        if region and layer.op in _WINDOWS:
            self._set_pads(copy, layer, region, self._box(self.graph.real(node.inputs[0]), {}))
        for position, value in enumerate(node.outputs):
            if value:
                copy.output[position] = f"{value}@{part}" if region else value
                if value in self.shapes.tensors:
                    inner[value] = copy.output[position], self._box(value, region)
        self.nodes.append(copy)
        self.found.part_of[copy.name], self.found.device_of[copy.name] = part, device

    def _partial_sum(self, piece: Piece, device: str) -> None:
        """Write a layer that sums over a part of its operand alone; the first part adds the bias."""
        (member,), ((tensor, region),) = piece.shares, piece.reads.items()
        (span,) = region.values()
        layer, node = self.layers[member], self.node_of[member]
        if layer.op not in ("Conv", "MatMul", "Gemm") or set(node.reads) - set(node.inputs):
            raise self._refused(f"{layer.name} is a {layer.op}, which sums otherwise")
        copy = type(node.proto)()
        copy.CopyFrom(node.proto)
        self.counts["part"] += 1
        copy.name = f"dnnopt_part_{self.counts['part']}"
        weight = self.graph.real(node.inputs[1])
        shape = self.graph.described(weight).shape
        attributes = {one.name: one.i for one in node.proto.attribute if one.name in ("transA", "transB")}
        if attributes.get("transA"):
            raise self._refused(f"{layer.name} reads its first operand transposed")
        along = {"Conv": 1, "MatMul": max(0, len(shape) - 2), "Gemm": 1 if attributes.get("transB") else 0}[layer.op]
        wanted: Box = tuple(span if one == along else (0, size) for one, size in enumerate(shape))
        copy.input[0] = self._gather(tensor, self._box(tensor, region), device)
        copy.input[1] = self._constant_part(weight, wanted, device)
        if len(node.inputs) > 2 and node.inputs[2]:
            if span[0] == 0:
                copy.input[2] = self._constant(self.graph.real(node.inputs[2]))
            else:
                self._drop_bias(copy)
        value = f"{node.outputs[0]}@{piece.layer.name}"
        copy.output[0] = value
        self.nodes.append(copy)
        self.found.part_of[copy.name], self.found.device_of[copy.name] = piece.layer.name, device
        for sent in piece.extra:
            self.sums.setdefault(sent.consumers[0], []).append(value)

    def _drop_bias(self, copy: NodeProto) -> None:
        """Let a product add nothing; old operator sets have no Gemm without a third operand."""
        if copy.op_type != "Gemm" or self.version >= 11:
            del copy.input[2:]
            return
        from onnx import helper

        copy.input[2] = self._constant(self.graph.real(copy.input[2]))
        kept = [one for one in copy.attribute if one.name != "beta"]
        del copy.attribute[:]
        copy.attribute.extend([*kept, helper.make_attribute("beta", 0.0)])

    def _view(
        self,
        layer: Layer,
        region: Region,
        wanted: Mapping[str, Region],
        inner: dict[str, tuple[str, Box]],
        part: str,
        device: str,
    ) -> None:
        """Write a region of what has another shape, and the same numbers in the same order."""
        node = self.node_of[layer.name]
        read, made = self.graph.real(node.inputs[0]), node.outputs[0]
        value, has = inner[read]
        value = self._cut(value, has, self._box(read, wanted.get(read, {})), device)
        box = self._box(made, region)
        shape = self._settings(*(end - first for first, end in box))
        inner[made] = self._add("Reshape", [value, shape], f"{made}@{part}", device, part), box

    def _check(self, layer: Layer, region: Region, made: Sequence[str]) -> None:
        if layer.op not in (*_WINDOWS, *_VIEWS, *_POINTWISE, *_APART):
            raise self._refused(f"{layer.name} is a {layer.op or 'layer'}, parts of which are no {layer.op or 'node'}")
        if layer.op == "Gemm" and any(
            one.name == "transA" and one.i for one in self.node_of[layer.name].proto.attribute
        ):
            raise self._refused(f"{layer.name} reads its first operand transposed")
        divides = set(layer.weight_axes) & region.keys()
        if len(made) != 1 or (divides and layer.op not in (*_POINTWISE, *_WEIGHTS)):
            raise self._refused(f"{layer.name} is divided along its weights, or has several results")

    def _weight(self, layer: Layer, position: int, region: Region, made: Sequence[str], value: str, device: str) -> str:
        """Return a constant as a part reads it: cut where an axis of it goes with one of the result that is divided."""
        shape = self.graph.described(value).shape
        axes = self._weight_axes(layer, position, shape, len(self.shapes.tensors[made[0]].shape or ()))
        spans = {axes[axis]: span for axis, span in region.items() if axis in axes and shape[axes[axis]] > 1}
        return self._constant_part(value, tuple(spans.get(axis, (0, size)) for axis, size in enumerate(shape)), device)

    def _constant_part(self, value: str, wanted: Box, device: str) -> str:
        """Return a part of a constant: where it is stored in the file, as a constant of its own."""
        has = tuple((0, size) for size in self.graph.described(value).shape)
        tensor = self.stored.get(value)
        if has == wanted or tensor is None or tensor.data_location == tensor.EXTERNAL:
            return self._cut(self._constant(value), has, wanted, device)
        from onnx import numpy_helper

        name = f"{value}{list(map(list, wanted))}"
        if name not in self.constants:  # a device has its share of the weights alone
            self.constants.add(name)
            part = numpy_helper.to_array(tensor)[tuple(slice(*span) for span in wanted)]
            self.found.model.graph.initializer.append(numpy_helper.from_array(part.copy(), name))
        return name

    def _weight_axes(self, layer: Layer, position: int, shape: Sequence[int], rank: int) -> dict[int, int]:
        """Return which axis of a constant goes with each axis of the result."""
        if layer.op in _POINTWISE or (layer.op == "Gemm" and position == 2):
            offset = rank - len(shape)
            return {axis + offset: axis for axis in range(len(shape))}
        if layer.op in ("Conv", "BatchNormalization"):
            return {1: 0}
        if layer.op == "MatMul" and len(shape) > 1:
            return {rank - 1: len(shape) - 1}
        if layer.op == "Gemm":
            transposed = any(one.name == "transB" and one.i for one in self.node_of[layer.name].proto.attribute)
            return {rank - 1: 0 if transposed else 1}
        return {}

    def _set_groups(self, copy: NodeProto, layer: Layer, read: Region, node: Node) -> None:
        """Let a part of a convolution's channels have the groups that these are in."""
        groups = layer.window.groups if layer.window is not None else 1
        if groups == 1:
            return
        from onnx import helper

        channels = self._box(self.graph.real(node.inputs[0]), {})[1][1]
        first, end = read.get(1, (0, channels))
        kept = [one for one in copy.attribute if one.name != "group"]
        del copy.attribute[:]
        copy.attribute.extend([*kept, helper.make_attribute("group", (end - first) // (channels // groups))])

    def _set_pads(self, copy: NodeProto, layer: Layer, region: Region, data: Box) -> None:
        """Give a window the pads that are at the edges of its part."""
        from onnx import helper

        window = layer.window
        assert window is not None, "it was divided"
        given = {one.name: helper.get_attribute_value(one) for one in copy.attribute}
        rank = len(window.kernel)
        pads = list(window.pads) or [0] * (2 * rank)
        stride, dilation = window.stride or (1,) * rank, window.dilation or (1,) * rank
        if layer.op == "AveragePool" and given.get("count_include_pad") and given.get("ceil_mode"):
            raise self._refused(f"{layer.name} counts pads, and rounds up")
        for k in range(rank):
            size = data[k + 2][1]
            if k + 2 in region:
                first, end = region[k + 2]
                low = first * stride[k] - pads[k]
                high = (end - 1) * stride[k] - pads[k] + dilation[k] * (window.kernel[k] - 1) + 1
                pads[k], pads[rank + k] = max(0, -low), max(0, high - size)
        kept = [one for one in copy.attribute if one.name not in ("pads", "auto_pad", "ceil_mode")]
        del copy.attribute[:]
        copy.attribute.extend([*kept, helper.make_attribute("pads", pads)])
