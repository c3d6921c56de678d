"""docs/variants.md tells the truth: its file is read, and its command and program print what it shows."""

import os
import re
import subprocess
import sys

import pytest
from pages import page, printed, programs, without_times

PAGE = page("variants.md")


@pytest.fixture
def folder(tmp_path):
    (data,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "classifiers.json").write_text(data, encoding="utf-8")
    return tmp_path


def test_the_command_prints_what_the_page_shows(folder):
    ((command, output),) = re.findall(r"^```\n\$ ([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    words = re.sub(r"^dnnopt", f"'{sys.executable}' -m dnnopt", command)
    unasked = dict(os.environ)  # readline may have set COLUMNS below Python
    done = subprocess.run(words, shell=True, capture_output=True, text=True, timeout=120, cwd=folder, env=unasked)
    assert without_times(done.stdout) == without_times(output)


def test_the_program_prints_what_the_page_shows():
    ((code, output),) = programs(PAGE)
    assert printed(code) == output
