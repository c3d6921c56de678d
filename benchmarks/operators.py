"""Operator graphs with colocation classes, and pipelines of boards of two kinds: plans and bounds of `auto`.

Beside them are the peer's greedy plan and references. Published workloads where they lie beside the checkout, a graph
of Inception-v3 with as many ideals as theirs, and generated graphs. The peer's greedy plan (Tarnawski et al., NeurIPS
2020) is the best of those that fill one accelerator after the other in some orders; boards have none. A loss is a plan
that is worse than it or than a reference, or an optimum of the authors' program that is not proved.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from common import add_json_option, print_table, write_json

import dnnopt as dp
from dnnopt import Problem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.scaling import all_on_one
from dnnopt.inputs.generators.operators import operator_graph
from dnnopt.inputs.msr import problem_of_workload, read_msr
from dnnopt.inputs.pipeedge import read_pipeedge
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.class_segments import filled
from dnnopt.methods.programs.intervals import ClassUnits

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WORKLOADS, PROFILE = DATA / "msr", DATA / "pipeedge" / "vit-base.json"
# Milliseconds that others have reached, and whether that is proved: of latency the best of greedy, split and MILP.
PUBLISHED = {
    ("latency/bert24_inference", "latency", False): None,
    ("latency/gnmt_inference", "latency", False): None,
    ("latency/bert_l-3_inference", "latency", False): 411.4,
    ("throughput/bert_l-3_training", "throughput", True): 65.3031491221,
    ("throughput/bert_l-3_training", "throughput", False): 54.207399,
}
# Boards of the two kinds of PipeEdge's profile of ViT-Base, and the period of a dynamic program over its cost model; at
# most, where it is given to a tenth.
BOARDS = {(4, 0): 3354.35, (0, 4): 2666.35, (4, 4): 1548.76}
KINDS = "Minnowboard-E3845", "RCC-VE-C2000"
VIT = "google/vit-base-patch16-224"
# Size, accelerators, room, and whether it is contiguous training.
GENERATED = (
    (200, 3, 0.6, False),
    (1000, 6, 0.6, False),
    (2000, 14, 0.6, False),
    (600, 3, 1.5, True),
    (2000, 4, 1.5, True),
    (2000, 14, 1.5, True),
)


def inception() -> Problem:
    """Return contiguous stages of Inception-v3 as the peer's graph has it, on six accelerators and a processor.

    Convolutions have their normalisation apart, a batch has 128 images, and what layers send takes little time: times
    are made up, of the size of those there. It has 35,682 ideals; the peer's has 36,596.
    """
    network = dp.network("inception-v3")
    sent = {tensor.producer: 128 * tensor.bytes for tensor in network.tensors}
    nodes: list[dict[str, object]] = []
    last: dict[str, tuple[int, float]] = {}

    def add(milliseconds: float, size: float) -> int:
        times = {"cpuLatency": 10 * milliseconds, "fpgaLatency": milliseconds}
        nodes.append({"id": len(nodes), "supportedOnFpga": True, **times, "size": size})
        return len(nodes) - 1

    edges = []
    for layer in network.layers:
        size = sent[layer.name]
        pointwise = {"Relu": 0.15 + size / 2.5e8, "Concat": 0.0, "Reshape": 0.0}
        work = 0.6 + layer.flops / 2.5e10 if layer.op == "Conv" else pointwise.get(layer.op, 0.25 + size / 1e8)
        first = add(round(work, 3), size)
        for tensor in network.tensors:
            if layer.name in tensor.consumers and tensor.producer in last:
                producer, given = last[tensor.producer]
                edges.append({"sourceId": producer, "destId": first, "cost": given / 2**31})
        last[layer.name] = first, size
        if layer.op == "Conv":
            last[layer.name] = add(round(0.25 + size / 1e8, 3), size), size
            edges.append({"sourceId": first, "destId": first + 1, "cost": size / 2**31})
    data = {"maxSizePerFPGA": 17185374208.0, "maxFPGAs": 6, "maxCPUs": 1, "nodes": nodes, "edges": edges}
    return problem_of_workload(data, "inception-v3", contiguous=True)


def cases(size: int) -> Iterator[tuple[str, Callable[[], Problem], float | None]]:
    """Yield a name, what makes the problem, and a reference (ms); generated ones up to a size."""
    for (name, objective, contiguous), reference in PUBLISHED.items():
        file = WORKLOADS / f"{name}.json"
        if file.is_file():
            label = f"{file.stem}, {objective}{', contiguous' if contiguous else ''}"
            yield label, lambda f=file, o=objective, c=contiguous: read_msr(f, objective=o, contiguous=c), reference
    for counts, reference in BOARDS.items():
        if PROFILE.is_file():
            boards = {kind: count for kind, count in zip(KINDS, counts, strict=True) if count}
            label = "ViT-Base on " + " and ".join(f"{count} {kind.split('-')[0]}" for kind, count in boards.items())
            yield label, lambda b=boards: read_pipeedge(PROFILE, model=VIT, devices=b), reference
    yield "inception-v3, throughput, contiguous", inception, None
    for count, accelerators, room, training in GENERATED:
        if count <= size:
            label = f"operators {count} on {accelerators}, {'contiguous training' if training else f'room {room:g}'}"
            kind = "throughput" if training else "latency"
            yield (
                label,
                lambda n=count, a=accelerators, r=room, t=training, k=kind: operator_graph(
                    n, a, training=t, contiguous=t, objective=k, room=r, seed=1
                ),
                None,
            )


def greedy(problem: Problem) -> float | None:
    """Return the objective of the peer's greedy plan (ms); None: it is not feasible."""
    c = compile_problem(problem)
    units, evaluator = ClassUnits.of(c), evaluator_of(c)
    plans = [plan for order in units.orders() for plan in filled(units, order, all_on_one(c))]
    if not plans:
        return None
    found = best(evaluator, np.array(plans))[None]
    return 1e3 * float(evaluator.objectives(found)[0]) if evaluator.excess(found)[0] == 0 else None


def main() -> None:
    """Run them and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds for each problem (30)")
    parser.add_argument("--size", type=int, default=2000, help="the largest of the generated graphs (2000)")
    add_json_option(parser)
    arguments = parser.parse_args()
    rows, results = [], []
    for name, make, reference in cases(arguments.size):
        problem = make()
        peer = greedy(problem)
        start = time.process_time()
        found = dp.solve(problem, time_limit=arguments.time_limit, threads=1, confirm=False)
        seconds = time.process_time() - start
        value, bound = (None if one is None else 1e3 * one for one in (found.objective, found.bounds[0]))
        others = [one for one in (peer, reference) if one is not None]
        lost = value is None or any(value > one * (1 + 1e-6) for one in others)
        gap = None if value is None or bound is None else 1 - bound / value
        results.append(
            {"problem": name, "status": found.status, "value": value, "bound": bound, "gap": gap, "greedy": peer,
             "reference": reference, "found_by": found.found_by, "cpu_seconds": seconds, "lost": lost}
        )  # fmt: skip
        rows.append(
            [
                name,
                found.status,
                *("-" if one is None else f"{one:.6g}" for one in (value, bound)),
                "-" if gap is None else f"{100 * gap:.2f} %",
                *("-" if one is None else f"{one:.6g}" for one in (peer, reference)),
                f"{seconds:.1f} s",
                "lost" if lost else "",
            ]
        )
        print(rows[-1], flush=True)
    print_table(("problem", "status", "ms", "bound", "gap", "greedy", "reference", "CPU", ""), rows)
    write_json(arguments.json, results)


if __name__ == "__main__":
    main()
