"""Plans in every scenario: regrets, the value of a stochastic plan (VSS) and the value of knowing (EVPI)."""

import io
import json
import os
import signal
from collections import Counter

import pytest
from brute_force import OPTIMAL, brute_force
from builders import layer, link, network, platform, problem, tensor
from choice_problems import problems_with_choices
from commands import check_refused, dnnopt
from examples import check_until
from hard_problem import hard_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import dnnopt as dp
from dnnopt.problem.scenarios import mean_scenario
from dnnopt.problem.variation import in_scenario

GOOD = dp.Scenario(name="good", probability=0.5, bandwidth={"w": 4.0})
BAD = dp.Scenario(name="bad", probability=0.5, bandwidth={"w": 0.25})
ALL, MEAN, EACH = "for all scenarios", "for the mean", "for each scenario its own"


def far(scenarios=(GOOD, BAD), **fields):
    """The second layer takes 10 s on p, on q 2 s and 8 s to send as a rule: 4 s where good, 34 where bad."""
    net = network([layer("a", 1), layer("b", 5)], [tensor("t", "a", "b", 8)], source="p")
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    subject = fields.pop("subject_to", ())
    one = problem(net, on, {"a": (0, 9), "b": (10, 2)}, **fields)
    return one.replace(scenarios=scenarios, subject_to=subject)


def printed(found, width=160):
    stream = io.StringIO()
    found.report(Console(file=stream, width=width))
    return stream.getvalue()


def values(found):
    return {row.name: row.values for row in found.rows}


def test_plans_regrets_and_both_values_by_hand():
    found = dp.scenarios(far(), threads=1)
    assert values(found) == {
        ALL: (10, 10),
        MEAN: (4, 34),
        "for good": (4, 34),
        "for bad": (10, 10),
        EACH: (4, 10),
    }
    assert [row.objective for row in found.rows] == [10, 19, 19, 10, 7]
    assert found[ALL].regrets == (6, 0)
    assert found[MEAN].regrets == (0, 24)
    assert (found[MEAN].worst, found[MEAN].worst_regret) == (34, 24)
    assert (found.stochastic.found, found.knowing.found) == (9, 3)
    assert (found.stochastic.low, found.stochastic.high) == pytest.approx((9, 9), rel=1e-5)
    assert (found.knowing.low, found.knowing.high) == pytest.approx((3, 3), rel=1e-5)
    assert (found.status, found.complete, found.holds_everywhere) == ("optimal", True, True)


def test_the_mean_scenario_has_the_mean_of_each_factor():
    mean = mean_scenario((GOOD, dp.Scenario(name="slow", probability=0.5, speed={"q": 0.5})))
    assert (mean.bandwidth, mean.speed, mean.latency) == ({"w": 2.5}, {"q": 0.75}, {})


@pytest.mark.parametrize(
    ("objective", "stated", "stochastic", "knowing"),
    [
        (dp.worst(dp.latency()), [10, 34, 10], 24, 0),
        (dp.cvar(dp.latency(), 0.5), [10, 34, 10], 24, 0),
        (dp.latency() + dp.worst(dp.latency()), [20, 53, 17], 33, 3),
    ],
)
def test_terms_look_across_scenarios_as_they_are_stated(objective, stated, stochastic, knowing):
    found = dp.scenarios(far(minimize=objective), threads=1)
    assert [found[name].objective for name in (ALL, MEAN, EACH)] == pytest.approx(stated)
    assert found[ALL].values == ((20, 20) if len(stated) and knowing == 3 else (10, 10))
    assert found.stochastic.found == pytest.approx(stochastic)
    assert found.knowing.found == pytest.approx(knowing)
    assert found.knowing.low <= found.knowing.found <= found.knowing.high + 1e-9


def test_a_plan_that_breaks_a_limit_in_a_scenario_is_marked_and_has_no_regret_there():
    usual = dp.Scenario(name="usual", probability=0.5, bandwidth={"w": 4.0})
    slow = dp.Scenario(name="slow", probability=0.5)  # q takes 10 s: as long as p
    found = dp.scenarios(far((usual, slow), minimize=dp.traffic(), subject_to=[dp.latency() <= 9.0]), threads=1)
    assert found[ALL].breaks == ()
    assert found[ALL].breaks_there == ((), ("deadline(net)",))
    assert found[ALL].regrets == (0, None)
    assert found[ALL].worst_regret is None
    assert not found.holds_everywhere
    assert found.knowing is None
    text = printed(found)
    assert "for all scenarios, the mean, usual: breaks in slow deadline(net)" in text
    assert "not known, as there is no plan in slow" in text


def test_a_plan_for_the_mean_that_breaks_a_limit_has_no_value():
    limit = dp.worst(dp.latency()) <= 12.0
    found = dp.scenarios(far(subject_to=[limit]), threads=1)
    assert found[MEAN].breaks == ("deadline(net)",)
    assert found.stochastic is None
    assert found.knowing.found == 3
    assert "(VSS): without bounds, as the plan for the mean breaks deadline(net)" in printed(found)


