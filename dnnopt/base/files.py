"""Files: texts and objects with a header, read with checks, written whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.json_text import parse_json
from dnnopt.base.outputs import write_output
from dnnopt.base.sizes import MOST_BYTES, check_bytes, read_bytes

VERSION = 1
HEADER = {"$schema", "format", "version"}


def read_text(path: str | Path | Traversable, *, allow_large: bool = False) -> str:
    """Return the text of a file; one whose name ends in ``.gz`` is unpacked.

    Parameters
    ----------
    path : path
    allow_large : bool
        Whether its length is not limited (see `dnnopt.base.sizes`).

    Raises
    ------
    InputError
        If it cannot be read, is too large, is not UTF-8, or is named ``.gz`` and is no whole gzip file.
    """
    source = Path(path) if isinstance(path, str) else path
    most = None if allow_large else MOST_BYTES + 1
    try:
        with source.open("rb") as stream:
            data = read_bytes(stream, most)
        check_bytes(len(data), allow_large=allow_large, file=str(path))
        if source.name.endswith(".gz"):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = read_bytes(packed, most)
            check_bytes(len(data), allow_large=allow_large, file=str(path))
        return data.decode("utf-8")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        cut = "; is the file cut off?" if isinstance(error, EOFError) else ""
        raise InputError("", file=str(path), problem=f"not a gzip file, or a damaged one: {error}{cut}") from None
    except OSError as error:
        raise InputError("", file=str(path), problem=error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise InputError("", file=str(path), problem="not a text file in UTF-8") from None
    except InputError:
        raise
    except ValueError as error:  # a null character in the path
        raise InputError("", file=str(path), problem=f"cannot be read: {error}") from None


def write_text(path: str | Path, text: str | bytes) -> None:
    """Write a file whole or not at all (see `dnnopt.base.outputs`).

    Text is written in UTF-8, and packed (with no time stamp) where the name ends in ``.gz``.
    """
    # Halves of surrogate pairs, as of a path that is no UTF-8, are written as JSON does.
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    if isinstance(text, str) and str(path).endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    write_output(path, data)


def read_data(path: str | Path | Traversable, kind: str | None, *, allow_large: bool = False) -> dict[str, Any]:
    """Return a file's object without its header, which must say ``dnnopt-<kind>`` and a version known here.

    Raises
    ------
    InputError
        For a file that is missing, too large, not JSON, cut off, of another kind, or written by a newer version.
    """
    file = str(path)
    data = parse_json(read_text(path, allow_large=allow_large), file=file, allow_large=allow_large)
    if not isinstance(data, dict):
        raise InputError("an object (names to values)", file=file, value=data)
    if kind is not None:
        take_header(data, kind, file)
    return data


def take_header(data: dict[str, Any], kind: str, file: str) -> None:
    """Take the header, which must be that of a kind of file, out of its data; editors look for ``$schema`` there."""
    schema = data.pop("$schema", "")
    if not isinstance(schema, str):
        raise InputError("a text", file=file, field="$schema", value=schema)
    header = data.pop("format", None)
    if header != f"dnnopt-{kind}":
        raise InputError(f"'dnnopt-{kind}'", file=file, field="format", value=header)
    version = data.pop("version", None)
    if isinstance(version, int) and version > VERSION:
        raise InputError(
            f"at most {VERSION} (the file was written by a newer dnnopt)", file=file, field="version", value=version
        )
    if version != VERSION or isinstance(version, bool):
        raise InputError(f"{VERSION}", file=file, field="version", value=version)


def dump_json(data: Any) -> str:
    """Return `data` as indented JSON text; infinite and undefined numbers are refused."""
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_data(path: str | Path, kind: str, data: dict[str, Any]) -> None:
    """Write an object with the header of its kind."""
    write_text(path, data_text(kind, data))


def data_text(kind: str, data: dict[str, Any]) -> str:
    """Return an object's text, with the header of its kind."""
    return dump_json({"format": f"dnnopt-{kind}", "version": VERSION, **data})
