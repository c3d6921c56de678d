"""Time and memory until HiGHS holds a model: numpy blocks against Pyomo and PuLP, written expression by expression.

The same model each time: `product` or `edgewise` of a synthetic layered network under sequential execution with a
memory limit and unicast copies. The two models below are what a person would write; they get their numbers in plain
dicts, which is not in the time. Repetitions are interleaved; times are medians, `of minima` is the ratio of the fastest
of each kind. `peak` is the most memory that Python and numpy held meanwhile. Before that, a small instance is solved by
all three, and the sizes of the large ones are compared.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import highspy
import pulp
import pyomo.environ as pyo
from build_time import peak_bytes, problem_of_size, seconds
from common import add_json_option, print_table, write_json
from pyomo.contrib.appsi.solvers import Highs as PyomoHighs

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.formulations import registry
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.highs import pass_model

FORMULATIONS = ("product", "edgewise")


@dataclass(frozen=True)
class Data:
    """The numbers of a problem as a person would have them: lists and dicts."""

    nodes: list[str]
    devices: list[str]
    pairs: list[tuple[str, str]]
    edges: list[tuple[str, str, str]]  # tensor, producer, consumer
    shared: list[str]  # tensors with several uses
    allowed: dict[tuple[str, str], bool]
    time: dict[tuple[str, str], float]
    sending: dict[tuple[str, str, str], float]  # of a tensor, from a device to another
    weight: dict[tuple[str, str], float]
    memory: dict[str, float]


def plain_data(c: CompiledProblem, unit: float) -> Data:
    """Return the data of a compiled problem, times in `unit` seconds and memory in megabytes."""
    nodes, devices, tensors = c.node_names, c.device_names, c.tensor_names
    pairs = [(devices[i], devices[j]) for i, j in zip(c.pair_origin, c.pair_destination, strict=True)]
    per_copy, per_byte = c.pair_seconds
    limits = [constraint for constraint in c.constraints if isinstance(constraint, MemoryLimit)]
    return Data(
        nodes=list(nodes),
        devices=list(devices),
        pairs=pairs,
        edges=[
            (tensors[t], nodes[u], nodes[v])
            for t, u, v in zip(c.edge_tensor, c.edge_producer, c.edge_consumer, strict=True)
        ],
        shared=[name for name, uses in zip(tensors, c.fan_out, strict=True) if uses > 1],
        allowed={(v, i): bool(c.allowed[a, b]) for a, v in enumerate(nodes) for b, i in enumerate(devices)},
        time={(v, i): float(c.time[a, b]) / unit for a, v in enumerate(nodes) for b, i in enumerate(devices)},
        sending={
            (name, *pair): float(per_copy[p] + c.tensor_bytes[t] * per_byte[p]) / unit
            for t, name in enumerate(tensors)
            for p, pair in enumerate(pairs)
        },
        weight={
            (v, devices[limit.device]): float(limit.resident[a]) / 1e6
            for limit in limits
            for a, v in enumerate(nodes)
            if limit.resident[a]
        },
        memory={devices[limit.device]: limit.limit / 1e6 for limit in limits},
    )


def in_pyomo(d: Data, formulation: str) -> pyo.ConcreteModel:
    """Write the model in Pyomo."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(d.nodes, d.devices, domain=pyo.Binary)
    m.y = pyo.Var(d.edges, d.pairs, bounds=(0, 1))
    m.w = pyo.Var(d.shared, d.pairs, bounds=(0, 1))
    x = {(v, i): m.x[v, i] if d.allowed[v, i] else 0 for v in d.nodes for i in d.devices}
    m.assign = pyo.Constraint(d.nodes, rule=lambda m, v: sum(x[v, i] for i in d.devices) == 1)
    if formulation == "product":
        m.product = pyo.Constraint(
            d.edges, d.pairs, rule=lambda m, t, u, v, i, j: m.y[t, u, v, i, j] >= x[u, i] + x[v, j] - 1
        )
    else:
        m.stay = pyo.Var(d.edges, d.devices, bounds=(0, 1))
        m.leave = pyo.Constraint(
            d.edges,
            d.devices,
            rule=lambda m, t, u, v, i: (
                m.stay[t, u, v, i] + sum(m.y[t, u, v, i, j] for j in d.devices if j != i) == x[u, i]
            ),
        )
        m.enter = pyo.Constraint(
            d.edges,
            d.devices,
            rule=lambda m, t, u, v, j: (
                m.stay[t, u, v, j] + sum(m.y[t, u, v, i, j] for i in d.devices if i != j) == x[v, j]
            ),
        )
    shared = set(d.shared)
    m.copy = pyo.Constraint(
        [edge for edge in d.edges if edge[0] in shared],
        d.pairs,
        rule=lambda m, t, u, v, i, j: m.w[t, i, j] >= m.y[t, u, v, i, j],
    )
    m.memory = pyo.Constraint(
        d.devices,
        rule=lambda m, i: sum(d.weight[v, i] * x[v, i] for v in d.nodes if (v, i) in d.weight) <= d.memory[i],
    )
    m.latency = pyo.Objective(
        expr=sum(d.time[v, i] * x[v, i] for v in d.nodes for i in d.devices)
        + sum(d.sending[t, i, j] * m.y[t, u, v, i, j] for t, u, v in d.edges if t not in shared for i, j in d.pairs)
        + sum(d.sending[t, i, j] * m.w[t, i, j] for t in d.shared for i, j in d.pairs)
    )
    return m


