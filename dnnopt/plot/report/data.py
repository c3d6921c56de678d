"""What a report shows, as plain data: problems in their dimensions, a cell for each run, the best plan of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dnnopt.approaches.classifying import goals_of, limit_value
from dnnopt.approaches.score_table import Scores
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.numbers import format_number
from dnnopt.compiled.evaluator import TOLERANCE
from dnnopt.plot.layout import columns_and_tracks
from dnnopt.plot.report.approaches_compared import approach_data
from dnnopt.plot.report.what_ran import what_ran
from dnnopt.plot.timetable import makespan, timetable
from dnnopt.problem import library
from dnnopt.problem.networks import INPUT, OUTPUT
from dnnopt.problem.plan import Plan, plan_in
from dnnopt.problem.problem import Problem, load
from dnnopt.problem.words import objective_name
from dnnopt.referee import evaluate
from dnnopt.studies.relaxations import best_plans_known, relaxation_gap, relaxed_formulation
from dnnopt.studies.run_columns import part_of
from dnnopt.studies.run_folders import BenchRun
from dnnopt.studies.set_comparison import best_values
from dnnopt.studies.statistics import primal_integral

_MOST_POINTS = 40  # of a trace
_MOST_BARS = 400  # of a Gantt chart: the longest ones
_MOST_EDGES = 4000
_SIZES = ((100, "up to 100"), (1000, "101 to 1,000"), (10_000, "1,001 to 10,000"), (math.inf, "more than 10,000"))
_DIGITS = 9
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def report_data(
    runs: Iterable[BenchRun],
    problems: Mapping[str, Problem] | None = None,
    *,
    title: str = "Runs",
    approaches: Scores | None = None,
) -> dict[str, Any]:
    """Return what the report of these runs shows.

    The best plan of each problem is judged by the referee again. Runs of problems that the library does not have, or
    has with other data, are left out; the report says so.

    Parameters
    ----------
    runs : iterable of BenchRun
    problems : mapping, optional
        Problems by name that are not the library's.
    title : str
    approaches : Scores, optional
        Of published approaches, for a page of their own.

    Raises
    ------
    InputError
        If nothing is left, or a best plan is not what its file says.
    """
    known, left = dict(problems or {}), list[str]()
    kept: dict[str, dict[str, BenchRun]] = {}
    relaxed: dict[str, dict[str, BenchRun]] = {}
    names = set(library.names("problems"))
    for run in runs:
        name = run.data["problem"]
        if name not in known and name in names:
            known[name] = load(name)
        if name not in known:
            left.append(f"{run.method}: {name}: the library has no such problem")
        elif run.data["checksum"] not in (None, known[name].checksum if known[name].is_data else None):
            left.append(f"{run.method}: {name}: of other data than the library's")
        else:
            kept.setdefault(name, {})
            formulation = relaxed_formulation(run.method, run.data)
            if formulation is None:
                kept[name][run.method] = run
            else:
                relaxed.setdefault(name, {})[formulation] = run
    if not kept:
        raise InputError("", problem=f"no run is of a problem of the library; the first: {left[0] if left else 'none'}")
    methods = list(dict.fromkeys(method for of in kept.values() for method in of))
    best = best_values({name: [run.data for run in of.values()] for name, of in kept.items()})
    relaxations = _relaxations(kept, relaxed)
    shown = [_problem(known[name], kept[name], methods, best[name], relaxations.get(name, {})) for name in sorted(kept)]
    return {
        "title": title,
        "methods": [{"name": method, **_way(kept, method)} for method in methods],
        "problems": shown,
        "ran": what_ran(run for found in (kept, relaxed) for of in found.values() for run in of.values()),
        "left": left,
        "approaches": None if approaches is None else approach_data(approaches),
    }


def _way(kept: Mapping[str, Mapping[str, BenchRun]], method: str) -> dict[str, Any]:
    """Return which formulation and solver a method stands for, where its runs have one alone."""
    found: dict[str, set[str]] = {"formulation": set(), "solver": set()}
    for of in kept.values():
        if method in of and of[method].data["status"] != "error":
            for key, values in found.items():
                values.add(of[method].data.get(key) or "")
    asked = any(method.split("+")[0] == value.split("+")[0] for value in found["formulation"] if value)
    return {"formulation": method.split("+")[0] if asked else "", "solver": "/".join(sorted(found["solver"] - {""}))}


def _relaxations(
    kept: Mapping[str, Mapping[str, BenchRun]], relaxed: Mapping[str, Mapping[str, BenchRun]]
) -> dict[str, dict[str, list[Any]]]:
    """Return for each problem and formulation the relaxation's value, seconds and gap to the best known plan, and why
    there is none.
    """
    both = {name: [run.data for run in (*kept[name].values(), *of.values())] for name, of in relaxed.items()}
    best = best_plans_known(both)
    return {
        name: {
            formulation: [
                _short(run.data["bound"]),
                _short(run.data["runtime"], 4),
                _short(relaxation_gap(run.data["bound"], best[name]), 4),
                "" if run.data["bound"] is not None else run.data["message"],
            ]
            for formulation, run in of.items()
        }
        for name, of in relaxed.items()
    }


def _problem(
    problem: Problem,
    runs: Mapping[str, BenchRun],
    methods: Sequence[str],
    best: float | None,
    relaxations: Mapping[str, list[Any]],
) -> dict[str, Any]:
    """Return what is shown of a problem."""
    limit = max((run.data["runtime"] or 0.0 for run in runs.values()), default=0.0)
    cells = [_cell(runs.get(method), best, limit) for method in methods]
    layers = sum(len(network.layers) for network in problem.networks)
    name, unit = objective_name(problem)
    size = layers * len(problem.platform.devices)
    bounds = [run.data["bound"] for run in runs.values()] + [bound for bound, *_ in relaxations.values()]
    return {
        "name": problem.title,
        "title": problem.title,
        "quantity": name,
        "unit": unit,
        "layers": layers,
        "devices": list(problem.platform.device_names()),
        "execution": [problem.execution],
        "constraint": sorted({limit_value(limit) for limit in problem.subject_to}) or ["none"],
        "objective": list(goals_of(problem)),
        "granularity": _granularities(problem),
        "size": [next(words for most, words in _SIZES if size <= most)],
        "platform": [problem.platform.name or "own"],
        "best": best,
        "bound": max((bound for bound in bounds if bound is not None), default=None),
        "relaxations": dict(relaxations),
        "cells": cells,
        **_graph(problem, runs, methods),
        **_best_plan(problem, runs),
    }


def _granularities(problem: Problem) -> list[str]:
    return sorted({network.name.partition("@")[2].partition(":")[0] or "operator" for network in problem.networks})


def _cell(run: BenchRun | None, best: float | None, limit: float) -> list[Any] | None:
    """Return status, objective, bound, seconds, source, confirmation, integral, trace, message, memory of a run."""
    if run is None:
        return None
    data = run.data
    trace = _of_first_priority(data)
    integral = None
    if best is not None and limit > 0:
        steps = [(time, objective) for time, objective, _ in trace]
        if not any(objective is not None for _, objective in steps):
            steps.append((data["runtime"] or limit, data["objective"]))
        integral = primal_integral(steps, best, limit) / limit
    return [
        data["status"],
        _short(data["objective"]),
        _short(data["bound"]),
        _short(data["runtime"], 4),
        data["found_by"],
        data.get("confirmed_by", ""),
        _short(integral, 4),
        [[_short(value, 6 if place else 4) for place, value in enumerate(point)] for point in _thinned(trace)],
        data["message"],
        _short(part_of(data, "run").get("peak_memory"), 4),
    ]


def _of_first_priority(data: Mapping[str, Any]) -> list[tuple[float, float | None, float | None]]:
    """Return the points of a trace up to where, of several priorities, the next one begins."""
    trace = [(event["time"], event["objective"], event["bound"]) for event in data.get("trace", ())]
    if len(data.get("objectives") or ()) < 2:
        return trace
    since, last, own = 0.0, math.inf, trace
    for index, (time, objective, _) in enumerate(trace):
        value = math.inf if objective is None else objective
        if time < since or value > last:  # each priority counts its own seconds
            own = trace[:index]
            break
        since, last = time, value
    if (
        last - data["objective"] > TOLERANCE * abs(data["objective"]) and data["runtime"]
    ):  # found while a later one was searched for
        own = [*own, (data["runtime"], data["objective"], own[-1][2] if own else None)]
    return own


def _thinned(trace: Sequence[Any]) -> list[Any]:
    """Return at most so many points of a trace, the first and the last among them."""
    if len(trace) <= _MOST_POINTS:
        return list(trace)
    step = (len(trace) - 1) / (_MOST_POINTS - 1)
    return [trace[round(index * step)] for index in range(_MOST_POINTS)]


def _short(value: float | None, digits: int = _DIGITS) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")


def _graph(problem: Problem, runs: Mapping[str, BenchRun], methods: Sequence[str]) -> dict[str, Any]:
    """Return the layers with their places in a picture, edges between them, and each method's plan as letters."""
    names: list[str] = []
    places: list[list[int]] = []
    edges: list[list[int]] = []
    plans: list[str] = []
    device_of, devices = problem.platform.device_of(), list(problem.platform.device_names())
    lowest = 0
    for network in problem.networks:
        order = [network.layers[index].name for index in network.order]
        number = {name: len(names) + index for index, name in enumerate(order)}
        pairs = list(
            dict.fromkeys(
                (tensor.producer, consumer)
                for tensor in network.tensors
                for consumer in tensor.consumers
                if tensor.producer != INPUT and consumer != OUTPUT
            )
        )
        columns, tracks = columns_and_tracks(order, pairs)
        top = min(tracks.values(), default=0)
        places += [[columns[name], tracks[name] - top + lowest] for name in order]
        lowest += max(tracks.values(), default=0) - top + 2
        edges += [[number[producer], number[consumer]] for producer, consumer in pairs]
        names += [name if len(problem.networks) == 1 else f"{network.name}: {name}" for name in order]
    for method in methods:
        plan = _plan(problem, runs[method]) if method in runs else None
        letters = ""
        if plan is not None and len(devices) <= len(_LETTERS):
            letters = "".join(
                _LETTERS[devices.index(device_of[plan.placement[network.name][network.layers[index].name]])]
                for network in problem.networks
                for index in network.order
            )
        plans.append(letters)
    return {"names": names, "places": places, "edges": edges[:_MOST_EDGES], "plans": plans}


