"""Reports for a person: what runs where, what crosses which link, the metrics, the gap, what plans by hand cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dnnopt.base.console import headed, table, words
from dnnopt.base.units import counted, format_quantity
from dnnopt.methods.result import OWN

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from dnnopt.methods.result import Result
    from dnnopt.problem.plan import Plan
    from dnnopt.problem.problem import Problem
    from dnnopt.problem.profiles import Measurement, Profile
    from dnnopt.referee import Evaluation, Violation
    from dnnopt.studies.best_known import BestKnown
    from dnnopt.studies.features import Features
    from dnnopt.studies.pareto import Front
    from dnnopt.studies.side_by_side import SideBySide

_STATUS = {
    "optimal": "proved optimal",
    "feasible": "a plan, not proved optimal",
    "infeasible": "infeasible: no plan satisfies every constraint",
    "unbounded": "unbounded",
    "no_solution": "no plan was found in the time given",
    "interrupted": "interrupted",
    "error": "the solver failed",
}
_METRICS = {
    "latency": "s",
    "period": "s",
    "energy": "J",
    "cost": "USD",
    "traffic": "bytes",
    "leakage": "",
    "worst_leakage": "",
}


def objective_name(problem: Problem, priority: int | None = None) -> tuple[str, str]:
    """Return what is minimised (first, or at a priority), in words, and its SI unit (empty for unlike metrics)."""
    priority = min(term.priority for term in problem.minimize) if priority is None else priority
    terms = [term for term in problem.minimize if term.priority == priority]
    words = []
    for term in terms:
        arguments = [term.network] if term.network else list(term.devices or term.links or ())
        name = term.metric + (f"({','.join(arguments)})" if arguments else "") + (" with idle" if term.idle else "")
        name = f"largest {name}" if term.over == "max" else name
        words.append(name if term.weight == 1 else f"{term.weight:g} x {name}")
    own = {metric.name: metric.unit for metric in problem.metrics}
    units = {own.get(term.metric, term.unit) for term in terms}
    return " + ".join(words), units.pop() if len(units) == 1 else ""


def format_gap(gap: float | None) -> str:
    """Return a relative gap in percent; below 1e-9 it is rounding."""
    if gap is None:
        return "unknown"
    return "0 %" if gap < 1e-9 else f"{100 * gap:.2g} %"


def format_runtime(seconds: float) -> str:
    """Return a duration."""
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def runs(problem: Problem, plan: Plan) -> dict[str, list[str]]:
    """Return for each device its layers as runs along the network's order: ``conv1 ... relu5 (12)``."""
    found: dict[str, list[str]] = {device: [] for device in problem.platform.device_names()}
    for network in problem.networks:
        prefix = f"{network.name}: " if len(problem.networks) > 1 else ""
        placed = plan.placement[network.name]
        run: list[str] = []
        for index in [*network.order, None]:
            name = network.layers[index].name if index is not None else None
            if run and (name is None or placed[name] != placed[run[-1]]):
                text = run[0] if len(run) == 1 else f"{run[0]} ... {run[-1]} ({len(run)})"
                found[placed[run[0]]].append(prefix + text)
                run = []
            if name is not None:
                run.append(name)
    return found


def placement_table(problem: Problem, plan: Plan, evaluation: Evaluation) -> RenderableType:
    """Return a table of what each device runs."""
    limits = {device.name: device.memory for device in problem.platform.devices}
    for spec in problem.subject_to:
        limits |= dict(getattr(spec, "limits", {}))
    limited = any(spec.constraint == "memory" for spec in problem.subject_to)
    rows = []
    for device, texts in runs(problem, plan).items():
        count = sum(placed == device for layers in plan.placement.values() for placed in layers.values())
        busy = evaluation.metrics.get(f"busy({device})", 0.0)
        used = evaluation.metrics.get(f"memory({device})")
        memory = "" if used is None else format_quantity(used, "bytes")
        limit = limits[device]
        if limited and limit is not None and used is not None:
            memory += f" of {format_quantity(limit, 'bytes')}"
        rows.append(
            (device, str(count), format_quantity(busy, "s") if count else "", memory if count else "", _shorten(texts))
        )
    columns = [("device", "left"), ("layers", "right"), ("busy", "right"), ("memory", "right"), ("which", "left")]
    return table("What runs where", columns, rows)


