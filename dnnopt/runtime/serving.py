"""One device of a run: receives values, runs its pieces, and sends what they make to those who need it."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.records import check_known
from dnnopt.problem.manifest import Manifest, ModelPiece, PieceTensor, read_manifest
from dnnopt.problem.networks import INPUT
from dnnopt.runtime.keys import RunKey
from dnnopt.runtime.links import Leg, LinkClocks
from dnnopt.runtime.sessions import input_shape, piece_session
from dnnopt.runtime.sockets import BEAT, SILENCE, Wires
from dnnopt.runtime.trace import Trace
from dnnopt.runtime.wire import Message, largest_frame, pack, sent_size, unpack

if TYPE_CHECKING:
    import numpy as np

_POLL = 100  # milliseconds
_MOST_IN_FLIGHT = 1024  # inputs
_DONE = object()


@dataclass
class _Input:
    """One input of the network, while this device has something to do with it."""

    began: float
    values: dict[str, np.ndarray] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    ended: int = 0
    is_fed: bool = False
    is_answered: bool = False


class DeviceServer:
    """A device's pieces, ready to run, behind an encrypted socket.

    One thread receives and sends, another one runs pieces: those of the earliest input first. Of an input nothing is
    kept once the device has done its part of it.

    Parameters
    ----------
    folder : str or Path
        Of the pieces.
    device : str
        One of the manifest's.
    key : RunKey
        Whoever holds it may use this process until the run ends, and nobody else.
    host, port : str, int
        Where to listen; port 0 is any that is free.
    threads : int
        For each layer.
    level : {"basic", "all"}
        How far the runtime may rewrite pieces.
    clocks : Path, optional
        File of the clocks of links between processes of this machine (see `dnnopt.runtime.links`).
    largest : int, optional
        Bytes of a frame; by default that of the largest tensor, and of open dimensions 64 times as much.
    log : callable, optional
        Called with what is refused, and why the run ended, in words.

    Attributes
    ----------
    port : int
    reason : str
        Why it ended; empty where a run has ended as it should.
    """

    @checked
    def __init__(
        self,
        folder: str | Path,
        device: str,
        key: RunKey,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        threads: int = 1,
        level: str = "basic",
        clocks: Path | None = None,
        largest: int | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.manifest: Manifest = read_manifest(folder)
        check_known(device, self.manifest.devices(), "device", "device of these pieces")
        self.device, self.reason = device, ""
        self._log = log or (lambda text: None)
        self.pieces = [piece for piece in self.manifest.pieces if piece.device == device]
        self._sessions = {piece.name: piece_session(Path(folder), piece, level, threads) for piece in self.pieces}
        self._tensors = self.manifest.tensor_of()
        self._plan()
        self._clocks = None if clocks is None else LinkClocks(clocks)
        self._wires = Wires(key, largest or largest_frame(self.manifest), self._log)
        try:
            self.port = self._wires.listen(host, port)
        except InputError:
            self.close()
            raise
        self.trace = Trace()
        self._stop = threading.Event()
        self._driver: bytes | None = None
        self._run = ""
        self._heard = 0.0
        self._is_ending = False
        self._beaten = 0.0
        self._hops: dict[str, tuple[Leg, ...]] = {}
        self._inputs: dict[int, _Input] = {}
        self._given: dict[str, np.ndarray] = {}
        self._due: list[tuple[float, int, int, float, dict[str, Any]]] = []
        self._order = 0
        self._tasks: queue.PriorityQueue[tuple[float, int, Any]] = queue.PriorityQueue()
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._wake_in = self._wires.context.socket(self._wires.zmq.PAIR)
        self._wake_out = self._wires.context.socket(self._wires.zmq.PAIR)
        self._wake_in.bind("inproc://done")
        self._wake_out.connect("inproc://done")
        self._wires.poller.register(self._wake_in, self._wires.zmq.POLLIN)

    def _plan(self) -> None:
        """Work out who may send what, and what goes where."""
        manifest, device = self.manifest, self.device
        self._sends: dict[str, list[str]] = {}
        incoming: dict[str, PieceTensor] = {}
        for sent in manifest.sends:
            if sent.sender == device and sent.receiver is not None:
                self._sends.setdefault(sent.value, []).append(sent.receiver)
            if sent.receiver == device:
                incoming[sent.value] = self._tensors[sent.value]
        fed = {given.name for given in manifest.inputs} if manifest.source == device else set()
        direct = {sent.value for sent in manifest.sends if sent.sender is None and sent.receiver == device}
        self._fed = {value: self._tensors[value] for value in (fed | direct) if value in self._tensors}
        self._from_peers = {value: tensor for value, tensor in incoming.items() if value not in direct}
        self._expected = self._fed | self._from_peers
        self._in_forms = self.manifest.forms_of(self._from_peers)
        self._shapes = [
            tensor
            for tensor in manifest.tensors
            if manifest.source == device and tensor.producer == INPUT and tensor.shape_of
        ]
        answers = dict.fromkeys(output.value for output in manifest.outputs)
        made = {value for piece in self.pieces for value in piece.outputs}
        if manifest.sink is None:
            self._answers = [value for value in answers if value in made]
        else:
            self._answers = list(answers) if manifest.sink == device else []
        self._peers = sorted({receiver for receivers in self._sends.values() for receiver in receivers})

    def stop(self) -> None:
        """Let `serve` end; any thread may call it."""
        self._stop.set()

    def close(self) -> None:
        """Let go of the sockets."""
        for name in ("_wake_in", "_wake_out"):
            if hasattr(self, name):
                getattr(self, name).close(0)
        self._wires.close()
        if self._clocks is not None:
            self._clocks.close()

    def serve(self) -> str:
        """Take part in one run, to its end; return why it ended, which is empty where all went well."""
        worker = threading.Thread(target=self._compute, daemon=True)
        worker.start()
        try:
            while not self._stop.is_set():
                self._step()
        finally:
            self._tasks.put((-1.0, 0, _DONE))
            worker.join(5)
            self.close()
        return self.reason

    def _step(self) -> None:
        """Receive what is there, and do what is due."""
        wires = self._wires
        ready = wires.wait(self._patience())
        if wires.server in ready:
            for _ in range(64):
                frames = wires.received(wires.server)
                if frames is None:
                    break
                self._take(frames)
        if self._wake_in in ready:
            while wires.received(self._wake_in) is not None:
                pass
        while not self._results.empty():
            self._finish(*self._results.get())
        for name, event in wires.events(ready):
            self._note(name, event)
        self._deliver()
        self._beat()

    def _patience(self) -> int:
        if not self._due:
            return _POLL
        rest = self._due[0][0] - time.monotonic()
        if rest < 1e-3:
            if rest > 0:
                time.sleep(rest)
            return 0
        return min(_POLL, int(1e3 * rest))

    def _take(self, frames: list[Any]) -> None:
        """Handle a message; one that is malformed is refused, and the driver is told if it is of its run."""
        sender = frames[0].bytes
        told = self._driver
        try:
            message = unpack(frames[1:], self._expected, self._in_forms)
            if message.kind == "begin":
                told = sender
                self._begin(sender, message)
                return
            if message.header.get("run") != self._run or not self._run:
                told = sender
                raise InputError("", problem="a message is of another run")
            if sender == self._driver:
                self._heard = time.monotonic()
            self._handle(message, sender)
        except Exception as error:  # a message may be anything
            self._log(f"refused a message: {error}")
            if told is not None:
                self._wires.send(self._wires.server, pack("refused", run=self._run, reason=str(error)), told)

    def _handle(self, message: Message, sender: bytes) -> None:
        if message.kind == "values":
            self._receive(message)
        elif message.kind == "stop" and sender == self._driver:
            self._is_ending = True  # others may end before
            self._tell("bye")
        elif message.kind == "end" and sender == self._driver:
            self._stop.set()
        elif message.kind == "report" and sender == self._driver:
            self._tell("report", **self.trace.to_data())
        elif message.kind == "clear" and sender == self._driver:
            self.trace.clear()
        elif message.kind != "beat":
            raise InputError("", problem=f"a message is of the unknown kind {message.kind[:80]!r}")

    def _begin(self, sender: bytes, message: Message) -> None:
        """Connect to the others, and get ready for the inputs of a run."""
        peers, hops = message.header.get("peers"), message.header.get("hops", {})
        if self._run:
            raise InputError("", problem="a run has begun already")
        if not isinstance(peers, dict) or not all(isinstance(peers.get(name), str) for name in self._peers):
            raise InputError(f"addresses of {', '.join(self._peers)}", field="peers", value=peers)
        if message.header.get("checksum") != self.manifest.identity():
            raise InputError("", problem="the pieces here are not those of the run")
        if self._clocks is not None:
            self._hops = {name: tuple(Leg(*hop) for hop in some) for name, some in hops.items()}
        self._driver, self._run = sender, str(message.header.get("run"))
        self._heard = time.monotonic()
        for name in self._peers:
            self._wires.connect(name, peers[name])
        self._waiting = set(self._peers)
        if not self._waiting:
            self._tell("ready", device=self.device)

    def _receive(self, message: Message) -> None:
        number = message.count("number")
        if number not in self._inputs and max(len(self._inputs), len(self._due)) >= _MOST_IN_FLIGHT:
            raise InputError("", problem=f"more than {_MOST_IN_FLIGHT} inputs are under way")
        arrays = message.arrays
        if message.header.get("again") is True and not arrays and self._given:
            arrays = self._given
        elif not arrays:
            raise InputError("", problem="a message has no tensors")
        elif arrays.keys() <= self._fed.keys():
            self._given = arrays
        due = message.header.get("due")
        self._order += 1
        # What comes from outside of the platform is there at once.
        moment = message.number("due") if due is not None and self._clocks is not None else 0.0
        began = message.number("began") if message.header.get("began") is not None else 0.0
        heapq.heappush(self._due, (moment, self._order, number, began, arrays))

    def _deliver(self) -> None:
        """Take the values that are due."""
        while self._due and self._due[0][0] <= time.monotonic():
            _, _, number, began, arrays = heapq.heappop(self._due)
            state = self._inputs.get(number)
            if state is None:
                state = self._inputs[number] = _Input(began or time.monotonic())
            fed = {value: array for value, array in arrays.items() if value in self._fed}
            state.values |= arrays
            if fed and not state.is_fed and self.manifest.source == self.device:
                state.is_fed = True
                for tensor in self._shapes:
                    state.values[tensor.value] = fed[tensor.value] = input_shape(tensor, fed[tensor.shape_of])
                for value in fed:
                    self._transmit(number, state, value)
            self._advance(number, state)

    def _transmit(self, number: int, state: _Input, value: str) -> None:
        """Send a value to all that need it."""
        for receiver in self._sends.get(value, ()):
            frames = pack(
                "values",
                {value: state.values[value]},
                self.manifest.forms,
                run=self._run,
                number=number,
                began=state.began,
                due=None,
            )
            size = sent_size(frames)
            hops = self._hops.get(receiver, ())
            if self._clocks is not None and hops:
                crossed = self._clocks.reserve(hops, size)
                head = frames[0].replace(b'"due":null', b'"due":%r' % crossed[-1][2], 1)
                frames[0] = head
                for link, start, end in crossed:
                    self.trace.link(link, value, number, size, start, end)
            else:
                moment = time.monotonic()
                self.trace.link(f"{self.device} -> {receiver}", value, number, size, moment, moment)
            if not self._wires.send(self._wires.clients[receiver], frames):
                self._tell("lost", peer=receiver, reason="takes no more messages")

    def _advance(self, number: int, state: _Input) -> None:
        """Start the pieces whose inputs are there, answer, and forget what is done."""
        for position, piece in enumerate(self.pieces):
            if piece.name not in state.started and all(value in state.values for value in piece.inputs):
                state.started.add(piece.name)
                feeds = {value: state.values[value] for value in piece.inputs}
                self._tasks.put((number, position, (piece, feeds)))
        if self._answers and not state.is_answered and all(value in state.values for value in self._answers):
            state.is_answered = True
            answer = {value: state.values[value] for value in self._answers}
            frames = pack("answer", answer, run=self._run, number=number, began=state.began, ended=time.monotonic())
            if self._driver is None or not self._wires.send(self._wires.server, frames, self._driver):
                self._log("the driver takes no more messages")
        fed = state.is_fed or self.manifest.source != self.device
        expected = self._from_peers.keys() <= state.values.keys()
        if fed and expected and state.ended == len(self.pieces) and (state.is_answered or not self._answers):
            del self._inputs[number]

    def _compute(self) -> None:
        """Run pieces, one at a time, in a thread of its own."""
        while True:
            number, _, task = self._tasks.get()
            if task is _DONE:
                return
            piece, feeds = task
            start, before = time.monotonic(), time.thread_time()
            try:
                found: Any = self._sessions[piece.name].run(feeds)
            except InputError as error:
                found = error
            except Exception as error:  # whatever it is, the driver is to know
                found = InputError("", file=piece.file, problem=f"{type(error).__name__}: {error}")
            busy = time.thread_time() - before
            self._results.put((int(number), piece, found, start, time.monotonic(), busy))
            self._wake_out.send(b"")

    def _finish(self, number: int, piece: ModelPiece, found: Any, start: float, end: float, busy: float) -> None:
        """Send what a piece has made."""
        if isinstance(found, InputError):
            self._log(str(found))
            self._tell("failed", reason=str(found))
            return
        self.trace.piece(self.device, piece.name, number, start, end, busy)
        state = self._inputs[number]
        state.ended += 1
        state.values |= found
        for value in piece.outputs:
            self._transmit(number, state, value)
        self._advance(number, state)

    def _tell(self, kind: str, **fields: Any) -> None:
        if self._driver is not None:
            self._wires.send(self._wires.server, pack(kind, run=self._run, **fields), self._driver)

    def _note(self, name: str, event: str) -> None:
        """Act on what happened to a connection."""
        if not name:
            if event.startswith("HANDSHAKE_FAILED"):
                self._wires.refuse("it does not speak CurveZMQ with this run's key")
        elif event.startswith("HANDSHAKE_FAILED"):
            self._tell("lost", peer=name, reason="it has another key than this run")
        elif event == "HANDSHAKE_SUCCEEDED":
            self._waiting.discard(name)
            if not self._waiting:
                self._tell("ready", device=self.device)
        elif event == "DISCONNECTED" and name not in self._waiting and not self._is_ending:
            self._log(f"the connection to {name} is lost")
            self._tell("lost", peer=name, reason="the connection is lost")

    def _beat(self) -> None:
        """Show the driver that this process lives; end when the driver does not."""
        now = time.monotonic()
        if self._driver is None:
            return
        if now - self._heard > SILENCE:
            if not self._is_ending:
                self.reason = f"the driver has been silent for {SILENCE:g} s"
                self._log(self.reason)
            self._stop.set()
        if now - self._beaten > BEAT:
            self._beaten = now
            self._tell("beat", inputs=len(self._inputs))


def values_for(manifest: Manifest, device: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what a driver gives a device of an input: all where it starts, else what the device needs."""
    if manifest.source == device:
        known = manifest.tensor_of()
        return {name: array for name, array in inputs.items() if name in known}
    found = {}
    for sent in manifest.sends:
        if sent.sender is None and sent.receiver == device:
            tensor = manifest.tensor_of()[sent.value]
            found[sent.value] = input_shape(tensor, inputs[tensor.shape_of]) if tensor.shape_of else inputs[sent.value]
    return found
