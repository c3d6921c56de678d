"""Messages between the processes of a run: a header in JSON, and the bytes of tensors. Nothing in them is code.

A message is a list of frames. The first is an object with the `kind` of the message; each of the others has the bytes
of one tensor, in C order and little-endian, which the header's `values` describe: name, type, shape, form and scale.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import FrozenDict
from dnnopt.problem.manifest import Manifest, PieceTensor
from dnnopt.runtime.codecs import from_form, to_form

if TYPE_CHECKING:
    import numpy as np

MOST_HEADER = 1 << 20  # bytes
MOST_FRAMES = 4096
_ALIGNED = 16
_LARGEST_RANK = 64


@dataclass(frozen=True)
class Message:
    """A message that was received: what its header says, and the tensors by their values."""

    header: Mapping[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def kind(self) -> str:
        return str(self.header["kind"])

    def number(self, name: str) -> float:
        """Return a number of the header."""
        value = self.header.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError("a number", field=name, value=value)
        return value

    def count(self, name: str) -> int:
        """Return a whole number >= 0 of the header."""
        value = self.header.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError("a whole number >= 0", field=name, value=value)
        return value


def pack(
    kind: str, arrays: Mapping[str, np.ndarray] | None = None, forms: Mapping[str, str] = FrozenDict(), **fields: Any
) -> list[Any]:
    """Return the frames of a message."""
    import numpy as np

    values, frames = [], []
    for value, array in (arrays or {}).items():
        entry: dict[str, Any] = {"value": value, "dtype": str(array.dtype), "shape": list(array.shape)}
        if value in forms:
            array, scale = to_form(array, forms[value])
            entry |= {"form": forms[value], "scale": scale}
        if sys.byteorder == "big":
            array = array.byteswap()
        values.append(entry)
        frames.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b"")
    header = {"kind": kind, **fields, **({"values": values} if values else {})}
    return [json.dumps(header, separators=(",", ":"), allow_nan=False).encode(), *frames]


def sent_size(frames: Sequence[Any]) -> int:
    """Return the bytes of the tensors in a message."""
    return sum(len(frame) for frame in frames[1:])


def unpack(
    frames: Sequence[Any], expected: Mapping[str, PieceTensor], forms: Mapping[str, str] = FrozenDict()
) -> Message:
    """Return what a message says, which may be anything.

    Parameters
    ----------
    frames : sequence of zmq.Frame or bytes
    expected : mapping of str to PieceTensor
        Values that may come, and what they are.
    forms : mapping of str to str
        Forms in which some of them come.

    Raises
    ------
    InputError
        If it is malformed, or a tensor is not what is expected.
    """
    buffers = [memoryview(getattr(frame, "buffer", frame)) for frame in frames]
    if not buffers or len(buffers) > MOST_FRAMES or len(buffers[0]) > MOST_HEADER:
        raise InputError("", problem="the message is too long, or empty")
    try:
        header = json.loads(bytes(buffers[0]))
    except (ValueError, RecursionError):
        raise InputError("", problem="the header of a message is not JSON") from None
    if not isinstance(header, dict) or not isinstance(header.get("kind"), str):
        raise InputError("", problem="the header of a message has no kind")
    listed = header.get("values", [])
    if not isinstance(listed, list) or len(listed) != len(buffers) - 1:
        raise InputError("", problem="a message has not as many tensors as its header says")
    arrays: dict[str, np.ndarray] = {}
    for entry, buffer in zip(listed, buffers[1:], strict=True):
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, str) or value not in expected or value in arrays:
            raise InputError("", problem=f"a message has a tensor that is not expected: {str(value)[:80]!r}")
        arrays[value] = _array(entry, buffer, expected[value], forms.get(value))
    return Message(header, arrays)


def _array(entry: Mapping[str, Any], buffer: memoryview, tensor: PieceTensor, form: str | None) -> np.ndarray:
    import numpy as np

    shape = check_shape(entry.get("shape"), tensor)
    if entry.get("dtype") != tensor.dtype or entry.get("form") != form:
        found = (entry.get("dtype"), entry.get("form"))
        raise InputError(f"{tensor.dtype}, form {form}", field=tensor.value, value=found)
    kind = np.dtype(form or tensor.dtype)
    if math.prod(shape) * kind.itemsize != len(buffer):
        expected = f"{math.prod(shape) * kind.itemsize} bytes for {tensor.dtype} {shape}"
        raise InputError(expected, field=tensor.value, value=len(buffer))
    if tensor.dtype == "bool":
        return (np.frombuffer(buffer, np.uint8) != 0).reshape(shape)
    array = np.frombuffer(buffer, kind.newbyteorder("<")).reshape(shape)
    if array.ctypes.data % _ALIGNED or sys.byteorder == "big":
        array = array.astype(kind, copy=True)
    if form is None:
        return array
    scale = entry.get("scale")
    if not isinstance(scale, float) or not math.isfinite(scale):
        raise InputError("a number", field=f"{tensor.value}.scale", value=scale)
    return from_form(array, scale, tensor.dtype)


def check_shape(shape: Any, tensor: PieceTensor) -> tuple[int, ...]:
    """Return a shape, which may be anything, if a tensor may have it.

    Raises
    ------
    InputError
        If not.
    """
    fits = isinstance(shape, list | tuple) and len(shape) <= _LARGEST_RANK
    fits = fits and all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape)
    fits = fits and len(shape) == len(tensor.shape)
    if fits:
        fits = all(not isinstance(axis, int) or axis == size for axis, size in zip(tensor.shape, shape, strict=True))
    if not fits:
        wanted = "x".join("?" if axis is None else str(axis) for axis in tensor.shape) or "a single number"
        raise InputError(f"the shape {wanted}", field=tensor.value, value=shape)
    return tuple(shape)


def largest_frame(manifest: Manifest) -> int:
    """Return the bytes that no frame of a run may exceed, where nothing else is asked for."""
    largest = max((tensor.bytes for tensor in manifest.tensors), default=0.0)
    is_open = any(not isinstance(axis, int) for tensor in manifest.tensors for axis in tensor.shape)
    return max(MOST_HEADER, int(64 * largest) if is_open else int(largest))
