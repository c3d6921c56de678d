"""Formulations side by side: a row for each one that suits the problem, with its sizes, bounds and status."""

import pytest
from brute_force import brute_force
from builders import link, network, platform, problem, tensor
from hard_problem import hard_problem

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.problem.constraints import Deadline
from dnnopt.problem.objectives import energy, latency, period
from dnnopt.studies.side_by_side import compare_formulations


def diamond(execution="sequential", **fields):
    """A diamond on three devices behind one medium: what every linearisation supports."""
    tensors = [tensor("ta", "a", "b c", 2), tensor("tb", "b", "d", 1), tensor("tc", "c", "d", 1)]
    pairs = {f"{i}>{j}": "air" for i in "pqr" for j in "pqr" if i != j}
    times = {"a": (1, 4, 6), "b": (7, 2, 5), "c": (4, 6, 1), "d": (5, 1, 3)}
    return problem(network("a b c d", tensors), platform("p q r", [link("air")], pairs), times, execution, **fields)


PROBLEMS = {
    "sequential": (diamond(), {"edgewise+sum", "product+sum", "boundary+sum", "treewise+sum", "cp-assignment"}),
    "pipelined": (diamond("pipelined", minimize=period()), {"edgewise+period", "cp-assignment"}),
    "parallel": (diamond("parallel"), {"edgewise+potentials", "edgewise+paths", "boundary+paths", "treewise+paths"}),
}


def check_rows(rows):
    """Assert that all rows have found the same optimum and proved it, and that their sizes and times make sense."""
    for row in rows:
        assert row.status == "optimal"
        assert row.objective == pytest.approx(rows[0].objective, rel=1e-6)
        assert row.bound <= row.objective
        assert row.gap <= 1e-6
        assert min(row.variables, row.rows, row.nonzeros) > 0
        assert min(row.build_seconds, row.seconds) >= 0
        assert 0 <= row.first_plan_seconds <= row.seconds
        assert (row.relaxation is None) == (row.relaxation_seconds is None) == row.formulation.startswith("cp-")
        assert row.relaxation is None or row.relaxation <= row.objective * (1 + 1e-6)


@pytest.mark.parametrize("execution", PROBLEMS)
def test_there_is_a_row_for_every_formulation_that_suits_and_all_agree(execution):
    one, wanted = PROBLEMS[execution]
    told = []
    found = compare_formulations(one, time_limit=20, threads=1, watch=told.append)
    names = [row.formulation for row in found.rows]
    assert names == registry.suiting(compile_problem(one))
    assert wanted <= set(names)
    assert tuple(told) == found.rows
    check_rows(found.rows)
    assert found.rows[0].objective == pytest.approx(brute_force(one).objective)


def test_schedules_have_rows_too_and_agree():
    one = diamond("scheduled")
    found = compare_formulations(one, ["edgewise", "product+disjunctive", "cp-schedule"], time_limit=20, threads=1)
    assert [row.formulation for row in found.rows] == ["edgewise+disjunctive", "product+disjunctive", "cp-schedule"]
    check_rows(found.rows)


def test_relaxations_are_ordered_by_strength():
    # Only q is cheap for both ends; with a on p and b on r by halves, `product` sees no transfer.
    pairs = {f"{i}>{j}": "air" for i in "pqr" for j in "pqr" if i != j}
    net = network("a b", [tensor("t", "a", "b", 10)])
    one = problem(net, platform("p q r", [link("air")], pairs), {"a": (0, 1, 9), "b": (9, 1, 0)})
    rows = {row.formulation: row for row in compare_formulations(one, threads=1).rows}
    relaxed = {name: rows[f"{name}+sum"].relaxation for name in ("product", "edgewise", "boundary", "treewise")}
    assert relaxed == pytest.approx({"product": 1, "edgewise": 2, "boundary": 2, "treewise": 2})


def test_just_the_formulations_named_are_run_in_their_order_with_the_timing_that_is_needed():
    found = compare_formulations(diamond("parallel"), ["product+paths", "edgewise"], threads=1)
    assert [row.formulation for row in found.rows] == ["product+paths", "edgewise+potentials"]
    assert {row.solver for row in found.rows} == {"highs"}


def test_an_infeasible_problem_is_infeasible_in_every_row():
    found = compare_formulations(diamond(subject_to=[Deadline(limit=0.5)]), threads=1)
    assert len(found.rows) >= 5
    for row in found.rows:
        assert (row.status, row.objective, row.gap, row.first_plan_seconds) == ("infeasible", None, None, None)


def test_a_search_that_runs_out_of_time_says_so():
    (row,) = compare_formulations(hard_problem(), ["product"], time_limit=1, threads=1).rows
    assert row.status in ("feasible", "no_solution")
    assert row.seconds < 20
    assert row.bound is None or row.objective is None or row.gap > 1e-6


def test_of_several_priorities_the_first_counts():
    second = energy().model_copy(update={"priority": 1})
    found = compare_formulations(diamond(minimize=(latency(), second)), ["edgewise", "cp-assignment"], threads=1)
    assert [row.objective for row in found.rows] == pytest.approx([brute_force(diamond()).objective] * 2)


def test_plain_data_and_text_have_every_row():
    found = compare_formulations(diamond(), ["edgewise", "cp-assignment"], threads=1)
    data, text = found.to_data(), str(found)
    assert (data["format"], data["version"]) == ("dnnopt-formulations", 1)
    assert [row["formulation"] for row in data["rows"]] == ["edgewise+sum", "cp-assignment"]
    assert data["rows"][0]["objective"] == found.rows[0].objective
    for row in found.rows:
        assert row.formulation in text
        assert f"({row.solver})" in text


@pytest.mark.parametrize(
    ("names", "options", "error"),
    [
        (["magic"], {}, InputError),
        (["edgewise+disjunctive"], {}, UnsupportedError),
        (["edgewise"], {"time_limit": 0}, InputError),
    ],
)
def test_bad_input_is_refused(names, options, error):
    with pytest.raises(error):
        compare_formulations(diamond("parallel"), names, **options)
