"""Escapes hold for every feasible plan, and raise the bound of the relaxation where memory splits a chain."""

from collections import Counter
from dataclasses import replace

import pytest
from brute_force import feasible_plans
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import memories
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.bounds.escapes import escapes
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Limits
from dnnopt.problem.constraints import memory


def test_every_feasible_plan_escapes():
    seen = Counter()

    @settings(max_examples=100)
    @given(problems(most_placements=90), st.data())
    def check(one, data):
        one = one.replace(subject_to=[data.draw(memories(one))])
        c = compile_problem(one)
        found = escapes(c)
        seen["escapes"] += len(found)
        if not found:
            return
        for _, plan in feasible_plans(one):
            device = c.executor_device[c.placement(plan)]
            for escape in found:
                inside, outside = c.edge_producer[escape.edges], c.edge_consumer[escape.edges]
                if not escape.forwards:
                    inside, outside = outside, inside
                left = (device[inside] == escape.device) & (device[outside] != escape.device)
                assert left.any() or device[escape.node] != escape.device
                seen["there"] += device[escape.node] == escape.device

    check_until(check, lambda: min(seen["escapes"], seen["there"]) >= 2)


def split_chain():
    """Four layers of one byte in a row on two devices that hold two each: something has to be sent."""
    net = network("a b c d", [tensor(f"t{u}", u, v, 8) for u, v in ("ab", "bc", "cd")])
    net = net.replace(layers=[one.replace(weights=100.0) for one in net.layers])
    on = platform("p q", [link("up"), link("down", 2)], {"p>q": "up", "q>p": "down"})
    return problem(net, on, dict.fromkeys("abcd", (1, 1)), subject_to=[memory("weights", limits={"p": 200, "q": 200})])


def test_escapes_of_a_chain_by_hand():
    found = {escape.label: escape for escape in escapes(compile_problem(split_chain()))}
    ways = ("a,{},out", "b,{},out", "c,{},in", "d,{},in")
    assert set(found) == {f"escape({way.format(device)})" for way in ways for device in "pq"}
    assert found["escape(a,p,out)"].edges.tolist() == [0, 1]
    assert found["escape(d,q,in)"].edges.tolist() == [2, 1]


@pytest.mark.parametrize("name", ["product+sum", "edgewise+sum", "boundary+sum", "treewise+sum"])
def test_escapes_raise_the_bound_and_keep_the_optimum(name):
    c = compile_problem(split_chain())
    formulation = registry.formulation(name, c)
    bounds = []
    for compiled in (c, replace(c, constraints=(*c.constraints, *escapes(c)))):
        model = formulation.build(compiled)
        outcome = relaxation(model, Limits(threads=1))
        bounds.append(outcome.objective * model.objective_unit)
    # Half of each layer on each device sends nothing. The best plan begins on q, and sends 8 bytes at 2 a second.
    assert bounds[0] == pytest.approx(4)
    assert 6 < bounds[1] <= 8 * (1 + 1e-6)
