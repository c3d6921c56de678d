"""Measurements as Scission makes them, as a problem: layers of a chain, timed one by one on each device.

Lockhart et al., Scission: Performance-driven and context-aware cloud-edge distribution of deep neural networks, UCC
2020. Its own files are Python objects, so measurements are taken as a table: a layer, a device, seconds, and the bytes
of the layer's output. As there, a device runs one part of the chain at most, and parts go from the end to the cloud.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_text
from dnnopt.base.numbers import counted
from dnnopt.base.records import Bytes, Name, Record, Seconds, check_known
from dnnopt.problem import library
from dnnopt.problem.constraints import Constraint, Contiguous, MonotoneTiers
from dnnopt.problem.networks import INPUT, OUTPUT, Layer, Network, Tensor
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Platform, read_platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile

_COLUMNS = ("layer", "device", "seconds", "output_bytes")
_HEADER = ",".join(_COLUMNS)


class _Row(Record):
    layer: Name
    device: Name
    seconds: Seconds
    output_bytes: Bytes


@checked
def read_scission(
    path: str | Path | Traversable, platform: Platform | str | Path, *, allow_large: bool = False
) -> Problem:
    """Read a table of measurements as a problem: the least latency of one part of a chain on each device.

    Parameters
    ----------
    path : str or Path
        CSV file with the columns ``layer``, ``device``, ``seconds`` and ``output_bytes``, in any order and among
        others. Layers are a chain in the order in which they come first. A device without a row for a layer cannot run
        it. The row of the layer ``input``, if there is one, has the device where the input is, 0 s, and its bytes.
    platform : Platform, str or Path
        That has these devices, from a file or the library. With tiers, data goes from the end to the cloud alone.
    allow_large : bool
        Whether the limits of `dnnopt.base.sizes` are lifted.

    Raises
    ------
    InputError
        If the file is malformed (with the line) or too large, or the platform lacks one of its devices.
    """
    where = platform if isinstance(platform, Platform) else _platform(platform)
    name = Path(str(path)).name.removesuffix(".gz").removesuffix(".csv")
    text = read_text(path, allow_large=allow_large)
    try:
        return _Table(text, where).problem(name)
    except InputError as error:
        raise error.within(file=str(path)) from None


def _platform(name: str | Path) -> Platform:
    return read_platform(name) if Path(name).is_file() else library.platform(str(name))


class _Table:
    """The table: bytes by layer, in their order, and seconds by layer and device."""

    def __init__(self, text: str, platform: Platform) -> None:
        self.platform = platform
        self.bytes: dict[str, float] = {}
        self.seconds: dict[str, dict[str, float | None]] = {}
        self.source: str | None = None
        for line, data in _lines(text):
            try:
                self._add(_Row.from_data(data))
            except InputError as error:
                field = f"line {line}" + (f": {error.field}" if error.field else "")
                raise InputError("", field=field, problem=error.problem) from None
        if not self.seconds:
            raise InputError("", problem="no measurements")

    def _add(self, row: _Row) -> None:
        if row.layer == OUTPUT:
            raise InputError("another name", field="layer", value=row.layer)
        check_known(row.device, self.platform.device_names(), "device", "device of the platform")
        known = self.bytes.setdefault(row.layer, row.output_bytes)
        if row.output_bytes != known:
            raise InputError(f"{known:g}, as before for {row.layer!r}", field="output_bytes", value=row.output_bytes)
        if row.layer == INPUT:
            if row.seconds or self.source is not None:
                raise InputError("one row of the input, of 0 seconds", field="seconds", value=row.seconds)
            self.source = row.device
            return
        times = self.seconds.setdefault(row.layer, dict.fromkeys(self.platform.device_names()))
        if times[row.device] is not None:
            raise InputError(f"one row of {row.layer!r} on each device", field="device", value=row.device)
        times[row.device] = row.seconds

    def problem(self, name: str) -> Problem:
        """Return the problem."""
        layers = list(self.seconds)
        chain = [INPUT, *layers] if self.source is not None else layers
        tensors = [
            Tensor(name=one, producer=one, consumers=(following,), bytes=self.bytes[one])
            for one, following in pairwise(chain)
        ]
        network = Network(
            name=name,
            layers=tuple(Layer(name=one) for one in layers),
            tensors=tuple(tensors),
            source=self.source,
        )
        limits: list[Constraint] = [Contiguous()]
        if all(device.tier is not None for device in self.platform.devices):
            limits.append(MonotoneTiers())
        return Problem(
            network,
            self.platform,
            execution="sequential",
            minimize=latency(),
            subject_to=tuple(limits),
            profile=Profile(time={name: self.seconds}),
            name=f"{name} on {counted(len(self.platform.devices), 'device')}, measured",
            provenance="measurements of layers",
        )


def _lines(text: str) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the number of each line that is not empty, and what it has in the columns."""
    table = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = [word.strip() for word in next(table, [])]
    if any(header.count(column) != 1 for column in _COLUMNS):
        raise InputError(f"a header with {_HEADER}", field="line 1", value=",".join(header))
    for row in table:
        if any(word.strip() for word in row):
            if len(row) != len(header):
                raise InputError(counted(len(header), "value"), field=f"line {table.line_num}", value=",".join(row))
            data: dict[str, object] = {column: row[header.index(column)].strip() for column in _COLUMNS}
            for column in ("seconds", "output_bytes"):
                data[column] = _number(str(data[column]), f"line {table.line_num}: {column}")
            yield table.line_num, data


def _number(text: str, field: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError("a number", field=field, value=text) from None
