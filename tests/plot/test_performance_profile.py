"""The performance profile counts problems within a factor of the best method, from what `compare --over` wrote."""

import json

import pytest
from typer.testing import CliRunner

import dnnopt as dp
from dnnopt.cli import app
from dnnopt.studies.set_comparison import SetComparison, read_set_comparison

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def comparison(gaps, seconds=None):
    seconds = seconds or {method: dict.fromkeys(one, 1.0) for method, one in gaps.items()}
    return SetComparison((), gaps, seconds)


@pytest.fixture
def found():
    """Of four problems: on `a` both are best, on `b` one is twice as good, `c` only one solves, `d` none."""
    return comparison(
        {
            "first": {"a": 0.0, "b": 0.0, "c": None, "d": None},
            "second": {"a": 0.0, "b": 1.0, "c": 0.5, "d": None},
        }
    )


def lines(figure):
    return {
        line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in figure.axes[0].lines
    }


def test_each_method_has_the_share_of_problems_within_each_factor(found):
    figure = dp.plot.performance_profile(found)
    assert lines(figure) == {
        "first": [(1, 50), (pytest.approx(2.2), 50)],
        "second": [(1, 50), (2, 75), (pytest.approx(2.2), 75)],
    }
    assert figure.axes[0].get_title(loc="left") == "Performance profile of 4 problems"


def test_times_are_of_the_methods_that_came_within_one_per_cent():
    found = comparison(
        {"slow": {"a": 0.0, "b": 0.009}, "quick": {"a": 0.0, "b": 0.011}},
        {"slow": {"a": 9.0, "b": 5.0}, "quick": {"a": 3.0, "b": 0.1}},
    )
    assert found.ratios("time") == {"slow": {"a": 3, "b": 1}, "quick": {"a": 1, "b": None}}


def test_only_problems_that_all_methods_have_a_result_of_are_compared():
    found = comparison({"one": {"a": 0.0, "b": 0.0}, "other": {"b": 0.25}})
    assert found.ratios() == {"one": {"b": 1}, "other": {"b": 1.25}}


def test_ratios_are_to_the_best_method_and_not_to_the_best_known():
    assert comparison({"one": {"a": 1.0}, "other": {"a": 3.0}}).ratios() == {"one": {"a": 1}, "other": {"a": 2}}


def test_folder_and_file_that_compare_wrote_are_drawn_alike(tmp_path):
    runs, record, table = tmp_path / "runs", tmp_path / "runs.json", tmp_path / "runs.csv"
    words = ["compare", "--over", "small/001", "--over", "small/002", "--method", "single-cut", "--method", "greedy"]
    done = CliRunner().invoke(app, [*words, "--output", str(runs), "--json", str(record), "--csv", str(table)])
    assert done.exit_code == 0, done.output
    assert read_set_comparison(runs).gaps == read_set_comparison(record).gaps
    drawn = lines(dp.plot.performance_profile(runs))
    assert set(drawn) == {"single-cut", "greedy"}
    assert lines(dp.plot.performance_profile(record)) == drawn
    assert set(lines(dp.plot.performance_profile(str(runs), "time"))) == set(drawn)
    assert set(lines(dp.plot.performance_profile(runs, methods=["greedy"]))) == {"greedy"}
    with pytest.raises(dp.InputError, match=r"methods: got 'heft', expected one of greedy, single-cut"):
        dp.plot.performance_profile(runs, methods=["greedy", "heft"])
    with pytest.raises(dp.InputError, match=r"runs.csv: a table has no values of single problems: name the folder"):
        dp.plot.performance_profile(table)


def test_what_holds_no_comparison_is_refused(tmp_path, found):
    with pytest.raises(dp.InputError, match=r"has no results METHOD/PROBLEM\.json"):
        dp.plot.performance_profile(tmp_path)
    with pytest.raises(dp.InputError, match=r"nothing\.json"):
        dp.plot.performance_profile(tmp_path / "nothing.json")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"format": "dnnopt-set-comparison", "version": 1, "rows": []}), encoding="utf-8")
    with pytest.raises(dp.InputError, match=r"other\.json: gaps: missing"):
        dp.plot.performance_profile(other)
    wrong = {"rows": [], "gaps": {"one": {"a": 0.0}}, "seconds": {"one": {}}}
    other.write_text(json.dumps({"format": "dnnopt-set-comparison", "version": 1, **wrong}), encoding="utf-8")
    with pytest.raises(dp.InputError, match="seconds: got 'one', expected the problems of gaps"):
        dp.plot.performance_profile(other)
    with pytest.raises(dp.InputError, match="found: got 5, expected a SetComparison, a text or a path"):
        dp.plot.performance_profile(5)
    with pytest.raises(dp.InputError, match="of: got 'speed', expected one of objective, time"):
        dp.plot.performance_profile(found, "speed")
    with pytest.raises(dp.InputError, match="methods with results of the same problems"):
        dp.plot.performance_profile(comparison({"one": {"a": 0.0}, "other": {"b": 0.0}}))
