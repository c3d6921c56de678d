"""Why a problem is infeasible: sets that are infeasible by themselves, and no longer if any one part is left out."""

import dataclasses
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
from dnnopt.base.numbers import format_runtime
from dnnopt.problem.constraints import (
    Bandwidth,
    Deadline,
    MaxCuts,
    MaxDevices,
    Memory,
    Placement,
    Separate,
    Utilisation,
)
from dnnopt.problem.modes import Mode
from dnnopt.problem.plan import read_plan
from dnnopt.problem.platforms import Route
from dnnopt.problem.problem import write_problem
from dnnopt.problem.profiles import Profile
from dnnopt.problem.scenarios import Scenario
from dnnopt.referee import evaluate
from dnnopt.studies import enough, explain
from dnnopt.studies.explain import explain_infeasibility
from dnnopt.studies.explanation import Enough

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

    @settings(max_examples=60)
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
        check_conflicts(problem, explanation, seen)

    def enough_was_seen():
        return seen["constraint"] >= 3 and seen["exact"] >= 10 and seen["impossible"] >= 1 and seen["2 conflicts"] >= 3

    check_until(check, lambda: sum(seen[size] for size in (1, 2, 3, 4)) >= 10 and enough_was_seen())


def check_conflicts(problem, explanation, seen):
    """Assert that every conflict is minimal, that the rest is feasible, and what each limit would have to allow."""
    sets = [{read(label) for label in conflict.groups} for conflict in explanation.conflicts]
    assert sum(map(len, sets)) == len(set().union(*sets))
    assert explanation.complete
    assert brute_force(with_only(problem, set(parts_of(problem)) - set().union(*sets))).objective is not None
    seen[f"{len(sets)} conflicts"] += 1
    for own, conflict in zip(sets, explanation.conflicts, strict=True):
        assert brute_force(with_only(problem, own)).objective is None
        others = set().union(*(other for other in sets if other is not own))
        for one in conflict.enough:
            seen[one.status] += 1
            if "bytes/s" in one.unit or len(problem.networks) > 1:
                continue
            allowing = {
                value: brute_force(with_only(*allowed(problem, one, value, others))).objective is not None
                for value in ([one.value, 0.999 * one.value] if one.status == "exact" else [1e9])
            }
            assert list(allowing.values()) == ([True, False] if one.status == "exact" else [False]), one


def allowed(problem, enough, value, others):
    """Return the problem with another limit, and all its parts but some."""
    _, index = read(enough.group)
    entry = problem.subject_to[index]
    if isinstance(entry, Memory):
        device = enough.quantity.removeprefix("memory of ")
        entry = entry.replace(limits={**entry.limits, device: value})
    elif isinstance(entry, Bandwidth) and entry.link is None:
        raise AssertionError("a limit for every link")
    else:
        whole = isinstance(entry, MaxDevices | MaxCuts)
        entry = entry.replace(limit=min(int(value), 1000) if whole else value)
    entries = (*problem.subject_to[:index], entry, *problem.subject_to[index + 1 :])
    return problem.replace(subject_to=entries), set(parts_of(problem)) - others


def far_apart(*limits, **fields):
    """Return layers a and b that take 4 and 1 s on p, 1 and 4 s on q, and what a sends b 2 s."""
    on = platform(
        [dp.Device(name="p", memory=10, power=1.0), dp.Device(name="q", memory=10, power=2.0, price=1.0)],
        [link("w", sender="p", receiver="q")],
        {"p>q": "w", "q>p": "w"},
    )
    net = network([layer("a", 4), layer("b", 6)], [tensor("t", "a", "b", 2)], rate=0.5)
    return problem(net, on, {"a": (4, 1), "b": (1, 4)}, subject_to=limits).replace(**fields)