def in_pulp(d: Data, formulation: str) -> pulp.LpProblem:
    """Write the model in PuLP."""
    m = pulp.LpProblem("partition", pulp.LpMinimize)
    x = {
        (v, i): m.add_variable(f"x({v},{i})", 0, 1, pulp.LpInteger) if d.allowed[v, i] else 0
        for v in d.nodes
        for i in d.devices
    }
    y = {(*e, *p): m.add_variable(f"y({','.join(e + p)})", 0, 1) for e in d.edges for p in d.pairs}
    w = {(t, *p): m.add_variable(f"w({','.join((t, *p))})", 0, 1) for t in d.shared for p in d.pairs}
    shared = set(d.shared)
    m += (
        pulp.lpSum(d.time[v, i] * x[v, i] for v in d.nodes for i in d.devices)
        + pulp.lpSum(
            d.sending[t, i, j] * y[t, u, v, i, j] for t, u, v in d.edges if t not in shared for i, j in d.pairs
        )
        + pulp.lpSum(d.sending[t, i, j] * w[t, i, j] for t in d.shared for i, j in d.pairs)
    )
    for v in d.nodes:
        m += pulp.lpSum(x[v, i] for i in d.devices) == 1
    if formulation == "product":
        for t, u, v in d.edges:
            for i, j in d.pairs:
                m += y[t, u, v, i, j] >= x[u, i] + x[v, j] - 1
    else:
        stay = {(*e, i): m.add_variable(f"stay({','.join((*e, i))})", 0, 1) for e in d.edges for i in d.devices}
        for t, u, v in d.edges:
            for i in d.devices:
                m += stay[t, u, v, i] + pulp.lpSum(y[t, u, v, i, j] for j in d.devices if j != i) == x[u, i]
            for j in d.devices:
                m += stay[t, u, v, j] + pulp.lpSum(y[t, u, v, i, j] for i in d.devices if i != j) == x[v, j]
    for t, u, v in d.edges:
        if t in shared:
            for i, j in d.pairs:
                m += w[t, i, j] >= y[t, u, v, i, j]
    for i in d.devices:
        m += pulp.lpSum(d.weight[v, i] * x[v, i] for v in d.nodes if (v, i) in d.weight) <= d.memory[i]
    return m


def numpy_to_highs(c: CompiledProblem, formulation: str) -> highspy.Highs:
    """Build the model of dnnopt and pass it."""
    model: LinearModel = registry.formulation(formulation, c).build(c)
    return pass_model(model.arrays())


def pyomo_to_highs(d: Data, formulation: str) -> highspy.Highs:
    """Write the model in Pyomo and pass it, by Pyomo's fastest interface."""
    solver = PyomoHighs()
    solver.highs_options = {"output_flag": False}
    solver.set_instance(in_pyomo(d, formulation))
    return solver._solver_model


