"""Encrypted connections between the processes of a run, and what becomes of them.

ZeroMQ with CurveZMQ: messages of several frames without copies, queues with limits, connections that are made again,
and encryption with keys that both sides must hold, in one wheel without a compiler; gRPC would need certificates, and
would copy tensors into its messages.
"""

from __future__ import annotations

import ipaddress
import re
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.runtime.keys import RunKey, zmq_module

BEAT = 0.5  # seconds between signs of life
SILENCE = 4.0  # seconds without one after which a process counts as dead
_QUEUED = 4096  # messages at each end of a connection
_HANDSHAKE = 5.0  # seconds
_EVENT = struct.Struct("=hi")
_ENCRYPTION = 1024  # bytes that it adds to a frame, at most
_QUIET = 5.0  # seconds between two lines about refusals
_DOMAIN = b"dnnopt"


class Wires:
    """The sockets of one process: one that others connect to, if it listens, and one for each that it connects to.

    To be used by one thread, but for `close`.

    Parameters
    ----------
    key : RunKey
    largest : int
        Bytes of a frame; who sends a longer one is disconnected.
    log : callable
        Called with each refusal, in words.
    """

    def __init__(self, key: RunKey, largest: int, log: Callable[[str], None]) -> None:
        self.zmq = zmq_module()
        self._key, self._largest, self._log = key, largest, log
        self.context = self.zmq.Context()
        self.poller = self.zmq.Poller()
        self.server: Any = None
        self.clients: dict[str, Any] = {}
        self._monitors: dict[Any, str] = {}  # socket of events -> who is at the other end; empty: whoever connects
        self._gate: Any = None
        self._refused = 0.0
        self._known = {value.value: value.name for value in self.zmq.Event}

    def listen(self, host: str, port: int) -> int:
        """Let others connect, and return the port: a free one where it is 0.

        Raises
        ------
        InputError
            If the address cannot be had.
        """
        self._gate = self.context.socket(self.zmq.ROUTER)
        self._gate.bind("inproc://zeromq.zap.01")  # ZeroMQ asks here about each connection (RFC 27)
        self.poller.register(self._gate, self.zmq.POLLIN)
        server = self._socket(self.zmq.ROUTER, host)
        server.curve_server = True
        server.zap_domain = _DOMAIN
        server.curve_publickey, server.curve_secretkey = self._key.public, self._key.secret
        server.router_mandatory = True
        try:
            server.bind(f"tcp://{_bracketed(host)}:{port or '*'}")
        except self.zmq.ZMQError as error:
            raise InputError("", field="listen", problem=f"{host}:{port} cannot be had: {error.strerror}") from None
        self.server = server
        self.poller.register(server, self.zmq.POLLIN)
        self._watch(server, "")
        return int(server.last_endpoint.decode().rpartition(":")[2])

    def connect(self, name: str, address: str) -> None:
        """Begin to connect to another process of the run."""
        host, port = parse_address(address)
        client = self._socket(self.zmq.DEALER, host)
        client.curve_serverkey = self._key.public
        client.curve_publickey, client.curve_secretkey = self._key.public, self._key.secret
        client.reconnect_ivl, client.reconnect_ivl_max = 100, 1000
        self._watch(client, name)
        client.connect(f"tcp://{_bracketed(host)}:{port}")
        self.clients[name] = client
        self.poller.register(client, self.zmq.POLLIN)

    def _socket(self, kind: int, host: str) -> Any:
        socket = self.context.socket(kind)
        socket.linger = 500
        socket.ipv6 = ":" in host
        socket.maxmsgsize = self._largest + _ENCRYPTION
        socket.sndhwm = socket.rcvhwm = _QUEUED
        socket.heartbeat_ivl, socket.heartbeat_timeout = int(1000 * BEAT * 2), int(1000 * SILENCE)
        socket.handshake_ivl = int(1000 * _HANDSHAKE)
        return socket

    def _watch(self, socket: Any, name: str) -> None:
        event = self.zmq.Event
        wanted = event.DISCONNECTED | event.HANDSHAKE_FAILED_AUTH | event.HANDSHAKE_FAILED_PROTOCOL
        wanted |= event.HANDSHAKE_FAILED_NO_DETAIL | event.HANDSHAKE_SUCCEEDED
        monitor = socket.get_monitor_socket(wanted)
        self._monitors[monitor] = name
        self.poller.register(monitor, self.zmq.POLLIN)

    def wait(self, milliseconds: int) -> dict[Any, int]:
        """Return the sockets that have something; let those in who hold the run's key, and name others."""
        ready = dict(self.poller.poll(milliseconds))
        while self._gate in ready and (frames := self.received(self._gate)) is not None:
            self._admit([frame.bytes for frame in frames])
        return ready

    def _admit(self, frames: list[bytes]) -> None:
        """Answer ZeroMQ's question whether a connection may be made."""
        from zmq.utils import z85

        place = frames.index(b"") + 1  # before it is the way back
        version, request, domain, _, _, mechanism, *credentials = frames[place:]
        keys = [z85.encode(part) for part in credentials if len(part) == 32]
        is_known = (domain, mechanism, keys) == (_DOMAIN, b"CURVE", [self._key.public])
        if not is_known:
            self.refuse("its key is not this run's")
        status = [b"200", b"OK"] if is_known else [b"400", b"another key"]
        self._gate.send_multipart([*frames[:place], version, request, *status, b"", b""])

    def events(self, ready: dict[Any, int]) -> Iterator[tuple[str, str]]:
        """Yield what happened to connections: whose (empty: one that others made), and what in ZeroMQ's words."""
        for monitor, name in self._monitors.items():
            while monitor in ready:
                frames = self.received(monitor)
                if frames is None:
                    break
                event, _ = _EVENT.unpack(frames[0].bytes)
                yield name, self._known.get(event, "")

    def received(self, socket: Any) -> list[Any] | None:
        """Return the frames of the next message; None: there is none."""
        try:
            frames: list[Any] = socket.recv_multipart(self.zmq.NOBLOCK, copy=False)
        except self.zmq.Again:
            return None
        return frames

    def send(self, socket: Any, frames: list[Any], to: bytes | None = None) -> bool:
        """Send a message; return whether its queue has room and its receiver, if named by a server, is there."""
        head = [] if to is None else [to]
        try:
            socket.send_multipart([*head, *frames], self.zmq.NOBLOCK, copy=sum(map(len, frames)) < 1 << 16)
        except self.zmq.ZMQError:
            return False
        return True

    def refuse(self, reason: str) -> None:
        """Log that a connection was refused, which may be tried many times in a second."""
        if time.monotonic() - self._refused > _QUIET:
            self._refused = time.monotonic()
            self._log(f"refused a connection: {reason}")

    def close(self) -> None:
        """Close all, after what is queued has half a second to leave."""
        for socket in filter(None, (self.server, *self.clients.values())):
            socket.disable_monitor()
            socket.close()
        for monitor in self._monitors:
            monitor.close(0)
        if self._gate is not None:
            self._gate.close(0)
        self.context.term()


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and the port of ``HOST:PORT``, or ``[IPV6]:PORT``.

    Raises
    ------
    InputError
        If it is none.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise InputError("HOST:PORT", field="address", value=text)
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
