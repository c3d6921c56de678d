"""Performance profile: how many problems each method solves within a factor of the best method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted
from dnnopt.plot.fitting import legend_beside, set_title, short_names, size_beside
from dnnopt.plot.gaps import draw_steps, profile_steps
from dnnopt.plot.style import axes_or_new, clean, figure_of, log_ticks
from dnnopt.studies.set_comparison import SetComparison, read_set_comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WORDS = {
    "objective": "objective, of the best method's",
    "time": "time to within 1 % of the best known, of the quickest",
}
_ROOM = 1.1  # beyond the largest ratio


@checked
def performance_profile(
    found: SetComparison | str | Path,
    of: str = "objective",
    *,
    methods: Sequence[str] = (),
    axes: Axes | None = None,
) -> Figure:
    """Draw for each method the share of problems that it solves within a factor of the best method, over the factor.

    A line that is higher is better; where it begins, on the left, is the share of problems on which no other method is
    better, and where it ends the share with a plan at all. After Dolan, Moré: Benchmarking optimization software with
    performance profiles, Mathematical Programming 91, 2002.

    Parameters
    ----------
    found : SetComparison, str or Path
        What ``compare --over`` or ``bench`` has written: a folder of results, a Parquet file of these (``dnnopt
        runs``), or the file of ``compare --over --json``.
    of : {"objective", "time"}
        Of the plans, or of how long the methods took that found one at most 1 % above the best known.
    methods : sequence of str
        Just these; by default all. Problems on which one of them has no result are left out.
    axes : matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    InputError
        If there is nothing to compare, for another word, or if matplotlib is not installed.
    """
    found = found if isinstance(found, SetComparison) else read_set_comparison(found)
    for method in methods:
        if method not in found.gaps:
            raise InputError(f"one of {', '.join(found.gaps)}", field="methods", value=method)
    if methods:
        gaps, seconds = ({method: of_all[method] for method in methods} for of_all in (found.gaps, found.seconds))
        found = SetComparison(tuple(row for row in found.rows if row.method in methods), gaps, seconds)
    ratios = {method: list(one.values()) for method, one in found.ratios(of).items()}
    problems = max(map(len, ratios.values()), default=0)
    if not problems:
        raise InputError("methods with results of the same problems", field="found", value=sorted(ratios))
    names = short_names(ratios)
    axes = axes_or_new(axes, *size_beside(6.4, 3.8, list(names.values())))
    end = _ROOM * max((ratio for one in ratios.values() for ratio in one if ratio is not None), default=1.0)
    for index, (method, one) in enumerate(ratios.items()):
        reached, shares = profile_steps([None if ratio is None else ratio - 1 for ratio in one])
        draw_steps(axes, index, names[method], [1 + gap for gap in reached], shares, end)
    axes.set_xscale("log")
    axes.set(xlim=(1, end), ylim=(0, 102), xlabel=f"{_WORDS[of]} (times)", ylabel="problems (%)")
    log_ticks(axes.xaxis)
    set_title(axes, f"Performance profile of {counted(problems, 'problem')}")
    legend_beside(axes)
    clean(axes)
    return figure_of(axes)
