"""Variants of a problem: the best plan of all, which one it is of, and one bound that holds for all of them."""

import io
import json
import os
import signal
from collections import Counter

import pytest
from brute_force import OPTIMAL, ROUNDING, brute_force
from builders import layer, link, network, platform, problem, tensor
from commands import check_refused, dnnopt
from examples import check_until
from hard_problem import hard_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from strategies import problems

import dnnopt as dp


def chain(factor=1.0, **fields):
    """Three layers, one after the other, on two devices: 9 seconds times the factor."""
    net = network([layer(name, 2) for name in "abc"], [tensor("t", "a", "b", 2), tensor("u", "b", "c", 1)], source="p")
    times = dict.fromkeys("abc", (3 * factor, 4 * factor))
    return problem(net, platform("p q", [link("w")], {"p>q": "w", "q>p": "w"}), times, **fields)


def impossible(**fields):
    return chain(subject_to=[dp.MaxDevices(limit=0)], **fields)


def printed(found):
    stream = io.StringIO()
    found.report(Console(file=stream, width=160))
    return stream.getvalue()


def statuses(found):
    return {row.name: row.status for row in found.rows}


def test_the_best_of_random_variants_is_that_of_enumeration():
    seen = Counter()
    goals = st.sampled_from((dp.latency(), dp.period(), dp.energy(), dp.traffic()))
    choices = st.sampled_from(({}, {}, {}, {"formulation": "cp-assignment"}, {"formulation": "product"}))

    @settings(max_examples=25)
    @given(st.lists(problems(most_placements=81), min_size=1, max_size=3), goals, choices)
    def check(drawn, goal, choice):
        ones = {f"v{index}": one.replace(minimize=goal) for index, one in enumerate(drawn)}
        found = dp.best_of(ones, threads=1, **choice)
        optima = {name: brute_force(one).objective for name, one in ones.items()}
        known = [value for value in optima.values() if value is not None]
        seen.update(statuses(found).values())
        if "refused" in statuses(found).values():
            assert found.bound is None
            return
        if not known:
            assert (found.status, found.variant, found.bound) == ("infeasible", None, None)
            return
        least = min(known)
        assert found.status == "optimal"
        assert found.objective == pytest.approx(least, rel=OPTIMAL, abs=1e-12)
        assert found.bound <= found.objective
        assert found.objective == dp.evaluate(ones[found.variant], found.result.plan).objective
        for row in found.rows:
            optimum = optima[row.name]
            assert (row.status == "infeasible") <= (optimum is None)
            if row.bound is not None and optimum is not None:
                assert row.bound <= optimum * (1 + OPTIMAL + ROUNDING) + 1e-12

    check_until(check, lambda: seen["cut_off"] > 2 and seen["optimal"] > 5 and seen["infeasible"])


def test_the_result_is_that_of_the_best_variant():
    found = dp.best_of({"none": impossible(), "slow": chain(2), "quick": chain(1)})
    assert (found.status, found.variant, found.objective, found.bound, found.gap) == ("optimal", "quick", 9, 9, 0)
    assert found.result is found.results["quick"]
    assert found.result.objective == 9
    assert statuses(found) == {"slow": "optimal", "quick": "optimal", "none": "infeasible"}
    assert repr(found) == "<BestVariant none | slow | quick: proved optimal, latency 9 s with 'quick'>"
    text = printed(found)
    assert text.startswith("none | slow | quick: proved optimal\n  latency 9 s with 'quick', bound 9 s, gap 0 %")
    assert "infeasible: no plan satisfies every constraint" in text
    assert "What runs where" in text


def test_a_variant_that_cannot_be_better_is_stopped():
    events = []
    found = dp.best_of({"hard": hard_problem(), "easy": chain(0.001)}, time_limit=300, watch=events.append)
    assert (found.status, found.variant, found.objective) == ("optimal", "easy", pytest.approx(0.009))
    assert statuses(found)["hard"] == "cut_off"
    assert found.bound == pytest.approx(0.009)
    assert found.runtime < 100
    assert found.unconfirmed == ()
    assert "stopped: cannot be better" in printed(found)
    assert events[-1].objective == pytest.approx(0.009)
    assert any(event.source.startswith("hard: ") for event in events)


