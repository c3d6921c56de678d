"""Linear relaxations alone: their values are bounds, and what is said of them over sets is counted right."""

import json
import math

import pytest
from brute_force import brute_force
from builders import link, network, platform, problem, tensor
from commands import check_refused, dnnopt

import dnnopt as dp
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.methods.relaxing import relax
from dnnopt.plot.report.data import report_data
from dnnopt.studies.best_known import best_known
from dnnopt.studies.relaxations import bound_quality, relaxation_gap, relaxation_tasks
from dnnopt.studies.run_folders import BenchRun
from dnnopt.studies.side_by_side import compare_formulations


def diamond(execution="sequential", **fields):
    """A diamond on three devices behind one medium."""
    tensors = [tensor("ta", "a", "b c", 2), tensor("tb", "b", "d", 1), tensor("tc", "c", "d", 1)]
    pairs = {f"{i}>{j}": "air" for i in "pqr" for j in "pqr" if i != j}
    times = {"a": (1, 4, 6), "b": (7, 2, 5), "c": (4, 6, 1), "d": (5, 1, 3)}
    return problem(network("a b c d", tensors), platform("p q r", [link("air")], pairs), times, execution, **fields)


@pytest.mark.parametrize("execution", ["sequential", "parallel", "scheduled"])
def test_a_relaxation_is_a_bound_and_that_of_formulations_side_by_side(execution):
    one, names = diamond(execution), ("edgewise", "product") if execution == "scheduled" else ()
    rows = [row for row in compare_formulations(one, names, time_limit=20, threads=1).rows if row.relaxation]
    assert len(rows) >= 2
    for row in rows:
        found = relax(one, row.formulation, time_limit=10, threads=1)
        assert found.bound == pytest.approx(row.relaxation, rel=1e-9)
        assert 0 < found.bound <= rows[0].objective * (1 + 1e-6)
        assert (found.status, found.objective, found.method) == ("no_solution", None, "relaxation")
        assert found.formulation == row.formulation
    if execution != "scheduled":
        assert rows[0].objective == pytest.approx(brute_force(one).objective)


def test_an_infeasible_relaxation_is_a_proof():
    one = diamond(subject_to=[dp.latency() <= 0.1])
    found = relax(one, "edgewise", time_limit=10)
    assert (found.status, found.bound) == ("infeasible", None)
    assert "relaxation" in found.message


@pytest.mark.parametrize("name", ["cp-assignment", "product+time-indexed-plan"])
def test_what_bounds_nothing_is_refused(name):
    with pytest.raises(UnsupportedError):
        relax(diamond("scheduled"), name)
    with pytest.raises(InputError, match="magic"):
        relax(diamond(), "magic")


def test_the_command_solves_it_and_refuses_what_does_not_go_with_it(tmp_path):
    done = dnnopt("solve", "small/001", "-f", "edgewise", "--relaxation", "--json", tmp_path / "r.json")
    assert done.returncode == 0, done.output
    data = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert data["bound"] == pytest.approx(relax("small/001", "edgewise").bound)
    assert (data["status"], data["placement"], data["method"]) == ("no_solution", None, "relaxation")
    shown = dnnopt("solve", "small/001", "-f", "edgewise", "--relaxation").stdout
    assert "no plan is better than latency" in shown
    check_refused(dnnopt("solve", "small/001", "--relaxation"), "--formulation", "missing")
    for words in (("--solver", "highs"), ("--csv", "-"), ("--best", "2"), ("--no-confirm",)):
        check_refused(dnnopt("solve", "small/001", "-f", "edgewise", "--relaxation", *words), words[0])
    check_refused(dnnopt("solve", "small/001", "-f", "cp-assignment", "--relaxation"), "no linear relaxation")


