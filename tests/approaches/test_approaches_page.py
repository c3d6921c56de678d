"""docs/approaches.md tells the truth: its tables are those of the package, its examples print what it shows."""

import re
import shlex

import pytest
from commands import dnnopt
from pages import page, printed, programs

from dnnopt.approaches.classifying import overview_of_approaches, overview_of_claims

PAGE = page("approaches.md")


def test_the_tables_are_those_of_the_package():
    assert overview_of_approaches() in PAGE
    assert overview_of_claims() in PAGE


@pytest.mark.parametrize(("code", "output"), programs(PAGE))
def test_programs_print_what_the_page_shows(code, output):
    assert printed(code) == output


@pytest.mark.parametrize(
    ("command", "output"), re.findall(r"^\$ dnnopt ([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
)
def test_commands_print_what_the_page_shows(command, output):
    done = dnnopt(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    lines = [line.rstrip() for line in done.stdout.rstrip().split("\n")]
    assert lines == output.rstrip().split("\n")
