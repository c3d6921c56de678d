"""Identical devices are found in the data, nothing else is taken for identical, and the optimum stays what it was."""

from collections import Counter
from itertools import combinations, permutations, product

import numpy as np
import pytest
from brute_force import brute_force, check_solved, judged_plans
from builders import layer, link, network, problem, shared, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.symmetry import canonical, identical_devices
from dnnopt.formulations import registry
from dnnopt.methods.solving import solve
from dnnopt.problem import constraints as c
from dnnopt.problem.objectives import Term, cost, energy, largest, latency, period
from dnnopt.problem.platforms import Device, Platform, Resource, Route

NAMES = ("p", "q", "r")


def alike(names):
    return tuple(Device(name=name, tier="edge", memory=10, trusted=True) for name in names)


def mesh(names=NAMES):
    """A link of its own for each pair."""
    pairs = list(permutations(names, 2))
    return Platform(
        devices=alike(names),
        links=tuple(link(f"{i}-{j}", sender=i, receiver=j, trusted=True) for i, j in pairs),
        routes=tuple(Route(origin=i, destination=j, links=(f"{i}-{j}",)) for i, j in pairs),
    )


def star(names=NAMES):
    """A link up and a link down for each device, and a medium that all share."""
    links = [link(f"{name}-up", sender=name, trusted=True) for name in names]
    links += [link(f"{name}-down", receiver=name, trusted=True) for name in names]
    return Platform(
        devices=alike(names),
        links=(*links, link("air", 2, trusted=True)),
        routes=tuple(
            Route(origin=i, destination=j, links=(f"{i}-up", "air", f"{j}-down")) for i, j in permutations(names, 2)
        ),
        resources=(Resource(name="radio", links=tuple(f"{name}-up" for name in names)),),
    )


PLATFORMS = {"mesh": mesh, "star": star}


def three_layers(on, times=(2, 2, 2), **fields):
    """A chain of three layers, of which each takes 2 s everywhere unless `times` says otherwise."""
    sent = [tensor("t", "a", "b", 1, sensitivity=0.5), tensor("s", "b", "c", 4, sensitivity=0.5)]
    net = network([layer(name, 3) for name in "abc"], sent, rate=0.01)
    return problem(net, on, dict.fromkeys("abc", times), **fields)


def classes(one):
    """Return the names of identical devices."""
    compiled = compile_problem(one)
    return [[compiled.device_names[d] for d in members] for members in identical_devices(compiled)]


EVERYWHERE = [
    c.Memory(),
    c.Deadline(limit=50),
    c.Energy(limit=50),
    c.Utilisation(),
    c.MonotoneTiers(),
    c.Contiguous(),
    c.MaxDevices(limit=2),
    c.MaxCuts(limit=2),
    c.Leakage(limit=1),
    c.Separate(network="net", layers=("a", "c")),
]


@pytest.mark.parametrize("shape", PLATFORMS)
def test_devices_that_differ_in_nothing_are_identical(shape):
    on = PLATFORMS[shape]()
    assert classes(three_layers(on)) == [["p", "q", "r"]]
    assert classes(three_layers(on, subject_to=EVERYWHERE)) == [["p", "q", "r"]]
    for minimize in (period(), energy(), largest(energy()), cost() + latency()):
        assert classes(three_layers(on, minimize=minimize)) == [["p", "q", "r"]]


def with_device(on, **fields):
    """Change the last device."""
    *others, last = on.devices
    return on.model_copy(update={"devices": (*others, last.model_copy(update=fields))})


def with_link(on, **fields):
    """Change the links that the last device sends over."""
    links = (link.model_copy(update=fields) if link.sender == "r" else link for link in on.links)
    return on.model_copy(update={"links": tuple(links)})


