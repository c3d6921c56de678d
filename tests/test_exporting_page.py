"""docs/exporting.md tells the truth: its commands and programs print what it shows."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "exporting.md").read_text(encoding="utf-8")


def sessions():
    """Return the console sessions of each section: (command, output) pairs."""
    found = []
    for section in PAGE.split("\n## ")[1:]:
        pairs = [
            pair
            for block in re.findall(r"^```\n(\$ .*?)^```", section, re.DOTALL | re.MULTILINE)
            for pair in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
        ]
        if pairs:
            found.append(pytest.param(pairs, id=section.partition("\n")[0]))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.mark.parametrize("pairs", sessions())
def test_commands_print_what_the_page_shows(pairs, folder):
    needed = {command.split()[0] for command, _ in pairs} - {"dnnopt", "grep", "head"}
    for program in needed:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if any("scip" in command for command, _ in pairs):
        pytest.importorskip("pyscipopt", reason="pyscipopt is not installed")
    for command, output in pairs:
        words = re.sub(r"^dnnopt", f"'{sys.executable}' -m dnnopt", command)
        done = subprocess.run(words, shell=True, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout == output, command


@pytest.mark.parametrize(
    ("code", "output"),
    re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL),
    ids=["pyomo", "pulp", "values"],
)
def test_programs_print_what_the_page_shows(code, output):
    for module in re.findall(r"^import (pyomo|pulp)", code, re.MULTILINE):
        pytest.importorskip(module, reason=f"{module} is not installed")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == output
