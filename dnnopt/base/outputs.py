"""Files that are written: whole or not at all where that can be, and through what stands in their place.

A file is written beside its place and then renamed, and keeps the mode and the owner of the one that was there. Of a
symbolic link, that is the file it leads to. What cannot be replaced, such as a pipe, a device or an open file
(``/dev/stdout``), is written straight.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dnnopt.base.errors import InputError

_OPEN_FILE = re.compile(r"(?:/dev/fd|/proc/(?P<process>\d+)(?:/task/\d+)?/fd)/(?P<number>\d{1,9})")
_MOST_LINKS = 40


def write_output(path: str | Path, data: bytes) -> None:
    """Write a file.

    Raises
    ------
    InputError
        If that is not possible; what was there is then as it was.
    BrokenPipeError
        If what reads an open file, such as ``/dev/stdout``, has gone.
    """
    try:
        number = _open_file(path)
        if number is not None:
            _write_open(number, data)
        elif _is_special(path):
            with open(path, "wb") as stream:
                stream.write(data)
        else:
            _replace(os.path.realpath(path), data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError("", file=str(path), problem=f"cannot be written: {error.strerror or error}") from None
    except ValueError as error:  # a null character in the path
        raise InputError("", file=str(path), problem=f"cannot be written: {error}") from None


def check_output(path: str | Path) -> None:
    """Refuse a place where no file can be written, before there is anything to write.

    Raises
    ------
    InputError
        If it is a folder, or may not be written.
    """
    try:
        if _open_file(path) is not None:
            return
        place = path if _is_special(path) else os.path.realpath(path)
        folder = os.path.dirname(place)
        if not os.path.isdir(folder):
            raise InputError("", file=str(path), problem=f"cannot be written: there is no folder {folder!r}")
        blocked = place if os.path.exists(place) else folder
        if not os.access(blocked, os.W_OK) or not (_is_special(path) or os.access(folder, os.W_OK)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        words = getattr(error, "strerror", None) or error
        raise InputError("", file=str(path), problem=f"cannot be written: {words}") from None


@contextmanager
def written_log(path: str | Path | None) -> Iterator[str | None]:
    """Yield where solvers, which know nothing of links and pipes, may write a log; afterwards it is written to `path`.

    Raises
    ------
    InputError
        If that is not possible.
    """
    if path is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dnnopt-log-") as folder:
        log = Path(folder) / "log"
        yield str(log)
        write_output(path, log.read_bytes() if log.exists() else b"")


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where it is not there yet.

    Raises
    ------
    InputError
        If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("", file=str(path), problem=f"the folder cannot be made: {error.strerror}") from None


def _open_file(path: str | Path) -> int | None:
    """Return the number of this process's open file that a path, or what it leads to, is another name of."""
    place = os.path.abspath(path)
    for _ in range(_MOST_LINKS):
        place = os.path.join(os.path.realpath(os.path.dirname(place)), os.path.basename(place))
        match = _OPEN_FILE.fullmatch(place)
        if match and match["process"] in (None, str(os.getpid())):
            return int(match["number"])
        if not os.path.islink(place):
            return None
        place = os.path.join(os.path.dirname(place), os.readlink(place))
    return None


def _write_open(number: int, data: bytes) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # what was said before comes first
    with os.fdopen(os.dup(number), "wb") as file:
        file.write(data)


def _is_special(path: str | Path) -> bool:
    """Return whether something is there that is no plain file; a folder is refused."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return not stat.S_ISREG(mode)


def _replace(place: str, data: bytes) -> None:
    """Write a plain file beside its place, and put it there."""
    try:
        old = os.stat(place)
    except FileNotFoundError:
        old = None
    if old is not None and not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    temporary = os.path.join(os.path.dirname(place), f".dnnopt-{secrets.token_hex(8)}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        # What replaces a private file is private from the start; a new one has what the user's mask leaves.
        with os.fdopen(os.open(temporary, flags, 0o666 if old is None else 0o600), "wb") as stream:
            stream.write(data)
        if old is not None:
            if hasattr(os, "chown"):
                with suppress(OSError):  # only root gives files away
                    os.chown(temporary, old.st_uid, old.st_gid)
            os.chmod(temporary, stat.S_IMODE(old.st_mode))
        os.replace(temporary, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
