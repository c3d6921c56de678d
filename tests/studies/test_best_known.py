"""The table of best known values: only better, never on trust; and the runs that feed it."""

import json
import shutil
from dataclasses import replace

import pytest
from builders import link, network, plan, platform, problem, tensor

import dnnopt as dp
from dnnopt.base.files import dump_json
from dnnopt.studies import best_known
from dnnopt.studies.bench import run_all, tasks
from dnnopt.studies.bench_task import BenchTask, run_task
from dnnopt.studies.best_known import confirm_values, read_table, update, verify
from dnnopt.studies.features import features
from dnnopt.studies.run_folders import pack_runs

NAME = "resnet50-pi4-wifi-nx-wan-t4"


@pytest.fixture(scope="module")
def solved():
    """Return the results of the best single cut and of the exact method."""
    one = dp.load(NAME)
    return [dp.solve(one, method="single-cut").to_data(), dp.solve(one, threads=1).to_data()]


def runs(folder, *results):
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(results):
        (folder / f"{number}.json").write_text(dump_json(data), encoding="utf-8")
    return folder


def test_results_improve_the_table_and_nothing_gets_worse(tmp_path, solved):
    cut, optimal = solved
    table = tmp_path / "best.csv"
    assert [name for name, _ in update(runs(tmp_path / "a", cut), table)] == [NAME]
    first = read_table(table)[NAME]
    assert (first.status, first.bound, first.found_by) == ("open", None, "best single cut")
    [(_, better)] = update(runs(tmp_path / "b", optimal), table)
    assert "objective" in better
    assert "bound" in better
    best = read_table(table)[NAME]
    assert best.status == "proved"
    assert best.objective == optimal["objective"] < first.objective
    assert list(update(runs(tmp_path / "c", cut, optimal), table)) == []
    assert read_table(table)[NAME] == best
    assert list(verify(table)) == [(best, None)]


def test_a_parquet_file_improves_the_table_as_its_folder_does(tmp_path, solved):
    pytest.importorskip("duckdb", reason='duckdb is not installed: pip install "dnnopt[store]"')
    for name, data in zip(("cut", "optimal"), solved, strict=True):
        place = tmp_path / "runs" / name / f"{NAME}.json"
        place.parent.mkdir(parents=True)
        place.write_text(dump_json(data), encoding="utf-8")
    pack_runs([tmp_path / "runs"], tmp_path / "runs.parquet")
    tables = [tmp_path / kind / "best.csv" for kind in ("folder", "file")]
    for table, found in zip(tables, ("runs", "runs.parquet"), strict=True):
        assert [name for name, _ in update(tmp_path / found, table)] == [NAME, NAME]
    assert read_table(tables[0]) == read_table(tables[1])
    assert all(list(verify(table)) == [(read_table(table)[NAME], None)] for table in tables)


@pytest.fixture
def table(tmp_path, solved):
    list(update(runs(tmp_path / "runs", solved[1]), tmp_path / "best.csv"))
    return tmp_path / "best.csv"


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("objective", "0.5", "not 0.5"),
        ("bound", "0.6", "exceeds the objective"),
        ("bound", "0.1", "status proved, but the gap"),
        ("status", "open", "status open, but the gap is 0"),
        ("status", "infeasible", "status infeasible, but the gap is 0"),
        ("checksum", "0" * 64, "checksum"),
        ("plan", "plans/none.json", "No such file"),
    ],
)
def test_verify_says_what_is_wrong_with_a_row(table, column, value, words):
    row = read_table(table)[NAME]
    best_known.write_table(
        [best_known.replace(row, **{column: value if column in ("status", "checksum", "plan") else float(value)})],
        table,
    )
    [(_, wrong)] = verify(table)
    assert words in wrong


