"""Small good files of every kind, from which `fuzz.py` makes its mutations."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import dnnopt as dp

DEVICES = ("p", "q", "r")
LAYERS = ("a", "b", "c", "d")


def _network() -> dict[str, Any]:
    layers = [
        {"name": name, "op": "Conv", "flops": 1e6, "bytes": 1e4, "weights": 1e3 * (k + 1), "activations": 10.0}
        for k, name in enumerate(LAYERS)
    ]
    window = {"kernel": [3, 3], "stride": [2, 2], "pads": [1, 1, 1, 1], "dilation": [1, 2], "groups": 2}
    layers[0] |= {"window": window, "axes": [1], "inputs": ["", "x"], "weight_axes": [1, 0]}
    tensors = [
        {"name": "x", "producer": "input", "consumers": ["a"], "bytes": 100, "sensitivity": 1, "shape": [1, 25]},
        {"name": "ta", "producer": "a", "consumers": ["b", "c"], "bytes": 80, "sensitivity": 0.7},
        {"name": "tb", "producer": "b", "consumers": ["d"], "bytes": 60, "sensitivity": 0.5},
        {"name": "tc", "producer": "c", "consumers": ["d"], "bytes": 40, "sensitivity": 0.25},
        {"name": "y", "producer": "d", "consumers": ["output"], "bytes": 20, "sensitivity": 0.1},
    ]
    ends = {"source": "p", "sink": "p", "rate": 2.0, "deadline": 5.0, "weight": 1.5}
    return {"name": "net", "layers": layers, "tensors": tensors, **ends, "provenance": "here", "family": "CNN"}


def _platform() -> dict[str, Any]:
    devices = [
        {"name": name, "tier": tier, "memory": 1e4, "flops_per_s": 1e6 * (k + 1), "bytes_per_s": 1e6, "overhead": 1e-3}
        | {"efficiency": 0.5, "power": 5.0, "idle_power": 1.0, "price": 0.01 * k, "trusted": k == 0}
        for k, (name, tier) in enumerate(zip(DEVICES, ("end", "edge", "cloud"), strict=True))
    ]
    pairs = [(i, j) for i in DEVICES for j in DEVICES if i != j]
    links = [
        {"name": f"{i}{j}", "bandwidth": 100.0, "latency": 0.01, "sender": i, "receiver": j, "trusted": False}
        | {"send_energy_per_byte": 1e-3, "receive_energy_per_byte": 1e-3, "price_per_byte": 1e-4}
        for i, j in pairs
    ]
    routes = [{"from": i, "to": j, "links": [f"{i}{j}"]} for i, j in pairs]
    resources = [{"name": "radio", "links": ["pq", "qp"]}, {"name": "q", "devices": ["q"], "links": ["qr"]}]
    return {"name": "three", "devices": devices, "links": links, "routes": routes, "resources": resources}


def _profile() -> dict[str, Any]:
    time = {"net": {name: {"p": 0.5 + k, "q": 0.3 * k, "r": None if k else 0.1} for k, name in enumerate(LAYERS)}}
    return {"time": time, "energy": {"net": {"a": {"p": 2.0}}}}


def profiles() -> list[dict[str, Any]]:
    """Return a profile, and one that says how it was measured."""
    times = {"net": {name: {"p": 0.5} for name in LAYERS}}
    measurement = {"network": "net", "device": "p", "model": "m.onnx", "inputs": {"x": 100}, "repetitions": 3}
    measurement |= {"warmup": 1, "threads": 1, "seed": 0, "quartiles": {name: [0.4, 0.6] for name in LAYERS}}
    measurement |= {"sum_of_layers": 2.0, "overhead": 0.1, "total": 2.1, "total_quartiles": [2.0, 2.2], "fastest": 1.9}
    measurement |= {"groups": [{"layers": ["a", "b"], "nodes": ["n"], "seconds": 1.0}], "other": {"Cast": 0.01}}
    measurement |= {"processor": "cpu", "date": "2026-01-01", "versions": {"onnxruntime": "1"}}
    return [_profile(), {"time": times, "measurements": [measurement]}]


_CONSTRAINTS: list[dict[str, Any]] = [
    {"constraint": "memory", "rule": "weights+largest_activation", "buffers": 1, "limits": {"p": 5e3}},
    {"constraint": "deadline", "limit": 50.0, "network": "net"},
    {"constraint": "bandwidth", "link": "pq", "limit": 500},
    {"constraint": "energy", "limit": 200.0, "devices": ["p"]},
    {"constraint": "cost", "limit": 10.0},
    {"constraint": "traffic", "limit": 1000, "links": ["pq", "pr"]},
    {"constraint": "leakage", "limit": 3.0},
    {"constraint": "worst_leakage", "limit": 1.0},
    {"constraint": "metric", "metric": "spread", "limit": 100},
    {"constraint": "utilisation", "limit": 100.0},
    {"constraint": "placement", "network": "net", "layer": "a", "allowed": ["p", "q"]},
    {"constraint": "colocate", "network": "net", "layers": ["b", "d"]},
    {"constraint": "separate", "network": "net", "layers": ["a", "c"]},
    {"constraint": "contiguous"},
    {"constraint": "monotone_tiers"},
    {"constraint": "max_devices", "limit": 3},
    {"constraint": "max_cuts", "limit": 9},
]
_SPREAD = {"name": "spread", "unit": "g", "layers": {"net": {"a": {"p": 1.0}}}, "links": {"pq": {"per_byte": 0.1}}}
_SPREAD |= {"exposed": {"net": {"ta": 2.0}}}
_OBJECTIVES: dict[str, list[dict[str, Any]]] = {
    "sequential": [{"metric": "latency"}, {"metric": "energy", "weight": 0.5, "devices": ["p"], "idle": True}],
    "parallel": [{"metric": "latency", "over": "max"}, {"metric": "cost", "priority": 1}],
    "scheduled": [{"metric": "latency"}],
    "pipelined": [{"metric": "period"}, {"metric": "traffic", "weight": 0.01, "links": ["pq"], "priority": 1}],
}


@cache
def problems() -> list[dict[str, Any]]:
    """Return problem files' data: every execution, every kind of constraint, names of the library, two networks."""
    base = {"format": "dnnopt-problem", "version": 1, "name": "seed", "platform": _platform()}
    found = []
    for index, (execution, objective) in enumerate(_OBJECTIVES.items()):
        parts: dict[str, Any] = {"networks": [_network()], "execution": execution, "minimize": objective}
        parts |= {"subject_to": _CONSTRAINTS[index::4], "metrics": [_SPREAD]}
        parts |= {"profile": _profile()} if index % 2 == 0 else {"transport": "multicast"}
        found.append({**base, **parts})
    second = _network() | {"name": "second", "layers": _network()["layers"][:2], "tensors": _network()["tensors"][:1]}
    shared = [{"name": "tied", "bytes": 500, "layers": [["net", "a"], ["second", "b"]]}]
    two: dict[str, Any] = {"networks": [_network(), second], "shared_weights": shared, "subject_to": _CONSTRAINTS[:1]}
    found.append({**base, **two, "execution": "sequential", "minimize": [{"metric": "latency", "over": "max"}]})
    library: dict[str, Any] = {"networks": [{"base": "alexnet@block", "source": "pi"}], "platform": "pi4-lte-t4"}
    found.append({**base, **library, "execution": "sequential", "minimize": [{"metric": "latency"}]})
    pools = {"devices": [{"name": "host", "pool": True}, {"name": "p"}]}
    pools |= {"links": [{"name": "in", "bandwidth": 1, "latency": 0, "receiver": "p"}]}
    pools |= {"routes": [{"from": "host", "to": "p", "links": ["in"]}, {"from": "p", "to": "host", "links": ["in"]}]}
    network = {key: value for key, value in _network().items() if key not in ("source", "sink")}
    time = {"net": {name: {"host": 2.0, "p": 1.0} for name in LAYERS}}
    call: dict[str, Any] = {"networks": [network], "platform": pools, "execution": "call", "transport": "multicast"}
    found.append({**base, **call, "profile": {"time": time}, "minimize": [{"metric": "latency"}]})
    return found