@pytest.mark.parametrize("shape", PLATFORMS)
@pytest.mark.parametrize(
    ("change", "fields", "needed"),
    [
        (with_link, {"bandwidth": 2}, {}),
        (with_link, {"latency": 1}, {}),
        (with_link, {"trusted": False}, {}),
        (with_link, {"price_per_byte": 1}, {"minimize": cost()}),
        (with_link, {"send_energy_per_byte": 1}, {"minimize": energy()}),
        (with_device, {"memory": 11}, {"subject_to": [c.Memory()]}),
        (with_device, {"price": 1}, {"minimize": cost()}),
        (with_device, {"power": 1}, {"minimize": energy()}),
        (with_device, {"idle_power": 1}, {"minimize": energy(idle=True)}),
        (with_device, {"trusted": False}, {}),
        (with_device, {"tier": "cloud"}, {}),
    ],
)
def test_a_device_or_link_that_differs_is_not_identical(shape, change, fields, needed):
    whole = PLATFORMS[shape]()
    assert classes(three_layers(whole, **needed)) == [["p", "q", "r"]]
    assert classes(three_layers(change(whole, **fields), **needed)) == [["p", "q"]]


@pytest.mark.parametrize("shape", PLATFORMS)
@pytest.mark.parametrize(
    "broken",
    [
        {"times": (2, 2, 3)},
        {"times": (2, 2, None)},
        {"subject_to": [c.Placement(network="net", layer="b", allowed=("p", "q"))]},
        {"subject_to": [c.Memory(limits={"r": 9})]},
        {"subject_to": [c.Energy(limit=9, devices=("r",))]},
        {"minimize": energy("r")},
        {"minimize": energy("p", "q")},
        {"minimize": largest(energy("p", "q"))},
        {"minimize": Term(metric="energy") + Term(metric="energy", devices=("r",), priority=1)},
        {"energies": {"a": (1, 1, 2)}},
    ],
)
def test_a_problem_that_tells_one_device_apart_breaks_the_class(shape, broken):
    fields = {"minimize": energy()} | broken
    on = PLATFORMS[shape]()
    on = on.model_copy(update={"devices": tuple(device.model_copy(update={"power": 1.0}) for device in on.devices)})
    assert classes(three_layers(on, minimize=energy())) == [["p", "q", "r"]]
    assert classes(three_layers(on, **fields)) == [["p", "q"]]


@pytest.mark.parametrize("shape", PLATFORMS)
def test_a_source_a_resource_or_an_absent_route_breaks_the_class(shape):
    on = PLATFORMS[shape]()
    whole = three_layers(on)
    raw = [*whole.networks[0].tensors, tensor("raw", "input", "a", 1)]
    fed = whole.networks[0].model_copy(update={"tensors": tuple(raw), "source": "r"})
    assert classes(whole.model_copy(update={"networks": (fed,)})) == [["p", "q"]]
    own = Resource(name="r alone", devices=("r",), links=tuple(link.name for link in on.links if link.sender == "r"))
    blocked = on.model_copy(update={"resources": (*on.resources, own)})
    assert classes(three_layers(blocked)) == [["p", "q"]]
    lost = tuple(route for route in on.routes if (route.origin, route.destination) != ("r", "p"))
    assert classes(three_layers(on.model_copy(update={"routes": lost}))) == []


def test_two_classes_are_told_apart():
    on = mesh(("p", "q", "r", "s"))
    one = three_layers(on, times=(1, 5, 1, 5))
    assert classes(one) == [["p", "r"], ["q", "s"]]


def test_canonical_names_devices_in_the_order_of_use():
    compiled = compile_problem(three_layers(mesh()))
    found = identical_devices(compiled)
    renamed = [canonical(compiled, np.array(placement), found).tolist() for placement in product(range(3), repeat=3)]
    # Partitions of three layers: all together, one apart (three ways), all apart.
    assert sorted(map(tuple, np.unique(renamed, axis=0).tolist())) == [
        (0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2),
    ]  # fmt: skip


