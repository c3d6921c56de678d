"""Which extras can be installed where: asks a resolver for wheels alone, and prints the table of installing.md.

Run it as ``python docs/installable.py`` after a change of the dependencies; it needs ``uv`` (``pip install uv``) and
asks the package index. With ``-v``, the reasons of the resolver.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
_TRIES = 3  # the index may be slow to answer
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
OPTIONAL = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
EXTRAS = [name for name in OPTIONAL if name != "dev"]
# Extras that `all` has on some systems alone.
CONDITIONAL = [name for name in EXTRAS if any(re.search(rf"[\[,]{name}[\],].*;", needed) for needed in OPTIONAL["all"])]


@dataclass(frozen=True)
class Machine:
    """An operating system and a processor, by the resolver's name; of macOS, its release."""

    title: str
    platform: str
    macos: str = ""


MACHINES = (
    Machine("Linux, x86-64 (glibc 2.28)", "x86_64-manylinux_2_28"),
    Machine("Linux, ARM (glibc 2.28)", "aarch64-manylinux_2_28"),
    *(
        Machine(f"macOS {release}, {title}", f"{processor}-apple-darwin", f"{release}.0")
        for release in (13, 14, 15)
        for title, processor in (("Apple silicon", "aarch64"), ("Intel", "x86_64"))
    ),
    Machine("Windows, x86-64", "x86_64-pc-windows-msvc"),
)


def refusal(machine: Machine, python: str, extra: str) -> str:
    """Return why the package cannot be installed with an extra (none: ``""``); empty where it can."""
    words = ["uv", "pip", "compile", "--quiet", "--only-binary", ":all:", "--python-platform", machine.platform]
    words += ["--python-version", python, *(["--extra", extra] if extra else []), str(PROJECT)]
    environment = os.environ | ({"MACOSX_DEPLOYMENT_TARGET": machine.macos} if machine.macos else {})
    for _ in range(_TRIES):
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        if done.returncode == 0:
            return ""
        if "No solution found" in done.stderr:
            return re.sub(r"\s+", " ", done.stderr)
    raise OSError(done.stderr)


def refusals(machine: Machine, python: str) -> dict[str, str]:
    """Return for each extra (none: ``""``) that cannot be installed the reason; most are tried together."""
    together = refusal(machine, python, "all")
    alone = ["", *EXTRAS] if together else CONDITIONAL
    reasons = {extra: refusal(machine, python, extra) for extra in alone}
    return {extra: reason for extra, reason in reasons.items() if reason}


def cell(refused: dict[str, str]) -> str:
    """Return what can be installed, of the reasons why extras cannot."""
    if "" in refused:
        return "no"
    extras = ", ".join(f"`{extra}`" for extra in refused if extra != "all")
    return f"without {extras}" if "all" in refused else f"`all`, not {extras}" if extras else "`all`"


def main() -> None:
    """Print the table in Markdown."""
    if shutil.which("uv") is None:
        sys.exit("uv is not installed: pip install uv")
    print("| |" + "".join(f" Python {python} |" for python in PYTHONS))
    print("|---|" + "---|" * len(PYTHONS))
    with ThreadPoolExecutor(8) as pool:
        asked = {(one, python): pool.submit(refusals, one, python) for one in MACHINES for python in PYTHONS}
        for machine in MACHINES:
            cells = []
            for python in PYTHONS:
                refused = asked[machine, python].result()
                cells.append(cell(refused))
                if "-v" in sys.argv[1:]:
                    print(*(f"{extra}: {reason}" for extra, reason in refused.items()), sep="\n", file=sys.stderr)
            print(f"| {machine.title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
