"""Why a problem is infeasible: sets that are infeasible by themselves, and no longer if any one part is left out."""

import re
from collections import Counter

import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor
from commands import dnnopt
from examples import check_until
from hypothesis import given, settings
from strategies import problems

import dnnopt as dp
from dnnopt.base.errors import InputError
from dnnopt.problem.constraints import Deadline, MaxDevices, Memory, Placement, Separate
from dnnopt.problem.plan import read_plan
from dnnopt.problem.platforms import Route
from dnnopt.problem.problem import write_problem
from dnnopt.problem.profiles import Profile
from dnnopt.referee import evaluate
from dnnopt.studies import explain
from dnnopt.studies.explain import explain_infeasibility

ROUTE = re.compile(r"no route from (\w+) to (\w+)")
UNSUPPORTED = re.compile(r"layer (\w+) of (\w+) cannot run on (.*)")
LISTED = re.compile(r".* \(subject_to\[(\d+)\]\)")


def parts_of(one):
    """Return every part of a problem that may be the reason, as its labels in an explanation start."""
    pairs = [(i.name, j.name) for i in one.platform.devices for j in one.platform.devices if i.name != j.name]
    routed = {(route.origin, route.destination) for route in one.platform.routes}
    times = [(net, name, row) for net, rows in one.profile.time.items() for name, row in rows.items()]
    return (
        [("constraint", index) for index in range(len(one.subject_to))]
        + [("route", pair) for pair in pairs if pair not in routed]
        + [("unsupported", (net, name)) for net, name, row in times if None in row.values()]
    )


def read(label):
    """Return the part that a label of an explanation names."""
    if match := LISTED.fullmatch(label):
        return "constraint", int(match[1])
    if match := ROUTE.fullmatch(label):
        return "route", (match[1], match[2])
    match = UNSUPPORTED.fullmatch(label)
    assert match, label
    return "unsupported", (match[2], match[1])


def with_only(one, kept):
    """Return the problem with these of its parts: other routes are free, and other layers take no time where null."""
    free = [Route(origin=pair[0], destination=pair[1]) for kind, pair in parts_of(one) if kind == "route"]
    routes = [route for route in free if ("route", (route.origin, route.destination)) not in kept]
    times = {
        net: {
            name: {
                device: 0.0 if seconds is None and ("unsupported", (net, name)) not in kept else seconds
                for device, seconds in row.items()
            }
            for name, row in rows.items()
        }
        for net, rows in one.profile.time.items()
    }
    return one.model_copy(
        update={
            "subject_to": tuple(c for index, c in enumerate(one.subject_to) if ("constraint", index) in kept),
            "platform": one.platform.model_copy(update={"routes": (*one.platform.routes, *routes)}),
            "profile": Profile(time=times, energy=one.profile.energy),
        }
    )


def test_explanations_of_random_problems_are_a_plan_or_infeasible_and_minimal():
    seen = Counter()

    @settings(max_examples=150)
    @given(problems(most_placements=90, largest_spread=2))
    def check(problem):
        explanation = explain_infeasibility(problem)
        seen[explanation.status] += 1
        if brute_force(problem).objective is not None:
            assert (explanation.status, explanation.groups, explanation.minimal) == ("feasible", (), False)
            assert evaluate(problem, explanation.plan).feasible
            return
        assert explanation.plan is None
        assert explanation.minimal
        needed = [read(label) for label in explanation.groups]
        assert set(needed) <= set(parts_of(problem))
        assert brute_force(with_only(problem, needed)).objective is None
        for part in needed:
            rest = [other for other in needed if other != part]
            assert brute_force(with_only(problem, rest)).objective is not None
        seen[len(needed)] += 1
        seen.update(kind for kind, _ in needed)

    check_until(check, lambda: sum(seen[size] for size in (1, 2, 3, 4)) >= 10 and seen["constraint"] >= 3)


def chain(on, times, subject_to=(), **fields):
    net = network([layer("a", 4), layer("b", 4)], [tensor("t", "a", "b", 1)], **fields)
    return problem(net, on, times, subject_to=subject_to)


def test_an_absent_route_is_named_with_its_pair():
    one = chain(
        platform("p q r", [link("w")], {"q>p": "w", "p>r": "w", "r>q": "w"}), {"a": (1, None, 1), "b": (1, 1, 1)}
    )
    pinned = [
        Placement(network="net", layer="a", allowed=("p",)),
        Placement(network="net", layer="b", allowed=("q",)),
    ]
    explanation = explain_infeasibility(one.model_copy(update={"subject_to": tuple(pinned)}))
    assert explanation.groups == (
        "placement(net.a) (subject_to[0])",
        "placement(net.b) (subject_to[1])",
        "no route from p to q",
    )
    assert "no route from p to q" in str(explanation)


def test_a_layer_that_no_device_supports_is_named_with_the_devices():
    one = chain(platform("p q", [link("w")], {"p>q": "w"}), {"a": (None, None), "b": (1, 1)})
    assert explain_infeasibility(one).groups == ("layer a of net cannot run on p, q",)


def test_placements_that_contradict_each_other_are_both_named():
    here = Placement(network="net", layer="a", allowed=("p",))
    there = Placement(network="net", layer="a", allowed=("q",))
    one = chain(
        platform("p q", [link("w")], {"p>q": "w"}), {"a": (1, 1), "b": (1, 1)}, [MaxDevices(limit=2), here, there]
    )
    explanation = explain_infeasibility(one)
    assert explanation.groups == ("placement(net.a) (subject_to[1])", "placement(net.a) (subject_to[2])")
    assert explanation.minimal


