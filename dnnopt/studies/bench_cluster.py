"""Tasks of a bench on the workers of a Dask scheduler: this process hands them out, and is told their results.

A worker runs a task as this machine would: in a process of its own, within the same limits (`solve_task`). No more
tasks are handed out than workers can run at once, so that a worker which dies takes nothing with it but what it was at.
A task whose worker dies or hangs goes to another one. Where the scheduler goes away, this process waits for it, and
hands out anew what has no result yet.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dnnopt.base.children import Child
from dnnopt.base.errors import InputError
from dnnopt.base.extras import optional
from dnnopt.base.machine import core_numbers, usable_cores, usable_memory
from dnnopt.base.numbers import counted
from dnnopt.base.versions import __version__
from dnnopt.studies.bench_progress import BenchProgress
from dnnopt.studies.bench_task import BenchTask, failed_result, fair_share, solve_task, threads_of

LOCAL = "local"  # stands for a scheduler of this process's own
_CONNECT = 10.0  # seconds in which a scheduler answers that is there
_PATIENCE = 300.0  # seconds to wait for a scheduler that has gone away
_ANSWER = 60.0  # seconds in which a scheduler, or a worker that has a result, answers
_LOOK = 1.0  # seconds between looks for new workers
_POLL = 0.05
_RETRIES = 2  # of a task that a worker could not even begin
_UNWANTED = "the task is not wanted any more"
_RUNNING = ("executing", "long-running")  # states of a task of a worker, while it is wanted
_JOB_NUMBERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")  # of batch systems, in the environment
_CLOSED = ("closing", "closed", "failed")  # states of a worker


@dataclass(frozen=True)
class _Worker:
    """What a worker says of itself, and of its machine; those with one `share` have the same processors and memory."""

    host: str
    share: tuple[str, ...]
    cores: int
    memory: int | None
    versions: dict[str, str]
    slots: int = 0


class _LostError(Exception):
    """There is no connection to the scheduler."""


def run_on_cluster(
    work: Sequence[BenchTask],
    scheduler: str,
    jobs: int,
    oversubscribe: bool,
    progress: BenchProgress,
    log: Callable[[str], None] | None,
) -> Generator[tuple[BenchTask, dict[str, Any]], None, None]:
    """Yield each task with the data of its result, which is nowhere written yet, as they end (see `run_all`).

    Raises
    ------
    InputError
        Where no scheduler answers, or workers have another version of dnnopt, Dask or Python, or fewer processors than
        their tasks have threads.
    """
    optional("distributed", "Dask's distributed", "cluster")
    local = scheduler == LOCAL
    tell = (lambda text: None) if local or log is None else log
    share = fair_share(jobs) if local else None  # the workers, which come one by one, will be as many
    left = dict(enumerate(work))
    with _quiet(), _started(scheduler, jobs) as (place, programs):
        seen, away = False, 0.0  # when it went away
        while left:
            try:
                with _connected(place) as client:
                    if away:
                        tell(f"the scheduler at {place} is there again")
                    seen, away = True, 0.0
                    yield from _Cluster(client, place, programs, left, share, oversubscribe, progress, tell).results()
            except _LostError as error:
                if not seen:
                    raise InputError("", field="scheduler", problem=str(error)) from None
                if not away:
                    tell(f"the scheduler at {place} has gone away: waiting for it")
                    away = time.monotonic()
                if local or time.monotonic() - away > _PATIENCE:
                    words = f"{error}; {counted(len(left), 'task')} left: the same command goes on from there"
                    raise InputError("", field="scheduler", problem=words) from None
                time.sleep(_LOOK)


class _Cluster:
    """The workers of a scheduler, and what they are at."""

    def __init__(
        self,
        client: Any,
        place: str,
        programs: Sequence[Child],
        left: dict[int, BenchTask],
        share: float | None,
        oversubscribe: bool,
        progress: BenchProgress,
        tell: Callable[[str], None],
    ) -> None:
        self._client, self._place, self._programs, self._left, self._share = client, place, programs, left, share
        self._oversubscribe, self._progress, self._tell = oversubscribe, progress, tell
        self._workers: dict[str, _Worker] = {}
        self._at: dict[Any, int] = {}  # futures, and the numbers of their tasks

    def results(self) -> Iterator[tuple[BenchTask, dict[str, Any]]]:
        """Yield tasks with the data of their results, until none is left.

        Raises
        ------
        _LostError
        """
        looked, waits = -_LOOK, False
        try:
            while self._left:
                if time.monotonic() - looked >= _LOOK:
                    self._look()
                    looked = time.monotonic()
                    if waits != (not self._workers):
                        waits = not waits
                        words = "has no workers yet: waiting for them" if waits else "has workers"
                        self._tell(f"the scheduler at {self._place} {words}")
                self._hand_out()
                yield from self._ended()
                time.sleep(_POLL)
        finally:
            for number in self._at.values():
                if number in self._left:
                    self._progress.stops(self._left[number])

    def _look(self) -> None:
        """See which workers there are, and look closely at new ones."""
        for program in self._programs:
            if program.poll() is not None:
                raise InputError("", field="scheduler", problem=f"a program of Dask ended: {program.returncode}")
        try:
            slots = self._client.nthreads(callback_timeout=_ANSWER)
        except Exception as error:  # whatever Dask raises
            raise _LostError(f"the scheduler at {self._place} does not answer: {_said(error)}") from None
        self._workers = {address: worker for address, worker in self._workers.items() if address in slots}
        new = [address for address in slots if address not in self._workers]
        if new:
            try:
                said = self._client.run(_about_worker, workers=new, on_error="return", callback_timeout=_CONNECT)
            except TimeoutError:  # one of them hangs: its scheduler will see
                return
            for address, about in said.items():
                if isinstance(about, _Worker):
                    self._workers[address] = replace(about, slots=slots[address])
                    _check_versions(address, about.versions)
                elif not isinstance(about, OSError):  # one that has just gone
                    raise InputError(
                        "", field="scheduler", problem=f"the worker at {address} cannot run dnnopt: {_said(about)}"
                    )
            self._check_cores()
        self._progress.slots = sum(worker.slots for worker in self._workers.values())

    def _check_cores(self) -> None:
        if self._oversubscribe:
            return
        threads = max(map(threads_of, self._left.values()))
        slots = self._slots_of_shares()
        for worker in self._workers.values():
            at_once, cores = slots[worker.share], worker.cores
            if at_once * threads > cores:
                each = counted(threads, "thread")
                words = (
                    f"the workers on {worker.host} run {counted(at_once, 'task')} at once, of {each} each, and may use"
                )
                fits = f"at most {cores // threads:,} at once fit" if threads <= cores else "none fits"
                raise InputError(
                    "", field="scheduler", problem=f"{words} {counted(cores, 'processor')}: {fits}; or oversubscribe"
                )

    def _slots_of_shares(self) -> dict[tuple[str, ...], int]:
        found: dict[tuple[str, ...], int] = {}
        for worker in self._workers.values():
            found[worker.share] = found.get(worker.share, 0) + worker.slots
        return found

    def _memory(self) -> float | None:
        """Return the bytes that a task may take on any of the machines."""
        if self._share is not None:
            return self._share
        slots = self._slots_of_shares()
        known = [worker.memory / slots[worker.share] for worker in self._workers.values() if worker.memory]
        return min(known, default=None)

    def _hand_out(self) -> None:
        """Give tasks to workers that have none."""
        free = self._progress.slots - len(self._at)
        if free <= 0:
            return
        given = set(self._at.values())
        for number, task in [(n, task) for n, task in self._left.items() if n not in given][:free]:
            path = Path(task.problem)
            content = path.read_bytes() if path.is_file() else None  # a worker may not see the file
            own = task if task.memory is not None else replace(task, memory=self._memory())
            key = f"dnnopt-{secrets.token_hex(8)}"
            try:
                future = self._client.submit(solve_remotely, own, content, key=key, pure=False, retries=_RETRIES)
            except Exception as error:
                raise _LostError(f"the scheduler at {self._place} takes no tasks: {_said(error)}") from None
            self._at[future] = number
            self._progress.starts(task)

    def _ended(self) -> Iterator[tuple[BenchTask, dict[str, Any]]]:
        """Yield the tasks that have ended; forget those that are to be handed out again."""
        for future, number in list(self._at.items()):
            status = future.status
            if status in ("pending", "lost"):  # lost: its worker died with the result, and another one is at it
                continue
            if status not in ("finished", "error"):
                raise _LostError(f"the scheduler at {self._place} has forgotten a task")
            task, data = self._left[number], None
            if status == "finished":
                with suppress(Exception):  # the worker has just gone, with the result
                    data = future.result(timeout=_ANSWER)
            else:
                why = _said(future.exception(timeout=_ANSWER))
                if _UNWANTED not in why:
                    data = failed_result(task, f"no worker could run it: {why}")
            del self._at[future]
            if data is None:
                self._progress.stops(task)
            else:
                del self._left[number]
                yield task, data
        if self._client.status != "running":
            raise _LostError(f"the connection to the scheduler at {self._place} broke")


def solve_remotely(task: BenchTask, content: bytes | None) -> dict[str, Any]:
    """Solve a task in a worker of Dask; return the data of its result.

    Parameters
    ----------
    task : BenchTask
    content : bytes, optional
        Of the problem's file, where it is no name in the library.

    Raises
    ------
    RuntimeError
        Where there is no result, for a reason that is not the problem's.
    """
    try:
        if content is None:
            return solve_task(task, _Unwanted())
        with tempfile.TemporaryDirectory(prefix="dnnopt-bench-") as folder:
            file = Path(folder, Path(task.problem).name)
            file.write_bytes(content)
            return solve_task(replace(task, problem=str(file)), _Unwanted())
    except KeyboardInterrupt:
        raise RuntimeError(_UNWANTED) from None
    except InputError as error:
        raise RuntimeError(str(error)) from None


class _Unwanted:
    """Says whether the task of this thread of a worker is not wanted any more: whoever waits for it has gone."""

    def __init__(self) -> None:
        from distributed import get_worker

        self._worker = get_worker()
        self._key = self._worker.get_current_task()

    def is_set(self) -> bool:
        """Return whether it is so."""
        task = self._worker.state.tasks.get(self._key)
        return task is None or task.state not in _RUNNING or self._worker.status.name in _CLOSED


def _about_worker() -> _Worker:
    """Return what the worker that this runs on has: jobs of a batch system have processors and memory of their own."""
    host = socket.gethostname()
    share = (host, str(core_numbers()), *(os.environ.get(name, "") for name in _JOB_NUMBERS))
    return _Worker(host, share, usable_cores(), usable_memory(), _versions())


def _versions() -> dict[str, str]:
    """Return what must be the same at both ends."""
    import distributed

    return {"dnnopt": __version__, "distributed": distributed.__version__, "Python": _python()}


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _check_versions(address: str, there: dict[str, str]) -> None:
    for name, here in _versions().items():
        if there.get(name) != here:
            words = f"the worker at {address} has {name} {there.get(name)}, not {here} as here"
            raise InputError("", field="scheduler", problem=words)


def _said(error: object) -> str:
    """Return the first line of what an error of Dask says."""
    if type(error).__name__ == "KilledWorker":
        return "all that tried died"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def _started(scheduler: str, jobs: int) -> Iterator[tuple[str, Sequence[Child]]]:
    """Yield where the scheduler is; where it is to be one of this machine, it runs meanwhile, with as many workers.

    The programs that were started are yielded, too.

    Raises
    ------
    InputError
        Where it does not start.
    """
    if scheduler != LOCAL:
        yield scheduler, ()
        return
    with tempfile.TemporaryDirectory(prefix="dnnopt-dask-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, "scheduler.json")
        common = ("--scheduler-file", str(file), "--no-dashboard")
        with _program(folder, "dask_scheduler", *common, "--host", "127.0.0.1", "--port", "0") as process:
            while not file.exists():
                if process.poll() is not None:
                    raise InputError(
                        "", field="scheduler", problem=f"Dask's scheduler does not start: {process.returncode}"
                    )
                time.sleep(_POLL)
            workers = ("--nworkers", str(jobs), "--nthreads", "1", "--memory-limit", "0")  # each task has a limit
            with _program(folder, "dask_worker", *common, *workers, "--local-directory", folder) as other:
                yield str(file), (process, other)


@contextmanager
def _program(folder: str, module: str, *words: str) -> Iterator[Child]:
    """Run one of Dask's programs meanwhile."""
    command = [sys.executable, "-m", f"distributed.cli.{module}", *words]
    nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with Child(command, leftovers=[folder], env=os.environ | {"TMPDIR": folder}, **nothing) as process:
        try:
            yield process
        finally:
            process.end()