def plans() -> list[dict[str, Any]]:
    """Return plan and result files' data, with and without a schedule."""
    placement = {"net": dict(zip(LAYERS, "ppqp", strict=True))}
    starts = {"net": {name: 10.0 * k for k, name in enumerate(LAYERS)}}
    hops = [("ta", "pq", "q", 1.0), ("tc", "qp", "p", 25.0)]
    transfers = [{"network": "net", "tensor": t, "link": k, "destination": d, "start": s} for t, k, d, s in hops]
    plan = {"placement": placement, "schedule": {"layers": starts, "transfers": transfers}}
    result = {"format": "dnnopt-result", "version": 1, "problem": "seed", "checksum": "0", "date": "2026-01-01"}
    result |= {"status": "optimal", "objective": 1.0, "bound": 1.0, "gap": 0.0, "runtime": 0.5, "found_by": "x"}
    return [{"placement": placement}, plan, {**result, **plan, "bound_by": "y", "message": "", "versions": {"a": "1"}}]


def msr_workloads() -> list[dict[str, Any]]:
    """Return workloads of the accelerators' paper."""
    nodes = [
        {
            "id": k,
            "name": f"n{k}",
            "supportedOnFpga": 1,
            "cpuLatency": 2.0,
            "fpgaLatency": 1.0,
            "isBackwardNode": k // 3,
        }
        | {"size": 4, "colorClass": k % 3}
        for k in range(5)
    ]
    edges = [{"sourceId": k, "destId": k + 1, "cost": 0.5} for k in range(4)]
    return [{"maxSizePerFPGA": 20, "maxFPGAs": 2, "maxCPUs": 1, "nodes": nodes, "edges": edges}]


