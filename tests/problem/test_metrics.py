"""Metrics refuse coefficients that their linearisation would get wrong."""

import numpy as np
import pytest

from dnnopt.base.errors import InputError
from dnnopt.compiled.metrics import LinearMetric


def metric(**changes):
    parts = {"per_copy": [1.0, 0.0], "per_byte": [0.0, 2.0], "scale": [1.0], "gamma": [0.5], "on_event": [0.25]}
    arrays = {name: np.array(changes.get(name, values)) for name, values in parts.items()}
    return LinearMetric(name="energy", unit="J", alpha=np.array([[-1.0, 2.0]]), **arrays)


def test_placement_coefficients_may_be_negative():
    assert metric().alpha.min() == -1


@pytest.mark.parametrize("part", ["per_copy", "per_byte", "scale", "gamma", "on_event"])
def test_negative_coefficients_of_copies_and_exposure_are_refused(part):
    with pytest.raises(InputError) as error:
        metric(**{part: [-0.25, 0.0] if part.startswith("per") else [-0.25]})
    assert str(error.value) == f"metric energy: {part}: got -0.25, expected coefficients >= 0"


def test_a_metric_knows_whether_copies_and_exposure_cost_anything():
    assert metric().sends
    assert metric().exposes
    assert not metric(scale=[0.0]).sends
    assert not metric(per_copy=[0.0, 0.0], per_byte=[0.0, 0.0]).sends
    assert metric().happens
    assert not metric(on_event=[0.0]).happens
    assert not metric(gamma=[0.0]).exposes
