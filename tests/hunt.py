"""The hunt: new random problems through everything that answers them, and new examples for all properties, for a time.

    python tests/hunt.py run                      what `make hunt` does
    python tests/hunt.py again FILE "WAY"         ask once more what a mismatch was about
    python tests/hunt.py shrink FILE "WAY"        make its problem smaller, as long as it stays a mismatch
    python tests/hunt.py report                   the counts of all runs so far

Every mismatch is a problem file in runs/hunt/, with a text beside it that says what came out and what is right.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Event, Lock

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "runs" / "hunt"
BATCH = 20  # problems that one process looks at
MUTATIONS = 20  # of each kind of file, at a time
HANGS = 300.0  # seconds without a word from a process
AGAIN = ".venv/bin/python tests/hunt.py again"
STOP = Event()  # set by Ctrl-C: what was found is still printed
FUZZ = ROOT / "benchmarks" / "fuzz.py"


class Log:
    """What processes found; printed as tables at the end."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.mismatches: list[str] = []
        self._lock = Lock()

    def add(self, counts: dict[str, int], mismatches: list[str]) -> None:
        with self._lock:
            self.counts.update(counts)
            self.mismatches += mismatches
            for words in mismatches:
                print(words, flush=True)

    def report(self) -> None:
        parts: dict[str, dict[str, int]] = defaultdict(dict)
        for words, count in sorted(self.counts.items()):
            group, part, said = words.split("|")
            parts[f"{group}|{part}"][said] = count
        last = ""
        for name, row in parts.items():
            group, part = name.split("|")
            if group != last:
                print(f"\n{group}")
                last = group
            cells = ", ".join(f"{count:,} {said}".rstrip() for said, count in sorted(row.items(), key=lambda x: -x[1]))
            print(f"  {part:<44} {cells}")


def over(until: float) -> bool:
    """Return whether the hunt is over."""
    return STOP.is_set() or time.time() > until


# A batch: one process, some problems.


