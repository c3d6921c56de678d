"""Tables for other programs: CSV, Markdown, LaTeX, HTML, pandas.

Texts are shown whole and as they are in each of them: `visible`, with what the format itself would act on escaped.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dnnopt.base.extras import optional
from dnnopt.base.text import shortened, visible

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST_LINE = 160
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


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as CSV: full precision, nothing where a value is None.

    A text that spreadsheets would compute, such as ``=1+1``, has a ``'`` before it; numbers stay numbers.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in [list(rows[0]), *(row.values() for row in rows)] if rows else [[]]:
        writer.writerow([value if value is None or _is_number(value) else _csv_text(str(value)) for value in row])
    return stream.getvalue()


def _csv_text(text: str) -> str:
    return visible(f"'{text}" if text.lstrip().startswith(_FORMULA) else text)


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as a Markdown table; numbers are rounded and stand on the right."""
    if not rows:
        return ""
    lines = [_cells(rows[0], _in_markdown), ["---:" if numeric else "---" for numeric in _numeric(rows)]]
    lines += [[_in_markdown(_shown(value)) for value in row.values()] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as a LaTeX tabular (package booktabs); numbers are rounded."""
    if not rows:
        return ""
    sides = "".join("r" if numeric else "l" for numeric in _numeric(rows))
    lines = [
        f"\\begin{{tabular}}{{{sides}}}",
        "\\toprule",
        f"{' & '.join(_cells(rows[0], _in_latex))} \\\\",
        "\\midrule",
    ]
    lines += [f"{' & '.join(_in_latex(_shown(value)) for value in row.values())} \\\\" for row in rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


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
        return repr(self)

    def _repr_html_(self) -> str:
        return as_html([self.overview()])


class Framed:
    """What is a data frame where asked."""

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows with the same keys."""
        raise NotImplementedError

    def to_frame(self) -> Any:
        """Return the rows as a pandas DataFrame.

        Raises
        ------
        InputError
            If pandas is not installed.
        """
        return as_frame(self.to_rows())


class Tabular(Framed):
    """What is a table in a notebook, a report when it is printed, and a data frame where asked."""

    def report(self, console: Console) -> None:
        """Print it for a person."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return as_html(self.to_rows())

    def __str__(self) -> str:
        from dnnopt.base.console import as_text

        return as_text(self.report)


WRITERS: dict[str, Callable[[Sequence[Mapping[str, Any]]], str]] = {
    "csv": as_csv,
    "markdown": as_markdown,
    "latex": as_latex,
}


def as_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows with the same keys as a pandas DataFrame.

    Raises
    ------
    InputError
        If pandas is not installed.
    """
    return optional("pandas", "pandas", "tables").DataFrame(list(rows))


def as_html(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as an HTML table, as notebooks show it; numbers are rounded."""
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in _cells(rows[0], _in_html))
    lines = ["".join(f"<td>{_in_html(_shown(value))}</td>" for value in row.values()) for row in rows]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cells(row: Mapping[str, Any], shown: Callable[[str], str]) -> list[str]:
    return [shown(name.replace("_", " ")) for name in row]


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
        return f"{value:.5g}" if math.isfinite(value) else "-"
    return str(value)


def _in_markdown(text: str) -> str:
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", visible(text))


def _in_latex(text: str) -> str:
    return _LIGATURE.sub(r"\1{}", "".join(_LATEX.get(character, character) for character in visible(text)))


def _in_html(text: str) -> str:
    return escape(visible(text)).replace("$", "<span>$</span>")  # between two of them, notebooks see formulas
