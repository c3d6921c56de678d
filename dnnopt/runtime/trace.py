"""What a process of a run remembers of it: each piece's and link's times, within limits however long it runs."""

from __future__ import annotations

from collections import deque
from typing import Any

TraceEvent = tuple[str, str, str, int, float, float]  # kind, place, name, number of the input, start, end
_SAMPLES = 256  # times of each piece that are kept: the latest
_TRACED = 32  # inputs whose events are kept one by one
_EVENTS = 2000
_NUMBERS = 20_000  # times that are reported, at most: a message has a limit
_LONGEST = 80  # letters of a name


class Trace:
    """Times of pieces, and of values on links.

    Attributes
    ----------
    pieces : dict of str to deque of float
        Seconds of the latest runs.
    busy : dict of str to deque of float
        Seconds for which the thread that ran them had a core: fewer, where other programs want it, too.
    links : dict of str to list
        Link -> messages and bytes that crossed it.
    events : list
        Kind (``piece`` or ``link``), place, name, number of the input, start and end, of the first inputs.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.pieces: dict[str, deque[float]] = {}
        self.busy: dict[str, deque[float]] = {}
        self.links: dict[str, list[float]] = {}
        self.events: list[TraceEvent] = []
        self._numbers: set[int] = set()

    def piece(self, device: str, name: str, number: int, start: float, end: float, busy: float) -> None:
        """Note a run of a piece."""
        self.busy.setdefault(name, deque(maxlen=_SAMPLES)).append(round(busy, 9))
        self.pieces.setdefault(name, deque(maxlen=_SAMPLES)).append(round(end - start, 9))
        self._note(("piece", device, name, number, start, end))

    def link(self, link: str, value: str, number: int, size: float, start: float, end: float) -> None:
        """Note a value that crosses a link."""
        total = self.links.setdefault(link, [0, 0.0])
        total[0] += 1
        total[1] += size
        self._note(("link", link, value, number, start, end))

    def _note(self, event: TraceEvent) -> None:
        number = event[3]
        if len(self.events) < _EVENTS and (number in self._numbers or len(self._numbers) < _TRACED):
            self._numbers.add(number)
            self.events.append(event)

    def to_data(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        most = max(1, _NUMBERS // (2 * max(1, len(self.pieces))))
        pieces = {name: list(times)[-most:] for name, times in self.pieces.items()}
        busy = {name: list(times)[-most:] for name, times in self.busy.items()}
        events = [(*event[:2], event[2][:_LONGEST], *event[3:]) for event in self.events]
        return {"pieces": pieces, "busy": busy, "links": self.links, "events": events}