def test_a_problem_without_a_plan_says_so():
    found = dp.scenarios(far(subject_to=[dp.MaxDevices(0)]), threads=1)
    assert (found.rows, found.status, found.stochastic, found.knowing) == ((), "infeasible", None, None)
    assert "there is no plan for all scenarios (infeasible)" in printed(found)


def test_plans_of_heuristics_stand_beside():
    found = dp.scenarios(far(), baselines=["all-on-one", "greedy"], threads=1)
    assert found["by all-on-one"].objective == 10
    assert "by greedy" in values(found)


def test_what_is_proved_of_each_scenario_alone_proves_something_of_the_plan_for_all():
    hard = hard_problem()
    same = [dp.Scenario(name=name, probability=0.5) for name in ("one", "other")]
    found = dp.scenarios(hard.replace(scenarios=same), time_limit=0.7, threads=1)
    assert found.status == "feasible"
    assert found.bound >= min(one.bound for one in found.scenarios)
    easy = dp.scenarios(far(same), formulation="edgewise", threads=1)
    assert (easy.status, easy.bound) == ("optimal", 10)


def test_values_that_are_not_proved_are_between_bounds():
    hard = hard_problem()
    halves = [
        dp.Scenario(name=name, probability=0.5, bandwidth={one.name: factor for one in hard.platform.links})
        for name, factor in (("quick", 2.0), ("slow", 0.5))
    ]
    found = dp.scenarios(hard.replace(scenarios=halves), time_limit=0.7, threads=1)
    assert found.status == "feasible"
    for one in (found.stochastic, found.knowing):
        assert one.low <= one.found <= one.high
        assert one.high - one.low > 1e-3 * abs(found[ALL].objective)
    assert printed(found).count("(proved: at ") == 2
    assert all(regret >= 0 for row in found.rows for regret in row.regrets)


@st.composite
def chains(draw):
    """Draw three layers on two devices whose links and speeds vary much, so that scenarios have plans of their own."""
    number, factor = st.integers(1, 9), st.sampled_from((0.1, 0.5, 1.0, 4.0))
    goal = draw(st.sampled_from((dp.latency(), dp.energy(), dp.latency() + dp.energy())))
    goal = draw(st.sampled_from((goal, goal, dp.worst(dp.latency()), dp.latency() + dp.cvar(dp.energy(), 0.5))))
    net = network(
        "a b c", [tensor("i", "input", "a", 4), tensor("t", "a", "b", 9), tensor("u", "b", "c", 2)], source="p"
    )
    on = platform("p q", [link("w"), link("v")], {"p>q": "w", "q>p": "v"})
    times, energies = ({v: (draw(number), draw(number)) for v in "abc"} for _ in range(2))
    shares = draw(st.sampled_from(((0.5, 0.5), (0.2, 0.3, 0.5))))
    some = [
        dp.Scenario(name=f"s{k}", probability=p, bandwidth={"w": draw(factor)}, speed={"q": draw(factor)})
        for k, p in enumerate(shares)
    ]
    limit = dp.latency() <= draw(st.integers(8, 30))
    limits = draw(st.sampled_from(((), (), (limit,), (limit.replace(across="worst"),))))
    return problem(net, on, times, energies=energies, minimize=goal, subject_to=limits).replace(scenarios=some)


def test_random_problems_match_enumeration():
    seen = Counter()

    @settings(max_examples=8)
    @given(st.one_of(chains(), problems_with_choices(("scenarios",))))
    def check(one):
        found = dp.scenarios(one, threads=1)
        best = brute_force(one)
        assert (found.status == "infeasible") == (best.objective is None)
        cases = [in_scenario(one, scenario) for scenario in one.scenarios]
        for case, own in zip(cases, found.scenarios, strict=True):
            optimum = brute_force(case).objective
            assert own.objective == (None if optimum is None else pytest.approx(optimum, rel=OPTIMAL, abs=1e-12))
        mean = brute_force(in_scenario(one, mean_scenario(one.scenarios))).objective
        for row in found.rows:
            for case, plan, value, regret, own in zip(
                cases, row.plans, row.values, row.regrets, found.scenarios, strict=True
            ):
                judged = dp.evaluate(case, plan)
                assert value == judged.objective
                assert (regret is None) == (not judged.feasible)
                assert regret is None or regret == value - own.objective >= 0
            if row.name != EACH:
                judged = dp.evaluate(one, row.plans[0])
                assert row.objective == pytest.approx(judged.objective, rel=1e-9, abs=1e-12)
                assert bool(row.breaks) == (not judged.feasible)
            if row.name == MEAN:
                judged = dp.evaluate(in_scenario(one, mean_scenario(one.scenarios)), row.plans[0])
                assert judged.feasible
                assert judged.objective == pytest.approx(mean, rel=OPTIMAL, abs=1e-12)
        noise = 1e-5 * (abs(best.objective or 0.0) + 1e-6)
        if found.stochastic is not None:
            exact = found[MEAN].objective - best.objective
            assert found.stochastic.low - noise <= exact <= found.stochastic.high + noise
            assert found.stochastic.low >= 0
            seen["stochastic"] += exact > noise
        if found.knowing is not None:
            assert found.knowing.low <= found.knowing.high
            if len(one.minimize) == 1 or all(term.across == "expected" for term in one.minimize):
                exact = best.objective - found[EACH].objective
                assert found.knowing.low - noise <= exact <= found.knowing.high + noise
                assert found.knowing.found == pytest.approx(exact, abs=noise)
                assert exact >= -noise or not found.holds_everywhere
                seen["knowing"] += exact > noise
        seen["marked"] += any(broken for row in found.rows for broken in row.breaks_there)

    check_until(check, lambda: all(seen[what] for what in ("stochastic", "knowing", "marked")))


