"""What each part of group decomposition gives: root bounds of networks whose memory is tight on four devices.

Rows: the Lagrangian bound of memory (all prices, no groups), then with multipliers after so many steps: groups of one
device, clusters of devices, all groups; coarser and finer grids of memory; without the mean of the iterates. Then how
many steps a second numba and numpy do, and what label search makes of the bound.

python benchmarks/groups.py [--steps 600] [--json FILE]
"""

from __future__ import annotations

import argparse
import time
from itertools import combinations
from unittest import mock

from common import add_json_option, print_table, write_json

import dnnopt as dp
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.groups import batched_loops, decomposition
from dnnopt.methods.groups.decomposition import UNITS, Decomposition
from dnnopt.methods.groups.families import DeviceGroups, family
from dnnopt.methods.groups.loops import loops
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.programs.lagrangian import Lagrangian
from dnnopt.models.solvers.interface import Clock, Control, Limits

NETWORKS = "squeezenet", "shufflenet", "resnet50", "densenet121"
PLATFORM = "pi4-lan-nano-nx-wan-t4"
SHARE = 0.3  # of the network's weights and activations that each device holds
STEP, FALL = 6.0, 0.005
WIDTH = 300


def problem(name: str) -> dp.Problem:
    """Return the latency of a network on four devices with little memory."""
    network = dp.network(name, source="pi", sink="pi")
    held = sum(layer.weights or 0.0 for layer in network.layers)
    held += sum(tensor.bytes for tensor in network.tensors)
    devices = dp.platform(PLATFORM).device_names()
    limit = dp.memory("weights+activations", limits=dict.fromkeys(devices, SHARE * held))
    return dp.Problem(network, PLATFORM, "sequential", dp.latency(), subject_to=[limit])


def root_bound(
    c: CompiledProblem,
    prices: Lagrangian,
    groups: list[tuple[int, ...]],
    steps: int,
    units: int = UNITS,
    mean: float = 0.98,
) -> float:
    """Return the bound after so many steps."""
    with mock.patch.object(decomposition, "_MEAN", mean):
        found = Decomposition(c, DeviceGroups.of(c, groups), units)
        start = found.start(prices.prices)
        length = STEP * abs(found.value(start)[0]) / len(c.node_names)
        return found.ascend(start, steps, length, FALL, lambda bound: False)[0]


def rates(c: CompiledProblem, prices: Lagrangian) -> tuple[float, float]:
    """Return how many steps a second numba and numpy do."""
    found = []
    for way in (loops(), batched_loops):
        one = Decomposition(c, DeviceGroups.of(c, family(c)))
        one._loops = way
        multipliers = one.start(prices.prices)
        one.value(multipliers)
        start, count = time.process_time(), 0
        while time.process_time() - start < 1.0:
            one.value(multipliers)
            count += 1
        found.append(count / (time.process_time() - start))
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="of multipliers (default: %(default)s)")
    add_json_option(parser)
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    for name in NETWORKS:
        c = compile_problem(problem(name))
        prices = Lagrangian(c)
        prices.maximize(Limits(30.0), Control())
        clusters = family(c)
        singles = [group for group in clusters if len(group) == 1]
        devices = [group[0] for group in singles]
        every = [group for size in range(1, len(devices)) for group in combinations(devices, size)]
        row = {"Lagrangian": prices.bound}
        row["one device"] = root_bound(c, prices, singles, options.steps)
        row["clusters"] = root_bound(c, prices, clusters, options.steps)
        row["all groups"] = root_bound(c, prices, every, options.steps)
        for units in (16, 64, 1024):
            row[f"clusters, {units} units"] = root_bound(c, prices, clusters, options.steps, units)
        row["clusters, no mean"] = root_bound(c, prices, clusters, options.steps, mean=0.0)
        found = Decomposition(c, DeviceGroups.of(c, clusters))
        start = found.start(prices.prices)
        length = STEP * abs(found.value(start)[0]) / len(c.node_names)
        _, multipliers = found.ascend(start, options.steps, length, FALL, lambda bound: False)
        search = LabelSearch(c, found.completions(multipliers)).run(WIDTH, float("inf"), Clock(60.0), Control())
        row[f"beam of {WIDTH}"] = search.bound
        row["numba steps/s"], row["numpy steps/s"] = rates(c, prices)
        results[name] = row
        print(f"{name}: {', '.join(f'{key} {value:.4g}' for key, value in row.items())}", flush=True)
    header = ["bound (s)", *results]
    print_table(header, [[key, *(f"{row[key]:.4g}" for row in results.values())] for key in results[NETWORKS[0]]])
    write_json(options.json, results)


if __name__ == "__main__":
    main()
