"""Tables for other programs: CSV, Markdown, LaTeX, HTML, pandas.

Texts are shown whole and as they are in each of them: `visible`, with what the format itself would act on escaped.
Headings have the units of their columns: SI units in CSV, elsewhere with the prefix that fits the column; shares are in
per cent.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median_low
from typing import TYPE_CHECKING, Any, NamedTuple

from dnnopt.base.arguments import checked
from dnnopt.base.extras import optional
from dnnopt.base.numbers import counted, fitting_unit, format_number, is_rounding
from dnnopt.base.text import shortened, visible

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST_LINE = 160
_DIGITS = 5
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}",
    "[": "{[}", "*": "{*}",  # at the beginning of a row, they would belong to the \\ before it
}  # fmt: skip
_LIGATURE = re.compile(r"([-',])(?=\1)")  # LaTeX makes one sign of two
# What Markdown takes for markup anywhere in a cell; an underscore within a word is none.
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")
# Spreadsheets compute cells that begin so.
_FORMULA = ("=", "+", "-", "@")


class Heading(NamedTuple):
    """What stands above a column: words, and the SI unit of its numbers; ``%``: they are shares."""

    words: str
    unit: str = ""


Rows = Sequence[Mapping[str, Any]]
Headings = Mapping[str, Heading]


def as_csv(rows: Rows, headings: Headings | None = None) -> str:
    """Return rows with the same keys as CSV: full precision, nothing where a value is None.

    A text that spreadsheets would compute, such as ``=1+1``, has a ``'`` before it; numbers stay numbers.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads, values = _with_units(rows, headings or {}, fitting=False)
    for row in [heads, *values]:
        writer.writerow([value if value is None or _is_number(value) else _csv_text(str(value)) for value in row])
    return stream.getvalue()


def _csv_text(text: str) -> str:
    return visible(f"'{text}" if text.lstrip().startswith(_FORMULA) else text)


def as_markdown(rows: Rows, headings: Headings | None = None) -> str:
    """Return rows with the same keys as a Markdown table; numbers are rounded and stand on the right."""
    if not rows:
        return ""
    heads, values = _with_units(rows, headings or {})
    lines = [[_in_markdown(head) for head in heads], ["---:" if numeric else "---" for numeric in _numeric(rows)]]
    lines += [[_in_markdown(_shown(value)) for value in row] for row in values]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(rows: Rows, headings: Headings | None = None) -> str:
    """Return rows with the same keys as a LaTeX tabular (package booktabs); numbers are rounded."""
    if not rows:
        return ""
    heads, values = _with_units(rows, headings or {})
    sides = "".join("r" if numeric else "l" for numeric in _numeric(rows))
    lines = [f"\\begin{{tabular}}{{{sides}}}", "\\toprule"]
    lines += [f"{' & '.join(map(_in_latex, heads))} \\\\", "\\midrule"]
    lines += [f"{' & '.join(_in_latex(_shown(value)) for value in row)} \\\\" for row in values]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _with_units(rows: Rows, headings: Headings, fitting: bool = True) -> tuple[list[str], list[list[Any]]]:
    """Return what stands above each column, and the values in the units that are said there."""
    heads, columns = [], []
    for key in rows[0] if rows else ():
        words, unit = headings.get(key) or Heading(key.replace("_", " "))
        values = [row[key] for row in rows]
        sizes = sorted(abs(value) for value in values if _is_number(value) and value and math.isfinite(value))
        factor = 1.0
        if unit == "%":
            factor = 0.01
            if fitting:
                values = [0.0 if _is_number(value) and is_rounding(value) else value for value in values]
        elif fitting and sizes:
            factor, unit = fitting_unit(median_low(sizes), unit)
        heads.append(f"{words} ({unit})" if unit else words)
        columns.append([value / factor if factor != 1 and _is_number(value) else value for value in values])
    return heads, [list(row) for row in zip(*columns, strict=True)]


