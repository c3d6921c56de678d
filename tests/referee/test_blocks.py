"""Blocks with costs of their own, worked out by hand, and what is no block."""

import math

import pytest
from builders import layer, link, network, platform, problem, tensor

import dnnopt as dp
from dnnopt.problem.blocks import FusedBlock
from dnnopt.referee import evaluate

# a - b - c - d, of which b has a second way to d: a block without c would not be convex.
NET = network(
    [layer(name, weights=100, activations=10) for name in "abcd"],
    [
        tensor("x", "input", "a", 8),
        tensor("t", "a", "b", 4),
        tensor("u", "b", "c", 2),
        tensor("w", "b", "d", 6),
        tensor("v", "c", "d", 2),
    ],
)
ON = platform(
    [dp.Device(name="p", power=3.0, price=2.0), dp.Device(name="q", power=5.0)],
    [link("up", bandwidth=2.0, latency=1.0)],
    {"p>q": "up"},
)
TIMES = {"a": (4, 1), "b": (6, 2), "c": (8, 4), "d": (10, 4)}
TAIL = {"network": "net", "layers": ["b", "c", "d"], "time": {"p": 9, "q": 3}, "energy": {"q": 2}}


def with_blocks(*blocks, net=NET, on=ON, **fields):
    one = problem(net, on, TIMES, **fields)
    return one.replace(profile=one.profile.replace(blocks=blocks))


def stated(placement, *blocks, forms=None):
    devices = dict(zip("abcd", placement.split(), strict=True))
    return dp.Plan(placement={"net": devices}, blocks={"net": blocks} if blocks else {}, forms=forms or {})


def test_a_block_takes_its_own_time_and_energy():
    seen = evaluate(with_blocks(TAIL), stated("p q q q", "b..d"))
    assert seen.feasible
    assert seen.metrics["latency"] == 4 + (1 + 4 / 2) + 3
    assert seen.metrics["energy"] == 4 * 3.0 + 2
    assert (seen.metrics["busy(p)"], seen.metrics["busy(q)"], seen.metrics["period"]) == (4, 3, 4)


def test_without_an_energy_it_is_power_times_its_time():
    seen = evaluate(with_blocks(TAIL), stated("p p p p", "b..d"))
    assert (seen.metrics["latency"], seen.metrics["energy"], seen.metrics["cost"]) == (13, 39.0, 26.0)


def test_only_blocks_that_the_plan_states_run_as_one():
    assert evaluate(with_blocks(TAIL), stated("p q q q")).metrics["latency"] == 4 + 3 + 2 + 4 + 4


def test_what_blocks_hold_and_send_is_their_layers_own():
    limited = with_blocks(TAIL, subject_to=[dp.memory("weights+activations", limits={"q": 329})])
    (broken,) = evaluate(limited, stated("p q q q", "b..d")).violations
    assert (broken.constraint, broken.amount) == ("memory(q)", 1)
    head = {"network": "net", "layers": ["a", "b"], "time": {"p": 1}}
    seen = evaluate(with_blocks(head), stated("p p q q", "a..b"))
    assert [(one.tensor, one.bytes) for one in seen.transmissions] == [("u", 2), ("w", 6)]
    assert seen.metrics["latency"] == 1 + (1 + 2 / 2) + (1 + 6 / 2) + 4 + 4


def test_a_block_counts_with_the_reach_of_its_layers():
    net = NET.replace(layers=[one.replace(reach=1.0 if one.name == "a" else 0.5) for one in NET.layers])
    seen = evaluate(with_blocks(TAIL, net=net), stated("p q q q", "b..d"))
    assert seen.metrics["latency"] == 4 + 0.5 * (1 + 4 / 2) + 0.5 * 3
    assert seen.metrics["energy"] == 12 + 0.5 * 2


