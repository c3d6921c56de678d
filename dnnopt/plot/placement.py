"""A network with its placement: layers in the colours of their devices, and the tensors that are sent."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dnnopt.base.arguments import checked
from dnnopt.base.numbers import counted, format_quantity
from dnnopt.methods.result import Result
from dnnopt.plot.fitting import LINE, TITLE_SIZE, legend_below, set_title, short_names, text_width
from dnnopt.plot.layout import columns_and_tracks
from dnnopt.plot.style import FAINT, INK, figure_of, legend_entry, look, new_figure, plain, plain_lines
from dnnopt.plot.subject import headline, planned
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.referee import Evaluation

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

_NAMED = 48  # up to so many layers, each is a box with its name
_NAME_LENGTH = 15
_WIDE, _SMALL = (1.15, 0.62), (0.27, 0.3)  # inches of a cell, with and without names
_LEAST_WIDTH, _MOST_HEIGHT, _MARGIN = 5.0, 30.0, 0.1  # inches
_HALF_WIDTH, _HALF_HEIGHT = 0.38, 0.33  # of a box, in cells
_GAP = 0.9  # between rows, in cells
_SIZES, _MOST_LABELS = 6.5, 40
_LAYER = "layer "  # begins the node of a layer, which may be called like one where the input starts


@dataclass(frozen=True)
class _Node:
    """A box: a layer, or where the input starts or the answer is wanted."""

    name: str
    device: str | None
    row: int
    x: float
    y: float


@dataclass(frozen=True)
class _Edge:
    """A tensor on its way to one consumer, with what is said of it where it is sent."""

    tensor: str
    size: float
    text: str
    producer: str
    consumer: str


@checked
def placement(
    subject: Result | Problem, plan: Plan | None = None, *, axes: Axes | None = None, columns: int | None = None
) -> Figure:
    """Draw the networks with the device of each layer, and each tensor that is sent with its size.

    Layers stand in columns by their depth; a long network goes on in the next row, like text. Up to 48 layers have
    names, and modes where their devices have several. An arrow is a copy that is sent, with its size and its form (the
    largest first, as far as there is space); thin lines lead to other layers there that use it.

    Parameters
    ----------
    subject : Result or Problem
    plan : Plan, optional
        Of the problem; a result has one.
    axes : matplotlib Axes, optional
        Where to draw, instead of a new figure.
    columns : int, optional
        Columns in a row; by default such that the figure is about as wide as a page.

    Raises
    ------
    InputError
        If there is no plan, or matplotlib is not installed.
    """
    problem, plan, evaluation = planned(subject, plan)
    named = sum(len(network.layers) for network in problem.networks) <= _NAMED
    cell = _WIDE if named else _SMALL
    graphs = [_graph(problem, network, plan, evaluation) for network in problem.networks]
    layouts = [
        columns_and_tracks(list(devices), [(e.producer, e.consumer) for e in edges]) for devices, edges in graphs
    ]
    columns = columns or _fitting_columns(layouts, cell)
    top = 0.0
    drawn: list[tuple[dict[str, _Node], list[_Edge]]] = []
    headings: list[tuple[float, str]] = []
    for network, (devices, edges), (depth, tracks) in zip(problem.networks, graphs, layouts, strict=True):
        if len(problem.networks) > 1:
            headings.append((top - 0.1, network.name))
            top -= 0.9
        nodes, top = _rows(devices, depth, tracks, columns, top)
        drawn.append((nodes, edges))
    width = max(node.x for nodes, _ in drawn for node in nodes.values()) + 2.2
    height = -top + 0.5
    scale = min(1.0, _MOST_HEIGHT / (height * cell[1]))
    handles = _legend_entries(problem, plan, evaluation.metrics)
    own = axes is None
    if axes is None:
        axes = _new_axes(max(_LEAST_WIDTH, width * cell[0] * scale), height * cell[1] * scale)
    axes.set(xlim=(-1.1, width - 1.1), ylim=(top, 0.5))
    axes.set_axis_off()
    place = _Place.of(axes)
    shown_networks = short_names((text for _, text in headings), 40)
    sent = []
    for nodes, edges in drawn:
        _draw_boxes(axes, problem, nodes, cell)
        sent += _draw_edges(axes, nodes, edges, columns, cell, problem.transport == "per_edge")
    for y, text in headings:
        axes.text(-0.5, y, plain(shown_networks[text]), fontsize=9, fontweight="bold", color=INK, va="center")
    taken = [
        _Box(-0.5, y - 0.3, -0.5 + text_width(shown_networks[text], 9, "bold") / place.cell[0], y + 0.3)
        for y, text in headings
    ]
    for network, (nodes, _) in zip(problem.networks, drawn, strict=True):
        modes = _modes(problem, network, plan)
        taken += _draw_names(axes, place, problem, nodes, modes if named else None, max(4.0, 6.5 * scale))
    labels = _draw_sizes(axes, place, sent, taken)
    title = headline(problem, evaluation)
    if sent:
        title += "; 1 copy sent" if len(sent) == 1 else f"; {len(sent)} copies sent"
        title += f", sizes at {labels} of them" if labels < len(sent) else ""
    if own:
        _frame(axes, title, handles)
    else:
        set_title(axes, title)
        legend_below(axes, handles, place.size[0])
    return figure_of(axes)


@dataclass(frozen=True)
class _Box:
    """A rectangle, in cells."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )


