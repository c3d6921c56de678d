"""Sweeps find the optimal plan at every value of a parameter, and the exact places where it changes."""

import json
import math
from collections import Counter

import pytest
from brute_force import judged_plans
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.problem.constraints import Deadline, Memory, MetricLimit, Utilisation
from dnnopt.problem.custom import CustomConstraint
from dnnopt.problem.objectives import energy, latency
from dnnopt.problem.parameters import parse_range, parse_setting
from dnnopt.referee import evaluate
from dnnopt.studies.sweeping import sweep


def far(bandwidth=1.0, **fields):
    """All on p takes 10 s and no energy; the second layer on q takes 2 s and 8 bytes, and 6 J."""
    net = network([layer("a", 1), layer("b", 5)], [tensor("t", "a", "b", 8)], rate=0.05, source="p")
    on = platform("p q", [link("w", bandwidth)], {"p>q": "w", "q>p": "w"})
    given = {"energies": {"a": (0, 9), "b": (0, 6)}, "subject_to": [Memory(limits={"q": 5})]} | fields
    return problem(net, on, {"a": (0, 9), "b": (10, 2)}, **given)


def devices(found):
    """Return where the second layer runs in each segment."""
    return [None if plan is None else found.plans[plan].placement["net"]["b"] for _, _, plan in found.segments]


class NotInBetween(CustomConstraint):
    """The second layer is not on q where q may hold 8 to 12 bytes."""

    label = "not in between"

    def violation(self, problem, plan):
        return float(8 <= problem.subject_to[0].limits["q"] <= 12 and plan.placement["net"]["b"] == "q")

    def add(self, build):
        if 8 <= build.c.constraints[0].limit <= 12:
            build.model.add_rows(self.label, build.x[-1], [0.0, 1.0], upper=0.0)


def test_a_constraint_of_ones_own_may_read_the_parameter_so_nothing_is_concluded_from_other_points():
    limited = far(bandwidth=4.0).subject_to
    odd = far(bandwidth=4.0, subject_to=[*limited, NotInBetween()])
    few = sweep(odd, "memory(q)=6..20 B", points=2, threads=1)
    assert devices(few) == ["q"]
    assert not few.exhaustive
    assert sweep(far(bandwidth=4.0), "memory(q)=6..20 B", points=2, threads=1).exhaustive
    more = sweep(odd, "memory(q)=6..20 B", points=5, scale="linear", threads=1)
    assert devices(more) == ["q", "p", "q"]
    assert [one.low for one in more.breaks] == pytest.approx([8, 12], rel=2e-6)
    assert not sweep(odd, "weight(latency)=1..2", points=2, threads=1).exhaustive


BOTH = {"minimize": latency() + energy(), "subject_to": [], "bandwidth": 4.0}
CHEAP = {"minimize": energy()}


@pytest.mark.parametrize(
    ("vary", "fields", "where", "places"),
    [
        ("bandwidth(w)=0.1B/s..10B/s", {}, "pq", [1]),  # 8 / bandwidth + 2 = 10
        ("bandwidth=0.1..10", {}, "pq", [1]),
        ("memory(q)=1B..20 B", {"bandwidth": 4.0}, "pq", [5]),
        ("memory=0.1..10", {"bandwidth": 4.0}, "pq", [1]),
        ("deadline=1..100 s", CHEAP, [None, "p"], [10]),
        ("deadline=1..100 s", CHEAP | {"subject_to": [Deadline(limit=1)], "bandwidth": 4.0}, [None, "q", "p"], [4, 10]),
        ("rate=0.01..1 /s", CHEAP | {"subject_to": [Utilisation(limit=1.0)]}, ["p", "q", None], [1 / 10, 1 / 8]),
        ("period=1..100 s", CHEAP, [None, "q", "p"], [8, 10]),
        ("throughput=0.01..1 /s", CHEAP, ["p", "q", None], [1 / 10, 1 / 8]),
        ("weight(energy)=0.1..4", BOTH, "qp", [1]),  # 4 + 6 weight = 10
    ],
)
def test_break_points_by_hand(vary, fields, where, places):
    found = sweep(far(**fields), vary, points=4, threads=1)
    assert found.exhaustive
    assert devices(found) == list(where)
    assert [(b.low + b.high) / 2 for b in found.breaks] == pytest.approx(places, rel=2e-6)
    for limit in found.breaks:
        assert limit.proved
        assert 0 < limit.high - limit.low <= 1e-6 * limit.high