def pipeedge_files() -> tuple[dict[str, Any], str]:
    """Return profiles of PipeEdge as JSON data and as YAML."""
    model = {"layers": 3, "mem_MB": [1.0, 2.0, 1.0], "parameters_in": 100, "parameters_out": [50, 50, 10]}
    times = {"batch_size": 8, "dtype": "torch.float32", "time_s": [0.1, 0.2, 0.1]}
    kind = {"bw_Mbps": 100, "mem_MB": 64, "model_profiles": {"m": [times]}}
    data = {"models": {"m": model}, "device_types": {"board": kind, "other": kind}}
    entry = "  bw_Mbps: 100\n  mem_MB: 64\n  model_profiles:\n    m:\n    - batch_size: 8\n      dtype: torch.float32\n"
    entry += "      time_s: [0.1, 0.2, 0.1]\n"
    text = (
        "m:\n  layers: 3\n  mem_MB: [1.0, 2.0, 1.0]\n  parameters_in: 100\n  parameters_out:\n  - 50\n  - 50\n  - 10\n"
    )
    return data, f"{text}board:\n{entry}other:\n{entry}"


def pipedream_graphs() -> list[str]:
    """Return graphs of PipeDream, one of them with stages and sums of activations."""
    numbers = "forward_compute_time=1.5, backward_compute_time=2.000, activation_size={}, parameter_size=1e6"
    nodes = [("node1", "Input0"), ("node2", "Conv2d(3, 64)"), ("node3", "ReLU(inplace)"), ("node4", "__getitem__(0)")]
    edges = "".join(f"\tnode{u} -- node{v}\n" for u, v in ((1, 2), (2, 3), (2, 4)))
    plain = "".join(f"{name} -- {what} -- {numbers.format(2e6)}\n" for name, what in nodes) + edges
    return [plain, plain.replace("2000000.0", "[1e6; 1e6]").replace("1e6\n", "1e6 -- stage_id=0\n")]


def recipes() -> list[dict[str, Any]]:
    """Return recipes of generated problems."""
    kinds = ("chain", "series-parallel", "inception", "dense", "encoder-decoder", "transformer", "training", "layered")
    full = {"size": 4, "devices": 3, "topology": "hosts", "hosts": 2, "heterogeneity": 2.0, "link_heterogeneity": 3.0}
    full |= {"communication": 0.5, "memory": 0.5, "deadline": 0.3, "decay": 0.9, "execution": "parallel", "seed": 7}
    full |= {"transport": "multicast", "minimize": [{"metric": "energy"}], "subject_to": [{"constraint": "contiguous"}]}
    return [{"kinds": list(kinds[:2]), **full}, *({"kinds": [kind], "size": 3, "devices": 2} for kind in kinds)]


def best_known() -> str:
    """Return a table of best known values."""
    from dnnopt.studies.best_known import table_path

    return "".join(table_path().read_text(encoding="utf-8").splitlines(keepends=True)[:6])


def expressions() -> dict[str, list[str]]:
    """Return texts for options that take expressions."""
    return {
        "minimize": [
            "latency",
            "0.5*latency + 2*energy(p,idle)",
            "1e3 * traffic(pq, qp) + cost",
            "spread+worst_leakage",
            '2*largest(energy(p,"q")) + period',
            "throughput",
        ],
        "subject-to": [
            "latency <= 30 ms",
            "energy(p) <= 2 J",
            "traffic(pq) <= 1 GiB",
            "cost<=0.5 USD",
            "leakage <= 20 %",
            "throughput >= 20 /s",
            "memory(weights+activations, buffers=1, p=64 MiB)",
            "placement(a, p, q, network=net)",
            "input_stays(p)",
            "contiguous(a, b)",
            "max_cuts <= 3",
            "bandwidth(pq)",
        ],
        "set": ["bandwidth(pq)=5 Mbit/s", "memory(p)=8MiB", "throughput=20 fps", "weight(energy(p,idle))=0.5"],
        "vary": [
            "bandwidth(pq)=1MB/s..100MB/s",
            "memory(p)=8MiB..64MiB",
            "deadline=50ms..1s",
            "rate(net)=1Hz..5/s",
            "weight(energy(p,idle))=0..1",
            "bandwidth=0.1..10",
            "period=5..100 ms",
        ],
    }


