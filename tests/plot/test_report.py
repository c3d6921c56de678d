"""The report: its data against the results it is of, and the page in a browser."""

import json
import math
import random
from dataclasses import replace

import pytest
from browser import in_browser
from commands import check_refused, dnnopt

import dnnopt as dp
from dnnopt.plot.report.data import report_data
from dnnopt.studies.best_known import best_known
from dnnopt.studies.run_folders import BenchRun, read_runs
from dnnopt.studies.statistics import holm, paired, primal_integral, shifted_geometric_mean

PROBLEMS = ("small/001", "small/002", "small/011", "small/023")  # sequential, pipelined, energy, two priorities
METHODS = ("single-cut", "heft", "greedy")


def result_data(problem, method):
    return dp.solve(problem, method=method, time_limit=5, seed=0, threads=1).to_data()


@pytest.fixture(scope="module")
def runs():
    return [BenchRun(method, result_data(problem, method)) for problem in PROBLEMS for method in METHODS] + [
        BenchRun("best", from_table(problem)) for problem in PROBLEMS
    ]


def from_table(problem):
    """A result with the best known plan, as of a method that proves it after a second."""
    from dnnopt.problem.plan import read_plan
    from dnnopt.studies.best_known import table_path

    stated, row = dp.load(problem), best_known(problem)
    plan = read_plan(table_path().parent / row.plan, stated)
    found = dp.solve(stated, method="single-cut", time_limit=5, start=plan)
    events = [
        {"time": 0.5, "objective": 2 * row.objective, "bound": None, "source": "a"},
        {"time": 1.0, "objective": row.objective, "bound": row.objective, "source": "b"},
    ]
    more = {"status": "optimal", "bound": row.objective, "runtime": 1.0, "trace": events, "formulation": "best"}
    return found.to_data() | {"objectives": [row.objective], "objective": row.objective} | more | plan.to_data()


@pytest.fixture(scope="module")
def data(runs):
    return report_data(runs, title="A <b>title</b>")


@pytest.fixture(scope="module")
def page(data, tmp_path_factory):
    pytest.importorskip("plotly")
    from dnnopt.plot.report.page import write_report

    place = tmp_path_factory.mktemp("report") / "report.html"
    write_report(data, place)
    return place


def cells(data, method):
    index = [one["name"] for one in data["methods"]].index(method)
    return {problem["name"]: problem["cells"][index] for problem in data["problems"]}


def test_cells_are_what_the_results_say(runs, data):
    assert [problem["name"] for problem in data["problems"]] == list(PROBLEMS)
    for run in runs:
        cell = cells(data, run.method)[run.data["problem"]]
        assert cell[0] == run.data["status"]
        for place, key in ((1, "objective"), (2, "bound")):
            assert cell[place] == (None if run.data[key] is None else pytest.approx(run.data[key], rel=1e-8))


def test_problems_are_in_their_dimensions(data):
    first, second, third, _ = data["problems"]
    assert (first["execution"], second["execution"], third["objective"]) == (["sequential"], ["pipelined"], ["energy"])
    assert first["platform"] == ["pi4-wifi-nx-wan-t4"]
    assert first["constraint"] == ["memory"]
    assert (first["size"], third["granularity"]) == (["up to 100"], ["block"])


def test_the_plan_of_the_picture_is_the_plan_of_the_result(runs, data):
    for run in runs:
        problem = next(one for one in data["problems"] if one["name"] == run.data["problem"])
        letters = problem["plans"][[one["name"] for one in data["methods"]].index(run.method)]
        if run.data["placement"] is None:
            assert letters == ""
            continue
        devices = {
            (name if len(run.data["placement"]) == 1 else f"{network}: {name}"): device
            for network, layers in run.data["placement"].items()
            for name, device in layers.items()
        }
        assert {
            name: problem["devices"][int(letter, 36)] for name, letter in zip(problem["names"], letters, strict=True)
        } == devices


def test_loads_and_bars_are_those_of_the_best_plan(data):
    first = data["problems"][0]
    assert first["best_by"] == "best"
    assert max(computing + sending for _, computing, sending in first["loads"]) == pytest.approx(
        first["period"], rel=1e-4
    )
    ends = max(start + seconds for _, _, start, seconds in first["bars"])
    assert ends == pytest.approx(best_known("small/001").objective, rel=1e-4)
    assert data["problems"][1]["bars"] == []
    assert "pipelined" in data["problems"][1]["why_no_bars"]


def test_the_primal_integral_is_of_the_longest_run(runs, data):
    longest = max(run.data["runtime"] for run in runs if run.data["problem"] == "small/001")
    row = best_known("small/001")
    events = [(0.5, 2 * row.objective), (1.0, row.objective)]
    expected = primal_integral(events, row.objective, longest) / longest
    assert cells(data, "best")["small/001"][6] == pytest.approx(expected, rel=1e-3)


