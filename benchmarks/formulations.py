"""LP bound and time to proof of formulations, with one thread, on the library's networks and platforms.

HiGHS solves the linear ones, CP-SAT the others. A formulation that does not support an execution is left out there.

`auto` is what `solve` does unless told otherwise; the others are one formulation, given to the solver as it is.

Every network starts and ends on the platform's first device. Memory binds: each device may hold `--slack` times an
equal share of the weights (or the largest layer, where that is more). The first formulation is what the others are
compared with. `LP` is the bound of the linear relaxation in percent of the best plan that any run found. A run that was
not proved optimal shows its gap, and counts with the time limit in the shifted geometric mean (shift 1 s).

The file of `--json` is written after every run; started again with it, the script does what is missing.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import highspy
import numpy as np
from common import add_json_option, print_table, write_json

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.models.solvers.highs import pass_model, set_options, tolerance_for
from dnnopt.models.solvers.interface import Limits

NETWORKS = (
    "alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19",
    "zfnet512",
)  # fmt: skip
PLATFORMS = ("pi4-wifi-nx-wan-t4", "phone-5g-edge-cloud", "pi4-lan-nano-nx-wan-t4", "4-jetson-nx-lan")
OBJECTIVES = {"sequential": dp.latency(), "parallel": dp.latency(), "pipelined": dp.period()}
SHIFT = 1.0
AUTO = "auto"


@dataclass(frozen=True)
class Case:
    """One run: a formulation on a problem."""

    network: str
    platform: str
    execution: str
    formulation: str
    slack: float
    time_limit: float

    @property
    def key(self) -> tuple[str, str, str]:
        return self.network, self.platform, self.execution


def problem(case: Case) -> dp.Problem:
    """Return the problem of a case."""
    platform = dp.platform(case.platform)
    devices = platform.device_names()
    network = dp.network(case.network, source=devices[0], sink=devices[0])
    weights = [layer.weights or 0.0 for layer in network.layers]
    room = max(case.slack * sum(weights) / len(devices), max(weights))
    return dp.Problem(
        network,
        platform,
        execution=case.execution,  # type: ignore[arg-type]
        minimize=OBJECTIVES[case.execution],
        subject_to=[dp.memory(limits=dict.fromkeys(devices, room))],
    )


def supported(case: Case) -> bool:
    """Return whether the formulation supports the problem."""
    try:
        return case.formulation == AUTO or bool(registry.formulation(case.formulation, compile_problem(problem(case))))
    except dp.UnsupportedError:
        return False


def relaxation_bound(stated: dp.Problem, case: Case) -> float | None:
    """Return the optimum of the linear relaxation in SI units; None where it was not reached in time."""
    compiled = compile_problem(stated)
    formulation = registry.formulation(case.formulation, compiled)
    if formulation.kind == "cp":
        return None
    model = formulation.build(compiled)
    arrays = model.arrays()
    highspy.Highs.resetGlobalScheduler(True)
    highs = pass_model(replace(arrays, integer=np.zeros_like(arrays.integer)))
    set_options(highs, Limits(case.time_limit, threads=1), tolerance_for(arrays))
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return float(highs.getInfo().objective_function_value * model.objective_unit)


def run(case: Case) -> dict[str, Any]:
    """Solve the relaxation and the problem."""
    stated = problem(case)
    bound = None if case.formulation == AUTO else relaxation_bound(stated, case)
    name = None if case.formulation == AUTO else case.formulation
    result = dp.solve(stated, formulation=name, threads=1, time_limit=case.time_limit)
    proved = result.status == "optimal"
    return {
        **asdict(case),
        "lp_bound": bound,
        "status": result.status,
        "objective": result.objective,
        "bound": result.bound,
        "gap": result.gap,
        "runtime": result.runtime,
        "proved": proved,
        "counted_time": result.runtime if proved else max(case.time_limit, result.runtime),
    }


def shifted_geometric_mean(times: list[float]) -> float:
    return math.exp(sum(math.log(time + SHIFT) for time in times) / len(times)) - SHIFT


def outcome(r: dict[str, Any]) -> str:
    """Return a run's time to proof, or its gap at the limit."""
    if r["proved"]:
        return f"{r['runtime']:.1f} s"
    return r["status"] if r["gap"] is None else f"gap {100 * r['gap']:.1f} %"


