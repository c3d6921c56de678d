"""Run pieces: start or reach their processes, give them inputs, and compare what is measured with what was expected."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import format_percent
from dnnopt.inputs.onnx.reader import read_onnx
from dnnopt.inputs.profiling import profile_onnx
from dnnopt.problem.manifest import PLAN, PROBLEM, Manifest, read_manifest
from dnnopt.problem.plan import Plan, read_plan
from dnnopt.problem.problem import Problem, read_problem
from dnnopt.runtime.driving import Answered, Driver
from dnnopt.runtime.keys import RunKey
from dnnopt.runtime.links import idle_overlaps
from dnnopt.runtime.local import LocalDevices, check_local, local_devices
from dnnopt.runtime.measured import PiecesRun, Spread, layer_seconds_of, one_input
from dnnopt.runtime.prediction import predict
from dnnopt.runtime.sessions import LEVELS, ModelSession
from dnnopt.runtime.verification import differences, random_inputs
from dnnopt.runtime.wire import check_shape

if TYPE_CHECKING:
    import numpy as np

_KEPT = 4096  # latencies
_MOST_DISTURBED = 0.1
_APART = 10  # runs of each piece


@checked
def run_pieces(
    folder: str | Path,
    inputs: Mapping[str, Any] | None = None,
    *,
    addresses: Mapping[str, str] | None = None,
    key: RunKey | None = None,
    repeat: int = 50,
    warmup: int = 5,
    stream: int | None = None,
    in_flight: int | None = None,
    rate: float | None = None,
    threads: int = 1,
    level: str = "basic",
    links: bool = True,
    pin: bool = True,
    layers: bool = False,
    check: str | Path | None = None,
    patience: float = 60.0,
    seed: int = 0,
    answers: Callable[[int, Mapping[str, Any]], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> PiecesRun:
    """Run the pieces of a network and measure them: first one input at a time, then several.

    Parameters
    ----------
    folder : str or Path
        What `split_onnx` has written.
    inputs : mapping of str to array, optional
        An input of the network, which is sent each time; random numbers where there is none.
    addresses : mapping of str to str, optional
        ``HOST:PORT`` of each device's process (``dnnopt serve-piece``). Without, all run on this machine, each in a
        process of its own, and imitate the links of the problem beside the pieces.
    key : RunKey, optional
        Of the run, with addresses; the processes of this machine get a new one.
    repeat, warmup : int
        Inputs that count, one at a time, and inputs before them that do not.
    stream : int, optional
        Inputs of which several are under way, for the period; by default as many as `repeat`, or more to keep
        all pieces busy for a while, and 0 for none.
    in_flight : int, optional
        How many of these; by default enough to keep all pieces and links busy.
    rate : float, optional
        Inputs per second of the stream; as fast as answers come where there is none.
    threads : int
        Of each layer, on this machine.
    level : {"none", "basic", "all"}
        How far the runtime may rewrite pieces, on this machine.
    links : bool
        Imitate the links, on this machine.
    pin : bool
        Give each device a core of its own, on this machine, if there are as many.
    layers : bool
        On this machine, measure the layers of each piece afterwards, one by one, and split what the piece took in
        proportion; else in proportion to what was predicted.
    check : str or Path, optional
        The whole ONNX file: how far the answers are from what it computes here from the same input.
    patience : float
        Seconds to wait for devices to be ready, and for an answer.
    seed : int
        Of the random inputs.
    answers : callable, optional
        Called with the number and the outputs of each input.
    log : callable, optional
        Called with what the processes of this machine had to say.

    Raises
    ------
    InputError
        For inputs that are not the network's, and what cannot be had.
    RunError
        If a process ends, a connection is lost, or an answer does not come; the message names the device.
    """
    manifest = read_manifest(folder)
    lowest = (("repeat", repeat, 1), ("warmup", warmup, 0), ("stream", stream, 0), ("in_flight", in_flight, 1))
    for name, value, least in (*lowest, ("threads", threads, 1)):
        if value is not None and value < least:
            raise InputError(f"a whole number >= {least}", field=name, value=value)
    if level not in LEVELS:
        raise InputError(f"one of {', '.join(LEVELS)}", field="level", value=level)
    if rate is not None and not rate > 0:
        raise InputError("inputs per second > 0", field="rate", value=rate)
    problem, plan = _planned(Path(folder))
    if layers and (problem is None or addresses is not None):
        wanted = "goes with pieces on this machine, and with a problem beside them (split --problem)"
        raise InputError("", field="layers", problem=wanted)
    given = random_inputs(manifest, seed) if inputs is None else checked_inputs(manifest, inputs)
    in_flight = in_flight or len(manifest.pieces) + len(manifest.sends) + 1
    stream = max(repeat, 6 * in_flight) if stream is None else stream
    platform = problem.platform if problem is not None and links and addresses is None else None
    with _devices(Path(folder), manifest, addresses, key, platform, threads, level, pin, log) as devices:
        driver = Driver(
            manifest,
            devices.addresses,
            devices.key,
            platform=platform,
            patience=patience,
            is_alive=devices.check,
        )
        with driver:
            for done in driver.stream(lambda number: given, warmup, 1):
                _hand(answers, done)
            driver.clear()
            alone = _Times(addresses is None)
            for done in driver.stream(lambda number: given, repeat, 1):
                alone.add(done)
                last = done.outputs
                _hand(answers, done)
            first = driver.collect()
            driver.clear()
            together = _Times(addresses is None)
            for done in driver.stream(lambda number: given, stream, in_flight, rate):
                together.add(done)
                _hand(answers, done)
            second = driver.collect()
            driver.finish()
    off = None if check is None else differences(last, ModelSession(Path(check), "none").run(given))
    pieces = _spreads(first, "pieces")
    disturbed = _disturbed(first) if threads == 1 else None
    prediction = None if problem is None or plan is None else predict(manifest, problem, plan)
    shares = {} if prediction is None else prediction.layers
    if layers and problem is not None:
        shares = _layers_apart(Path(folder), manifest, problem, threads)
    judged, remarks = _judged(manifest, devices, problem, platform is not None, addresses is None)
    if disturbed is not None and disturbed > _MOST_DISTURBED:
        judged = False
        share = format_percent(disturbed, 2)
        remarks.append(f"Other programs had the cores for {share} of the pieces' time: this machine was not idle.")
    return PiecesRun(
        network=manifest.network,
        latency=Spread.of(list(alone.seconds)),
        period=together.period(in_flight) if stream else None,
        pieces={piece.name: pieces[piece.name] for piece in manifest.pieces if piece.name in pieces},
        streamed=_spreads(second, "pieces"),
        disturbed=disturbed,
        links=_link_bytes(first, repeat),
        in_flight=in_flight,
        rate=rate,
        repeat=repeat,
        warmup=warmup,
        local=addresses is None,
        imitated=platform is not None,
        cores=dict(devices.cores),
        judged=judged,
        remarks=tuple(remarks),
        prediction=prediction,
        events=one_input(first, alone.latencies) if addresses is None else [],
        layers=layer_seconds_of(manifest, pieces, shares),
        layers_apart=layers,
        off=off,
    )


def _hand(answers: Callable[[int, Mapping[str, Any]], None] | None, done: Answered) -> None:
    if answers is not None:
        answers(done.number, done.outputs)


class _Times:
    """Latencies, and when answers came, of the latest inputs."""

    def __init__(self, share_clock: bool) -> None:
        self._share_clock = share_clock
        self.seconds: deque[float] = deque(maxlen=_KEPT)
        self.latencies: dict[int, tuple[float, float]] = {}
        self._ends: deque[float] = deque(maxlen=_KEPT)

    def add(self, done: Answered) -> None:
        seconds = done.ended - done.began if self._share_clock else done.taken - done.given
        self.seconds.append(seconds)
        self._ends.append(done.ended if self._share_clock else done.taken)
        if len(self.latencies) < _KEPT:
            self.latencies[done.number] = (done.began, seconds)

    def period(self, in_flight: int) -> float | None:
        """Return the seconds between answers, once there are as many inputs under way as there may be."""
        ends = sorted(self._ends)
        steady = ends[min(in_flight, len(ends) // 2) :]
        return (steady[-1] - steady[0]) / (len(steady) - 1) if len(steady) > 1 else None


def checked_inputs(manifest: Manifest, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return arrays that are inputs of the network.

    Raises
    ------
    InputError
        If one is missing, unknown, or of another type or shape.
    """
    import numpy as np

    known = {given.name: given for given in manifest.inputs}
    for name in inputs:
        if name not in known:
            raise InputError(f"an input of the network: {', '.join(known)}", field="inputs", value=name)
    found = {}
    for name, given in known.items():
        if name not in inputs:
            raise InputError("", field=f"inputs.{name}", problem="missing")
        array = np.asarray(inputs[name])
        if str(array.dtype) != given.dtype:
            raise InputError(f"numbers of type {given.dtype}", field=f"inputs.{name}", value=str(array.dtype))
        tensor = manifest.tensor_of()[name]
        try:
            check_shape(list(array.shape), tensor)
        except InputError as error:
            raise InputError("", field=f"inputs.{name}", problem=error.problem) from None
        found[name] = array
    return found