@dataclass(frozen=True)
class _Place:
    """The axes' size, and that of a cell, in inches; and what they show, in cells."""

    size: tuple[float, float]
    cell: tuple[float, float]
    shown: _Box

    @staticmethod
    def of(axes: Axes) -> _Place:
        extent = axes.get_window_extent()
        dpi = figure_of(axes).dpi
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        size = extent.width / dpi, extent.height / dpi
        cell = size[0] / (right - left), size[1] / (top - bottom)
        return _Place(size, cell, _Box(left, bottom, right, top))

    def box(self, x: float, y: float, text: str, size: float, weight: str = "normal") -> _Box:
        """Return where a text lies that stands with its middle at a place, moved sideways to where it is seen whole."""
        lines = text.split("\n")
        half = max(text_width(line, size, weight) for line in lines) / 2 / self.cell[0]
        x = max(self.shown.left + half, min(self.shown.right - half, x))
        tall = len(lines) * LINE * size / 72 / 2 / self.cell[1]
        return _Box(x - half, y - tall, x + half, y + tall)


def _new_axes(width: float, height: float) -> Axes:
    """Return axes of that size, in inches; `_frame` gives the figure its height."""
    figure = new_figure(width + 2 * _MARGIN, height, layout=None)
    return figure.add_axes((_MARGIN / (width + 2 * _MARGIN), 0, width / (width + 2 * _MARGIN), 1))


def _frame(axes: Axes, title: str, handles: Sequence[Artist]) -> None:
    """Put title and legend above and below axes, which keep their size: the figure grows."""
    figure = figure_of(axes)
    width, height = figure.get_size_inches()
    below = legend_below(axes, handles, width - 2 * _MARGIN) + _MARGIN
    above = set_title(axes, title, _MARGIN) * TITLE_SIZE * LINE / 72 + 2 * _MARGIN
    whole = height + below + above
    figure.set_size_inches(width, whole)
    axes.set_position((_MARGIN / width, below / whole, 1 - 2 * _MARGIN / width, height / whole))


def _graph(
    problem: Problem, network: Network, plan: Plan, evaluation: Evaluation
) -> tuple[dict[str, str | None], list[_Edge]]:
    """Return the device of each node in a topological order, and the edges; each source of raw input is a node."""
    devices: dict[str, str | None] = {}
    edges, of = [], problem.platform.device_of()
    copies = {one.tensor: one for one in evaluation.transmissions if one.network == network.name}
    for tensor in network.tensors:
        copy = copies.get(tensor.name)
        size = tensor.bytes if copy is None else copy.bytes
        text = (f"{copy.form} " if copy and copy.form else "") + format_quantity(size, "bytes", 3)
        producer = _LAYER + tensor.producer
        if tensor.producer == INPUT:
            source = problem.source_of(network, tensor.source)
            producer = INPUT if source is None else f"{INPUT} at {source}"
            devices[producer] = source
        for consumer in tensor.consumers:
            if consumer != OUTPUT or network.sink is not None:
                end = OUTPUT if consumer == OUTPUT else _LAYER + consumer
                edges.append(_Edge(tensor.name, size, text, producer, end))
    for index in network.order:
        name = network.layers[index].name
        devices[_LAYER + name] = of[plan.placement[network.name][name]]
    if any(edge.consumer == OUTPUT for edge in edges):
        devices[OUTPUT] = network.sink
    return devices, edges


def _fitting_columns(layouts: list[tuple[dict[str, int], dict[str, int]]], cell: tuple[float, float]) -> int:
    """Return how many columns make a page at least 1.2 times as wide as high, within 7 to 26 inches."""
    longest = max(max(depth.values()) for depth, _ in layouts) + 1
    for columns in range(round(7 / cell[0]), round(26 / cell[0]) + 1):
        height = sum(
            highest - lowest + 1 + _GAP
            for depth, tracks in layouts
            for lowest, highest in _extents(depth, tracks, columns)
        )
        if columns >= longest or columns * cell[0] >= 1.2 * height * cell[1]:
            break
    rows = math.ceil(longest / columns)
    return math.ceil(longest / rows)  # the last row is then about as long as the others


