"""Old runs against new ones: what is noise, what is better, what is worse, and how sure that is."""

import csv
import io
import json

import pytest
from commands import check_refused, dnnopt

import dnnopt as dp
from dnnopt.studies.bench_comparison import compare_runs
from dnnopt.studies.run_folders import BenchRun
from dnnopt.studies.statistics import signed_rank


def one(problem, objective=1.0, status="feasible", runtime=1.0, method="m", checksum="c"):
    data = {"problem": problem, "objective": objective, "status": status, "runtime": runtime, "checksum": checksum}
    return BenchRun(method, data)


def changes(old, new):
    (row,) = compare_runs([old], [new]).rows
    return row.objective, row.proof, row.seconds


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, ("", "", "")),
        ({"objective": 1.0}, {"objective": 1.0 + 1e-8}, ("", "", "")),
        ({"objective": 1.0}, {"objective": 0.9}, ("better", "", "")),
        ({"objective": None}, {"objective": 0.9}, ("better", "", "")),
        ({"objective": 0.9}, {"objective": None}, ("worse", "", "")),
        ({"objective": 0.0}, {"objective": 1.0}, ("worse", "", "")),
        ({"objective": -2.0}, {"objective": -1.0}, ("worse", "", "")),
        ({"objective": None}, {"objective": None}, ("", "", "")),
        ({"status": "feasible"}, {"status": "optimal"}, ("", "better", "")),
        ({"status": "infeasible"}, {"status": "no_solution"}, ("", "worse", "")),
        ({"runtime": 1.0}, {"runtime": 1.4}, ("", "", "")),
        ({"runtime": 0.01}, {"runtime": 0.09}, ("", "", "")),
        ({"runtime": 1.0}, {"runtime": 1.6}, ("", "", "worse")),
        ({"runtime": 1.6}, {"runtime": 1.0}, ("", "", "better")),
        ({"runtime": 1.0, "status": "optimal"}, {"runtime": 9.0}, ("", "worse", "")),
        ({"runtime": None, "status": "error"}, {"runtime": None, "status": "error"}, ("", "", "")),
    ],
)
def test_what_is_better_worse_or_noise(old, new, expected):
    assert changes(one("p", **old), one("p", **new)) == expected


def test_a_test_over_all_problems_says_how_sure_it_is():
    values = [0.9, 0.8, 0.7, 0.95, 0.99, 1.1, 0.5]
    old = [one(str(k)) for k in range(len(values))]
    new = [one(str(k), value, runtime=2.0 if k < 3 else 1.1) for k, value in enumerate(values)]
    (found,) = compare_runs(old, new).methods
    assert (found.values.wins, found.values.ties, found.values.losses) == (6, 0, 1)
    differences = [(value - 1) / min(value, 1) for value in values]
    assert found.values.p == pytest.approx(signed_rank(differences))
    assert (found.times.wins, found.times.ties, found.times.losses) == (0, 4, 3)
    assert found.times.p == 0.25
    assert found.ratio == pytest.approx((2.0**3 * 1.1**4) ** (1 / 7))


def test_p_is_corrected_for_the_number_of_methods():
    old = [one(str(k), method=name) for k in range(6) for name in "ab"]
    new = [one(str(k), 0.9 if name == "a" else 1.0, method=name) for k in range(6) for name in "ab"]
    first, second = compare_runs(old, new).methods
    assert first.values.p == pytest.approx(2 * 2 / 2**6)
    assert second.values.p == 1.0


def test_only_runs_of_both_folders_and_of_the_same_data_count():
    old = [one("p"), one("q"), one("r", checksum="old"), one("s", checksum=None, status="error")]
    new = [one("p"), one("r", checksum="new"), one("s"), one("t", method="n")]
    found = compare_runs(old, new)
    assert [row.problem for row in found.rows] == ["p", "s"]
    assert (found.only_old, found.only_new, found.other_data) == (1, 1, 1)
    with pytest.raises(dp.InputError, match="no method"):
        compare_runs(old, [one("p", method="n")])


def write(folder, runs):
    for run in runs:
        place = folder / run.method / f"{run.data['problem']}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"format": "dnnopt-result", "version": 1, **run.data}), encoding="utf-8")


def test_the_command_says_it(tmp_path):
    problems = [f"small/{number:03}" for number in range(1, 8)]
    write(tmp_path / "old", [one(name) for name in problems])
    write(tmp_path / "new", [one(name, 0.5) for name in problems[:-1]] + [one(problems[-1], None, "no_solution")])
    run = dnnopt("bench", "--compare", tmp_path / "old", tmp_path / "new")
    assert run.returncode == 0, run.output
    assert "Better or worse beyond noise: 7 runs" in run.stdout
    lines = run.stdout.splitlines()
    first = next(line for line in lines if line.startswith("m ") and "small/" in line)
    assert "small/007" in first
    assert "lost" in first
    table = dnnopt("bench", "--compare", tmp_path / "old", tmp_path / "new", "--csv", "-").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == 7
    assert {row["problem"] for row in rows} == set(problems)
    same = dnnopt("bench", "--compare", tmp_path / "old", tmp_path / "old")
    assert "No run is better or worse beyond noise." in same.stdout


def test_the_command_refuses_what_is_not_meant(tmp_path):
    write(tmp_path / "old", [one("small/001")])
    (tmp_path / "empty").mkdir()
    check_refused(dnnopt("bench", "--compare", tmp_path / "old", tmp_path / "empty"), "empty", "no results")
    check_refused(dnnopt("bench", "small", "--compare", tmp_path, tmp_path), "PROBLEMS", "--compare")
    check_refused(dnnopt("bench"), "PROBLEMS", "missing")
    check_refused(dnnopt("bench", "small"), "--output", "missing")
