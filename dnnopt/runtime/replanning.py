"""Whether another plan would be better, now that times have been measured."""

from __future__ import annotations

from pathlib import Path

from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted, format_percent, format_quantity
from dnnopt.methods.solving import solve
from dnnopt.problem.manifest import PLAN, PROBLEM, read_manifest
from dnnopt.problem.plan import read_plan
from dnnopt.problem.problem import Problem, read_problem
from dnnopt.problem.profiles import Profile
from dnnopt.referee import evaluate
from dnnopt.runtime.measured import PiecesRun

_SECONDS = 20.0
_WORTH = 1e-3


def with_measured(problem: Problem, measured: Profile) -> Problem:
    """Return a problem with measured times in place of those of the same layers on the same devices."""
    times = {
        network: {layer: dict(row) for layer, row in rows.items()} for network, rows in problem.profile.time.items()
    }
    for network, rows in measured.time.items():
        for layer, row in rows.items():
            times.setdefault(network, {}).setdefault(layer, {}).update(row)
    return problem.replace(profile=problem.profile.replace(time=times))


def replanned(folder: str | Path, run: PiecesRun, seconds: float = _SECONDS) -> list[str]:
    """Solve the problem beside some pieces with the times that a run has measured; return what came of it, in words.

    Raises
    ------
    InputError
        If there is no problem beside the pieces.
    """
    place = Path(folder)
    if not (place / PROBLEM).is_file():
        raise InputError("", file=str(place / PROBLEM), problem="missing: 'split --problem' keeps the problem there")
    manifest, problem = read_manifest(place), read_problem(place / PROBLEM)
    plan = read_plan(place / PLAN, problem)
    device_of = {layer: piece.device for piece in manifest.pieces for layer in piece.layers}
    changed = with_measured(problem, run.profile(device_of))
    now = evaluate(changed, plan).objectives[0]
    result = solve(changed, time_limit=seconds)
    if result.plan is None or result.objective is None:
        return [f"With the times that were measured, no plan was found: {result.status}."]
    unit = "s" if changed.minimize[0].metric in ("latency", "period", "batch_latency") else ""
    own, best = format_quantity(now, unit), format_quantity(result.objective, unit)
    if now - result.objective <= _WORTH * abs(now):
        proof = ", which is proved" if result.status == "optimal" else ""
        return [f"With the times that were measured, no plan is better than this one, {own}{proof}."]
    moved = [
        f"{layer} from {device} to {result.plan.placement[manifest.network][layer]}"
        for layer, device in plan.placement[manifest.network].items()
        if result.plan.placement[manifest.network][layer] != device
    ]
    shown = ", ".join(moved[:3]) + (", ..." if len(moved) > 3 else "")
    return [
        f"With the times that were measured, another plan is better by {format_percent(1 - result.objective / now)}: "
        f"{best} in place of {own}.",
        f"It moves {counted(len(moved), 'layer')}: {shown}.",
    ]
