"""`boundary` takes just the platforms it is meant for, and there its optimum is that of brute force."""

from collections import Counter
from itertools import permutations

import pytest
from brute_force import brute_force, check_solved
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scaling import choose_units
from dnnopt.formulations import registry
from dnnopt.formulations.milp.communication.boundary import ends_of_routes
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem import constraints as c
from dnnopt.problem.objectives import energy, latency, leakage, period, traffic, worst_leakage
from dnnopt.problem.platforms import Device

ONE_THREAD = Limits(threads=1)
DEVICES = ("p", "q", "r")
PAIRS = list(permutations(DEVICES, 2))


def star(i, j):
    return f"{i}-up {j}-down"


def medium(i, j):
    return "air"


def radio_and_wire(i, j):
    """Everyone sends by a link of its own; q and r receive over one wire."""
    return f"{i}-up " + ("p-down" if j == "p" else "wire")


def two_hops_each(i, j):
    return f"{i}-up {i}-wan {j}-lan {j}-down"


def chain(i, j):
    """p and r talk through q: even that is a link of the sender, then one of the receiver."""
    return f"{i}-{j}" if "q" in (i, j) else f"{i}-q q-{j}"


SHAPES = (star, medium, radio_and_wire, two_hops_each, chain)


def routes_of(shape):
    return {f"{i}>{j}": shape(i, j) for i, j in PAIRS}


def links_of(routes):
    return sorted({name for words in routes.values() for name in words.split()})


def chain_on(routes):
    on = platform("p q r", [link(name) for name in links_of(routes)], routes)
    return problem(network("a b", [tensor("t", "a", "b", 1)]), on, {"a": (1, 2, 3), "b": (3, 2, 1)})


# Which platforms


@pytest.mark.parametrize("shape", SHAPES)
def test_routes_by_the_senders_links_and_the_receivers_links_are_taken(shape):
    compiled = compile_problem(chain_on(routes_of(shape)))
    leaving, entering = ends_of_routes(compiled)
    for (i, j), links in zip(PAIRS, compiled.pair_uses_link, strict=True):
        both = leaving[DEVICES.index(i)].astype(int) + entering[DEVICES.index(j)]
        assert both.tolist() == links.astype(int).tolist()
    assert registry.formulation("boundary", compiled).name == "boundary+sum"


def mesh(i, j):
    return f"{i}-{j}"


def one_wire_both_ways(i, j):
    return f"{i}-wire {j}-wire"


def ring(i, j):
    ring = {"p": "q", "q": "r", "r": "p"}
    return f"{i}-{j}" if ring[i] == j else f"{i}-{ring[i]} {ring[i]}-{j}"


def star_but_one(i, j):
    return "p-up" if (i, j) == ("p", "r") else star(i, j)


@pytest.mark.parametrize("shape", [mesh, one_wire_both_ways, ring, star_but_one])
def test_other_routes_are_refused_and_the_able_formulations_named(shape):
    compiled = compile_problem(chain_on(routes_of(shape)))
    assert ends_of_routes(compiled) is None
    with pytest.raises(UnsupportedError) as refused:
        registry.formulation("boundary", compiled)
    for part in ("sender's links", "edgewise+sum", "product+sum"):
        assert part in str(refused.value)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_absent_route_is_refused(shape):
    routes = routes_of(shape)
    del routes["q>r"]
    with pytest.raises(UnsupportedError, match="absent route"):
        registry.formulation("boundary", compile_problem(chain_on(routes)))


# Optimum

SMALL = st.integers(0, 4)


