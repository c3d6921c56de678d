"""The compiler takes no name for one of its own, and says what it cannot state."""

import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.solving import solve
from dnnopt.problem.forms import Form
from dnnopt.problem.objectives import energy
from dnnopt.problem.platforms import Device
from dnnopt.studies.ranking import best_plans


@pytest.mark.parametrize("name", ["input@p", "input.p", "input@q", "net.b", "a@p", "sum", "p"])
def test_a_layer_may_be_called_what_the_node_of_an_input_is_called(name):
    # The input of a is 10 bytes on p: a on p takes 8 s, and the other, on q, 1 s and 1 s for what it needs of a.
    tensors = [tensor("x", "input", "a", 10), tensor("y", "a", name, 1), tensor("z", "input", name, 1, source="q")]
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    one = problem(network([layer("a"), layer(name)], tensors, source="p"), on, {"a": (8, 1), name: (8, 1)})
    best = brute_force(one)
    assert best.objective == 10  # a on p would be 8 + 1 + 1
    for options in ({}, {"method": "scan"}, {"formulation": "edgewise"}):
        result = solve(one, threads=1, **options)
        assert (result.status, result.objective) == ("optimal", best.objective)
    assert best_plans(one, 1).plans[0].objective == best.objective


@pytest.mark.parametrize("weights", [(1.0, 2.0), (0.0, 0.0)])
def test_idle_energy_beside_coding_is_refused_by_name_where_the_latency_is_no_sum(weights):
    form = Form(name="jpeg", bytes=1, encode={"p": 1.0})
    networks = [
        network("a b", [tensor("t", "a", "b", 2, forms=[form])], name=f"net{k}", weight=weight)
        for k, weight in enumerate(weights)
    ]
    one = problem(
        networks,
        platform([Device(name="p", idle_power=1.0), Device(name="q")], [link("up")], {"p>q": "up"}),
        {"net0": {"a": (1, 2), "b": (2, 1)}, "net1": {"a": (1, 2), "b": (2, 1)}},
        "parallel",
        minimize=energy(idle=True),
    )
    with pytest.raises(UnsupportedError, match="idle energy where what a device encodes or decodes"):
        compile_problem(one)
