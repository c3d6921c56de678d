"""PipeEdge's profiles as problems: a transformer's chain of sub-layers on boards that are joined by a full mesh.

Hu et al., Pipeline Parallelism for Inference on Heterogeneous Edge Computing, arXiv 2110.14895. The accounting is that
of its scheduler: one inference is one batch; the period is the largest of all stages' computations and transmissions. A
transmission takes element size x elements x batch bytes, at the lower bandwidth of its two ends; 1 Mbit is 1024 x 1024
bits and 1 MB is 1024 x 1024 bytes. A stage's memory is that of its sub-layers, its input and output, and two more
copies (send or receive, and queue) of what it exchanges with other stages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources.abc import Traversable
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_data
from dnnopt.base.records import Name, Number, Positive, Record, Seconds
from dnnopt.base.sizes import MOST_DEVICES, check_amount
from dnnopt.base.yaml_files import read_yaml
from dnnopt.problem.constraints import Contiguous, Memory
from dnnopt.problem.networks import INPUT, OUTPUT, Layer, Network, Tensor
from dnnopt.problem.objectives import period
from dnnopt.problem.platforms import Device, Link, Platform, Route
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile

_MEGA = 1024 * 1024
_ELEMENT_BYTES = {"torch.float32": 4, "torch.float16": 2, "torch.bfloat16": 2}
_COPIES = 3  # of a tensor, at either end: the one that is worked on, the one under way, the one in the queue

_Count = Annotated[int, Field(strict=True, ge=1)]


class _Part(Record):
    """A part of the file; keys that no problem needs are passed over."""

    model_config = ConfigDict(extra="ignore")


class _Model(_Part):
    layers: _Count
    mem_MB: tuple[Number, ...]
    parameters_in: Number
    parameters_out: tuple[Number, ...]

    @model_validator(mode="after")
    def _check(self) -> _Model:
        for field in ("mem_MB", "parameters_out"):
            _check_length(getattr(self, field), self.layers, field)
        return self


class _Times(_Part):
    batch_size: _Count
    dtype: Name
    time_s: tuple[Seconds, ...]


class _DeviceType(_Part):
    bw_Mbps: Positive
    mem_MB: Positive
    model_profiles: dict[str, Any] | None  # those of other models are not looked at


class _Profiles(_Part):
    profiles: tuple[_Times, ...]


_Entries = dict[str, tuple[str, str, Any]]  # name -> file, field, and data that is not checked yet


class _Found:
    """What files say of models, types of devices and hosts."""

    def __init__(self, paths: Iterable[str | Path | Traversable], allow_large: bool):
        self.models: _Entries = {}
        self.device_types: _Entries = {}
        self.devices: _Entries = {}
        for path in paths:
            file = str(path)
            is_yaml = file.endswith((".yml", ".yaml"))
            data = (
                read_yaml(path, allow_large=allow_large) if is_yaml else read_data(path, None, allow_large=allow_large)
            )
            if not isinstance(data, dict):
                raise InputError("an object (names to values)", file=file, value=data)
            if data.keys() & {"models", "device_types"}:
                self._add_sections(file, data)
            else:
                self._add_entries(file, data)

    def _add_sections(self, file: str, data: dict[str, Any]) -> None:
        for section in ("models", "device_types"):
            if section not in data:
                raise InputError("", file=file, field=section, problem="missing, and it has no default")
            if not isinstance(data[section], dict):
                raise InputError("an object (names to values)", file=file, field=section, value=data[section])
            for name, entry in data[section].items():
                self._add(getattr(self, section), name, file, f"{section}.{name}", entry)

    def _add_entries(self, file: str, data: dict[str, Any]) -> None:
        """Add a file of the scheduler, whose entries show what they are."""
        for name, entry in data.items():
            if isinstance(entry, list):
                entries = self.devices
            elif isinstance(entry, dict) and "layers" in entry:
                entries = self.models
            elif isinstance(entry, dict) and "bw_Mbps" in entry:
                entries = self.device_types
            else:
                expected = "a model (with layers), a type of device (with bw_Mbps) or a list of hosts"
                raise InputError(expected, file=file, field=name, value=entry)
            self._add(entries, name, file, name, entry)

    def _add(self, entries: _Entries, name: str, file: str, field: str, data: Any) -> None:
        if name in entries:
            raise InputError("", file=file, field=field, problem=f"is in {entries[name][0]} already")
        entries[name] = (file, field, data)


def _entry(entries: _Entries, name: str, record: type[_Part], section: str, what: str) -> Any:
    """Return an entry, checked; the others may be anything."""
    if name not in entries:
        raise InputError(f"the name of a {what}: {', '.join(entries) or 'none'}", field=section, value=name)
    file, place, data = entries[name]
    try:
        return record.from_data(data)
    except InputError as error:
        raise error.within(file=file, field=place) from None


def _check_length(values: tuple[float, ...], layers: int, field: str) -> None:
    if len(values) != layers:
        raise InputError(f"{layers}, one for each layer", field=field, value=f"{len(values)} values")


@checked
def read_pipeedge(
    path: str | Path | Traversable | Sequence[str | Path | Traversable],
    *,
    model: str,
    devices: Mapping[str, int] | None = None,
    batch_size: int | None = None,
    allow_large: bool = False,
) -> Problem:
    """Read PipeEdge's profiles as a problem: the shortest period of a contiguous pipeline.

    Parameters
    ----------
    path : str or Path, or several
        The files of its scheduler, ``models.yml``, ``device_types.yml`` and, optionally, ``devices.yml``; or one file,
        JSON or YAML, with `models` and `device_types`. Models and types that are not asked for are not looked at.
    model : str
        Name of a model in the files.
    devices : mapping of str to int, optional
        How many of each type of device there are; not needed where the files list hosts.
    batch_size : int, optional
        Samples in a batch; needed where the profiles have several.
    allow_large : bool
        Whether the limits of `dnnopt.base.sizes` are lifted.

    Raises
    ------
    InputError
        If a file is malformed or too large, or lacks the model, a type of device, or a profile of one on the other.
    """
    paths = [path] if isinstance(path, str | Path | Traversable) else list(path)
    found = _Found(paths, allow_large)
    try:
        check_amount(sum((devices or {}).values()), MOST_DEVICES, "devices", allow_large=allow_large, field="devices")
        return _problem(found, model, _boards(found, devices), batch_size)
    except InputError as error:
        raise error if error.file else error.within(file=", ".join(map(str, paths))) from None


def _boards(found: _Found, counts: Mapping[str, int] | None) -> dict[str, str]:
    """Return the devices and their types: as many as are asked for, or the hosts that a file lists."""
    if counts is not None and found.devices:
        raise InputError("", field="devices", problem="a file lists the hosts already")
    if counts is not None:
        if not counts or not all(count >= 1 for count in counts.values()):
            raise InputError("at least one device, and of each type at least one", field="devices", value=dict(counts))
        return {f"{kind}-{number + 1}": kind for kind, count in counts.items() for number in range(count)}
    boards: dict[str, str] = {}
    for kind, (file, place, hosts) in found.devices.items():
        for position, host in enumerate(hosts):
            if not isinstance(host, str) or not host or host in boards:
                field = f"{place}[{position}]"
                raise InputError("the name of a host, each once", file=file, field=field, value=host)
            boards[host] = kind
    if not boards:
        raise InputError("", field="devices", problem="missing; no file lists hosts either")
    return boards


def _problem(found: _Found, name: str, boards: dict[str, str], batch_size: int | None) -> Problem:
    model: _Model = _entry(found.models, name, _Model, "models", "model")
    kinds = {
        kind: _entry(found.device_types, kind, _DeviceType, "device_types", "type of device")
        for kind in dict.fromkeys(boards.values())
    }
    times = {kind: _times(found, kind, entry, name, model.layers, batch_size) for kind, entry in kinds.items()}
    batches = {(entry.batch_size, entry.dtype) for entry in times.values()}
    if len(batches) > 1:
        raise InputError(
            "profiles of one batch size and data type", field="device_types", value=[list(batch) for batch in batches]
        )
    batch, dtype = batches.pop()
    layers = [f"layer{number + 1}" for number in range(model.layers)]
    counts = Counter(boards.values())
    return Problem(
        _network(name, model, layers, batch * _ELEMENT_BYTES[dtype]),
        _platform({board: kinds[kind] for board, kind in boards.items()}),
        execution="pipelined",
        minimize=period(),
        subject_to=(Memory(buffers=_COPIES), Contiguous()),
        profile=Profile(
            time={
                name: {
                    layer: {board: times[kind].time_s[position] for board, kind in boards.items()}
                    for position, layer in enumerate(layers)
                }
            }
        ),
        name=f"{name} on " + " and ".join(f"{count} {kind}" for kind, count in counts.items()),
        provenance=f"PipeEdge profile; one inference is a batch of {batch}, in {dtype}",
    )


def _times(found: _Found, kind: str, device: _DeviceType, model: str, layers: int, batch_size: int | None) -> _Times:
    """Return the times of a model on a type of device."""
    file, place, _ = found.device_types[kind]
    place += ".model_profiles"
    profiles = device.model_profiles or {}
    if model not in profiles:
        raise InputError(f"profiles of {model}", file=file, field=place, value=list(profiles))
    place += f".{model}"
    try:
        entries = _Profiles.from_data({"profiles": profiles[model]}).profiles
    except InputError as error:
        raise InputError(
            "", file=file, field=place + error.field.removeprefix("profiles"), problem=error.problem
        ) from None
    chosen = [position for position, entry in enumerate(entries) if batch_size in (None, entry.batch_size)]
    if len(chosen) != 1:
        wanted = "one profile" if batch_size is None else f"one profile with batch_size {batch_size}"
        sizes = [entry.batch_size for entry in entries]
        raise InputError(wanted, file=file, field=place, value=f"profiles with batch sizes {sizes}")
    entry = entries[chosen[0]]
    try:
        if entry.dtype not in _ELEMENT_BYTES:
            raise InputError(f"one of {', '.join(_ELEMENT_BYTES)}", field="dtype", value=entry.dtype)
        _check_length(entry.time_s, layers, "time_s")
    except InputError as error:
        raise error.within(file=file, field=f"{place}[{chosen[0]}]") from None
    return entry


def _network(name: str, model: _Model, layers: list[str], bytes_per_element: int) -> Network:
    """Return the chain; what enters and leaves the model is kept once, with the first and the last sub-layer."""
    weights = [size * _MEGA for size in model.mem_MB]
    weights[0] += bytes_per_element * model.parameters_in
    weights[-1] += bytes_per_element * model.parameters_out[-1]
    sizes = [bytes_per_element * elements for elements in (model.parameters_in, *model.parameters_out)]
    return Network(
        name=name,
        layers=tuple(Layer(name=layer, weights=size) for layer, size in zip(layers, weights, strict=True)),
        tensors=tuple(
            Tensor(name=f"t{position}", producer=producer, consumers=(consumer,), bytes=size)
            for position, (producer, consumer, size) in enumerate(
                zip([INPUT, *layers], [*layers, OUTPUT], sizes, strict=True)
            )
        ),
    )


def _platform(boards: dict[str, _DeviceType]) -> Platform:
    links = tuple(
        Link(
            name=f"{i}->{j}",
            bandwidth=min(boards[i].bw_Mbps, boards[j].bw_Mbps) * _MEGA / 8,
            latency=0.0,
            sender=i,
            receiver=j,
        )
        for i, j in permutations(boards, 2)
    )
    return Platform(
        devices=tuple(Device(name=board, memory=kind.mem_MB * _MEGA) for board, kind in boards.items()),
        links=links,
        routes=tuple(
            Route(origin=i, destination=j, links=(link.name,))
            for (i, j), link in zip(permutations(boards, 2), links, strict=True)
        ),
    )