def draw(number: int, count: int) -> list:
    """Return random problems; the same number gives the same ones.

    Hypothesis begins with the simplest problem there is and changes what it has drawn: each third is taken.
    """
    import special
    from choice_problems import problems_with_choices
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st
    from strategies import problems

    usual = {"most_placements": 81, "largest_spread": 9}
    placed = usual | {"executions": ("sequential", "parallel", "pipelined", "call")}
    chosen = ("sequential", "parallel", "pipelined")
    scheduled = {"executions": ("scheduled",), "most_placements": 27, "largest_spread": 9}
    kinds = [
        *[problems(**placed, own_metrics=True)] * 3,
        *[problems(**scheduled, own_metrics=True)] * 2,
        problems(**placed, own_metrics=True, priorities=2),
        special.weighed(**placed),
        special.alike(**placed | {"executions": chosen}),
        special.alike(**scheduled),
        *[special.alike_in_memory(executions=chosen)] * 2,
        *[special.pipelines(**usual)] * 2,
        *(
            kind(**usual)
            for kind in (special.chains, special.two_sides, special.followed, special.in_memory, special.linear)
        ),
        *[problems_with_choices(executions=chosen)] * 7,
        problems_with_choices(executions=chosen, priorities=2),
        *[special.chosen()] * 2,
        *[problems_with_choices(executions=("sequential", "pipelined"), always=("blocks",))] * 3,
    ]
    several = st.sampled_from(kinds).flatmap(lambda kind: kind)
    found = []

    @seed(number)
    @settings(
        max_examples=1 + 3 * count, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(several)
    def collect(problem) -> None:
        found.append(problem)

    collect()
    return found[1::3]


def batch(number: int, count: int) -> None:
    """Ask everything about some problems; print the counts as JSON."""
    from hunt_checks import ask, features, some_ways
    from hunt_truth import Truth
    from oracle_times import TooManyOrdersError

    from dnnopt.problem.problem import write_problem

    current = FOLDER / "running" / f"{number}.json"
    for position, problem in enumerate(draw(number, count)):
        counts: Counter[str] = Counter()
        try:
            truth = Truth(problem)
        except TooManyOrdersError:
            print(json.dumps({"counts": {"problems|left out|too many orders": 1}, "mismatches": []}), flush=True)
            continue
        write_problem(problem, current)
        found, wrong = [], {}
        for name, way in some_ways(problem, Random(f"{number} {position}")):
            current.with_suffix(".txt").write_text(name)
            said, words = ask(way, problem, truth)
            found.append(said)
            counts[f"answers|{name}|{said}"] += 1
            if words:
                wrong[name] = words
        mismatches = []
        if wrong:
            path = FOLDER / f"{number}-{position}.json"
            write_problem(problem, path)
            path.with_suffix(".txt").write_text("\n".join(f"{name}: {words}" for name, words in wrong.items()))
            name, words = next(iter(wrong.items()))
            more = f" (and {len(wrong) - 1} more, see {path.stem}.txt)" if len(wrong) > 1 else ""
            mismatches.append(f'{name}: {words.strip().splitlines()[-1]}{more}\n  {AGAIN} {path} "{name}"')
        kind = "infeasible" if truth.infeasible else "feasible"
        counts[f"problems|all|{kind}"] += 1
        for feature in set(features(problem)):
            group, _, part = feature.partition(" ")
            counts[f"{group}|{part}|problems"] += 1
            counts[f"{group}|{part}|answers"] += sum(said != "refused" for said in found)
            if wrong:
                counts[f"{group}|{part}|MISMATCH"] += len(wrong)
        print(json.dumps({"counts": counts, "mismatches": mismatches}), flush=True)


def run_batch(log: Log, number: int, until: float) -> None:
    """Run a batch in a process of its own: it may crash or hang, which is a mismatch too."""
    running = FOLDER / "running"
    running.mkdir(parents=True, exist_ok=True)
    current, said, errors = (running / f"{number}.{ending}" for ending in ("json", "said", "errors"))
    with said.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, __file__, "batch", str(number)], cwd=ROOT, stdout=out, stderr=err, start_new_session=True
        )
    stopped = hangs = ended = False
    heard, rest = time.monotonic(), ""
    with said.open() as reader:
        while not ended:
            time.sleep(0.5)
            ended = process.poll() is not None
            *lines, rest = (rest + reader.read()).split("\n")
            for line in lines:
                heard = time.monotonic()
                log.add(**json.loads(line))
            stopped, hangs = over(until), time.monotonic() - heard > HANGS
            if not ended and (stopped or hangs):
                process.kill()
                process.wait()
                break
    if hangs or (ended and process.returncode not in (0, -signal.SIGTERM)):
        name = current.with_suffix(".txt").read_text() if current.exists() else "draw"
        path = FOLDER / f"{number}-crash.json"
        if current.exists():
            current.rename(path)
        reason = "no word for minutes" if hangs else f"the process ended with {process.returncode}"
        path.with_suffix(".txt").write_text(f"{name}\n{errors.read_text()[-2000:]}\n{reason}\n")
        log.add(
            {f"answers|{name}|MISMATCH": 1},
            [f'{name}: {reason}\n  {AGAIN} {path} "{name}"'],
        )
    for path in (current, current.with_suffix(".txt"), said, errors):
        path.unlink(missing_ok=True)


# Properties: the tests' own, with other examples.


def until_end(command: list[str], until: float, **variables: str) -> tuple[int, str] | None:
    """Run a command; return its exit code and what it said, or None where the hunt is over first."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    while True:
        try:
            said, _ = process.communicate(timeout=0.5)
            return process.returncode, said
        except subprocess.TimeoutExpired:
            if over(until):
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return None


def run_properties(log: Log, path: Path, number: int, until: float) -> None:
    """Run the properties of one test file with new examples."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=hunt",
        f"--hypothesis-seed={number}", str(path.relative_to(ROOT)),
    ]  # fmt: skip
    name, ended = path.stem, until_end(command, until, HUNT_NUMBER=str(number))
    if ended is None:
        return
    code, said = ended
    if code == 0:
        log.add({f"properties|{name}|runs": 1}, [])
        return
    text = FOLDER / f"{number}-{name}.txt"
    again = f"HUNT_NUMBER={number} {' '.join(command)}"
    text.write_text(f"{again}\n{said}")
    log.add({f"properties|{name}|MISMATCH": 1}, [f"{name}: see {text}\n  {again}"])


