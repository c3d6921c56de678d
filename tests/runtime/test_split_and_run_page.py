"""docs/split_and_run.md tells the truth: its program prints what it shows, and its commands are there."""

import re
import shlex

import pytest
from commands import dnnopt
from pages import page, printed, programs, without_times

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
PAGE = page("split_and_run.md")
COMMANDS = re.findall(r"^dnnopt ([^\n#]*)", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("code", "output"), programs(PAGE))
def test_the_program_prints_what_the_page_shows(code, output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert without_times(printed(code)) == without_times(output)


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command.split()[:2]) for command in COMMANDS])
def test_the_options_of_commands_are_there(command):
    name, *words = shlex.split(command)
    said = dnnopt(name, "--help").stdout
    assert [word for word in words if word.startswith("-") and not re.search(rf"(?<![\w-]){word}\b", said)] == []


def test_options_in_the_text_are_there():
    said = dnnopt("run", "--help").stdout + dnnopt("split", "--help").stdout + dnnopt("serve-piece", "--help").stdout
    said += dnnopt("solve", "--help").stdout
    options = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert len(options) > 10
    assert [option for option in options if option not in said] == []
