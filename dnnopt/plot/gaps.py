"""Gap profile: how many problems each method solves within a gap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.plot.fitting import legend_beside, set_title, short_names, size_beside
from dnnopt.plot.style import axes_or_new, clean, figure_of, legend_entry, line_colour, line_style, marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EXACT = 1e-6  # what is closer counts as no gap


@checked
def gaps(methods: Mapping[str, Sequence[float | None]], *, axes: Axes | None = None) -> Figure:
    """Draw for each method the share of problems that it solves within a gap, over the gap.

    A line that is higher is better; where it begins, on the left, is the share of optima found, and where it ends the
    share of problems with a plan at all. After Dolan, Moré: Benchmarking optimization software with performance
    profiles, Mathematical Programming 91, 2002, with gaps for ratios of times.

    Parameters
    ----------
    methods : mapping of str to sequence of (float or None)
        For each method its relative gaps, ``(objective - best) / |best|``, one for each problem; None where it found
        no plan.
    axes : matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    InputError
        If there is no method, if one has no problem, or matplotlib is not installed.
    """
    if not methods:
        raise InputError("one method or more", field="methods", value=dict(methods))
    names = short_names(methods)
    axes = axes_or_new(axes, *size_beside(6.4, 3.8, list(names.values())))
    largest = max((gap for found in methods.values() for gap in found if gap is not None and gap < math.inf), default=0)
    end = 10 ** math.ceil(math.log10(max(100 * largest, 1.0)) + 0.05)
    for index, (name, found) in enumerate(methods.items()):
        if not found:
            raise InputError("a gap for each problem", field=f"methods.{name}", value=list(found))
        reached, shares = profile_steps(found)
        draw_steps(axes, index, names[name], [100 * gap for gap in reached], shares, end)
    axes.set_xscale("symlog", linthresh=0.1, linscale=0.5)
    axes.set(xlim=(0, end), ylim=(0, 102), xlabel="gap (%)", ylabel="problems (%)")
    axes.set_xticks([0, *(10.0**power for power in range(-1, round(math.log10(end)) + 1))])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    problems = max(len(found) for found in methods.values())
    set_title(axes, f"Problems within a gap, of {problems}")
    legend_beside(axes)
    clean(axes)
    return figure_of(axes)


def draw_steps(axes: Axes, index: int, name: str, reached: list[float], shares: list[float], end: float) -> None:
    """Draw the line of a method: shares of problems, and where they grow to them."""
    axes.plot(
        [*reached, end],
        [100 * share for share in [*shares, shares[-1]]],
        drawstyle="steps-post",
        label=legend_entry(name),
        color=line_colour(index),
        linestyle=line_style(index),
        marker=marker(index),
        markevery=slice(0, -1, max(1, len(reached) // 8)),
        markersize=4,
    )


def profile_steps(found: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Return the gaps at which the share of problems grows, beginning with 0, and the shares."""
    known = sorted(0.0 if gap <= _EXACT else gap for gap in found if gap is not None and gap < math.inf)
    reached = sorted({0.0, *known})
    return reached, [sum(gap <= step for gap in known) / len(found) for step in reached]
