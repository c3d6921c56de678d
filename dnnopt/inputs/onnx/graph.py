"""The graph of an ONNX file: checked, sorted, constants folded, shapes known. `read_onnx` makes layers of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.base.errors import InputError
from dnnopt.base.graphs import topological_order
from dnnopt.inputs.onnx.costs import Operator, Value
from dnnopt.inputs.onnx.dimensions import set_sizes
from dnnopt.inputs.onnx.file import check_sizes, join, load_model, type_name
from dnnopt.inputs.onnx.functions import Inliner, Node, opsets_of
from dnnopt.inputs.onnx.shapes import MALFORMED, described, operator_of, output_types, shape_of, what_is_wrong
from dnnopt.inputs.onnx.values import MOST_ELEMENTS, SHAPED_BY_DATA, computed, constant_tensor, stored_value

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto, SparseTensorProto, TensorProto, TypeProto

_SHAPE_OF = frozenset({"Shape", "Size"})
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
_DETERMINISTIC = ("", "com.microsoft")  # domains whose other operators make constants of constants
# A constant that one of these makes is kept in memory as the first inputs (how many) are, not as what comes out of it.
_STORED_AS_INPUTS = {
    **dict.fromkeys(["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast"], 1),
    **dict.fromkeys(("DequantizeLinear", "com.microsoft:DequantizeLinear"), 3),
}
# Shapes depend on the values of small constants only: on integers, and here on floating-point numbers too.
_SHAPED_BY_FLOATS = frozenset({"Resize", "Upsample", "Range", "OneHot", "Tile"})


class OnnxGraph:
    """The nodes of an ONNX file that compute something.

    Parameters
    ----------
    path : Path
    dimensions : mapping of str to int
        Sizes of symbolic dimensions.
    allow_large : bool
        Whether functions may become any number of nodes.

    Attributes
    ----------
    model : onnx.ModelProto
    inputs : list of onnx.ValueInfoProto
        The graph's inputs that are not weights, with their dimensions set.
    nodes : list of Node
        Those that an output depends on, in topological order, functions and constant branches written out.
    layers : list of Node
        Those that are not folded or removed either.
    constants : dict
        Values that depend on no input: name -> the node that makes it, None for an initialiser.
    outputs : list of str
        The graph's outputs that are not constant.
    used : set of str
        What the layers and the outputs read, constants left out.
    quantised_by : dict
        Values that are taken for small numbers, as all that is done with them can be done after their QuantizeLinear:
        name -> that node.

    Raises
    ------
    InputError
        See `dnnopt.inputs.onnx.reader.read_onnx`.
    """

    def __init__(self, path: Path, dimensions: Mapping[str, int], *, allow_large: bool = False):
        self.file = str(path)
        try:
            self._build(path, dimensions, allow_large)
        except InputError as error:
            raise error.within(file=self.file) from None

    def _build(self, path: Path, dimensions: Mapping[str, int], allow_large: bool) -> None:
        self.model = load_model(path)
        self.quantised_by: dict[str, Node] = {}
        graph = self.model.graph
        self._inliner = Inliner(self.model, allow_large=allow_large)
        nodes = self._inliner.expand(graph.node, opsets_of(self.model.opset_import))
        self._stored: dict[str, TensorProto | SparseTensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self._stored |= {sparse.values.name: sparse for sparse in graph.sparse_initializer}
        self.inputs = [value for value in graph.input if value.name not in self._stored]
        given = {value.name for value in self.inputs} | self._stored.keys()
        results = [value.name for value in graph.output]
        nodes = _sorted_live(nodes, given.__contains__, results)
        _check_opsets(nodes)
        read = {value for node in nodes for value in node.reads}.union(results)
        needed = [value for value in self.inputs if value.name in read]
        for value in needed:
            if not value.type.tensor_type.HasField("shape"):
                raise self.error(f"input {value.name!r} is no tensor with a known number of dimensions")
        idle = [value for value in self.inputs if value.name not in read]
        set_sizes(dimensions, needed, [*idle, *graph.value_info, *graph.output])
        self._walk(nodes)
        self._keep_live(results)

    def error(self, problem: str, field: str = "") -> InputError:
        return InputError("", field=field, file=self.file, problem=problem)

    def real(self, value: str) -> str:
        """Return the value that `value` is, past the nodes that were removed."""
        return self._alias.get(value, value)

    def variable_inputs(self, node: Node) -> list[str]:
        """Return the distinct values that a node reads and that are not constant."""
        return [value for value in dict.fromkeys(map(self.real, node.reads)) if value not in self.constants]

    def _walk(self, nodes: list[Node]) -> None:
        """Tell what is constant and what is removed, give every value its type, and put branches into the graph.

        This is one pass along the nodes, so that a folded shape or condition is known where it is used.
        """
        from onnx import SparseTensorProto, helper

        graph = self.model.graph
        self._declared = {
            value.name: value.type for value in (*graph.value_info, *graph.output) if shape_of(value.type) is not None
        }
        self.nodes: list[Node] = []
        self.layers: list[Node] = []
        self.constants: dict[str, Node | None] = dict.fromkeys(self._stored)
        self._alias: dict[str, str] = {}
        self._makers: dict[str, Node] = {}
        self._kept_as: dict[str, tuple[str, ...]] = {}
        self._values: dict[str, np.ndarray | None] = {}
        self._described: dict[str, Value] = {}
        self._types = {value.name: value.type for value in self.inputs if shape_of(value.type) is not None}
        self._problems: dict[str, str] = {}  # why the type of a value could not be told
        for name, tensor in self._stored.items():
            stored = tensor.values if isinstance(tensor, SparseTensorProto) else tensor
            self._types[name] = helper.make_tensor_type_proto(stored.data_type, list(tensor.dims))
        for value in self.inputs:
            check_sizes(shape_of(value.type) or (), value.name)
        queue = deque(nodes)
        while queue:
            node = queue.popleft()
            branch = self._branch(node)
            if branch is not None:
                queue.extendleft(reversed(branch))
            else:
                self.nodes.append(node)
                self._makers.update((value, node) for value in node.outputs if value)
                self._classify(node)
                self._infer(node)

    def _branch(self, node: Node) -> list[Node] | None:
        """Return the nodes that an If stands for, where its condition is known."""
        condition = self._value(node.inputs[0]) if node.key == "If" and node.inputs else None
        if condition is None or condition.size != 1:
            return None
        nodes = self._inliner.branch(node, "then_branch" if condition.item() else "else_branch")
        return _sorted_live(nodes, self._exists, list(filter(None, node.outputs)))

    def _exists(self, value: str) -> bool:
        return value in self._makers or value in self._stored or value in self._types

    def _classify(self, node: Node) -> None:
        outputs = [value for value in node.outputs if value]
        same_each_time = node.domain in _DETERMINISTIC and node.op not in _RANDOM
        if node.key in _SHAPE_OF or (same_each_time and not self.variable_inputs(node)):
            self.constants.update(dict.fromkeys(outputs, node))
            kept = [self.real(value) for value in node.inputs[: _STORED_AS_INPUTS.get(node.key, 0)] if value]
            if kept:
                roots = tuple(dict.fromkeys(root for value in kept for root in self._kept_as.get(value, (value,))))
                self._kept_as.update(dict.fromkeys(outputs, roots))
        elif self._hands_on(node):
            self._alias[node.outputs[0]] = self.real(node.inputs[0])
            self.constants.update(dict.fromkeys(outputs[1:], node))  # Dropout's mask, which lets everything pass
        else:
            self.layers.append(node)

    def _hands_on(self, node: Node) -> bool:
        """Whether a node only hands its input on; Dropout does unless it is told to train."""
        if node.key == "Dropout" and len(node.inputs) > 2 and node.inputs[2]:
            training = self._value(node.inputs[2])
            return training is not None and not training.any()
        return node.key in ("Identity", "Dropout") and bool(node.inputs and node.outputs)

    def _infer(self, node: Node) -> None:
        """Find the types of what a node makes; that one is not found matters only if a layer needs it."""
        types = {value: self._types[self.real(value)] for value in node.inputs if self.real(value) in self._types}
        found: Mapping[str, TypeProto] = {}
        problem = ""
        if all(value in types for value in node.inputs if value) and not node.has_graphs:
            try:
                found = output_types(node, types, self._settings(node, types), self.model.ir_version)
            except MALFORMED as error:
                problem = f"the shapes at {node.label} do not fit: {what_is_wrong(error)}"
        for value in filter(None, node.outputs):
            if value in found and shape_of(found[value]) is not None:
                self._types[value] = found[value]
            elif problem:
                self._problems[value] = problem
            elif node.key in SHAPED_BY_DATA and (array := self._value(value)) is not None:
                self._types[value] = _type_of(array)
            elif value in self._declared:
                check_sizes(shape_of(self._declared[value]) or (), value)
                self._types[value] = self._declared[value]

    def _settings(self, node: Node, types: Mapping[str, TypeProto]) -> dict[str, np.ndarray]:
        """Return the inputs of a node that are known and may set a shape."""
        from onnx import TensorProto

        whole = (TensorProto.INT64, TensorProto.INT32)
        found = {}
        for value, type_ in types.items():
            if type_.tensor_type.elem_type in whole or node.op in _SHAPED_BY_FLOATS:
                array = self._value(value)
                if array is not None:
                    found[value] = array
        return found

    def _value(self, name: str) -> np.ndarray | None:
        """Return the value of a constant that is small enough to set a shape, if it can be found."""
        stack = [self.real(name)]
        while stack:
            value = stack[-1]
            missing = [] if value in self._values else self._work_out(value)
            if missing:
                stack += missing
            else:
                stack.pop()
        return self._values[self.real(name)]

    def _work_out(self, value: str) -> list[str]:
        """Put a constant's value among those that are known, or return what has to be there first."""
        import numpy as np

        self_made = self.constants.get(value)
        if not self._is_small(value):
            self._values[value] = None
        elif self_made is None:
            self._values[value] = stored_value(self._stored[value])
        elif self_made.key == "Constant":
            tensor = constant_tensor(self_made)
            self._values[value] = None if tensor is None else stored_value(tensor)
        elif self_made.key in _SHAPE_OF:
            shape = shape_of(self._types[self.real(self_made.inputs[0])]) or ()
            bounds = {attribute.name: attribute.i for attribute in self_made.proto.attribute}
            part = shape[bounds.get("start", 0) : bounds.get("end", len(shape))]
            self._values[value] = np.array(math.prod(shape) if self_made.key == "Size" else part, dtype=np.int64)
        else:
            given = {inner: self.real(inner) for inner in self_made.reads}
            missing = [inner for inner in given.values() if inner not in self._values]
            if missing:
                return missing
            arrays = {inner: self._values[real] for inner, real in given.items()}
            known = {inner: array for inner, array in arrays.items() if array is not None}
            results = computed(self_made, known) if len(known) == len(arrays) else {}
            self._values.update({output: results.get(output) for output in self_made.outputs if output})
        return []

    def _is_small(self, value: str) -> bool:
        if value not in self.constants:
            return False
        shape = shape_of(self._types[value]) if value in self._types else None
        if shape is None:  # as long as it has no shape but by its data, it is as small as what it is made of
            maker = self.constants[value]
            return maker is not None and maker.key in SHAPED_BY_DATA
        return math.prod(shape) <= MOST_ELEMENTS

    def _keep_live(self, results: Sequence[str]) -> None:
        """Drop the layers that no output depends on now that everything is folded."""
        reals = dict.fromkeys(map(self.real, results))
        self.outputs = [value for value in reals if value not in self.constants]
        self.used = set(self.outputs)
        live = []
        for node in reversed(self.layers):
            if not self.used.isdisjoint(node.outputs):
                live.append(node)
                self.used.update(self.variable_inputs(node))
        self.layers = live[::-1]
        if not self.layers:
            raise self.error("the graph has no layers: its outputs depend on no operator that computes from the inputs")

    def check_shapes(self) -> None:
        """Refuse layers that read or make something whose shape is not known.

        Raises
        ------
        InputError
            With the node where it starts.
        """
        for node in self.layers:
            for value in (*map(self.real, node.reads), *node.outputs):
                if value not in self._types and (value not in node.outputs or value in self.used):
                    raise self._unknown(value)

    def _unknown(self, value: str) -> InputError:
        while value in self._makers:
            earlier = [real for real in map(self.real, self._makers[value].reads) if real not in self._types]
            if not earlier:
                break
            value = earlier[0]
        label = self._makers[value].label if value in self._makers else f"input {value!r}"
        return self.error(
            self._problems.get(value)
            or f"the shape of what {label} makes is not known: it depends on data, or no rule infers it; "
            "expected its shape in the file's value_info (dimensions with a name there can be set as well)"
        )

    def keep(self, layers: list[Node]) -> None:
        """Let the graph have these layers alone, and those of them alone that an output depends on."""
        self.layers = layers
        self._keep_live(self.outputs)

    def element_type(self, name: str) -> int:
        """Return ONNX's number of the type of a value's elements; 0: it is not known."""
        real = self.real(name)
        return int(self._types[real].tensor_type.elem_type) if real in self._types else 0

    def retype(self, name: str, like: str) -> None:
        """Let the elements of a value have the type of those of another one."""
        from onnx import helper

        if name in self._types and like in self._types:
            shape = shape_of(self._types[name])
            self._types[name] = helper.make_tensor_type_proto(self.element_type(like), shape)

    def is_dequantised(self, name: str) -> bool:
        """Return whether a constant is what a DequantizeLinear makes, perhaps with its axes changed."""
        maker = self.constants.get(name)
        while maker is not None and maker.op != "DequantizeLinear" and maker.key in _STORED_AS_INPUTS:
            maker = self.constants.get(self.real(maker.inputs[0]))
        return maker is not None and maker.op == "DequantizeLinear"

    def described(self, name: str) -> Value:
        """Return the shape and element size of a value."""
        if name not in self._described:
            try:
                self._described[name] = described(self._types[name])
            except ValueError as error:
                raise self.error(f"{name!r} {error}") from None
        return self._described[name]

    def operator(self, node: Node) -> Operator:
        """Return a layer as costs see it: outputs that nobody reads are left out."""
        inputs = [self.described(self.real(value)) if value else None for value in node.inputs]
        return operator_of(
            node, inputs, [self.described(value) if value in self.used else None for value in node.outputs]
        )

    def values_of(self, name: str) -> np.ndarray | None:
        """Return the elements of a small constant, as far as they are known."""
        return self._value(name)

    def storage(self, name: str) -> dict[str, int]:
        """Return what a constant occupies in memory: name of a stored constant -> bytes."""
        return {root: self._stored_bytes(root) for root in self._kept_as.get(name, (name,))}

    def _stored_bytes(self, name: str) -> int:
        sparse = self._stored.get(name)
        if sparse is not None and hasattr(sparse, "indices"):
            entries = Value(tuple(sparse.values.dims), self.described(name).bits)
            return entries.bytes + 8 * math.prod(sparse.indices.dims)
        return self.described(name).bytes

    def flat_model(self) -> ModelProto:
        """Return the model with the nodes as they are here, functions and constant branches written out.

        The file's own model is changed into it.

        Raises
        ------
        InputError
            If one version of the operator sets does not do for all nodes.
        """
        from onnx import helper

        opsets = opsets_of(self.model.opset_import)
        for node in self.nodes:
            own = opsets.setdefault(node.domain, node.version)
            if not same_definition(node, own):
                problem = f"{node.label} is of a function with operator set {node.version}, and the model has {own}"
                raise self.error(f"{problem}; running it needs one for both")
        protos = [node.proto for node in self.nodes]
        del self.model.functions[:], self.model.graph.node[:], self.model.opset_import[:]
        self.model.graph.node.extend(protos)
        self.model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets.items())
        return self.model

    def summary(self) -> str:
        """Return the file's versions, producer and inputs, for a provenance."""
        opsets = ", ".join(f"{entry.domain} {entry.version}".strip() for entry in self.model.opset_import)
        producer = f"{self.model.producer_name} {self.model.producer_version}".strip() or "an unnamed producer"
        inputs = []
        for value in self.inputs:
            shape = "x".join(map(str, shape_of(value.type) or ())) or "scalar"
            inputs.append(f"{value.name} {shape} {type_name(value.type.tensor_type.elem_type).lower()}")
        return (
            f"ONNX IR {self.model.ir_version}, operator set {opsets}, by {producer}; "
            f"input {', '.join(inputs) or 'none'}"
        )


