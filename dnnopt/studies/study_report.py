"""Reports of studies for a person: methods side by side, sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dnnopt.base.console import table, widths, words
from dnnopt.base.text import visible
from dnnopt.base.units import counted, format_quantity
from dnnopt.problem.words import coloured, legend, moved, strip
from dnnopt.referee import evaluate
from dnnopt.studies.report import against, format_gap, format_runtime, objective_name, placement_table, where

if TYPE_CHECKING:
    from rich.console import Console

    from dnnopt.problem.plan import Plan
    from dnnopt.problem.problem import Problem
    from dnnopt.studies.comparison import Comparison
    from dnnopt.studies.explain import Explanation
    from dnnopt.studies.ranking import BestPlans
    from dnnopt.studies.set_comparison import SetComparison
    from dnnopt.studies.sweeping import Sweep

_LEAST_STRIP, _MOST_STRIP = 12, 80


def print_strips(console: Console, problem: Problem, plans: Mapping[str, Plan]) -> None:
    """Print plans as lines of letters along the network, one below the other."""
    from rich.cells import cell_len
    from rich.text import Text

    if not plans:
        return
    names = {name: visible(name) for name in plans}
    name_width = min(max(map(cell_len, names.values())), console.width // 3)
    width = min(max(console.width - name_width - 2, _LEAST_STRIP), _MOST_STRIP)
    console.print(words("Along the network", "bold"))
    lines = {name: strip(problem, plan, width) for name, plan in plans.items()}
    for name, line in lines.items():
        room = name_width - cell_len(names[name])
        # A name that is too long has a line of its own.
        begin = Text(names[name] + " " * (room + 2) if room >= 0 else f"{names[name]}\n{' ' * (name_width + 2)}")
        console.print(begin + coloured(problem, line), no_wrap=True, overflow="fold")
    small = any(letter.islower() for line in lines.values() for letter in line)
    console.print(words(legend(problem) + ("; small: most of these layers" if small else "")))


def print_explanation(console: Console, found: Explanation) -> None:
    """Print why a problem is infeasible, or a plan."""
    console.print(words(str(found)))
    if found.plan is not None:
        console.print(placement_table(found.problem, found.plan, evaluate(found.problem, found.plan)))


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print a comparison."""
    name, unit = objective_name(comparison.problem)
    bound = comparison.bound
    rows = []
    for row in comparison.rows:
        shown, compared = against(row.objective, unit, comparison.best, row.violations)
        gap = "" if row.violations or row.gap is None else format_gap(row.gap)
        elsewhere = "" if row.elsewhere is None else str(len(row.elsewhere))
        rows.append((row.name, row.status, shown, gap, compared, elsewhere, format_runtime(row.seconds)))
    title = f"{comparison.problem.name}: best bound {'unknown' if bound is None else format_quantity(bound, unit, 6)}"
    columns = [
        ("method", "left"),
        ("status", "left"),
        (name, "right"),
        ("gap to bound", "right"),
        ("to best plan", "left"),
        ("layers elsewhere", "right"),
        ("time", "right"),
    ]
    shown_columns, shown_rows = _fitting(console.width, columns, rows, ("layers elsewhere", "status", "gap to bound"))
    console.print(table(title, shown_columns, shown_rows))
    left_out = [name for name, _ in columns if name not in dict(shown_columns)]
    if left_out:
        console.print(words(f"There is no room here for: {', '.join(left_out)}."))
    console.print()
    print_strips(console, comparison.problem, {row.name: row.plan for row in comparison.rows if row.plan is not None})


