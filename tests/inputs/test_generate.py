"""Generated problems: the same on every machine, valid, with knobs that mean what docs/generators.md says."""

import hashlib
import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dnnopt as dp
from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json
from dnnopt.inputs.generators import KINDS, TOPOLOGIES, Recipe, generate
from dnnopt.inputs.generators.draft import RAW
from dnnopt.inputs.generators.networks import draft_network
from dnnopt.inputs.generators.stream import Stream
from dnnopt.problem.constraints import Colocate, Deadline, Memory
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import write_problem
from dnnopt.referee import evaluate

# SHA-256 of the problem file of `Recipe(kinds=(kind,), memory=0.5, deadline=0.25, seed=7)`. Changing one of these means
# that recipes give other problems than before: raise `dnnopt.inputs.generators.VERSION`.
GOLDEN = {
    "chain": "b99601ce2a0750ae20292c05d29c1e87dd1ae52385b7c161ee8fc8465097656d",
    "series-parallel": "3c5166cf1ffce061ec2963235b8c8a78a7840bb27017cc364e34e0baee7f21c8",
    "inception": "bc799cb7123cfc28a7fc7cbcd8f2e1c3bc6cbae454a93de386a4d192e62eb6be",
    "dense": "f991b81caf069c809455c2cd47200dc09bfe388482c9a6008a17e41d8f950cba",
    "encoder-decoder": "68639b65d8333339acadfc812bd3e89df8c7b5c2ff232f72d40185258aeb4e3a",
    "transformer": "0ff7239ca0496bc462c8d576d5cbd3503ed5caae59bafb19414ba3af73d06f6a",
    "language-model": "a5c2502f7206c0be7f3d3794dfc4395757dbcaf75f38a81594955fb2a9f71f2b",
    "training": "fc9de7199a5cd4099e22389abb634f122b213afdb1fca86b20a3aed65b6857aa",
    "layered": "f73e0695faf03ca9818b489091c9f77a7e5d0f96264d361f6e19eb880eeba424",
}
EXACT = ("chain", "series-parallel", "layered")

knobs = {
    "kinds": st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=2).map(tuple),
    "size": st.integers(1, 40),
    "devices": st.integers(1, 5),
    "topology": st.sampled_from([name for name in TOPOLOGIES if name != "hosts"]),
    "heterogeneity": st.sampled_from((1.0, 2.5, 100.0)),
    "link_heterogeneity": st.sampled_from((1.0, 8.0)),
    "communication": st.sampled_from((0.01, 1.0, 7.3)),
    "memory": st.sampled_from((0.0, 0.3, 0.7, 1.0)),
    "deadline": st.sampled_from((None, 0.0, 0.3, 0.5)),
    "decay": st.sampled_from((0.0, 0.4, 1.0)),
    "execution": st.sampled_from(("sequential", "parallel", "scheduled", "pipelined")),
    "transport": st.sampled_from(("unicast", "multicast", "per_edge")),
    "seed": st.integers(0, 2**70),
}
recipes = st.builds(Recipe, **knobs) | st.builds(
    Recipe, **knobs | {"topology": st.just("hosts"), "devices": st.integers(3, 6), "hosts": st.integers(1, 3)}
)


def text(problem, tmp_path):
    write_problem(problem, tmp_path / "problem.json")
    return (tmp_path / "problem.json").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_gives_the_same_file_for_ever(kind, tmp_path):
    recipe = Recipe(kinds=(kind,), memory=0.5, deadline=0.25, seed=7)
    assert hashlib.sha256(text(generate(recipe).problem, tmp_path)).hexdigest() == GOLDEN[kind]


