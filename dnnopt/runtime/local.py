"""All devices of a run on this machine: a process for each, on a core of its own where there are enough."""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dnnopt.base.children import Child
from dnnopt.base.errors import InputError
from dnnopt.base.machine import core_numbers
from dnnopt.problem.manifest import Manifest
from dnnopt.problem.platforms import Platform
from dnnopt.runtime.driving import RunError
from dnnopt.runtime.keys import RunKey, write_key
from dnnopt.runtime.links import make_clocks

_STARTING = 600.0  # seconds: a large model takes a while to load
_ENDING = 5.0
READY = "listening on "


class LocalDevices:
    """Processes of this machine, one for each device of a run; they end when this one does.

    Attributes
    ----------
    addresses : dict of str to str
    key : RunKey
    cores : dict of str to int
        Of devices with pieces, where each has one of its own.
    """

    def __init__(self, key: RunKey) -> None:
        self.key, self.addresses = key, dict[str, str]()
        self.cores: dict[str, int] = {}
        self.processes: dict[str, Child] = {}

    def check(self) -> None:
        """Raise an error that names a device whose process has ended."""
        for device, process in self.processes.items():
            code = process.poll()
            if code is not None:
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                raise RunError("", problem=f"the process of {device} {how}")


@contextmanager
def local_devices(
    folder: Path,
    manifest: Manifest,
    *,
    platform: Platform | None = None,
    threads: int = 1,
    level: str = "basic",
    pin: bool = True,
    log: Callable[[str], None] | None = None,
) -> Iterator[LocalDevices]:
    """Start a process for each device of some pieces, and end them afterwards, whatever happens.

    Parameters
    ----------
    folder, manifest : Path, Manifest
    platform : Platform, optional
        Whose links they imitate.
    threads, level : int, str
        As of `dnnopt.runtime.serving.DeviceServer`.
    pin : bool
        Give each device with pieces a core of its own, if there are as many.
    log : callable, optional
        Called with the lines that the processes write to their error streams, once they have ended.

    Raises
    ------
    RunError
        If one does not start.
    """
    place = Path(tempfile.mkdtemp(prefix="dnnopt-run-"))
    devices = LocalDevices(write_key(place / "key"))
    words = [sys.executable, "-m", "dnnopt", "serve-piece", str(folder.absolute()), "--key", str(place / "key")]
    words += ["--threads", str(threads), "--level", level]
    if platform is not None:
        make_clocks(place / "clocks", platform)
        words += ["--clocks", str(place / "clocks")]
    working = list(dict.fromkeys(piece.device for piece in manifest.pieces))
    cores = core_numbers()
    if pin and len(working) * threads <= len(cores):
        devices.cores = {device: cores[number * threads] for number, device in enumerate(working)}
    try:
        for number, device in enumerate(manifest.devices()):
            own = [*words, "--device", device]
            if device in devices.cores:
                first = devices.cores[device]
                own += ["--cores", ",".join(str(core) for core in cores[cores.index(first) :][:threads])]
            with (place / f"{number}.log").open("wb") as errors:
                devices.processes[device] = Child(
                    own, leftovers=[place], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
                )
        for device, process in devices.processes.items():
            devices.addresses[device] = _address(
                device, process, place / f"{list(devices.processes).index(device)}.log"
            )
        yield devices
    finally:
        _end(list(devices.processes.values()))
        for number, device in enumerate(devices.processes):
            for line in _lines(place / f"{number}.log"):
                (log or (lambda text: None))(f"{device}: {line}")
        shutil.rmtree(place, ignore_errors=True)


def _address(device: str, process: Child, errors: Path) -> str:
    """Return the address that a process says it listens on."""
    stream: Any = process.stdout
    text = b""
    limit = time.monotonic() + _STARTING
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not text.endswith(b"\n"):
            if not selector.select(max(0.0, limit - time.monotonic())):
                raise RunError("", problem=f"the process of {device} did not start within {_STARTING:g} s")
            part = os.read(stream.fileno(), 4096)
            if not part:
                process.wait(_ENDING)
                reason = "; ".join(_lines(errors)[-3:]) or "no reason given"
                raise RunError("", problem=f"the process of {device} ended before it began: {reason}")
            text += part
    return text.decode().strip().removeprefix(READY)


def _lines(path: Path) -> list[str]:
    try:
        return [line.removeprefix("dnnopt: ") for line in path.read_text("utf-8", "replace").splitlines() if line]
    except OSError:
        return []


def _end(processes: list[Child]) -> None:
    """Let processes end by themselves, then ask them to, then kill them."""
    for seconds, ask in ((_ENDING / 5, Child.terminate), (_ENDING, Child.kill)):
        limit = time.monotonic() + seconds
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, limit - time.monotonic()))
        for process in processes:
            if process.poll() is None:
                ask(process)
    for process in processes:
        process.__exit__(None, None, None)


def check_local() -> None:
    """Refuse systems that have no way to end processes with their parent.

    Raises
    ------
    InputError
        On Windows.
    """
    if not hasattr(os, "fork"):
        raise InputError(
            "", field="--local", problem="not on this system: a killed run would leave its processes behind"
        )