def print_cases(results: list[dict[str, Any]], names: list[str]) -> None:
    """Print one line for each problem."""
    relaxed, others = [name for name in names if name != AUTO], [name for name in names if name == AUTO]
    by_problem: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for r in results:
        by_problem.setdefault((r["network"], r["platform"], r["execution"]), {})[r["formulation"]] = r
    rows = []
    for key, runs in by_problem.items():
        best = min((r["objective"] for r in runs.values() if r["objective"] is not None), default=None)
        bounds = [runs[name]["lp_bound"] if name in runs else None for name in relaxed]
        shares = ["-" if bound is None or not best else f"{100 * bound / best:.1f} %" for bound in bounds]
        plan = "none" if best is None else f"{1e3 * best:.4g} ms"
        rows.append(
            [*key, plan, *shares, *(outcome(runs[name]) if name in runs else "-" for name in [*relaxed, *others])]
        )
    header = ["network", "platform", "execution", "best plan", *(f"LP {name}" for name in relaxed)]
    print_table([*header, *relaxed, *others], rows)


def print_summary(results: list[dict[str, Any]], names: list[str]) -> None:
    """Print the share proved and the mean times, for each execution and for all."""
    rows = []
    executions = list(dict.fromkeys(r["execution"] for r in results))
    for execution in [*executions, "all"]:
        means = []
        for name in names:
            runs = [r for r in results if r["formulation"] == name and execution in (r["execution"], "all")]
            if not runs:
                continue
            means.append(shifted_geometric_mean([r["counted_time"] for r in runs]))
            proved = sum(r["proved"] for r in runs)
            rows.append(
                [execution, name, f"{proved} of {len(runs)}", f"{means[-1]:.2f} s", f"{means[0] / means[-1]:.2f}"]
            )
    print_table(["execution", "formulation", "proved", "mean time", f"times faster than {names[0]}"], rows)


def kept(path: str | None) -> list[dict[str, Any]]:
    """Return the results of earlier runs."""
    if path is None or not Path(path).exists():
        return []
    return list(json.loads(Path(path).read_text("utf-8"))["results"])


def key_of(result: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a case, or its result, from others."""
    return tuple(result[field.name] for field in fields(Case))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--formulations", nargs="+", default=["product", "edgewise", AUTO], metavar="NAME")
    add("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    add("--platforms", nargs="+", default=PLATFORMS, metavar="NAME")
    add("--executions", nargs="+", default=list(OBJECTIVES), choices=list(OBJECTIVES))
    add("--time-limit", type=float, default=60.0, help="seconds for each run (default: %(default)s)")
    add("--slack", type=float, default=1.3, help="memory of all devices over all weights (default: %(default)s)")
    add("--jobs", type=int, default=1, help="runs at a time; more than there are cores spoil the times")
    add_json_option(parser)
    options = parser.parse_args()
    try:
        for name in options.networks:
            dp.network(name)
        for name in options.platforms:
            dp.platform(name)
    except dp.InputError as error:
        parser.error(str(error))
    cases = [
        Case(network, platform, execution, formulation, options.slack, options.time_limit)
        for execution, platform, network, formulation in product(
            options.executions, options.platforms, options.networks, options.formulations
        )
    ]
    done = {key_of(result): result for result in kept(options.json)}
    missing = [case for case in cases if key_of(asdict(case)) not in done and supported(case)]
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for number, future in enumerate(as_completed([pool.submit(run, case) for case in missing]), 1):
            result = future.result()
            done[key_of(result)] = result
            write_json(options.json, list(done.values()))
            words = (result[name] for name in ("network", "platform", "execution", "formulation"))
            print(f"[{number}/{len(missing)}]", *words, outcome(result), file=sys.stderr)
    results = [done[key] for key in (key_of(asdict(case)) for case in cases) if key in done]
    print_cases(results, options.formulations)
    print()
    print_summary(results, options.formulations)


if __name__ == "__main__":
    main()
