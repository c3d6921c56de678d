"""The report of many methods in a browser: its figures stay readable, and it says what ran when."""

import pytest
from browser import in_browser

import dnnopt as dp
from dnnopt.plot.report.data import report_data
from dnnopt.studies.best_known import best_known
from dnnopt.studies.run_folders import BenchRun
from dnnopt.studies.statistics import shifted_geometric_mean

RUN = {"machine": {"processor": "a <b>processor</b>", "cores": 2, "memory": 4 * 10**9}, "peak_memory": 5 * 10**7}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pytest.importorskip("plotly")
    from dnnopt.plot.report.page import write_report

    runs = []
    for problem in ("small/001", "small/002"):
        data = dp.solve(problem, method="heft", time_limit=5, seed=0, threads=1).to_data()
        for number in range(10):
            data |= {"runtime": 1.0 + number, "run": RUN | {"started": f"2026-11-29T10:0{number}:00+00:00"}}
            runs.append(BenchRun(f"method {number}", dict(data)))
        for name, bound in (("edgewise", 1.0), ("product", 0.5)):
            relaxed = data | {"method": "relaxation", "objective": None, "placement": None, "status": "no_solution"}
            relaxed |= {"bound": bound * data["objective"] * (0.5 if problem == "small/002" else 0.9), "trace": []}
            runs.append(BenchRun(f"relaxation-of-{name}", relaxed))
    place = tmp_path_factory.mktemp("many") / "report.html"
    write_report(report_data(runs, title="Many"), place)
    return place


@pytest.mark.parametrize("width", [390, 1440])
def test_figures_begin_with_eight_methods_and_take_others(page, tmp_path, width):
    script = """
      const all = (selector) => [...doc.querySelectorAll(selector)];
      const profile = () => $("figure[data-figure='Performance profile'] .plot");
      const lines = () => (profile() ? profile().data.map((trace) => trace.name) : []);
      const state = () => [$(".chosen summary").textContent, lines()];
      const first = state(), different = new Set(profile().data.map((trace) => trace.line.color)).size;
      const boxes = all(".boxes input");
      const button = (words) => all(".chosen button").find((one) => one.textContent === words);
      $(".chosen").open = true;
      boxes[9].focus();
      boxes[9].click();
      const more = [...state(), doc.activeElement === boxes[9]];
      boxes[0].click();
      const fewer = state();
      button("None").click();
      const none = [state(), boxes.filter((box) => box.checked).length];
      button("All").click();
      const whole = [state(), boxes.filter((box) => box.checked).length];
      button("The first 8").click();
      return { first, different, more, fewer, none, whole, again: state(), wide: doc.documentElement.scrollWidth };
    """
    found = in_browser(page, script, tmp_path, width=width)
    names = [f"method {number}" for number in range(10)]
    assert found["first"] == ["Methods in these figures: 8 of 10", names[:8]]
    assert found["different"] == 8
    assert found["more"] == ["Methods in these figures: 9 of 10", [*names[:8], names[9]], True]
    assert found["fewer"] == ["Methods in these figures: 8 of 10", [*names[1:8], names[9]]]
    assert found["none"] == [["Methods in these figures: 0 of 10", []], 0]
    assert found["whole"] == [["Methods in these figures: 10 of 10", names], 10]
    assert found["again"] == found["first"]
    assert found["wide"] == width


def test_the_page_says_what_ran_when_and_with_how_much_memory(page, tmp_path):
    script = """
      const cells = (row) => [...row.children].map((cell) => cell.textContent);
      const all = (selector) => [...doc.querySelectorAll(selector)];
      const heads = all("table[data-name=methods] thead th").map((head) => head.textContent);
      const memory = cells($("table[data-name=methods] tbody tr"))[heads.indexOf("memory")];
      const note = all("p.note").map((one) => one.textContent).find((text) => text.startsWith("Run "));
      page.location.hash = "#/about";
      await wait(() => $("h1").textContent === "About these runs", "about");
      const rows = all("table[data-name='what ran when'] tbody tr").map(cells);
      page.location.hash = "#/problem/small%2F001";
      await wait(() => $("h1").textContent === "small/001", "problem");
      const problem = [...doc.querySelector("tbody").children].map(cells);
      return { memory, note, rows, methods: problem.map((row) => row[0]), problem: problem[0] };
    """
    found = in_browser(page, script, tmp_path)
    machine = "a <b>processor</b>, 2 cores, 4 GB"
    assert found["memory"] == "50 MB"
    assert found["note"].startswith(f"Run 2026-11-29 10:00 to 10:09 UTC, on {machine}, with dnnopt {dp.__version__}, ")
    assert len(found["rows"]) == 12
    assert found["rows"][3][:4] == ["method 3", "2", "2026-11-29 10:03", "2026-11-29 10:03"]
    assert found["rows"][3][6:8] == ["50 MB", machine]
    assert found["methods"] == [f"method {number}" for number in range(10)]
    assert "50 MB" in found["problem"]


def test_relaxations_have_a_table_of_their_own(page, tmp_path):
    script = """
      const rowsOf = (name) => [...doc.querySelectorAll(`table[data-name='${name}'] tbody tr`)];
      const cells = (name) => rowsOf(name).map((row) => [...row.children].map((cell) => cell.textContent));
      page.location.hash = "#/formulations";
      await wait(() => $("h1").textContent === "Formulations", "formulations");
      const rows = cells("linear relaxations");
      const figures = [...doc.querySelectorAll("figure")].map((one) => one.dataset.figure);
      page.location.hash = "#/problem/small%2F001";
      await wait(() => $("h1").textContent === "small/001", "problem");
      return { rows, figures, own: cells("relaxations of small/001") };
    """
    found = in_browser(page, script, tmp_path)
    best = [best_known(name).objective for name in ("small/001", "small/002")]
    values = [dp.solve(name, method="heft", time_limit=5, seed=0).objective for name in ("small/001", "small/002")]
    gaps = [1 - share * value / known for share, value, known in zip((0.9, 0.5), values, best, strict=True)]
    gaps = [max(gap, 0.0) for gap in gaps]
    edgewise = found["rows"][0]
    assert edgewise[:3] == ["edgewise", "2", "2 of 2 (100 %)"]
    assert float(edgewise[5].removesuffix(" %")) == pytest.approx(50 * sum(gaps), rel=1e-2)
    assert float(edgewise[4].removesuffix(" %")) == pytest.approx(100 * shifted_geometric_mean(gaps, 0.01), rel=1e-2)
    assert found["figures"] == ["Relaxations below the best known values"]
    assert [row[0] for row in found["own"]] == ["edgewise", "product"]