def _fitting(
    width: int, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], expendable: Sequence[str]
) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Return columns and rows without those columns, the first first, that a terminal of this width has no room for."""
    needed = widths(columns, rows)
    kept = list(range(len(columns)))
    for name in expendable:
        if sum(needed[index] + 2 for index in kept) - 2 <= width:
            break
        kept = [index for index in kept if columns[index][0] != name]
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows]


def print_best_plans(console: Console, found: BestPlans) -> None:
    """Print the best plans: values, what is proved of them, and the plans along the network."""
    name, unit = objective_name(found.problem)
    if not found.plans:
        console.print(words("no plan is feasible" if found.exhausted else "no plan was found"))
        return
    best = found.plans[0]
    rows = [
        (
            str(rank),
            format_quantity(ranked.objective, unit, 6),
            "" if rank == 1 else _beside(ranked.objective, best.objective),
            "proved" if ranked.proved else f"not proved, gap {format_gap(ranked.gap)}",
            "" if rank == 1 else str(len(moved(found.problem, ranked.plan, best.plan))),
            where(found.problem, ranked.plan),
        )
        for rank, ranked in enumerate(found.plans, 1)
    ]
    columns = [("rank", "right"), (name, "right"), ("to the best", "left"), ("proof", "left")]
    columns += [("layers elsewhere", "right"), ("layers on each device", "left")]
    title = f"{found.problem.name}: {_ranked_count(found)}, by {found.method} in {format_runtime(found.runtime)}"
    console.print(table(title, columns, rows))
    console.print()
    print_strips(console, found.problem, {str(rank): ranked.plan for rank, ranked in enumerate(found.plans, 1)})


def _ranked_count(found: BestPlans) -> str:
    count = len(found.plans)
    if count == found.asked:
        return "the best plan" if count == 1 else f"the {count} best plans"
    plans = counted(count, "plan")
    return f"{plans}, and there are no others" if found.exhausted else f"{plans} of {found.asked} asked for"


def print_set_comparison(console: Console, found: SetComparison) -> None:
    """Print methods over a set of problems."""
    rows = found.to_table()
    if rows:
        columns = [(name, "left" if name in ("method", "problems") else "right") for name in rows[0]]
        title = "Gaps to the best known values, over the problems with a plan"
        console.print(table(title, columns, [[str(value) for value in row.values()] for row in rows]))


def print_sweep(console: Console, sweep: Sweep) -> None:
    """Print a sweep: which plan from where to where, the plans along the network, and the points asked for."""
    name, unit = objective_name(sweep.problem)
    varied = sweep.parameter.unit

    def value(number: float, digits: int = 6) -> str:
        return format_quantity(number, varied, digits)

    def objective(number: float | None) -> str:
        return "-" if number is None else format_quantity(number, unit, 6)

    at = {point.value: point for point in sweep.points}
    several = len(sweep.plans) > 1
    rows = [
        (
            "none" if plan is None else f"plan {plan + 1}",
            value(low),
            value(high),
            objective(at[low].objective),
            objective(at[high].objective),
            "" if plan is None else where(sweep.problem, sweep.plans[plan]),
        )
        for low, high, plan in sweep.segments
    ]
    columns = [("best", "left"), ("from", "right"), ("to", "right"), (f"{name} there", "right"), ("and there", "right")]
    columns.append(("layers on each device", "left"))
    title = f"{sweep.problem.name}: {sweep.parameter} from {value(sweep.low)} to {value(sweep.high)}"
    console.print(table(title, columns, rows))
    console.print(words(_certainty(sweep)))
    console.print()
    print_strips(console, sweep.problem, {f"plan {index + 1}": plan for index, plan in enumerate(sweep.plans)})
    console.print()
    asked = [point for point in sweep.points if point.asked]
    names = list(dict.fromkeys(name for point in asked for name in point.baselines))
    columns = [(str(sweep.parameter), "right"), (name, "right"), ("gap", "right")]
    columns += [("plan", "right")] if several else []
    columns += [(f"best {baseline}" if baseline == "all-on-one" else baseline, "left") for baseline in names]
    lines = []
    for point in asked:
        line = [value(point.value, 4), objective(point.objective), format_gap(point.gap)]
        if point.objective is None:
            line[2] = point.status
        line += [("-" if point.plan is None else str(point.plan + 1))] if several else []
        line += [_beside(point.baselines.get(baseline), point.objective) for baseline in names]
        lines.append(line)
    console.print(table("Points", columns, lines))


def _beside(value: float | None, best: float | None) -> str:
    """Return how much worse a baseline is."""
    if value is None:
        return "-"
    if best is None:
        return "a plan"
    return "the same" if value == best else f"+{100 * (value - best) / abs(best):.3g} %" if best else "worse"


def _certainty(sweep: Sweep) -> str:
    """Return what is known of the break points."""
    count = len(sweep.breaks)
    share = "its value" if sweep.scale == "log" else "the range"
    found = f"{counted(count, 'break point')}, within {sweep.tolerance:g} of {share}" if count else ""
    found = found or "no break point"
    if not sweep.complete:
        return f"{found}; not complete: points or break points are missing"
    if sweep.exhaustive:
        return f"{found}; no other is possible"
    proved = all(point.status in ("optimal", "infeasible") for point in sweep.points)
    why = "" if proved else ", and not every point is proved optimal"
    return f"{found}; between two points with the same plan, others are possible{why}"
