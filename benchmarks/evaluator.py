"""Moves per second: in batches (`Evaluator`), and by the referee one by one.

Changes of one layer, and those that local search draws (one layer to a third of all), from a plan that moves on. Both
judge the same ones, in turn, and must agree. Times are of the processor.
"""

from __future__ import annotations

import argparse
import random
import time

import numpy as np
from common import add_json_option, print_table, write_json

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.moves import Change, MovingPlan
from dnnopt.methods.heuristics import Effort
from dnnopt.methods.heuristics.neighbours import Neighbours
from dnnopt.methods.heuristics.start import start
from dnnopt.problem.problem import Problem, load
from dnnopt.referee import evaluate

PROBLEMS = ("small/001", "core/017", "resnet50-pi4-wifi-nx-wan-t4", "hard/010", "hard/001", "hard/039", "hard/022")
KINDS = ("one layer", "local search")
REFEREED = 4  # of each batch


def measure(problem: Problem, kind: str, rounds: int, batch: int) -> dict[str, float]:
    """Return the moves per second of each."""
    compiled = compile_problem(problem)
    evaluator = Evaluator(compiled)
    first = start(evaluator, Effort())
    neighbours = Neighbours(compiled, random.Random(0))
    moving = MovingPlan(evaluator, first)
    spent = {"batched": 0.0, "referee": 0.0}
    for _ in range(rounds):
        changes = [
            one_layer(neighbours) if kind == KINDS[0] else neighbours.draw(moving.placement) for _ in range(batch)
        ]
        began = time.process_time()
        excess, objectives = moving.judge(changes)
        spent["batched"] += time.process_time() - began
        for position, (nodes, executors) in enumerate(changes[:REFEREED]):
            changed = np.array(moving.placement)
            changed[list(nodes)] = executors
            plan = compiled.plan(changed)
            began = time.process_time()
            judged = evaluate(problem, plan)
            spent["referee"] += time.process_time() - began
            assert judged.feasible == (excess[position] == 0)
        moving.move(*changes[np.lexsort((objectives, excess))[0]])
    judged_by = {"batched": batch, "referee": min(REFEREED, batch)}
    return {name: rounds * judged_by[name] / spent[name] for name in spent}


def one_layer(neighbours: Neighbours) -> Change:
    """Return a change of one layer."""
    node = neighbours.rng.choice(neighbours.free)
    return [node], [neighbours.rng.choice(neighbours.choices[node])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=PROBLEMS, metavar="PROBLEM", help="of the library")
    parser.add_argument("--rounds", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=128, help="moves judged at once; default: %(default)s")
    add_json_option(parser)
    options = parser.parse_args()
    results, rows = [], []
    for name in options.problems:
        problem = load(name)
        size = sum(len(network.layers) for network in problem.networks)
        for kind in KINDS:
            speeds = measure(problem, kind, options.rounds, options.batch)
            results.append({"problem": name, "moves": kind, **speeds})
            fast, slow = speeds["batched"], speeds["referee"]
            cells = f"{slow:,.0f}", f"{fast:,.0f}", f"{fast / slow:,.0f}"
            rows.append([name, problem.execution, f"{size:,}", f"{len(problem.platform.devices)}", kind, *cells])
    print_table(("problem", "execution", "layers", "devices", "moves", "referee", "batched", "times"), rows)
    write_json(options.json, results)


if __name__ == "__main__":
    main()