@st.composite
def symmetric_problems(draw):
    """Draw a problem on a mesh or a star of three devices, of which two or three are alike."""
    on = draw(st.sampled_from((mesh, star)))()
    size = draw(st.integers(2, 4))
    names = "abcd"[:size]
    small = st.integers(0, 4)
    tensors = [
        tensor(f"t{u}{v}", u, v, draw(small), sensitivity=0.5)
        for u, v in combinations(names, 2)
        if draw(st.integers(0, 2))
    ]
    net = network(
        [layer(name, draw(small), draw(small)) for name in names],
        [*tensors, tensor("raw", "input", names[0], draw(small))],
        source=draw(st.sampled_from((None, None, "p"))),
        shared_weights=[shared("tied", draw(small), " ".join(names[: draw(st.integers(1, size))]))],
    )
    times = {name: (draw(small), *[draw(small)] * 2) for name in names}
    if draw(st.booleans()):
        times = {name: (row[1], *row[1:]) for name, row in times.items()}
    options = [
        c.Memory(rule="weights+largest_activation", buffers=draw(st.integers(0, 1))),
        c.Contiguous(),
        c.MaxDevices(limit=2),
        c.MaxCuts(limit=draw(small)),
        c.Separate(network="net", layers=tuple(names[:2])),
        c.Deadline(limit=draw(st.integers(4, 20))),
    ]
    minimize = draw(st.sampled_from((latency(), period(), latency() + 0.5 * period(), Term(metric="traffic"))))
    return problem(
        net,
        on,
        times,
        draw(st.sampled_from(("sequential", "parallel", "pipelined"))),
        minimize=minimize,
        subject_to=draw(st.lists(st.sampled_from(options), max_size=2, unique_by=type)),
        transport=draw(st.sampled_from(("unicast", "multicast", "per_edge"))),
    )


def test_canonical_plans_have_the_same_objective_and_satisfy_the_rows_of_the_model():
    seen = Counter()

    @settings(max_examples=20)
    @given(symmetric_problems())
    def check(problem):
        compiled = compile_problem(problem)
        found = identical_devices(compiled)
        seen[max(map(len, found), default=1)] += 1
        formulation = registry.formulation("edgewise", compiled)
        model = formulation.build(compiled)
        blocks = {block.name for block in model.variables}
        for members in found:
            assert {f"earlier({compiled.device_names[d]})" for d in members[:-1]} <= blocks
        judged = {tuple(compiled.placement(plan).tolist()): evaluation for plan, evaluation in judged_plans(problem)}
        for placement, evaluation in judged.items():
            same = judged[tuple(canonical(compiled, np.array(placement), found).tolist())]
            assert (same.feasible, same.objective) == (evaluation.feasible, pytest.approx(evaluation.objective))
            if evaluation.feasible:
                arrays = model.arrays()
                values = formulation.encode(compiled, model, np.array(placement))
                assert arrays.worst_violation(values) <= 1e-9
                seen["feasible"] += 1

    check_until(check, lambda: seen["feasible"] >= 30 and seen[2] and seen[3])


def test_the_optimum_with_symmetry_broken_is_that_of_brute_force():
    seen = Counter()

    @settings(max_examples=25)
    @given(symmetric_problems())
    def check(problem):
        for name in ("edgewise", None):
            result = solve(problem, formulation=name, threads=1)
            status = check_solved(brute_force(problem), result.status, result.objective, result.bound)
        seen[status, len(identical_devices(compile_problem(problem)))] += 1

    check_until(check, lambda: seen["optimal", 1] >= 5)


def test_one_plan_of_each_symmetric_set_satisfies_the_rows():
    compiled = compile_problem(three_layers(mesh()))
    formulation = registry.formulation("edgewise", compiled)
    model = formulation.build(compiled)
    arrays = model.arrays()
    kept = []
    for placement in product(range(3), repeat=3):
        values = model.encode(np.array(placement))
        if arrays.worst_violation(values) <= 1e-9:
            kept.append(placement)
    assert kept == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2)]