def pulp_to_highs(d: Data, formulation: str) -> highspy.Highs:
    """Write the model in PuLP and pass it, by PuLP's interface without files."""
    model = in_pulp(d, formulation)
    solver = pulp.HiGHS(msg=False)
    solver.createAndConfigureSolver(model)
    solver.buildSolverModel(model)
    return model.solverModel


def ways(formulation: str, compiled: CompiledProblem, unit: float) -> dict[str, Callable[[], highspy.Highs]]:
    """Return the three ways to a model that HiGHS holds."""
    data = plain_data(compiled, unit)
    return {
        "numpy": lambda: numpy_to_highs(compiled, formulation),
        "Pyomo": lambda: pyomo_to_highs(data, formulation),
        "PuLP": lambda: pulp_to_highs(data, formulation),
    }


def check(formulation: str, seed: int) -> None:
    """Raise unless a small instance has the same optimum in all three."""
    compiled = compile_problem(problem_of_size(formulation, 1500, 3, seed))
    unit: float = registry.formulation(formulation, compiled).build(compiled).units.time
    optima = {}
    for name, way in ways(formulation, compiled, unit).items():
        highs = way()
        highs.silent()
        highs.setOptionValue("mip_rel_gap", 1e-7)
        highs.run()
        optima[name] = highs.getInfo().objective_function_value
    if max(optima.values()) - min(optima.values()) > 1e-6 * abs(max(optima.values())):
        raise SystemExit(f"the models differ: {optima}")


def measure(formulation: str, nonzeros: int, devices: int, repetitions: int, seed: int) -> list[dict[str, Any]]:
    """Measure one formulation in the three ways."""
    problem = problem_of_size(formulation, nonzeros, devices, seed)
    compiled = compile_problem(problem)
    unit: float = registry.formulation(formulation, compiled).build(compiled).units.time
    taken: dict[str, list[float]] = {}
    gc.collect()
    for _ in range(repetitions):
        # Compiled anew: a compiled problem keeps what it has computed once.
        for name, way in ways(formulation, compile_problem(problem), unit).items():
            taken.setdefault(name, []).append(seconds(way))
    results = []
    for name, way in ways(formulation, compile_problem(problem), unit).items():
        held = way().getLp()
        size = {"columns": held.num_col_, "rows": held.num_row_, "nonzeros": len(held.a_matrix_.value_)}
        peak = peak_bytes(way)
        results.append(
            {"formulation": formulation, "way": name, **size, "time": median(taken[name])}
            | {"time_min": min(taken[name]), "peak_bytes": peak}
        )
    first = results[0]
    for result in results:
        if any(result[key] != first[key] for key in ("rows", "nonzeros")):  # of columns, those at 0 may be left out
            raise SystemExit(f"the models differ in size: {results}")
        result["time_ratio"] = result["time"] / first["time"]
        result["time_min_ratio"] = result["time_min"] / first["time_min"]
        result["peak_ratio"] = result["peak_bytes"] / first["peak_bytes"]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nonzeros", type=int, default=100_000)
    parser.add_argument("--devices", type=int, default=5)
    parser.add_argument("--formulations", nargs="+", default=FORMULATIONS, choices=FORMULATIONS)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    add_json_option(parser)
    options = parser.parse_args()
    results = []
    for name in options.formulations:
        check(name, options.seed)
        results += measure(name, options.nonzeros, options.devices, options.repetitions, options.seed)
    print_table(
        ["formulation", "written in", "nonzeros", "build and pass", "times numpy", "of minima", "peak", "times numpy"],
        [
            [
                r["formulation"],
                r["way"],
                f"{r['nonzeros']:,}",
                f"{1e3 * r['time']:.1f} ms",
                f"{r['time_ratio']:.0f}",
                f"{r['time_min_ratio']:.0f}",
                f"{r['peak_bytes'] / 1e6:.1f} MB",
                f"{r['peak_ratio']:.0f}",
            ]
            for r in results
        ],
    )
    write_json(options.json, results)


if __name__ == "__main__":
    main()