def _shared_weights_table(problem: Problem, plan: Plan, most: int) -> RenderableType:
    devices, shared = problem.platform.device_names(), problem.all_shared_weights()
    rows = []
    for one in shared[:most]:
        holding = {plan.placement[network][layer] for network, layer in one.layers}
        held_by = ", ".join(device for device in devices if device in holding)
        rows.append((one.name, format_quantity(one.bytes, "bytes"), str(len(one.layers)), held_by))
    if len(shared) > most:
        rows.append((f"and {len(shared) - most} more", "", "", ""))
    columns = [("weights", "left"), ("size", "right"), ("layers", "right"), ("held by", "left")]
    return table("What layers share", columns, rows)


def _shorten(texts: Sequence[str], most: int = 4) -> str:
    shown = list(texts[:most])
    if len(texts) > most:
        shown.append(f"and {len(texts) - most} more runs")
    return ", ".join(shown)


def _transmission_table(evaluation: Evaluation, most: int) -> RenderableType:
    rows = [
        (
            t.tensor,
            format_quantity(t.bytes, "bytes"),
            f"{t.origin} -> {t.destination}",
            ", ".join(t.links),
            format_quantity(t.seconds, "s"),
        )
        for t in evaluation.transmissions[:most]
    ]
    hidden = len(evaluation.transmissions) - most
    if hidden > 0:
        rows.append((f"and {hidden} more", "", "", "", ""))
    columns = [("tensor", "left"), ("size", "right"), ("from -> to", "left"), ("links", "left"), ("time", "right")]
    return table("What is sent", columns, rows)


def metric_line(evaluation: Evaluation) -> str:
    """Return the main metrics in one line."""
    parts = [
        f"{name.replace('_', ' ')} {format_quantity(evaluation.metrics[name], unit)}"
        for name, unit in _METRICS.items()
        if name in evaluation.metrics and math.isfinite(evaluation.metrics[name])
    ]
    return ", ".join(parts)


def against(value: float, unit: str, best: float | None, violations: Sequence[Violation]) -> tuple[str, str]:
    shown = format_quantity(value, unit) if math.isfinite(value) else "-"
    if violations:
        more = f" and {len(violations) - 1} more" if len(violations) > 1 else ""
        return shown, f"breaks {violations[0].constraint}{more}"
    if best is None or not math.isfinite(value):
        return shown, ""
    if value == best:
        return shown, "the same"
    return shown, f"+{100 * (value - best) / abs(best):.3g} %" if best else "worse"


def _confirmation(result: Result) -> str:
    """Return what stands behind a proof, in words."""
    if result.confirmed_by == OWN:
        return "proved by an exact method"
    took = f"in {format_runtime(result.confirming)}"
    if not result.confirmed_by:
        return f"not confirmed by a second engine {took}" if result.confirming else "not confirmed by a second engine"
    return f"confirmed by {result.confirmed_by} {took}"


def print_result(console: Console, result: Result, *, verbose: bool = False) -> None:
    """Print a result."""
    name, unit = objective_name(result.problem)
    title = result.problem.name or " + ".join(network.name for network in result.problem.networks)
    console.print(headed(title, f": {_STATUS[result.status]}"))
    if result.message:
        console.print(words(f"  {result.message}"))
    for contradiction in result.contradictions:
        console.print(words("  ") + headed("contradiction", f": {contradiction}"))
    if result.status == "infeasible":
        console.print(words(f"  {_confirmation(result)}"))
    if result.bound is not None and result.evaluation is None:
        console.print(words(f"  no plan is better than {name} {format_quantity(result.bound, unit)}"))
    if result.plan is None or result.evaluation is None:
        return
    evaluation = result.evaluation
    bound = "unknown" if result.bound is None else format_quantity(result.bound, unit, 6)
    value = format_quantity(evaluation.objective, unit, 6)
    console.print(words(f"  {name} {value}, bound {bound}, gap {format_gap(result.gap)}"))
    how = f"found by {result.found_by}" + (f", bound by {result.bound_by}" if result.bound_by else "")
    console.print(words(f"  {how}, in {format_runtime(result.runtime)}"))
    if result.status == "optimal":
        console.print(words(f"  {_confirmation(result)}"))
    console.print()
    console.print(placement_table(result.problem, result.plan, evaluation))
    console.print()
    if result.problem.all_shared_weights():
        console.print(_shared_weights_table(result.problem, result.plan, 1000 if verbose else 12))
        console.print()
    if evaluation.transmissions:
        console.print(_transmission_table(evaluation, 1000 if verbose else 12))
    else:
        console.print("Nothing is sent.")
    console.print()
    console.print(headed("Metrics", f"  {metric_line(evaluation)}"))
    if verbose:
        rows = [(key, f"{value:.9g}") for key, value in evaluation.metrics.items()]
        console.print(table("All metrics (SI units)", [("metric", "left"), ("value", "right")], rows))
    if result.baselines:
        by_hand = [
            (label, *against(baseline.objective, unit, evaluation.objective, baseline.violations))
            for label, baseline in result.baselines
        ]
        console.print()
        console.print(table("By hand", [("plan", "left"), (name, "right"), ("against this plan", "left")], by_hand))


