"""`treewise` has exact relaxations for additive objectives, is never weaker than `edgewise`, and refuses by size."""

from collections import Counter

import pytest
from brute_force import brute_force
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scaling import choose_units
from dnnopt.formulations import registry
from dnnopt.formulations.milp.communication.treewise import MOST_STATES, decompose, states
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Limits
from dnnopt.problem.objectives import cost, energy, latency, traffic


def relaxed(compiled, name, units):
    model = registry.formulation(name, compiled).build(compiled, units)
    outcome = relaxation(model, Limits(threads=1))
    return float("inf") if outcome.status == "infeasible" else outcome.objective * model.objective_unit


def test_relaxation_is_exact_for_additive_objectives_without_coupling_constraints():
    seen = Counter()
    terms = st.lists(st.sampled_from((latency(), energy(), 2.0 * cost(), 0.5 * traffic())), min_size=1, unique_by=str)

    @settings(max_examples=25)
    @given(problems(("sequential",), most_constraints=0), terms)
    def check(problem, minimize):
        problem = problem.model_copy(update={"minimize": tuple(minimize)})
        compiled = compile_problem(problem)
        if compiled.fan_out.max(initial=0) > 3:
            return
        units = choose_units(compiled)
        best = brute_force(problem).objective
        product, edgewise, treewise = (relaxed(compiled, name, units) for name in ("product", "edgewise", "treewise"))
        seen[problem.transport, int(compiled.fan_out.max(initial=0)) > 1] += 1
        if best is None:
            assert treewise == float("inf")
            seen["infeasible"] += 1
            return
        room = 1e-7 * best + 1e-9 * units.objective
        assert treewise == pytest.approx(best, rel=1e-6, abs=room)
        assert product <= edgewise + room
        assert edgewise <= treewise + room

    check_until(check, lambda: all(seen[transport, True] for transport in ("unicast", "multicast", "per_edge")))


def test_a_tensor_with_several_uses_is_charged_jointly_worked_by_hand():
    # a is on p. b and c are 1 s faster on q, which is worth sending t (1.5 s) only once for both.
    net = network("a b c", [tensor("t", "a", "b c", 1.5)])
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    for transport, best in (("unicast", 3.5), ("multicast", 3.5), ("per_edge", 4)):
        one = problem(net, on, {"a": (0, 9), "b": (2, 1), "c": (2, 1)}, transport=transport)
        compiled = compile_problem(one)
        assert brute_force(one).objective == best
        assert relaxed(compiled, "treewise", choose_units(compiled)) == pytest.approx(best)


def test_a_triangle_of_layers_is_exact_where_edgewise_is_not_worked_by_hand():
    # Each layer is slow on one device. Halves on the other two agree by half on every edge: 3 x 2 s of sending.
    # Whole layers: two of them together, the third apart, two tensors of 4 s sent.
    net = network("a b c", [tensor("ab", "a", "b", 4), tensor("bc", "b", "c", 4), tensor("ac", "a", "c", 4)])
    pairs = {f"{i}>{j}": f"{i}{j}" for i in "pqr" for j in "pqr" if i != j}
    on = platform("p q r", [link(name) for name in pairs.values()], pairs)
    one = problem(net, on, {"a": (9, 0, 0), "b": (0, 9, 0), "c": (0, 0, 9)})
    compiled = compile_problem(one)
    units = choose_units(compiled)
    assert brute_force(one).objective == 8
    assert relaxed(compiled, "edgewise", units) == pytest.approx(6)
    assert relaxed(compiled, "treewise", units) == pytest.approx(8)


# Size


def complete_graph(layers, devices):
    """Every layer feeds every later one by tensors of their own."""
    names = [f"v{k}" for k in range(layers)]
    tensors = [tensor(f"t{u}_{v}", names[u], names[v], 1) for v in range(layers) for u in range(v)]
    words = [f"d{k}" for k in range(devices)]
    on = platform(" ".join(words), [link("air")], {f"{i}>{j}": "air" for i in words for j in words if i != j})
    return problem(network(" ".join(names), tensors), on, dict.fromkeys(names, range(1, devices + 1)))


def test_graphs_with_too_many_states_are_refused_with_their_number_and_the_able_are_named():
    compiled = compile_problem(complete_graph(10, 4))  # 4**10 states of the largest bag alone
    assert decompose(compiled).width == 9
    with pytest.raises(UnsupportedError) as refused:
        registry.formulation("treewise", compiled)
    for part in ("tree decomposition", "1,398,100 states", f"{MOST_STATES:,}", "edgewise+sum"):
        assert part in str(refused.value)
    assert "treewise" not in str(refused.value).partition(";")[2]
    assert registry.formulation("treewise", compile_problem(complete_graph(5, 4))).name == "treewise+sum"


def test_states_are_counted_over_what_is_allowed():
    compiled = compile_problem(complete_graph(3, 4))
    assert states(compiled, decompose(compiled)) == 4**3 + 4**2 + 4


def test_every_edge_and_tensors_of_few_uses_lie_in_a_bag():
    tensors = [tensor("t", "a", "b c d", 1), *(tensor(f"t{u}", u, "e", 1) for u in "bcd")]
    on = platform("p q", [link("air")], {"p>q": "air", "q>p": "air"})
    compiled = compile_problem(problem(network("a b c d e", tensors), on, dict.fromkeys("abcde", (1, 1))))
    tree = decompose(compiled)
    bags = [set(bag) for bag in tree.bags]
    for clique in ({0, 1, 2, 3}, {1, 4}, {2, 4}, {3, 4}):
        assert any(clique <= bag for bag in bags)
