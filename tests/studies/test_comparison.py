"""`compare` has a row for every method, with gaps to the best bound and plan, on one problem and over sets."""

import io
import json
import math
import sys

import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor
from rich.console import Console

import dnnopt as dp
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.tables import as_latex, as_markdown
from dnnopt.methods.exact import EXACT
from dnnopt.methods.heuristics import BASELINES
from dnnopt.problem.constraints import Deadline, Memory
from dnnopt.problem.objectives import latency, period
from dnnopt.problem.words import letters, strip
from dnnopt.referee import evaluate
from dnnopt.studies import bench_task, comparison
from dnnopt.studies.bench import run_all
from dnnopt.studies.bench_task import BenchTask, run_task
from dnnopt.studies.best_known import read_table
from dnnopt.studies.set_comparison import set_tasks, summarise

QUICK = ("all-on-one", "single-cut", "greedy", "tree")


def compare(one, **options):
    """Compare few methods, unless others are named; heuristics that search have little time."""
    return comparison.compare(one, **({"methods": QUICK, "heuristic_limit": 0.05} | options))


def two_branches(**fields):
    """Two branches that are fast on different devices: the optimum is no single cut of the order."""
    tensors = [tensor("ta", "a", "b c", 1), tensor("tb", "b", "d", 1), tensor("tc", "c", "d", 1)]
    net = network([layer(name, 2) for name in "abcd"], tensors)
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    return problem(net, on, {"a": (1, 9), "b": (9, 1), "c": (1, 9), "d": (9, 1)}, **fields)


def test_rows_are_the_baselines_auto_and_the_formulations_named():
    found = compare(two_branches(), methods=None, formulations=["product", "cp-assignment", "product"], threads=1)
    names = [row.name for row in found.rows]
    assert len(set(names)) == len(names)
    assert {"all on p", "all on q", "best single cut", "greedy"} <= set(names)
    assert names[-3:] == ["edgewise+sum (highs)", "product+sum (highs)", "cp-assignment (cpsat)"]
    assert [result.formulation for result in found.results[-3:]] == ["edgewise+sum", "product+sum", "cp-assignment"]


def test_best_bound_and_gaps_are_of_all_rows_together():
    one = two_branches()
    found = compare(one, formulations=["product"], threads=1)
    best = brute_force(one).objective
    assert found.best == best == 6
    assert found.bound == pytest.approx(best, rel=1e-6)
    assert found.bound == max(result.bound for result in found.results)
    for row in found.rows:
        assert row.gap == pytest.approx((row.objective - found.bound) / row.objective, abs=1e-12)
        assert row.seconds >= 0
    exact = [row for row in found.rows if row.status == "optimal"]
    assert len(exact) == len(found.results) >= 2
    assert all(row.gap <= 1e-6 for row in exact)
    on_p = next(row for row in found.rows if row.name == "all on p")
    assert (on_p.status, on_p.objective, on_p.violations) == ("feasible", 20, ())
    assert on_p.gap == pytest.approx(14 / 20)


def test_baselines_that_break_a_constraint_say_what_they_break_and_have_no_gap():
    one = two_branches(subject_to=[Memory(limits={"p": 4, "q": 6})])
    found = compare(one, threads=1)
    on_p = next(row for row in found.rows if row.name == "all on p")
    assert (on_p.status, on_p.objective, on_p.gap) == ("infeasible", 20, None)
    assert [violation.constraint for violation in on_p.violations] == ["memory(p)"]
    assert found.best == brute_force(one).objective


def test_an_infeasible_problem_has_neither_best_nor_bound():
    found = compare(two_branches(subject_to=[Deadline(limit=1)]), threads=1)
    assert (found.best, found.bound) == (None, None)
    assert found.rows[-1].status == "infeasible"
    assert found.rows[-1].objective == math.inf
    assert all(row.status == "infeasible" and row.gap is None for row in found.rows)


@pytest.mark.parametrize("execution", ["sequential", "parallel", "scheduled", "pipelined"])
def test_every_execution_can_be_compared(execution):
    minimize = period() if execution == "pipelined" else latency()
    found = compare(two_branches(execution=execution, minimize=minimize), methods=None, threads=1)
    assert found.best is not None
    assert found.bound == pytest.approx(found.best, rel=1e-6)
    assert len(found.rows) >= 4
    plan = found.results[0].plan
    assert evaluate(found.problem, plan).objective == pytest.approx(found.best)


def test_plain_data_and_text_have_every_row():
    found = compare(two_branches(subject_to=[Memory(limits={"p": 4})]), threads=1)
    data, text = found.to_data(), str(found)
    assert (data["format"], data["version"], data["best"]) == ("dnnopt-comparison", 1, found.best)
    assert [row["method"] for row in data["rows"]] == [row.name for row in found.rows]
    assert any(row["violations"] for row in data["rows"])
    nothing = compare(two_branches(subject_to=[Deadline(limit=1)]), threads=1).to_data()
    assert nothing["rows"][-1]["objective"] is None
    for row in found.rows:
        assert row.name in text


