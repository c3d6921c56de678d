"""Names in a problem are its own business: none of them is taken for what the compiler calls something."""

import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor

from dnnopt.methods.solving import solve
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