def test_of_two_reasons_one_is_given():
    on = platform("p q", [link("w")], {"p>q": "w"})
    apart = Separate(network="net", layers=("a", "b"))
    one = chain(on, {"a": (1, 1), "b": (1, 1)}, [Deadline(limit=1.5), apart, MaxDevices(limit=1)])
    explanation = explain_infeasibility(one)
    assert explanation.groups in (
        ("deadline (subject_to[0])",),
        ("separate(net:a,b) (subject_to[1])", "max_devices (subject_to[2])"),
    )


def test_memory_and_deadline_that_only_together_leave_no_plan():
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    limits = [Memory(limits={"p": 4, "q": 8}), Deadline(limit=4)]
    one = chain(on, {"a": (1, 9), "b": (1, 9)}, limits)
    for index in range(2):
        assert brute_force(one.model_copy(update={"subject_to": (limits[index],)})).objective is not None
    assert explain_infeasibility(one).groups == ("memory (subject_to[0])", "deadline (subject_to[1])")


def test_without_time_nothing_is_claimed():
    one = chain(platform("p"), {"a": (None,), "b": (1,)}, [MaxDevices(limit=1)])
    explanation = explain_infeasibility(one, time_limit=1e-6)
    assert (explanation.status, explanation.groups, explanation.plan) == ("unknown", (), None)
    assert not explanation.minimal
    assert str(explanation) == "not determined in time whether there is a feasible plan"


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_limit_that_is_no_time_is_refused(seconds):
    with pytest.raises(InputError, match=r"time_limit: got .*, expected seconds > 0"):
        explain_infeasibility(chain(platform("p"), {"a": (1,), "b": (1,)}), seconds)


@pytest.mark.parametrize("execution", ["sequential", "parallel", "pipelined", "scheduled", "call"])
def test_a_feasible_problem_is_said_to_be_so_with_a_plan(execution):
    on = platform("p q", [link("w", sender="p", receiver="q")], {"p>q": "w", "q>p": "w"})
    least = 4 if execution == "call" else 3  # both calls take the transfer
    one = chain(on, {"a": (1, 9), "b": (9, 1)}, [Deadline(limit=least)]).replace(execution=execution)
    explanation = explain_infeasibility(one)
    assert explanation.status == "feasible"
    assert evaluate(one, explanation.plan).feasible
    assert explanation.plan.placement["net"] == {"a": "p", "b": "q"}
    late = explain_infeasibility(one.replace(subject_to=[Deadline(limit=least - 0.5)]))
    assert (late.status, late.plan) == ("infeasible", None)
    assert late.groups == ("deadline (subject_to[0])",)


def test_a_group_that_is_not_decided_in_time_stays_in_and_is_marked(monkeypatch):
    here = Placement(network="net", layer="a", allowed=("p",))
    there = Placement(network="net", layer="a", allowed=("q",))
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    one = chain(on, {"a": (1, 1), "b": (1, 1)}, [MaxDevices(limit=2), here, there])
    decided = explain._answer

    def undecided(problem, groups, clock):
        return None if len(groups) == 2 and groups[0].key[0] == "max_devices" else decided(problem, groups, clock)

    monkeypatch.setattr(explain, "_answer", undecided)
    explanation = explain_infeasibility(one)
    labels = "placement(net.a) (subject_to[1])", "placement(net.a) (subject_to[2])"
    assert (explanation.groups, explanation.undetermined, explanation.minimal) == (labels, (), True)
    monkeypatch.setattr(explain, "_answer", lambda *given: undecided(*given) if len(given[1]) > 1 else None)
    explanation = explain_infeasibility(one)
    assert (explanation.groups, explanation.undetermined, explanation.minimal) == (labels, labels, False)
    assert str(explanation).count(" ?") == 2
    assert explanation.to_data()["undetermined"] == list(labels)


def test_the_command_line_explains_and_shows_the_plan_of_a_feasible_problem(tmp_path):
    run = dnnopt("explain", "small/001", "--json", tmp_path / "why.json")
    assert run.returncode == 0
    assert "feasible: there is a plan that breaks nothing" in run.stdout
    assert "What runs where" in run.stdout
    problem = dp.load("small/001")
    assert evaluate(problem, read_plan(tmp_path / "why.json", problem)).feasible
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    late = chain(on, {"a": (1, 1), "b": (1, 1)}, [MaxDevices(limit=2), Deadline(limit=1)])
    write_problem(late, tmp_path / "late.json")
    for command in ("explain", "solve"):
        run = dnnopt(command, tmp_path / "late.json")
        assert run.returncode == 1
        assert "- deadline (subject_to[1])" in run.output
        assert "max_devices" not in run.output
    run = dnnopt("explain", tmp_path / "late.json", "--time-limit", "1e-9")
    assert run.returncode == 1
    assert "not determined in time whether there is a feasible plan" in run.output


@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_of_no_devices_is_the_reason_by_itself(limit):
    one = chain(platform("p"), {"a": (1,), "b": (1,)}, [MaxDevices(limit=limit)])
    if limit:
        assert brute_force(one).objective is not None
    else:
        assert explain_infeasibility(one).groups == ("max_devices (subject_to[0])",)
