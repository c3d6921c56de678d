"""Objectives and constraints as a person types them become the right terms and constraints, or one clear error."""

from typing import get_args

import pytest
from builders import layer, network, tensor

from dnnopt.base.errors import InputError
from dnnopt.problem import constraints as c
from dnnopt.problem.expressions import FORMS, parse_constraints, parse_objective
from dnnopt.problem.metrics import STANDARD
from dnnopt.problem.objectives import Term, cost, energy, largest, latency, leakage, period, traffic, worst_leakage


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
        ('energy("living room, left", "a+b") + cost', (energy("living room, left", "a+b"), cost())),
        ("2*largest( energy(pi,nx) ) + latency", (2.0 * largest(energy("pi", "nx")), latency())),
        ("throughput", (period(),)),
        (
            "in_order(latency, 2*energy(pi, nx) + largest(energy(pi,nx)), throughput)",
            (
                latency(),
                2.0 * energy("pi", "nx").replace(priority=1),
                largest(energy("pi", "nx")).replace(priority=1),
                period().replace(priority=2),
            ),
        ),
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
        ("latency(net)<=1s", c.Deadline(limit=1, network="net")),
        ("energy(pi) <= 2 J", c.Energy(limit=2, devices=("pi",))),
        ("energy <= 0.5 kJ", c.Energy(limit=500)),
        ("cost <= 2 uUSD", c.Cost(limit=2e-6)),
        ("traffic(up,down) <= 1 MB", c.Traffic(limit=1e6, links=("up", "down"))),
        ("traffic <= 8 kbit", c.Traffic(limit=1000)),
        ("leakage <= 0.5", c.Leakage(limit=0.5)),
        ("worst_leakage <= 50 %", c.WorstLeakage(limit=0.5)),
        ("period <= 100 ms", c.MetricLimit(metric="period", limit=0.1)),
        ("throughput >= 20 /s", c.MetricLimit(metric="period", limit=0.05)),
        ("throughput>=20fps", c.MetricLimit(metric="period", limit=0.05)),
        ("throughput >= 20 Hz", c.MetricLimit(metric="period", limit=0.05)),
        ("deadline", c.Deadline()),
        ("deadline(net)", c.Deadline(network="net")),
        ("deadline(net) <= 1 s", c.Deadline(limit=1, network="net")),
        ("memory", c.Memory()),
        ("memory()", c.Memory()),
        ("memory(weights+activations)", c.Memory(rule="weights+activations")),
        ("memory( pi = 64 MiB )", c.Memory(limits={"pi": 2**26})),
        (
            'memory(weights+largest_activation, buffers=2, "left, pi"=1 kB)',
            c.Memory(rule="weights+largest_activation", buffers=2, limits={"left, pi": 1000}),
        ),
        ("memory(buffers=2 MB)", c.Memory(limits={"buffers": 2e6})),  # a device of that name
        ("bandwidth", c.Bandwidth()),
        ("bandwidth(up)", c.Bandwidth(link="up")),
        ("bandwidth(up) <= 2 MB", c.Bandwidth(link="up", limit=2e6)),
        ("utilisation", c.Utilisation()),
        ("utilisation <= 80 %", c.Utilisation(limit=0.8)),
        ("placement(a, pi, nx)", c.Placement(network="net", layer="a", allowed=("pi", "nx"))),
        ("placement(a, pi, network=net)", c.Placement(network="net", layer="a", allowed=("pi",))),
        ("colocate(a, b)", c.Colocate(network="net", layers=("a", "b"))),
        ("separate(a,b)", c.Separate(network="net", layers=("a", "b"))),
        ("separate(a,b,d) <= 2", c.Separate(network="net", layers=("a", "b", "d"), at_most=2)),
        ("contiguous", c.Contiguous()),
        ("contiguous(a, b)", c.Contiguous(network="net", layers=("a", "b"))),
        ("contiguous(network=net)", c.Contiguous(network="net")),
        ("monotone_tiers", c.MonotoneTiers()),
        ("max_devices <= 2", c.MaxDevices(limit=2)),
        ("max_cuts<=0", c.MaxCuts(limit=0)),
    ],
)
def test_constraint_is_parsed_with_its_unit(text, constraint):
    assert parse_constraints(text, [NET]) == (constraint,)


NET = network(
    [layer("a", 1), layer("b", 1), layer("d", 1)],
    [tensor("x", "input", "a b output", 1), tensor("t", "a", "d", 1), tensor("u", "b", "output", 1)],
)


def test_input_stays_where_the_layers_that_read_it_may_run():
    found = parse_constraints("input_stays(pi, nx)", [NET])
    assert found == tuple(c.Placement(network="net", layer=name, allowed=("pi", "nx")) for name in "ab")
    with pytest.raises(InputError, match="whose layers read raw input"):
        parse_constraints("input_stays(pi)", [network([layer("a", 1)], [])])


def test_every_kind_of_constraint_can_be_said():
    net = network([layer(name, 1) for name in ("conv1", "conv2", "relu1")], [tensor("x", "input", "conv1", 1)])
    said = {kind for form in FORMS.values() for kind in map(type, parse_constraints(form.example, [net]))}
    assert said == set(get_args(c.Constraint))