def test_a_linear_scale_may_begin_at_0():
    found = sweep(far(**BOTH), "weight(energy)=0..4", points=3, scale="linear", threads=1)
    assert found.exhaustive
    assert devices(found) == ["q", "p"]
    assert found.breaks[0].low == pytest.approx(1, abs=1e-5)


def objective_at(one, parameter, value):
    """Return the best objective by enumeration; infinite where there is none."""
    judged = judged_plans(parameter.at(one, value))
    return min((j.objective for _, j in judged if j.feasible), default=math.inf)


def inside(found):
    """Yield values within each segment, away from its ends, with the segment's plan."""
    for low, high, plan in found.segments:
        if high - low > 1e-4 * high:
            yield from ((low + share * (high - low), plan) for share in (0.1, 0.5, 0.9))


def test_optimal_plans_and_break_points_match_a_dense_scan():
    seen = Counter()
    kinds = ["bandwidth=0.2..5", "memory=0.4..2.5", "deadline"]

    @settings(max_examples=15)
    @given(problems(most_placements=30, largest_spread=0, most_constraints=2), st.sampled_from(kinds))
    def check(one, vary):
        assume(vary[:6] != "memory" or any(isinstance(spec, Memory) for spec in one.subject_to))
        assume(vary[:4] != "band" or one.platform.links)
        if vary == "deadline":
            times = [judged.metrics["latency"] for _, judged in judged_plans(one)]
            positive = [time for time in times if 0 < time < math.inf]
            assume(positive)
            vary = f"deadline={0.5 * min(positive)!r}..{2 * max(positive)!r} s"
        found = sweep(one, vary, points=3, threads=1, baselines=())
        parameter = found.parameter
        assert found.complete
        for point in found.points:
            expected = objective_at(one, parameter, point.value)
            if math.isinf(expected):
                assert point.plan is None
                assert point.status == "infeasible"
            else:
                assert point.objective == pytest.approx(expected, rel=2e-6)
        for limit in found.breaks:
            assert limit.high - limit.low <= 1e-6 * limit.high
        if found.exhaustive:
            for value, plan in inside(found):
                expected = objective_at(one, parameter, value)
                judged = None if plan is None else evaluate(found.at(value), found.plans[plan])
                value = judged.objective if judged and judged.feasible else math.inf
                assert value == pytest.approx(expected, rel=2e-6)
        seen["exhaustive" if found.exhaustive else "not"] += 1
        seen["breaks"] += len(found.breaks)

    check_until(check, lambda: seen["breaks"] and seen["exhaustive"])


def test_schedules_keep_their_order_at_other_bandwidths():
    tensors = [tensor("t", "a", "b c", 4), tensor("u", "b", "d", 2), tensor("v", "c", "d", 2)]
    net = network("a b c d", tensors, source="p")
    on = platform("p q", [link("w"), link("r")], {"p>q": "w", "q>p": "r"})
    times = {"a": (1, 9), "b": (4, 2), "c": (4, 2), "d": (1, 9)}
    found = sweep(problem(net, on, times, execution="scheduled"), "bandwidth=0.1..100", points=4, threads=1)
    assert found.complete
    assert not found.exhaustive
    assert len(found.breaks) >= 1
    values = [point.objective for point in found.points]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (10, pytest.approx(1 + 4 / 100 + 4 + 2 / 100 + 1, rel=0.2))