def print_side_by_side(console: Console, comparison: SideBySide) -> None:
    """Print formulations side by side."""
    name, unit = objective_name(comparison.problem)

    def shown(value: float | None) -> str:
        return "" if value is None else format_quantity(value, unit, 5)

    rows = [
        (
            f"{row.formulation} ({row.solver})",
            str(row.variables),
            str(row.rows),
            str(row.nonzeros),
            format_runtime(row.build_seconds),
            shown(row.relaxation),
            "" if row.first_plan_seconds is None else format_runtime(row.first_plan_seconds),
            shown(row.objective),
            f"gap {format_gap(row.gap)}"
            if row.status == "feasible"
            else f"{row.status}, {format_runtime(row.seconds)}",
        )
        for row in comparison.rows
    ]
    heads = ("formulation", "variables", "rows", "nonzeros", "build", "LP bound", "first plan", name, "proof")
    columns = [(head, "right" if position else "left") for position, head in enumerate(heads)]
    console.print(table(f"{comparison.problem.name}: formulations", columns, rows))


def print_front(console: Console, front: Front) -> None:
    """Print a Pareto front."""
    priorities = sorted({term.priority for term in front.problem.minimize})
    named = [objective_name(front.problem, priority) for priority in priorities]
    rows = [
        (
            *(format_quantity(value, unit, 5) for value, (_, unit) in zip(point.objectives, named, strict=True)),
            "yes" if point.proved else "no",
            where(front.problem, point.plan),
        )
        for point in front.points
    ]
    state = f"complete within {100 * front.tolerance:.2g} %" if front.complete else "not complete"
    title = f"{front.problem.name}: {counted(len(front.points), 'point')}, {state}, in {format_runtime(front.runtime)}"
    columns = [*((name, "right") for name, _ in named), ("proved", "left"), ("layers on each device", "left")]
    console.print(table(title, columns, rows))


def where(problem: Problem, plan: Plan) -> str:
    counts = dict.fromkeys(problem.platform.device_names(), 0)
    for placed in plan.placement.values():
        for device in placed.values():
            counts[device] += 1
    return ", ".join(f"{device} {count}" for device, count in counts.items() if count)


def print_check(console: Console, problem: Problem, evaluation: Evaluation) -> None:
    """Print what the referee says of a plan."""
    name, unit = objective_name(problem)
    console.print(words(f"{name} {format_quantity(evaluation.objective, unit, 6)}"))
    console.print(words(metric_line(evaluation)))
    if evaluation.feasible:
        console.print("feasible: every constraint holds")
        return
    rows = [(violation.constraint, violation.message) for violation in evaluation.violations]
    console.print(table(f"infeasible: {len(rows)} broken", [("constraint", "left"), ("what", "left")], rows))


