"""docs/comparing.md tells the truth: its commands and programs print what it shows."""

import os
import re
import subprocess
import sys

import pytest
from pages import page, printed, programs, without_times

PAGE = page("comparing.md")
COMMANDS = re.findall(r"^```\n\$ ([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("command", "output"), COMMANDS, ids=[command.split()[1] for command, _ in COMMANDS])
def test_commands_print_what_the_page_shows(command, output):
    words = re.sub(r"^dnnopt", f"'{sys.executable}' -m dnnopt", command)
    unasked = dict(os.environ)  # readline may have set COLUMNS below Python
    done = subprocess.run(words, shell=True, capture_output=True, text=True, timeout=120, env=unasked)
    assert done.returncode == ("explain" in command), done.stderr
    assert without_times(done.stdout) == without_times(output)


@pytest.mark.parametrize(("code", "output"), programs(PAGE), ids=["compare", "sweep", "explain", "best"])
def test_programs_print_what_the_page_shows(code, output):
    assert printed(code) == output
