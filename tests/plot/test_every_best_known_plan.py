"""The pictures of all best known plans of `core`: nothing leaves the figure, lies on something else, or is squeezed."""

from importlib import resources

import pytest
from pictures import faults

import dnnopt as dp
from dnnopt.studies.best_known import read_table

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

INSTANCES = resources.files("dnnopt") / "instances"
CORE = {name: known.plan for name, known in read_table().items() if name.startswith("core/") and known.plan}
PARTS = 10  # of the problems, so that processes can share them


def test_every_problem_of_core_is_in_a_part():
    assert len(CORE) == 100


@pytest.mark.parametrize("part", range(PARTS))
def test_labels_stay_inside_sizes_beside_each_other_and_the_drawing_is_wide(part):
    wrong = {}
    for name, file in list(CORE.items())[part::PARTS]:
        figure = dp.plot.placement(dp.load(name), dp.read_plan(str(INSTANCES / file)))
        if found := faults(figure, 0.6):
            wrong[name] = found
    assert not wrong
