"""Objectives and constraints as a person types them become the right terms and constraints, or one clear error."""

import pytest

from dnnopt.base.errors import InputError
from dnnopt.problem import constraints as c
from dnnopt.problem.expressions import parse_constraint, parse_objective
from dnnopt.problem.metrics import STANDARD
from dnnopt.problem.objectives import Term, cost, energy, latency, leakage, period, traffic, worst_leakage


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("latency", (latency(),)),
        ("latency(net)", (latency("net"),)),
        ("period", (period(),)),
        ("cost", (cost(),)),
        ("leakage", (leakage(),)),
        ("worst_leakage", (worst_leakage(),)),
        ("energy", (energy(),)),
        ("energy(pi)", (energy("pi"),)),
        ("energy( pi , t4 )", (energy("pi", "t4"),)),
        ("energy(pi,idle)", (energy("pi", idle=True),)),
        ("energy(idle)", (energy(idle=True),)),
        ("traffic(wifi-up, wan)", (traffic("wifi-up", "wan"),)),
        ("0.5*latency + 2*energy(pi)", (0.5 * latency(), 2.0 * energy("pi"))),
        ("1e+3*cost+2.5E-1 * traffic", (1e3 * cost(), 0.25 * traffic())),
        ("  latency  ", (latency(),)),
    ],
)
def test_objective_is_parsed_into_its_terms(text, terms):
    assert parse_objective(text) == terms


def as_text(term):
    """Write a term as a person would."""
    names = [*filter(None, [term.network]), *(term.devices or ()), *(term.links or ()), *(["idle"] * term.idle)]
    return f"{term.weight!r}*{term.metric}" + (f"({','.join(names)})" if names else "")


def test_objective_that_is_written_out_and_parsed_again_is_the_same():
    terms = (
        3.0 * latency("net 1"),
        1e-07 * period(),
        1e22 * energy("pi", "t4", idle=True),
        0.0 * cost(),
        0.1 * leakage(),
        2.0 * worst_leakage(),
        7.0 * traffic("up"),
        *(Term(metric=name, weight=0.25) for name in STANDARD),
    )
    assert parse_objective(" + ".join(map(as_text, terms))) == terms


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("latency <= 20 ms", c.Deadline(limit=0.02)),
        ("latency(net)<=1", c.Deadline(limit=1, network="net")),
        ("energy(pi) <= 2 J", c.Energy(limit=2, devices=("pi",))),
        ("energy <= 0.5 kJ", c.Energy(limit=500)),
        ("cost <= 2 uUSD", c.Cost(limit=2e-6)),
        ("traffic(up,down) <= 1 MB", c.Traffic(limit=1e6, links=("up", "down"))),
        ("traffic <= 8 kbit", c.Traffic(limit=1000)),
        ("leakage <= 0.5", c.Leakage(limit=0.5)),
        ("worst_leakage <= 50 %", c.WorstLeakage(limit=0.5)),
        ("period <= 100 ms", c.MetricLimit(metric="period", limit=0.1)),
    ],
)
def test_constraint_is_parsed_with_its_unit(text, constraint):
    assert parse_constraint(text) == constraint


@pytest.mark.parametrize(
    "text",
    [
        "", "speed", "latency +", "+ latency", "latency latency", "latency - cost", "2 latency", "latency*2",
        "-1*latency", "x*latency", "1e*latency", "nan*latency", "1e999*latency", "latency(a)(b)", "latency(a",
        "cost(pi)", "period(net)", "latency(a,b)", "Latency", "latency <= 3",
    ],
)  # fmt: skip
def test_objective_that_is_none_is_refused(text):
    with pytest.raises(InputError):
        parse_objective(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("latency", "limit such as"),
        ("latency < 3", "limit such as"),
        ("latency <= ", "time such as"),
        ("latency <= 3 J", "3 J"),
        ("latency <= 20 apples", "apples"),
        ("energy <= 3 s", "3 s"),
        ("latency <= -1", "-1"),
        ("2*latency <= 3", "without weight"),
        ("energy(idle) <= 3", "idle"),
        ("latency + cost <= 3", "terms of"),
        ("latency <= 1 <= 2", "1 <= 2"),
        ("<= 3", "terms of"),
    ],
)
def test_constraint_that_is_none_is_refused_with_a_reason(text, part):
    with pytest.raises(InputError) as refused:
        parse_constraint(text)
    assert part in str(refused.value)
