"""Time from a CompiledProblem until HiGHS holds the model, against a bare `Highs.passModel` of the finished arrays.

Synthetic layered networks under sequential execution with a memory limit, at given numbers of nonzeros. Each repetition
builds the model from a newly compiled problem, makes a Highs object and passes the model to it; then it makes another
Highs object and passes the same arrays to it: `ratio` is the median of these pairs, `of minima` the ratio of the
fastest of each kind. `peak` is the most memory that Python and numpy held during the build, `arrays` what is passed.
`compile` is the time from Problem to CompiledProblem, which is not in the ratio.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import fields
from statistics import median
from typing import Any

import highspy
from common import add_json_option, print_table, write_json

from dnnopt import Device, Layer, Link, Network, Platform, Problem, Route, Tensor, latency, memory
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.models.arrays import LinearArrays
from dnnopt.models.solvers.highs import pass_model

FORMULATIONS = ("product", "edgewise", "boundary", "treewise")
DEVICES = {10_000: 4, 100_000: 5, 1_000_000: 6}


def layered_network(layers: int, seed: int) -> Network:
    """Return a chain with skips: 8 % of the tensors have two consumers and 2 % have four, much as in the ONNX wheel."""
    draw = random.Random(seed)
    names = [f"layer{v}" for v in range(layers)]
    tensors = [Tensor(name="image", producer="input", consumers=(names[0],), bytes=600_000)]
    for v in range(layers - 1):
        ahead = range(v + 2, min(v + 10, layers))
        skips = draw.choices((0, 1, 3), (0.90, 0.08, 0.02))[0]
        consumers = [v + 1, *sorted(draw.sample(ahead, min(skips, len(ahead))))]
        tensors.append(
            Tensor(
                name=f"tensor{v}",
                producer=names[v],
                consumers=tuple(names[u] for u in consumers),
                bytes=draw.randrange(10_000, 1_000_000),
            )
        )
    costs = [Layer(name=name, flops=draw.uniform(1e6, 1e9), bytes=1e6, weights=draw.uniform(0, 1e6)) for name in names]
    return Network(name="layered", layers=tuple(costs), tensors=tuple(tensors), source="device0")


def star(devices: int, memory_bytes: float) -> Platform:
    """Return devices around a switch: every route is the sender's link and then the receiver's."""
    numbers = range(devices)
    return Platform(
        devices=tuple(
            Device(name=f"device{i}", memory=memory_bytes, flops_per_s=1e9 * (i + 1), bytes_per_s=1e9) for i in numbers
        ),
        links=tuple(
            Link(name=f"{way}{i}", bandwidth=1e6 * (i + 1), latency=1e-3) for i in numbers for way in ("up", "down")
        ),
        routes=tuple(
            Route(origin=f"device{i}", destination=f"device{j}", links=(f"up{i}", f"down{j}"))
            for i in numbers
            for j in numbers
            if i != j
        ),
    )


def layered_problem(layers: int, devices: int, seed: int) -> Problem:
    """Return a problem whose devices together can hold 1.5 times the weights."""
    network = layered_network(layers, seed)
    weights = sum(layer.weights or 0.0 for layer in network.layers)
    platform = star(devices, 1.5 * weights / devices)
    return Problem(network, platform, execution="sequential", minimize=latency(), subject_to=[memory()])


def build(name: str, compiled: CompiledProblem) -> LinearArrays:
    """Return the arrays of a formulation."""
    arrays: LinearArrays = registry.formulation(name, compiled).build(compiled).arrays()
    return arrays


def problem_of_size(name: str, nonzeros: int, devices: int, seed: int) -> Problem:
    """Return a problem for which the formulation has about so many nonzeros."""
    sample = 300
    entries = len(build(name, compile_problem(layered_problem(sample, devices, seed))).value)
    return layered_problem(max(round(sample * nonzeros / entries), 2), devices, seed)


def seconds(work: Callable[[], Any]) -> float:
    """Return the time of one call, without that of freeing what it returns."""
    started = time.perf_counter()
    kept = work()
    taken = time.perf_counter() - started
    del kept
    return taken


def empty_highs() -> highspy.Highs:
    highs = highspy.Highs()
    highs.silent()
    return highs


def bare_pass(highs: highspy.Highs, a: LinearArrays) -> highspy.Highs:
    """Pass the arrays to HiGHS, by rows, to be minimised."""
    columns, rows, matrix = (a.cost, a.lower, a.upper), (a.row_lower, a.row_upper), (a.start, a.index, a.value)
    sizes = len(a.cost), len(a.row_lower), len(a.value)
    highs.passModel(*sizes, 2, 1, a.offset, *columns, *rows, *matrix, a.integer)
    return highs


def peak_bytes(work: Callable[[], Any]) -> int:
    """Return the most memory that Python and numpy take during a call."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure(name: str, nonzeros: int, devices: int, repetitions: int, seed: int) -> dict[str, Any]:
    """Measure one formulation at one size."""
    problem = problem_of_size(name, nonzeros, devices, seed)
    compiled = compile_problem(problem)
    arrays = build(name, compiled)
    whole, bare = [], []
    gc.collect()
    gc.disable()
    for _ in range(repetitions):
        fresh = compile_problem(problem)
        whole.append(seconds(lambda: pass_model(build(name, fresh))))  # noqa: B023
        bare.append(seconds(lambda: bare_pass(empty_highs(), arrays)))
    gc.enable()
    compiling = [seconds(lambda: compile_problem(problem)) for _ in range(3)]
    parts = [getattr(arrays, field.name) for field in fields(arrays) if field.name != "offset"]
    return {
        "formulation": name,
        "devices": devices,
        "layers": len(problem.networks[0].layers),
        "columns": len(arrays.cost),
        "rows": len(arrays.row_lower),
        "nonzeros": len(arrays.value),
        "repetitions": repetitions,
        "build_and_pass": median(whole),
        "bare_pass": median(bare),
        "ratio": median(a / b for a, b in zip(whole, bare, strict=True)),
        "ratio_of_minima": min(whole) / min(bare),
        "array_bytes": sum(part.nbytes for part in parts),
        "peak_bytes": peak_bytes(lambda: build(name, compile_problem(problem))),
        "compile": median(compiling),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(DEVICES), help="nonzeros (default: %(default)s)")
    parser.add_argument("--formulations", nargs="+", choices=FORMULATIONS, default=FORMULATIONS)
    parser.add_argument("--repetitions", type=int, help="default: 200 for small models to 15 for large ones")
    parser.add_argument("--seed", type=int, default=0, help="of the networks (default: %(default)s)")
    add_json_option(parser)
    options = parser.parse_args()
    results = []
    for size in options.sizes:
        repetitions = options.repetitions or max(15, min(200, 4_000_000 // size))
        for name in options.formulations:
            results.append(measure(name, size, DEVICES.get(size, 5), repetitions, options.seed))
    rows = [
        (
            r["formulation"],
            f"{r['nonzeros']:,}",
            f"{r['devices']}",
            f"{r['layers']:,}",
            f"{1e3 * r['build_and_pass']:.2f} ms",
            f"{1e3 * r['bare_pass']:.2f} ms",
            f"{r['ratio']:.2f}",
            f"{r['ratio_of_minima']:.2f}",
            f"{r['array_bytes'] / 1e6:.1f} MB",
            f"{r['peak_bytes'] / 1e6:.1f} MB",
            f"{1e3 * r['compile']:.1f} ms",
        )
        for r in results
    ]
    header = "formulation,nonzeros,devices,layers,build and pass,bare pass,ratio,of minima,arrays,peak,compile"
    print_table(header.split(","), rows)
    write_json(options.json, results)


if __name__ == "__main__":
    main()
