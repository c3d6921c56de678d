"""How reports are put on a terminal: texts as they are, without markup, and tables that any width has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dnnopt.base.text import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

NARROW = 80  # columns of a terminal that is not a wide one
_LEAST = 20  # characters of a column of texts that are that long, where there is room
_GAP = 2  # between columns


def words(text: str, style: str = "") -> Text:
    """Return a text to print: nothing in it is markup, and what a terminal would act on is escaped."""
    from rich.text import Text

    return Text(visible(text), style)


def headed(head: str, text: str) -> Text:
    """Return a text to print after a bold head."""
    return words(head, "bold") + words(text)


def table(
    title: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], expendable: Sequence[str] = ()
) -> RenderableType:
    """Return a table to print, of columns with a name and a side (``left`` or ``right``).

    Where a terminal is too narrow for it, headings and the texts on the left are broken between words; then the
    `expendable` columns are left out, the first first, and named; then it becomes a list: for each row, the name and
    the value of each cell. No word is broken unless it is longer than a line.
    """
    from rich.console import Group

    shown = _Table(columns, list(rows), expendable)
    return Group(words(title, "bold"), shown) if title else shown  # a title of its own would be folded to its width


class _Table:
    def __init__(
        self, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], expendable: Sequence[str]
    ) -> None:
        self._columns = [(visible(name), side) for name, side in columns]
        self._rows = [[visible(cell) for cell in row] for row in rows]
        self._expendable = expendable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        width = options.max_width
        for least in (_LEAST, 1):
            kept = list(range(len(self._columns)))
            for name in (None, *self._expendable):
                kept = [index for index in kept if self._columns[index][0] != name]
                places = {index: self._least(index, least) for index in kept}
                if _total(list(places.values())) <= width:
                    yield from self._as_table(places, width)
                    left_out = [name for index, (name, _) in enumerate(self._columns) if index not in kept]
                    if left_out:
                        yield words(f"There is no room here for: {', '.join(left_out)}.")
                    return
        yield self._as_list(width)

    def _cells(self, index: int) -> list[str]:
        return [row[index] for row in self._rows]

    def _natural(self, index: int) -> int:
        from rich.cells import cell_len

        return max(map(cell_len, [self._columns[index][0], *self._cells(index)]))

    def _least(self, index: int, least: int) -> int:
        """Return the characters that a column needs: numbers are never broken, and texts not below `least`."""
        from rich.cells import cell_len

        name, side = self._columns[index]
        cells = self._cells(index)
        texts = cells if side == "right" else [word for cell in cells for word in cell.split()]
        longest = max(map(cell_len, [*texts, *_two_lines(name)]))
        return longest if side == "right" else max(longest, min(self._natural(index), least))

    def _as_table(self, places: dict[int, int], width: int) -> Iterable[RenderableType]:
        spare = width - _total(list(places.values()))
        for index in sorted(places, key=lambda index: self._natural(index) - places[index]):
            more = min(spare, self._natural(index) - places[index])
            places[index] += more
            spare -= more
        if any(self._columns[index][0] for index in places):
            yield from self._lines([name for name, _ in self._columns], places, "bold", below=True)
        for row in self._rows:
            yield from self._lines(row, places)

    def _lines(
        self, row: Sequence[str], places: Mapping[int, int], style: str = "", below: bool = False
    ) -> Iterable[RenderableType]:
        """Yield the lines of a row; cells with fewer lines begin at the top, or end below."""
        from rich.cells import cell_len
        from rich.text import Text

        cells = {index: wrapped(row[index], place) for index, place in places.items()}
        height = max(map(len, cells.values()))
        for index, lines in cells.items():
            missing = [""] * (height - len(lines))
            cells[index] = missing + lines if below else lines + missing
        for position in range(height):
            parts = []
            for index, place in places.items():
                room = " " * (place - cell_len(cells[index][position]))
                right = self._columns[index][1] == "right"
                parts.append(room + cells[index][position] if right else cells[index][position] + room)
            yield Text((" " * _GAP).join(parts).rstrip(), style, no_wrap=True, overflow="ignore")

    def _as_list(self, width: int) -> RenderableType:
        from rich.cells import cell_len
        from rich.text import Text

        lines = []
        for row in self._rows:
            items = [f"{name}: {cell}" if name else cell for (name, _), cell in zip(self._columns, row, strict=True)]
            first, *others = [item for item, cell in zip(items, row, strict=True) if cell] or [""]
            lines.append(f"- {first}")
            line = ""
            for item in others:
                if line and cell_len(f"  {line}; {item}") > width:
                    lines.append(f"  {line}")
                    line = ""
                line = f"{line}; {item}" if line else item
            lines += [f"  {line}"] if line else []
        folded = [
            ("  " if position else "") + part
            for line in lines
            for position, part in enumerate(wrapped(line, width, width - 2))
        ]
        return Text("\n".join(folded), no_wrap=True, overflow="ignore")


def _two_lines(heading: str) -> tuple[str, str]:
    """Return a heading in two parts, the longer one as short as possible."""
    from rich.cells import cell_len

    names = heading.split()
    parts = [(" ".join(names[:count]), " ".join(names[count:])) for count in range(len(names) + 1)]
    return min(parts, key=lambda part: max(map(cell_len, part)))


def _total(places: Sequence[int]) -> int:
    return sum(places) + _GAP * (len(places) - 1)


def wrapped(text: str, width: int, rest: int | None = None) -> list[str]:
    """Return a text in lines of at most `width` cells, the later ones `rest`; only longer words are broken."""
    from rich.cells import cell_len, chop_cells

    if cell_len(text) <= width:
        return [text]
    rest = width if rest is None else rest
    begin = text[: len(text) - len(text.lstrip(" "))]
    lines: list[str] = []
    line = begin
    for word in text.split():
        place = rest if lines else width
        longer = f"{line} {word}" if line.strip() else f"{line}{word}"
        if cell_len(longer) <= place:
            line = longer
            continue
        if line.strip():
            lines.append(line)
        else:
            word = f"{line}{word}"
        *whole, line = chop_cells(word, rest)
        lines += whole
    return [*lines, line]


def as_text(show: Callable[[Console], None]) -> str:
    """Return what `show` prints on a console of 80 columns, as plain text."""
    import io

    from rich.console import Console

    stream = io.StringIO()
    show(Console(file=stream, width=NARROW, color_system=None, force_jupyter=False))  # plain in notebooks too
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))