def test_a_variant_that_no_method_supports_is_shown_and_leaves_no_bound():
    odd = chain(2, subject_to=[dp.MaxDevices(limit=1)])
    found = dp.best_of({"fits": chain(), "odd": odd}, method="chain")
    assert (found.status, found.variant, found.objective, found.bound) == ("feasible", "fits", 9, None)
    assert statuses(found) == {"fits": "optimal", "odd": "refused"}
    assert "odd" not in found.results
    assert "refused: the method 'chain' does not support" in printed(found)


def test_without_any_plan_it_is_said_whether_that_is_proved():
    found = dp.best_of({"a": impossible(), "b": impossible()})
    assert (found.status, found.variant, found.result, found.objective) == ("infeasible", None, None, None)
    found = dp.best_of({"a": hard_problem()}, method="all-on-one", time_limit=1)
    assert (found.status, found.variant, found.bound) == ("no_solution", None, None)


def test_a_heuristic_has_plans_without_a_bound():
    found = dp.best_of({"a": chain(1), "b": chain(2)}, method="greedy")
    assert (found.status, found.variant, found.bound, found.gap) == ("feasible", "a", None, None)


def test_the_time_is_for_all_variants_and_what_is_not_proved_has_a_bound():
    found = dp.best_of({"a": hard_problem(), "b": hard_problem()}, time_limit=3)
    assert found.status == "feasible"
    assert 0 < found.bound < found.objective
    assert found.bound == min(row.bound for row in found.rows)
    assert found.runtime < 20


def test_ctrl_c_keeps_what_was_found():
    asked = []

    def interrupt(event):
        if event.source.startswith("hard: ") and not asked:
            asked.append(event)
            os.kill(os.getpid(), signal.SIGINT)

    found = dp.best_of({"easy": chain(1), "hard": hard_problem(), "never": chain(0.5)}, watch=interrupt)
    assert asked
    assert found.status == "interrupted"
    assert found.results["easy"].objective == 9
    assert statuses(found)["hard"] == statuses(found)["never"] == "interrupted"
    assert found.objective <= 9


def test_tables_and_data_have_a_row_for_each_variant():
    found = dp.best_of({"slow": chain(2), "quick": chain(1)})
    assert [(row["variant"], row["best"]) for row in found.to_rows()] == [("slow", False), ("quick", True)]
    assert found.to_csv().splitlines()[0] == "variant,status,latency (s),bound (s),gap (%),time (s),best"
    assert "quick & optimal & 9 & 9 & 0 &" in found.to_latex()
    data = json.loads(json.dumps(found.to_data()))
    assert (data["variant"], data["objective"], data["result"]["status"]) == ("quick", 9, "optimal")
    frame = pytest.importorskip("pandas") and found.to_frame()
    assert list(frame["objective"]) == [18, 9]


# Files and mistakes


def written(folder, problems):
    path = folder / "variants.json"
    path.write_text(json.dumps({"format": "dnnopt-variants", "version": 1, "problems": problems}), encoding="utf-8")
    return path


def test_files_of_variants_come_back(tmp_path):
    variants = dp.Variants({"exit 3": chain(), "whole": chain(2)}, name="exits", provenance="by hand")
    dp.write_variants(variants, tmp_path / "v.json.gz")
    assert dp.read_variants(tmp_path / "v.json.gz") == variants
    assert repr(variants) == "<Variants exits: 2 variants>"


