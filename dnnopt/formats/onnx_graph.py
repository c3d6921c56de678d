"""The graph of an ONNX file: checked, sorted, constants folded, shapes known. `read_onnx` makes layers of it."""

from __future__ import annotations

import heapq
import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.errors import InputError
from dnnopt.formats.onnx_costs import Value

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto, NodeProto, OperatorSetIdProto, TypeProto

BITS = {
    name: bits
    for bits, names in (
        (2, "INT2 UINT2"),
        (4, "INT4 UINT4 FLOAT4E2M1"),
        (8, "BOOL INT8 UINT8 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ FLOAT8E8M0"),
        (16, "INT16 UINT16 FLOAT16 BFLOAT16"),
        (32, "INT32 UINT32 FLOAT"),
        (64, "INT64 UINT64 DOUBLE COMPLEX64"),
        (128, "COMPLEX128"),
    )
    for name in names.split()
}
_REMOVED = frozenset({"Identity", "Dropout"})
_SHAPE_OF = frozenset({"Shape", "Size"})
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
# The only standard operators without a shape rule; their output is shaped like their input.
_SHAPED_LIKE_INPUT = frozenset({"GroupNormalization", "MeanVarianceNormalization"})
# A constant that one of these makes is kept in memory as the first inputs (how many) are, not as what comes out of it.
_STORED_AS_INPUTS = {
    "Identity": 1,
    "Reshape": 1,
    "Flatten": 1,
    "Squeeze": 1,
    "Unsqueeze": 1,
    "Transpose": 1,
    "DequantizeLinear": 3,
}
# Shapes depend on the values of small constants only: on integers, and here on floating-point numbers too.
_MAX_ELEMENTS = 4096
_SHAPED_BY_FLOATS = frozenset({"Resize", "Upsample", "Range", "OneHot"})