def event(time, objective, bound=None):
    return {"time": time, "objective": objective, "bound": bound, "source": ""}


@pytest.mark.parametrize(
    "second",
    [[event(0.8, 9.0)], [event(0.1, 1.0)], []],
    ids=["another quantity is worse", "its seconds begin anew", "there is none"],
)
def test_of_priorities_the_trace_is_the_first_ones(runs, second):
    run = next(run for run in runs if run.data["problem"] == "small/023" and run.method == "best")
    value = run.data["objective"]
    trace = [event(0.5, 1.25 * value), event(0.7, value, value), *second]
    data = run.data | {"trace": trace, "objectives": [value, 9.0]}
    found = report_data([replace(run, data=data)])["problems"][0]["cells"][0][7]
    assert [point[0] for point in found] == [0.5, 0.7]
    assert [point[1] for point in found] == pytest.approx([1.25 * value, value], rel=1e-5)


def test_a_better_first_value_of_a_later_priority_ends_the_trace(runs):
    run = next(run for run in runs if run.data["problem"] == "small/023" and run.method == "best")
    trace = [event(0.5, 5 * run.data["objective"]), event(0.1, 9.0)]
    data = run.data | {"trace": trace, "objectives": [run.data["objective"], 9.0], "runtime": 2.0}
    found = report_data([replace(run, data=data)])["problems"][0]["cells"][0][7]
    assert [point[0] for point in found] == [0.5, 2.0]
    assert found[-1][1] == pytest.approx(run.data["objective"], rel=1e-5)


def test_a_plan_that_is_not_what_its_file_says_is_refused(runs):
    run = next(run for run in runs if run.data["placement"] is not None)
    with pytest.raises(dp.InputError, match="placement"):
        report_data([replace(run, data={**run.data, "objective": run.data["objective"] / 2})])


def test_a_plan_of_another_problem_is_refused_with_its_file(runs):
    first = next(run for run in runs if run.data["problem"] == "small/001" and run.data["placement"] is not None)
    other = next(run for run in runs if run.data["problem"] == "small/002" and run.data["placement"] is not None)
    with pytest.raises(dp.InputError, match=r"m/p\.json"):
        report_data([replace(first, data=first.data | {"placement": other.data["placement"]}, file="m/p.json")])
    with pytest.raises(dp.InputError, match="placement"):
        report_data([replace(first, data=first.data | {"placement": None})])


def test_what_is_of_other_data_is_left_out_and_told(runs):
    one, other = runs[0], runs[1]
    strange = [
        replace(one, data={**one.data, "problem": "none/001"}),
        replace(other, data={**other.data, "checksum": "0" * 64}),
    ]
    found = report_data([*runs[2:], *strange])
    assert len(found["left"]) == 2
    assert "no such problem" in found["left"][0]
    assert "other data" in found["left"][1]
    with pytest.raises(dp.InputError, match="none/001"):
        report_data(strange[:1])


def test_a_run_that_failed_is_a_cell_without_a_plan(runs):
    dead = {"problem": "small/001", "status": "error", "message": "out of memory", "checksum": None, "versions": {}}
    dead |= dict.fromkeys(("objective", "bound", "runtime", "placement")) | {"found_by": "", "date": ""}
    found = report_data([*runs, BenchRun("dead", dead)])
    assert cells(found, "dead")["small/001"][0] == "error"
    assert cells(found, "dead")["small/001"][8] == "out of memory"
    assert cells(found, "dead")["small/002"] is None


def test_what_ran_when_where_and_with_how_much_memory(runs):
    machine = {"processor": "a processor", "cores": 2, "memory": 4 * 10**9}
    noted = []
    for minute, run in enumerate(runs):
        about = {"machine": machine, "started": f"2026-11-29T10:{minute:02}:00+00:00", "peak_memory": 10**6 * minute}
        noted.append(replace(run, data=run.data | {"run": about, "task": {"time_limit": 5.0, "threads": "1"}}))
    found = report_data(noted)
    rows = {row["method"]: row for row in found["ran"]}
    assert list(rows) == [method["name"] for method in found["methods"]]
    last = 3 * (len(PROBLEMS) - 1) + 2
    expected = {"runs": 4, "limit": 5.0, "threads": 1, "machine": "a processor, 2 cores, 4 GB", "memory": 10**6 * last}
    assert rows["greedy"].items() >= expected.items()
    assert (rows["greedy"]["first"], rows["greedy"]["last"]) == (
        "2026-11-29T10:02:00+00:00",
        f"2026-11-29T10:{last}:00+00:00",
    )
    assert f"dnnopt {dp.__version__}, python 3" in rows["greedy"]["versions"]
    assert cells(found, "single-cut")["small/002"][9] == 3 * 10**6
    other = replace(noted[0], data=noted[0].data | {"task": {"time_limit": 9.0, "threads": "1"}})
    assert sorted(row["limit"] for row in report_data([other, *noted[1:]])["ran"] if row["method"] == "single-cut") == [
        5.0,
        9.0,
    ]
    assert {row["memory"] for row in report_data(runs)["ran"]} == {None}


