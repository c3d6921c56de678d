"""Quantised layers: which layers compute with small numbers, and the tensors that they exchange.

Files in which tensors are quantised and dequantised again (QDQ) say what a runtime is to make of them: a layer all of
whose data come from DequantizeLinear, and whose results go to QuantizeLinear, is one operator on small numbers. So it
reads and makes the small tensors, and the conversions are parts of it: they are no layers, and their arithmetic is not
counted, as it is not of a QLinearConv.

- The results of products (`_PRODUCTS`) may stay large: what is summed is large anyway.
- Between a layer and its QuantizeLinear may be what can as well be done after it (`_COMMUTING`): that is quantised too.
- A DequantizeLinear stays a layer for whatever else reads it, as does a QuantizeLinear of what no such layer makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.inputs.onnx.costs import DATA_INPUTS
from dnnopt.inputs.onnx.graph import OnnxGraph
from dnnopt.problem.precision import FLOAT32, DType

if TYPE_CHECKING:
    from dnnopt.inputs.onnx.functions import Node

# What ONNX calls its types; those that are missing here are of indices, truth values and texts.
_TYPES: dict[str, DType] = {
    **{"DOUBLE": "float64", "FLOAT": "float32", "FLOAT16": "float16", "BFLOAT16": "bfloat16"},
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), "float8"),
    **{"INT16": "int16", "UINT16": "int16", "INT8": "int8", "UINT8": "int8", "INT4": "int4", "UINT4": "int4"},
}
_FLOATS = ("float64", "float32", "float16", "bfloat16")
_QUANTIZE = ("QuantizeLinear", "com.microsoft:QuantizeLinear")
_DEQUANTIZE = ("DequantizeLinear", "com.microsoft:DequantizeLinear")
# Products, and the position of their bias, which may be of large numbers.
_PRODUCTS = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2, "MatMul": -1}
_COMMUTING = ("Relu", "Clip", "MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
# They quantise what they read, and compute with that.
_DYNAMIC = ("com.microsoft:DynamicQuantizeMatMul", "com.microsoft:DynamicQuantizeLSTM")


def folded_graph(path: Path, dimensions: Mapping[str, int], *, allow_large: bool = False) -> OnnxGraph:
    """Return the graph of a file, in which conversions are parts of the layers that compute with small numbers.

    Parameters and errors are those of `OnnxGraph`.
    """
    graph = OnnxGraph(path, dimensions, allow_large=allow_large)
    ends = _ends(graph)
    if ends or any(node.key in _DEQUANTIZE for node in graph.layers):
        _Folding(graph, ends).run()
    return graph


def dtype_of(graph: OnnxGraph, node: Node) -> DType:
    """Return the type of numbers that a layer computes with: that of the first data that it reads, else makes."""
    if node.key in _DYNAMIC:
        return "int8"
    variable = graph.variable_inputs(node)
    read = [] if node.key in _DEQUANTIZE else [*variable, *(value for value in node.reads if value not in variable)]
    types = (_type(graph, value) for value in (*read, *filter(None, node.outputs)))
    return next(filter(None, types), FLOAT32)


def _type(graph: OnnxGraph, value: str) -> DType | None:
    """Return the type of a value; None: it is none of data, or not known."""
    from onnx import TensorProto

    return _TYPES.get(TensorProto.DataType.Name(graph.element_type(value)))


def _ends(graph: OnnxGraph) -> dict[str, Node]:
    """Return the QuantizeLinear after each value that is read for it alone, perhaps with commuting layers between."""
    readers: dict[str, list[Node]] = {}
    for node in graph.layers:
        for value in graph.variable_inputs(node):
            readers.setdefault(value, []).append(node)
    ends: dict[str, Node] = {}
    for node in reversed(graph.layers):
        for value in node.outputs:
            found = readers.get(value, [])
            if len(found) == 1 and value not in graph.outputs and graph.variable_inputs(found[0]) == [value]:
                (reader,) = found
                used = [made for made in reader.outputs if made in graph.used]
                if reader.key in _QUANTIZE:
                    ends[value] = reader
                elif reader.key in _COMMUTING and len(used) == 1 and used[0] in ends:
                    ends[value] = ends[used[0]]
    return ends


class _Folding:
    """Lets layers read and make small numbers, one after the other."""

    def __init__(self, graph: OnnxGraph, ends: Mapping[str, Node]) -> None:
        self.graph, self.ends = graph, ends
        conversions = (
            node for node in graph.layers if node.key in _DEQUANTIZE and len(graph.variable_inputs(node)) == 1
        )
        self.conversions = {node.outputs[0]: node for node in conversions}
        self.small: set[str] = set()  # what is between a layer and its QuantizeLinear

    def run(self) -> None:
        folded = set()
        for node in self.graph.layers:
            results = [value for value in node.outputs if value in self.graph.used]
            sources = self._sources(node)
            if sources and (node.key in _PRODUCTS or all(value in self.ends for value in results)):
                self._read(node, sources)
                folded |= self._make(node)
        self.graph.keep([node for node in self.graph.layers if node not in folded])

    def _sources(self, node: Node) -> dict[str, str]:
        """Return the small numbers that a layer may read in place of each value; empty: it reads others as well."""
        graph, found = self.graph, {}
        if node.key in (*_QUANTIZE, *_DEQUANTIZE) or node.has_graphs or not self._has_small_weights(node):
            return {}
        for value in graph.variable_inputs(node):
            if value in self.conversions:
                found[value] = graph.real(self.conversions[value].inputs[0])
            elif value in self.small:
                found[value] = value
            elif _type(graph, value) in _FLOATS:
                return {}
        return found if all(_type(graph, source) not in (*_FLOATS, None) for source in found.values()) else {}

    def _has_small_weights(self, node: Node) -> bool:
        """Return whether the weights of a layer, but its bias, are small numbers."""
        data = node.inputs[: DATA_INPUTS.get(node.key, len(node.inputs))]
        bias = _PRODUCTS.get(node.key, -1)
        values = [self.graph.real(value) for index, value in enumerate(data) if value and index != bias]
        weights = [value for value in values if value in self.graph.constants and _type(self.graph, value) in _FLOATS]
        return all(self.graph.is_dequantised(value) or self.graph.described(value).size <= 1 for value in weights)

    def _read(self, node: Node, sources: Mapping[str, str]) -> None:
        real = self.graph.real
        node.inputs = tuple(sources.get(real(value), value) for value in node.inputs)
        node.reads = tuple(dict.fromkeys(sources.get(real(value), value) for value in node.reads))

    def _make(self, node: Node) -> set[Node]:
        """Let a layer make what its QuantizeLinear made; return those that are parts of it now."""
        folded, outputs = set(), list(node.outputs)
        for index, value in enumerate(node.outputs):
            end = self.ends.get(value)
            if end is not None and self.graph.real(end.inputs[0]) == value:
                outputs[index] = end.outputs[0]
                folded.add(end)
            elif end is not None:
                self.graph.retype(value, end.outputs[0])
                self.graph.quantised_by[value] = end
                self.small.add(value)
        node.outputs = tuple(outputs)
        return folded