class OnnxGraph:
    """The nodes of an ONNX file that compute something.

    Parameters
    ----------
    path : Path
    dimensions : mapping of str to int
        Sizes of symbolic dimensions.

    Attributes
    ----------
    model : onnx.ModelProto
    inputs : list of onnx.ValueInfoProto
        The graph's inputs that are not weights, with their dimensions set.
    layers : list of onnx.NodeProto
        The nodes that are not folded or removed and that an output depends on, in topological order.
    constants : dict
        Values that depend on no input: name -> the node that makes it, None for an initialiser.
    outputs : list of str
        The graph's outputs that are not constant.
    used : set of str
        What the layers and the outputs read, constants left out.

    Raises
    ------
    InputError
        See `dnnopt.formats.onnx_reader.read_onnx`.
    """

    def __init__(self, path: Path, dimensions: Mapping[str, int]):
        self.file = str(path)
        self.model = self._load(path)
        graph = self.model.graph
        self._opsets = {domain_of(entry): entry.version for entry in self.model.opset_import}
        self._check_operators()
        self._stored: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self._stored |= {sparse.values.name: sparse for sparse in graph.sparse_initializer}
        self.inputs = [value for value in graph.input if value.name not in self._stored]
        self._nodes = self._sorted_nodes()
        self._set_dimensions(dimensions)
        self._fold()
        self._keep_live()
        self._types: dict[str, TypeProto] = {}
        self._values: dict[str, np.ndarray | None] = {}
        self._schemas: dict[tuple[str, str], Any] = {}

    def error(self, problem: str, field: str = "") -> InputError:
        return InputError("", field=field, file=self.file, problem=problem)

    def real(self, value: str) -> str:
        """Return the value that `value` is, past the nodes that were removed."""
        return self._alias.get(value, value)

    def variable_inputs(self, node: NodeProto) -> list[str]:
        """Return the distinct inputs of a node that are not constant."""
        names = dict.fromkeys(self.real(value) for value in node.input if value)
        return [value for value in names if value not in self.constants]

    def _load(self, path: Path) -> ModelProto:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror or error}") from None
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from onnx.inliner import inline_local_functions

        model = onnx.ModelProto()
        try:
            model.ParseFromString(data)
        except DecodeError:
            raise self.error("not an ONNX file, or only a part of one") from None
        if not (model.ir_version and model.HasField("graph") and model.opset_import):
            raise self.error("not an ONNX file, or only a part of one: it lacks a graph, a version or an operator set")
        if not all(isinstance(text, str) for text in _texts(model)):
            raise self.error("a damaged ONNX file: it has names that are not UTF-8")
        if not model.graph.node:
            raise self.error("the graph is empty, expected at least one operator")
        if model.functions:
            for tensor in model.graph.initializer:
                if math.prod(tensor.dims) > _MAX_ELEMENTS:
                    tensor.ClearField("raw_data")  # the inliner copies the model through a buffer of at most 2 GB
            model = inline_local_functions(model)
        return model

    def _check_operators(self) -> None:
        """Refuse operator sets that the installed onnx does not know, and nodes that run a graph of their own."""
        import onnx

        nodes = self.model.graph.node
        version, newest = self._opsets.get("", 0), onnx.defs.onnx_opset_version()
        if not 1 <= version <= newest and any(domain_of(node) == "" for node in nodes):
            raise self.error(f"got ONNX operator set {version}, expected 1 to {newest} (onnx {onnx.__version__})")
        kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
        nested = [label(node) for node in nodes if any(attribute.type in kinds for attribute in node.attribute)]
        if nested:
            raise self.error(f"expected no control flow; these operators run a graph of their own: {join(nested)}")

    def _sorted_nodes(self) -> list[NodeProto]:
        """Sort the nodes topologically; among those that are ready, the first in the file comes first."""
        nodes = list(self.model.graph.node)
        producer: dict[str, int] = {}
        for position, node in enumerate(nodes):
            for value in filter(None, node.output):
                if value in producer:
                    raise self.error(f"{value!r} is an output of two nodes")
                producer[value] = position
        given = {value.name for value in self.inputs} | self._stored.keys()
        wanted = [(value, label(node)) for node in nodes for value in node.input if value]
        wanted += [(value.name, "the graph's outputs") for value in self.model.graph.output]
        dangling = [f"{value!r} (for {who})" for value, who in wanted if value not in producer and value not in given]
        if dangling:
            raise self.error(f"no node, input or initialiser has the name {join(dangling)}")
        needs = [{producer[value] for value in node.input if value in producer} for node in nodes]
        users: list[list[int]] = [[] for _ in nodes]
        for position, sources in enumerate(needs):
            for source in sources:
                users[source].append(position)
        waiting = [len(sources) for sources in needs]
        ready = [position for position, count in enumerate(waiting) if count == 0]
        order: list[int] = []
        while ready:
            order.append(heapq.heappop(ready))
            for user in users[order[-1]]:
                waiting[user] -= 1
                if waiting[user] == 0:
                    heapq.heappush(ready, user)
        if len(order) < len(nodes):
            self._refuse_cycle(nodes, needs, set(order))
        return [nodes[position] for position in order]

    def _refuse_cycle(self, nodes: list[NodeProto], needs: list[set[int]], sorted_: set[int]) -> None:
        path: list[int] = []
        position = next(position for position in range(len(nodes)) if position not in sorted_)
        while position not in path:
            path.append(position)
            position = min(needs[position] - sorted_)
        cycle = [*path[path.index(position) :], position][::-1]
        raise self.error(f"the graph has a cycle: {' -> '.join(label(nodes[position]) for position in cycle)}")

    def _set_dimensions(self, sizes: Mapping[str, int]) -> None:
        """Put the sizes into the types that the file declares; those of the inputs must then be complete."""
        for key, size in sizes.items():
            if isinstance(size, bool) or not hasattr(size, "__index__") or operator.index(size) < 0:
                raise InputError("a whole number >= 0", field=f"dimensions[{key!r}]", value=size, file=self.file)
        known: dict[str, None] = {}
        unset: dict[str, None] = {}
        graph = self.model.graph
        for value in self.inputs:
            if not value.type.tensor_type.HasField("shape"):
                raise self.error(f"input {value.name!r} is no tensor with a known number of dimensions")
            for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
                if dimension.dim_value <= 0:  # exporters write 0 and -1 for what they do not know
                    key = dimension.dim_param or f"{value.name}[{axis}]"
                    known[key] = None
                    if key in sizes:
                        dimension.dim_value = operator.index(sizes[key])
                    else:
                        unset[key] = None
        for value in (*graph.value_info, *graph.output):
            for dimension in value.type.tensor_type.shape.dim:
                if dimension.dim_param:
                    known[dimension.dim_param] = None
                    if dimension.dim_param in sizes:
                        dimension.dim_value = operator.index(sizes[dimension.dim_param])
        unknown = [key for key in sizes if key not in known]
        if unknown:
            expected = f"expected some of {join(known)}" if known else "the file has no symbolic dimension"
            raise self.error(f"no dimension is called {join(unknown)}; {expected}", "dimensions")
        if unset:
            example = ", ".join(f"{key!r}: ..." for key in unset)
            raise self.error(f"no size for {join(unset)}; give dimensions={{{example}}}", "dimensions")

    def _fold(self) -> None:
        """Tell what is constant, what is removed, and what is left."""
        self.constants: dict[str, NodeProto | None] = dict.fromkeys(self._stored)
        self._alias: dict[str, str] = {}
        self.layers: list[NodeProto] = []
        for node in self._nodes:
            outputs = [value for value in node.output if value]
            op = node.op_type if domain_of(node) == "" else None
            if op in _SHAPE_OF or (op is not None and op not in _RANDOM and not self.variable_inputs(node)):
                self.constants.update(dict.fromkeys(outputs, node))
            elif op in _REMOVED:
                self._alias[node.output[0]] = self.real(node.input[0])
                self.constants.update(dict.fromkeys(outputs[1:], node))  # Dropout's mask, which lets everything pass
            else:
                self.layers.append(node)

    def _keep_live(self) -> None:
        """Drop the nodes that no output depends on."""
        results = dict.fromkeys(self.real(value.name) for value in self.model.graph.output)
        self.outputs = [value for value in results if value not in self.constants]
        self.used = set(self.outputs)
        live = []
        for node in reversed(self.layers):
            if not self.used.isdisjoint(node.output):
                live.append(node)
                self.used.update(self.variable_inputs(node))
        self.layers = live[::-1]
        if not self.layers:
            raise self.error("the graph has no layers: its outputs depend on no operator that computes from the inputs")

    def infer_types(self) -> None:
        """Give every value its type, in one pass along the nodes, so that a folded shape is known where it is used."""
        from onnx import helper

        graph = self.model.graph
        declared = {
            value.name: value.type for value in (*graph.value_info, *graph.output) if shape_of(value.type) is not None
        }
        self._types = {value.name: value.type for value in self.inputs}
        for name, tensor in self._stored.items():
            dtype = tensor.values.data_type if hasattr(tensor, "values") else tensor.data_type
            self._types[name] = helper.make_tensor_type_proto(dtype, list(tensor.dims))
        for node in self._nodes:
            inferred = self._output_types(node)
            for value in filter(None, node.output):
                if value in inferred and shape_of(inferred[value]) is not None:
                    self._types[value] = inferred[value]
                elif value in declared:
                    self._types[value] = declared[value]
        needed = [value for node in self.layers for value in (*node.input, *self.used.intersection(node.output))]
        unknown = [value for value in needed if value and value not in self._types]
        if unknown:
            producer = {value: node for node in self._nodes for value in node.output}
            while unknown:  # go back to where it starts
                node = producer[unknown[0]]
                unknown = [value for value in node.input if value and value not in self._types]
            raise self.error(
                f"the shape of what {label(node)} makes is not known: it depends on data, or no rule infers it; "
                "expected its shape in the file's value_info (dimensions with a name there can be set as well)"
            )

    def _output_types(self, node: NodeProto) -> Mapping[str, TypeProto]:
        import onnx
        from onnx.checker import ValidationError
        from onnx.shape_inference import InferenceError, infer_node_outputs

        types = {value: self._types[value] for value in node.input if value in self._types}
        if any(value and value not in types for value in node.input):
            return {}
        schema = self._schema(domain_of(node), node.op_type)
        if schema is None:
            like_input = domain_of(node) == "" and node.op_type in _SHAPED_LIKE_INPUT
            return {node.output[0]: types[node.input[0]]} if like_input else {}
        if schema.since_version > self._opsets.get(domain_of(node), schema.since_version):
            old, node = node, onnx.NodeProto()
            node.CopyFrom(old)
            del node.attribute[:]
            node.attribute.extend(attribute for attribute in old.attribute if attribute.name in schema.attributes)
        data = {}
        for value, type_ in types.items():
            whole = type_.tensor_type.elem_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
            if (whole or node.op_type in _SHAPED_BY_FLOATS) and (array := self._value(value)) is not None:
                data[value] = onnx.numpy_helper.from_array(array, value)
        try:
            return infer_node_outputs(
                schema, node, types, data, opset_imports=list(self.model.opset_import), ir_version=self.model.ir_version
            )
        except (InferenceError, ValidationError, ValueError, RuntimeError) as error:
            reason = next(iter(str(error).strip().splitlines()), "")
            raise self.error(f"the shapes at {label(node)} do not fit: {reason}") from None

    def _schema(self, domain: str, op: str) -> Any:
        """Return the operator's definition; the next later one that has a shape rule, where an early one has none."""
        import onnx

        if (domain, op) not in self._schemas:
            self._schemas[domain, op] = None
            for version in range(self._opsets.get(domain, 0) or 1, onnx.defs.onnx_opset_version() + 1):
                try:
                    schema = onnx.defs.get_schema(op, version, domain)
                except onnx.defs.SchemaError:
                    continue
                if schema.has_type_and_shape_inference_function:
                    self._schemas[domain, op] = schema
                    break
        return self._schemas[domain, op]

    def _value(self, name: str) -> np.ndarray | None:
        """Return the value of a constant that is small enough to set a shape, if it can be found."""
        name = self.real(name)
        if name not in self._values:
            shape = shape_of(self._types[name]) if name in self._types else None
            small = name in self.constants and shape is not None and math.prod(shape) <= _MAX_ELEMENTS
            self._values[name] = self._compute(name) if small else None
        return self._values[name]

    def _compute(self, name: str) -> np.ndarray | None:
        import numpy as np
        import onnx

        node = self.constants[name]
        if node is None:
            tensor = self._stored[name]
            here = isinstance(tensor, onnx.TensorProto) and tensor.data_location != onnx.TensorProto.EXTERNAL
            return onnx.numpy_helper.to_array(tensor) if here else None
        if node.op_type in _SHAPE_OF:
            shape = shape_of(self._types[node.input[0]]) or ()
            bounds = {attribute.name: attribute.i for attribute in node.attribute}
            part = shape[bounds.get("start", 0) : bounds.get("end", len(shape))]
            return np.array(math.prod(shape) if node.op_type == "Size" else part, dtype=np.int64)
        given = {value: self._value(value) for value in node.input if value}
        if any(array is None for array in given.values()):
            return None
        from onnx.reference import ReferenceEvaluator

        inputs = [onnx.helper.make_value_info(value, self._types[value]) for value in given]
        outputs = [onnx.helper.make_value_info(name, self._types[name])]
        graph = onnx.helper.make_graph([node], "constant", inputs, outputs)
        try:
            model = onnx.helper.make_model(graph, opset_imports=self.model.opset_import)
            results: Any = ReferenceEvaluator(model).run(None, given)
            return results[0]
        except Exception:  # whatever it is, the value stays unknown: an error follows only if a shape needs it
            return None

    def described(self, name: str) -> Value:
        """Return the shape and element size of a value."""
        from onnx import TensorProto

        type_ = self._types[name]
        dtype = TensorProto.DataType.Name(type_.tensor_type.elem_type)
        if dtype not in BITS:
            raise self.error(f"{name!r} has elements of type {dtype}, whose size is not known")
        return Value(shape_of(type_) or (), BITS[dtype])

    def storage(self, name: str) -> dict[str, int]:
        """Return what a constant occupies in memory: name of a stored constant -> bytes."""
        node = self.constants[name]
        if node is None and hasattr(self._stored[name], "indices"):
            sparse = self._stored[name]
            entries = Value(tuple(sparse.values.dims), self.described(name).bits)
            return {name: entries.bytes + 8 * math.prod(sparse.indices.dims)}
        if node is None or node.op_type not in _STORED_AS_INPUTS:
            return {name: self.described(name).bytes}
        inputs = [self.real(value) for value in node.input[: _STORED_AS_INPUTS[node.op_type]] if value]
        return {key: size for value in inputs for key, size in self.storage(value).items()}

    def summary(self) -> str:
        """Return the file's versions, producer and inputs, for a provenance."""
        from onnx import TensorProto

        opsets = ", ".join(f"{entry.domain} {entry.version}".strip() for entry in self.model.opset_import)
        producer = f"{self.model.producer_name} {self.model.producer_version}".strip() or "an unnamed producer"
        inputs = []
        for value in self.inputs:
            shape = "x".join(map(str, shape_of(value.type) or ())) or "scalar"
            inputs.append(f"{value.name} {shape} {TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()}")
        return (
            f"ONNX IR {self.model.ir_version}, operator set {opsets}, by {producer}; "
            f"input {', '.join(inputs) or 'none'}"
        )