def print_features(console: Console, problem: Problem, found: Features, known: BestKnown | None) -> None:
    """Print what kind of problem it is, and the best known value."""
    name, unit = objective_name(problem)
    networks = ", ".join(f"{network.name} ({counted(len(network.layers), 'layer')})" for network in problem.networks)
    trivial = "breaks a limit" if found.best_trivial is None else format_quantity(found.best_trivial, unit, 6)
    rows = [
        ("networks", networks),
        ("devices", f"{', '.join(problem.platform.device_names())} ({found.locations or 'no tiers'})"),
        ("links", f"{found.links}, {found.transport}"),
        ("execution", found.execution),
        ("minimise", name),
        ("subject to", ", ".join(constraint.label for constraint in problem.subject_to) or "nothing"),
        ("tensors", f"{found.tensors}, at most {found.width} alive at once; {counted(found.edges, 'edge')}"),
        ("shared weights", str(found.shared_weights)),
        ("treewidth", f"at most {found.treewidth}"),
        ("computing : sending", f"{found.compute_communication:.3g}"),
        ("all on one device", trivial),
    ]
    if known is None:
        rows.append(("best known", "nothing"))
    elif known.objective is None:
        rows.append(("best known", known.status))
    else:
        bound = "no bound" if known.bound is None else f"bound {format_quantity(known.bound, unit, 6)}"
        value = format_quantity(known.objective, unit, 6)
        rows.append(("best known", f"{value} ({known.status}; {bound}, gap {format_gap(known.gap)})"))
        bounded = f", bound by {known.bound_by}" if known.bound_by else ""
        rows.append(("", f"plan by {known.found_by}{bounded}, {known.date}"))
    if problem.provenance:
        rows.append(("provenance", problem.provenance))
    columns = [("", "left"), ("", "left")]
    console.print(table(problem.name or "problem", columns, rows))


_SLOWEST = 10
_DISTURBED = 0.1, 1e-3  # of a whole run, and in seconds: the least that other programs take at a time


def print_profile(console: Console, profile: Profile, *, verbose: bool = False) -> None:
    """Print measured times: the slowest layers (or all), what was fused, what is no layer, the whole and its parts."""
    for measurement in profile.measurements:
        for part in _measurement_report(profile, measurement, None if verbose else _SLOWEST):
            console.print(words(part) if isinstance(part, str) else part)


def _measurement_report(
    profile: Profile, measurement: Measurement, limit: int | None
) -> Iterator[RenderableType | str]:
    def seconds(value: float) -> str:
        return format_quantity(value, "s", 3)

    device = measurement.device
    times = {
        layer: values[device] or 0.0
        for layer, values in profile.time[measurement.network].items()
        if layer in measurement.quartiles
    }
    fused = {layer for group in measurement.groups for layer in group.layers}
    threads, repeated = counted(measurement.threads, "thread"), counted(measurement.repetitions, "run")
    kind = "layers fused by the runtime" if measurement.optimised else "each layer apart"
    yield (
        f"{measurement.network} on {device}: {counted(len(times), 'layer')}, {kind}, median of {repeated}, "
        f"{threads}, onnxruntime {measurement.versions.get('onnxruntime', '')}"
    )
    rows = [
        (
            layer,
            seconds(time),
            f"{seconds(measurement.quartiles[layer][0])} to {seconds(measurement.quartiles[layer][1])}",
            f"{100 * time / measurement.sum_of_layers:.1f} %" if measurement.sum_of_layers else "",
            "a share of a group" if layer in fused else "",
        )
        for layer, time in sorted(times.items(), key=lambda item: -item[1])
    ]
    columns = [("layer", "left"), ("time", "right"), ("quartiles", "right"), ("of all layers", "right"), ("", "left")]
    yield table("Layers" if limit is None or len(rows) <= limit else "Slowest layers", columns, rows[:limit])
    if measurement.groups:
        groups = [
            (seconds(group.seconds), ", ".join(group.nodes), ", ".join(group.layers)) for group in measurement.groups
        ]
        yield table(
            "Groups that the runtime fused; each layer has a share of the time",
            [("time", "right"), ("ran as", "left"), ("layers", "left")],
            groups,
        )
    if measurement.other:
        others = [(seconds(time), node) for node, time in measurement.other.items()]
        yield table("Ran too, and is no layer", [("time", "right"), ("node", "left")], others)
    first, third = measurement.total_quartiles
    yield (
        f"All layers {seconds(measurement.sum_of_layers)}, between them {seconds(measurement.overhead)}; "
        f"a whole run {seconds(measurement.total)} ({seconds(first)} to {seconds(third)}), "
        f"with every optimisation {seconds(measurement.fastest)}"
    )
    share, least = _DISTURBED
    if abs(measurement.unexplained) > max(share * measurement.total, least):
        yield (
            f"A whole run takes {seconds(abs(measurement.unexplained))} "
            f"{'more' if measurement.unexplained > 0 else 'less'} than its parts: other programs disturb the "
            "measurement. Measure on an idle machine, or with fewer --threads."
        )
