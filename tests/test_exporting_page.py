"""docs/exporting.md tells the truth: its commands and programs print what it shows."""

import os
import re
import subprocess
import sys

import pytest
from pages import page, printed, programs
from readers import program

PAGE = page("exporting.md")


def commands():
    """Return the commands of the console sessions, each with its output."""
    blocks = re.findall(r"^```\n(\$ .*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [pair for block in blocks for pair in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)]


def test_commands_print_what_the_page_shows(tmp_path):
    for module in ("pyomo", "pyscipopt"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    for name in ("glpsol", "minizinc"):
        program(name, {"glpsol": "glpk-utils"}.get(name, name))
    for command, output in commands():
        words = re.sub(r"^dnnopt", f"'{sys.executable}' -m dnnopt", command)
        unasked = dict(os.environ)  # readline may have set COLUMNS below Python
        done = subprocess.run(words, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=unasked)
        assert done.returncode == 0, done.stderr
        assert done.stdout == output, command


@pytest.mark.parametrize(("code", "output"), programs(PAGE), ids=["pyomo", "pulp", "values"])
def test_programs_print_what_the_page_shows(code, output):
    for module in re.findall(r"^import (pyomo|pulp)", code, re.MULTILINE):
        pytest.importorskip(module, reason=f"{module} is not installed")
    assert printed(code) == output