def test_rows_have_plans_and_the_layers_that_the_best_plan_has_elsewhere():
    one = two_branches()
    found = compare(one, threads=1)
    for row in found.rows:
        assert evaluate(one, row.plan).objective == row.objective
        assert (row.above == 0) == (row.objective == found.best)
    best = next(row for row in found.rows if row.elsewhere == ())
    on_p = next(row for row in found.rows if row.name == "all on p")
    placed = best.plan.placement["net"]
    assert set(on_p.elsewhere) == {name for name in "abcd" if placed[name] == "q"}
    assert on_p.above == pytest.approx((20 - 6) / 6)


def test_exact_methods_by_structure_that_accept_the_problem_have_rows_and_others_none():
    free, bounded = (
        compare(two_branches(), threads=1),
        compare(two_branches(subject_to=[Deadline(limit=90)]), threads=1),
    )
    assert {"tree"} <= {row.name for row in free.rows} & set(EXACT)
    assert "tree" not in {row.name for row in bounded.rows}


def test_methods_can_be_chosen():
    found = compare(two_branches(), methods=["greedy", "tree"], threads=1)
    assert [row.name for row in found.rows] == ["greedy", "tree", "edgewise+sum (highs)"]


def test_pictures_have_a_letter_for_each_group_of_layers():
    one = two_branches()
    assert letters(one) == {"p": "P", "q": "Q"}
    plan = dp.Plan(placement={"net": {"a": "p", "b": "p", "c": "q", "d": "q"}})
    assert strip(one, plan) == "PPQQ"
    assert strip(one, plan, width=2) == "PQ"
    assert strip(one, plan, width=1) == "p"
    names = [f"nano{number}" for number in range(30)]
    many = platform(" ".join(names))
    found = letters(problem(network("a"), many, {"a": (1,) * 30}))
    assert len(set(found.values())) == 27
    assert (found["nano0"], found["nano1"], found["nano2"]) == ("N", "A", "O")


def test_a_data_frame_and_html_have_every_row():
    found = compare(two_branches(), threads=1)
    html = found._repr_html_()
    assert html.count("<tr>") == len(found.rows) + 1
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = found.to_frame()
    assert list(frame["method"]) == [row.name for row in found.rows]
    assert frame["objective"].min() == found.best


def test_a_data_frame_without_pandas_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r'pip install "dnnopt\[tables\]"'):
        compare(two_branches(), methods=[], threads=1).to_frame()


def test_tables_escape_what_their_format_reserves():
    rows = [{"method": "a|b", "share_of": "5 %", "value": 1.23456789}, {"method": "c_d", "share_of": "", "value": None}]
    assert as_markdown(rows) == (
        "| method | share of | value |\n| --- | --- | ---: |\n| a\\|b | 5 % | 1.2346 |\n| c_d |  |  |\n"
    )
    latex = as_latex(rows)
    assert "method & share of & value \\\\" in latex
    assert "c\\_d &  &  \\\\" in latex
    assert "5 \\%" in latex


def test_a_narrow_terminal_shows_fewer_columns_and_whole_words():
    found = compare(two_branches(), threads=1)
    stream = io.StringIO()
    found.report(Console(file=stream, width=60))
    title, *lines = stream.getvalue().splitlines()
    words = stream.getvalue().split()
    assert title == "net: best bound 6 s"
    assert all(word in words for word in ("method", "status", "latency", "optimal", "feasible", "elsewhere."))
    assert all(len(line) <= 60 for line in lines)
    assert any(line.startswith("edgewise+sum (highs)") for line in lines)
    assert "There is no room here for: gap to bound, layers elsewhere." in lines


def test_exported_tables_have_units_in_their_headings_and_gaps_in_per_cent():
    found = compare(two_branches(), methods=["all-on-one"], threads=1)
    head, *rows = [line.split(",") for line in found.to_csv().splitlines()]
    assert head[2:5] == ["latency (s)", "gap to bound (%)", "above best plan (%)"]
    assert head[-1] == "time (s)"
    values = {row[0]: (float(row[2]), float(row[4])) for row in rows if row[4]}
    for value, above in values.values():
        assert above == pytest.approx(100 * (value - found.best) / found.best)
    assert any(above > 0 for _, above in values.values())
    assert "latency (s) & gap to bound (\\%)" in found.to_latex()
    assert "| latency (s) | gap to bound (%) |" in found.to_markdown()
    assert "<th>gap to bound (%)</th>" in found._repr_html_()


def test_events_are_told_while_it_runs():
    events = []
    compare(two_branches(), watch=events.append, threads=1)
    assert any(event.objective == 6 for event in events)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"formulations": ["magic"]}, InputError),
        ({"methods": ["magic"]}, InputError),
        ({"heuristic_limit": 0}, InputError),
        ({"formulations": ["edgewise+disjunctive"]}, UnsupportedError),
        ({"time_limit": -1}, InputError),
        ({"gap": -1}, InputError),
    ],
)
def test_bad_input_is_refused(options, error):
    one = two_branches(execution="parallel")
    with pytest.raises(error):
        compare(one, **options)


