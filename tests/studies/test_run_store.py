"""Runs in one Parquet file: nothing is lost on the way there and back, and what is no such file is one clear error."""

import inspect
import json
import pickle
import random
import re
import sys

import pytest
from commands import check_refused, dnnopt
from pages import page

import dnnopt as dp
from dnnopt.base.files import dump_json
from dnnopt.studies.run_columns import RUN_COLUMNS
from dnnopt.studies.run_folders import pack_runs, read_runs, unpack_runs
from dnnopt.studies.run_frames import run_table

WHY = 'duckdb is not installed: pip install "dnnopt[store]"'
MACHINE = {"processor": "a processor", "cores": 4, "memory": 2**40}


def result(problem, method, **changes):
    """The data of a result file, as bench writes it."""
    found = dp.solve(problem, method=method, time_limit=5, seed=0, threads=1).to_data()
    task = {"time_limit": 5.0, "method": method, "threads": "1", "seed": "0"}
    run = {"machine": MACHINE, "started": "2026-11-29T19:33:42+00:00", "peak_memory": 104587264}
    return found | {"task": task, "run": run} | changes


def put(folder, place, data):
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_json(data), encoding="utf-8", newline="\n")
    return path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two problems by two methods, a run that died, and one of a problem that the library does not have."""
    place = tmp_path_factory.mktemp("runs")
    for problem in ("small/001", "small/011"):
        for method in ("greedy", "single-cut"):
            put(place, f"{method}/{problem}.json", result(problem, method))
    empty = dict.fromkeys(("objective", "bound", "gap", "placement", "runtime"))
    dead = {"format": "dnnopt-result", "version": 1, "problem": "small/002", "status": "error", **empty}
    put(place, "greedy/small/002.json", dead | {"message": "killed: \"é\n\u0000'; DROP TABLE runs", "run": None})
    put(place, "single-cut/my [1]*?.json", result("small/001", "heft") | {"problem": "mine", "checksum": "0" * 64})
    return place


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    pytest.importorskip("duckdb", reason=WHY)
    place = tmp_path_factory.mktemp("packed") / "it's [one]*?.parquet"
    assert pack_runs([folder], place) == 6
    return place


def test_runs_come_back_byte_by_byte(folder, store, tmp_path):
    assert unpack_runs([store], tmp_path / "back") == 6
    assert contents(tmp_path / "back") == contents(folder)
    assert unpack_runs([store], tmp_path / "back") == 0
    changed = tmp_path / "back" / "greedy" / "small" / "001.json"
    changed.write_text(changed.read_text("utf-8").replace("greedy", "other"), encoding="utf-8")
    with pytest.raises(dp.InputError, match="another result than"):
        unpack_runs([store], tmp_path / "back")


def test_the_same_runs_are_the_same_bytes(store, tmp_path):
    unpack_runs([store], tmp_path / "back")
    pack_runs([tmp_path / "back"], tmp_path / "again.parquet")
    pack_runs([store, tmp_path / "back"], tmp_path / "twice.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == store.read_bytes()
    assert (tmp_path / "twice.parquet").read_bytes() == store.read_bytes()


def test_what_is_read_of_both_is_the_same(folder, store):
    assert run_table(folder) == run_table(store)
    first, second = read_runs(folder), read_runs(store)
    assert [(one.method, one.data) for one in first] == [(one.method, one.data) for one in second]
    assert second[0].file == f"{store}: greedy/small/001.json"


def test_columns_say_what_the_files_say(folder):
    rows = {row["file"]: row for row in run_table(folder).to_rows()}
    row, data = rows["greedy/small/001.json"], json.loads((folder / "greedy/small/001.json").read_text("utf-8"))
    assert {key: row[key] for key in ("objective", "bound", "gap", "runtime", "status", "checksum")} == {
        key: data[key] for key in ("objective", "bound", "gap", "runtime", "status", "checksum")
    }
    problem = dp.load("small/001")
    assert (row["layers"], row["devices"]) == (len(problem.networks[0].layers), len(problem.platform.devices))
    assert (row["execution"], row["quantity"], row["unit"]) == ("sequential", "latency", "s")
    assert (row["seed"], row["threads"], row["time_limit"], row["algorithm"]) == (0, 1, 5.0, "greedy")
    assert (row["started"], row["peak_memory"]) == ("2026-11-29T19:33:42+00:00", 104587264)
    assert (row["processor"], row["cores"], row["memory"]) == ("a processor", 4, 2**40)
    assert row["dnnopt"] == dp.__version__
    dead, mine = rows["greedy/small/002.json"], rows["single-cut/my [1]*?.json"]
    assert (dead["status"], dead["objective"], dead["started"]) == ("error", None, None)
    assert (mine["devices"], mine["layers"]) == (None, row["layers"])
    assert all(tuple(one) == tuple(RUN_COLUMNS) for one in rows.values())


def test_a_data_frame_has_the_types_of_the_columns(folder, store):
    pandas = pytest.importorskip("pandas")
    frame = dp.bench.read(folder)
    pandas.testing.assert_frame_equal(frame, dp.bench.read(str(store)))
    kinds = {"VARCHAR": "string", "BIGINT": "Int64", "DOUBLE": "float64"}
    for name, column in RUN_COLUMNS.items():
        expected = kinds.get(column.kind)
        assert str(frame[name].dtype) == expected if expected else isinstance(frame[name].dtype, pandas.DatetimeTZDtype)
    assert list(frame.loc[frame.status == "error", "problem"]) == ["small/002"]
    assert frame.started.max() == pandas.Timestamp("2026-11-29T19:33:42Z")


def test_other_programs_read_the_columns(store):
    duckdb = pytest.importorskip("duckdb", reason=WHY)
    place = re.sub(r"([*?\[])", r"[\1]", str(store))
    said = duckdb.execute("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet(?))", [place])
    types = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
    expected = {name: types.get(column.kind, column.kind) for name, column in RUN_COLUMNS.items()}
    assert dict(said.fetchall()) == expected | {"record": "VARCHAR"}
    records = duckdb.execute("SELECT file, record FROM read_parquet(?)", [place]).fetchall()
    assert len(records) == 6
    assert all(json.loads(record)["format"] == "dnnopt-result" for _, record in records)


def test_the_page_has_every_column():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|$", page("reports.md"), re.MULTILINE)
    words = {"VARCHAR": "text", "BIGINT": "integer", "DOUBLE": "number", "TIMESTAMPTZ": "time"}
    assert rows == [(name, words[column.kind], column.meaning) for name, column in RUN_COLUMNS.items()]


def test_bench_goes_on_where_a_parquet_file_was(tmp_path):
    pytest.importorskip("duckdb", reason=WHY)
    options = {"method": "greedy", "time_limit": 20}
    dp.bench(["small/001"], tmp_path / "first", **options)
    assert dnnopt("runs", tmp_path / "first", "-o", tmp_path / "runs.parquet").returncode == 0
    back = dnnopt("runs", tmp_path / "runs.parquet", "-o", tmp_path / "second")
    assert "1 new run" in back.stdout
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "second").rglob("*.json")}
    seen = []
    dp.bench(["small/001", "small/002"], tmp_path / "second", **options, watch=lambda *about: seen.append(about))
    assert before.items() < {path: path.stat().st_mtime_ns for path in (tmp_path / "second").rglob("*.json")}.items()
    assert len(seen) == 2


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    ("loser", "winner"),
    [
        ({"status": "error"}, {"status": "feasible", "run": {"started": "2026-01-01T00:00:00+00:00"}}),
        ({"status": "feasible"}, {"status": "feasible", "run": {"started": "2026-12-01T00:00:00+00:00"}}),
        ({"status": "error"}, {"status": "error", "run": {"started": "2026-12-01T00:00:00+00:00"}}),
    ],
    ids=["one that did not fail", "the later one", "the later failure"],
)
def test_of_two_runs_of_a_task_one_counts(tmp_path, loser, winner, turn):
    data = result("small/001", "greedy")
    for name, changes in (("a", loser), ("b", winner)):
        put(tmp_path / name, "greedy/small/001.json", data | changes)
    put(tmp_path / "b", "single-cut/small/001.json", result("small/001", "single-cut"))
    runs = read_runs(*[tmp_path / name for name in ("a", "b")][::turn])
    assert [run.method for run in runs] == ["greedy", "single-cut"]
    assert runs[0].file.startswith(str(tmp_path / "b"))


def test_of_equal_runs_the_last_place_counts(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / name, "greedy/small/001.json", result("small/001", "greedy", message=name))
    assert [run.data["message"] for run in read_runs(tmp_path / "a", tmp_path / "b")] == ["b"]
    assert [run.data["message"] for run in read_runs(tmp_path / "b", tmp_path / "a")] == ["a"]


def test_runs_of_other_limits_are_not_mixed(tmp_path):
    data = result("small/001", "greedy")
    put(tmp_path / "a", "greedy/small/001.json", data)
    put(tmp_path / "b", "greedy/small/001.json", data | {"task": data["task"] | {"time_limit": 60.0}})
    with pytest.raises(dp.InputError, match=r"time limit 60\.0, and .* of time limit 5\.0"):
        read_runs(tmp_path / "a", tmp_path / "b")


def test_problems_of_approaches_and_unfinished_files_are_no_runs(tmp_path):
    put(tmp_path, "greedy/small/001-memory.json", result("small/001", "greedy"))
    put(tmp_path, "problems/small/001-memory.json", {"format": "dnnopt-problem"})
    (tmp_path / "greedy" / ".001.json").write_text("{", encoding="utf-8")
    assert [run.method for run in read_runs(tmp_path)] == ["greedy"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_cut_file_is_one_clear_error(store, tmp_path, share):
    whole, cut = store.read_bytes(), tmp_path / "cut.parquet"
    cut.write_bytes(whole[: int(share * len(whole))])
    check_refused(dnnopt("runs", cut), str(cut), "cut or damaged")


def test_a_damaged_file_is_an_error_or_has_the_same_runs(store, tmp_path):
    generator, whole = random.Random(0), store.read_bytes()
    bad, refused = tmp_path / "bad.parquet", 0
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(8):
            damaged[generator.randrange(len(whole))] ^= generator.randrange(1, 256)
        bad.write_bytes(damaged)
        try:
            read_runs(bad)
        except dp.InputError:
            refused += 1
    assert refused > 30


def test_other_files_are_refused(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason=WHY)
    place = tmp_path / "other.parquet"
    check_refused(dnnopt("runs", place), "is no file")
    duckdb.execute(f"COPY (SELECT 1 AS problem) TO '{place}' (FORMAT parquet)")
    check_refused(dnnopt("runs", place), "not one of runs")
    header = "KV_METADATA {format: 'dnnopt-runs', version: '%s'}"
    duckdb.execute(f"COPY (SELECT 1 AS problem) TO '{place}' (FORMAT parquet, {header % 2})")
    check_refused(dnnopt("runs", place), "newer dnnopt")
    for outside in ("../x.json", "/x.json", "a/../../x.json", "x.json", "a/x.py", "a\\..\\x.json", "c:/x.json"):
        text = f"SELECT '{outside}' AS file, '{{}}' AS record"
        duckdb.execute(f"COPY ({text}) TO '{place}' (FORMAT parquet, {header % 1})")
        with pytest.raises(dp.InputError, match="METHOD/PROBLEM"):
            unpack_runs([place], tmp_path / "out")
    duckdb.execute(f"COPY (SELECT 'a/b.json' AS file, '3' AS record) TO '{place}' (FORMAT parquet, {header % 1})")
    with pytest.raises(dp.InputError, match="an object"):
        read_runs(place)
    assert not (tmp_path / "out").exists()


def test_without_duckdb_folders_are_read_and_files_say_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert len(read_runs(folder)) == 6
    (tmp_path / "runs.parquet").write_bytes(b"PAR1")
    for words in ((tmp_path / "runs.parquet",), (folder, "-o", tmp_path / "new.parquet")):
        check_refused(dnnopt("runs", *words), "dnnopt[store]")


def test_the_command_says_what_ran_and_writes_tables(folder, store):
    for place in (folder, store):
        run = dnnopt("runs", place)
        assert run.returncode == 0, run.output
        assert re.search(r"greedy +3 +\d +\d +1 +\S+ 19:33", run.stdout), run.stdout
    assert len(dnnopt("runs", folder, "--csv", "-").stdout.splitlines()) == 7
    check_refused(dnnopt("runs", folder, "-o", "x.parquet", "--csv", "-"), "--csv", "--output")


def test_commands_take_parquet_files_for_folders(folder, store, tmp_path):
    pytest.importorskip("plotly")
    run = dnnopt("report", store, "-o", tmp_path / "report.html")
    assert run.returncode == 0, run.output
    assert "3 problems, 2 methods" in run.stdout
    assert "mine: the library has no such problem" in run.stderr
    assert "No run is better or worse" in dnnopt("bench", "--compare", folder, store).stdout


def test_bench_is_a_function_that_reads_too():
    assert list(inspect.signature(dp.bench).parameters)[:2] == ["problems", "output"]
    assert dp.bench.__name__ == "bench"
    assert pickle.loads(pickle.dumps(dp.bench)) is dp.bench
    assert "Solve many problems" in dp.bench.__doc__
    with pytest.raises(dp.InputError, match="places"):
        dp.bench.read(3)