def _check_opsets(nodes: Iterable[Node]) -> None:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    for node in nodes:
        version = node.opsets.get("", 0)
        if not node.domain and not 1 <= version <= newest:
            problem = f"got ONNX operator set {version}, expected 1 to {newest} (onnx {onnx.__version__})"
            raise InputError("", problem=problem)


def same_definition(node: Node, version: int) -> bool:
    import onnx

    def since(version: int) -> int:
        try:
            return onnx.defs.get_schema(node.op, version, node.domain).since_version
        except onnx.defs.SchemaError:
            return version

    return node.version == version or since(node.version) == since(version)


def _type_of(array: np.ndarray) -> TypeProto:
    from onnx import helper

    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _sorted_live(nodes: Sequence[Node], exists: Callable[[str], bool], results: Iterable[str]) -> list[Node]:
    """Return the nodes that results depend on, sorted; among those that are ready, the first in the file comes first.

    Parameters
    ----------
    nodes : sequence of Node
    exists : callable
        Whether a value is there before any of the nodes runs.
    results : iterable of str

    Raises
    ------
    InputError
        For values made twice, and for cycles and unknown values among what is returned.
    """
    producer: dict[str, int] = {}
    for position, node in enumerate(nodes):
        for value in filter(None, node.outputs):
            if value in producer:
                raise InputError("", problem=f"{value!r} is an output of two nodes")
            if exists(value):
                raise InputError("", problem=f"{value!r} is an output of {node.label}, and an input or initialiser too")
            producer[value] = position
    needs: dict[int, list[int]] = {}
    dangling: dict[str, None] = {}
    wanted = [(value, "the graph's outputs") for value in results]
    while wanted:
        value, who = wanted.pop()
        position = producer.get(value, -1)
        if position >= 0 and position not in needs:
            node = nodes[position]
            needs[position] = list({producer[read] for read in node.reads if read in producer})
            wanted += [(read, node.label) for read in node.reads]
        elif position < 0 and not exists(value):
            dangling[f"{value!r} (for {who})"] = None
    if dangling:
        raise InputError("", problem=f"no node, input or initialiser has the name {join(dangling)}")
    needed = sorted(needs)
    place = {position: vertex for vertex, position in enumerate(needed)}
    order, cycle = topological_order([[place[source] for source in needs[position]] for position in needed])
    if cycle:
        words = " -> ".join(nodes[needed[vertex]].label for vertex in cycle)
        raise InputError("", problem=f"the graph has a cycle: {words}")
    return [nodes[needed[vertex]] for vertex in order]
