"""Pieces that run, against the whole and against what was predicted.

First, 12 networks (eight tiny ones of the tests, four of the onnx wheel with random weights) are split by three plans
each (a cut, there and back, four devices), and run with a process for each device: outputs must be the whole's to 1e-5.

Then ten plans for two devices, one on each core of this machine, with links of 50 Mbit/s and 5 ms, and of 1 Gbit/s and
0.2 ms, and a profile measured just before: latency and period, predicted and measured. The machine must be idle.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common import add_json_option, print_table, write_json
from onnx import numpy_helper

import dnnopt as dp
from dnnopt.inputs.profiling import wheel_files
from dnnopt.runtime.sessions import ModelSession
from dnnopt.runtime.verification import differences, random_inputs

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from piece_models import DIMENSIONS, MODELS, PLANS, network_of, saved

WHEEL = ("squeezenet", "shufflenet", "resnet50", "inception_v1")
TINY = tuple(MODELS)[:9]
LINKS = {"50 Mbit/s, 5 ms": (50e6 / 8, 5e-3), "1 Gbit/s, 0.2 ms": (1e9 / 8, 2e-4)}
JUDGED = {
    "squeezenet": ("half", "best"),
    "resnet50": ("half", "there and back"),
    "inception_v1": ("half",),
}
LATENCY, PERIOD = 0.15, 0.20


def with_weights(name: str, folder: Path) -> Path:
    """Write a network of the wheel with random weights, which it has as constants of zeros or ones."""
    model = onnx.load(wheel_files()[name])
    rng = np.random.default_rng(0)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    variances = {node.input[4] for node in model.graph.node if node.op_type == "BatchNormalization"}
    kept = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in stored:
            shape = stored[node.input[0]]
            value = node.output[0]
            fan = max(1, int(np.prod(shape[1:])))
            array = rng.standard_normal(shape) * (2 / fan) ** 0.5
            if value in variances or len(shape) < 2:
                array = rng.uniform(0.5, 1.5, shape) if value in variances else array * 0.1
            model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), value))
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    read = {value for node in kept for value in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)
    inputs = [value for value in model.graph.input if value.name in read and value.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path


def equal(folder: Path, tiny: Sequence[str], wheel: Sequence[str]) -> list[dict[str, Any]]:
    """Split and run each network by each plan; return how far the outputs are from the whole's."""
    found = []
    for name in (*tiny, *wheel):
        path = saved(name, folder) if name in MODELS else with_weights(name, folder)
        network = network_of(path)
        for title, plan in PLANS.items():
            manifest = dp.split_onnx(path, plan(network), folder / "pieces", dimensions=DIMENSIONS.get(name))
            inputs = random_inputs(manifest, 1)
            answers: list[dict[str, Any]] = []
            dp.run_pieces(
                folder / "pieces",
                inputs,
                repeat=2,
                warmup=0,
                stream=0,
                level="none",
                answers=lambda number, outputs, answers=answers: answers.append(dict(outputs)),
            )
            whole = ModelSession(path, "none").run(inputs)
            assert manifest.verification is not None
            found.append(
                {
                    "network": name,
                    "plan": title,
                    "pieces": len(manifest.pieces),
                    "split": manifest.verification.max_relative,
                    "run": max(differences(answer, whole)[1] for answer in answers),
                }
            )
    return found


def devices(bandwidth: float, latency: float) -> dp.Platform:
    return dp.Platform(
        devices=[dp.Device(name) for name in "ab"],
        links=[dp.Link(name, bandwidth=bandwidth, latency=latency) for name in ("up", "down")],
        routes=[dp.Route("a", "b", ["up"]), dp.Route("b", "a", ["down"])],
    )