def test_verify_finds_a_plan_that_breaks_a_limit(table):
    row = read_table(table)[NAME]
    one = dp.load(NAME)
    everything = {"resnet50": {layer.name: "pi" for layer in one.networks[0].layers}}
    dp.write_plan(dp.Plan(placement=everything), table.parent / row.plan)
    [(_, wrong)] = verify(table)
    assert "infeasible: memory of pi" in wrong


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checksum": "0" * 64}, "checksum"),
        ({"bound": 9.0}, "exceeds the known plan"),
        ({"status": "infeasible", "placement": None}, "infeasible, but a plan is known"),
        ({"bound": float("nan")}, "bound: got nan, expected a finite number, or null"),
        ({"runtime": "1"}, "runtime: got '1'"),
        ({"status": None}, "status: got None, expected a text"),
        ({"placement": {"resnet50": {}}}, "placement"),
    ],
)
def test_results_that_contradict_the_table_or_are_damaged_are_refused(table, solved, changes, words):
    before = table.read_text("utf-8")
    (table.parent / "bad.json").write_text(json.dumps(solved[1] | changes), encoding="utf-8")
    with pytest.raises(dp.InputError, match=words):
        list(update(table.parent / "bad.json", table))
    assert table.read_text("utf-8") == before


def test_a_refused_result_leaves_the_plans_as_they_were(tmp_path, solved):
    cut, optimal = solved
    table = tmp_path / "best.csv"
    list(update(runs(tmp_path / "a", cut), table))
    with pytest.raises(dp.InputError, match="exceeds the known plan"):
        list(update(runs(tmp_path / "b", optimal | {"bound": 9.0}), table))
    [(_, wrong)] = verify(table)
    assert wrong is None


def test_a_plan_below_a_bound_of_the_table_is_refused(tmp_path, solved):
    cut, optimal = solved
    table = tmp_path / "best.csv"
    between = (cut["objective"] + optimal["objective"]) / 2
    list(update(runs(tmp_path / "a", cut | {"bound": between}), table))
    with pytest.raises(dp.InputError, match="exceeds the known plan"):
        list(update(runs(tmp_path / "b", optimal), table))


def test_what_is_infeasible_stays_so(tmp_path, solved):
    nothing = solved[0] | {"placement": None, "objective": None, "gap": None}
    table = tmp_path / "best.csv"
    list(update(runs(tmp_path / "a", nothing | {"status": "infeasible"}), table))
    assert list(update(runs(tmp_path / "b", nothing | {"status": "no_solution", "bound": 0.1}), table)) != []
    row = read_table(table)[NAME]
    assert (row.status, list(verify(table))) == ("infeasible", [(row, None)])
    with pytest.raises(dp.InputError, match="the table says is infeasible"):
        list(update(runs(tmp_path / "c", solved[1]), table))


def test_the_best_of_several_results_of_one_problem_is_taken(tmp_path, solved):
    cut, optimal = solved
    for order in ([cut, optimal], [optimal, cut]):
        table = tmp_path / order[0]["method"] / "best.csv"
        table.parent.mkdir()
        list(update(runs(tmp_path / f"runs-{order[0]['method']}", *order), table))
        assert read_table(table)[NAME].objective == optimal["objective"]


def test_rows_without_a_plan_are_judged_too(table):
    row = best_known.replace(read_table(table)[NAME], objective=None)
    for changes, words in [({}, "without an objective"), ({"plan": ""}, "proved, but there is no plan")]:
        best_known.write_table([best_known.replace(row, **changes)], table)
        [(_, wrong)] = verify(table)
        assert words in wrong


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("objective", "value"), "expected the columns problem, status"),
        (lambda text: text.replace(",proved,", ",sure,"), r"line 2, status: got 'sure'"),
        (lambda text: text.replace(",proved,0", ",proved,nan0"), r"line 2, objective: got 'nan"),
        (lambda text: text + text.splitlines()[1] + "\n", "line 3.*every problem once"),
        (lambda text: text + "a\rb,c\n", "after line 2: new-line character"),
        (lambda text: text[: len(text) // 2], "line 2: has not 13 cells"),
    ],
)
def test_damaged_tables_are_refused_by_line_and_column(table, change, words):
    table.write_text(change(table.read_text("utf-8")), encoding="utf-8")
    with pytest.raises(dp.InputError, match=words):
        read_table(table)


