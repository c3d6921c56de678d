"""Problems at other granularities: limits, times and metrics follow their layers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_stacks import stacks
from pieces_values import Run, lan

import dnnopt as dp
from dnnopt.problem import constraints as c
from dnnopt.problem.profiles import Profile

some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def measured(network, names, rng):
    return Profile(
        time={
            network.name: {
                layer.name: {name: float(rng.uniform(0.001, 1)) for name in names} for layer in network.layers
            }
        }
    )


def one(network, names=("pi", "nx", "t4"), execution="sequential", subject_to=(), rng=None):
    profile = Profile() if rng is None else measured(network, names, rng)
    own = network.model_copy(update={"source": names[0], "sink": names[0]})
    return dp.Problem(own, lan(*names), execution, dp.latency(), subject_to, profile=profile)


def one_device_each(at, device_of):
    """Return a plan of a problem at a granularity that runs parts on the device of their layer; None: layers differ."""
    found = {}
    for name, shares in at.networks[0].members.items():
        devices = {device_of[member] for member in shares}
        if len(devices) != 1:
            return None
        found[name] = devices.pop()
    return dp.Plan({at.original.networks[0].name: found})


@some
@given(stacks(), st.sampled_from(["rows:2", "channels:3", "grid:2x2", "batch:3", "layer", "block"]), st.data())
def test_parts_on_the_device_of_their_layer_take_as_long_hold_as_much_and_send_no_more(
    tmp_path, drawn, granularity, data
):
    made, rng = drawn
    network = Run.of(made, tmp_path, rng).network
    problem = one(network, rng=rng, subject_to=[dp.memory("weights", limits={"pi": 100.0, "nx": 300.0})])
    try:
        at = dp.at_granularity(problem, granularity)
    except dp.InputError:
        return
    where = st.sampled_from(problem.platform.device_names())
    alone = data.draw(where)
    device_of = {name: data.draw(where) if granularity[-1].isdigit() else alone for name in sorted(network.layer_names)}
    for group in at.networks[0].members.values():  # layers that are merged run on one device
        device_of |= dict.fromkeys(group, device_of[min(group)])
    plan = one_device_each(at, device_of)
    if plan is None:
        return
    lifted = at.lift(plan)[network.name]
    assert lifted.placement == {network.name: device_of}
    before, after = dp.evaluate(problem, dp.Plan(lifted.placement)), dp.evaluate(at.problem, plan)
    assert after.metrics["energy"] == pytest.approx(before.metrics["energy"])  # 1 W: of all times, as none is sent
    assert after.metrics["traffic"] <= before.metrics["traffic"] * (1 + 1e-9)
    assert [one.amount for one in after.violations] == pytest.approx([one.amount for one in before.violations])


def convolutions(tmp_path, layers):
    """Return a network of so many of: a convolution, ReLU, a convolution, ReLU."""
    from onnx_models import floats, model, node

    nodes = [
        node("Conv", ["x", "w0"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"], name="relu1"),
        node("Conv", ["b", "w1"], ["c"], name="conv2", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["d"], name="relu2"),
    ]
    weights = {name: floats(4, 4, 3, 3) for name in ("w0", "w1")[: (layers + 1) // 2]}
    made = model(nodes[:layers], {"x": [1, 4, 8, 8]}, ["abcd"[layers - 1]], weights)
    return Run.of(made, tmp_path, np.random.default_rng(0)).network


@pytest.fixture
def network(tmp_path):
    return convolutions(tmp_path, 4)


def test_constraints_hold_for_all_parts(network):
    limits = [
        c.Placement(layer="conv1", allowed=("pi", "nx")),
        c.Colocate(layers=("conv1", "conv2")),
        c.Contiguous(network="net", layers=("conv1", "conv2")),
    ]
    rows = dp.at_granularity(one(network, subject_to=limits), "rows:2").problem.subject_to
    placed = [limit for limit in rows if isinstance(limit, c.Placement)]
    assert [(limit.layer, limit.allowed) for limit in placed] == [("conv1#1", ("pi", "nx")), ("conv1#2", ("pi", "nx"))]
    assert rows[2].layers == ("conv1#1", "conv1#2", "conv2#1", "conv2#2")
    assert rows[3].layers == ("conv1#1", "conv1#2", "conv2#1", "conv2#2")


def test_layers_that_must_be_apart_are_apart_in_all_parts_and_never_merged(network):
    problem = one(network, subject_to=[c.Separate(layers=("conv1", "conv2"))])
    pairs = {limit.layers for limit in dp.at_granularity(problem, "rows:2").problem.subject_to}
    assert pairs == {(f"conv1#{p}", f"conv2#{q}") for p in (1, 2) for q in (1, 2)}
    problem = one(network, subject_to=[c.Separate(layers=("conv1", "relu1"))])
    with pytest.raises(dp.InputError, match="does not merge"):
        dp.at_granularity(problem, "layer")


def test_parts_of_a_layer_have_devices_of_their_own_where_a_device_does_everything_at_once(network):
    at = dp.at_granularity(one(network, execution="parallel"), "rows:3").problem
    assert [limit.layers for limit in at.subject_to] == [
        ("conv1#1", "conv1#2", "conv1#3"),
        ("conv2#1", "conv2#2", "conv2#3"),
    ]
    with pytest.raises(dp.InputError, match="at most 3 parts"):
        dp.at_granularity(one(network, execution="parallel"), "rows:4")


def test_parts_with_the_names_of_devices_run_there(network):
    at = dp.at_granularity(one(network), "rows:pi=1,nx=3").problem
    assert {limit.layer: limit.allowed for limit in at.subject_to} == {
        "conv1#pi": ("pi",),
        "conv1#nx": ("nx",),
        "conv2#pi": ("pi",),
        "conv2#nx": ("nx",),
    }
    flops = {layer.name: layer.flops for layer in at.networks[0].layers}
    assert flops["conv1#nx"] == 3 * flops["conv1#pi"]


@pytest.mark.parametrize(
    "wrong", ["row:4", "rows", "rows:0", "rows:x", "grid:2", "fused:2x", "rows:pi=1,tv=2", "layer:2"]
)
def test_what_is_no_granularity_is_refused(network, wrong):
    with pytest.raises(dp.InputError, match="granularity: got"):
        dp.at_granularity(one(network), wrong)


def test_a_network_without_shapes_is_refused_with_where_they_come_from():
    bare = dp.Network("net", layers=[dp.Layer("a", "Conv", 1.0, 1.0)], tensors=[dp.Tensor("x", "input", ("a",), 1.0)])
    with pytest.raises(dp.InputError, match="no layer of 'net' can be divided: it has no shapes"):
        dp.at_granularity(one(bare), "rows:2")


@pytest.mark.parametrize("granularity", ["rows:2", "fused:2x1"])
def test_parts_shorten_the_latency_of_scheduled_execution(network, granularity):
    fast = one(network, ("pi", "nx"), "scheduled")
    alone, divided = dp.solve(fast), dp.solve(dp.at_granularity(fast, granularity).problem)
    assert alone.status == divided.status == "optimal"
    assert divided.objective < alone.objective


def test_granularities_are_variants_with_one_bound(tmp_path):
    found = dp.best_of(dp.granularities(one(convolutions(tmp_path, 2), ("pi", "nx"), "scheduled")))
    assert [row.name for row in found.rows] == ["layer", "block", "rows:2", "channels:2", "fused:2x2"]
    assert found.status == "optimal"
