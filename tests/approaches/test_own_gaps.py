"""Approaches on their own problems: which pairs suit them, how far they are from the optimum, nothing twice."""

from math import isclose

import pytest
from commands import check_refused, dnnopt

import dnnopt as dp
from dnnopt.approaches import own_gaps, try_approach

NAMES = ["equal-layers", "neurosurgeon", "edgent"]
NETWORKS, PLATFORMS = ["alexnet"], ["pi3-wifi-pc", "4-jetson-nx-lan"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


def found(folder):
    return own_gaps(folder, networks=NETWORKS, platforms=PLATFORMS, approaches=NAMES)


def test_gaps_are_those_of_trials(folder):
    result = found(folder)
    assert [row.approach for row in result.rows] == ["equal-layers", "neurosurgeon"]
    rule, scan = result.rows
    gaps = [try_approach("equal-layers", "alexnet", platform).gap for platform in PLATFORMS]
    assert (rule.problems, rule.plans, rule.proved) == (2, 1.0, 1.0)
    assert isclose(rule.mean, sum(gaps) / 2)
    assert isclose(rule.worst, max(gaps))
    assert rule.optima == sum(gap < 1e-9 for gap in gaps) / 2
    assert (scan.problems, scan.optima, scan.worst) == (1, 1.0, 0.0)
    assert "two devices" in result.unsuited["neurosurgeon"]["alexnet on 4-jetson-nx-lan"]
    assert "several exits" in result.unsuited["edgent"]["alexnet on pi3-wifi-pc"]
    assert result.headline() == "3 problems of 2 approaches"


def test_a_second_call_tries_nothing_again(folder):
    before = found(folder)
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert len(files) == 6
    assert found(folder).rows == before.rows
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")} == files


def test_the_command_writes_the_table(folder):
    words = [part for name in NAMES for part in ("--approach", name)]
    words += [part for name in NETWORKS for part in ("--network", name)]
    words += [part for name in PLATFORMS for part in ("--platform", name)]
    done = dnnopt("approaches", "--own", "-o", str(folder), *words, "--csv", "-")
    assert done.stdout == found(folder).to_csv()
    check_refused(dnnopt("approaches", "core", "--own", "-o", str(folder)), "PROBLEMS", "does not go with --own")
    check_refused(dnnopt("approaches", "core", "--network", "alexnet", "-o", str(folder)), "--network: goes with --own")
    check_refused(dnnopt("approaches", "-o", str(folder)), "PROBLEMS", "missing")
    with pytest.raises(dp.InputError, match="no approach named"):
        own_gaps(folder, approaches=["magic"])
