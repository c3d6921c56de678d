"""`dp.bench`: problems in processes of their own, with a result file for each."""

import pytest

import dnnopt as dp


def test_problems_are_solved_and_what_is_there_is_not_redone(tmp_path):
    seen = []
    options = {
        "method": "greedy",
        "time_limit": 20,
        "watch": lambda number, task, data: seen.append((number, task.problem)),
    }
    first = dp.bench(["small/001", "small/002"], tmp_path, jobs=2, **options)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert sorted(seen) == [(2, "small/001"), (2, "small/002")]
    assert len(files) == 2
    assert sum(row["problems"] for row in first.to_rows()) == 2
    assert dp.bench("small/001", tmp_path, **options).to_rows()[0]["problems"] == 1
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}


@pytest.mark.parametrize(
    ("problems", "options"), [("smal", {}), ("small", {"method": "magic"}), ("small", {"threads": 0})]
)
def test_bad_names_and_options_are_refused_before_anything_runs(tmp_path, problems, options):
    with pytest.raises(dp.InputError):
        dp.bench(problems, tmp_path / "runs", **options)
    assert not (tmp_path / "runs").exists()
