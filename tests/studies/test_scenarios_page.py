"""docs/scenarios.md tells the truth: its file is read, and its command and program print what it shows."""

import os
import re
import subprocess
import sys

from pages import page, printed, programs

PAGE = page("scenarios.md")


def test_the_command_prints_what_the_page_shows(tmp_path):
    (data,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "day.json").write_text(data, encoding="utf-8")
    ((words, output),) = re.findall(r"^```\n\$ dnnopt ([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    unasked = dict(os.environ)  # readline may have set COLUMNS below Python
    command = [sys.executable, "-m", "dnnopt", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=unasked)
    assert [line.rstrip() for line in done.stdout.split("\n")] == output.split("\n")


def test_the_program_prints_what_the_page_shows():
    ((code, output),) = programs(PAGE)
    assert printed(code) == output
