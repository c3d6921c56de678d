"""Many runs in one Parquet file: a row for each, with its columns and its whole result file, packed.

duckdb writes and reads it; whatever else reads Parquet can, too. The same runs make the same bytes.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.extras import optional
from dnnopt.base.files import VERSION
from dnnopt.base.outputs import write_output
from dnnopt.studies.run_columns import RUN_COLUMNS, TIME

ENDING = ".parquet"
_FORMAT = "dnnopt-runs"
_RECORD = "record"  # the column with the text of the whole result file
_LEVEL = 19  # of zstd
_ROWS = 1_000_000  # of a group: equal parts of results are packed once in each
_OFFLINE = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "threads": "1"}


def is_store(path: str | Path) -> bool:
    """Return whether a place is meant to be such a file, not a folder of results."""
    return str(path).endswith(ENDING) and not Path(path).is_dir()


def write_store(path: str | Path, rows: Iterable[tuple[Mapping[str, Any], str]]) -> None:
    """Write runs.

    Parameters
    ----------
    path : path
    rows : iterable of (mapping, str)
        The columns of each run (see `RUN_COLUMNS`), and the text of its result file.

    Raises
    ------
    InputError
        If duckdb is not installed, or the file cannot be written.
    """
    engine = _engine()
    given = sorted(rows, key=lambda row: (str(row[0]["problem"]), str(row[0]["file"])))
    types = {name: column.kind for name, column in RUN_COLUMNS.items()} | {_RECORD: "VARCHAR"}
    columns = [[row[name] for row, _ in given] for name in RUN_COLUMNS] + [[text for _, text in given]]
    texts = {name: "VARCHAR" if kind == TIME else kind for name, kind in types.items()}
    values = ", ".join(
        f"try_cast(unnest(${place}::{texts[name]}[]) AS {kind})" for place, (name, kind) in enumerate(types.items(), 1)
    )
    with tempfile.TemporaryDirectory(prefix="dnnopt-runs-") as folder, engine.connect(config=_OFFLINE) as database:
        made = Path(folder) / f"runs{ENDING}"
        database.execute("SET TimeZone = 'UTC'")
        database.execute(f"CREATE TABLE runs ({', '.join(f'{name} {kind}' for name, kind in types.items())})")
        database.execute(f"INSERT INTO runs SELECT {values}", columns)
        database.execute(
            f"COPY runs TO {_quoted(made)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {_LEVEL}, "
            f"ROW_GROUP_SIZE {_ROWS}, KV_METADATA {{format: '{_FORMAT}', version: '{VERSION}'}})"
        )
        write_output(path, made.read_bytes())


def stored_columns(path: str | Path) -> list[dict[str, Any]]:
    """Return the columns of all runs of a file; those that a run, or an older file, does not have are None.

    Raises
    ------
    InputError
        If duckdb is not installed, or the file is missing, cut, no Parquet file, or not one of runs.
    """
    return [dict(zip(RUN_COLUMNS, row, strict=True)) for row in _read(path, list(RUN_COLUMNS))]


def stored_records(path: str | Path) -> list[tuple[str, str]]:
    """Return for each run of a file the place of its result file in a folder, and the text of it.

    Raises
    ------
    InputError
        Like `stored_columns`, and for places outside the folder.
    """
    found = [(str(place), str(text)) for place, text in _read(path, ["file", _RECORD])]
    for place, _ in found:
        parts = place.split("/")
        if len(parts) < 2 or not place.endswith(".json") or re.search(r"[\\:\0]", place) or _outside(parts):
            raise InputError("METHOD/PROBLEM.json", file=str(path), field="file", value=place)
    return found


def _outside(parts: Sequence[str]) -> bool:
    return any(part in ("", ".", "..") for part in parts)


def _read(path: str | Path, wanted: list[str]) -> list[tuple[Any, ...]]:
    """Return columns of all runs, in the order of the file; times as texts."""
    file, engine = str(path), _engine()
    if not Path(path).is_file():
        raise InputError("", file=file, problem="is no file")
    place = [re.sub(r"([*?\[])", r"[\1]", os.path.abspath(path))]
    try:
        with engine.connect(config=_OFFLINE) as database:
            database.execute("SET TimeZone = 'UTC'")
            told = database.execute("SELECT key, value FROM parquet_kv_metadata($1)", place).fetchall()
            _check_header({bytes(key).decode(): bytes(value).decode() for key, value in told}, file)
            there = {row[0] for row in database.execute("DESCRIBE SELECT * FROM read_parquet($1)", place).fetchall()}
            columns = ", ".join(_selected(name) if name in there else f"NULL AS {name}" for name in wanted)
            rows: list[tuple[Any, ...]] = database.execute(f"SELECT {columns} FROM read_parquet($1)", place).fetchall()
            return rows
    except engine.Error as error:
        why = str(error).split("\n")[0]
        raise InputError("", file=file, problem=f"not a Parquet file, or a cut or damaged one: {why}") from None
    except UnicodeDecodeError:
        raise InputError("", file=file, problem="its header is no text") from None


def _selected(name: str) -> str:
    if name in RUN_COLUMNS and RUN_COLUMNS[name].kind == TIME:
        return f"strftime({name}, '%Y-%m-%dT%H:%M:%S+00:00') AS {name}"
    return name


def _check_header(told: Mapping[str, str], file: str) -> None:
    """Refuse files of anything else, and those of a newer version."""
    if told.get("format") != _FORMAT:
        raise InputError("", file=file, problem="a Parquet file, but not one of runs that 'dnnopt runs' has written")
    version = told.get("version", "")
    if not version.isdecimal() or int(version) > VERSION:
        raise InputError(
            f"at most {VERSION} (the file was written by a newer dnnopt)", file=file, field="version", value=version
        )


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _engine() -> Any:
    return optional("duckdb", "duckdb", "store")
