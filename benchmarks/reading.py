"""Processor time to read ONNX files by their number of layers: ten times the layers should take ten times as long.

Each file is a chain; in the first nothing has weights, in the second every other layer is a Gemm with weights of its
own. The ratio is that of the medians for the most and the fewest layers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from common import add_json_option, print_table, write_json
from onnx import ModelProto, TensorProto, helper, numpy_helper

from dnnopt.inputs.onnx.reader import read_onnx

KINDS = {"Relu": ("Relu",), "Gemm and Relu": ("Gemm", "Relu")}


def chain(operators: tuple[str, ...], layers: int) -> ModelProto:
    """Return a chain that takes its operators in turn."""
    nodes, weights = [], []
    for position in range(layers):
        operator = operators[position % len(operators)]
        inputs = [f"t{position}"]
        if operator == "Gemm":
            inputs.append(f"w{position}")
            weights.append(numpy_helper.from_array(np.zeros((4, 4), np.float32), inputs[-1]))
        nodes.append(helper.make_node(operator, inputs, [f"t{position + 1}"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("t0", f"t{layers}")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def seconds(path: Path) -> float:
    started = time.process_time()
    read_onnx(path)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs=2, default=(2_000, 20_000), help="default: %(default)s")
    parser.add_argument("--repetitions", type=int, default=3, help="default: %(default)s")
    add_json_option(parser)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.onnx"
        for kind, operators in KINDS.items():
            found = {}
            for layers in options.layers:
                path.write_bytes(chain(operators, layers).SerializeToString())
                seconds(path)
                found[layers] = median(seconds(path) for _ in range(options.repetitions))
            few, many = (found[layers] for layers in options.layers)
            results.append({"kind": kind, "layers": list(options.layers), "seconds": [few, many], "ratio": many / few})
    rows = [[r["kind"], *(f"{taken:.2f} s" for taken in r["seconds"]), f"{r['ratio']:.1f}"] for r in results]
    print_table(["chain of", *(f"{layers:,} layers" for layers in options.layers), "ratio"], rows)
    write_json(options.json, results)


if __name__ == "__main__":
    main()
