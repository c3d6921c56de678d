"""What `solve` proves within 60 s on one thread, on the problems of the prototypes' tables, beside what those got.

The problems are written by `--tool` (wheel_problems.py, kept beside this project, not in it) from the networks in the
onnx wheel: memory limits of up to six devices, as fractions of the network. Those of `call` are the latencies of
published workloads, in `--workloads`. Without the tool nothing is run.

The file of `--json` is written after every run; started again with it, the script does what is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import add_json_option, print_table, write_json

import dnnopt as dp

SHARED = Path(__file__).resolve().parents[2] / "shared"
TOOL = SHARED / "tools" / "wheel_problems.py"
WORKLOADS = SHARED / "data" / "msr" / "latency"
# Execution: {"network platform": what the prototype got in 60 s on one core}.
PROTOTYPES = {
    "sequential": {
        "squeezenet P4": "optimal 0.17 s",
        "inception_v1 P4": "optimal 5.0 s",
        "resnet50 P4": "optimal 3.7 s",
        "shufflenet P4": "optimal 0.11 s",
        "densenet121 P4": "optimal 2.6 s",
        "squeezenet P4t": "optimal 2.9 s",
        "inception_v1 P4t": "optimal 26.5 s",
        "resnet50 P4t": "optimal 51 s",
        "shufflenet P4t": "optimal 5.3 s",
        "densenet121 P4t": "plan .534, gap 49 %",
        "resnet50 P6": "optimal 0.8 s",
        "densenet121 P6": "optimal 3.2 s",
        "shufflenet P6": "optimal 0.2 s",
        "vgg19 P6": "optimal 0.2 s",
        "squeezenet P6t": "-",
        "inception_v1 P6t": "plan .320, gap 34 %",
        "resnet50 P6t": "plan .672, gap 48 %",
        "densenet121 P6t": "plan .687, gap 99 %",
        "shufflenet P6t": "plan .125, gap 91 %",
    },
    "pipelined": {
        "resnet50 P4": "optimal 4.2 s",
        "densenet121 P4": "optimal 5.0 s",
        "inception_v1 P4": "optimal 1.6 s",
        "resnet50 P6": "optimal 2.2 s",
        "densenet121 P6": "optimal 7.9 s",
        "shufflenet P6": "optimal 2.9 s",
        "resnet50 P4t": "optimal 6.2 s",
        "densenet121 P4t": "optimal 36 s",
        "shufflenet P4t": "optimal 1.8 s",
        "inception_v1 S4": "optimal 2 s",
        "shufflenet S4": "optimal 8 s",
        "resnet50 S4": "gap 24 %",
        "densenet121 S4": "gap 3.8 %",
    },
    "parallel": {
        "squeezenet P4": "optimal 1.7 s",
        "inception_v1 P4": "optimal 21 s",
        "resnet50 P4": "optimal 20 s",
        "shufflenet P4": "optimal 1.8 s",
        "densenet121 P4": "gap 18 %",
        "inception_v1 P4t": "gap 8 %",
        "resnet50 P4t": "gap 41 %",
        "densenet121 P4t": "gap 87 %",
    },
    "scheduled": {
        "squeezenet L3": ".0509 / .0502",
        "resnet50 L3": ".487 / .480",
        "resnet50 P3": ".680 / .654",
        "inception_v1 P3": ".281 / .275",
        "inception_v1 L3": ".123 / .107",
        "inception_v1 P4": ".198 / .161",
        "inception_v2 P4": ".218 / .170",
        "densenet121 P4": ".241 / .206",
    },
    # The critical path where every layer is as fast as anywhere, against the best plan then known.
    "call": {"bert24_inference": "gap 8-11 %", "gnmt_inference": "gap 27-28 %"},
}
# With mild memory every network should be proved.
MILD = ("bvlc_alexnet", "inception_v2", "squeezenet", "vgg19", "zfnet512", "inception_v1", "resnet50", "shufflenet")
for execution in ("sequential", "pipelined"):
    for platform in ("P4", "P6"):
        for network in MILD:
            PROTOTYPES[execution].setdefault(f"{network} {platform}", "-")


def load(tool: Any, workloads: Path, name: str, execution: str) -> dp.Problem:
    """Return a problem of the tables."""
    if execution == "call":
        return dp.read_msr(workloads / f"{name}.json", objective="latency")
    network, platform = name.split()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problem.json"
        file.write_text(json.dumps(tool.problem(network, platform, execution)), "utf-8")
        return dp.read_problem(file)


def run(problem: dp.Problem, name: str, execution: str, time_limit: float) -> dict[str, Any]:
    """Solve one problem."""
    result = dp.solve(problem, time_limit=time_limit, threads=1)
    return {
        "name": name,
        "execution": execution,
        "time_limit": time_limit,
        "status": result.status,
        "objective": result.objective,
        "bound": result.bound,
        "gap": result.gap,
        "runtime": result.runtime,
        "found_by": result.found_by,
        "bound_by": result.bound_by,
    }


def outcome(result: dict[str, Any]) -> str:
    """Return a run's time to proof, or its gap at the limit."""
    if result["status"] == "optimal":
        return f"optimal {result['runtime']:.1f} s"
    return result["status"] if result["gap"] is None else f"gap {100 * result['gap']:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=Path, default=TOOL, help="wheel_problems.py")
    parser.add_argument("--workloads", type=Path, default=WORKLOADS, help="folder of bert24_inference.json and others")
    parser.add_argument("--executions", nargs="+", default=list(PROTOTYPES), choices=list(PROTOTYPES))
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds for each run (default: %(default)s)")
    add_json_option(parser)
    options = parser.parse_args()
    if not options.tool.exists():
        print(f"skipped: there is no {options.tool.name}; name it by --tool")
        return
    spec = importlib.util.spec_from_file_location("wheel_problems", options.tool)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    known = json.loads(Path(options.json).read_text("utf-8"))["results"] if _exists(options.json) else []
    done = {(r["name"], r["execution"], r["time_limit"]): r for r in known}
    rows = []
    for execution in options.executions:
        for name, prototype in PROTOTYPES[execution].items():
            key = (name, execution, options.time_limit)
            if key not in done:
                problem = load(tool, options.workloads, name, execution)
                done[key] = run(problem, name, execution, options.time_limit)
                write_json(options.json, list(done.values()))
                print(execution, name, outcome(done[key]), file=sys.stderr)
            result = done[key]
            values = [f"{v:.5g}" if v is not None else "-" for v in (result["objective"], result["bound"])]
            rows.append([execution, name, *values, outcome(result), result["bound_by"], prototype])
    print_table(["execution", "problem", "plan (s)", "bound (s)", "dnnopt", "bound by", "prototype"], rows)


def _exists(path: str | None) -> bool:
    return path is not None and Path(path).exists()


if __name__ == "__main__":
    main()