def _planned(folder: Path) -> tuple[Problem | None, Plan | None]:
    """Return the problem beside the pieces, and its plan, where there are."""
    if not (folder / PROBLEM).is_file():
        return None, None
    problem = read_problem(folder / PROBLEM)
    return problem, read_plan(folder / PLAN, problem)


@contextmanager
def _devices(
    folder: Path,
    manifest: Manifest,
    addresses: Mapping[str, str] | None,
    key: RunKey | None,
    platform: Any,
    threads: int,
    level: str,
    pin: bool,
    log: Callable[[str], None] | None,
) -> Iterator[LocalDevices]:
    if addresses is None:
        check_local()
        with local_devices(
            folder, manifest, platform=platform, threads=threads, level=level, pin=pin, log=log
        ) as devices:
            yield devices
        return
    if key is None:
        raise InputError("", field="key", problem="missing: processes on other machines want the key of the run")
    elsewhere = LocalDevices(key)
    elsewhere.addresses = dict(addresses)
    yield elsewhere


def _disturbed(traces: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the share of the pieces' time in which their threads had no core."""
    taken = sum(spread.median for spread in _spreads(traces, "pieces").values())
    busy = sum(spread.median for spread in _spreads(traces, "busy").values())
    return max(0.0, 1 - busy / taken) if taken > 0 else 0.0


def _spreads(traces: Mapping[str, Mapping[str, Any]], what: str) -> dict[str, Spread]:
    return {
        name: Spread.of([float(one) for one in samples])
        for trace in traces.values()
        for name, samples in trace.get(what, {}).items()
    }


def _layers_apart(folder: Path, manifest: Manifest, problem: Problem, threads: int) -> dict[str, float]:
    """Return the seconds of each layer, measured one by one in each piece, by the problem's names."""
    (network,) = (one for one in problem.networks if one.name == manifest.network)
    maker = {tensor.name: tensor.producer for tensor in network.tensors}
    known = manifest.tensor_of()
    found: dict[str, float] = {}
    for piece in manifest.pieces:
        path = folder / piece.file
        times = profile_onnx(path, piece.device, name=piece.name, threads=threads, repetitions=_APART).time[piece.name]
        for tensor in read_onnx(path, name=piece.name).tensors:
            name = known[tensor.name].tensor if tensor.name in known else tensor.name
            if tensor.producer in times and maker.get(name) in piece.layers:
                found[maker[name]] = times[tensor.producer][piece.device] or 0.0
    return found


def _link_bytes(traces: Mapping[str, Mapping[str, Any]], count: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for trace in traces.values():
        for link, (_, size) in trace.get("links", {}).items():
            found[link] = found.get(link, 0.0) + size / count
    return dict(sorted(found.items()))


def _judged(
    manifest: Manifest, devices: LocalDevices, problem: Problem | None, imitated: bool, local: bool
) -> tuple[bool, list[str]]:
    """Return whether measurement and prediction can be held against each other, and what is to know of that."""
    working = {piece.device for piece in manifest.pieces}
    remarks = []
    if local and working - devices.cores.keys():
        remarks.append(f"{len(working)} devices with pieces shared the cores: times are not those that were predicted.")
    if local and problem is not None and not imitated:
        remarks.append("Links were those within this machine.")
    if problem is None:
        remarks.append("There is no problem beside the pieces (split --problem): nothing was predicted.")
    elif imitated:
        remarks += [
            f"The resource {name!r} has a device in it: here devices and links were busy at the same time."
            for name in idle_overlaps(problem.platform)
        ]
    judged = local and imitated and problem is not None and not working - devices.cores.keys()
    if local and problem is not None and not _is_profiled(manifest, problem):
        judged = False
        remarks.append(
            "Times were predicted from rates of devices, which this machine has not: profile it for a comparison."
        )
    return judged, remarks


def _is_profiled(manifest: Manifest, problem: Problem) -> bool:
    """Return whether the problem has a measured time of each layer where it runs."""
    times = problem.profile.time.get(manifest.network, {})
    return all(piece.device in times.get(layer, {}) for piece in manifest.pieces for layer in piece.layers)
