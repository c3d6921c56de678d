"""The driver of a run: gives inputs to the first device, takes the answers, and notices who fails."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dnnopt.base.errors import InputError
from dnnopt.problem.manifest import Manifest
from dnnopt.problem.platforms import Platform
from dnnopt.runtime.keys import RunKey
from dnnopt.runtime.links import hops_of
from dnnopt.runtime.serving import values_for
from dnnopt.runtime.sockets import BEAT, SILENCE, Wires
from dnnopt.runtime.wire import largest_frame, pack, unpack

if TYPE_CHECKING:
    import numpy as np

_POLL = 50  # milliseconds
_GOODBYE = 3.0  # seconds


class RunError(InputError):
    """A run that could not go on; the message names the device, or the connection, at which it failed."""


@dataclass
class Answered:
    """An input that went through.

    Attributes
    ----------
    number : int
    given, taken : float
        When the driver sent it, and had the whole answer.
    began, ended : float
        When the first device had it, and the last one the answer, by the clock that all processes of one machine share.
    outputs : dict of str to numpy array
    """

    number: int
    given: float
    taken: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    outputs: dict[str, np.ndarray] = field(default_factory=dict)


class Driver:
    """Drives the devices of a run. As a context manager, it lets them end when it does.

    Parameters
    ----------
    manifest : Manifest
    addresses : mapping of str to str
        Device -> ``HOST:PORT``, where the driver and the other devices reach it.
    key : RunKey
    platform : Platform, optional
        Whose links the processes imitate, where they share their clocks.
    patience : float
        Seconds to wait for all devices to be ready, and for an answer.
    is_alive : callable, optional
        Raises an error that names a device whose process has ended.

    Raises
    ------
    InputError
        For a device without an address.
    RunError
        If a device does not get ready; the message names it.
    """

    def __init__(
        self,
        manifest: Manifest,
        addresses: Mapping[str, str],
        key: RunKey,
        *,
        platform: Platform | None = None,
        patience: float = 60.0,
        is_alive: Callable[[], None] | None = None,
    ) -> None:
        self.manifest, self._patience = manifest, patience
        self._is_alive = is_alive or (lambda: None)
        self.devices = manifest.devices()
        missing = [device for device in self.devices if device not in addresses]
        if missing:
            raise InputError("", field="addresses", problem=f"no address for the device {missing[0]!r}")
        self._run = secrets.token_hex(8)
        self._log: list[str] = []
        self._wires = Wires(key, largest_frame(manifest), self._log.append)
        self._device_of: dict[Any, str] = {}
        self._heard: dict[str, float] = {}
        self._beaten = 0.0
        self._open: dict[int, Answered] = {}
        self._wanted = {device: set(self._answers(device)) for device in self.devices}
        self._answering = [device for device, wanted in self._wanted.items() if wanted]
        self._pending: dict[int, set[str]] = {}
        self._fed = self._receivers()
        self._next = 0
        self._given: Mapping[str, np.ndarray] | None = None
        self._is_over = self._is_closed = False
        try:
            self._start(addresses, platform)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _answers(self, device: str) -> list[str]:
        """Return the outputs that come from a device."""
        made = {value for piece in self.manifest.pieces if piece.device == device for value in piece.outputs}
        values = dict.fromkeys(output.value for output in self.manifest.outputs)
        if self.manifest.sink is None:
            return [value for value in values if value in made]
        return list(values) if device == self.manifest.sink else []

    def _receivers(self) -> list[str]:
        """Return the devices that the driver gives values to."""
        if self.manifest.source is not None:
            return [self.manifest.source]
        return list(
            dict.fromkeys(
                sent.receiver for sent in self.manifest.sends if sent.sender is None and sent.receiver is not None
            )
        )

    def _start(self, addresses: Mapping[str, str], platform: Platform | None) -> None:
        for device in self.devices:
            self._wires.connect(device, addresses[device])
            self._device_of[self._wires.clients[device]] = device
        for device in self.devices:
            peers = {
                sent.receiver for sent in self.manifest.sends if sent.sender == device and sent.receiver is not None
            }
            hops: dict[str, list[list[Any]]] = {}
            if platform is not None:
                for peer in peers:
                    found = hops_of(platform, device, peer)
                    hops[peer] = [[hop.link, hop.slot, hop.latency, hop.bandwidth] for hop in found]
            self._send(
                device,
                pack(
                    "begin",
                    run=self._run,
                    checksum=self.manifest.identity(),
                    peers={peer: addresses[peer] for peer in peers},
                    hops=hops,
                ),
            )
        waiting = set(self.devices)
        limit = time.monotonic() + self._patience
        while waiting:
            for device, message in self._messages():
                if message.kind == "ready":
                    waiting.discard(device)
            if time.monotonic() > limit:
                names = ", ".join(sorted(waiting))
                problem = f"not ready within {self._patience:g} s: {names}; is it there, with the key of this run?"
                raise RunError("", problem=problem)
        now = time.monotonic()
        self._heard = dict.fromkeys(self.devices, now)

    def _send(self, device: str, frames: list[Any]) -> None:
        if not self._wires.send(self._wires.clients[device], frames):
            raise RunError("", problem=f"{device} takes no more messages")

    def _messages(self, most: int = _POLL) -> Iterator[tuple[str, Any]]:
        """Yield messages by device, after waiting for some milliseconds at most; raise what has gone wrong."""
        wires = self._wires
        ready = wires.wait(most)
        for name, event in wires.events(ready):
            if event.startswith("HANDSHAKE_FAILED") and not self._is_over:
                raise RunError("", problem=f"{name} has another key than this run")
            if event == "DISCONNECTED" and name in self._heard and not self._is_over:
                self._is_alive()
                raise RunError("", problem=f"the connection to {name} is lost")
        for client, device in self._device_of.items():
            while client in ready:
                frames = wires.received(client)
                if frames is None:
                    break
                try:
                    message = unpack(frames, self._tensors_of(device))
                except InputError as error:
                    raise RunError("", problem=f"{device} sent what is malformed: {error}") from None
                if device in self._heard:
                    self._heard[device] = time.monotonic()
                if message.kind in ("refused", "failed", "lost"):
                    if not self._is_over:
                        raise self._failure(device, message)
                else:
                    yield device, message
        self._check()

    def _failure(self, device: str, message: Any) -> RunError:
        """Return what a device reports as an error."""
        reason = message.header.get("reason")
        if message.kind == "lost":
            self._is_alive()
            return RunError("", problem=f"from {device} to {message.header.get('peer')}: {reason}")
        what = "refused a message" if message.kind == "refused" else "failed"
        return RunError("", problem=f"{device} {what}: {reason}")

    def _tensors_of(self, device: str) -> dict[str, Any]:
        if not hasattr(self, "_expected"):
            known = self.manifest.tensor_of()
            self._expected = {name: {value: known[value] for value in self._wanted[name]} for name in self.devices}
        return self._expected[device]

    def _check(self) -> None:
        """Send signs of life, and look for those of the devices."""
        now = time.monotonic()
        if now - self._beaten > BEAT:
            self._beaten = now
            self._is_alive()
            for device in self.devices:
                if device in self._heard:
                    self._wires.send(self._wires.clients[device], pack("beat", run=self._run))
        if not self._is_over:
            for device, heard in self._heard.items():
                if now - heard > SILENCE:
                    raise RunError("", problem=f"{device} has been silent for {SILENCE:g} s")

    def collect(self) -> dict[str, dict[str, Any]]:
        """Return what each device has measured since it was told to forget."""
        for device in self.devices:
            self._send(device, pack("report", run=self._run))
        found: dict[str, dict[str, Any]] = {}
        limit = time.monotonic() + self._patience
        while len(found) < len(self.devices):
            for device, message in self._messages():
                if message.kind == "report":
                    found[device] = dict(message.header)
            if time.monotonic() > limit:
                silent = ", ".join(device for device in self.devices if device not in found)
                raise RunError("", problem=f"no report from {silent} for {self._patience:g} s")
        return found

    def clear(self) -> None:
        """Let the devices forget what they have measured so far."""
        for device in self.devices:
            self._send(device, pack("clear", run=self._run))

    def stream(
        self, inputs: Callable[[int], Mapping[str, np.ndarray]], count: int, in_flight: int, rate: float | None = None
    ) -> Iterator[Answered]:
        """Send inputs, at most so many of them at a time; yield each once it is answered, in the order they end.

        Parameters
        ----------
        inputs : callable
            Returns the input of a number from 0 on; the same object as before stands for the same input.
        count : int
        in_flight : int
            Further inputs wait for an answer.
        rate : float, optional
            Inputs per second, evenly spaced; as fast as answers come where there is none.

        Raises
        ------
        RunError
            If a device fails or answers nothing for too long.
        """
        started = time.monotonic()
        asked, last = 0, time.monotonic()
        while asked < count or self._open:
            now = time.monotonic()
            due = started + asked / rate if rate else now
            while asked < count and len(self._open) < in_flight and due <= now:
                self._give(inputs(asked))
                asked += 1
                last = max(last, now)
                due = started + asked / rate if rate else now
            wait = _POLL
            if asked < count and len(self._open) < in_flight:
                wait = min(_POLL, max(0, int(1e3 * (due - time.monotonic()))))
            for device, message in self._messages(wait):
                if message.kind == "answer":
                    done = self._take(device, message)
                    last = time.monotonic()
                    if done is not None:
                        yield done
            if self._open and time.monotonic() - last > self._patience:
                number = min(self._open)
                names = ", ".join(sorted(self._pending[number]))
                problem = f"no answer from {names} to input {number} for {self._patience:g} s"
                raise RunError("", problem=problem)

    def _give(self, inputs: Mapping[str, np.ndarray]) -> None:
        number = self._next
        self._next += 1
        self._open[number] = Answered(number, time.monotonic())
        self._pending[number] = set(self._answering)
        known = self.manifest.tensor_of()
        for output in self.manifest.outputs:  # an input that is an output, and stays where it is
            if self.manifest.sink is None and known[output.value].producer == "input":
                self._open[number].outputs[output.value] = inputs[output.value]
        is_new, self._given = inputs is not self._given, inputs
        for device in self._fed:  # what it has already is not sent again: the input starts there
            arrays = values_for(self.manifest, device, inputs) if is_new else {}
            self._send(device, pack("values", arrays, run=self._run, number=number, again=not is_new))

    def _take(self, device: str, message: Any) -> Answered | None:
        number = message.count("number")
        entry, pending = self._open.get(number), self._pending.get(number, set())
        if entry is None or device not in pending:
            raise RunError("", problem=f"{device} answered what was not asked")
        pending.discard(device)
        entry.outputs |= message.arrays
        began, ended = message.number("began"), message.number("ended")
        entry.began = min(entry.began or began, began)
        entry.ended = max(entry.ended, ended)
        if pending:
            return None
        entry.taken = time.monotonic()
        del self._open[number], self._pending[number]
        entry.outputs = {output.name: entry.outputs[output.value] for output in self.manifest.outputs}
        return entry

    def finish(self) -> None:
        """Let the devices end, once all of them know."""
        self._is_over = True
        for device in self.devices:
            self._wires.send(self._wires.clients[device], pack("stop", run=self._run))
        gone: set[str] = set()
        limit = time.monotonic() + _GOODBYE
        while len(gone) < len(self.devices) and time.monotonic() < limit:
            gone |= {device for device, message in self._messages() if message.kind == "bye"}
        self.close()

    def close(self) -> None:
        """Let the devices end, if they have not, and let go of the sockets."""
        self._is_over = True
        if not self._is_closed:
            self._is_closed = True
            for kind in ("stop", "end"):  # all are to know before one ends
                for client in self._wires.clients.values():
                    self._wires.send(client, pack(kind, run=self._run))
            self._wires.close()