def run_fuzz(log: Log, number: int, until: float) -> None:
    """Read some mutations of each kind of file."""
    command = [sys.executable, str(FUZZ), "--first", str(number), "--count", str(MUTATIONS)]
    ended = until_end([*command, "--keep", str(FOLDER / "files")], until)
    if ended is not None:
        code, said = ended
        wrong = [f"fuzz: {said}\n  {' '.join(command)}"] if code else []
        log.add({f"files|mutations|{'MISMATCH' if code else 'runs'}": 1}, wrong)


def hunt(minutes: float, seed: int, jobs: int, only: str | None) -> int:
    """Hunt for some minutes; return the exit code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    began = time.time()
    until, log = began + 60 * minutes, Log()
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if "@given" in path.read_text()]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: STOP.set())
    print(f"hunting for {minutes:g} minutes, seed {seed}, {jobs} at a time", flush=True)

    def work(job: int) -> None:
        turn = job
        while not over(until):
            number = seed * 1_000_000 + turn
            kind = only or ("properties" if turn // jobs % 3 == 2 else "problems")
            if only is None and turn // jobs % 20 == 10 and FUZZ.exists():
                kind = "fuzz"
            if kind == "problems":
                run_batch(log, number, until)
            elif kind == "fuzz":
                run_fuzz(log, number, until)
            else:
                run_properties(log, Random(number).choice(files), number, until)
            turn += jobs

    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(work, job) for job in range(jobs)]:
            done.result()
    log.counts["hunt|seconds|"] = round(time.time() - began)
    log.report()
    logs = FOLDER / "logs"
    logs.mkdir(exist_ok=True)
    (logs / f"{int(began)}.json").write_text(json.dumps(log.counts))
    print(f"\n{len(log.mismatches)} problems, properties or files went wrong")
    return 1 if log.mismatches else 0


def again(path: str, name: str) -> int:
    """Ask one way about one problem; return the exit code."""
    from hunt_checks import ask, ways
    from hunt_truth import Truth

    from dnnopt.problem.problem import read_problem

    problem = read_problem(path)
    said, wrong = ask(dict(ways(problem))[name], problem, Truth(problem))
    print(f"{name}: {said}\n{wrong}")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--minutes", type=float, default=float(os.environ.get("HUNT_MINUTES", "30")))
    run.add_argument("--seed", type=int, default=int(os.environ.get("HUNT_SEED") or time.time()))
    run.add_argument("--jobs", type=int, default=int(os.environ.get("HUNT_JOBS") or os.cpu_count() or 1))
    run.add_argument("--only", choices=["problems", "properties", "fuzz"])
    commands.add_parser("batch").add_argument("number", type=int)
    for word in ("again", "shrink"):
        command = commands.add_parser(word)
        command.add_argument("file")
        command.add_argument("way")
    commands.add_parser("report")
    chosen = parser.parse_args()
    if chosen.command == "run":
        return hunt(chosen.minutes, chosen.seed, chosen.jobs, chosen.only)
    if chosen.command == "batch":
        batch(chosen.number, BATCH)
        return 0
    if chosen.command == "report":
        log = Log()
        for path in (FOLDER / "logs").glob("*.json"):
            log.add(json.loads(path.read_text()), [])
        log.report()
        return 0
    if chosen.command == "shrink":
        from hunt_shrink import shrink_file

        shrink_file(chosen.file, chosen.way)
        return 0
    return again(chosen.file, chosen.way)


if __name__ == "__main__":
    sys.exit(main())