def test_points_are_kept_in_a_folder_and_not_solved_again(tmp_path):
    solved = []
    first = sweep(far(), "bandwidth=0.1..10", points=3, output=tmp_path / "runs", watch=solved.append, threads=1)
    assert len(solved) == len(first.points)
    again = sweep(far(), "bandwidth=0.1..10", points=3, output=tmp_path / "runs", threads=1)
    assert again.points == first.points  # their seconds too
    (tmp_path / "runs" / "1.0.json").unlink()
    assert sweep(far(), "bandwidth=0.1..10", points=3, output=tmp_path / "runs", threads=1).breaks == first.breaks
    with pytest.raises(InputError, match=r"sweep\.json: parameter: got 'bandwidth', expected 'bandwidth\(w\)'"):
        sweep(far(), "bandwidth(w)=1..2 B/s", output=tmp_path / "runs")


def test_more_points_than_allowed_are_not_solved():
    found = sweep(far(), "bandwidth=0.1..10", points=2, most=2, threads=1)
    assert (len(found.points), found.complete, found.exhaustive) == (2, False, False)
    assert "not complete" in str(found)


def test_data_rows_and_text_have_every_point():
    found = sweep(far(), "bandwidth=0.1..10", points=3, threads=1)
    data = found.to_data()
    assert json.loads(json.dumps(data))["points"][0]["value"] == 0.1
    assert len(data["breaks"]) == 1
    rows = found.to_rows()
    assert [row["bandwidth"] for row in rows] == [point.value for point in found.points]
    assert rows[0]["all-on-one"] == 10
    text = str(found)
    for part in ("plan 2", "1 break point, within 0.0001 % of its value; no other is possible", "PQ", "P p, Q q"):
        assert part in text


def test_the_picture_has_a_line_at_each_break_point():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    found = sweep(far(), "bandwidth=0.1..10", points=3, threads=1)
    above, below = found.plot().axes
    vertical = [drawn for drawn in above.lines if len(set(drawn.get_xdata())) == 1]
    assert [drawn.get_xdata()[0] for drawn in vertical] == [found.breaks[0].high]
    assert below.get_xlabel() == "bandwidth"


@pytest.mark.parametrize(
    ("vary", "options", "part"),
    [
        ("speed=1..2", {}, "NAME is one of bandwidth"),
        ("bandwidth=1", {}, r"NAME=LOW\.\.HIGH"),
        ("bandwidth(w)=1..2", {}, "2 B/s, or 2 Mbit/s. Write 'bandwidth.w.=1..2 Mbit/s'"),
        ("memory(q)=1 B..2", {}, "2 bytes, or 2 MiB"),
        ("throughput=0..2 /s", {}, "0 < LOW"),
        ("period(net)=1..2 s", {}, "'period' without names"),
        ("bandwidth=0..2", {}, "0 < LOW < HIGH"),
        ("memory=2..1", {}, "0 <= LOW < HIGH"),
        ("bandwidth(w)=1s..2s", {}, "vary: got '2s', expected bandwidth"),
        ("bandwidth(x)=1..2 B/s", {}, "the name of a link: w"),
        ("memory(x)=1..2 B", {}, "the name of a device: p, q"),
        ("weight(cost)=1..2", {}, "no such term"),
        ("weight=1..2", {}, "term of the objective in brackets"),
        ("rate=1..2 /s", {}, "no utilisation or bandwidth constraint"),
        ("deadline=0..2 s", {}, "scale: got 'log'"),
        ("bandwidth=1..2", {"points": 1}, "points: got 1"),
        ("bandwidth=1..2", {"most": 5}, "most: got 5"),
        ("bandwidth=1..2", {"scale": "square"}, "scale: got 'square'"),
        ("bandwidth=1..2", {"tolerance": 0}, "tolerance: got 0"),
        ("bandwidth=1..2", {"baselines": ["magic"]}, "baselines: got 'magic'"),
        ("bandwidth=1..2", {"solver": "gurobi"}, "gurobi"),
        ("bandwidth=1..2", {"time_limit": 0}, "time_limit"),
    ],
)
def test_bad_input_is_refused(vary, options, part):
    with pytest.raises(InputError, match=part):
        sweep(far(), vary, **options)


def test_several_priorities_are_refused():
    one = far(minimize=[latency(), energy().model_copy(update={"priority": 1})])
    with pytest.raises(UnsupportedError, match="several priorities"):
        sweep(one, "bandwidth=1..2")