def test_a_limit_on_the_period_is_called_as_it_is_said():
    assert [one.label for one in parse_constraints("throughput >= 20 /s")] == ["period"]
    assert c.MetricLimit(metric="spread", limit=1).label == "metric(spread)"


def test_limits_of_the_problems_own_metrics_can_be_said():
    assert parse_constraints("spread <= 2", own=["spread"]) == (c.MetricLimit(metric="spread", limit=2),)
    assert parse_constraints("memory <= 2", own=["memory"]) == (c.MetricLimit(metric="memory", limit=2),)
    with pytest.raises(InputError, match="spread <= 2"):
        parse_constraints("spread", own=["spread"])


def test_one_of_several_networks_is_named():
    nets = [NET, NET.replace(name="other")]
    assert parse_constraints("separate(a, b, network=other)", nets)[0].network == "other"
    for text in ("separate(a, b)", "separate(a, b, network=third)"):
        with pytest.raises(InputError, match="network=NAME in the brackets, NAME being one of: net, other"):
            parse_constraints(text, nets)


@pytest.mark.parametrize(
    "text",
    [
        "", "speed", "latency +", "+ latency", "latency latency", "latency - cost", "2 latency", "latency*2",
        "-1*latency", "x*latency", "1e*latency", "nan*latency", "1e999*latency", "latency(a)(b)", "latency(a",
        "cost(pi)", "period(net)", "latency(a,b)", "Latency", "latency <= 3",
        "2*throughput", "throughput + latency", "throughput(pi)", "largest(cost)",
        "in_order()", "in_order(in_order(cost))", "in_order(cost, speed)", "in_order(cost,)",
        "in_order(cost) + energy(pi)", "largest(energy", 'energy("pi)',
    ],
)  # fmt: skip
def test_objective_that_is_none_is_refused(text):
    with pytest.raises(InputError):
        parse_objective(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("latency", "<= after 'latency', as in 'latency <= 300 ms'"),
        ("latency < 3", "a constraint such as 'latency <= 300 ms'"),
        ("latency <= ", "time such as"),
        ("latency <= 300", "300 s, or 300 ms? Write 'latency <= 300 ms'"),
        ("traffic( up ) <=64", "64 bytes, or 64 MiB? Write 'traffic( up ) <=64 MiB'"),
        ("latency <= 3 J", "3 J"),
        ("latency <= 20 apples", "apples"),
        ("latency >= 3 s", "upper limits"),
        ("energy <= 3 s", "3 s"),
        ("latency <= -1 s", "-1"),
        ("2*latency <= 3 s", "such as 'latency <= 300 ms'"),
        ("energy(idle) <= 3 J", "idle"),
        ("latency + cost <= 3 s", "such as 'latency <= 300 ms'"),
        ("latency <= 1 <= 2", "1 <= 2"),
        ("<= 3", "one constraint"),
        ("", "one constraint"),
        ("max_device <= 3", "did you mean 'max_devices'"),
        ("max_devices", "<= after 'max_devices'"),
        ("max_devices <= 2.5", "whole number"),
        ("max_cuts <= -1", "whole number"),
        ("throughput <= 20 /s", ">= after 'throughput'"),
        ("throughput >= 20", "20 /min, or 20 /s? Write 'throughput >= 20 /s'"),
        ("throughput >= 0 /s", "> 0"),
        ("throughput(pi) >= 20 /s", "what is in brackets"),
        ("throughput > 20", "such as 'throughput >= 20 /s'"),
        ("max_devices 2", "such as 'max_devices <= 2'"),
        ("layer conv1 on pi", "one constraint, without weights or sums, that begins with one of latency, deadline"),
        ("memory(pi) <= 64 MiB", "the limit in the brackets, as in 'memory(pi=64 MiB)', or by --memory"),
        ("memory <= 64 MiB", "no limit after 'memory', as in 'memory(weights+activations"),
        ("memory(pi)", "one of weights, weights+activations"),
        ("memory(pi=64)", "64 bytes, or 64 MiB? Write 'pi=64 MiB'"),
        ("memory(pi=1 MiB, pi=2 MiB)", "'pi' once"),
        ("bandwidth <= 3 MB", "what is in brackets"),
        ("bandwidth(a, b)", "what is in brackets"),
        ("placement(a)", "placement(conv1, pi, nx)"),
        ("placement(aa, pi)", "'aa', expected the name of a layer of net; did you mean a?"),
        ("colocate(a, zz)", "'zz', expected the name of a layer of net; there are 3, such as a, b, d"),
        ("contiguous(a, z)", "'z', expected the name of a layer of net"),
        ("placement(a, pi) <= 2", "no limit after 'placement'"),
        ("placement(a, pi, device=nx)", "no 'device' in brackets"),
        ("energy(network=net) <= 2 J", "no 'network' in brackets"),
        ("colocate(a)", "colocate(conv1, relu1)"),
        ("contiguous(a, layer=b)", "no 'layer' in brackets"),
        ("monotone_tiers(pi)", "what is in brackets"),
        ("input_stays", "input_stays(pi, nx)"),
    ],
)
def test_constraint_that_is_none_is_refused_with_a_reason(text, part):
    with pytest.raises(InputError) as refused:
        parse_constraints(text, [NET])
    assert part in str(refused.value)
