"""Mutations of every kind of file and text that is read: each is refused with one message, or read and used.

What is read and tiny is compiled, judged, shown and solved for a second. Anything but an InputError is a failure; so
is more than 10 s of a processor or 1 GiB of memory. Mutation N of a kind is always the same one: `--first N --count 1`
makes it again, `--keep FOLDER` writes those that fail there.

Each kind has processes of its own, whose memory is limited and which are ended where they do not answer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from common import add_json_option, print_table, write_json
from kinds import KINDS, Kind, kind_of

from dnnopt.base.errors import InputError

SECONDS = 10.0
BYTES = 2**30
SILENCE = 120.0  # wall-clock seconds without an answer, on a machine that others use too
REFUSED, READ = "refused", "read"


@dataclass(frozen=True)
class Case:
    """What became of a mutation: refused, read, or how it failed; seconds of the processor, bytes at most so far."""

    number: int
    outcome: str
    seconds: float
    peak: int


def mutation(kind: Kind, number: int) -> bytes:
    """Return a mutation."""
    return kind.make(Random(f"{kind.name} {number}"))


def check(kind: Kind, number: int, folder: Path) -> Case:
    """Read a mutation, and use it where it is read."""
    path = folder / f"mutation{kind.ending}"
    path.write_bytes(mutation(kind, number))
    begun = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.use(path)
        outcome = READ
    except InputError as error:
        outcome = REFUSED if str(error).isprintable() else "a message that is not printable"
    except Exception as error:
        outcome = _described(error)
    seconds = time.process_time() - begun
    if seconds > SECONDS and outcome in (REFUSED, READ):
        outcome = f"took {seconds:.1f} s"
    return Case(number, outcome, seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _described(error: BaseException) -> str:
    """Return what was raised, and the last line of the package, or of what it called, that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/dnnopt/" in frame.filename or "/formulations/" in frame.filename]
    place = (own or frames)[-1]
    file = "/".join(Path(place.filename).parts[-2:])
    return f"{type(error).__name__} at {file}:{place.lineno}: {str(error)[:100]!r}"


def _work(name: str, numbers: range, answers: Connection) -> None:
    """Check mutations, one after the other, in a process of its own."""
    kind = kind_of(name)
    kind.warm_up()
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    with tempfile.TemporaryDirectory(prefix="dnnopt-fuzz-") as folder:
        for number in numbers:
            answers.send(check(kind, number, Path(folder)))


def run(name: str, numbers: range) -> Iterator[Case]:
    """Yield what becomes of each mutation of a kind; a process that dies or hangs is replaced."""
    context = multiprocessing.get_context("spawn")
    while numbers:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(name, numbers, sender), daemon=True)
        process.start()
        sender.close()
        try:
            while numbers and receiver.poll(SILENCE):
                yield receiver.recv()
                numbers = numbers[1:]
            if numbers:
                yield Case(numbers[0], "no answer", SILENCE, 0)
                numbers = numbers[1:]
        except EOFError:
            process.join()
            yield Case(numbers[0], f"the process ended with {process.exitcode}", 0.0, 0)
            numbers = numbers[1:]
        finally:
            process.kill()
            process.join()


def main() -> int:
    """Print the table; return 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--count", type=int, default=2000, help="mutations of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--keep", type=Path, help="folder for the mutations that fail")
    add_json_option(parser)
    options = parser.parse_args()
    rows, failures, results = [], [], []
    for name in options.kinds:
        cases = []
        for case in run(name, range(options.first, options.first + options.count)):
            cases.append(case)
            if case.outcome not in (REFUSED, READ):
                print(f"{name} {case.number}: {case.outcome}", file=sys.stderr, flush=True)
                if options.keep:
                    kind = kind_of(name)
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{name.replace(' ', '-')}-{case.number}{kind.ending}").write_bytes(
                        mutation(kind, case.number)
                    )
        outcomes = Counter(case.outcome if case.outcome in (REFUSED, READ) else "failed" for case in cases)
        slowest, peak = max(case.seconds for case in cases), max(case.peak for case in cases)
        failures += [case for case in cases if case.outcome not in (REFUSED, READ)]
        counts = [str(outcomes[outcome]) for outcome in (REFUSED, READ, "failed")]
        rows.append([name, str(len(cases)), *counts, f"{slowest:.2f} s", f"{peak / 2**20:.0f} MiB"])
        results.append(
            dict(zip(("kind", "mutations", "refused", "read", "failed", "slowest", "peak"), rows[-1], strict=True))
        )
    print_table(["kind", "mutations", "refused", "read", "failed", "slowest", "peak memory"], rows)
    write_json(options.json, results)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
