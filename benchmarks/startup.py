"""Wall time of whole processes: `python -m dnnopt --help`, and a small problem solved from the command line.

The first run of each command is not counted: it fills the disk cache. `python -c pass` is what Python itself takes.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from statistics import median

from common import add_json_option, print_table, write_json

COMMANDS = (
    "-c pass",
    "-c 'import dnnopt'",
    "-m dnnopt --help",
    "-m dnnopt solve squeezenet --platform pi4-wifi-nx-wan-t4",
)


def seconds(command: str) -> float:
    """Return the time that a process takes; stop where it fails."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *shlex.split(command)], capture_output=True, text=True)
    taken = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"python {command}: exit code {done.returncode}\n{done.stderr}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7, help="default: %(default)s")
    add_json_option(parser)
    options = parser.parse_args()
    results = []
    for command in COMMANDS:
        seconds(command)
        times = [seconds(command) for _ in range(options.repetitions)]
        results.append({"command": f"python {command}", "median": median(times), "min": min(times), "max": max(times)})
    rows = [[r["command"], *(f"{r[name]:.2f} s" for name in ("median", "min", "max"))] for r in results]
    print_table(["command", "median", "min", "max"], rows)
    write_json(options.json, results)


if __name__ == "__main__":
    main()
