"""Weights of pieces: in the ONNX file, or in one file for all pieces of a device that have them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dnnopt.base.errors import InputError

if TYPE_CHECKING:
    from onnx import TensorProto

_ALIGNED = 4096  # bytes: a runtime maps what begins at a page into memory
_SMALL = 1024
_CHUNK = 1 << 22


class WeightFile:
    """The file of a device's weights; each is in it once, however many of its pieces read it.

    Parameters
    ----------
    path : Path
        Made when there is something to write.
    source : Path
        Folder of the whole model, where its weights in other files are.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self._source = path, source.resolve()
        self._places: dict[tuple[str, ...], tuple[int, int]] = {}
        self._stream: IO[bytes] | None = None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def store(self, tensor: TensorProto, *, shared: bool) -> None:
        """Put what a constant holds into the file, if it is in another one, or is shared by several pieces.

        Raises
        ------
        InputError
            If the file in which it should be has no such bytes.
        """
        from onnx import TensorProto

        if tensor.data_location == TensorProto.EXTERNAL:
            offset, length = self._copy(tensor)
        elif shared and tensor.raw_data and len(tensor.raw_data) >= _SMALL:
            key = ("", tensor.name)
            if key not in self._places:
                self._places[key] = self._append([tensor.raw_data])
            offset, length = self._places[key]
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
        else:
            return
        del tensor.external_data[:]
        for name, value in (("location", self.path.name), ("offset", str(offset)), ("length", str(length))):
            entry = tensor.external_data.add()
            entry.key, entry.value = name, value

    def _copy(self, tensor: TensorProto) -> tuple[int, int]:
        found = {entry.key: entry.value for entry in tensor.external_data}
        where, offset = found.get("location", ""), int(found.get("offset", 0) or 0)
        path = (self._source / where).resolve()
        if not where or not path.is_relative_to(self._source) or not path.is_file():
            raise InputError(
                "", problem=f"the weights {tensor.name!r} are in the file {where!r}, which is not beside it"
            )
        size = path.stat().st_size
        length = int(found["length"]) if found.get("length") else size - offset
        if not 0 <= offset <= offset + length <= size:
            raise InputError("", problem=f"the weights {tensor.name!r} are beyond the end of the file {where!r}")
        key = (str(path), str(offset), str(length))
        if key not in self._places:
            with path.open("rb") as stream:
                stream.seek(offset)
                self._places[key] = self._append(_chunks(stream, length))
        return self._places[key]

    def _append(self, chunks: Iterable[bytes]) -> tuple[int, int]:
        if self._stream is None:
            self._stream = self.path.open("wb")
        start = self._stream.tell()
        offset = -(-start // _ALIGNED) * _ALIGNED
        self._stream.write(bytes(offset - start))
        for chunk in chunks:
            self._stream.write(chunk)
        return offset, self._stream.tell() - offset


def _chunks(stream: IO[bytes], length: int) -> Iterable[bytes]:
    while length:
        chunk = stream.read(min(length, _CHUNK))
        if not chunk:
            raise OSError(None, "the file of weights became shorter")
        length -= len(chunk)
        yield chunk


def stored_bytes(tensor: TensorProto) -> int:
    """Return the bytes that a constant takes, wherever they are."""
    from onnx import TensorProto

    if tensor.data_location == TensorProto.EXTERNAL:
        return int(next((entry.value for entry in tensor.external_data if entry.key == "length"), 0) or 0)
    return len(tensor.raw_data) or tensor.ByteSize()


def sync(path: Path) -> None:
    """Have a file on the disk before it gets its name; a full disk is noticed here at the latest."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
