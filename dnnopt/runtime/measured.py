"""What a run measured, beside what was predicted."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import as_text, table, words
from dnnopt.base.numbers import counted, format_percent, format_quantity
from dnnopt.problem.manifest import Manifest
from dnnopt.problem.profiles import Profile
from dnnopt.runtime.prediction import Prediction
from dnnopt.runtime.trace import TraceEvent

if TYPE_CHECKING:
    from rich.console import Console

_DECIMALS = 9
_SLOWEST = 10


@dataclass(frozen=True)
class Spread:
    """Seconds of several runs: median, first and third quartile, and how many there were."""

    median: float
    first: float
    third: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        if len(samples) < 2:
            value = round(samples[0], _DECIMALS) if samples else 0.0
            return cls(value, value, value, len(samples))
        first, median, third = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(round(median, _DECIMALS), round(first, _DECIMALS), round(third, _DECIMALS), len(samples))


@dataclass(frozen=True)
class PiecesRun:
    """A run of pieces: what was measured, and what was predicted.

    Attributes
    ----------
    network : str
    latency : Spread
        From the moment when the first device has the input until the last one has the answer; one input at a time.
        Where the processes share no clock, from the driver and back to it.
    period : float, optional
        Seconds between answers while several inputs are under way; None: that was not measured.
    pieces : dict of str to Spread
        Seconds of each piece, one input at a time.
    streamed : dict of str to Spread
        The same while several inputs are under way.
    disturbed : float, optional
        Share of the pieces' time for which other programs had their cores; None: not known, as with several threads.
    links : dict of str to float
        Bytes over each link, for each input.
    in_flight : int
    rate : float, optional
    repeat, warmup : int
    local : bool
        Whether all processes were on this machine.
    imitated : bool
        Whether they imitated the links of the platform.
    cores : dict of str to int
        Devices that had a core of their own.
    judged : bool
        Whether the prediction can be held against the measurement: each device with pieces had a core of its own,
        links were as the platform has them, the problem has a profile, and no other program took more than a tenth of
        the pieces' time.
    remarks : tuple of str
    prediction : Prediction, optional
        None: there is no problem beside the pieces.
    events : list
        Of the input with the median latency: kind, place, name, number, start and end, from its beginning on.
    layers : dict of str to float
        Seconds of each layer: what its piece took, split in proportion to what was predicted of its layers, or to what
        they take one by one.
    layers_apart : bool
        Whether that is so.
    off : (float, float), optional
        Largest difference of an answer from that of the whole model, and the same over the largest number in it; None:
        that was not asked for.
    """

    network: str
    latency: Spread
    period: float | None
    pieces: dict[str, Spread]
    links: dict[str, float]
    in_flight: int
    rate: float | None
    repeat: int
    warmup: int
    local: bool
    imitated: bool
    cores: dict[str, int]
    judged: bool
    remarks: tuple[str, ...] = ()
    prediction: Prediction | None = None
    streamed: dict[str, Spread] = field(default_factory=dict)
    disturbed: float | None = None
    events: list[TraceEvent] = field(default_factory=list)
    layers: dict[str, float] = field(default_factory=dict)
    layers_apart: bool = False
    off: tuple[float, float] | None = None

    def to_data(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {**asdict(self), "remarks": list(self.remarks), "compared": self.to_rows()}

    def to_rows(self) -> list[dict[str, Any]]:
        """Return what is predicted beside what was measured: seconds, and bytes of links."""
        expected = self.prediction
        wanted = expected.pieces if expected is not None else {}
        on_links = expected.links if expected is not None else {}
        found = [_row("latency", expected.latency if expected else None, self.latency.median, "s")]
        if expected is not None and abs(expected.as_run - expected.latency) > 1e-3 * expected.latency:
            found.append(_row("latency, as processes run", expected.as_run, self.latency.median, "s"))
        if self.period is not None:
            found.append(_row("period", expected.period if expected else None, self.period, "s"))
        for name, spread in self.pieces.items():
            found.append(_row(f"piece {name}", wanted.get(name), spread.median, "s"))
        for name in dict.fromkeys([*on_links, *self.links]):
            size = on_links.get(name, 0.0) if expected else None
            found.append(_row(f"bytes over {name}", size, self.links.get(name, 0.0), "B"))
        return found

    def profile(self, device_of: Mapping[str, str]) -> Profile:
        """Return the measured seconds of layers as a profile; `device_of` says where each layer ran."""
        times = {layer: {device_of[layer]: round(seconds, 12)} for layer, seconds in self.layers.items()}
        return Profile(time={self.network: times})

    def report(self, console: Console, *, verbose: bool = False) -> None:
        """Print what was predicted beside what was measured; of layers that were measured the slowest, or all."""
        for part in self._parts(verbose):
            console.print(words(part) if isinstance(part, str) else part)

    def __str__(self) -> str:
        return as_text(self.report)

    def _parts(self, verbose: bool) -> Iterator[Any]:
        where = "on this machine" if self.local else "on several machines"
        links = ", over links as the platform has them" if self.imitated else ""
        yield f"{self.network}: {counted(len(self.pieces), 'piece')} {where}{links}, median of {self.latency.count}"
        rows = []
        for row in self.to_rows():
            unit = row["unit"]
            known = row["predicted"] is not None
            rows.append(
                (
                    row["what"],
                    format_quantity(row["predicted"], unit) if known else "",
                    format_quantity(row["measured"], unit),
                    _signed(row["difference"]),
                )
            )
        sides = [("", "left"), ("predicted", "right"), ("measured", "right"), ("difference", "right")]
        yield table("", sides, rows)
        yield (
            f"latency: half of the inputs from {format_quantity(self.latency.first, 's')} to "
            f"{format_quantity(self.latency.third, 's')}"
        )
        if self.off is not None:
            absolute, relative = self.off
            yield f"against the whole model: answers differ by at most {absolute:.3g}, relative {relative:.3g}"
        if self.layers_apart:
            yield self._layer_table(None if verbose else _SLOWEST)
        yield from self.remarks

    def _layer_table(self, most: int | None) -> Any:
        expected = self.prediction.layers if self.prediction is not None else {}
        ranked = sorted(self.layers.items(), key=lambda item: -item[1])[:most]
        rows = []
        for layer, seconds in ranked:
            row = _row(layer, expected.get(layer), seconds, "s")
            known = "" if row["predicted"] is None else format_quantity(row["predicted"], "s", 3)
            rows.append((layer, known, format_quantity(seconds, "s", 3), _signed(row["difference"])))
        sides = [("layer", "left"), ("predicted", "right"), ("measured", "right"), ("difference", "right")]
        return table("Layers" if len(rows) == len(self.layers) else f"The {len(rows)} slowest layers", sides, rows)


def _row(what: str, predicted: float | None, measured: float, unit: str) -> dict[str, Any]:
    share = None if not predicted else measured / predicted - 1
    return {"what": what, "predicted": predicted, "measured": measured, "difference": share, "unit": unit}


def _signed(share: float | None) -> str:
    return "" if share is None else ("+" if share > 0 else "") + format_percent(share)


def layer_seconds_of(
    manifest: Manifest, pieces: Mapping[str, Spread], expected: Mapping[str, float]
) -> dict[str, float]:
    """Return seconds of layers: those that were expected, scaled to what their piece took; in equal parts without."""
    found: dict[str, float] = {}
    for piece in manifest.pieces:
        if piece.name in pieces and piece.layers:
            shares = {layer: expected.get(layer, 0.0) for layer in piece.layers}
            whole = sum(shares.values())
            for layer, share in shares.items():
                part = share / whole if whole > 0 else 1 / len(shares)
                found[layer] = pieces[piece.name].median * part
    return found


def one_input(
    traces: Mapping[str, Mapping[str, Any]], latencies: Mapping[int, tuple[float, float]]
) -> list[TraceEvent]:
    """Return the events of the input with the median latency among those that were traced, from its beginning on."""
    events: list[TraceEvent] = [
        (str(kind), str(place), str(name), int(number), float(start), float(end))
        for trace in traces.values()
        for kind, place, name, number, start, end in trace.get("events", ())
    ]
    traced = {event[3] for event in events} & latencies.keys()
    if not traced:
        return []
    ranked = sorted(traced, key=lambda number: latencies[number][1])
    chosen = ranked[len(ranked) // 2]
    began = latencies[chosen][0]
    return sorted(
        ((*event[:4], event[4] - began, event[5] - began) for event in events if event[3] == chosen),
        key=lambda event: event[4],
    )
