"""Incumbent and bound over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import format_gap
from dnnopt.base.text import COLOURS
from dnnopt.methods.result import Event, Result
from dnnopt.plot.fitting import legend_beside, set_title, short_title, size_beside
from dnnopt.plot.style import FAINT, axes_or_new, axis_unit, clean, figure_of, labelled, plain
from dnnopt.problem.words import objective_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Steps = tuple[list[float], list[float]]


@checked
def progress(result: Result, *, axes: Axes | None = None) -> Figure:
    """Draw the best plan's objective and the best bound of a run over time, each as steps; what is between is the gap.

    Of several priorities, the first.

    Parameters
    ----------
    result : Result
    axes : matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    InputError
        If the run found neither plan nor bound, or matplotlib is not installed.
    """
    events = first_stage(result.trace)
    end = result.runtime if len(events) == len(result.trace) else events[-1].time
    incumbent = steps([(event.time, event.objective) for event in events], end)
    bound = steps([(event.time, event.bound) for event in events], end)
    if not incumbent[0] and not bound[0]:
        raise InputError("a result with a plan or a bound", field="result.trace", value=result.status)
    labels = [
        f"{what} ({found_by})" if found_by else what
        for what, found_by in (("plan", result.found_by), ("bound", result.bound_by))
    ]
    axes = axes_or_new(axes, *size_beside(7.2, 3.4, labels))
    name, unit = objective_name(result.problem)
    factor, shown = axis_unit(incumbent[1] or bound[1], unit)
    look: dict[str, Any] = {"drawstyle": "steps-post", "markersize": 4}
    if incumbent[0]:
        axes.plot(
            incumbent[0],
            [value / factor for value in incumbent[1]],
            color=COLOURS[0],
            marker="o",
            markevery=slice(0, -1),
            label=plain(labels[0]),
            **look,
        )
    if bound[0]:
        axes.plot(
            bound[0],
            [value / factor for value in bound[1]],
            color=COLOURS[5],
            linestyle="--",
            marker="s",
            markevery=slice(0, -1),
            label=plain(labels[1]),
            **look,
        )
    axes.axvline(end, color=FAINT, linewidth=0.8)
    axes.set(xlim=(0, 1.02 * end or 1), xlabel="time (s)", ylabel=labelled(name, shown))
    title = f"{short_title(result.problem.title)}: {result.status}, gap {format_gap(result.gap)}"
    set_title(axes, title)
    legend_beside(axes)
    clean(axes)
    return figure_of(axes)


def first_stage(trace: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return the events of the first priority: each priority's clock starts anew."""
    for position in range(1, len(trace)):
        if trace[position].time < trace[position - 1].time:
            return trace[:position]
    return trace


def steps(points: list[tuple[float, float | None]], end: float) -> Steps:
    """Return times and values where a value changes, and the last one at the end; without those that are missing."""
    times: list[float] = []
    values: list[float] = []
    for time, value in points:
        if value is not None and (not values or value != values[-1]):
            times.append(time)
            values.append(value)
    return ([*times, max(end, times[-1])], [*values, values[-1]]) if times else ([], [])