@pytest.mark.parametrize(
    ("text", "shown", "low", "high"),
    [
        ("bandwidth(up, down)=1MB/s..100 MB/s", "bandwidth(up,down)", 1e6, 1e8),
        ("memory(pi)=8MiB..64MiB", "memory(pi)", 8 * 2**20, 64 * 2**20),
        ("rate(net)=1Hz..30Hz", "rate(net)", 1, 30),
        ("weight(energy(pi,idle))=0..1.5", "weight(energy(pi,idle))", 0, 1.5),
        ("bandwidth(up)=5..100 Mbit/s", "bandwidth(up)", 625e3, 12.5e6),
        ("bandwidth(up)=500 kbit/s..100 Mbit/s", "bandwidth(up)", 62500, 12.5e6),
        ("throughput=1..20 fps", "throughput", 1, 20),
        ("period=10..500 ms", "period", 0.01, 0.5),
        ("deadline=0..2 s", "deadline", 0, 2),
        ("deadline = 10ms .. 2s", "deadline", 0.01, 2),
    ],
)
def test_ranges_are_read_with_units(text, shown, low, high):
    parameter, *limits = parse_range(text)
    assert str(parameter) == shown
    assert limits == pytest.approx([low, high])


def test_a_limit_on_the_period_reads_bandwidths():
    limited = far(**CHEAP | {"subject_to": [MetricLimit(metric="period", limit=9)]})
    found = sweep(limited, "bandwidth=0.1..10", points=2, threads=1)
    assert devices(found) == [None, "q"]  # 8 bytes in 9 s
    assert found.breaks[0].low == pytest.approx(8 / 9, rel=1e-5)


def test_the_links_of_a_shared_resource_are_varied_together():
    net = network([layer("a", 1), layer("b", 5)], [tensor("t", "a", "b", 8), tensor("u", "b", "output", 8)])
    ways = [link("up"), link("down"), link("other")]
    on = platform("p q", ways, {"p>q": "up", "q>p": "down"}, {"air": "up down"})
    one = problem(net.replace(source="p", sink="p"), on, {"a": (0, 9), "b": (10, 2)})
    parameter, value = parse_setting("bandwidth(air)=4 B/s")
    parameter.check(one)
    assert [link.bandwidth for link in parameter.at(one, value).platform.links] == [4, 4, 1]
    found = sweep(one, "bandwidth(air)=1..10 B/s", points=2, threads=1)
    assert found.breaks[0].low == pytest.approx(2, rel=1e-5)  # 16 bytes in 8 s
    with pytest.raises(InputError, match="the name of a link, or of a resource of links: air, down, other, up"):
        sweep(one, "bandwidth(radio)=1..10 B/s")


@pytest.mark.parametrize(
    ("text", "shown", "value"),
    [
        ("bandwidth(up, down)=5 Mbit/s", "bandwidth(up,down)", 625e3),
        ("bandwidth = 0.5", "bandwidth", 0.5),
        ("memory(pi)=32MiB", "memory(pi)", 2**25),
        ("deadline=0", "deadline", 0),
        ("throughput=20 /s", "throughput", 20),
        ("weight(energy(pi,idle))=2", "weight(energy(pi,idle))", 2),
    ],
)
def test_settings_are_read_with_units(text, shown, value):
    parameter, found = parse_setting(text)
    assert (str(parameter), found) == (shown, pytest.approx(value))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("core", "NAME=VALUE, such as"),
        ("speed=2", "NAME is one of bandwidth"),
        ("bandwidth(up)=5", "5 B/s, or 5 Mbit/s. Write 'bandwidth.up.=5 Mbit/s'"),
        ("bandwidth(up)=0", "> 0"),
        ("throughput=0 /s", "> 0"),
        ("memory(pi)=-1 MB", ">= 0"),
        ("bandwidth(up)=1..2 MB/s", "bandwidth such as"),
        ("weight=2", "term of the objective in brackets"),
        (
            "memory=32 MiB",
            r"got '32 MiB', expected a factor on all, such as '0.5', or names in brackets as in 'memory.NAME",
        ),
    ],
)
def test_settings_that_are_none_are_refused(text, part):
    with pytest.raises(InputError, match=part):
        parse_setting(text)
