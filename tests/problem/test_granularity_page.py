"""docs/granularity.md tells the truth: its commands and programs print what it shows."""

import re
import shlex

import pytest
from commands import dnnopt
from pages import page, printed, programs

PAGE = page("granularity.md")
COMMANDS = re.findall(r"^```\n\$ dnnopt ([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("command", "output"), COMMANDS, ids=[command.split()[0] for command, _ in COMMANDS])
def test_a_command_prints_what_the_page_shows(command, output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, _, head = command.partition(" | head -")
    lines = dnnopt(*shlex.split(words)).stdout.splitlines(keepends=True)
    assert "".join(lines[: int(head)] if head else lines) == output


@pytest.mark.parametrize(("code", "output"), programs(PAGE))
def test_a_program_prints_what_the_page_shows(code, output):
    assert printed(code) == output