def test_a_folder_is_read_and_one_without_results_refused(runs, tmp_path):
    for run in runs[:2]:
        place = tmp_path / run.method / f"{run.data['problem']}.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(run.data), encoding="utf-8")
    assert [run.method for run in read_runs(tmp_path)] == sorted(run.method for run in runs[:2])
    (tmp_path / "empty").mkdir()
    with pytest.raises(dp.InputError, match="no results"):
        read_runs(tmp_path / "empty")


def test_the_data_of_180_problems_and_30_methods_leave_room(data):
    """The largest problems of the library, each with plans of as many layers that are as random as can be."""
    import gzip

    generator = random.Random(0)
    large = report_data([BenchRun(str(method), result_data("core/005", "single-cut")) for method in range(30)])
    problem = large["problems"][0]
    many = []
    for _ in range(180):
        plans = ["".join(generator.choice("01234") for _ in problem["names"]) for _ in range(30)]
        traces = [[[generator.random(), generator.random(), generator.random()] for _ in range(40)] for _ in range(30)]
        pairs = zip(problem["cells"], traces, strict=True)
        many.append({**problem, "plans": plans, "cells": [[*cell[:7], trace, "", None] for cell, trace in pairs]})
    for one in many:
        for cell in one["cells"]:
            cell[-1] = generator.randrange(10**8, 10**9)
            cell[7] = [[float(f"{value:.5g}") for value in point] for point in cell[7]]
    packed = len(gzip.compress(json.dumps(many, separators=(",", ":")).encode())) * 4 / 3
    assert packed + 2.1e6 < 6e6


# In a browser. What the script returns is compared with the statistics in Python.


def test_the_page_is_alone_and_its_title_is_text(page):
    text = page.read_text("utf-8")
    assert "A &lt;b&gt;title&lt;/b&gt;" in text
    assert "<script src" not in text
    assert 'rel="stylesheet"' not in text
    assert len(text) < 2.3e6


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_answers_and_filters_change_it(page, tmp_path, width):
    script = """
      const first = $("#answer").textContent, figures = () => doc.querySelectorAll(".js-plotly-plot").length;
      const rows = () => doc.querySelectorAll("table[data-name=methods] tbody tr").length;
      const profile = () => JSON.stringify($(".js-plotly-plot").data.map((trace) => trace.y));
      const last = $("table[data-name=methods] tbody tr:last-child");
      const virtual = [...last.children].slice(0, 5).map((cell) => cell.textContent);
      const before = [figures(), rows(), profile(), $("#count").textContent];
      const filter = $("select[name=execution]");
      filter.value = "pipelined"; filter.dispatchEvent(new page.Event("change"));
      const after = [figures(), rows(), profile(), $("#count").textContent, $("#answer").textContent];
      $("button[type=reset]").click();
      await wait(() => $("#count").textContent === before[3], "clear");
      const wide = [doc.documentElement.scrollWidth];
      page.location.hash = "#/problem/small%2F001";
      await wait(() => $("h1").textContent === "small/001", "problem page");
      wide.push(doc.documentElement.scrollWidth);
      const drawn = [...doc.querySelectorAll("figure")].map((one) => one.dataset.figure);
      const focused = doc.activeElement.id;
      page.location.hash = "#/formulations";
      await wait(() => $("h1").textContent === "Formulations", "formulations");
      page.location.hash = "#/about";
      await wait(() => $("h1").textContent === "About these runs", "about");
      return { virtual, first, before, after, wide, drawn, focused };
    """
    found = in_browser(page, script, tmp_path, width=width)
    assert found["first"].startswith("best has the best plan most often: on 4 of 4 (100 %)")
    assert found["virtual"] == ["virtual best", "4", *["4 (100 %)"] * 3]
    assert found["before"][0] >= 4
    assert found["before"][1] == 5  # and the virtual best
    assert (found["before"][3], found["after"][3]) == ("4 of 4 problems", "1 of 4 problems")
    assert found["before"][2] != found["after"][2]
    assert found["after"][4] != found["first"]
    assert found["wide"] == [width, width]
    assert found["focused"] == "main"
    assert {"The plan on the graph", "When what happens", "Loads of the best plan", "Baselines"} <= set(found["drawn"])


GENERATOR = random.Random(1)
COUNTS = (1, 5, 20, 60, 61, 90)
DIFFERENCES = [[GENERATOR.choice([-3.0, -2.0, -1.0, 0.5, 1.0, 2.0]) for _ in range(count)] for count in COUNTS]
VALUES = [GENERATOR.random() for _ in range(20)]


