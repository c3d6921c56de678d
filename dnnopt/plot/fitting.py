"""Texts that keep to their room: measured before they are drawn, cut where they are alike, wrapped at blanks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any

from dnnopt.base.extras import optional
from dnnopt.base.text import visible
from dnnopt.plot.style import figure_of, plain_lines

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

LEGEND_SIZE, TITLE_SIZE = 8.0, 10.0  # points
LINE = 1.25  # height of a line of text, of its size
_ENTRY = 5.3  # width of a legend's entry beside its text, of its size: handle, pads, and the gap to the next column
_LONGEST_NAME, _LONGEST_TITLE = 28, 120
_MOST_COLUMNS = 4
_BESIDE = 0.22  # of a figure's width: a legend within it takes none from the drawing
_INCHES = 1 / 72  # of a point
_LEAST_DISTINCT = 4  # letters: what differs, with an ellipsis on either side, and one more


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return how wide one line of text is drawn, in inches, at a size in points."""
    fonts, paths = (optional(f"matplotlib.{one}", "matplotlib", "plot") for one in ("font_manager", "textpath"))
    font = fonts.FontProperties(size=size, weight=weight)
    width, _, _ = paths.text_to_path.get_text_width_height_descent(text, font, False)
    return float(width) * _INCHES


def short_names(names: Iterable[str], length: int = _LONGEST_NAME) -> dict[str, str]:
    """Return for each name what to draw for it: at most `length` characters that tell it from the others.

    A name that is too long loses its middle. Where that makes names alike, what they have in common goes first: their
    beginning and their end.
    """
    seen = {name: visible(name) for name in names}
    cut = _cut(sorted(set(seen.values())), length)
    return {name: cut[text] for name, text in seen.items()}


def _cut(names: Sequence[str], length: int) -> dict[str, str]:
    """Return a text for each name: different ones, as far as so few characters can differ."""
    shown = {name: _without_middle(name, length) for name in names}
    alike: dict[str, list[str]] = defaultdict(list)
    for name, text in shown.items():
        alike[text].append(name)
    taken = {text for text, members in alike.items() if len(members) == 1}
    for members in alike.values():
        if len(members) > 1:
            for name, text in _cut_alike(members, length).items():
                shown[name] = text if text not in taken else _numbered(text, length, taken)
                taken.add(shown[name])
    return shown


def _cut_alike(names: Sequence[str], length: int) -> dict[str, str]:
    """Return texts for names with the same beginning and end, of which there is as much as leaves room for the rest."""
    if length < _LEAST_DISTINCT:
        return {name: _without_middle(name, length) for name in names}
    before = _shared(names)
    rests = [name[before:] for name in names]
    after = _shared([rest[::-1] for rest in rests])
    own = {name: rest[: len(rest) - after] for name, rest in zip(names, rests, strict=True)}
    room = length - (before > 0) - (after > 0)  # without an ellipsis for each
    cores = _cut(sorted(set(own.values())), room)
    spare = room - max(map(len, cores.values()))
    head = names[0][:before]
    if before > spare + 1:
        head = f"{head[:spare]}…"
    spare -= max(0, len(head) - 1)
    tail = names[0][len(names[0]) - after :]
    if after > spare + 1:
        tail = f"…{tail[after - spare :]}"
    return {name: f"{head}{cores[core]}{tail}" for name, core in own.items()}


def _shared(texts: Sequence[str]) -> int:
    """Return how many characters all texts begin with."""
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False)))


def _without_middle(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}" if tail else text[: length - 1] + "…"


def _numbered(text: str, length: int, taken: set[str]) -> str:
    """Return a text that is not taken: with a number at its end, where there is room for one."""
    for number in range(2, len(taken) + 3):
        end = f"~{number}"
        candidate = text[: max(0, length - len(end))] + end
        if len(candidate) <= length and candidate not in taken:
            return candidate
    return text


def in_lines(text: str, width: float, size: float) -> str:
    """Return a text in lines of at most so many inches; a word that is longer than a line loses its middle."""
    lines = [""]
    for word in text.split(" "):
        while text_width(word, size) > width and len(word) > 3:
            word = _without_middle(word, len(word) - 1 - len(word) // 16)
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def set_title(axes: Axes, text: str, left: float | None = None) -> int:
    """Write a title above the left end of axes, in as many lines as the figure's width asks for; return how many.

    Parameters
    ----------
    axes : matplotlib Axes
    text : str
    left : float, optional
        Inches from the figure's left edge to the axes; by default about what a layout will leave for labels.
    """
    width = figure_of(axes).get_size_inches()[0]
    here = width * axes.get_position().x0 if left is None else left
    lines = in_lines(visible(text), max(width - here - 0.15, 1.0), TITLE_SIZE)
    axes.set_title(plain_lines(lines), fontsize=TITLE_SIZE, loc="left")
    return lines.count("\n") + 1


def legend_below(axes: Axes, handles: Sequence[Artist], width: float) -> float:
    """Put a legend of at most so many inches below axes that have no labels there; return its height in inches."""
    columns, height = legend_size(handles, width)
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        borderaxespad=0.3,
        ncols=columns,
        frameon=False,
        fontsize=LEGEND_SIZE,
        handleheight=1.1,
    )
    return height


def legend_size(handles: Sequence[Artist], width: float) -> tuple[int, float]:
    """Return in how many columns a legend is at most so wide, and how high it then is, in inches.

    A legend is filled column by column, the first ones with one more.
    """
    texts = [text_width(str(handle.get_label()), LEGEND_SIZE) + _ENTRY * LEGEND_SIZE * _INCHES for handle in handles]
    for columns in range(min(_MOST_COLUMNS, len(texts)), 0, -1):
        rows, longer = divmod(len(texts), columns)
        ends = [(rows + 1) * min(column, longer) + rows * max(0, column - longer) for column in range(columns + 1)]
        if columns == 1 or sum(max(texts[a:b]) for a, b in pairwise(ends)) <= width:
            break
    return columns, (-(-len(texts) // columns) * 1.75 + 1.5) * LEGEND_SIZE * _INCHES


def legend_beside(axes: Axes, handles: Sequence[Artist] | None = None, **options: Any) -> None:
    """Put a legend on the right of axes, outside of them."""
    given = {} if handles is None else {"handles": handles}
    axes.legend(
        frameon=False,
        fontsize=LEGEND_SIZE,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        borderaxespad=0,
        **given,
        **options,
    )


def size_beside(width: float, height: float, labels: Sequence[str]) -> tuple[float, float]:
    """Return the size of a figure, in inches: larger than asked for where the legend beside it needs more room."""
    widest = max((text_width(label, LEGEND_SIZE) for label in labels), default=0.0) + _ENTRY * LEGEND_SIZE * _INCHES
    tallest = (1.75 * len(labels) + 1.5) * LEGEND_SIZE * _INCHES
    return width + max(0.0, widest - _BESIDE * width), max(height, tallest + 0.5)


def short_title(text: str) -> str:
    """Return a name to put into a title, without its middle where it is very long."""
    return _without_middle(text, _LONGEST_TITLE)