def test_a_set_is_relaxed_once_and_then_read(tmp_path):
    words = ("formulations", "--over", "small/001", "--over", "small/011", "-o", tmp_path, "-f", "edgewise", "-t", "20")
    first = dnnopt(*words, "--json", tmp_path.parent / "first.json")
    assert first.returncode == 0, first.output
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert {path.relative_to(tmp_path).as_posix() for path in files} == {
        "relaxation-of-edgewise/small/001.json",
        "relaxation-of-edgewise/small/011.json",
    }
    again = dnnopt(*words, "--csv", "-")
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert again.stdout.startswith("formulation,problems,solved (%),tight (%),mean gap (%)")
    gaps = json.loads((tmp_path.parent / "first.json").read_text("utf-8"))["gaps"]["edgewise"]
    for name, gap in gaps.items():
        best = best_known(name).objective
        assert gap == pytest.approx((best - relax(name, "edgewise").bound) / best)
    check_refused(dnnopt("formulations", "--over", "small/001"), "--output")
    check_refused(dnnopt("formulations", "small/001", "-o", tmp_path), "--output", "--over")
    check_refused(dnnopt("formulations"), "TARGET")
    check_refused(dnnopt("formulations", "--over", "small/001", "-o", tmp_path, "-f", "cp-schedule"), "formulation")


def test_tasks_are_of_the_formulations_that_suit(tmp_path):
    found = relaxation_tasks(["small/001"], tmp_path)
    names = ("product", "edgewise", "boundary", "treewise")
    assert [task.label for task in found] == [f"relaxation-of-{name}" for name in names]


def test_gaps_are_to_the_best_known_value():
    assert relaxation_gap(3.0, 4.0) == 0.25
    assert relaxation_gap(-6.0, -4.0) == 0.5
    assert relaxation_gap(4.0 * (1 + 1e-9), 4.0) == relaxation_gap(4.0 * (1 - 1e-9), 4.0) == 0.0
    assert [relaxation_gap(*pair) for pair in ((None, 4.0), (4.0, None), (4.0, 0.0))] == [None] * 3


def results():
    """Relaxations of two formulations of three problems; the plan of one is in the runs alone, and one has none."""
    row = best_known("small/001")
    base = {"objective": None, "gap": None, "runtime": 1.0, "placement": None, "status": "no_solution", "message": ""}
    base |= {"method": "relaxation", "versions": {}, "date": "", "found_by": "", "formulation": "x", "solver": "highs"}
    known = base | {"problem": "small/001", "checksum": row.checksum}
    mine, none = (base | {"problem": name, "checksum": "0" * 64} for name in ("mine", "none"))
    return [
        ("relaxation-of-edgewise", known | {"bound": row.objective, "runtime": 3.0}),
        ("relaxation-of-edgewise", mine | {"bound": 5.0}),
        ("relaxation-of-edgewise", none | {"bound": 5.0}),
        ("relaxation-of-product", known | {"bound": None, "message": "not solved"}),
        ("relaxation-of-product", mine | {"bound": 2.5}),
        ("greedy", mine | {"bound": 9.0, "objective": 10.0, "status": "feasible", "method": "greedy"}),
    ]


def test_the_quality_of_bounds_is_counted_right():
    found = bound_quality(results())
    assert found.gaps == {"edgewise": {"small/001": 0.0, "mine": 0.5}, "product": {"small/001": None, "mine": 0.75}}
    edgewise, product = found.rows
    assert (edgewise.problems, edgewise.solved, edgewise.tight) == (2, 1.0, 0.5)
    assert edgewise.mean == pytest.approx(math.sqrt(0.01 * 0.51) - 0.01)
    assert (edgewise.median, edgewise.worst, edgewise.seconds) == (0.25, 0.5, 2.0)
    assert (product.problems, product.solved, product.tight, product.seconds) == (2, 0.5, 0.0, 1.0)
    assert bound_quality([("greedy", results()[-1][1])]).rows == ()


def test_relaxations_are_no_methods_of_the_report():
    runs = [BenchRun(*one) for one in results() if one[1]["problem"] == "small/001"]
    solved = dp.solve("small/001", method="heft", time_limit=5).to_data()
    found = report_data([*runs, BenchRun("heft", solved)])
    assert [method["name"] for method in found["methods"]] == ["heft"]
    (one,) = found["problems"]
    best = pytest.approx(best_known("small/001").objective)
    assert one["relaxations"] == {"edgewise": [best, 3.0, 0.0, ""], "product": [None, 1.0, None, "not solved"]}
    assert one["bound"] == best
    alone = report_data(runs)
    assert (alone["methods"], len(alone["problems"])) == ([], 1)
