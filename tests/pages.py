"""Pages of the docs whose programs are run."""

import contextlib
import io
import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def page(name):
    """Return the text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def programs(text):
    """Return the Python programs of a page, each with the output that follows it."""
    return re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL)


def without_times(text):
    """Return a text's lines without run times, which stand at the ends of lines, and what their widths change."""
    lines = [re.sub(r"\s+(time|[\d.,]+ m?s)$", "", line.rstrip()) for line in text.rstrip().split("\n")]
    return [re.sub(r" in [\d.,]+$", " in", line) for line in lines]


def printed(code):
    """Return what a program prints."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        exec(code, {"__name__": "__main__"})
    return stream.getvalue()