def _extents(depth: dict[str, int], tracks: dict[str, int], columns: int) -> list[tuple[int, int]]:
    """Return the lowest and the highest track of each row."""
    rows: dict[int, list[int]] = defaultdict(list)
    for name, column in depth.items():
        rows[column // columns].append(tracks[name])
    return [(min(rows[row]), max(rows[row])) for row in sorted(rows)]


def _rows(
    devices: dict[str, str | None], depth: dict[str, int], tracks: dict[str, int], columns: int, top: float
) -> tuple[dict[str, _Node], float]:
    """Return the nodes at their places, and where the next row would begin."""
    nodes: dict[str, _Node] = {}
    for row, (lowest, highest) in enumerate(_extents(depth, tracks, columns)):
        for name, device in devices.items():
            if depth[name] // columns == row:
                y = top - 0.5 - (highest - tracks[name])
                nodes[name] = _Node(name, device, row, depth[name] % columns, y)
        top -= highest - lowest + 1 + _GAP
    return nodes, top


def _draw_boxes(axes: Axes, problem: Problem, nodes: dict[str, _Node], cell: tuple[float, float]) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Ellipse, Rectangle

    names = problem.platform.device_names()
    for index, device in enumerate((*names, None)):
        here = [node for node in nodes.values() if node.device == device]
        layers = [node for node in here if not _is_end(node.name)]
        corners = [(node.x - _HALF_WIDTH, node.y - _HALF_HEIGHT) for node in layers]
        boxes = [Rectangle(corner, 2 * _HALF_WIDTH, 2 * _HALF_HEIGHT) for corner in corners]
        style = look(index) if device is not None else {"facecolor": "white", "edgecolor": INK}
        if boxes:
            axes.add_collection(PatchCollection(boxes, label=device, linewidth=0.5, zorder=3, **style))
        ends = [Ellipse((node.x, node.y), *_end_size(cell)) for node in here if _is_end(node.name)]
        if ends:
            axes.add_collection(PatchCollection(ends, linewidth=1.2, zorder=3, **style))


def _draw_names(
    axes: Axes, place: _Place, problem: Problem, nodes: dict[str, _Node], modes: dict[str, str] | None, size: float
) -> list[_Box]:
    """Write the names of the ends and, unless `modes` is None, of layers in them; return where those of ends lie."""
    layers = short_names((name.removeprefix(_LAYER) for name in nodes if not _is_end(name)), _NAME_LENGTH)
    devices = short_names(problem.platform.device_names(), _NAME_LENGTH)
    taken = []
    for node in nodes.values():
        if _is_end(node.name):
            at = f"\nat {devices[node.device]}" if node.name != OUTPUT and node.device is not None else ""
            text = (OUTPUT if node.name == OUTPUT else INPUT) + at
            drop = 0.1 / place.cell[1] + text.count("\n") * LINE * size / 72 / 2 / place.cell[1]
            box = place.box(node.x, node.y - drop - LINE * size / 72 / 2 / place.cell[1], text, size)
            taken.append(box)
            axes.text(
                (box.left + box.right) / 2,
                box.top,
                plain_lines(text),
                fontsize=size,
                ha="center",
                va="top",
                color=INK,
                zorder=5,
            )
        elif modes is not None:
            name = node.name.removeprefix(_LAYER)
            axes.text(
                node.x,
                node.y,
                plain_lines(layers[name] + modes[name]),
                fontsize=size,
                ha="center",
                va="center",
                color=INK,
                zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
            )
    return taken


def _modes(problem: Problem, network: Network, plan: Plan) -> dict[str, str]:
    """Return a line with the mode of each layer, where its device has several."""
    executors = {one.name: one for one in problem.platform.executors()}
    shown = short_names((one.mode.name for one in executors.values()), _NAME_LENGTH)
    placed = {layer: executors[place] for layer, place in plan.placement[network.name].items()}
    return {layer: "" if one.name == one.device.name else f"\n{shown[one.mode.name]}" for layer, one in placed.items()}


def _end_size(cell: tuple[float, float]) -> tuple[float, float]:
    """Return width and height, in cells, of the circle where the input starts or the answer is wanted."""
    return 0.16 / cell[0], 0.16 / cell[1]


def _is_end(name: str) -> bool:
    return not name.startswith(_LAYER)


def _draw_edges(
    axes: Axes, nodes: dict[str, _Node], edges: list[_Edge], columns: int, cell: tuple[float, float], per_edge: bool
) -> list[tuple[float, str, float, float]]:
    """Draw the edges; return for each copy that is sent its size, as a text too, and where it arrives (x, y)."""
    from matplotlib.collections import PathCollection
    from matplotlib.patches import FancyArrowPatch

    quiet, copies, shared = [], [], []
    sent: dict[tuple[str, str | None, str], tuple[float, str, float, float]] = {}
    for edge in sorted(edges, key=lambda edge: (nodes[edge.consumer].row, nodes[edge.consumer].x)):
        start, end = nodes[edge.producer], nodes[edge.consumer]
        paths = _ways(start, end, columns, cell)
        key = (edge.tensor, end.device, edge.consumer if per_edge else "")
        if start.device in (None, end.device):
            quiet += paths
        elif key in sent:
            shared += paths
        else:
            copies += paths
            ways = np.asarray(paths[-1].vertices, dtype=float)
            middle = ways[2] if len(ways) == 5 else ways.mean(axis=0)  # the top of a bow
            sent[key] = (edge.size, edge.text, float(middle[0]), float(middle[1]))
    few = len(copies) <= 2 * _MOST_LABELS
    for path in copies:
        arrow = FancyArrowPatch(path=path, arrowstyle="-|>", color=INK, zorder=4, shrinkA=0)
        arrow.set_linewidth(1.2 if few else 0.7)
        arrow.set_mutation_scale(7 if few else 5)
        axes.add_patch(arrow)
    axes.add_collection(PathCollection(shared, facecolors="none", edgecolors=INK, linewidths=0.4, zorder=2))
    axes.add_collection(PathCollection(quiet, facecolors="none", edgecolors=FAINT, linewidths=0.8, zorder=1))
    return list(sent.values())


def _ways(start: _Node, end: _Node, columns: int, cell: tuple[float, float]) -> list[Path]:
    """Return the way from one node to another: one line, or two where it goes on in another row."""
    halves = [_end_size(cell)[0] / 2 if _is_end(node.name) else _HALF_WIDTH for node in (start, end)]
    here, there = (start.x + halves[0], start.y), (end.x - halves[1], end.y)
    if start.row == end.row:
        return [_line(here, there)]
    right = columns - 0.3
    return [_line(here, (right, start.y)), _line((-0.85, end.y), there)]


def _line(start: tuple[float, float], end: tuple[float, float]) -> Path:
    """Return a straight line to the next column, or a bow over the columns between."""
    from matplotlib.path import Path

    span = end[0] - start[0]
    if span < 1:
        return Path([start, end])
    bow = max(start[1], end[1]) + 0.5 + 0.06 * min(span, 8)
    middle = (start[0] + end[0]) / 2
    return Path(
        [start, (start[0] + 0.3, bow), (middle, bow), (end[0] - 0.3, bow), end],
        [Path.MOVETO, Path.CURVE3, Path.CURVE3, Path.CURVE3, Path.CURVE3],
    )


def _draw_sizes(axes: Axes, place: _Place, sent: list[tuple[float, str, float, float]], others: list[_Box]) -> int:
    """Write the sizes of what is sent, the largest first, where no other text stands; return how many there were."""
    taken = list(others)
    line = LINE * _SIZES / 72 / place.cell[1]
    for _, text, x, y in sorted(sent, key=lambda one: -one[0]):
        if len(taken) - len(others) == _MOST_LABELS:
            break
        for shift in (0.9, -0.9, 1.9, -1.9):
            box = place.box(x, y + shift * line, f" {text} ", _SIZES, "bold")
            inside = place.shown.bottom <= box.bottom and box.top <= place.shown.top
            if inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                axes.text(
                    (box.left + box.right) / 2,
                    (box.bottom + box.top) / 2,
                    plain(text),
                    fontsize=_SIZES,
                    fontweight="bold",
                    color=INK,
                    ha="center",
                    va="center",
                    zorder=6,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.8},
                )
                break
    return len(taken) - len(others)


def _legend_entries(problem: Problem, plan: Plan, metrics: dict[str, float]) -> list[Artist]:
    from matplotlib.patches import Patch

    of = problem.platform.device_of()
    count = Counter(of[place] for placed in plan.placement.values() for place in placed.values())
    shown = short_names(device for device in problem.platform.device_names() if count[device])
    entries: list[Artist] = []
    for index, device in enumerate(problem.platform.device_names()):
        if count[device]:
            layers = counted(count[device], "layer")
            busy = format_quantity(metrics[f"busy({device})"], "s", 3)
            entries.append(Patch(label=legend_entry(f"{shown[device]}: {layers}, {busy}"), **look(index)))
    return entries
