"""PipeEdge's profiles as problems: a transformer's chain of sub-layers on boards that are joined by a full mesh.

Hu et al., Pipeline Parallelism for Inference on Heterogeneous Edge Computing, arXiv 2110.14895. The accounting is that
of its scheduler: one inference is one batch; the period is the largest of all stages' computations and transmissions. A
transmission takes element size x elements x batch bytes, at the lower bandwidth of its two ends; 1 Mbit is 1024 x 1024
bits and 1 MB is 1024 x 1024 bytes. A stage's memory is that of its sub-layers, its input and output, and two more
copies (send or receive, and queue) of what it exchanges with other stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources.abc import Traversable
from itertools import permutations
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from dnnopt.constraints import Contiguous, Memory
from dnnopt.errors import InputError
from dnnopt.formats.files import read_data
from dnnopt.networks import INPUT, OUTPUT, Layer, Network, Tensor
from dnnopt.objectives import period
from dnnopt.platforms import Device, Link, Platform, Route
from dnnopt.problem import Problem
from dnnopt.profiles import Profile
from dnnopt.records import Name, Number, Positive, Record, Seconds

_MEGA = 1024 * 1024
_ELEMENT_BYTES = {"torch.float32": 4, "torch.float16": 2, "torch.bfloat16": 2}
_COPIES = 3  # of a tensor, at either end: the one that is worked on, the one under way, the one in the queue

Count = Annotated[int, Field(strict=True, ge=1)]


class _Part(Record):
    """A part of the file; keys that no problem needs are passed over."""

    model_config = ConfigDict(extra="ignore")


class _Model(_Part):
    layers: Count
    mem_MB: tuple[Number, ...]
    parameters_in: Number
    parameters_out: tuple[Number, ...]

    @model_validator(mode="after")
    def _check(self) -> _Model:
        for field in ("mem_MB", "parameters_out"):
            _check_length(getattr(self, field), self.layers, field)
        return self


class _Times(_Part):
    batch_size: Count
    dtype: Name
    time_s: tuple[Seconds, ...]


class _DeviceType(_Part):
    bw_Mbps: Positive
    mem_MB: Positive
    model_profiles: dict[str, tuple[_Times, ...]]


class _File(_Part):
    models: dict[str, _Model]
    device_types: dict[str, _DeviceType]


def _check_length(values: tuple[float, ...], layers: int, field: str) -> None:
    if len(values) != layers:
        raise InputError(f"{layers}, one for each layer", field=field, value=f"{len(values)} values")


def read_pipeedge(
    path: str | Path | Traversable, *, model: str, devices: Mapping[str, int], batch_size: int | None = None
) -> Problem:
    """Read a PipeEdge profile as a problem: the shortest period of a contiguous pipeline.

    Parameters
    ----------
    path : str or Path
        JSON file with `models` and `device_types`.
    model : str
        Name of a model in the file.
    devices : mapping of str to int
        How many of each type of device there are.
    batch_size : int, optional
        Samples in a batch; needed where the profiles have several.

    Raises
    ------
    InputError
        If the file is malformed, or lacks the model, a type of device, or a profile of one on the other.
    """
    file = str(path)
    data: _File = _File.from_data(read_data(path, None), file=file)
    try:
        return _problem(data, model, devices, batch_size)
    except InputError as error:
        raise error.within(file=file) from None


def _problem(data: _File, name: str, devices: Mapping[str, int], batch_size: int | None) -> Problem:
    if name not in data.models:
        raise InputError(f"the name of a model: {', '.join(data.models) or 'none'}", field="models", value=name)
    model = data.models[name]
    if not devices or not all(count >= 1 for count in devices.values()):
        raise InputError("at least one device, and of each type at least one", field="devices", value=dict(devices))
    times = {kind: _times(data, kind, name, model.layers, batch_size) for kind in devices}
    batches = {(times[kind].batch_size, times[kind].dtype) for kind in devices}
    if len(batches) > 1:
        raise InputError(
            "profiles of one batch size and data type", field="device_types", value=[list(batch) for batch in batches]
        )
    batch, dtype = batches.pop()
    boards = {f"{kind}-{number + 1}": kind for kind, count in devices.items() for number in range(count)}
    layers = [f"layer{number + 1}" for number in range(model.layers)]
    return Problem(
        _network(name, model, layers, batch * _ELEMENT_BYTES[dtype]),
        _platform(data, boards),
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
        name=f"{name} on " + " and ".join(f"{count} {kind}" for kind, count in devices.items()),
        provenance=f"PipeEdge profile; one inference is a batch of {batch}, in {dtype}",
    )


def _times(data: _File, kind: str, model: str, layers: int, batch_size: int | None) -> _Times:
    """Return the times of a model on a type of device."""
    if kind not in data.device_types:
        known = ", ".join(data.device_types) or "none"
        raise InputError(f"the name of a type of device: {known}", field="device_types", value=kind)
    field = f"device_types.{kind}.model_profiles"
    profiles = data.device_types[kind].model_profiles
    if model not in profiles:
        raise InputError(f"profiles of {model}", field=field, value=list(profiles))
    found = [
        (position, entry) for position, entry in enumerate(profiles[model]) if batch_size in (None, entry.batch_size)
    ]
    if len(found) != 1:
        wanted = "one profile" if batch_size is None else f"one profile with batch_size {batch_size}"
        sizes = [entry.batch_size for entry in profiles[model]]
        raise InputError(wanted, field=f"{field}.{model}", value=f"profiles with batch sizes {sizes}")
    position, entry = found[0]
    if entry.dtype not in _ELEMENT_BYTES:
        known = ", ".join(_ELEMENT_BYTES)
        raise InputError(f"one of {known}", field=f"{field}.{model}[{position}].dtype", value=entry.dtype)
    _check_length(entry.time_s, layers, f"{field}.{model}[{position}].time_s")
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


def _platform(data: _File, boards: dict[str, str]) -> Platform:
    types = {board: data.device_types[kind] for board, kind in boards.items()}
    links = tuple(
        Link(
            name=f"{i}->{j}",
            bandwidth=min(types[i].bw_Mbps, types[j].bw_Mbps) * _MEGA / 8,
            latency=0.0,
            sender=i,
            receiver=j,
        )
        for i, j in permutations(boards, 2)
    )
    return Platform(
        devices=tuple(Device(name=board, memory=kind.mem_MB * _MEGA) for board, kind in types.items()),
        links=links,
        routes=tuple(
            Route(origin=i, destination=j, links=(link.name,))
            for (i, j), link in zip(permutations(boards, 2), links, strict=True)
        ),
    )