@contextmanager
def _connected(place: str) -> Iterator[Any]:
    """Yield a client of a scheduler.

    Raises
    ------
    _LostError
    """
    from distributed import Client

    address = _address(place)
    try:
        with ThreadPoolExecutor(1) as thread:  # a client would wait forever for what listens and says nothing
            thread.submit(asyncio.run, asyncio.wait_for(_greet(address), _CONNECT)).result()
        with warnings.catch_warnings(action="ignore"):  # of other versions: these are looked at
            client = Client(address, timeout=_CONNECT, set_as_default=False, name="dnnopt-bench")
    except Exception as error:
        raise _LostError(f"no Dask scheduler answers at {place} ({_said(error)})") from None
    try:
        yield client
    finally:
        with suppress(Exception):  # what it has handed out is not wanted any more
            client.close(timeout=_CONNECT)


async def _greet(address: str) -> None:
    from distributed import Security, rpc

    async with rpc(address, timeout=_CONNECT, connection_args=Security().get_connection_args("client")) as there:
        await there.identity(n_workers=0)


def _address(place: str) -> str:
    """Return the address of a scheduler, which may be in a file that it has written.

    Raises
    ------
    InputError
        Where it is neither.
    """
    text = place
    if Path(place).is_file():
        try:
            text = json.loads(Path(place).read_text(encoding="utf-8"))["address"]
        except (OSError, ValueError, KeyError, TypeError):
            raise _LostError(f"{place} is no file that a Dask scheduler has written") from None
    host, _, port = text.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(
            f"HOST:PORT, a file that a Dask scheduler has written, or {LOCAL!r}", field="scheduler", value=place
        )
    return text


@contextmanager
def _quiet() -> Iterator[None]:
    """Have Dask write nothing to the terminal meanwhile: what matters is told here, in one line."""
    known = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    loud = [logger for logger in known if not logger.disabled]
    for logger in loud:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in loud:
            logger.disabled = False
