"""`--figure` of the command line."""

import re
import sys

import pytest
from commands import dnnopt

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

ARGUMENTS = "alexnet --platform pi4-lte-t4"


def run(text):
    done = dnnopt(*text.split())
    return done.returncode, re.sub(r"\s+", " ", done.output.replace("│", " "))


def test_solve_draws_the_placement(tmp_path):
    path = tmp_path / "plan.svg"
    code, output = run(f"solve {ARGUMENTS} --figure {path}")
    assert code == 0
    assert "proved optimal" in output
    assert "<svg" in path.read_text(encoding="utf-8")


def test_pareto_draws_the_front(tmp_path):
    path = tmp_path / "front.png"
    assert run(f"pareto {ARGUMENTS} -b latency -b energy(pi) --figure {path}")[0] == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_bad_figure_is_told_before_anything_is_solved(tmp_path, monkeypatch):
    code, output = run(f"solve {ARGUMENTS} --figure {tmp_path}/plan.doc")
    assert code == 2
    assert "got 'plan.doc', expected a file that ends in one of" in output
    code, output = run(f"solve {ARGUMENTS} --figure {tmp_path}/plan.pgf")  # would need TeX
    assert code == 2
    code, output = run(f"solve {ARGUMENTS} --figure {tmp_path}/missing/plan.svg")
    assert code == 2
    assert "cannot be written: there is no folder" in output
    monkeypatch.setitem(sys.modules, "dnnopt.plot.figure", None)
    code, output = run(f"solve {ARGUMENTS} --figure {tmp_path}/plan.svg")
    assert code == 2
    assert 'matplotlib is not installed: pip install "dnnopt[plot]"' in output
    assert "proved" not in output
