"""Keys of a run: who holds the file takes part, and nobody else is listened to.

All sides of a run share one CurveZMQ key pair. Each side proves to the other that it holds the secret part, and what
is sent is encrypted.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.extras import optional
from dnnopt.base.files import data_text, read_data

_LENGTH = 40  # characters of a key in Z85


@dataclass(frozen=True)
class RunKey:
    """A CurveZMQ key pair, in Z85."""

    public: bytes
    secret: bytes = field(repr=False)


def zmq_module() -> Any:
    """Return pyzmq, which must have encryption.

    Raises
    ------
    InputError
        If it is not installed, or was built without.
    """
    zmq = optional("zmq", "pyzmq", "run")
    if not zmq.has("curve"):
        raise InputError("", problem="this pyzmq was built without encryption (CURVE); its wheels have it")
    return zmq


def new_key() -> RunKey:
    """Return a new key pair."""
    return RunKey(*zmq_module().curve_keypair())


def write_key(path: str | Path) -> RunKey:
    """Write a new key pair to a new file that its owner alone may read.

    Raises
    ------
    InputError
        If there is something already, or it cannot be written.
    """
    key = new_key()
    text = data_text("run-key", {"public": key.public.decode(), "secret": key.secret.decode()})
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise InputError("", file=str(path), problem=f"cannot be written: {error.strerror or error}") from None
    return key


def read_key(path: str | Path) -> RunKey:
    """Read a key pair.

    Raises
    ------
    InputError
        If it is none, or others may read the file.
    """
    data = read_data(path, "run-key")
    if hasattr(os, "getuid") and os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(
            "", file=str(path), problem="others may read this key; expected that of its owner alone (chmod 600)"
        )
    for name in ("public", "secret"):
        value = data.get(name)
        if not isinstance(value, str) or len(value) != _LENGTH or not value.isascii():
            raise InputError(f"a key of {_LENGTH} characters", file=str(path), field=name)
    zmq = zmq_module()
    try:
        derived = zmq.curve_public(data["secret"].encode())
    except (ValueError, zmq.ZMQError):
        derived = b""
    if derived != data["public"].encode():
        raise InputError("the public part of the secret key", file=str(path), field="public")
    return RunKey(data["public"].encode(), data["secret"].encode())