ON_P = Placement(network="net", layer="a", allowed=("p",))
ON_Q = Placement(network="net", layer="b", allowed=("q",))
SMALL = Placement(network="net", layer="a", allowed=("p:small",))
APART = Separate(network="net", layers=("a", "b"))


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        ([Deadline(limit=3)], "latency of net: 4 s would be enough, 3 s allowed"),
        ([ON_P, ON_Q, Deadline(limit=3)], "latency of net: 10 s would be enough, 3 s allowed"),
        ([MaxDevices(limit=0)], "number of devices: 1 would be enough, 0 allowed"),
        ([APART, MaxCuts(limit=0)], "number of cuts: 1 would be enough, 0 allowed"),
        ([ON_P, Memory(limits={"p": 3})], "memory of p: 4 B would be enough, 3 B allowed"),
        ([dp.energy() <= 1], "energy: 3 J would be enough, 1 J allowed"),
        ([ON_Q, dp.energy("q") <= 1], "energy of q: 8 J would be enough, 1 J allowed"),
        ([ON_Q, dp.cost() <= 1], "cost: 4 USD would be enough, 1 USD allowed"),
        ([APART, dp.traffic() <= 1], "traffic: 2 B would be enough, 1 B allowed"),
        ([APART, Bandwidth(link="w", limit=1)], "traffic of w per inference: 2 B would be enough, 1 B allowed"),
        ([APART, dp.period() <= 0.5], "period: 2 s would be enough, 500 ms allowed"),
        ([APART, Utilisation(limit=0.5)], "utilisation: 1 would be enough, 0.5 allowed"),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else None,
)
def test_what_a_limit_would_have_to_allow_is_said_and_is_enough(limits, line):
    explanation = explain_infeasibility(far_apart(*limits))
    assert f"    {line}" in str(explanation).splitlines()
    (one,) = [one for one in explanation.enough if str(one) == line]
    assert one.status == "exact"
    assert one.plan.placement["net"]


SLOW = [
    Scenario(name="usual", probability=0.75),
    Scenario(name="slow", probability=0.25, speed={"p": 0.5, "q": 0.5}, bandwidth={"w": 0.5}),
]


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        ([Deadline(limit=3, across="worst")], "worst latency of net: 8 s would be enough, 3 s allowed"),
        ([Deadline(limit=3, across="cvar", level=0.0)], "cvar 0 of latency of net: 5 s would be enough, 3 s allowed"),
        ([Deadline(limit=3, share=0.9)], ""),
        ([dp.worst(dp.energy()) <= 1], "worst energy: 6 J would be enough, 1 J allowed"),
        ([ON_Q, dp.cvar(dp.cost(), 0.0) <= 1], "cvar 0 of cost: 5 USD would be enough, 1 USD allowed"),
    ],
)
def test_what_would_be_enough_is_looked_at_across_scenarios_as_the_limit_is(limits, line):
    explanation = explain_infeasibility(far_apart(*limits, scenarios=SLOW))
    assert [str(one) for one in explanation.enough] == [line] * bool(line)
    assert explanation.minimal


NOT_Q = "memory of q: no value alone would be enough, 99 B allowed"


@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        ([dp.batch_latency(3) <= 1], ["batch latency: 8 s would be enough, 1 s allowed"]),
        ([SMALL, dp.accuracy_loss() <= 0.1], ["accuracy loss: 0.5 would be enough, 0.1 allowed"]),
        ([SMALL, Memory(limits={"p": 5, "q": 99})], ["memory of p: 8 B would be enough, 5 B allowed", NOT_Q]),
    ],
)
def test_limits_on_choices_are_reasons_too(limits, lines):
    modes = [Mode(name="full"), Mode(name="small", weight_bytes=0.25, loss=0.5)]
    one = far_apart()
    devices = [device.replace(modes=modes) for device in one.platform.devices]
    layers = [layer.replace(state=7.0) for layer in one.networks[0].layers]
    changed = one.replace(
        platform=one.platform.replace(devices=devices),
        networks=one.networks[0].replace(layers=layers),
        subject_to=limits,
    )
    assert [str(found) for found in explain_infeasibility(changed).enough] == lines


def test_losses_in_a_profile_and_early_exits_under_parallel_execution_are_seen():
    limits = [dp.accuracy_loss() <= 0.1, ON_P]
    one = far_apart(*limits, minimize=dp.energy(), execution="parallel")
    layers = [one.networks[0].layers[0], one.networks[0].layers[1].replace(reach=0.5)]
    lossy = one.replace(
        networks=one.networks[0].replace(layers=layers),
        profile=one.profile.replace(loss={"net": {"a": {"p": 0.2}}}),
    )
    (found,) = explain_infeasibility(lossy).enough
    assert str(found) == "accuracy loss: 0.2 would be enough, 0.1 allowed"


