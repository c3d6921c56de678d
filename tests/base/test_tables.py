"""Tables for other programs: names with anything in them are whole, and act in none of the formats."""

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from dnnopt.base.console import headed, table, words, wrapped
from dnnopt.base.tables import Heading, as_csv, as_html, as_latex, as_markdown
from dnnopt.base.text import visible

names = st.text(st.characters(), min_size=1, max_size=20)
HOSTILE = [
    "[red]a[/]",
    "[/]",
    "$a$",
    "\x1b[2J",
    "a\nb",
    "\u202ea",
    "a|b",
    "\\",
    "`a`",
    "*a*",
    "_a_",
    "<b>",
    "&lt;",
    "=1+1",
]


def each_hostile(test):
    for name in HOSTILE:
        test = example(name)(test)
    return test


@each_hostile
@given(names)
def test_csv_has_every_text_whole_in_one_line_and_computes_none(name):
    text = as_csv([{"name": name, "value": -1.5, "none": None, "flag": True}])
    header, row = csv.reader(io.StringIO(text, newline=""))
    assert text.count("\n") == 2
    assert header == ["name", "value", "none", "flag"]
    assert row[1:] == ["-1.5", "", "True"]
    assert row[0].removeprefix("'") == visible(name).removeprefix("'")
    assert not row[0].lstrip().startswith(("=", "+", "-", "@"))


def test_gaps_that_are_rounding_are_0_but_in_csv():
    rows, headings = [{"gap": 6.98e-13}, {"gap": 0.01}, {"gap": None}], {"gap": Heading("gap", "%")}
    assert r"gap (\%) \\" in as_latex(rows, headings)
    assert re.findall(r"^(\S*) \\\\$", as_latex(rows, headings), re.MULTILINE) == ["0", "1", ""]
    assert re.findall(r"^\| (\S*) ", as_markdown(rows, headings), re.MULTILINE)[2:] == ["0", "1", ""]
    assert "<td>0</td>" in as_html(rows, headings)
    assert as_csv(rows, headings).splitlines()[1] == repr(6.98e-13 / 0.01)


def test_csv_keeps_numbers_with_all_their_digits_and_quotes_what_needs_it():
    rows = [{"a": 0.1 + 0.2, "b": -3, "c": 'say "a", or b'}, {"a": None, "b": 1e-300, "c": "-x"}]
    assert as_csv(rows) == 'a,b,c\n0.30000000000000004,-3,"say ""a"", or b"\n,1e-300,\'-x\n'
    assert as_csv([]) == "\n"


@each_hostile
@given(names)
def test_markdown_has_one_row_with_each_cell_and_escapes_all_markup(name):
    lines = as_markdown([{"name": name, "value": 1}]).splitlines()
    assert len(lines) == 3
    first, second = re.fullmatch(r"\| (.*) \| (\d) \|", lines[2]).groups()
    assert second == "1"
    assert re.sub(r"\\(.)", r"\1", first) == visible(name)
    bare = re.sub(r"\\.", "", first)
    assert not set("`*[]<>|~&$\\") & set(bare)


def test_markdown_leaves_underscores_within_words():
    assert "| all_on_one \\_x\\_ |" in as_markdown([{"a": "all_on_one _x_"}])


@each_hostile
@given(names)
def test_latex_has_one_row_with_nothing_that_acts(name):
    row = as_latex([{"name": name, "value": 1}]).splitlines()[4]
    cell = row.removesuffix(" & 1 \\\\")
    assert cell != row
    assert "--" not in cell
    for sign in r"\&", r"\%", r"\$", r"\#", r"\_", r"\{", r"\}", "{[}", "{*}", "{}":
        cell = cell.replace(sign, "")
    assert not set("&%$#_{}[*~^<>|`") & set(re.sub(r"\\text[a-z]+", "", cell))


@each_hostile
@given(names)
def test_html_has_the_text_and_no_markup_nor_formula(name):
    cell = re.search(r"<td>(.*)</td></tr></table>", as_html([{"name": name}]))[1]
    assert not set("<>$'\"") & set(cell.replace("<span>$</span>", ""))


def shown(what, width=160):
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(what)
    return stream.getvalue()


@each_hostile
@given(names)
def test_terminals_show_every_text_whole_and_without_markup(name):
    squeezed = "".join(visible(name).split())
    for what in (words(name), headed(name, ": optimal"), table(name, [(name, "left")], [(name,)])):
        output = shown(what)
        assert squeezed in "".join(output.split())
        assert output.replace("\n", "").isprintable()


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("count", [2, 6, 15])
def test_tables_show_every_cell_whole_however_narrow_the_terminal(width, count):
    columns = [(f"head{index:02}", "right" if index % 2 else "left") for index in range(count)]
    rows = [[f"{letter}{index:02}" for index in range(count)] for letter in "xyz"]
    output = shown(table("title", columns, rows), width)
    assert max(map(len, output.splitlines())) <= width
    folded = "".join(output.split())
    for cell in [cell for row in rows for cell in row]:
        assert cell in output or cell in folded
    for name, _ in columns:
        assert name in output


def test_wide_characters_count_twice():
    assert wrapped("層層 層", 5) == ["層層", "層"]
    assert shown(table("", [("a", "left"), ("b", "left")], [("層層", "c")])).splitlines() == ["a     b", "層層  c"]
