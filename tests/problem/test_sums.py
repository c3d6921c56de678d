"""Objectives as sums of terms: what a person types adds up as it would on paper."""

import pickle

import numpy as np
import pytest

import dnnopt as dp

LATENCY, ENERGY = dp.latency(), dp.energy("pi")


def weights(objective):
    return [(term.label.rpartition(" x ")[2], term.weight) for term in objective]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (LATENCY + ENERGY, [("latency", 1), ("energy(pi)", 1)]),
        (0.5 * (LATENCY + 2 * ENERGY), [("latency", 0.5), ("energy(pi)", 1)]),
        ((LATENCY + 2 * ENERGY) * 3, [("latency", 3), ("energy(pi)", 6)]),
        ((LATENCY + 2 * ENERGY) / 2, [("latency", 0.5), ("energy(pi)", 1)]),
        (sum([LATENCY, ENERGY, dp.cost()]), [("latency", 1), ("energy(pi)", 1), ("cost", 1)]),
        (sum([LATENCY + ENERGY, dp.cost()]), [("latency", 1), ("energy(pi)", 1), ("cost", 1)]),
        (sum([LATENCY]), [("latency", 1)]),
        (
            (LATENCY + ENERGY) + (dp.cost() + dp.traffic()),
            [(n, 1) for n in ("latency", "energy(pi)", "cost", "traffic")],
        ),
        (dp.cost() + (LATENCY + ENERGY), [("cost", 1), ("latency", 1), ("energy(pi)", 1)]),
        (tuple(LATENCY + ENERGY) + dp.cost(), [("latency", 1), ("energy(pi)", 1), ("cost", 1)]),
        (np.float64(0.5) * (LATENCY + ENERGY), [("latency", 0.5), ("energy(pi)", 0.5)]),
        (0 * (LATENCY + ENERGY), [("latency", 0), ("energy(pi)", 0)]),
    ],
)
def test_terms_add_up(objective, expected):
    assert weights(objective) == expected


def test_a_term_may_be_divided_and_weighted_by_numbers_of_numpy():
    assert (ENERGY / 2).weight == (np.float64(0.5) * ENERGY).weight == (ENERGY * np.float32(0.5)).weight == 0.5


def test_a_sum_pickles_and_equals_its_terms():
    objective = LATENCY + 2 * ENERGY
    assert pickle.loads(pickle.dumps(objective)) == objective == (LATENCY, 2 * ENERGY)
    assert type(pickle.loads(pickle.dumps(objective))) is type(objective)


@pytest.mark.parametrize("minimize", [LATENCY + ENERGY, sum([LATENCY, ENERGY]), (LATENCY, ENERGY)])
def test_a_problem_takes_terms_sums_and_lists_and_keeps_a_tuple(minimize):
    pi = dp.Device("pi", flops_per_s=1e9, bytes_per_s=1e9)
    network = dp.Network("net", (dp.Layer("a", flops=1e9, bytes=1.0),))
    problem = dp.Problem(network, dp.Platform(devices=(pi,)), "sequential", minimize)
    assert problem.minimize == (LATENCY, ENERGY)
    assert [term.metric for term in problem.minimize] == ["latency", "energy"]
    more = problem.replace(minimize=problem.minimize + 2 * dp.cost())
    assert repr(more).endswith("minimise latency + energy(pi) + 2 x cost>")


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: LATENCY - ENERGY, "cannot be subtracted: weights are 0 or more"),
        (lambda: (LATENCY + ENERGY) - ENERGY, "cannot be subtracted"),
        (lambda: LATENCY - (LATENCY + ENERGY), "cannot be subtracted"),
        (lambda: 1 - LATENCY, "cannot be subtracted"),
        (lambda: -LATENCY, "cannot be subtracted"),
        (lambda: -(LATENCY + ENERGY), "cannot be subtracted"),
        (lambda: -1 * LATENCY, "weight: got -1.0, expected a number >= 0"),
        (lambda: LATENCY * ENERGY, "expected a number, as the factor of a term"),
        (lambda: (LATENCY + ENERGY) * "2", "got '2', expected a number, as the factor of a term"),
        (lambda: LATENCY / 0, "got 0, expected a number other than 0"),
        (lambda: (LATENCY + ENERGY) / LATENCY, "expected a number other than 0"),
        (lambda: LATENCY + 1, "got 1, expected a term or a sum of terms"),
        (lambda: "latency" + LATENCY, "got 'latency', expected a term or a sum of terms"),
        (lambda: (LATENCY + ENERGY) + None, "got None, expected a term or a sum of terms"),
        (lambda: LATENCY + ENERGY <= 3, "got 'latency + energy(pi)', expected one metric on the left of <="),
        (lambda: LATENCY < 3, "got '<', expected <= between a metric and its limit"),
        (lambda: LATENCY >= 3, "got '>='"),
        (lambda: LATENCY > 3, "got '>'"),
        (lambda: (LATENCY + ENERGY) >= 3, "got '>='"),
        (lambda: 2 * LATENCY <= 3, "without weight"),
    ],
)
def test_what_does_not_add_up_is_refused_with_a_reason(make, part):
    with pytest.raises(dp.InputError) as refused:
        make()
    assert part in str(refused.value)