def test_a_file_has_problems_names_of_the_library_and_files_beside_it(tmp_path):
    dp.write_problem(chain(), tmp_path / "one.json")
    whole = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    listed = {"data": chain().to_data(), "whole": whole, "file": "one.json", "library": "small/001"}
    found = dp.read_variants(written(tmp_path, listed))
    assert found.problems["data"] == found.problems["whole"] == found.problems["file"] == chain()
    assert found.problems["library"] == dp.load("small/001")
    assert found.title == "data | whole | file | library"
    assert dp.Variants(listed | {"file": tmp_path / "one.json", "whole": chain()}) == found


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        ({}, "problems: got {}, expected an object (names to values) of at least 1"),
        ([], "problems: got [], expected an object (names to values)"),
        ({"": "small/001"}, "expected a text that is not empty"),
        ({"a": 5}, "problems.a: got 5, expected an object (names to values)"),
        ({"a": "small/01"}, "problems.a: no problem named 'small/01' in the library; did you mean"),
        ({"a": "none.json"}, "none.json: No such file or directory"),
        ({"a": {"networks": "alexnet"}}, "problems.a.platform: missing, and it has no default"),
        ({"a": {"format": "dnnopt-network"}}, "problems.a.format: got 'dnnopt-network', expected 'dnnopt-problem'"),
        (
            {"a": "small/001", "b": "small/003"},
            "problems.b.minimize: got 'traffic (bytes)', expected an objective in the units of that of 'a': latency",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, problems, message):
    path = written(tmp_path, problems)
    check_refused(dnnopt("solve", path), f"dnnopt: {path}: ", message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_limit": 0}, "time_limit: got 0, expected seconds > 0"),
        ({"gap": -1}, "gap: got -1, expected a number >= 0"),
        ({"method": "magic"}, "method: got 'magic', expected one of auto"),
        ({"method": "annealing"}, "time_limit: got None, expected seconds > 0"),
        ({"limit": 5}, "limit: no argument of best_of"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(dp.InputError) as caught:
        dp.best_of({"a": chain()}, **options)
    assert message in str(caught.value)


def test_problems_with_priorities_and_what_are_no_problems_are_refused():
    with pytest.raises(dp.UnsupportedError, match=r"problems\.b\.minimize: variants are compared by one objective"):
        dp.best_of({"a": chain(), "b": chain(minimize=dp.in_order(dp.latency(), dp.traffic()))})
    with pytest.raises(dp.InputError, match="problems: got 5, expected Variants, a mapping"):
        dp.best_of(5)
    with pytest.raises(dp.InputError, match=r"problems\.a: got 5, expected"):
        dp.best_of({"a": 5})


# The command line


def test_solve_takes_a_file_of_variants(tmp_path):
    path = written(tmp_path, {"slow": chain(2).to_data(), "quick": chain(1).to_data()})
    run = dnnopt("solve", path, "-t", 20, "--json", "found.json", "--csv", "-", cwd=tmp_path)
    assert run.returncode == 0, run.output
    assert [line.split(",")[0] for line in run.stdout.splitlines()] == ["variant", "slow", "quick"]
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["variant"] == "quick"
    run = dnnopt("solve", path, "--set", "bandwidth=2", "-f", "edgewise")
    assert run.stderr == "Set: bandwidth=2\n"
    assert run.stdout.startswith("slow | quick: proved optimal\n  latency 9 s with 'quick'")


def test_solve_exits_with_1_where_no_variant_has_a_plan(tmp_path):
    run = dnnopt("solve", written(tmp_path, {"a": impossible().to_data()}))
    assert run.returncode == 1
    assert run.stdout.startswith("a: infeasible: no plan satisfies every constraint\n")


def test_what_is_about_one_problem_refuses_variants(tmp_path):
    path = written(tmp_path, {"a": chain().to_data()})
    check_refused(dnnopt("solve", path, "--best", 2), "--best: does not go with variants")
    check_refused(dnnopt("solve", path, "--platform", "x"), "--platform: goes with a network")
    check_refused(dnnopt("compare", path), "these are variants, which 'solve' takes")
    check_refused(dnnopt("show", path), "these are variants, which 'solve' takes")


def test_the_table_of_one_problem_is_where_its_layers_are(tmp_path):
    dp.write_problem(chain(), tmp_path / "one.json")
    run = dnnopt("solve", tmp_path / "one.json", "--csv", "-")
    assert run.stdout == "network,layer,device\nnet,a,p\nnet,b,p\nnet,c,p\n"
