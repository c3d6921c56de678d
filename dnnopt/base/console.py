"""How reports are put on a terminal: texts as they are, without markup, and tables that any width has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from dnnopt.base.text import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

_LEAST = 6  # characters of a column: where there is room for fewer, a table becomes a list
_GAP = 2  # between columns


def words(text: str, style: str = "") -> Text:
    """Return a text to print: nothing in it is markup, and what a terminal would act on is escaped."""
    from rich.text import Text

    return Text(visible(text), style)


def headed(head: str, text: str) -> Text:
    """Return a text to print after a bold head."""
    return words(head, "bold") + words(text)


def table(title: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> RenderableType:
    """Return a table to print, of columns with a name and a side (``left`` or ``right``).

    A terminal that is too narrow for the columns gets a list: for each row, the name and the value of each cell.
    """
    from rich.console import Group

    return Group(words(title, "bold"), _Table(columns, list(rows)))  # a title of its own would be folded to its width


class _Table:
    def __init__(self, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> None:
        self._columns = columns
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        least = sum(min(width, _LEAST) for width in widths(self._columns, self._rows)) + _GAP * (len(self._columns) - 1)
        yield self._as_table() if least <= options.max_width else self._as_list()

    def _as_table(self) -> RenderableType:
        from rich.table import Table

        show_header = any(name for name, _ in self._columns)
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=show_header)
        for name, side in self._columns:
            table.add_column(words(name), justify="right" if side == "right" else "left", overflow="fold")
        for row in self._rows:
            table.add_row(*map(words, row))
        return table

    def _as_list(self) -> RenderableType:
        from rich.text import Text

        names = [name for name, _ in self._columns]
        lines = [
            words("- " if position == 0 else "  ") + words(f"{name}: " if name else "") + words(cell)
            for row in self._rows
            for position, (name, cell) in enumerate(zip(names, row, strict=True))
            if cell
        ]
        return Text("\n").join(lines)


def widths(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide each column is where there is room."""
    from rich.cells import cell_len

    names = [name for name, _ in columns]
    return [max(cell_len(visible(cell)) for cell in cells) for cells in zip(names, *rows, strict=True)]


def as_text(show: Callable[[Console], None]) -> str:
    """Return what `show` prints on a console of 110 columns, as plain text."""
    import io

    from rich.console import Console

    stream = io.StringIO()
    show(Console(file=stream, width=110, color_system=None, force_jupyter=False))  # plain in notebooks too
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))