def placed(problem: dp.Problem, title: str) -> dp.Plan:
    """Return a plan that uses both devices."""
    network = problem.networks[0]
    names = [layer.name for layer in network.layers]
    count = len(names)
    if title == "best":
        limits = [dp.Placement(names[0], ["a"]), dp.Placement(names[-1], ["b"])]
        result = dp.solve(problem.replace(subject_to=limits), time_limit=20)
        assert result.plan is not None
        return result.plan
    bounds = (count // 2, count) if title == "half" else (count // 3, 2 * count // 3)
    return dp.Plan(placement={network.name: {name: "ab"[bounds[0] <= k < bounds[1]] for k, name in enumerate(names)}})


def judged(folder: Path, repeat: int, networks: Sequence[str]) -> list[dict[str, Any]]:
    """Profile this machine, and run each plan over each link; return predictions and measurements."""
    found = []
    for name in networks:
        path = with_weights(name, folder)
        profile = dp.profile_onnx(path, "a", threads=1, repetitions=20)
        times = {name: {layer: dict.fromkeys("ab", row["a"]) for layer, row in profile.time[name].items()}}
        network = dp.read_onnx(path, source="a", sink="a")
        for link, (bandwidth, latency) in LINKS.items():
            problem = dp.Problem(
                network,
                devices(bandwidth, latency),
                execution="sequential",
                minimize=dp.latency(),
                profile=dp.Profile(time=times),
            )
            for title in JUDGED[name]:
                dp.split_onnx(path, placed(problem, title), folder / "pieces", problem=problem, verify=False)
                run = dp.run_pieces(folder / "pieces", repeat=repeat)
                assert run.prediction is not None
                assert run.period is not None
                found.append(
                    {
                        "network": name,
                        "plan": title,
                        "link": link,
                        "pieces": len(run.pieces),
                        "judged": run.judged,
                        "latency predicted": run.prediction.latency,
                        "latency measured": run.latency.median,
                        "period predicted": run.prediction.period,
                        "period measured": run.period,
                        "busy predicted": sum(run.prediction.pieces.values()),
                        "busy measured": sum(one.median for one in run.pieces.values()),
                        "whole": profile.measurements[0].total,
                        "disturbed": run.disturbed,
                    }
                )
    return found


def share(row: dict[str, Any], what: str) -> float:
    return float(row[f"{what} measured"] / row[f"{what} predicted"] - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=40, help="inputs of each measurement; default: %(default)s")
    parser.add_argument("--only", choices=["equal", "judged"], help="one of the two parts")
    parser.add_argument("--networks", nargs="+", default=list(JUDGED), choices=list(JUDGED), help="of the second part")
    add_json_option(parser)
    options = parser.parse_args()
    results: dict[str, Any] = {"load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as name:
        if options.only != "judged":
            rows = results["equal"] = equal(Path(name), TINY[:8], WHEEL)
            table = [
                [row["network"], row["plan"], str(row["pieces"]), f"{row['split']:.1e}", f"{row['run']:.1e}"]
                for row in rows
            ]
            print_table(["network", "plan", "pieces", "split, relative", "run, relative"], table)
            good = sum(max(row["split"], row["run"]) < 1e-5 for row in rows)
            print(f"\n{good} of {len(rows)} plans are the whole to 1e-5\n")
        if options.only != "equal":
            rows = results["judged"] = judged(Path(name), options.repeat, options.networks)
            table = []
            for row in rows:
                cells = [row["network"], row["plan"], row["link"]]
                for what in ("latency", "period", "busy"):
                    cells += [f"{1e3 * row[f'{what} {how}']:.1f} ms" for how in ("predicted", "measured")]
                    cells.append(f"{100 * share(row, what):+.1f} %")
                cells.append(f"{100 * row['disturbed']:.0f} %")
                table.append(cells)
            head = ["network", "plan", "link"]
            for what in ("latency", "period", "computing"):
                head += [f"{what}, predicted", "measured", "difference"]
            head.append("taken by others")
            print_table(head, table)
            for what, limit in (("latency", LATENCY), ("period", PERIOD)):
                good = sum(abs(share(row, what)) <= limit for row in rows if row["judged"])
                print(f"\n{what} within {100 * limit:.0f} %: {good} of {sum(row['judged'] for row in rows)}")
            print(f"\nload before and after: {results['load'][0]:.1f}, {os.getloadavg()[0]:.1f}")
    write_json(options.json, results)


if __name__ == "__main__":
    main()