def test_the_stream_is_splitmix64():
    stream = Stream()
    stream._state = 1234567  # the first outputs of the published program from this seed
    assert [stream.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@settings(max_examples=60)
@given(recipes)
def test_the_witness_keeps_to_memory_colocation_and_a_loose_deadline(recipe):
    made = generate(recipe)
    assert evaluate(made.problem, made.witness).violations == ()


@settings(max_examples=30)
@given(recipes)
def test_problems_come_back_from_files_as_they_were(recipe):
    problem = generate(recipe).problem
    assert dp.Problem.from_data(json.loads(dump_json(problem.to_data()))) == problem


@settings(max_examples=100)
@given(st.sampled_from(list(KINDS)), st.integers(1, 120), st.integers(0, 2**64))
def test_kinds_have_the_size_asked_for_and_one_end(kind, size, seed):
    draft = draft_network(kind, "net", size, Stream(seed))
    assert len(draft.works) == size if kind in EXACT else len(draft.works) >= size
    used = draft.users()
    assert RAW in used
    assert draft.raw > 0
    unused = [work for v, work in enumerate(draft.works) if v not in used]
    if kind == "training":
        assert all(work.op in ("update", "grad") for work in unused)
    else:
        assert unused == [draft.works[-1]]
    for v, work in enumerate(draft.works):
        assert all(source < v for source in work.sources)
        assert len(set(work.sources)) == len(work.sources)
        assert work.out > 0


def test_shapes_of_kinds():
    def counts(kind, size):
        return draft_network(kind, "net", size, Stream(1)).counts

    assert set(counts("chain", 20)) == {"conv"}
    assert counts("inception", 40)["concat"] == counts("inception", 40)["conv"] // 7
    assert counts("encoder-decoder", 30)["pool"] == counts("encoder-decoder", 30)["upsample"] == 4
    assert counts("transformer", 28)["softmax"] == 2
    dense = draft_network("dense", "net", 12, Stream(1))
    assert [len(work.sources) for work in dense.works[:5]] == [1, 1, 2, 3, 4]


def test_the_head_of_a_language_model_reads_what_embeds_its_tokens():
    made = generate(Recipe(kinds=("language-model",), size=20, memory=1.0))
    (network,) = made.problem.networks
    (tied,) = network.shared_weights
    assert tied.layers == ("embed1", "head1")
    assert (network.layers[0].name, network.layers[-1].name) == tied.layers
    assert network.layers[0].weights == network.layers[-1].weights == 0
    assert network.layers[-1].bytes > tied.bytes > network.layers[0].bytes
    held = evaluate(made.problem, made.witness).metrics
    witness = made.witness.placement["language-model"]
    assert witness["embed1"] != witness["head1"]  # so both devices hold the table
    own = sum(layer.weights for layer in network.layers)
    assert sum(held[f"memory({device})"] for device in ("d1", "d2", "d3")) == own + 2 * tied.bytes


def test_training_colocates_a_layer_with_its_gradient_and_update():
    problem = generate(Recipe(kinds=("training",), size=20)).problem
    groups = [constraint.layers for constraint in problem.subject_to if isinstance(constraint, Colocate)]
    assert groups[-1][0] == "conv1"
    assert [tuple(name.rstrip("0123456789") for name in group) for group in groups] == [
        ("conv", "grad", "update")
    ] * len(groups)
    users = {tensor.producer: tensor.consumers for tensor in problem.networks[0].tensors}
    for forward, gradient, update in groups:
        assert update in users[gradient]
        assert forward == "conv1" or any(name.startswith("grad") for name in users[gradient])
    moments = {layer.name: layer.weights for layer in problem.networks[0].layers}
    assert all(moments[update] == 2 * moments[forward] for forward, _, update in groups)


def test_several_networks_share_the_platform():
    problem = generate(Recipe(kinds=("chain", "chain", "layered"))).problem
    assert [network.name for network in problem.networks] == ["chain1", "chain2", "layered3"]
    assert problem.networks[0].layers != problem.networks[1].layers


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_pair_of_devices_has_a_route(topology):
    platform = generate(Recipe(kinds=("chain",), devices=5, topology=topology)).problem.platform
    assert len(platform.routes) == 20
    assert all(route.links for route in platform.routes)
    assert {link.name for link in platform.links} == {name for route in platform.routes for name in route.links}


def test_hosts_have_fast_links_inside():
    recipe = Recipe(kinds=("chain",), devices=4, topology="hosts", hosts=2, link_heterogeneity=1.0)
    platform = generate(recipe).problem.platform
    routes = {(route.origin, route.destination): route.links for route in platform.routes}
    assert routes["d1", "d2"] == ("d1-out", "d2-in")
    assert routes["d1", "d3"] == ("d1-out", "host1-up", "host2-down", "d3-in")
    bandwidth = {link.name: link.bandwidth for link in platform.links}
    assert bandwidth["d1-out"] == pytest.approx(8 * bandwidth["host1-up"], rel=1e-6)


def test_without_heterogeneity_all_are_alike():
    recipe = Recipe(kinds=("chain",), devices=4, heterogeneity=1.0, link_heterogeneity=1.0, memory=0.0)
    platform = generate(recipe).problem.platform
    assert len({(device.flops_per_s, device.bytes_per_s, device.memory) for device in platform.devices}) == 1
    assert len({(link.bandwidth, link.latency) for link in platform.links}) == 1


def test_communication_is_time_to_send_over_time_to_compute():
    recipe = Recipe(kinds=("chain",), devices=2, communication=3.0, link_heterogeneity=1.0, heterogeneity=1.0)
    problem = generate(recipe).problem
    network = problem.networks[0]
    sent = sum(tensor.bytes for tensor in network.tensors) / problem.platform.links[0].bandwidth
    alone = evaluate(problem, Plan(placement={network.name: {layer.name: "d1" for layer in network.layers}}))
    assert sent == pytest.approx(3 * alone.metrics["busy(d1)"], rel=1e-6)


TIGHTNESS = st.fractions(0, 1, max_denominator=1000).map(lambda value: round(float(value), 3))


@settings(max_examples=40)
@given(st.sampled_from(list(KINDS)), st.integers(1, 5), TIGHTNESS, TIGHTNESS, st.integers(0, 99))
def test_tighter_memory_is_less_memory_everywhere(kind, devices, first, second, seed):
    loose, tight = sorted((first, second))

    def sizes(memory):
        platform = generate(Recipe(kinds=(kind,), devices=devices, memory=memory, seed=seed)).problem.platform
        return [device.memory for device in platform.devices]

    assert all(less <= more for less, more in zip(sizes(tight), sizes(loose), strict=True))


def test_memory_tightness_is_linear_in_the_devices_needed_to_hold_everything():
    for memory, needed in ((0.0, 1), (0.5, 2), (0.8, 2.6), (1.0, 3)):
        problem = generate(Recipe(kinds=("chain",), size=400, memory=memory, heterogeneity=1.0)).problem
        weights = sum(layer.weights for layer in problem.networks[0].layers)
        assert [weights / device.memory for device in problem.platform.devices] == pytest.approx([needed] * 3, rel=0.02)
        assert (Memory() in problem.subject_to) == (memory > 0)


def test_deadlines_go_from_the_slowest_plan_tried_over_the_witness_to_the_bound():
    for tightness, name in ((0.0, "upper"), (0.5, "known"), (1.0, "lower")):
        made = generate(Recipe(kinds=("chain",), memory=0.5, deadline=tightness))
        assert made.problem.networks[0].deadline == pytest.approx(getattr(made, name)["chain"], abs=1e-9)
    assert made.lower["chain"] < made.known["chain"] < made.upper["chain"]


@settings(max_examples=40)
@given(st.sampled_from(list(KINDS)), TIGHTNESS, TIGHTNESS, st.sampled_from(("sequential", "parallel", "scheduled")))
def test_tighter_deadlines_are_earlier_and_between_the_bounds(kind, first, second, execution):
    def limit(deadline):
        made = generate(Recipe(kinds=(kind,), deadline=deadline, execution=execution))
        network = made.problem.networks[0]
        assert Deadline() in made.problem.subject_to
        assert made.lower[kind] <= network.deadline <= made.upper[kind] + 1e-9
        return network.deadline

    loose, tight = sorted((first, second))
    assert limit(tight) <= limit(loose)


@settings(max_examples=20)
@given(st.sampled_from(list(KINDS)), st.integers(0, 99), st.data())
def test_no_placement_is_faster_than_the_lower_bound(kind, seed, data):
    for execution in ("sequential", "parallel"):
        made = generate(Recipe(kinds=(kind,), size=12, execution=execution, seed=seed))
        network = made.problem.networks[0]
        devices = data.draw(st.lists(st.sampled_from(("d1", "d2", "d3")), min_size=len(network.layers)))
        placement = {layer.name: device for layer, device in zip(network.layers, devices, strict=False)}
        assert evaluate(made.problem, Plan(placement={kind: placement})).metrics["latency"] >= made.lower[kind]


def test_sensitivity_decays_along_the_depth():
    for decay in (0.0, 0.5, 1.0):
        problem = generate(Recipe(kinds=("chain",), size=10, decay=decay)).problem
        expected = [int(1000 * (1 - Fraction(repr(decay)) * Fraction(depth, 10))) / 1000 for depth in range(11)]
        assert [tensor.sensitivity for tensor in problem.networks[0].tensors] == expected


def test_one_knob_leaves_the_rest_as_it_is():
    first = generate(Recipe(kinds=("layered",), seed=3)).problem
    other = generate(Recipe(kinds=("layered",), seed=3, memory=0.5, topology="star", devices=4)).problem
    assert first.networks == other.networks


def test_extra_terms_and_limits_are_kept():
    recipe = Recipe(
        kinds=("chain",), size=5, minimize=dp.latency() + 0.5 * dp.energy("d1"), subject_to=(dp.worst_leakage() <= 0.5,)
    )
    problem = generate(recipe).problem
    assert problem.subject_to == (dp.worst_leakage() <= 0.5,)
    assert [term.metric for term in problem.minimize] == ["latency", "energy"]


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"kinds": ()}, ("kinds", "at least 1")),
        ({"kinds": ("chain", "tree")}, ("kinds[1]", "'tree'", "series-parallel")),
        ({"topology": "ring"}, ("topology", "'ring'", "mesh")),
        ({"size": 0}, ("size", ">= 1")),
        ({"memory": 1.1}, ("memory", "1.1", "<= 1")),
        ({"deadline": -0.1}, ("deadline", "-0.1", ">= 0")),
        ({"heterogeneity": 0.5}, ("heterogeneity", "0.5", ">= 1")),
        ({"communication": 0.0}, ("communication", "> 0")),
        ({"topology": "hosts", "hosts": 4}, ("hosts", "got 4", "at most 3")),
    ],
)
def test_bad_recipes_are_refused(fields, parts):
    with pytest.raises(InputError) as caught:
        Recipe(**{"kinds": ("chain",)} | fields)
    for part in parts:
        assert part in str(caught.value)