def test_a_second_engine_is_asked_of_proofs_and_the_table_says_which(table):
    best_known.write_table([replace(row, confirmed_by="") for row in read_table(table).values()], table)
    [(row, contradiction)] = confirm_values([NAME, "core/001"], time_limit=60, path=table)
    assert (row.problem, contradiction, row.status) == (NAME, "", "proved")
    assert row.confirmed_by == "cp-assignment (cpsat)"  # not the engine of the proof
    assert row.confirming > 0
    assert read_table(table)[NAME] == row
    assert list(confirm_values([NAME], time_limit=60, path=table)) == []  # it is confirmed now
    assert [row.problem for row, _ in confirm_values([NAME], time_limit=60, path=table, again=True)] == [NAME]


def test_a_proof_that_a_second_engine_refutes_is_open_again(tmp_path, solved):
    table = tmp_path / "best.csv"
    list(update(runs(tmp_path / "a", solved[0]), table))
    [row] = read_table(table).values()
    wrong = replace(row, status="proved", bound=row.objective, bound_by="edgewise+sum (highs)")
    best_known.write_table([wrong], table)
    [(row, contradiction)] = confirm_values([NAME], time_limit=60, path=table)
    assert "edgewise+sum (highs) claims" in contradiction
    assert (row.status, row.bound, row.confirmed_by) == ("open", None, "")
    assert list(verify(table)) == [(row, None)]


def test_the_checksum_is_of_the_data_and_not_of_texts_about_them():
    net = network("a b", [tensor("t", "a", "b", 2)])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    one = problem(net, on, dict.fromkeys("ab", (2, 1)))
    assert one.replace(provenance="measured").checksum == one.checksum
    assert one.replace(transport="multicast").checksum != one.checksum


def test_runs_are_resumed_and_a_dead_process_is_an_outcome(tmp_path):
    work = tasks([NAME], tmp_path, time_limit=20)
    [(task, first)] = run_all(work)
    assert (first["status"], task.output) == ("optimal", str(tmp_path / "auto" / f"{NAME}.json"))
    changed = json.loads((tmp_path / "auto" / f"{NAME}.json").read_text("utf-8")) | {"message": "kept"}
    (tmp_path / "auto" / f"{NAME}.json").write_text(json.dumps(changed), encoding="utf-8")
    [(_, again)] = run_all(work)
    assert again["message"] == "kept"
    dead = run_task(BenchTask(NAME, ("--no-such-option",), 1.0, str(tmp_path / "dead.json")))
    assert (dead["status"], dead["placement"]) == ("error", None)
    assert dead["message"]
    shutil.copy(tmp_path / "dead.json", tmp_path / "auto" / "dead.json")
    assert [name for name, _ in update(tmp_path / "auto", tmp_path / "best.csv")] == [NAME]


def test_unknown_problems_and_sets_are_refused(tmp_path):
    with pytest.raises(dp.InputError, match=r"no problem or set named 'corr'.*did you mean core"):
        tasks(["corr"], tmp_path, time_limit=1)


def test_features_by_hand():
    net = network("a b c", [tensor("t", "a", "b c", 2), tensor("u", "b", "c", 4)])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    found = features(problem(net, on, {"a": (2, 1), "b": (3, 6), "c": (1, 1)}))
    assert (found.layers, found.tensors, found.edges, found.devices, found.width, found.treewidth) == (3, 2, 3, 2, 2, 2)
    assert found.compute_communication == (1 + 3 + 1) / (2 + 4)
    assert found.best_trivial == 6
    formed = net.replace(tensors=[net.tensors[0].replace(forms=[dp.Form(name="jpeg", bytes=1)]), net.tensors[1]])
    several = features(problem(formed, on, {"a": (2, 1), "b": (3, 6), "c": (1, 1)}))
    assert (several.tensors, several.edges, several.width) == (2, 3, 2)
    assert several.compute_communication == found.compute_communication
    only_apart = problem(net, on, {"a": (2, None), "b": (None, 6), "c": (1, 1)})
    assert features(only_apart).best_trivial == dp.evaluate(only_apart, plan("a:p b:q c:q")).objective
