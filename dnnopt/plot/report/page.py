"""A report as one HTML file: nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import gzip
import html
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from dnnopt.base.extras import optional
from dnnopt.base.files import write_text

_SCRIPTS = ("statistics.js", "elements.js", "problem.js", "pages.js", "report.js")


def report_html(data: dict[str, Any]) -> str:
    """Return the page that shows what `dnnopt.plot.report.data.report_data` has returned.

    It holds plotly.js, of the plotly package, and the data, both packed.

    Raises
    ------
    InputError
        If plotly is not installed.
    """
    offline = optional("plotly.offline", "plotly", "report")
    here = files(__package__ or "dnnopt.plot.report")
    parts = {
        "title": html.escape(data["title"]),
        "style": (here / "report.css").read_text("utf-8"),
        "script": "\n".join((here / name).read_text("utf-8") for name in _SCRIPTS),
        "plotly": _packed(offline.get_plotlyjs()),
        "data": _packed(json.dumps(data, separators=(",", ":"), allow_nan=False)),
    }
    page = (here / "report.html").read_text("utf-8")
    pieces = page.split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:]))


def write_report(data: dict[str, Any], path: str | Path) -> None:
    """Write the page.

    Raises
    ------
    InputError
        If plotly is not installed, or the file cannot be written.
    """
    write_text(path, report_html(data))


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
