"""Pages of the report beside the answer: published approaches, variants of a problem, its best plans."""

import re

import pytest
from browser import in_browser
from commands import check_refused, dnnopt

import dnnopt as dp
from dnnopt.approaches import score
from dnnopt.plot.report import one
from dnnopt.plot.report.data import report_data
from dnnopt.studies.run_folders import BenchRun

APPROACHES = ["neurosurgeon", "msr", "edgeshard"]
PROBLEMS = ["small/001", "small/002"]  # sequential, pipelined


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("approaches")
    return folder, score(PROBLEMS, folder, approaches=APPROACHES, time_limit=5, search_limit=0.2)


@pytest.fixture(scope="module")
def runs():
    return [
        BenchRun("heft", dp.solve(name, method="heft", time_limit=5, seed=0, threads=1).to_data()) for name in PROBLEMS
    ]


def test_approaches_are_in_the_data_with_their_gaps(scores, runs):
    _, found = scores
    data = report_data(runs, approaches=found)["approaches"]
    assert [row["approach"] for row in data] == [row.approach for row in found.rows]
    for row, own in zip(found.rows, data, strict=True):
        assert own["title"]
        assert own["problems"] == row.problems
        assert own["gaps"] == {
            name: gap if gap is None else pytest.approx(gap, rel=1e-3) for name, gap in found.gaps[row.approach].items()
        }
    assert report_data(runs)["approaches"] is None


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_of_approaches_keeps_to_the_filters(scores, runs, tmp_path, width):
    pytest.importorskip("plotly")
    from dnnopt.plot.report.page import write_report

    _, found = scores
    write_report(report_data(runs, approaches=found), tmp_path / "with.html")
    script = """
      const rows = (name) => [...doc.querySelectorAll(`table[data-name='${name}'] tbody tr`)];
      const cells = (name) => rows(name).map((row) => [...row.children].map((cell) => cell.textContent));
      const hidden = $("nav a[href='#/approaches']").hidden;
      page.location.hash = "#/approaches";
      await wait(() => $("h1").textContent === "Published approaches", "approaches");
      const whole = cells("approaches"), more = cells("approaches in other measures").length;
      const filter = $("select[name=execution]");
      filter.value = "pipelined"; filter.dispatchEvent(new page.Event("change"));
      return { hidden, whole, more, some: cells("approaches"), wide: doc.documentElement.scrollWidth };
    """
    seen = in_browser(tmp_path / "with.html", script, tmp_path, width=width)
    assert (seen["hidden"], seen["more"], seen["wide"]) == (False, len(found.rows), width)
    assert {(row[0], row[1]) for row in seen["whole"]} == {
        (f"{title} ({year})", str(count)) for title, year, count in named(found)
    }
    for row in found.rows:
        (own,) = (cells for cells in seen["whole"] if cells[0].startswith(dict(titles(found))[row.approach]))
        plans = round(row.plans * row.problems)
        assert own[2] == f"{plans} of {row.problems} ({round(100 * row.plans)} %)"
    pipelined = [row.approach for row in found.rows if "small/002" in found.gaps[row.approach]]
    assert len(seen["some"]) == len(pipelined) < len(found.rows)


def titles(found):
    return [(row.approach, dp.approaches.approach_named(row.approach).title) for row in found.rows]


def named(found):
    for row in found.rows:
        one = dp.approaches.approach_named(row.approach)
        yield one.title, one.year, row.problems


def test_the_command_takes_a_folder_of_approaches(scores, runs, tmp_path):
    pytest.importorskip("plotly")
    from dnnopt.base.files import dump_json

    for run in runs:
        path = tmp_path / "runs" / "heft" / f"{run.data['problem']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump_json(run.data), encoding="utf-8")
    words = ("report", tmp_path / "runs", "-o", tmp_path / "r.html", "--approaches")
    done = dnnopt(*words, scores[0])
    assert done.returncode == 0, done.output
    check_refused(dnnopt(*words, tmp_path / "none"), "none", "no results")


@pytest.fixture(scope="module")
def variants():
    one = dp.load("small/001")
    return dp.best_of(
        {
            "b: as it is": one,
            "a: copies": one.replace(transport="multicast"),
            "none": one.replace(subject_to=[*one.subject_to, dp.latency() <= 1e-6]),
        },
        time_limit=30,
    )


def test_variants_are_problems_of_their_page(variants, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(one, "write_report", lambda data, path: written.append(data))
    one.write_variants_page(variants, tmp_path / "v.html")
    (data,) = written
    assert data["variants"] == {"headline": variants.headline(), "best": variants.variant}
    rows = {row.name: row for row in variants.rows}
    assert {problem["name"] for problem in data["problems"]} == set(rows)
    for problem in data["problems"]:
        row, cell = rows[problem["name"]], problem["cells"][0]
        assert cell[0] == row.status
        assert cell[1] == (None if row.objective is None else pytest.approx(row.objective, rel=1e-8))


def test_a_browser_shows_which_variant_is_best(variants, tmp_path):
    pytest.importorskip("plotly")
    one.write_variants_page(variants, tmp_path / "v.html")
    script = """
      const rows = [...doc.querySelectorAll("table[data-name=variants] tbody tr")];
      const best = doc.querySelector("tr.best td").textContent, answer = $("#answer").textContent;
      const hidden = $("#filters").hidden;
      rows.find((row) => row.classList.contains("best")).querySelector("a").click();
      await wait(() => $("h1").textContent === best, "variant");
      const drawn = [...doc.querySelectorAll("figure")].map((one) => one.dataset.figure);
      return { count: rows.length, best, answer, hidden, drawn };
    """
    seen = in_browser(tmp_path / "v.html", script, tmp_path)
    assert (seen["count"], seen["best"], seen["hidden"]) == (3, variants.variant, True)
    assert seen["answer"] == variants.headline()
    assert "The plan on the graph" in seen["drawn"]


def test_best_plans_are_beside_each_other(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(one, "write_report", lambda data, path: written.append(data))
    found = dp.best_plans("small/001", 3, time_limit=30)
    one.write_ranking_page(found, tmp_path / "b.html")
    (problem,) = written[0]["problems"]
    assert [method["name"] for method in written[0]["methods"]] == ["plan 1", "plan 2", "plan 3"]
    assert [cell[1] for cell in problem["cells"]] == pytest.approx([one.objective for one in found.plans], rel=1e-8)
    assert [cell[2] is None for cell in problem["cells"]] == [False, True, True]
    assert problem["bound"] <= problem["best"] * (1 + 1e-9)
    assert len(set(problem["plans"])) == 3
    impossible = dp.load("small/001")
    impossible = impossible.replace(subject_to=[*impossible.subject_to, dp.latency() <= 1e-6])
    one.write_ranking_page(dp.best_plans(impossible, 2, time_limit=30), tmp_path / "n.html")
    assert written[1]["problems"][0]["cells"][0][0] == "infeasible"


def test_the_commands_write_pages_of_variants_and_best_plans(tmp_path):
    pytest.importorskip("plotly")
    from dnnopt.problem.variants import Variants, write_variants

    problem = dp.load("small/001")
    write_variants(Variants({"a": problem, "b": problem.replace(transport="multicast")}), tmp_path / "v.json")
    for name, words in (("v", (tmp_path / "v.json",)), ("b", ("small/001", "--best", "2"))):
        done = dnnopt("solve", *words, "--time-limit", "20", "--html", tmp_path / f"{name}.html")
        assert done.returncode == 0, done.output
        assert re.search(r"<title>.+</title>", (tmp_path / f"{name}.html").read_text("utf-8"))
