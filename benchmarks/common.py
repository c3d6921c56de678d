"""What the benchmarks share: how results are printed and kept."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dnnopt.base.versions import versions


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        print("| " + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + " |")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``."""
    parser.add_argument("--json", metavar="FILE", help="write the results there too")


def write_json(path: str | None, results: Any) -> None:
    """Write the results and the versions they were measured with."""
    if path is not None:
        Path(path).write_text(json.dumps({"versions": versions(), "results": results}, indent=1) + "\n", "utf-8")