def _texts(model: ModelProto) -> Iterator[str]:
    """Every name in the graph; protobuf hands those that are not UTF-8 over as bytes."""
    graph = model.graph
    yield from (model.producer_name, model.producer_version, *(entry.domain for entry in model.opset_import))
    for node in graph.node:
        yield from (node.op_type, node.domain, node.name, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        yield from (dimension.dim_param for dimension in value.type.tensor_type.shape.dim)
    yield from (tensor.name for tensor in graph.initializer)


def shape_of(type_: TypeProto) -> tuple[int, ...] | None:
    """Return the shape of a tensor type, or None if it is not known completely."""
    if not type_.HasField("tensor_type") or not type_.tensor_type.HasField("shape"):
        return None
    dimensions = type_.tensor_type.shape.dim
    if not all(dimension.HasField("dim_value") for dimension in dimensions):
        return None
    return tuple(dimension.dim_value for dimension in dimensions)


def domain_of(entry: NodeProto | OperatorSetIdProto) -> str:
    """Return the operator domain, empty for ONNX's own."""
    return "" if entry.domain == "ai.onnx" else entry.domain


def label(node: NodeProto) -> str:
    """Return what a message calls a node."""
    return f"{node.op_type} {node.name!r}" if node.name else f"{node.op_type} (of {next(iter(node.output), '')!r})"


def join(parts: Iterable[str], limit: int = 10) -> str:
    """List `parts` for a message, at most `limit` of them."""
    listed = list(parts)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
