"""docs/command_line.md tells the truth: what its tables list is read, and its commands print what it shows."""

import re
import shlex

import pytest
from builders import layer, network, tensor
from commands import dnnopt
from pages import page

from dnnopt.problem.expressions import FORMS, parse_constraints, parse_objective
from dnnopt.problem.parameters import parse_setting

PAGE = page("command_line.md")
NET = network([layer(name) for name in ("conv1", "conv2", "conv3", "relu1")], [tensor("x", "input", "conv1", 1)])


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


def written(title):
    """Return the texts in the first column of a section's table."""
    rows = re.findall(r"^\| (`.*?) \|", section(title), re.MULTILINE)
    return [text for row in rows for text in re.findall(r"`([^`]+)`", row)]


def test_what_the_tables_list_is_read():
    assert len([parse_objective(text) for text in written("Objectives")]) > 10
    said = written("Constraints")
    assert all(parse_constraints(text, [NET]) for text in said)
    assert {re.match(r"\w+", text)[0] for text in said} == set(FORMS)
    assert {parse_setting(text)[0].kind for text in written("What if")} == {
        "bandwidth", "memory", "deadline", "period", "throughput", "rate", "weight",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "output"),
    re.findall(r"^\$ dnnopt ([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE),
    ids=lambda text: text.split()[1] if text.startswith("solve") else "",
)
def test_commands_print_what_the_page_shows(command, output):
    done = dnnopt(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    for part in filter(None, (text.strip("\n") for text in output.split("...\n"))):
        assert "\n".join(printed).find(part) >= 0, done.stdout