def result(name, objective, **fields):
    """Return the data of a result file of a problem of the library."""
    known = read_table()[name]
    data = {"problem": name, "status": "feasible", "objective": objective, "bound": None, "runtime": 1.0}
    return data | {"checksum": known.checksum} | fields


def test_gaps_over_a_set_are_to_the_best_known_values():
    table = read_table()
    one, other = table["small/001"].objective, table["small/002"].objective
    found = summarise(
        [
            ("cut", result("small/001", 1.5 * one)),
            ("cut", result("small/002", 1.005 * other)),
            ("greedy", result("small/001", None, status="no_solution")),
            ("greedy", result("small/002", None, status="error", runtime=None)),
        ]
    )
    assert found.gaps["cut"] == {"small/001": pytest.approx(0.5), "small/002": pytest.approx(0.005)}
    rows = {(row.method, row.kind): row for row in found.rows}
    assert {kind for _, kind in rows} == {"all", "sequential", "pipelined"}
    every = rows["cut", "all"]
    assert (every.problems, every.feasible, every.within, every.failed) == (2, 1, 0.5, 0)
    assert (every.mean, every.median, every.worst) == pytest.approx((0.2525, 0.2525, 0.5))
    assert rows["cut", "sequential"].mean == pytest.approx(0.5)
    none = rows["greedy", "all"]
    assert (none.feasible, none.within, none.mean, none.failed, none.seconds) == (0, 0, None, 1, 1)
    assert "cut 100 % 50 % 25.2 % 25.2 % 50 % 0 1 s" in [" ".join(line.split()) for line in str(found).splitlines()]
    assert str(found).count("number") == 0
    assert "| cut | all | 2 | 100 | 50 | 25.25 | 25.25 | 50 | 0 | 1 |" in found.to_markdown()
    assert "plan (\\%) & within 1 \\% (\\%) & mean gap (\\%)" in found.to_latex()
    assert "cut" in found._repr_html_()


def test_classes_of_problems():
    results = [("cut", result(name, 1.0)) for name in ("small/001", "small/002", "small/003")]
    assert {row.kind for row in summarise(results, "all").rows} == {"all"}
    assert {row.kind for row in summarise(results, "locations").rows} == {"all", "end-edge-cloud", "end-cloud", "edge"}
    with pytest.raises(InputError, match="by: got 'size'"):
        summarise(results, "size")


def test_better_values_than_the_tables_and_bounds_of_unknown_data_are_what_gaps_are_to():
    one = read_table()["small/001"].objective
    better = summarise([("a", result("small/001", one)), ("b", result("small/001", 0.5 * one))])
    assert better.gaps == {"a": {"small/001": pytest.approx(1)}, "b": {"small/001": 0}}
    unknown = {"checksum": "0" * 64}
    bounded = [("a", result("small/001", 3.0, **unknown)), ("b", result("small/001", None, bound=2.0, **unknown))]
    assert summarise(bounded).gaps["a"] == {"small/001": 0.5}
    assert summarise(bounded[:1]).gaps["a"] == {"small/001": 0}


def test_methods_run_over_a_set_and_go_on_where_they_were_stopped(tmp_path):
    work = set_tasks(["small/001"], tmp_path, ["single-cut", "greedy"], heuristic_limit=1.0)
    assert [(task.label, task.time_limit) for task in work] == [("single-cut", 1.0), ("greedy", 1.0)]
    first = {task.label: data for task, data in run_all(work, 2, oversubscribe=True)}
    assert first["single-cut"]["method"] == "single-cut"
    assert {task.label: data for task, data in run_all(work)} == first
    assert summarise(first.items()).rows[0].problems == 1
    assert {task.label for task in set_tasks(["small"], tmp_path)} == set(BASELINES)
    with pytest.raises(InputError, match="magic"):
        set_tasks(["small"], tmp_path, ["magic"])


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is of Linux")
def test_a_process_that_needs_more_memory_than_it_may_is_an_outcome(tmp_path):
    task = BenchTask("small/001", (), 1.0, str(tmp_path / "out.json"), memory=40e6)
    data = run_task(task)
    assert (data["status"], data["objective"]) == ("error", None)
    assert data["message"]
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["status"] == "error"


def test_no_heuristic_has_the_name_of_an_exact_method():
    assert not set(BASELINES) & set(EXACT)


def test_a_process_that_does_not_end_in_time_is_an_outcome(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_task, "_GRACE", 0.0)
    data = run_task(BenchTask("hard/001", (), 0.2, str(tmp_path / "out.json")))
    assert (data["status"], data["objective"]) == ("error", None)
    assert "ended, as it ran" in data["message"]
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]


def test_a_data_frame_becomes_latex_with_what_the_extra_installs():
    pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("jinja2", reason="jinja2 is not installed")
    frame = compare(two_branches(), methods=["all-on-one"], threads=1).to_frame()
    assert frame.to_latex().startswith("\\begin{tabular}")
