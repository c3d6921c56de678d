"""What the algorithm of an approach finds, above the best plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnnopt.approaches.trial import Trial
from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import format_quantity
from dnnopt.plot.fitting import set_title
from dnnopt.plot.placement import placement
from dnnopt.plot.style import new_figure
from dnnopt.problem.words import objective_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@checked
def both_plans(trial: Trial) -> Figure:
    """Draw the plan of an approach's algorithm, and below it the best one.

    Parameters
    ----------
    trial : Trial
        What `dnnopt.approaches.try_approach` returns.

    Raises
    ------
    InputError
        If it has no plans, or matplotlib is not installed.
    """
    if trial.own is None or trial.best.plan is None:
        raise InputError("a trial with both plans", field="trial", value=trial.headline())
    pairs = ((trial.problem, trial.own), (trial.best.problem, trial.best.plan))
    sizes = [placement(problem, plan).get_size_inches() for problem, plan in pairs]
    figure = new_figure(max(width for width, _ in sizes), sum(height for _, height in sizes))
    axes = figure.subplots(2, 1, height_ratios=[height for _, height in sizes])
    name, unit = objective_name(trial.problem)
    values = (trial.evaluation.objective if trial.evaluation else None, trial.best.objective)
    words = (trial.approach.title + _of(trial.variant), "the best plan" + _of(trial.best_variant))
    for place, (problem, plan), value, who in zip(axes, pairs, values, words, strict=True):
        placement(problem, plan, axes=place)
        shown = "" if value is None else f": {name} {format_quantity(value, unit, 4)}"
        set_title(place, f"{who}{shown}")
    return figure


def _of(variant: str) -> str:
    return f", {variant}" if variant else ""