@pytest.fixture(scope="module")
def seen(page, tmp_path_factory):
    """What a desktop's browser says of the statistics, of dark and light, and of what the keyboard reaches."""
    script = f"""
      const differences = {json.dumps(DIFFERENCES)}, values = {json.dumps(VALUES)};
      const pairs = differences.map((one) => one.map((d) => [1 + Math.max(d, 0), 1 + Math.max(-d, 0)]));
      const mean = page.shiftedMean(values, 0.01), p = pairs.map((one) => page.paired(one));
      const none = page.paired([[Infinity, 1], [Infinity, Infinity], [1, 1 + 1e-9]]), holm = page.holm(values);
      const colours = () => [page.getComputedStyle(doc.body).backgroundColor, $(".js-plotly-plot").layout.font.color];
      const before = colours();
      $("#theme").click();
      const after = colours();
      const all = (selector) => [...doc.querySelectorAll(selector)];
      const unreached = all("a, button, select, .scroll").filter((one) => one.tabIndex < 0 || one.href === "");
      const sort = $("table[data-name=methods] th:nth-child(2) button");
      sort.focus();
      sort.click();
      const head = $("table[data-name=methods] th:nth-child(2)").getAttribute("aria-sort");
      const silent = (one) => !one.textContent.trim() && !one.getAttribute("aria-label");
      const counts = [unreached.length, all("button, select").filter(silent).length];
      return {{ p, mean, holm, none, before, after, counts, head, same: doc.activeElement === sort }};
    """
    return in_browser(page, script, tmp_path_factory.mktemp("browser"))


def test_the_page_counts_as_python_does(seen):
    for one, there in zip(DIFFERENCES, seen["p"], strict=True):
        here = paired(
            {str(k): 1 + max(d, 0) for k, d in enumerate(one)}, {str(k): 1 + max(-d, 0) for k, d in enumerate(one)}
        )
        assert (there["wins"], there["ties"], there["losses"]) == (here.wins, here.ties, here.losses)
        assert there["p"] == pytest.approx(here.p, rel=1e-5)
    assert seen["mean"] == pytest.approx(shifted_geometric_mean(VALUES, 0.01))
    assert seen["holm"] == pytest.approx(list(holm({str(k): p for k, p in enumerate(VALUES)}).values()))
    assert seen["none"] == {"wins": 0, "ties": 2, "losses": 1, "p": 1}
    assert paired({"a": math.inf}, {"a": 1.0}).losses == 1


def test_dark_and_light_differ(seen):
    assert all(one != other for one, other in zip(seen["before"], seen["after"], strict=True))


def test_everything_is_reached_by_keyboard_and_has_a_name(seen):
    assert (seen["counts"], seen["head"], seen["same"]) == ([0, 0], "ascending", True)


def test_the_commands_write_pages(runs, tmp_path):
    pytest.importorskip("plotly")
    for run in runs:
        place = tmp_path / "runs" / run.method / f"{run.data['problem']}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(run.data), encoding="utf-8")
    run = dnnopt("report", tmp_path / "runs", "-o", tmp_path / "r.html")
    assert run.returncode == 0, run.output
    assert "4 problems, 4 methods" in run.stdout
    solved = dnnopt("solve", "small/002", "--html", tmp_path / "s.html")
    compared = dnnopt("compare", "small/002", "--method", "single-cut", "--html", tmp_path / "c.html")
    assert (solved.returncode, compared.returncode) == (0, 0)
    for name, heading in (("s", "small/002"), ("c", "small/002")):
        assert f"<title>{heading}</title>" in (tmp_path / f"{name}.html").read_text("utf-8")
    check_refused(dnnopt("report", tmp_path, "-o", "-"), "'-'")


def test_a_page_of_a_comparison_has_its_rows(tmp_path, monkeypatch):
    from dnnopt.plot.report import one

    written = []
    monkeypatch.setattr(one, "write_report", lambda data, path: written.append(data))
    comparison = dp.compare("small/011", methods=["all-on-one", "single-cut"], time_limit=5)
    one.write_comparison_page(comparison, tmp_path / "c.html")
    (problem,) = written[0]["problems"]
    good = [row for row in comparison.rows if not row.violations]
    assert [method["name"] for method in written[0]["methods"]] == [row.name for row in good]
    assert [cell[1] for cell in problem["cells"]] == pytest.approx([row.objective for row in good], rel=1e-8)
    assert problem["cells"][-1][2] == pytest.approx(comparison.bound)
    broken = {row.name: len(row.violations) for row in comparison.rows if row.violations}
    assert broken
    assert broken.items() <= {name: violations for name, _, violations in problem["baselines"]}.items()