@st.composite
def end_problems(draw, single_use=False, coupled=True, executions=("sequential", "parallel", "pipelined")):
    """Draw a problem whose routes are made of ends; each layer's tensor has up to three uses, or one."""
    routes = routes_of(draw(st.sampled_from(SHAPES)))
    links = [
        link(
            name,
            draw(st.sampled_from((0.5, 1, 2))),
            draw(st.integers(0, 1)),
            trusted=draw(st.booleans()),
            send_energy_per_byte=draw(st.integers(0, 1)),
        )
        for name in links_of(routes)
    ]
    devices = [
        Device(name=name, tier="edge", trusted=draw(st.booleans()), power=1, memory=draw(st.integers(6, 20)))
        for name in DEVICES
    ]
    names = "abcd"[: draw(st.integers(2, 4))]
    tensors = [tensor("raw", "input", names[0], draw(SMALL), sensitivity=1.0)]
    for u, word in enumerate(names[:-1]):
        most = 1 if single_use else 3
        uses = draw(st.lists(st.sampled_from(names[u + 1 :]), min_size=1, max_size=most, unique=True))
        secret = draw(st.sampled_from((0.3, 0.6)))
        tensors.append(tensor(f"t{word}", word, " ".join(uses), draw(SMALL), sensitivity=secret))
    layers = [layer(word, draw(SMALL), draw(SMALL)) for word in names]
    net = network(layers, tensors, source=draw(st.sampled_from((None, *DEVICES))))
    options = [
        c.Memory(rule="weights+largest_activation", buffers=draw(st.integers(0, 2))),
        c.MaxCuts(limit=draw(st.integers(0, 3))),
        c.Leakage(limit=draw(st.sampled_from((0.3, 0.9, 1.3)))),
        c.WorstLeakage(limit=0.5),
        c.Contiguous(),
        c.Deadline(limit=draw(st.integers(5, 20))),
        c.Traffic(limit=draw(SMALL)),
    ]
    additive = (latency(), energy(), traffic())
    sums = (latency() + 3.0 * leakage(), worst_leakage() + 0.1 * latency(), latency() + period())
    return problem(
        net,
        platform(devices, links, routes, draw(st.sampled_from(({}, {"all links": " ".join(links_of(routes))})))),
        {word: (draw(SMALL), draw(SMALL), draw(SMALL)) for word in names},
        draw(st.sampled_from(executions)),
        minimize=draw(st.sampled_from((*additive, *sums, period()) if coupled else additive)),
        subject_to=draw(st.lists(st.sampled_from(options), min_size=1, max_size=2, unique_by=type)) if coupled else (),
        transport=draw(st.sampled_from(("unicast", "multicast", "per_edge"))),
    )


@pytest.mark.parametrize("transport", ["unicast", "multicast", "per_edge"])
def test_boundary_matches_brute_force_wherever_it_fits(transport):
    seen = Counter()

    @settings(max_examples=25)
    @given(end_problems())
    def check(problem):
        problem = problem.model_copy(update={"transport": transport})
        best = brute_force(problem)
        compiled = compile_problem(problem)
        names = [name for name in registry.suiting(compiled) if name.startswith("boundary")]
        assert names
        for name in names:
            pool = Pool(problem, compiled)
            outcome = run_formulation(pool, registry.formulation(name, compiled), "highs", ONE_THREAD, Control())
            status = check_solved(best, outcome.status, pool.objective, pool.bound)
        seen[status] += 1
        if status == "optimal":
            seen["several uses"] += int(compiled.fan_out.max()) > 1
            seen["several devices"] += any(len(set(plan.placement["net"].values())) > 1 for plan in best.plans)
            for constraint in problem.subject_to:
                seen["limit", constraint.constraint] += 1

    check_until(check, lambda: all(seen[what] for what in ("optimal", "several uses", "several devices")))


LIMITED = [
    c.Memory(rule="weights+largest_activation", buffers=1, limits={"q": 6.5}),
    c.MaxCuts(limit=1),
    c.Leakage(limit=0.5),
    c.WorstLeakage(limit=0.5),
    c.Contiguous(),
    c.Traffic(limit=1),
]


