"""Pictures of runs: what was predicted above what was measured."""

import io

import pytest

import dnnopt as dp
from dnnopt.runtime.measured import PiecesRun, Spread
from dnnopt.runtime.prediction import Prediction

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

EVENTS = [
    ("piece", "$a$", "a.0", 0, 0.0, 0.002),
    ("link", "_up", "$x$ with a long name", 0, 0.002, 0.008),
    ("piece", "b\x1b", "b.0", 0, 0.008, 0.01),
]


def run(events, prediction=None):
    spread = Spread.of([0.009, 0.01, 0.011])
    pieces = {"a.0": spread, "b.0": spread}
    return PiecesRun(
        "$net$", spread, None, pieces, {}, 1, None, 3, 0, True, True, {}, True, (), prediction, events=events
    )


def drawn(figure):
    figure.savefig(io.BytesIO(), format="png")
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_a_run_is_drawn_under_its_prediction():
    prediction = Prediction(0.009, 0.004, 0.009, {}, {}, {}, EVENTS[:1])
    assert drawn(dp.plot.pieces_run(run(EVENTS, prediction))) == [
        r"\$net\$, predicted: 2 ms", r"\$net\$, measured: 10 ms",
    ]  # fmt: skip
    assert drawn(dp.plot.pieces_run(run(EVENTS))) == [r"\$net\$, measured: 10 ms"]


def test_a_run_without_times_of_pieces_is_refused():
    with pytest.raises(dp.InputError, match="no times of single pieces"):
        dp.plot.pieces_run(run([]))


def test_the_report_has_differences_in_per_cent():
    found = str(run(EVENTS, Prediction(0.008, 0.004, 0.008, {"a.0": 0.005, "b.0": 0.02}, {}, {"up": 10.0}, [])))
    assert "latency             8 ms     10 ms       +25 %" in found
    assert "piece b.0          20 ms     10 ms       -50 %" in found
    assert "bytes over up       10 B       0 B      -100 %" in found
