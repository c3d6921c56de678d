"""Approaches over sets of problems: what they serve, how it is judged, and that nothing is done twice."""

import json
from dataclasses import replace
from math import isclose

import pytest
from builders import network, tensor
from commands import check_refused, dnnopt
from small_settings import chain, gpus, graph, two

import dnnopt as dp
from dnnopt.approaches import approach_named, as_seen, plan_for, read_scores, score
from dnnopt.approaches.settings import at_end
from dnnopt.problem.modes import Mode

SERVED = {"neurosurgeon": "sequential", "exo": "sequential", "msr": "pipelined"}


def problem(net, where, execution="sequential", minimize=None, limits=()):
    return dp.Problem(at_end(net, where), where, execution, minimize or dp.latency(), subject_to=limits)


def why_not(name, one):
    with pytest.raises(dp.InputError) as caught:
        as_seen(approach_named(name), one)
    return caught.value.problem


def kinds(one):
    return [limit.constraint for limit in one.subject_to]


def test_an_algorithm_sees_the_limits_that_it_takes():
    limits = [dp.memory("weights"), dp.MonotoneTiers()]
    where = two()
    roomy = where.replace(devices=[device.replace(memory=99.0) for device in where.devices])
    one = problem(chain(), roomy, limits=limits)
    assert as_seen(approach_named("neurosurgeon"), one) == one  # a scan takes all limits
    assert kinds(as_seen(approach_named("jointdnn"), one)) == []  # shortest paths take none of these
    assert kinds(as_seen(approach_named("exo"), one)) == ["memory", "monotone_tiers", "contiguous"]
    assert kinds(as_seen(approach_named("edgeshard"), one.replace(subject_to=[dp.Contiguous()]))) == ["contiguous"]


def test_an_algorithm_serves_what_its_own_problem_is_like():
    one = problem(chain(), two())
    assert why_not("msr", one) == "its problem is of pipelined execution"
    assert why_not("neurosurgeon", one.replace(minimize=dp.traffic())) == "it does not minimise traffic"
    idle = replace(approach_named("ans"), method="")
    with pytest.raises(dp.InputError, match="ans: it has no algorithm here"):
        as_seen(idle, one)
    for name in ("coedge", "aofl", "jalad", "auto-split", "hax-conn"):
        assert why_not(name, one) == "it chooses more than the places of whole layers"
    tensors = [tensor("x", "input", "a", 1), tensor("t", "a", "b c", 1), tensor("u", "b", "c", 1)]
    fork = network([dp.Layer(name, flops=1.0, bytes=1.0) for name in "abc"], tensors)
    assert why_not("jointdnn", problem(fork, two())).startswith("its algorithm does not support")
    assert as_seen(approach_named("baechi"), one.replace(execution="parallel")).execution == "parallel"
    assert why_not("dads", problem(chain(), gpus(3))).startswith("its algorithm does not support a choice")
    twice = dp.Problem([chain(), chain().replace(name="other")], two(), "sequential", dp.latency())
    assert why_not("exo", twice) == "its algorithm does not support several networks"
    where = two()
    slow = where.replace(devices=[one.replace(modes=[Mode(name="slow")]) for one in where.devices])
    assert why_not("exo", problem(chain(), slow)) == "its algorithm does not support devices with modes"


def test_a_plan_for_any_problem_is_judged_with_what_its_algorithm_does_not_know():
    where = two(up=0.5)
    room = {"pi": 16.0, "t4": 10.0}
    small = where.replace(devices=[device.replace(memory=room[device.name]) for device in where.devices])
    one = problem(chain(), small, limits=[dp.memory("weights")])
    assert dp.evaluate(one, plan_for("jointdnn", one)).violations
    assert dp.evaluate(one, plan_for("neurosurgeon", one)).objective == dp.solve(one).objective
    assert list(plan_for("equal-layers", one).placement["net"].values()) == ["pi"] * 3 + ["t4"] * 2
    queued = problem(graph(), gpus(), "scheduled", limits=[dp.memory("weights")])
    assert dp.evaluate(queued, plan_for("baechi", queued)).feasible


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    ran = []
    found = score(NAMES, folder, approaches=[*SERVED, "jalad"], watch=lambda number, what, data: ran.append(what))
    return folder, found, ran


NAMES = ["small/001", "small/002"]


def test_plans_are_judged_on_the_whole_problem(scored):
    _, found, _ = scored
    for row in found.rows:
        served = [name for name in NAMES if dp.load(name).execution == SERVED[row.approach]]
        assert list(found.gaps[row.approach]) == served
        assert row.problems == len(served)
        gaps = [gap for gap in found.gaps[row.approach].values() if gap is not None]
        assert isclose(row.plans, len(gaps) / len(served))
        assert row.worst == max(gaps, default=None)
        assert row.regret is None or row.regret >= 0.0
    assert {row.approach for row in found.rows} == {*SERVED} - {"jalad"}
    assert set(found.outside["jalad"].values()) == {"it chooses more than the places of whole layers"}


def test_a_second_call_runs_nothing_again(scored):
    folder, found, ran = scored
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    again = score(NAMES, folder, approaches=[*SERVED, "jalad"])
    assert ran
    assert again.rows == found.rows
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")} == files


def test_scores_are_read_without_running_anything(scored, tmp_path):
    folder, found, _ = scored
    again = read_scores(folder, approaches=[*SERVED, "jalad"])
    assert (again.rows, again.gaps, again.outside) == (found.rows, found.gaps, found.outside)
    assert {row.approach for row in read_scores(folder).rows} >= {row.approach for row in found.rows}
    (tmp_path / "empty").mkdir()
    with pytest.raises(dp.InputError, match="no results"):
        read_scores(tmp_path / "empty")
    with pytest.raises(dp.InputError, match="dnnopt approaches"):
        read_scores(folder, approaches=["jalad"])


def test_a_parquet_file_of_approaches_has_the_same_scores(scored, tmp_path):
    pytest.importorskip("duckdb", reason='duckdb is not installed: pip install "dnnopt[store]"')
    folder, found, _ = scored
    assert dnnopt("runs", folder, "-o", tmp_path / "approaches.parquet").returncode == 0
    assert read_scores(tmp_path / "approaches.parquet", approaches=[*SERVED]).rows == found.rows


def test_the_command_writes_the_table(scored):
    folder, found, _ = scored
    options = [part for name in SERVED for part in ("--approach", name)]
    done = dnnopt("approaches", *NAMES, "--output", str(folder), *options, "--csv", "-")
    assert done.stdout == found.to_csv().replace("jalad", "")
    told = json.loads(dnnopt("approaches", *NAMES, "--output", str(folder), *options, "--json", "-").stdout)
    assert told["rows"] == found.to_rows()
    assert told["gaps"] == {name: dict(gaps) for name, gaps in found.gaps.items()}
    assert set(told["outside"]) == {*SERVED}
    check_refused(dnnopt("approaches", "small", "--output", str(folder), "--approach", "magic"), "no approach named")
