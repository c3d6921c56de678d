"""Tiny ONNX models for tests, and the shapes that onnxruntime gives them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node


def floats(*shape):
    return np.zeros(shape, np.float32)


def integers(*values):
    return np.array(values, np.int64)


def model(nodes, inputs, outputs, weights=None, *, opset=17, domains=(), value_info=(), functions=()):
    """Make a model; inputs are name -> shape or (shape, element type), outputs are names, weights are arrays."""

    def declared(name, given):
        shape, dtype = given if isinstance(given, tuple) else (given, TensorProto.FLOAT)
        return helper.make_tensor_value_info(name, dtype, shape)

    graph = helper.make_graph(
        nodes,
        "graph",
        [declared(name, given) for name, given in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
        value_info=[declared(name, given) for name, given in value_info],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=8, producer_name="tests", functions=list(functions)
    )


def runtime_results(made, feeds):
    """Return each output as onnxruntime makes it, or None where it refuses the model."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    failures = tuple(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    untyped = onnx.ModelProto()
    untyped.CopyFrom(made)
    for output in untyped.graph.output:  # what is declared there is not the operator's
        output.ClearField("type")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(untyped.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(None, feeds)
    except failures:
        return None
    return dict(zip([output.name for output in made.graph.output], results, strict=True))


def runtime_shapes(made, feeds):
    """Return the shape of each output as onnxruntime makes it, or None where it refuses the model."""
    results = runtime_results(made, feeds)
    return None if results is None else {name: result.shape for name, result in results.items()}


def attention_block(heads=4, width=32):
    """Self-attention with a residual and a layer normalisation, the way exporters write it."""

    def split_heads(name):
        return [
            node("MatMul", ["x", f"w{name}"], [f"{name}0"], name=f"/attn/{name}/MatMul"),
            node("Reshape", [f"{name}0", "split"], [f"{name}1"], name=f"/attn/{name}/Reshape"),
            node("Transpose", [f"{name}1"], [name], perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]),
        ]

    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "start", "end"], ["front"]),
        node("Concat", ["front", "heads"], ["split"], axis=0),
        *split_heads("q"),
        *split_heads("k"),
        *split_heads("v"),
        node("MatMul", ["q", "k"], ["s0"]),
        node("Div", ["s0", "root"], ["s1"]),
        node("Softmax", ["s1"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["o0"]),
        node("Transpose", ["o0"], ["o1"], perm=[0, 2, 1, 3]),
        node("Reshape", ["o1", "shape"], ["o2"]),
        node("MatMul", ["o2", "wo"], ["o3"]),
        node("Add", ["o3", "x"], ["r"]),
        node("LayerNormalization", ["r", "g", "b"], ["y"]),
    ]
    weights = {f"w{name}": floats(width, width) for name in "qkvo"}
    weights |= {"g": floats(width), "b": floats(width), "root": floats()}
    weights |= {"start": integers(0), "end": integers(2), "heads": integers(heads, width // heads)}
    return model(nodes, {"x": ["batch", "seq", width]}, ["y"], weights)


def layers(network):
    return {layer.name: layer for layer in network.layers}


def tensors(network):
    return {tensor.name: (tensor.producer, tensor.consumers, tensor.bytes) for tensor in network.tensors}