def test_the_report_fits_any_width_and_groups_plans_that_are_the_same():
    found = dp.scenarios(far(), threads=1)
    text = printed(found)
    assert ["for", "all", "scenarios,", "bad", *4 * ["10", "s"]] in [line.split() for line in text.split("\n")]
    assert "(VSS): 9 s. For the mean 19 s, for all scenarios 10 s." in text
    assert "(EVPI): 3 s. For all scenarios 10 s, for each scenario its own 7 s." in text
    for width in (40, 60, 80):
        assert max(map(len, printed(found, width).split("\n"))) <= width
    assert repr(found) == "<ScenarioStudy net: 5 plans>"


def test_tables_and_data_have_all_numbers():
    found = dp.scenarios(far(), threads=1)
    row = found.to_rows()[1]
    assert (row["plan"], row["objective"], row["in bad"], row["regret in bad"]) == (MEAN, 19, 34, 24)
    assert "regret in bad (s)" in found.to_csv()
    assert "regret in" not in found.to_latex()
    data = json.loads(json.dumps(found.to_data()))
    assert (data["format"], data["value_of_a_stochastic_plan"]["found"]) == ("dnnopt-scenarios", 9)
    assert data["plans"][1]["plan"]["placement"] == {"net": {"a": "p", "b": "q"}}
    assert data["plans"][-1]["plan"] is None


@pytest.mark.parametrize(
    ("change", "options", "parts"),
    [
        ({"scenarios": ()}, {}, ("scenarios", "missing: the problem has none", "probability")),
        ({"minimize": dp.in_order(dp.latency(), dp.energy())}, {}, ("several priorities",)),
        ({}, {"baselines": ["gredy"]}, ("baselines", "gredy", "greedy")),
        ({}, {"formulation": "none"}, ("formulation", "none")),
        ({}, {"time_limit": -1}, ("time_limit", "-1")),
        ({}, {"gap": -1}, ("gap", "-1")),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(change, options, parts):
    with pytest.raises((dp.InputError, dp.UnsupportedError)) as caught:
        dp.scenarios(far().replace(**change), **options)
    for part in parts:
        assert part in str(caught.value)


def test_ctrl_c_keeps_the_plans_that_were_found():
    asked = []

    def interrupt(name, result):
        asked.append(name)
        if len(asked) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    found = dp.scenarios(far(), threads=1, watch=interrupt)
    assert asked == ["for good", "for bad"]
    assert not found.complete
    assert found.status == "interrupted"
    assert values(found)[EACH] == (4, 10)
    assert "Not complete: interrupted." in printed(found)


@pytest.fixture
def file(tmp_path):
    dp.write_problem(far(), tmp_path / "far.json")
    return tmp_path / "far.json"


def test_the_command_prints_the_report_and_writes_files(file, tmp_path):
    run = dnnopt(
        "scenarios", file, "--baseline", "greedy", "-t", "20", "--threads", "1", "--json", tmp_path / "out.json"
    )
    assert run.returncode == 0, run.output
    assert "(VSS): 9 s" in run.stdout
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["value_of_knowing"]["found"] == 3
    assert dnnopt("scenarios", file, "--csv", "-").stdout.startswith("plan,latency (s),expected (s),worst (s)")
    assert "| for the mean | 19 |" in dnnopt("scenarios", file, "--markdown", "-").stdout
    assert "\\toprule" in dnnopt("scenarios", file, "--latex", "-").stdout


def test_the_command_refuses_what_has_no_scenarios_and_exits_1_without_a_plan(file):
    check_refused(dnnopt("scenarios", "small/001"), "scenarios", "missing: the problem has none")
    run = dnnopt("scenarios", file, "--set", "deadline=1 s")
    assert run.returncode == 1
    assert "infeasible" in run.stdout
