"""docs/own_data.md tells the truth: its programs and commands, one after the other, print what it shows."""

import json
import re

from commands import dnnopt
from pages import page, printed, programs, without_times

PAGE = page("own_data.md")
WORDS = re.compile(r'"([^"]*)"|(\S+)')


def run(command):
    """Return what a command of the page prints."""
    _, *words = [quoted or plain for quoted, plain in WORDS.findall(command)]
    done = dnnopt(*words)
    assert done.returncode == 0, done.output
    return done.stdout


def test_the_page_can_be_followed_from_the_top(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (name,) = re.findall(r"`(\w+\.json)`:\n", PAGE)
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert json.loads(text)["format"] == "dnnopt-platform"
    network, home = programs(PAGE)
    assert printed(network[0]) == network[1]
    commands = re.findall(r"^\$ ([^\n]*)\n(.*?)(?=^\$ |^```)", PAGE, re.DOTALL | re.MULTILINE)
    assert len(commands) == 3
    for command, output in commands:
        assert without_times(run(command)) == without_times(output)
    assert printed(home[0]) == home[1]
