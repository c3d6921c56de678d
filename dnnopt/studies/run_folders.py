"""Results of many runs: folders of them, as bench and compare --over write them, and Parquet files made of these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, read_text, write_text
from dnnopt.base.json_text import parse_json
from dnnopt.base.outputs import make_folder
from dnnopt.methods.result import result_from_text
from dnnopt.studies.run_columns import part_of, run_row
from dnnopt.studies.run_store import is_store, stored_records, write_store

_PROBLEMS = "problems"  # the folder of `dnnopt approaches` for problems as they see them: no results


@dataclass(frozen=True)
class BenchRun:
    """A run of a method on a problem.

    Attributes
    ----------
    method : str
        What the way is called.
    data : mapping
        Of its result file.
    file : str
        Where it was read, for messages.
    """

    method: str
    data: Mapping[str, Any]
    file: str = ""


@dataclass(frozen=True)
class _Record:
    """The text of a result file, the file's place in its folder, and where it was read."""

    place: str
    text: str
    file: str

    @property
    def method(self) -> str:
        return self.place.partition("/")[0]

    def data(self) -> dict[str, Any]:
        return result_from_text(self.text, file=self.file)


def read_runs(*places: str | Path) -> list[BenchRun]:
    """Return the runs of folders of ``bench`` or ``compare --over`` (``FOLDER/METHOD/PROBLEM.json``), or Parquet files.

    Of the same run in several places, one counts: one that did not fail, then the one that started last, then that of
    the last place.

    Raises
    ------
    InputError
        If a place has none, a file is no result, or two results of one name are of other limits or options.
    """
    return [BenchRun(one.method, data, one.file) for one, data in _merged(places)]


def run_rows(*places: str | Path) -> list[dict[str, Any]]:
    """Return the columns of runs (see `RUN_COLUMNS`), by problem and file; it raises what `read_runs` does."""
    rows = [run_row(one.method, one.place, data) for one, data in _merged(places)]
    return sorted(rows, key=lambda row: (row["problem"], row["file"]))


def pack_runs(places: Iterable[str | Path], path: str | Path) -> int:
    """Write the runs of folders and Parquet files into one Parquet file, and return how many there are.

    Raises
    ------
    InputError
        For what `read_runs` refuses; if duckdb is not installed, or the file cannot be written.
    """
    merged = _merged(places)
    write_store(path, ((run_row(one.method, one.place, data), _compact(one)) for one, data in merged))
    return len(merged)


def unpack_runs(places: Iterable[str | Path], folder: Path) -> int:
    """Write the result files of folders and Parquet files into a folder; return how many were not there before.

    A file that ``bench`` has written comes back byte by byte, so that ``bench`` goes on where it was.

    Raises
    ------
    InputError
        For what `read_runs` refuses; if a result of that name with other data is there, or cannot be written.
    """
    missing = []
    for one, _ in _merged(places):
        path, data = folder / one.place, parse_json(one.text, file=one.file)
        if not path.exists():
            missing.append((path, data))
        elif parse_json(read_text(path), file=str(path)) != data:
            raise InputError("", file=str(path), problem=f"is another result than {one.file}: name another folder")
    for path, data in missing:
        make_folder(path.parent)
        write_text(path, dump_json(data))
    return len(missing)


def _compact(record: _Record) -> str:
    data = parse_json(record.text, file=record.file)
    return json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _merged(places: Iterable[str | Path]) -> list[tuple[_Record, dict[str, Any]]]:
    """Return the results of places with their data, each once."""
    found: dict[str, tuple[_Record, dict[str, Any]]] = {}
    for place in places:
        for record in _records(place):
            new = record, record.data()
            found[record.place] = _newer(found[record.place], new) if record.place in found else new
    return [found[place] for place in sorted(found)]


def _newer(old: tuple[_Record, dict[str, Any]], new: tuple[_Record, dict[str, Any]]) -> tuple[_Record, dict[str, Any]]:
    """Return which of two results of one name counts; they must be of the same task."""
    before, after = (part_of(data, "task") for _, data in (old, new))
    for key in {**before, **after}:
        first, second = before.get(key), after.get(key)
        if first != second:
            name = key.replace("_", " ")
            words = f"is a result of {name} {second}, and {old[0].file} of {name} {first}: they are not the same run"
            raise InputError("", file=new[0].file, problem=words)

    def rank(data: Mapping[str, Any]) -> tuple[bool, str]:
        return data["status"] != "error", str(part_of(data, "run").get("started") or data["date"])

    return old if rank(old[1]) > rank(new[1]) else new


def _records(place: str | Path) -> list[_Record]:
    if is_store(place):
        return [_Record(name, text, f"{place}: {name}") for name, text in stored_records(place)]
    folder = Path(place)
    files = {path.relative_to(folder).as_posix(): path for path in folder.glob("*/**/*.json")}
    kept = [name for name in sorted(files) if not _is_other(name)]
    if not kept:
        raise InputError("", file=str(folder), problem="has no results METHOD/PROBLEM.json of bench or compare --over")
    return [_Record(name, read_text(files[name]), str(files[name])) for name in kept]


def _is_other(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".") or name.startswith(f"{_PROBLEMS}/")
