"""CBC is taken from its wheel, from PuLP or from the PATH, in this order; without any, all but CBC works."""

import os
import sys

import pytest
from builders import link, network, platform, problem, tensor
from typer.testing import CliRunner

import dnnopt as dp
from dnnopt.base import programs
from dnnopt.base.programs import find_cbc
from dnnopt.cli import app
from dnnopt.methods import confirmation
from dnnopt.methods.confirmation import second_opinion
from dnnopt.models.solvers import missing
from dnnopt.models.solvers.cbc import _printed, _report
from dnnopt.models.solvers.interface import Control, Limits, Outcome
from dnnopt.models.solvers.pyomo_solver import interface

posix = pytest.mark.skipif(os.name == "nt", reason="makes a script for a POSIX shell")


@pytest.fixture
def small():
    """The optimum is a:p b:q c:q, 1 + 2 + 3 + 1 seconds."""
    net = network("a b c", [tensor("t", "a", "b", 2), tensor("u", "b", "c", 5)], source="p")
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    return problem(net, on, {"a": (1, 9), "b": (9, 3), "c": (9, 1)})


@pytest.fixture
def without(monkeypatch, tmp_path):
    """Return a function that hides packages, and leaves nothing on the PATH but the folder returned."""

    def hide(*packages):
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.setenv("PATH", str(tmp_path))
        return tmp_path

    return hide


def put(folder, *lines):
    """Write a program `cbc` into a folder."""
    program = folder / "cbc"
    program.write_text("\n".join(["#!/bin/sh", *lines]) + "\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def with_cbc(small):
    result = dp.solve(small, formulation="edgewise", solver="cbc")
    return result.status, result.objective


@posix
def test_the_wheel_comes_first_then_pulp_then_the_path(without):
    pytest.importorskip("cbcbox", reason="cbcbox is not installed")
    pytest.importorskip("pulp", reason="pulp is not installed")
    own = put(without(), "exit 0")
    assert find_cbc().source.startswith("cbcbox 2.")
    without("cbcbox")
    assert find_cbc().source.startswith("PuLP 3.")
    without("cbcbox", "pulp")
    assert find_cbc() == programs.Program(own, "PATH")


def test_the_one_of_pulp_solves(small, without):
    pytest.importorskip("pulp", reason="pulp is not installed")
    without("cbcbox")
    assert find_cbc().source.startswith("PuLP")
    assert with_cbc(small) == ("optimal", 7)


@posix
def test_the_one_on_the_path_solves_and_is_what_pyomo_takes(small, without):
    real = find_cbc()
    if real is None:
        pytest.skip("CBC is not installed")
    folder = without("cbcbox", "pulp")
    calls = folder / "calls"
    put(folder, f'echo "$*" >> "{calls}"', f'exec "{real.path}" "$@"')
    assert with_cbc(small) == ("optimal", 7)
    assert "-solve" in calls.read_text("utf-8")
    pytest.importorskip("pyomo", reason="pyomo is not installed")
    assert interface("cbc").executable() == str(folder / "cbc")


@posix
def test_a_program_that_does_not_start_is_passed_over(without):
    pytest.importorskip("pulp", reason="pulp is not installed")
    folder = without("cbcbox", "pulp")
    put(folder, "echo a library is missing", "exit 127")
    assert find_cbc() is None
    (folder / "cbc").write_bytes(b"\x00\x01 for another processor")
    programs._runs.cache_clear()
    assert find_cbc() is None


def test_without_any_cbc_is_refused_with_one_error_that_says_how_to_get_it(small, without):
    without("cbcbox", "pulp")
    with pytest.raises(dp.InputError, match=r'CBC is not installed: pip install "dnnopt\[cbc\]".*PuLP.*PATH'):
        dp.solve(small, solver="cbc")
    run = CliRunner().invoke(app, ["solve", "small/001", "--solver", "cbc"])
    assert run.exit_code == 2
    assert run.stderr.count("CBC is not installed") == 1
    assert "Traceback" not in run.stderr


def test_without_any_everything_else_works_and_the_list_says_so(small, without, capsys):
    without("cbcbox", "pulp")
    result = dp.solve(small)
    assert (result.status, result.objective) == ("optimal", 7)
    assert second_opinion(small, result.plan, "edgewise+sum (highs)", Limits(5.0)).confirmed_by
    lines = CliRunner().invoke(app, ["list", "solvers"]).stdout.splitlines()
    assert [line.removeprefix("cbc").strip() for line in lines if line.startswith("cbc")] == [
        f"unavailable: {programs.NO_CBC}"
    ]
    assert "highs" in lines
    assert missing("highs") == missing("cpsat-unpresolved") == ""
    dp.show_versions()
    assert "none" in next(line for line in capsys.readouterr().out.splitlines() if line.startswith("cbc "))


def test_no_engine_of_the_confirmation_is_cbc_where_there_is_none(without, monkeypatch):
    one = dp.load("small/003")
    asked = []

    def notes(pool, formulation, solver, *others):
        asked.append(solver)
        return Outcome("no_solution")

    monkeypatch.setattr(confirmation, "run_formulation", notes)
    plan = dp.solve(one, method="multi-cut").plan
    second_opinion(one, plan, "edgewise+sum (highs)", Limits(5.0))
    assert "cbc" in asked or find_cbc() is None
    before = [solver for solver in asked if solver != "cbc"]
    asked.clear()
    without("cbcbox", "pulp")
    second_opinion(one, plan, "edgewise+sum (highs)", Limits(5.0))
    assert asked == before


@pytest.mark.parametrize(
    ("text", "least"),
    [("342.840", 342.84 * (1 - 5e-6)), ("1.071", 1.0705), ("-0.070", -0.0705), ("1.5e-07", 1.45e-7), ("12", 11.99994)],
)
def test_a_bound_in_the_log_is_lowered_by_its_rounding(text, least):
    assert _printed(text) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        ("Continuous objective value is 7623.52 - 0.00 seconds", [(None, 7623.52)]),
        ("Cbc0012I Integer solution of 7653.6245 found by feasibility pump after 0 iterations", [(7653.6245, None)]),
        ("Cbc0010I After 0 nodes, 1 on tree, 7653.6 best solution, best possible 7633.9 (0.04 s)", [(7653.6, 7633.9)]),
        ("Cbc0010I After 9 nodes, 1 on tree, 1e+50 best solution, best possible 7633.9 (0.04 s)", [(None, 7633.9)]),
        ("Cbc0035I Maximum depth 0, 1 variables fixed on reduced cost", []),
    ],
)
def test_the_log_of_older_releases_is_read_while_they_run(line, reported):
    control, seen = Control(), []
    control.report = lambda best, bound: seen.append((best, bound))
    _report(line, control)
    assert [best for best, _ in seen] == [best for best, _ in reported]
    for (_, bound), (_, expected) in zip(seen, reported, strict=True):
        assert bound is None if expected is None else expected * (1 - 1e-4) < bound < expected