def _plan(problem: Problem, run: BenchRun) -> Plan | None:
    """Return the plan of a run, which must fit the problem."""
    if run.data["placement"] is None:
        return None
    return plan_in(run.data, problem, file=run.file)


def _best_plan(problem: Problem, runs: Mapping[str, BenchRun]) -> dict[str, Any]:
    """Return the loads and times of the best plan, judged again, and the baselines beside it."""
    found = {method: run for method, run in runs.items() if run.data["objective"] is not None}
    baselines = {
        row["name"]: [row["name"], _short(row["objective"]), row["violations"]]
        for run in runs.values()
        for row in run.data.get("baselines", ())
    }
    nothing: dict[str, Any] = {
        "best_by": "",
        "loads": [],
        "period": None,
        "bars": [],
        "why_no_bars": "there is no plan",
    }
    if not found:
        return nothing | {"baselines": list(baselines.values())}
    method = min(found, key=lambda one: found[one].data["objective"])
    run = found[method]
    plan = _plan(problem, run)
    if plan is None:
        raise InputError("a plan, as there is an objective", file=run.file, field="placement", value=None)
    judged = evaluate(problem, plan)
    if not judged.feasible or abs(judged.objective - run.data["objective"]) > TOLERANCE * abs(judged.objective):
        why = "feasible" if judged.feasible else f"infeasible: {judged.violations[0].message}"
        words = f"the plan has {format_number(judged.objective, 9)} and is {why}"
        raise InputError(f"a feasible plan of {run.data['objective']}", file=run.file, field="placement", value=words)
    metrics = judged.metrics
    loads = []
    for resource in problem.platform.all_resources():
        total = metrics.get(f"load({resource.name})", 0.0)
        if total > 0:
            computing = math.fsum(metrics[f"busy({device})"] for device in resource.devices)
            loads.append([resource.name, _short(computing, 5), _short(max(0.0, total - computing), 5)])
    bars, why = _bars(problem, plan)
    return {
        "best_by": method,
        "loads": loads,
        "period": _short(metrics.get("period")),
        "metrics": {name: _short(value, 6) for name, value in metrics.items() if "(" not in name},
        "bars": bars,
        "why_no_bars": why,
        "baselines": list(baselines.values()),
    }


def _bars(problem: Problem, plan: Plan) -> tuple[list[list[Any]], str]:
    """Return place, name, start and seconds of what takes longest, and why there is none."""
    try:
        bars = [bar for bar in timetable(problem, plan) if bar.seconds > 0]
    except UnsupportedError:
        return [], f"under {problem.execution} execution nothing has one start time"
    if not math.isfinite(makespan(bars)):
        return [], "the plan never ends"
    longest = sorted(bars, key=lambda bar: -bar.seconds)[:_MOST_BARS]
    shown = [
        [bar.place, bar.name, _short(bar.start, 6), _short(bar.seconds, 5)]
        for bar in sorted(longest, key=lambda bar: bar.start)
    ]
    return shown, "" if len(longest) == len(bars) else f"the {_MOST_BARS} longest of {len(bars):,} bars"
