"""What all plots share."""

import subprocess
import sys

import pytest

import dnnopt as dp
from dnnopt.plot import style

HIDE = "import sys; sys.modules['matplotlib'] = None; import dnnopt as dp\n"


def run(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_a_missing_matplotlib_is_one_error_that_says_what_to_install():
    done = run(HIDE + "try: dp.plot.gaps({'a': [0.0]})\nexcept dp.InputError as error: print(error)")
    assert done.stdout == 'matplotlib is not installed: pip install "dnnopt[plot]"\n', done.stderr


def test_importing_dnnopt_and_its_plots_imports_no_matplotlib():
    done = run("import sys; from dnnopt import *; plot.gaps; print('matplotlib' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


def test_colours_and_hatches_repeat_together_only_after_56():
    assert len({(style.colour(index), style.hatch(index)) for index in range(56)}) == 56
    assert len({(style.colour(index), style.line_style(index), style.marker(index)) for index in range(40)}) == 40


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [([0.002, 0.5], "s", (1e-3, "ms")), ([], "s", (1.0, "s")), ([float("nan"), 3e6], "bytes", (1e6, "MB"))],
)
def test_axes_have_the_unit_that_fits_the_largest_value(values, unit, expected):
    assert style.axis_unit(values, unit) == expected


def test_notebooks_get_a_png():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    assert dp.plot.gaps({"a": [0.0]})._repr_png_().startswith(b"\x89PNG")