def test_blocks_of_several_tilings_have_names():
    other = TAIL | {"time": {"q": 2}, "name": "tiled"}
    one = with_blocks(TAIL, other, TAIL | {"time": {"q": 1}}, TAIL | {"layers": ["c"]})
    assert [block.name for block in one.blocks] == ["b..d", "tiled", "b..d#2", "c"]
    times = [evaluate(one, stated("p q q q", name)).metrics["latency"] - 7 for name in ("b..d", "tiled", "b..d#2")]
    assert times == [3, 2, 1]
    assert evaluate(one, stated("p q q q", "c")).metrics["latency"] == 7 + 2 + 3 + 4
    assert dp.Problem.from_data(one.to_data()).blocks == one.blocks


def test_modes_have_blocks_by_the_rules_of_times():
    modes = [dp.Mode(name="full"), dp.Mode(name="eco", power=1.0, loss=0.01), dp.Mode(name="slow", efficiency=0.5)]
    devices = [ON.devices[0].replace(modes=modes), ON.devices[1]]
    one = problem(NET, ON, TIMES)
    times = {name: {"p": p, "p:slow": 2 * p, "q": q} for name, (p, q) in TIMES.items()}
    profile = dp.Profile(time={"net": times}, blocks=[TAIL | {"energy": {"p": 7}}])
    one = one.replace(platform=ON.replace(devices=devices), profile=profile)
    seen = evaluate(one, stated("p:full p:eco p:eco p:eco", "b..d"))
    assert (seen.metrics["latency"], seen.metrics["energy"]) == (4 + 9, 4 * 3 + 9 * 1.0)
    assert seen.metrics["accuracy_loss"] == pytest.approx(0.03)
    slow = evaluate(one, stated("p:full p:slow p:slow p:slow", "b..d"))
    assert [v.constraint for v in slow.violations] == ["unsupported(b..d on p:slow)"]
    timed = one.replace(profile=profile.replace(blocks=[TAIL | {"time": {"p:slow": 20}}]))
    assert evaluate(timed, stated("p:full p:slow p:slow p:slow", "b..d")).metrics["latency"] == 24
    able = [dp.Mode(name="full"), dp.Mode(name="eco", ops=["Conv"])]
    limited = one.replace(
        platform=ON.replace(devices=[ON.devices[0].replace(modes=able), ON.devices[1]]),
        profile=profile.replace(time={"net": {name: {"p": 1, "q": 1} for name in TIMES}}),
    )
    assert (
        evaluate(limited, stated("p:full p:eco p:eco p:eco", "b..d"))
        .violations[0]
        .constraint.startswith("unsupported(b..d")
    )


def test_times_of_blocks_follow_the_speed_of_a_scenario_and_measured_energies_stay():
    one = with_blocks(TAIL).replace(
        scenarios=[
            dp.Scenario(name="busy", probability=0.5, speed={"q": 0.5}),
            dp.Scenario(name="usual", probability=0.5),
        ]
    )
    seen = evaluate(one, stated("p q q q", "b..d"))
    assert seen.metrics["latency"] == 4 + 3 + (0.5 * 6 + 0.5 * 3)
    assert seen.metrics["energy"] == 12 + 2


def test_layers_of_a_block_need_not_run_by_themselves():
    unable = {**TIMES, "c": (None, None)}
    one = problem(NET, ON, unable)
    one = one.replace(profile=one.profile.replace(blocks=[TAIL]))
    assert not evaluate(one, stated("p q q q")).feasible
    assert evaluate(one, stated("p q q q", "b..d")).metrics["latency"] == 10


