"""Exact methods by structure: time from a CompiledProblem to the proved placement, against MILP formulations on HiGHS.

`tree`, `chain` and `min-cut` minimise sequential latency without limits, on the layered networks of `build_time.py` and
on the same with one use for each tensor. `ideals` minimises the period of contiguous stages, of generated networks on
devices around a hub, and of published workloads where they lie beside the checkout. The formulations get the best
simple plans to start from, as `solve` does, and one thread. Methods are timed several times, formulations once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from build_time import layered_problem
from common import add_json_option, print_table, write_json

import dnnopt as dp
from dnnopt import Problem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scheduling import Times
from dnnopt.inputs.msr import read_msr
from dnnopt.methods.exact import EXACT
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.constraints import Contiguous
from dnnopt.referee import Evaluation

FORMULATIONS = ("edgewise", "product")
WORKLOADS = Path(__file__).resolve().parents[2] / "shared" / "data" / "msr" / "throughput"


def layered(layers: int, devices: int, *, chain: bool = False) -> Problem:
    """Return a layered network under sequential latency without limits; a chain: the first use of each tensor alone."""
    problem = layered_problem(layers, devices, seed=1).replace(subject_to=(), name=f"layered {layers} x {devices}")
    if not chain:
        return problem
    network = problem.networks[0]
    tensors = [tensor.replace(consumers=tensor.consumers[:1]) for tensor in network.tensors]
    return problem.replace(networks=[network.replace(tensors=tensors)], name=f"chain {layers} x {devices}")


def pipeline(kind: str, layers: int, devices: int) -> Problem:
    """Return a generated network on identical devices around a hub, split into contiguous stages."""
    recipe = dp.Recipe(
        kinds=(kind,),
        size=layers,
        devices=devices,
        topology="star",
        heterogeneity=1.0,
        link_heterogeneity=1.0,
        communication=0.2,
        execution="pipelined",
        transport="multicast",
        subject_to=(Contiguous(),),
        seed=1,
    )
    return dp.generate(recipe).problem.replace(name=f"{kind} {layers} x {devices}")


def problems() -> Iterator[tuple[str, Problem]]:
    """Yield each method and a problem that it solves."""
    yield "tree", layered(800, 6)
    yield "chain", layered(800, 6, chain=True)
    yield "tree", layered(800, 6, chain=True)
    yield "min-cut", layered(800, 2)
    for kind in ("chain", "transformer", "inception", "series-parallel"):
        yield "ideals", pipeline(kind, 60, 6)
    for file in sorted(WORKLOADS.glob("*.json")):
        yield "ideals", read_msr(file, contiguous=True).replace(name=file.stem)


class Timed(Pool):
    """A pool that notes when the placement is there: what the referee takes is not the method's."""

    found = float("nan")

    def offer_placement(self, placement: Index, source: str, times: Times | None = None) -> Evaluation:
        self.found = time.perf_counter()
        return super().offer_placement(placement, source, times)


def proof(problem: Problem, method: str) -> tuple[float, float]:
    """Return the seconds from a newly compiled problem to the placement that is best, and its objective."""
    pool = Timed(problem, compile_problem(problem))
    started = time.perf_counter()
    outcome = EXACT[method].run(pool, Limits(threads=1), Control())
    assert outcome.status == "optimal"
    assert pool.objective is not None
    return pool.found - started, pool.objective


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--time-limit", type=float, default=60.0, help="of formulations, in seconds")
    add_json_option(parser)
    options = parser.parse_args()
    rows, results = [], []
    for method, problem in problems():
        timed = [proof(problem, method) for _ in range(options.repetitions)]
        seconds, objective = median(one[0] for one in timed), timed[0][1]
        cells, data = [], {"problem": problem.name, "method": method, "seconds": seconds, "objective": objective}
        for formulation in FORMULATIONS:
            other = dp.solve(problem, formulation=formulation, threads=1, time_limit=options.time_limit)
            assert other.objective is None or objective <= other.objective * (1 + 1e-6)
            proved = other.status == "optimal"
            gap = "no gap" if other.gap is None else f"gap {100 * other.gap:.1f} %"
            cells.append(f"{other.runtime:.2f} s" if proved else gap)
            cells.append(f"{'' if proved else '> '}{other.runtime / seconds:,.0f}")
            data[formulation] = {"seconds": other.runtime, "status": other.status, "gap": other.gap}
        fastest = min(one[0] for one in timed)
        rows.append([problem.name, method, f"{1e3 * seconds:.1f} ms", f"{1e3 * fastest:.1f} ms", *cells])
        results.append(data)
    ratios = [cell for formulation in FORMULATIONS for cell in (formulation, "ratio")]
    print_table(["problem", "method", "median", "least", *ratios], rows)
    write_json(options.json, results)


if __name__ == "__main__":
    main()