def test_a_period_has_a_limit():
    assert (dp.period() <= 0.1) == dp.MetricLimit(metric="period", limit=0.1)


def test_a_front_of_what_are_no_terms_is_refused():
    with pytest.raises(dp.InputError, match="expected a list, each a term or a sum of terms"):
        dp.pareto(dp.load("small/001"), ["latency", dp.energy()])


def small(**fields):
    devices = (dp.Device("pi", flops_per_s=1e9, bytes_per_s=1e9), dp.Device("nx", flops_per_s=1e10, bytes_per_s=1e9))
    network = dp.Network("net", (dp.Layer("a", flops=1e9, bytes=1.0),))
    return dp.Problem(network, dp.Platform(devices=devices), **({"execution": "pipelined"} | fields))


@pytest.mark.parametrize(
    ("terms", "units"),
    [
        ([LATENCY, ENERGY], "seconds and joules"),
        ([LATENCY + ENERGY], "seconds and joules"),
        ([dp.period(), dp.leakage()], "seconds and pure numbers"),
        ([dp.traffic(), dp.traffic("up"), dp.cost()], "bytes and dollars"),
    ],
)
def test_a_list_of_terms_with_different_units_is_refused_with_what_may_be_meant(terms, units):
    with pytest.raises(dp.InputError, match=rf"^minimize: {units} in one list: .* sum with weights .*dp\.in_order\("):
        small(minimize=terms)


def test_a_list_of_one_unit_adds_up_and_so_does_one_with_a_unit_for_each_priority():
    assert small(minimize=[LATENCY, 2 * dp.period()]).minimize == (LATENCY, 2 * dp.period())
    later = ENERGY.replace(priority=1)
    assert small(minimize=[LATENCY, later]).minimize == (LATENCY, later)


def test_objectives_in_order_have_a_priority_each():
    found = dp.in_order(LATENCY, ENERGY + dp.energy("nx"), dp.period())
    assert [(term.label, term.priority) for term in small(minimize=found).minimize] == [
        ("latency", 0),
        ("energy(pi)", 1),
        ("energy(nx)", 1),
        ("period", 2),
    ]
    assert dp.solve(small(minimize=found)).is_optimal
    for bad in ((), (3,), (LATENCY, "energy")):
        with pytest.raises(dp.InputError):
            dp.in_order(*bad)


def test_throughput_limits_the_period_and_is_an_objective_of_fronts():
    one = small(minimize=dp.latency(), subject_to=[dp.throughput() >= 20, dp.throughput() >= "600 /s"])
    assert len(dp.pareto(small(minimize=LATENCY), [dp.throughput(), dp.energy()]).points) == 1
    assert [limit.label for limit in one.subject_to] == ["period"] * 2
    assert [limit.limit for limit in one.subject_to] == pytest.approx([1 / 20, 1 / 600])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small(minimize=dp.throughput()), r"minimize=dp\.period\(\) maximises it"),
        (lambda: dp.in_order(LATENCY, dp.throughput()), "expected a Term or a list"),
        (lambda: dp.throughput() <= 20, ">="),
        (lambda: dp.throughput() >= 0, "expected a number > 0"),
        (lambda: dp.throughput() >= "20 J", "expected frequency such as '30 Hz'"),
        (lambda: dp.throughput() + LATENCY, "does not add up"),
        (lambda: LATENCY + dp.throughput(), "does not add up|expected a term"),
        (lambda: 2 * dp.throughput(), "does not add up"),
    ],
)
def test_what_cannot_be_said_of_the_throughput_is_refused(make, message):
    with pytest.raises(dp.InputError, match=message):
        make()