def test_a_block_on_two_executors_or_where_it_cannot_run_is_broken():
    one = with_blocks(TAIL | {"time": {"q": 3}})
    (torn,) = evaluate(one, stated("p p q q", "b..d")).violations
    assert (torn.constraint, torn.amount) == ("block(b..d)", 1)
    assert torn.message == "the layers of block b..d are on p, q, not on one of them"
    seen = evaluate(one, stated("p p p p", "b..d"))
    assert [v.message for v in seen.violations] == ["p does not support block b..d"]
    assert math.isinf(seen.metrics["latency"])


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"net": ["b..d", "b..d"]}, r"blocks.net\[1\]: got 'b..d', expected a block name of its own"),
        ({"net": ["z"]}, r"blocks.net\[0\]: got 'z', expected the name of a block: a..b, b..d"),
        ({"other": ["b..d"]}, "blocks: got 'other', expected the name of a network: net"),
        (
            {"net": ["a..b", "b..d"]},
            r"blocks.net\[1\]: got 'b..d', expected a block without layers of 'a..b', which has 'b' too",
        ),
    ],
)
def test_a_plan_with_other_blocks_is_refused(blocks, message):
    one = with_blocks({"network": "net", "layers": ["a", "b"], "time": {"p": 1}}, TAIL)
    with pytest.raises(dp.InputError, match=message):
        evaluate(one, dp.Plan(placement={"net": dict.fromkeys("abcd", "p")}, blocks=blocks))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": "other"}, r"profile.blocks\[0\].network: got 'other', expected the name of a network: net"),
        ({"layers": ["b", "z"]}, r"profile.blocks\[0\].layers\[1\]: got 'z', expected the name of a layer: a, b, c, d"),
        ({"layers": ["b", "b"]}, r"profile.blocks\[0\].layers\[1\]: got 'b', expected a layer name of its own"),
        ({"layers": []}, r"blocks\[0\].layers: got \[\], expected a list of at least 1"),
        ({"time": {"z": 1}}, r"profile.blocks\[0\].time: got 'z', expected the name of a device: p, q"),
        ({"energy": {"z": 1}}, r"profile.blocks\[0\].energy: got 'z', expected the name of a device: p, q"),
        ({"time": {}}, r"profile.blocks\[0\].time: got {}, expected the seconds on at least one device"),
        ({"time": {"p": None}}, "expected the seconds on at least one device"),
        ({"layers": ["a", "d"]}, r"profile.blocks\[0\].layers: no tensors connect 'a' and 'd' within the block"),
        ({"layers": ["b", "d"]}, r"profile.blocks\[0\].layers: a way leaves the block by 'c' and comes back to it"),
    ],
)
def test_what_is_no_block_is_refused(fields, message):
    with pytest.raises(dp.InputError, match=message):
        with_blocks(TAIL | fields)


def test_layers_of_different_reach_are_no_block():
    net = NET.replace(layers=[one.replace(reach=0.5 if one.name == "d" else 1.0) for one in NET.layers])
    with pytest.raises(dp.InputError, match=r"layers of different reach are no block: b 1, c 1, d 0.5"):
        with_blocks(TAIL, net=net)


def test_names_of_blocks_are_their_own():
    with pytest.raises(dp.InputError, match=r"profile.blocks\[1\].name: got 'x', expected a name that no other block"):
        with_blocks(TAIL | {"name": "x"}, TAIL | {"name": "x"})
    first = with_blocks(TAIL, TAIL | {"layers": ["a"], "name": "b..d"})
    assert [block.name for block in first.blocks] == ["b..d#2", "b..d"]


@pytest.mark.parametrize("execution", ["parallel", "scheduled", "call"])
def test_blocks_mean_nothing_where_layers_run_side_by_side(execution):
    with pytest.raises(dp.InputError, match=rf"profile.blocks: got \['b..d'\], expected no blocks under {execution}"):
        with_blocks(TAIL, on=platform(ON.devices), execution=execution)


def test_files_keep_blocks(tmp_path):
    one = with_blocks(TAIL)
    dp.write_problem(one, tmp_path / "problem.json")
    assert dp.read_problem(tmp_path / "problem.json") == one
    plan = stated("p q q q", "b..d")
    dp.write_plan(plan, tmp_path / "plan.json")
    assert dp.read_plan(tmp_path / "plan.json", one) == plan
    merged = dp.Profile(blocks=[TAIL]).merged(dp.Profile(blocks=[TAIL, TAIL | {"time": {"q": 1}}]))
    assert [block.time for block in merged.blocks] == [{"p": 9, "q": 3}, {"q": 1}]
    assert isinstance(merged.blocks[0], FusedBlock)