def quantities() -> list[str]:
    """Return texts of every dimension."""
    return [
        "20 Mbit/s",
        "30 ms",
        "4 GiB",
        "1.5e-3 s",
        "2 GFLOP",
        "12.5 %",
        "30 1/s",
        "0.09 USD/GB",
        "0.3 uJ/B",
        "50 µs",
        "7",
        "20 fps",
    ]


@cache
def model_files() -> dict[str, str]:
    """Return the first problem as model files, by ending."""
    from kinds import first_problem

    model = dp.formulate(first_problem(), "edgewise")
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".lp", ".mps"):
            model.write(Path(folder) / f"model{ending}")
        return {path.suffix: path.read_text(encoding="utf-8") for path in Path(folder).iterdir()}


@cache
def solution_files() -> list[str]:
    """Return solutions of the model files: as a list, and as HiGHS, CBC and GLPK write them."""
    import highspy

    highs = highspy.Highs()
    highs.silent()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.lp"
        model.write_text(model_files()[".lp"], encoding="utf-8")
        highs.readModel(str(model))
        highs.run()
        texts = []
        for style in range(3):
            file = Path(folder) / "solution"
            highs.setOptionValue("write_solution_style", style)
            highs.writeSolution(str(file), style)
            texts.append(file.read_text(encoding="utf-8"))
    names, values = list(highs.getLp().col_names_), highs.getSolution().col_value
    listed = list(enumerate(zip(names, values, strict=True)))
    cbc = "".join(f"{k:7} {name} {value:.9g} 0\n" for k, (name, value) in listed)
    glpk = "".join(f"j {k + 1} {value:.9g}\n" for k, (_, value) in listed)
    plain = "".join(f"{name} {value!r}\n" for _, (name, value) in listed)
    return [
        plain,
        f"Optimal - objective value 1.0\n{cbc}",
        f"c Status: INTEGER OPTIMAL\ns mip 1 {len(names)} o 1\n{glpk}e o f\n",
        *texts,
    ]


@cache
def onnx_models() -> list[Any]:
    """Return ONNX models: a small convolutional network, attention, a function, and constants that fold."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(np.ones(shape, dtype=np.float32), name)

    def value(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def model(nodes: list[Any], shape: list[Any], weights: list[Any], functions: Any = (), opset: int = 17) -> Any:
        graph = helper.make_graph(nodes, "g", [value("x", shape)], [value("y", [])], weights)
        graph.output[0].type.tensor_type.ClearField("shape")
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
        return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)

    node = helper.make_node
    target = numpy_helper.from_array(np.array([0, -1], dtype=np.int64), "target")
    convolution = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2], kernel_shape=[3, 3], group=1),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["p"], ["s"]),
        node("Reshape", ["p", "target"], ["f"]),
        node("Gemm", ["f", "g"], ["y"], transB=1),
    ]
    weights = [weight("w", 4, 3, 3, 3), weight("b", 4), target, weight("g", 5, 16)]
    attention = [
        node("MatMul", ["x", "k"], ["q"]),
        node("Transpose", ["q"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["q", "t"], ["a"]),
        node("Softmax", ["a"], ["s"], axis=-1),
        node("MatMul", ["s", "x"], ["m"]),
        node("Add", ["m", "x"], ["y"]),
    ]
    body = [node("Mul", ["i", "i"], ["o"])]
    square = helper.make_function("own", "Square", ["i"], ["o"], body, [helper.make_opsetid("", 17)])
    called = [node("Square", ["x"], ["z"], domain="own"), node("Concat", ["z", "x"], ["y"], axis=1)]
    branch = helper.make_graph([node("Relu", ["x"], ["then"])], "b", [], [value("then", ["N", 4])])
    other = helper.make_graph([node("Neg", ["x"], ["else"])], "o", [], [value("else", ["N", 4])])
    flag = numpy_helper.from_array(np.array(True), "flag")
    choice = [node("If", ["flag"], ["y"], then_branch=branch, else_branch=other)]
    return [
        model(convolution, ["N", 3, 8, 8], weights),
        model(attention, ["N", 6, 4], [weight("k", 4, 4)]),
        model(called, ["N", 4], [], [square]),
        model(choice, ["N", 4], [flag]),
    ]
