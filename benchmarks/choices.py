"""What choices beyond placement cost: variables and build time of models with and without them, and the tree program.

A chain of so many layers, and one in which every third layer sends to two, on six devices: as it is; with four modes
of each device for 50 of the layers; with four forms of 50 tensors. `variables` is a ratio to the plain model's. Then
the tree program chooses four forms of every tensor: its seconds, beside those of the plain problem.
"""

from __future__ import annotations

import argparse
import random
import time
from statistics import median

from common import add_json_option, print_table, write_json

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.programs.rows import event_costs, linear_costs
from dnnopt.methods.programs.tree_program import TreeProgram

DEVICES, MODES, FORMS, SOME = 6, 4, 4, 50
FORMULATIONS = ("product", "edgewise", "cp-assignment")


def network(layers: int, branches: bool, formed: int) -> dp.Network:
    """Return a network in which every so many tensors have forms; 50 of its layers are dense."""
    draw, every = random.Random(0), max(layers // SOME, 1)
    tensors = []
    for v in range(layers - 1):
        consumers = [f"l{v + 1}", *([f"l{v + 2}"] if branches and v % 3 == 0 and v + 2 < layers else [])]
        size = draw.uniform(1e3, 1e6)
        forms = [
            dp.Form(
                name=f"f{k}",
                bytes=size / 2 ** (k + 1),
                encode={f"d{i}": draw.uniform(1e-4, 1e-2) for i in range(DEVICES)},
                decode={f"d{i}": draw.uniform(1e-4, 1e-2) for i in range(DEVICES)},
            )
            for k in range(FORMS if formed and v % formed == 0 else 0)
        ]
        tensors.append(dp.Tensor(name=f"t{v}", producer=f"l{v}", consumers=consumers, bytes=size, forms=forms))
    costs = [
        dp.Layer(name=f"l{v}", op="Conv" if v % every else "Gemm", flops=draw.uniform(1e6, 1e8), bytes=1e5)
        for v in range(layers)
    ]
    return dp.Network(name="net", layers=costs, tensors=tensors)


def platform(modes: int) -> dp.Platform:
    """Return devices with links between all of them; all their modes but the first are for dense layers."""
    draw, numbers = random.Random(1), range(DEVICES)
    pairs = [(i, j) for i in numbers for j in numbers if i != j]
    return dp.Platform(
        devices=[
            dp.Device(
                name=f"d{i}",
                flops_per_s=10 ** (9 + 0.3 * i),
                bytes_per_s=1e10,
                modes=[
                    dp.Mode(name=f"m{k}", efficiency=1 - 0.2 * k, ops=["Gemm"] if k else None) for k in range(modes)
                ],
            )
            for i in numbers
        ],
        links=[dp.Link(name=f"{i}-{j}", bandwidth=draw.uniform(1e6, 1e8), latency=1e-3) for i, j in pairs],
        routes=[dp.Route(**{"from": f"d{i}", "to": f"d{j}", "links": [f"{i}-{j}"]}) for i, j in pairs],
    )


def measured(problem: dp.Problem, name: str, repetitions: int) -> tuple[int, float]:
    """Return the variables of a formulation, and the median seconds of building it."""
    compiled, times, variables = compile_problem(problem), [], 0
    for _ in range(repetitions):
        begun = time.perf_counter()
        model = registry.formulation(name, compiled).build(compiled)
        times.append(time.perf_counter() - begun)
        variables = model.size()[0]
    return variables, median(times)


def solved(problem: dp.Problem, repetitions: int) -> float:
    """Return the median seconds of the tree program."""
    compiled, times = compile_problem(problem), []
    for _ in range(repetitions):
        begun = time.perf_counter()
        TreeProgram(compiled).solve(*linear_costs(compiled), event_costs(compiled))
        times.append(time.perf_counter() - begun)
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=800)
    parser.add_argument("--repetitions", type=int, default=3)
    add_json_option(parser)
    given = parser.parse_args()
    rows, programs = [], []
    for shape, branches in (("chain", False), ("branches", True)):

        def problem(modes: int = 0, formed: int = 0, branches: bool = branches) -> dp.Problem:
            return dp.Problem(network(given.layers, branches, formed), platform(modes), "sequential", dp.latency())

        few = max(given.layers // SOME, 1)
        kinds = {"plain": problem(), "modes": problem(modes=MODES), "forms": problem(formed=few)}
        for name in FORMULATIONS:
            plain, _ = measured(kinds["plain"], name, 1)
            for kind, one in kinds.items():
                variables, seconds = measured(one, name, given.repetitions)
                ratio = f"{variables / plain:.2f}"
                rows.append((shape, name, kind, f"{variables:,}", ratio, f"{1e3 * seconds:.0f} ms"))
        for kind, one in {"plain": kinds["plain"], "4 forms everywhere": problem(formed=1)}.items():
            programs.append((shape, kind, f"{1e3 * solved(one, given.repetitions):.0f} ms"))
    print_table(("network", "formulation", "choices", "variables", "ratio", "build"), rows)
    print()
    print_table(("network", "choices", "tree program"), programs)
    write_json(given.json, {"models": rows, "tree": programs})


if __name__ == "__main__":
    main()
