"""How much is read: limits that real data stay far below, so that no file takes all memory, or hours, without a word.

Readers take ``allow_large=True``, and commands ``--allow-large``, to go without them.
"""

from __future__ import annotations

import math
from io import BufferedIOBase
from typing import IO, Any

from dnnopt.base.errors import InputError

MOST_BYTES = 128 * 2**20  # of a text, once it is unpacked
MOST_VALUES = 1_000_000  # in a JSON file
MOST_DEPTH = 100  # of lists and objects inside each other; nothing lifts this one
MOST_DIGITS = 300  # of a whole number; nothing lifts this one
MOST_LAYERS = 100_000  # of all networks
MOST_DEVICES = 1_000  # their pairs have routes
MOST_PLACES = 2_000_000  # layers times devices
_MOST_THREADS = 512  # solvers start all that they are given, and take minutes for many thousands

_PIECE = 2**22  # bytes
_MORE = "more only where large data are allowed (--allow-large)"


def check_amount(
    amount: float, most: int, what: str, *, allow_large: bool = False, file: str = "", field: str = ""
) -> None:
    """Refuse more of something than real data have.

    Parameters
    ----------
    amount, most : number
    what : str
        The things counted, as in ``"devices"``.
    allow_large : bool
        Whether everything is allowed.
    file, field : str
        Where they come from.

    Raises
    ------
    InputError
        If there are more than `most`.
    """
    if amount > most and not allow_large:
        raise InputError(f"at most {most:,} {what}; {_MORE}", value=amount, file=file, field=field)


def read_bytes(stream: IO[bytes] | BufferedIOBase, most: int | None) -> bytes:
    """Return what is in a stream, or its first `most` bytes; memory is taken for what is there alone."""
    pieces, left = [], math.inf if most is None else most
    while left > 0 and (piece := stream.read(int(min(left, _PIECE)))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def check_bytes(read: int, *, allow_large: bool = False, file: str = "") -> None:
    """Refuse a text of which more than `MOST_BYTES` could be read.

    Raises
    ------
    InputError
        If it is longer.
    """
    if read > MOST_BYTES and not allow_large:
        raise InputError("", file=file, problem=f"longer than {MOST_BYTES:,} bytes of text; {_MORE}")


def check_places(layers: int, devices: int, *, allow_large: bool = False, file: str = "", field: str = "") -> None:
    """Refuse more layers or devices, or pairs of them, than real data have; `field` has the number of devices.

    Raises
    ------
    InputError
        If there are.
    """
    check_amount(layers, MOST_LAYERS, "layers", allow_large=allow_large, file=file)
    check_amount(devices, MOST_DEVICES, "devices", allow_large=allow_large, file=file, field=field)
    check_amount(layers * devices, MOST_PLACES, "layers times devices", allow_large=allow_large, file=file)


def check_layers_and_devices(networks: list[Any], platform: Any, file: str, allow_large: bool) -> None:
    """Refuse data with more layers and devices than real ones have, before all of them are looked at."""

    def count(part: Any, key: str) -> int:
        listed = part.get(key) if isinstance(part, dict) else None
        return len(listed) if isinstance(listed, list) else 0

    layers = sum(count(network, "layers") for network in networks)
    check_places(layers, count(platform, "devices"), allow_large=allow_large, file=file)


def check_threads(threads: int | None) -> None:
    """Refuse what is no number of threads; None is one for each processor."""
    if threads is not None and (isinstance(threads, bool) or not 1 <= threads <= _MOST_THREADS):
        raise InputError(f"a whole number from 1 to {_MOST_THREADS}", field="threads", value=threads)
