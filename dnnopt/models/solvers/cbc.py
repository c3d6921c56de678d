"""CBC, a program of its own: an .mps file goes in, a log and a solution file come out."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np

from dnnopt.base.children import Child
from dnnopt.base.errors import InputError
from dnnopt.base.programs import NO_CBC, find_cbc
from dnnopt.models.arrays import LinearArrays
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.highs import pass_model, tolerance_for
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome, Values

_TREE_ROW = re.compile(r"^\W*\d+ +\d+ +\d+ +(?P<best>\S+) .* (?P<bound>\S+) +\S+% +[\d.]+$")
# Of releases 2.10: rows of the search, solutions, and the relaxation, whose value is printed to six digits.
_OLD_TREE_ROW = re.compile(r"^Cbc0010I After .* (?P<best>\S+) best solution, best possible (?P<bound>\S+) ")
_OLD_SOLUTION = re.compile(r"^Cbc0012I Integer solution of (?P<best>\S+) found")
_OLD_RELAXATION = re.compile(r"^Continuous objective value is (?P<bound>\S+) ")
_STAR = re.compile(r"^ ★ .* (?P<best>[-+.\de]+) +[\d.]+$")
# Of the gap asked for, so much is left for rounding (but never more than half).
_ROUNDING = 5e-7
# Seconds that CBC gets to end by itself when it should.
_GRACE = 3.0
# The log gives bounds to six significant digits (the newest releases) or three decimals, rounded either way.
_PRINTED = 5e-6
# Where presolve or the first relaxation proves it, the log ends without a result.
_INFEASIBLE = re.compile(
    r"^\W*(Bound tightening: infeasib|Row reductions: infeasib|Pre-?processing.*infeasib|Problem is infeasible)",
    re.MULTILINE | re.IGNORECASE,
)
_RESULT = re.compile(r"^(Result|Lower bound|Enumerated nodes)(?: - |: *)(.*)$", re.MULTILINE)


def command_line(
    program: str, model: Path, solution: Path, start: Path | None, limits: Limits, tolerance: float
) -> list[str]:
    """Return the command line. Gap 0 apart from the relative one asked for: CBC's own are absolute, and wide."""
    words = [program, str(model)]
    if limits.time_limit is not None:
        words += ["-sec", f"{limits.time_limit:.3f}", "-timeMode", "elapsed"]
    words += ["-ratio", repr(_ratio(limits.gap)), "-allow", "0", "-increment", "1e-12"]
    words += [
        "-primalTolerance",
        repr(tolerance),
        "-dualTolerance",
        repr(tolerance),
        "-integerTolerance",
        repr(tolerance),
    ]
    words += ["-randomCbcSeed", str(limits.seed), "-threads", str(limits.processors if limits.processors > 1 else 0)]
    if start is not None:
        words += ["-mipstart", str(start)]
    return [*words, "-log", "1", "-solve", "-solution", str(solution), "-quit"]


def solve(model: LinearModel, limits: Limits, start: Values | None, control: Control) -> Outcome:
    """Solve a linear model.

    Raises
    ------
    InputError
        If there is no CBC.
    """
    cbc = find_cbc()
    if cbc is None:
        raise InputError("", field="solver", problem=NO_CBC)
    arrays = model.arrays()
    clock = Clock(limits.time_limit)
    with tempfile.TemporaryDirectory(prefix="dnnopt-cbc-") as folder:
        mps, solution, log = (Path(folder) / name for name in ("model.mps", "out.sol", "log.txt"))
        pass_model(arrays).writeModel(str(mps))
        start_file = None
        if start is not None:
            start_file = Path(folder) / "start.sol"
            nonzero = np.flatnonzero(start).tolist()
            lines = [f"{column} c{column} {float(start[column])!r} 0" for column in nonzero]
            start_file.write_text("\n".join(["start", *lines]) + "\n", encoding="utf-8")
        left = limits.within(clock.left())
        output, killed = _run(
            command_line(cbc.path, mps, solution, start_file, left, tolerance_for(arrays)), folder, left, control
        )
        log.write_text(output, encoding="utf-8")
        if control.log is not None:
            Path(control.log).write_text(output, encoding="utf-8")
        return _outcome(output, killed, solution, arrays, limits, control)