def test_reasons_that_share_no_part_are_all_given_and_no_value_is_claimed_where_none_helps():
    limits = [MaxDevices(limit=0), ON_P, Memory(limits={"p": 3}), Deadline(limit=20), dp.cost() <= 50]
    explanation = explain_infeasibility(far_apart(*limits))
    assert [conflict.groups for conflict in explanation.conflicts] in (
        [("max_devices (subject_to[0])",), ("placement(net.a) (subject_to[1])", "memory (subject_to[2])")],
        [("placement(net.a) (subject_to[1])", "memory (subject_to[2])"), ("max_devices (subject_to[0])",)],
    )
    assert explanation.complete
    assert explanation.minimal
    known = {one.quantity: (one.status, one.value) for one in explanation.enough}
    assert known == {
        "number of devices": ("exact", 1),
        "memory of p": ("exact", 4),
        "memory of q": ("impossible", None),
    }
    text = str(explanation)
    assert text.startswith("infeasible, for 2 reasons that share no part")
    assert "these cannot hold together:\n  - placement(net.a) (subject_to[1])\n  - memory (subject_to[2])\n" in text
    assert "this alone allows no plan:\n  - max_devices (subject_to[0])\n" in text
    assert "memory of q: no value alone would be enough, 10 B allowed" in text
    assert len(explanation.to_rows()) == 4
    data = explanation.to_data()
    assert [conflict["minimal"] for conflict in data["conflicts"]] == [True, True]
    assert {one["quantity"] for conflict in data["conflicts"] for one in conflict["enough"]} == set(known)


def test_a_value_that_was_found_but_not_proved_is_an_upper_one_and_what_was_not_found_is_said_so(monkeypatch):
    solved = enough.solve

    def unproved(problem, **options):
        return dataclasses.replace(solved(problem, **options), status="feasible")

    def nothing(problem, **options):
        return dataclasses.replace(unproved(problem, **options), status="no_solution", plan=None, evaluation=None)

    one = far_apart(ON_P, ON_Q, Deadline(limit=3))
    monkeypatch.setattr(enough, "solve", unproved)
    assert "latency of net: at most 10 s would be enough, 3 s allowed" in str(explain_infeasibility(one))
    monkeypatch.setattr(enough, "solve", nothing)
    found = explain_infeasibility(one, seconds_each=2.5)
    (unknown,) = found.enough
    assert unknown.seconds > 0
    said = f"not determined in {format_runtime(unknown.seconds)} what would be enough"
    assert f"latency of net: {said}" in str(found)
    assert str(dataclasses.replace(unknown, seconds=0.0)).endswith("not determined in time what would be enough")


def test_where_time_ends_before_the_rest_is_decided_it_is_said(monkeypatch):
    decided = explain._answer
    one = far_apart(MaxDevices(limit=0), ON_P)

    def undecided(problem, groups, clock):
        asked.append([group.key[0] for group in groups])
        return None if asked.count(["placement"]) > 1 else decided(problem, groups, clock)

    asked = []
    monkeypatch.setattr(explain, "_answer", undecided)
    explanation = explain_infeasibility(one)
    assert (explanation.groups, explanation.complete) == (("max_devices (subject_to[0])",), False)
    assert str(explanation).endswith("the time ended: there may be more reasons")


@pytest.mark.parametrize(("value", "text"), [(61.04e6, "61.04 MB"), (61.041e6, "61.05 MB"), (4.0 + 1e-12, "4 B")])
def test_what_is_enough_is_never_rounded_down(value, text):
    one = Enough("memory (subject_to[0])", "memory of p", 1.0, "bytes", "exact", value)
    assert str(one) == f"memory of p: {text} would be enough, 1 B allowed"


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


def test_of_two_reasons_both_are_given():
    on = platform("p q", [link("w")], {"p>q": "w"})
    apart = Separate(network="net", layers=("a", "b"))
    one = chain(on, {"a": (1, 1), "b": (1, 1)}, [Deadline(limit=1.5), apart, MaxDevices(limit=1)])
    explanation = explain_infeasibility(one)
    assert {conflict.groups for conflict in explanation.conflicts} == {
        ("deadline (subject_to[0])",),
        ("separate(net:a,b) (subject_to[1])", "max_devices (subject_to[2])"),
    }


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
    (conflict,) = explanation.to_data()["conflicts"]
    assert (conflict["undetermined"], conflict["minimal"]) == (list(labels), False)
    assert [row["needed"] for row in explanation.to_rows()] == [None, None]


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
