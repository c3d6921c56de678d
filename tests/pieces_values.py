"""Runs the pieces of a transformed network on random numbers: each from what it reads alone, by onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx_models import model, runtime_results

import dnnopt as dp
from dnnopt.inputs.onnx.reader import read_onnx

ELEMENTWISE = ("Relu", "Add", "Mul", "Sigmoid", "Clip", "Erf", "Sub", "Div", "Sqrt", "Pow")

NX = {"flops_per_s": 1e7, "bytes_per_s": 1e9, "memory": 1e9, "power": 1.0}


def lan(*names, **faster):
    """Return a platform of devices that are alike, but for so many times the speed, with a link for each pair."""
    devices = [{**NX, "name": name, "flops_per_s": NX["flops_per_s"] * faster.get(name, 1)} for name in names]
    links = [
        {"name": f"{a}-{b}", "sender": a, "receiver": b, "bandwidth": 1e8, "latency": 1e-5}
        for a in names
        for b in names
        if a != b
    ]
    routes = [{"origin": one["sender"], "destination": one["receiver"], "links": [one["name"]]} for one in links]
    return dp.Platform.from_data({"devices": devices, "links": links, "routes": routes, "name": "lan"})


@dataclass
class Run:
    """A model with all its values, and its network."""

    made: onnx.ModelProto
    network: object
    values: dict
    nodes: dict

    @classmethod
    def of(cls, made, folder, rng):
        path = folder / "net.onnx"
        path.write_bytes(made.SerializeToString())
        network = read_onnx(path)
        feeds = {
            value.name: rng.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim]).astype(np.float32)
            for value in made.graph.input
        }
        every = onnx.ModelProto()
        every.CopyFrom(made)
        del every.graph.output[:]
        names = [output for node in made.graph.node for output in node.output]
        every.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
        weights = {one.name: numpy_helper.to_array(one) for one in made.graph.initializer}
        values = weights | feeds | runtime_results(every, feeds)
        by_output = {node.output[0]: node for node in made.graph.node}
        made_by = {tensor.producer: tensor.name for tensor in network.tensors if tensor.producer != "input"}
        return cls(made, network, values, {layer: by_output[name] for layer, name in made_by.items()})

    @property
    def weights(self):
        return {one.name for one in self.made.graph.initializer}


def box(array, region):
    return array[tuple(slice(*region[axis]) if axis in region else slice(None) for axis in range(array.ndim))]


def piece_of(run, layer, region, reads, summed=None):
    """Return a region of a layer's result, from what it reads; `summed`: of the axis that is summed over."""
    node = run.nodes[layer]
    result = run.values[node.output[0]]
    shape = [region[a][1] - region[a][0] if a in region else n for a, n in enumerate(result.shape)]
    feeds, weights = {}, {}
    for position, name in enumerate(node.input):
        value = run.values[name]
        if name not in run.weights:
            feeds[name] = box(value, reads[name])
        else:
            weights[name] = _weight(node.op_type, position, value, region, result, summed)
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    if "kernel_shape" in attributes or node.op_type in ("Conv", "MaxPool", "AveragePool"):
        data = run.values[node.input[0]]
        _pads(attributes, node, data, region, reads.get(node.input[0], {}), len(result.shape) - 2)
        if attributes.get("group", 1) > 1:
            channels = feeds[node.input[0]].shape[1]
            attributes["group"] = gcd(channels // (data.shape[1] // attributes["group"]), attributes["group"])
    if node.op_type == "Reshape":
        weights[node.input[1]] = np.array(shape, np.int64)
    feeds = {name: np.ascontiguousarray(value) for name, value in feeds.items()}
    one = model(
        [helper.make_node(node.op_type, list(node.input), [node.output[0]], **attributes)],
        {name: list(value.shape) for name, value in feeds.items()},
        [node.output[0]],
        {name: np.ascontiguousarray(value) for name, value in weights.items()},
    )
    found = runtime_results(one, feeds)
    assert found is not None, (layer, region, reads)
    return found[node.output[0]]


def _weight(op, position, value, region, result, summed):
    channels = slice(*region[1]) if 1 in region else slice(None)
    if op in ("Conv", "Gemm") and position == 2 and summed:  # the first part adds the bias
        return value if summed[0] == 0 else np.zeros_like(value)
    if op == "Conv":
        return value[:, slice(*summed)] if summed and position == 1 else value[channels]
    if op == "BatchNormalization":
        return value[channels]
    if op in ("MatMul", "Gemm"):
        last = result.ndim - 1
        columns = slice(*region[last]) if last in region else slice(None)
        if position == 2:
            return value[columns]
        return value[slice(*summed)] if summed else value[..., columns]
    if op in ELEMENTWISE:
        aligned = {a - result.ndim + value.ndim: interval for a, interval in region.items()}
        return box(value, {a: i for a, i in aligned.items() if a >= 0 and value.shape[a] > 1})
    return value


def _pads(attributes, node, data, region, read, rank):
    kernel = attributes.get("kernel_shape")
    pads = list(attributes.get("pads", [0] * (2 * rank)))
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    for k in range(rank):
        if k + 2 in region:
            first, end = region[k + 2]
            size = data.shape[k + 2]
            low = first * strides[k] - pads[k]
            high = (end - 1) * strides[k] - pads[k] + dilations[k] * (kernel[k] - 1) + 1
            start, stop = read.get(k + 2, (0, size))
            assert start == max(low, 0)
            assert stop == max(min(high, size), start)
            pads[k], pads[rank + k] = max(0, -low), max(0, high - size)
    attributes["pads"] = pads
    attributes.pop("auto_pad", None)
    attributes.pop("ceil_mode", None)


def check_shards(run, transformed):
    """Check that parts, each computed from what it reads, put together are what the network makes."""
    covered = {}
    for piece in transformed.pieces:
        for member in piece.shares:
            region = piece.regions[member]
            made = run.nodes[member].output[0]
            if piece.extra:  # a partial sum
                (read,) = piece.reads.values()
                part = piece_of(run, member, {}, piece.reads, summed=next(iter(read.values())))
                covered.setdefault(made, np.zeros_like(run.values[made]))
                covered[made] += part
                continue
            part = piece_of(run, member, region, piece.reads)
            np.testing.assert_allclose(part, box(run.values[made], region), atol=1e-5, rtol=1e-5)
            whole = covered.setdefault(made, np.full_like(run.values[made], np.nan))
            box(whole, region)[...] = part
    for name, whole in covered.items():
        np.testing.assert_allclose(whole, run.values[name], atol=1e-5, rtol=1e-5)


def check_tiles(run, transformed):
    """Check that tiles, each computed from what it reads of its block's input, are regions of the block's result."""
    covered = {}
    for piece in transformed.pieces:
        inner = {name: (box(run.values[name], region), region) for name, region in piece.reads.items()}
        for member, region in piece.regions.items():
            node = run.nodes[member]
            part = _from_inner(run, member, region, inner)
            inner[node.output[0]] = part, region
        for name, region in piece.makes.items():
            whole = covered.setdefault(name, np.full_like(run.values[name], np.nan))
            box(whole, region)[...] = inner[name][0]
    for name, whole in covered.items():
        np.testing.assert_allclose(whole, run.values[name], atol=1e-5, rtol=1e-5)


def _from_inner(run, layer, region, inner):
    """Compute a region of a layer's result from the regions that a tile has, each no larger than it must be."""
    from dnnopt.problem.transforms.pieces import LayerShapes
    from dnnopt.problem.transforms.sharding import needs

    shapes = LayerShapes(run.network)
    of = next(one for one in run.network.layers if one.name == layer)
    reading = shapes.reading(of)
    wanted = needs(shapes, of, reading, region) if reading is not None and region else {}
    kept = dict(run.values)
    for name, (part, has) in inner.items():
        if name in run.nodes[layer].input:
            whole = np.full_like(run.values[name], np.nan)
            box(whole, has)[...] = part
            run.values[name] = whole
    try:
        reads = {name: wanted.get(name, {}) for name in run.nodes[layer].input}
        return piece_of(run, layer, region, reads)
    finally:
        run.values = kept
