"""Loads of the resources, against the period."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import format_quantity
from dnnopt.base.text import COLOURS
from dnnopt.methods.result import Result
from dnnopt.plot.fitting import legend_beside, set_title, short_names, size_beside, text_width
from dnnopt.plot.style import INK, axes_or_new, axis_unit, clean, figure_of, hatch, labelled, plain
from dnnopt.plot.subject import headline, planned
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_NAMES = 9.0  # points
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.8}


@checked
def loads(subject: Result | Problem, plan: Plan | None = None, *, axes: Axes | None = None) -> Figure:
    """Draw what computing and sending take of each resource in a period, as bars against the period.

    Resources that do nothing are left out.

    Parameters
    ----------
    subject : Result or Problem
    plan : Plan, optional
        Of the problem; a result has one.
    axes : matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    InputError
        If there is no plan, or one that cannot run, or matplotlib is not installed.
    """
    problem, plan, evaluation = planned(subject, plan)
    metrics = evaluation.metrics
    period = metrics["period"]
    if not math.isfinite(period):
        raise InputError("", field="plan", problem=f"has no period: {evaluation.violations[0].message}")
    resources = [one for one in problem.platform.all_resources() if metrics[f"load({one.name})"] > 0]
    totals = [metrics[f"load({one.name})"] for one in resources]
    computing = [math.fsum(metrics[f"busy({device})"] for device in one.devices) for one in resources]
    sending = [max(0.0, total - part) for total, part in zip(totals, computing, strict=True)]
    names = short_names(one.name for one in resources)
    bound = f"period {format_quantity(period, 's')}"
    left = 0.35 + max((text_width(name, _NAMES) for name in names.values()), default=0.0)
    axes = axes_or_new(axes, *size_beside(6.0 + left, 1.5 + 0.34 * len(resources), [bound]))
    factor, unit = axis_unit([period], "s")
    lanes = range(len(resources))
    for index, (name, values) in enumerate((("computing", computing), ("sending", sending))):
        axes.barh(
            lanes,
            [value / factor for value in values],
            left=[part / factor for part in computing] if index else 0,
            label=name,
            color=COLOURS[index],
            hatch=hatch(index),
            edgecolor="white",
            height=0.7,
        )
    for lane, total in zip(lanes, totals, strict=True):
        axes.text(
            total / factor,
            lane,
            f" {format_quantity(total, 's', 3)}",
            va="center",
            fontsize=7.5,
            color=INK,
            bbox=_BEHIND,
        )
    axes.axvline(period / factor, color=INK, linestyle="--", linewidth=1.2, label=bound)
    axes.set_yticks(list(lanes), [plain(names[one.name]) for one in resources], fontsize=_NAMES)
    axes.set(ylim=(len(resources) - 0.4, -0.6), xlim=(0, 1.14 * period / factor or 1), xlabel=labelled("load", unit))
    set_title(axes, headline(problem, evaluation), left)
    legend_beside(axes)
    clean(axes)
    return figure_of(axes)
