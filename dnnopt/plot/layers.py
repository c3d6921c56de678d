"""Layer profile: the time of each layer on each device, and the bytes at each place where the network could be cut."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted, format_quantity
from dnnopt.base.records import check_known
from dnnopt.base.text import COLOURS
from dnnopt.plot.fitting import legend_beside, set_title, short_names, short_title, size_beside
from dnnopt.plot.style import (
    axis_unit,
    clean,
    figure_of,
    labelled,
    legend_entry,
    line_colour,
    log_ticks,
    marker,
    new_figure,
    plain,
)
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import layer_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 60  # up to so many layers, the axis has their names


@checked
def layers(problem: Problem, network: str | None = None, *, axes: tuple[Axes, Axes] | None = None) -> Figure:
    """Draw the time of each layer on each device (above), and the tensors along the network (below).

    Layers stand in a topological order. Each mode of a device has a line; devices and modes in which each layer takes
    the same time share one. Below, bars
    are what each layer makes, and steps what would be sent if the network were cut after it, all tensors that are made
    before and used later: the best single cuts are where few bytes are left and much time lies on the right side.

    Parameters
    ----------
    problem : Problem
    network : str, optional
        Which, where there are several.
    axes : pair of matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    InputError
        If there are several networks and none is named, or matplotlib is not installed.
    """
    names = [one.name for one in problem.networks]
    if network is None and len(names) > 1:
        raise InputError(f"one of {', '.join(names)}", field="network", value=None)
    check_known(network, names, "network", "network")
    drawn = problem.network(network or names[0])
    order = [drawn.layers[position] for position in drawn.order]
    named = len(order) <= _NAMED
    executors = problem.platform.executors()
    times = [
        [_seconds(layer_seconds(problem.profile, drawn, layer, executor)) for layer in order] for executor in executors
    ]
    factor, unit = axis_unit([value for row in times for value in row], "s")
    alike = _alike(times)
    labels = _labels([executor.name for executor in executors], times, alike)
    if axes is None:
        width, height = size_beside(min(14.0, max(6.4, 0.17 * len(order))), 3.4, labels)
        axes = tuple(new_figure(width, height + 2.2).subplots(2, 1, sharex=True, height_ratios=(height, 2.2)))
    above, below = axes
    places = range(len(order))
    for (index, *_), label in zip(alike, labels, strict=True):
        above.plot(
            places,
            [value / factor for value in times[index]],
            color=line_colour(index),
            marker=marker(index),
            markersize=3.5 if named else 2.5,
            linewidth=0.7 if named else 0,
            label=legend_entry(label),
        )
    if any(value > 0 for row in times for value in row):
        above.set_yscale("log")
        log_ticks(above.yaxis)
    above.set(ylabel=labelled("time", unit))
    legend_beside(above, markerscale=1 if named else 2)
    set_title(above, f"{short_title(drawn.name)}: {counted(len(order), 'layer')}")
    made, cut = tensor_bytes(drawn)
    factor, unit = axis_unit([*made, *cut], "bytes")
    below.bar(places, [size / factor for size in made], width=1.0, color=COLOURS[4], label="made by the layer")
    below.step(
        places,
        [size / factor for size in cut],
        where="mid",
        color=COLOURS[5],
        linewidth=1.1,
        label="cut after the layer",
    )
    below.set(ylabel=labelled("tensors", unit), xlim=(-0.8, len(order) - 0.2))
    legend_beside(below)
    if named:
        shown = short_names((layer.name for layer in order), 16)
        below.set_xticks(list(places), [plain(shown[layer.name]) for layer in order], rotation=90, fontsize=7)
    else:
        below.set_xlabel("layer, in topological order")
    clean(above)
    clean(below)
    return figure_of(above)


def _seconds(value: float | None) -> float:
    return math.nan if value is None else value


def _alike(times: list[list[float]]) -> list[list[int]]:
    """Return the executors with the same times as one another: their lines would hide each other."""
    found: dict[tuple[float | None, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(times):
        found[tuple(None if math.isnan(value) else value for value in row)].append(index)
    return list(found.values())


def _labels(executors: Sequence[str], times: list[list[float]], alike: list[list[int]]) -> list[str]:
    """Return for executors that are alike their names, with the time that the whole network takes on each of them."""
    shown = short_names(executors, 28 if len(alike) == len(executors) else 12)
    labels = []
    for members in alike:
        first, *others = [shown[executors[index]] for index in members]
        names = first if not others else f"{first} ... {others[-1]} ({len(members)} alike)"
        labels.append(f"{names}: {_total(times[members[0]])}")
    return labels


def _total(row: list[float]) -> str:
    missing = sum(math.isnan(value) for value in row)
    total = format_quantity(math.fsum(value for value in row if not math.isnan(value)), "s", 3)
    return f"{total}, {missing} unsupported" if missing else total


def tensor_bytes(network: Network) -> tuple[list[float], list[float]]:
    """Return for each layer, in topological order, the bytes that it makes, and those alive just after it.

    Alive is what was made before, raw input included, and is used later; results are not, unless layers use them.
    """
    place = {network.layers[position].name: index for index, position in enumerate(network.order)}
    made = [0.0] * len(place)
    change = [0.0] * (len(place) + 1)
    for tensor in network.tensors:
        users = [place[consumer] for consumer in tensor.consumers if consumer != OUTPUT]
        first = 0 if tensor.producer == INPUT else place[tensor.producer]
        if tensor.producer != INPUT:
            made[first] += tensor.bytes
        if users and max(users) > first:
            change[first] += tensor.bytes
            change[max(users)] -= tensor.bytes
    alive, cut = 0.0, []
    for step in change[:-1]:
        alive += step
        cut.append(alive)
    return made, cut