class Described:
    """What is one line at a prompt and a small table in a notebook."""

    def overview(self) -> dict[str, str]:
        """Return what to know of it, each part in words of its own; first what it is called."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, *parts = self.overview().values()
        words = shortened(": ".join(filter(None, (title, ", ".join(filter(None, parts))))), _LONGEST_LINE)
        return visible(f"<{type(self).__name__} {words}>")

    def __str__(self) -> str:
        from dnnopt.base.console import NARROW, wrapped

        return "\n  ".join(wrapped(repr(self), NARROW, NARROW - 2))

    def _repr_html_(self) -> str:
        return as_html([self.overview()])


class Framed:
    """What is a data frame where asked, or a table in a file's format."""

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows with the same keys; numbers in SI units, gaps as shares."""
        raise NotImplementedError

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables, by the keys of the rows; else it is the key."""
        return {}

    @checked
    def to_frame(self) -> Any:
        """Return the rows as a pandas DataFrame.

        Raises
        ------
        InputError
            If pandas is not installed.
        """
        return as_frame(self.to_rows())

    @checked
    def to_csv(self) -> str:
        """Return a table as CSV: SI units, which the headings name, and gaps in per cent; nothing is rounded."""
        return as_csv(self.to_rows(), self.headings())

    @checked
    def to_markdown(self) -> str:
        """Return a table as Markdown: with units in the headings, gaps in per cent, numbers rounded."""
        return as_markdown(self.to_rows(), self.headings())

    def page_rows(self) -> list[dict[str, Any]]:
        """Return the rows with no more columns than a page has room for."""
        return self.to_rows()

    @checked
    def to_latex(self) -> str:
        """Return a table as LaTeX (package booktabs): units in the headings, gaps in per cent, numbers rounded.

        It has the columns that a page has room for; the other formats have all.
        """
        return as_latex(self.page_rows(), self.headings())


class Tabular(Framed):
    """What is one line at a prompt, a table in a notebook, a report where it is printed, and a data frame if asked."""

    row_noun = "row"  # what a row of it is

    def headline(self) -> str:
        """Return what to know of it, in some words."""
        return counted(len(self.to_rows()), self.row_noun)

    def __repr__(self) -> str:
        about = [self.problem.title] if hasattr(self, "problem") else []
        words = shortened(": ".join([*about, self.headline()]), _LONGEST_LINE)
        return visible(f"<{type(self).__name__} {words}>")

    def report(self, console: Console) -> None:
        """Print it for a person."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return as_html(self.to_rows(), self.headings())

    def __str__(self) -> str:
        from dnnopt.base.console import as_text

        return as_text(self.report)


def as_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows with the same keys as a pandas DataFrame.

    Raises
    ------
    InputError
        If pandas is not installed.
    """
    return optional("pandas", "pandas", "tables").DataFrame(list(rows))


def as_html(rows: Rows, headings: Headings | None = None) -> str:
    """Return rows with the same keys as an HTML table, as notebooks show it; numbers are rounded."""
    if not rows:
        return ""
    heads, values = _with_units(rows, headings or {})
    head = "".join(f"<th>{_in_html(name)}</th>" for name in heads)
    lines = ["".join(f"<td>{_in_html(_shown(value))}</td>" for value in row) for row in values]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _numeric(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Return which columns hold numbers, and some."""
    found = []
    for name in rows[0]:
        values = [row[name] for row in rows if row[name] is not None]
        found.append(bool(values) and all(_is_number(value) for value in values))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value, _DIGITS) if math.isfinite(value) else "-"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def _in_markdown(text: str) -> str:
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", visible(text))


def _in_latex(text: str) -> str:
    return _LIGATURE.sub(r"\1{}", "".join(_LATEX.get(character, character) for character in visible(text)))


def _in_html(text: str) -> str:
    return escape(visible(text)).replace("$", "<span>$</span>")  # between two of them, notebooks see formulas
