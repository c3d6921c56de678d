"""The pages on approaches tell the truth: they are those of the package, and their examples print what they show."""

import json
import re
import runpy
import shlex
from math import isclose

import pytest
from commands import dnnopt
from pages import DOCS, page, printed, programs

from dnnopt.approaches import published, try_approach

PAGE = page("approaches.md")
SCRIPT = runpy.run_path(str(DOCS / "approach_pages.py"))
TRIALS = SCRIPT["read_trials"]()


def test_every_approach_has_a_page_that_is_current():
    files = {path.name: path.read_text("utf-8") for path in (DOCS / "approaches").glob("*.md")}
    assert files == SCRIPT["pages"](TRIALS)
    assert set(TRIALS) == {*published()}


def test_the_tables_of_the_pages_are_those_of_the_package():
    for path, text in SCRIPT["tables"]().items():
        assert path.read_text("utf-8") == text


@pytest.mark.parametrize("name", ["neurosurgeon", "edgent", "exo"])
def test_a_page_says_what_a_trial_finds(name):
    found = json.loads(json.dumps(SCRIPT["told"](try_approach(name))))
    numbers = {key for key, value in found.items() if isinstance(value, float)}
    assert all(isclose(found[key], TRIALS[name][key], rel_tol=1e-9) for key in numbers)
    assert {**found, **{key: TRIALS[name][key] for key in numbers}} == TRIALS[name]


WORKED = (
    "neurosurgeon", "dads", "qdmp", "jointdnn", "ionn", "scission", "pipeedge", "msr", "pipedream", "jalad", "edgent",
    "spinn", "deepthings", "modnn", "coedge", "ddnn",
)  # fmt: skip


@pytest.mark.parametrize("name", WORKED)
def test_a_worked_page_says_what_the_model_says_of_the_claims(name):
    assert published()[name].reading
    assert published()[name].reading in page(f"approaches/{name}.md")


def test_what_is_said_of_speed_ups_is_what_trials_found():
    pi, cloud = TRIALS["neurosurgeon"]["against"].values()
    assert pi < 3.1 < cloud  # the published average
    phone, cloud = TRIALS["jointdnn"]["against"].values()
    assert (phone, round(cloud)) == (1.0, 18)
    assert round(TRIALS["jalad"]["against"]["t4"], 2) == 1.04
    assert TRIALS["pipedream"]["best_variant"] == "2+1+1"
    assert TRIALS["deepthings"]["gap"] > 5
    assert 2 < TRIALS["modnn"]["against"]["pi0"] < 2.2
    eight = TRIALS["pipeedge"]["against"]["agx1"]
    assert 1 < eight < 8


@pytest.mark.parametrize(("code", "output"), programs(PAGE))
def test_programs_print_what_the_page_shows(code, output):
    assert printed(code) == output


@pytest.mark.parametrize(
    ("command", "output"), re.findall(r"^\$ dnnopt ([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
)
def test_commands_print_what_the_page_shows(command, output):
    done = dnnopt(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    lines = [line.rstrip() for line in done.stdout.rstrip().split("\n")]
    assert lines == output.rstrip().split("\n")
