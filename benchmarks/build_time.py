"""Time until HiGHS holds a model, against passing the finished arrays to HiGHS and nothing else.

Synthetic layered networks under sequential execution with a memory limit, at given numbers of nonzeros. Each repetition
builds the model from a CompiledProblem that has computed nothing yet, and then passes the arrays that came out once more.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import highspy
from common import add_json_option, print_table, write_json

from dnnopt import Device, Layer, Link, Network, Platform, Problem, Route, Tensor, latency, memory
from dnnopt.compiled import CompiledProblem
from dnnopt.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.linear_model import LinearArrays, LinearModel
from dnnopt.solvers.highs import pass_model

FORMULATIONS = ("product", "edgewise")
DEVICES = {10_000: 4, 100_000: 5, 1_000_000: 6}


def layered_network(layers: int, seed: int) -> Network:
    """Return a chain with skips: 8 % of the tensors have two consumers and 2 % have four, as in the ONNX networks."""
    draw = random.Random(seed)
    names = [f"layer{v}" for v in range(layers)]
    tensors = []
    for v, name in enumerate(names[:-1]):
        further = draw.choices((0, 1, 3), (0.90, 0.08, 0.02))[0]
        ahead = range(v + 2, min(v + 10, layers))
        consumers = [v + 1, *sorted(draw.sample(ahead, min(further, len(ahead))))]
        size = draw.randrange(10_000, 1_000_000)
        tensors.append(
            Tensor(name=f"tensor{v}", producer=name, consumers=tuple(names[u] for u in consumers), bytes=size)
        )
    sizes = [Layer(name=n, flops=draw.uniform(1e6, 1e9), bytes=1e6, weights=draw.uniform(0, 1e6)) for n in names]
    raw = Tensor(name="image", producer="input", consumers=(names[0],), bytes=600_000)
    return Network(name="layered", layers=tuple(sizes), tensors=(raw, *tensors), source="device0")


def star(devices: int, memory_bytes: float) -> Platform:
    """Return devices around a switch: every route is the sender's link and then the receiver's."""
    names = [f"device{i}" for i in range(devices)]
    return Platform(
        devices=tuple(
            Device(name=name, memory=memory_bytes, flops_per_s=1e9 * (i + 1), bytes_per_s=1e9)
            for i, name in enumerate(names)
        ),
        links=tuple(
            Link(name=f"{way}{i}", bandwidth=1e6 * (i + 1), latency=1e-3)
            for i in range(devices)
            for way in ("up", "down")
        ),
        routes=tuple(
            Route(origin=names[i], destination=names[j], links=(f"up{i}", f"down{j}"))
            for i in range(devices)
            for j in range(devices)
            if i != j
        ),
    )


def problem(layers: int, devices: int, seed: int) -> Problem:
    """Return a problem whose memory holds 1.5 times the weights, in parts."""
    network = layered_network(layers, seed)
    weights = sum(layer.weights or 0.0 for layer in network.layers)
    platform = star(devices, 1.5 * weights / devices)
    return Problem(network, platform, execution="sequential", minimize=latency(), subject_to=[memory()])


def build(name: str, compiled: CompiledProblem) -> LinearModel:
    """Return the model of a formulation."""
    return registry.formulation(name, compiled).build(compiled)  # type: ignore[no-any-return]


def nonzeros(name: str, compiled: CompiledProblem) -> int:
    return len(build(name, compiled).arrays().value)


def problem_of_size(name: str, target: int, devices: int, seed: int) -> Problem:
    """Return a problem of which the formulation has about `target` nonzeros."""
    sample = 300
    per_layer = nonzeros(name, compile_problem(problem(sample, devices, seed))) / sample
    return problem(max(round(target / per_layer), 2), devices, seed)


def seconds(work: Callable[[], Any]) -> float:
    """Return the time of one call, without what the garbage of earlier ones costs."""
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    kept = work()
    taken = time.perf_counter() - started
    gc.enable()
    del kept
    return taken


def bare_pass(highs: highspy.Highs, arrays: LinearArrays) -> None:
    """Pass the arrays to HiGHS."""
    a = arrays
    rows = (a.row_lower, a.row_upper, a.start, a.index, a.value)
    sizes = (len(a.cost), len(a.row_lower), len(a.value))
    highs.passModel(*sizes, 2, 1, a.offset, a.cost, a.lower, a.upper, *rows, a.integer)


def measure(name: str, target: int, repetitions: int, seed: int) -> dict[str, Any]:
    """Return the medians and minima of one formulation at one size."""
    devices = DEVICES.get(target, 5)
    stated = problem_of_size(name, target, devices, seed)
    compiled = compile_problem(stated)
    arrays = build(name, compiled).arrays()
    whole, bare, compiling = [], [], []
    for _ in range(repetitions):
        fresh = dataclasses.replace(compiled)  # without the properties that it has cached
        whole.append(seconds(lambda: pass_model(build(name, fresh).arrays())))  # noqa: B023
        highs = highspy.Highs()
        highs.silent()
        bare.append(seconds(lambda: bare_pass(highs, arrays)))  # noqa: B023
    for _ in range(3):
        compiling.append(seconds(lambda: compile_problem(stated)))
    fresh = dataclasses.replace(compiled)
    tracemalloc.start()
    kept = build(name, fresh).arrays()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parts = [getattr(kept, field.name) for field in dataclasses.fields(kept)]
    return {
        "formulation": name,
        "devices": devices,
        "layers": len(stated.networks[0].layers),
        "columns": len(arrays.cost),
        "rows": len(arrays.row_lower),
        "nonzeros": len(arrays.value),
        "build_and_pass": median(whole),
        "build_and_pass_min": min(whole),
        "bare_pass": median(bare),
        "bare_pass_min": min(bare),
        "ratio": median(whole) / median(bare),
        "ratio_min": min(whole) / min(bare),
        "array_bytes": sum(part.nbytes for part in parts if hasattr(part, "nbytes")),
        "peak_bytes": peak,
        "compile": median(compiling),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(DEVICES), help="nonzeros (default: %(default)s)")
    parser.add_argument("--formulations", nargs="+", default=FORMULATIONS, choices=FORMULATIONS)
    parser.add_argument("--repetitions", type=int, default=0, help="default: 100, 40 and 10 at the three sizes")
    parser.add_argument("--seed", type=int, default=0)
    add_json_option(parser)
    options = parser.parse_args()
    results = []
    for target in options.sizes:
        repetitions = options.repetitions or max(10, min(100, 4_000_000 // target))
        results += [measure(name, target, repetitions, options.seed) for name in options.formulations]
    print_table(
        ["formulation", "devices", "layers", "nonzeros", "build and pass", "bare pass", "ratio", "of minima"]
        + ["arrays", "peak", "compile"],
        [
            [r["formulation"], str(r["devices"]), str(r["layers"]), f"{r['nonzeros']:,}"]
            + [f"{1e3 * r['build_and_pass']:.2f} ms", f"{1e3 * r['bare_pass']:.2f} ms"]
            + [f"{r['ratio']:.2f}", f"{r['ratio_min']:.2f}"]
            + [f"{r['array_bytes'] / 1e6:.1f} MB", f"{r['peak_bytes'] / 1e6:.1f} MB", f"{1e3 * r['compile']:.0f} ms"]
            for r in results
        ],
    )
    write_json(options.json, results)


if __name__ == "__main__":
    main()
