"""Profiles: seconds and joules of layers on devices, measured where there is a measurement, else by the roofline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from dnnopt.base.arguments import checked
from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_data, write_data
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.numbers import counted, format_quantity
from dnnopt.base.records import Bytes, Flag, Joules, Name, Number, Record, Seconds, check_known
from dnnopt.problem.blocks import FusedBlock, check_blocks, named_blocks
from dnnopt.problem.forms import Coding, Roofline
from dnnopt.problem.networks import INPUT, Layer, Network
from dnnopt.problem.platforms import Device, Executor, Platform
from dnnopt.problem.precision import rate_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


Table = Mapping[str, Mapping[str, Mapping[str, Seconds | None]]]
Quartiles = tuple[Seconds, Seconds]


_SLOWEST = 10
_DISTURBED = 0.1, 1e-3  # of a whole run, and in seconds: the least that other programs take at a time


class FusedGroup(Record):
    """Layers that a runtime does not keep apart.

    Attributes
    ----------
    layers : tuple of str
    nodes : tuple of str
        What the runtime runs in their place.
    seconds : float
        Median of what these nodes take together; it is split over the layers.
    """

    layers: tuple[Name, ...] = Field(min_length=2)
    nodes: tuple[str, ...]
    seconds: Seconds


class Measurement(Record):
    """How the times of one network on one device were measured, and how far they scatter.

    Attributes
    ----------
    network, device : str
        Whose times these are.
    model : str
        The file that was run.
    inputs : mapping
        Bytes of each input. A network whose input of that name has another size (another batch) is refused.
    optimised : bool
        False: layers ran apart. True: as the runtime fuses them; then `groups` lists what it fused.
    repetitions, warmup : int
        Runs that were measured, and runs before them that were not.
    threads : int
        Threads for one layer.
    seed : int
        Of the random inputs.
    quartiles : mapping
        For each layer, the first and the third quartile of its seconds; the medians are the profile's times.
    sum_of_layers : float
        Sum of the medians of all layers, in seconds.
    overhead : float
        Median seconds of a run that the runtime spends between layers.
    total, total_quartiles : float, tuple
        Seconds of a whole run under the same settings, not observed layer by layer: median, first and third quartile.
    fastest : float
        Median seconds of a whole run with everything that the runtime can do to speed it up.
    groups : tuple of FusedGroup
    other : mapping
        Median seconds of what the runtime ran and that is no layer.
    processor, date : str
    versions : mapping
    """

    network: Name
    device: Name
    model: str
    inputs: Frozen[Name, Bytes]
    optimised: Flag = False
    repetitions: int = Field(ge=1)
    warmup: int = Field(ge=0)
    threads: int = Field(ge=1)
    seed: int
    quartiles: Frozen[Name, Quartiles]
    sum_of_layers: Seconds
    overhead: Seconds
    total: Seconds
    total_quartiles: Quartiles
    fastest: Seconds
    groups: tuple[FusedGroup, ...] = ()
    other: Frozen[str, Seconds] = FrozenDict()
    processor: str
    date: str
    versions: Frozen[str, str]

    @property
    def unexplained(self) -> float:
        """Seconds by which a whole run takes longer than its parts (below zero: less long).

        Other programs are the usual cause: they disturb some layer in every run, and each layer in few.
        """
        return self.total - self.sum_of_layers - self.overhead - sum(self.other.values())


class Profile(Record):
    """Measured tables, network -> layer -> device, or device in a mode (``nx:int8``) -> value.

    Attributes
    ----------
    time : mapping
        Seconds `t_vi`, launch overhead included; None: the device cannot run the layer.
    energy : mapping
        Joules `ε_vi`; where absent, busy power x time.
    loss : mapping
        Accuracy lost by a layer on an executor (``nx:int8``); where absent, that of the mode.
    measurements : tuple of Measurement
        Where times come from, if `dnnopt.inputs.profiling` measured them.
    blocks : tuple of FusedBlock
        Layers that may run as one, and what they cost then.
    """

    time: Frozen[str, Frozen[str, Frozen[str, Seconds | None]]] = FrozenDict()
    energy: Frozen[str, Frozen[str, Frozen[str, Joules]]] = FrozenDict()
    loss: Frozen[str, Frozen[str, Frozen[str, Number]]] = FrozenDict()
    measurements: tuple[Measurement, ...] = ()
    blocks: tuple[FusedBlock, ...] = ()

    def check(self, networks: tuple[Network, ...], platform: Platform, execution: str = "sequential") -> None:
        """Raise InputError if a table does not fit the networks and the platform.

        That is: it names a network, layer or device that does not exist, was measured with inputs of other sizes, or
        has a block that is none, or one under an execution that does not tell what it means.
        """
        by_name = {network.name: network for network in networks}
        places = {*platform.device_names(), *(executor.name for executor in platform.executors())}
        for kind, entries in (("time", self.time), ("energy", self.energy), ("loss", self.loss)):
            for network, layers in entries.items():
                check_known(network, by_name, kind, "network")
                known = {layer.name for layer in by_name[network].layers}
                for layer, values in layers.items():
                    check_known(layer, known, f"{kind}.{network}", "layer")
                    for place in values:
                        check_known(place, places, f"{kind}.{network}.{layer}", "device")
        check_blocks(self.blocks, by_name, places)
        if self.blocks and execution not in ("sequential", "pipelined"):
            named = [block.name for block in named_blocks(self.blocks, networks)]
            raise InputError(f"no blocks under {execution} execution", field="blocks", value=named)
        for index, measurement in enumerate(self.measurements):
            check_known(measurement.network, by_name, f"measurements[{index}].network", "network")
            for tensor in by_name[measurement.network].tensors:
                measured = measurement.inputs.get(tensor.name, tensor.bytes)
                if tensor.producer == INPUT and measured != tensor.bytes:
                    raise InputError(
                        f"{tensor.bytes:.0f} bytes, as in the network (another batch size?)",
                        field=f"measurements[{index}].inputs.{tensor.name}",
                        value=measured,
                    )

    def merged(self, other: Profile) -> Profile:
        """Return the entries of both profiles.

        Raises
        ------
        InputError
            If both have the same entry with different values.
        """
        return Profile(
            time=_merged(self.time, other.time, "time"),
            energy=_merged(self.energy, other.energy, "energy"),
            loss=_merged(self.loss, other.loss, "loss"),
            measurements=(*self.measurements, *(m for m in other.measurements if m not in self.measurements)),
            blocks=(*self.blocks, *(block for block in other.blocks if block not in self.blocks)),
        )

    def report(self, console: Console, *, verbose: bool = False) -> None:
        """Print the slowest layers (or all), what was fused, what is no layer, and a whole run and its parts."""
        for measurement in self.measurements:
            for part in _measurement_report(self, measurement, None if verbose else _SLOWEST):
                console.print(words(part) if isinstance(part, str) else part)


def _measurement_report(
    profile: Profile, measurement: Measurement, limit: int | None
) -> Iterator[RenderableType | str]:
    def seconds(value: float) -> str:
        return format_quantity(value, "s", 3)

    device = measurement.device
    times = {
        layer: values[device] or 0.0
        for layer, values in profile.time[measurement.network].items()
        if layer in measurement.quartiles
    }
    fused = {layer for group in measurement.groups for layer in group.layers}
    threads, repeated = counted(measurement.threads, "thread"), counted(measurement.repetitions, "run")
    kind = "layers fused by the runtime" if measurement.optimised else "each layer apart"
    yield (
        f"{measurement.network} on {device}: {counted(len(times), 'layer')}, {kind}, median of {repeated}, "
        f"{threads}, onnxruntime {measurement.versions.get('onnxruntime', '')}"
    )
    rows = [
        (
            layer,
            seconds(time),
            f"{seconds(measurement.quartiles[layer][0])} to {seconds(measurement.quartiles[layer][1])}",
            f"{100 * time / measurement.sum_of_layers:.1f} %" if measurement.sum_of_layers else "",
            "a share of a group" if layer in fused else "",
        )
        for layer, time in sorted(times.items(), key=lambda item: -item[1])
    ]
    columns = [("layer", "left"), ("time", "right"), ("quartiles", "right"), ("of all layers", "right"), ("", "left")]
    yield table("Layers" if limit is None or len(rows) <= limit else "Slowest layers", columns, rows[:limit])
    if measurement.groups:
        groups = [
            (seconds(group.seconds), ", ".join(group.nodes), ", ".join(group.layers)) for group in measurement.groups
        ]
        yield table(
            "Groups that the runtime fused; each layer has a share of the time",
            [("time", "right"), ("ran as", "left"), ("layers", "left")],
            groups,
        )
    if measurement.other:
        others = [(seconds(time), node) for node, time in measurement.other.items()]
        yield table("Ran too, and is no layer", [("time", "right"), ("node", "left")], others)
    first, third = measurement.total_quartiles
    yield (
        f"All layers {seconds(measurement.sum_of_layers)}, between them {seconds(measurement.overhead)}; "
        f"a whole run {seconds(measurement.total)} ({seconds(first)} to {seconds(third)}), "
        f"with every optimisation {seconds(measurement.fastest)}"
    )
    share, least = _DISTURBED
    if abs(measurement.unexplained) > max(share * measurement.total, least):
        yield (
            f"A whole run takes {seconds(abs(measurement.unexplained))} "
            f"{'more' if measurement.unexplained > 0 else 'less'} than its parts: other programs disturb the "
            "measurement. Measure on an idle machine, or with fewer --threads."
        )


def _merged(first: Table, second: Table, kind: str) -> dict[str, dict[str, dict[str, float | None]]]:
    found = {network: {layer: dict(values) for layer, values in layers.items()} for network, layers in first.items()}
    for network, layers in second.items():
        for layer, values in layers.items():
            known = found.setdefault(network, {}).setdefault(layer, {})
            for device, value in values.items():
                if known.setdefault(device, value) != value:
                    field = f"{kind}.{network}.{layer}.{device}"
                    raise InputError(f"{known[device]!r}, as in another profile, or no entry", field=field, value=value)
    return found


def roofline_seconds(layer: Layer, device: Device) -> float | None:
    """Return `o_i + max(f_v / F_i, g_v / W_i)`, or None where the layer or the device lacks the numbers.

    `F_i` is the device's rate of the layer's type or, where it has none of that type, that of float32.
    Williams, Waterman, Patterson: Roofline, Communications of the ACM 52(4), 2009.
    """
    if layer.flops is None or layer.bytes is None or device.flops_per_s is None or device.bytes_per_s is None:
        return None
    compute = layer.flops / (device.efficiency * rate_of(device.flops_per_s, layer.dtype))
    memory = layer.bytes / (device.efficiency * device.bytes_per_s)
    return device.overhead + max(compute, memory)


def coding_seconds(coding: Coding | None, device: Device, field: str) -> float | None:
    """Return the seconds that encoding or decoding a tensor takes on a device; None: it cannot.

    Raises
    ------
    InputError
        If the roofline is to tell and the device lacks a rate.
    """
    if coding is None:
        return 0.0
    if not isinstance(coding, Roofline):
        return coding.get(device.name)
    work = coding.roofline
    seconds = roofline_seconds(Layer(name="coding", flops=work.flops, bytes=work.bytes), device)
    if seconds is None:
        raise InputError("", field=field, problem=f"roofline: expected both rates of the device {device.name}")
    return seconds


def layer_seconds(profile: Profile, network: Network, layer: Layer, executor: Executor) -> float | None:
    """Return `t_vi`; None: the executor cannot run the layer.

    What is measured of a device holds for those of its modes that override no rate and no overhead; what it cannot run,
    none of its modes can of which nothing else was measured.

    Raises
    ------
    InputError
        If there is neither a measured time nor what the roofline needs.
    """
    if not executor.runs(layer.op):
        return None
    measured = profile.time.get(network.name, {}).get(layer.name, {})
    if executor.name in measured:
        return measured[executor.name]
    of_device = measured.get(executor.device.name)
    if executor.device.name in measured and (executor.same_times or of_device is None):
        return of_device
    seconds = roofline_seconds(layer, executor.device)
    if seconds is None:
        raise InputError(
            "",
            field=f"profile.time.{network.name}.{layer.name}.{executor.name}",
            problem="no time: expected a measured one, or flops and bytes of the layer and both rates of the device",
        )
    return seconds


def layer_joules(profile: Profile, network: Network, layer: Layer, executor: Executor, seconds: float) -> float:
    """Return `ε_vi`: measured, else busy power x `seconds`.

    What is measured of a device holds for those of its modes that override no rate, no overhead and no power.
    """
    measured = profile.energy.get(network.name, {}).get(layer.name, {})
    joules = measured.get(executor.device.name) if executor.same_energies else None
    joules = measured.get(executor.name, joules)
    return executor.device.power * seconds if joules is None else joules


def layer_loss(profile: Profile, network: Network, layer: Layer, executor: Executor) -> float:
    """Return the accuracy that a layer loses on an executor: the profile's, else the mode's."""
    known = profile.loss.get(network.name, {}).get(layer.name, {})
    return known.get(executor.name, executor.mode.loss)


@checked
def read_profile(path: str | Path | Traversable, *, allow_large: bool = False) -> Profile:
    """Read a profile file: measured times and energies of layers on devices."""
    return Profile.from_data(read_data(path, "profile", allow_large=allow_large), file=str(path))


@checked
def write_profile(profile: Profile, path: str | Path) -> None:
    """Write a profile file."""
    write_data(path, "profile", profile.to_data())