@pytest.mark.parametrize("execution", ["sequential", "parallel", "pipelined"])
@pytest.mark.parametrize("constraint", LIMITED, ids=lambda constraint: constraint.constraint)
def test_every_kind_of_constraint_binds_and_is_kept(constraint, execution):
    devices = [Device(name=name, tier="edge", trusted=name == "p", memory=10) for name in DEVICES]
    routes = routes_of(star)
    links = [link(name, 2, trusted=name.startswith("p")) for name in links_of(routes)]
    tensors = [
        tensor("t", "a", "b c d", 1, sensitivity=0.5),
        tensor("s", "b", "d", 2, sensitivity=0.9),
        tensor("r", "c", "d", 1, sensitivity=0.2),
    ]
    net = network([layer(name, 2, 1) for name in "abcd"], tensors)
    times = {"a": (1, 9, 9), "b": (9, 1, 9), "c": (9, 9, 1), "d": (9, 1, 9)}
    free = problem(net, platform(devices, links, routes), times, execution)
    limited = free.model_copy(update={"subject_to": (constraint,)})
    best = brute_force(limited)
    if constraint.constraint != "contiguous":
        assert best.objective > brute_force(free).objective
    compiled = compile_problem(limited)
    for name in registry.suiting(compiled):
        if name.startswith("boundary"):
            pool = Pool(limited, compiled)
            outcome = run_formulation(pool, registry.formulation(name, compiled), "highs", ONE_THREAD, Control())
            assert check_solved(best, outcome.status, pool.objective, pool.bound) == "optimal"


@pytest.mark.parametrize(("transport", "best"), [("unicast", 5), ("multicast", 4), ("per_edge", 8)])
@pytest.mark.parametrize("name", ["boundary", "edgewise"])
def test_copies_of_a_tensor_with_three_uses_worked_by_hand(name, transport, best):
    # Up 1 s, down to q (for b and c) 2 s, down to r 1 s: a copy each for q and r, one up for both, one for each use.
    routes = routes_of(star)
    net = network("a b c d", [tensor("t", "a", "b c d", 1)])
    on = platform("p q r", [link(way, 0.5 if way == "q-down" else 1) for way in links_of(routes)], routes)
    here = {"a": (0, None, None), "b": (None, 0, None), "c": (None, 0, None), "d": (None, None, 0)}
    one = problem(net, on, here, transport=transport)
    assert brute_force(one).objective == best
    compiled = compile_problem(one)
    pool = Pool(one, compiled)
    run_formulation(pool, registry.formulation(name, compiled), "highs", ONE_THREAD, Control())
    assert pool.objective == best


def test_multicast_charges_a_receiving_link_that_several_devices_share_once():
    routes = routes_of(radio_and_wire)
    net = network("a b c", [tensor("t", "a", "b c", 1)])
    on = platform("p q r", [link(name) for name in links_of(routes)], routes)
    here = {"a": (0, None, None), "b": (None, 0, None), "c": (None, None, 0)}
    for transport, expected in (("multicast", 2), ("unicast", 4)):
        one = problem(net, on, here, transport=transport)
        compiled = compile_problem(one)
        pool = Pool(one, compiled)
        run_formulation(pool, registry.formulation("boundary", compiled), "highs", ONE_THREAD, Control())
        assert pool.objective == brute_force(one).objective == expected


# Relaxation


def relaxed(compiled, name, units):
    model = registry.formulation(name, compiled).build(compiled, units)
    return relaxation(model, ONE_THREAD).objective * model.objective_unit


def test_relaxation_is_that_of_edgewise_where_every_tensor_has_one_use():
    seen = Counter()

    @settings(max_examples=40)
    @given(end_problems(single_use=True, coupled=False, executions=("sequential",)))
    def check(problem):
        compiled = compile_problem(problem)
        units = choose_units(compiled)
        both = [relaxed(compiled, name, units) for name in ("edgewise", "boundary")]
        assert both[1] == pytest.approx(both[0], rel=1e-7, abs=1e-9 * units.objective)
        seen["positive"] += both[0] > 1e-6 * units.objective

    check_until(check, lambda: seen["positive"] >= 3)


def test_relaxation_is_a_bound_no_stronger_than_edgewise_where_tensors_have_several_uses():
    seen = Counter()

    @settings(max_examples=30)
    @given(end_problems(coupled=False, executions=("sequential",)))
    def check(problem):
        compiled = compile_problem(problem)
        units = choose_units(compiled)
        edgewise, boundary = (relaxed(compiled, name, units) for name in ("edgewise", "boundary"))
        best = brute_force(problem).objective
        room = 1e-7 * best + 1e-9 * units.objective
        assert boundary <= best + room
        seen["boundary weaker"] += boundary < edgewise - room
        seen["no weaker"] += boundary >= edgewise - room

    check_until(check, lambda: seen["no weaker"] >= 1)
