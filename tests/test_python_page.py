"""docs/python.md tells the truth: its programs, one after the other, print what it shows."""

import contextlib
import io

from pages import page, programs


def test_programs_print_what_the_page_shows():
    known = {"__name__": "__main__"}
    found = programs(page("python.md"))
    assert len(found) == 4
    for code, output in found:
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            exec(code, known)
        assert stream.getvalue() == output