def _run(words: list[str], folder: str, limits: Limits, control: Control) -> tuple[str, bool]:
    """Run CBC with its files in a folder; return its log, and whether it was killed.

    CBC looks at the clock and at signals between nodes alone. Where that takes too long it is killed, which loses its
    plan but not the bounds that it has logged.
    """
    lines: list[str] = []

    def read(stream: IO[str]) -> None:
        for line in stream:
            lines.append(line)
            _report(line, control)

    options: dict[str, Any] = {"text": True, "encoding": "utf-8", "errors": "replace"}
    with Child(words, leftovers=[folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as process:
        reader = threading.Thread(target=read, args=[process.stdout], daemon=True)
        reader.start()
        late = Clock(None if limits.time_limit is None else limits.time_limit + _GRACE + 0.05 * limits.time_limit)
        stopping: Clock | None = None
        try:
            while reader.is_alive():
                reader.join(0.05)
                if control.stop.is_set() and stopping is None:
                    process.send_signal(signal.SIGINT)
                    stopping = Clock(_GRACE)
                if late.expired() or (stopping is not None and stopping.expired()):
                    process.kill()
            process.wait()
        finally:
            process.kill()
    return "".join(lines), process.returncode == -signal.SIGKILL


def _report(line: str, control: Control) -> None:
    """Report what a line of the log says: a row of the search, a heuristic's solution, or the relaxation's value."""
    for pattern in (_TREE_ROW, _STAR, _OLD_TREE_ROW, _OLD_SOLUTION, _OLD_RELAXATION):
        if match := pattern.match(line.rstrip()):
            found = match.groupdict()
            control.report(_number(found.get("best")), _printed(found.get("bound")))


def _outcome(
    output: str, killed: bool, solution: Path, arrays: LinearArrays, limits: Limits, control: Control
) -> Outcome:
    facts = dict(_RESULT.findall(output))
    result = facts.get("Result", "")
    nodes = int(_number(facts.get("Enumerated nodes")) or 0)
    values = _read_solution(solution, len(arrays.cost))
    bound = _printed(facts.get("Lower bound"))
    if "infeasible" in result.lower() or (not result and _INFEASIBLE.search(output)):
        return Outcome("infeasible", nodes=nodes)
    if "unbounded" in result.lower():
        return Outcome("unbounded", nodes=nodes)
    if values is None:
        if control.stop.is_set():
            return Outcome("interrupted", bound=bound, nodes=nodes)
        status = "no_solution" if result or killed else "error"
        return Outcome(status, bound=bound, nodes=nodes, message="" if result else f"CBC: {output[-300:].strip()}")
    # The objective in the log can be 1e-5 too low.
    objective = float(arrays.cost @ values) + arrays.offset
    if result.startswith("Optimal solution found"):
        least = objective - _ratio(limits.gap) * abs(objective)
        return Outcome("optimal", values, objective, least if bound is None else max(least, bound), nodes)
    return Outcome("interrupted" if control.stop.is_set() else "feasible", values, objective, bound, nodes)


def _printed(text: str | None) -> float | None:
    """Return what a bound in the log is at least."""
    bound = _number(text)
    if text is None or bound is None:
        return None
    digits, _, power = text.split()[0].lower().partition("e")
    last_place = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
    # Zeros at the end may have been left out, or not: what is less exact counts.
    return bound - max(_PRINTED * abs(bound), 0.5 * last_place if "." in digits else 0.0)


def _ratio(gap: float) -> float:
    return gap - min(0.5 * gap, _ROUNDING)


def _number(text: str | None) -> float | None:
    try:
        value = float(text.split()[0]) if text else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e49 else None


def _read_solution(path: Path, columns: int) -> Values | None:
    """Return the values in a solution file: a status line, then `index name value reduced-cost`."""
    if not path.exists():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or "infeasible" in lines[0].lower() or "no feasible" in lines[0].lower():
        return None
    values = np.zeros(columns)
    for line in lines[1:]:
        words = line.replace("**", " ").split()
        if len(words) >= 3:
            values[int(words[0])] = float(words[2])
    return values
