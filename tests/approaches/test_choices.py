"""Approaches that choose more than places: exits, thresholds, groups of devices, codecs, parts of a batch."""

from itertools import combinations_with_replacement, product
from math import inf, isclose

import pytest
from small_settings import SIZES, WEIGHTS, WORK, alike, beginning_of_chain, chain, forked, small, tiers, two, users

import dnnopt as dp
from dnnopt.approaches import approach_named, try_approach
from dnnopt.approaches.exits import exits_of, leaving, sections, until
from dnnopt.approaches.groups import taking_turns
from dnnopt.approaches.settings import pipeline
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scheduling import plan_of

UP = 0.5


def scheduled(problem, placed):
    compiled = compile_problem(problem)
    return plan_of(compiled, compiled.placement(dp.Plan(placement=placed)))


def cuts(layers, seconds):
    """Yield the time of each cut after the first j layers, where `seconds` says that of the tensor that is cut."""
    for j in range(layers + 1):
        yield sum(WORK[:j]) + (seconds(j) if j < layers else 0.0) + sum(WORK[j:layers]) / 8


def test_an_exit_needs_what_comes_before_it():
    net = forked()
    assert exits_of(net) == ["b", "c", "e"]
    assert sections(net) == [["a", "b"], ["c"], ["d", "e"]]
    part = until(net, "c")
    assert [layer.name for layer in part.layers] == ["a", "b", "c"]
    assert [(one.producer, one.consumers) for one in part.tensors] == [
        ("input", ("a",)), ("a", ("b",)), ("b", ("c",)), ("c", ("output",)),
    ]  # fmt: skip
    some = leaving(net, 0.25)
    assert [layer.reach for layer in some.layers] == [1.0, 1.0, 0.25, 0.0625, 0.0625]
    assert {one.name: one.reach for one in some.tensors if one.reach is not None} == {"x": 0.75, "y": 0.25 * 0.75}
    with pytest.raises(dp.InputError, match="a network with several exits"):
        exits_of(chain())


def test_edgent_takes_the_last_exit_that_is_in_time():
    best = [min(cuts(layers, lambda j: SIZES[j] / UP)) for layers in (2, 3, 5)]
    trial = try_approach("edgent", forked(), two(up=UP, second="edge"))
    limit = 0.9 * best[2]
    latest = max(number for number, seconds in enumerate(best, 1) if seconds <= limit)
    assert 1 < latest < 3
    assert trial.variant == trial.best_variant == f"exit{latest}"
    assert isclose(trial.best.objective, 0.05 * (3 - latest))


def test_spinn_expects_what_exits_leave():
    found = {}
    for threshold, stays in ((0.9, 0.6), (0.8, 0.35)):
        reach = [1.0, 1.0, stays, stays**2, stays**2]

        def sent(j, reach=reach):
            size = SIZES[j]
            return size / UP if j == 0 else reach[j] * (size / 4 / UP + 2 * 1.25 * size)

        times = [work * share for work, share in zip(WORK, reach, strict=True)]
        found[threshold] = min(sum(times[:j]) + (sent(j) if j < 5 else 0.0) + sum(times[j:]) / 8 for j in range(6))
    trial = try_approach("spinn", forked(), two(up=UP, second="edge"))
    assert isclose(trial.best.objective, min(found.values()))
    assert trial.best_variant == "threshold 0.8"  # fewer go on, and 0.6 loses too much


def test_ddnn_sends_the_least_within_the_memory_of_its_own_sections():
    trial = try_approach("ddnn", forked(), tiers())
    reach, room = [1.0, 1.0, 0.35, 0.35**2, 0.35**2], [sum(WEIGHTS[:2]), WEIGHTS[2]]
    found = {}
    for x, y in combinations_with_replacement(range(6), 2):
        if sum(WEIGHTS[:x]) <= room[0] and sum(WEIGHTS[x:y]) <= room[1]:
            where = [0] * x + [1] * (y - x) + [2] * (5 - y)
            hops = [where[k] - ([0, *where])[k] for k in range(5)]
            found[x, y] = sum(hop * SIZES[k] * reach[k] for k, hop in enumerate(hops))
    assert isclose(trial.evaluation.objective, found[2, 3])
    assert isclose(trial.best.objective, min(found.values()))


def test_devices_of_a_group_take_turns():
    where, found = alike(memory=16.0), []
    for sizes in ((3,), (2, 1), (1, 1, 1)):
        for places in product(range(len(sizes)), repeat=5):
            runs = [place for k, place in enumerate(places) if k == 0 or place != places[k - 1]]
            weights = [sum(w for w, p in zip(WEIGHTS, places, strict=True) if p == g) for g in range(len(sizes))]
            if len(runs) > len(set(runs)) or max(weights) > 16.0:
                continue
            loads = [sum(w for w, p in zip(WORK, places, strict=True) if p == g) / sizes[g] for g in set(runs)]
            for k in range(1, 5):
                a, b = places[k - 1], places[k]
                if a != b:  # its own links: one out of the first, one into the second
                    loads += [SIZES[k] / 2 / sizes[a], SIZES[k] / 2 / sizes[b]]
            found.append(max(loads))
    trial = try_approach("musical-chair", chain(), where)
    assert isclose(trial.best.objective, min(found))
    assert trial.best_variant == "2+1"
    with pytest.raises(dp.InputError, match="identical devices"):
        taking_turns(users(), lambda groups, _: pipeline(chain(), groups))
    with pytest.raises(dp.InputError, match="a platform of 2 to 6 devices"):
        taking_turns(alike(7), lambda groups, _: pipeline(chain(), groups))


def test_pipedream_adds_up_the_gradients_of_a_stage_on_several_machines():
    found = {}
    for sizes in ((3,), (2, 1), (1, 1, 1)):
        for places in product(range(len(sizes)), repeat=5):
            runs = [place for k, place in enumerate(places) if k == 0 or place != places[k - 1]]
            if len(runs) > len(set(runs)):
                continue
            loads = []
            for group in set(runs):
                m = sizes[group]
                for_one = 3 * 32 * sum(w for w, p in zip(WORK, places, strict=True) if p == group)
                weights = sum(w for w, p in zip(WEIGHTS, places, strict=True) if p == group)
                loads.append((for_one + 4 * (m - 1) * weights / (2.0 * m)) / m)
            for k in range(1, 5):
                a, b = places[k - 1], places[k]
                if a != b:
                    loads += [2 * 32 * SIZES[k] / 2 / sizes[a], 2 * 32 * SIZES[k] / 2 / sizes[b]]
            name = "+".join(map(str, sizes))
            found[name] = min(found.get(name, inf), max(loads))
    trial = try_approach("pipedream", chain(), alike())
    assert isclose(trial.best.objective, min(found.values()))
    for name, problem in approach_named("pipedream").problems(chain(), alike()).items():
        assert isclose(dp.solve(problem).objective, found[name])


def test_a_shared_medium_is_no_wider_for_a_group():
    wifi = dp.platform("six-pi4-wifi")
    (three,) = [
        p
        for name, p in taking_turns(wifi, lambda groups, _: pipeline(chain(), groups)).problems.items()
        if name == "3+3"
    ]
    assert {link.bandwidth for link in three.platform.links} <= {link.bandwidth for link in wifi.links}
    assert three.platform.devices[0].flops_per_s == 3 * wifi.devices[0].flops_per_s


def test_bottlenet_sends_what_its_unit_leaves():
    def sent(j):
        if j == 0:
            return SIZES[0] / UP
        ways = []
        for share in (1 / 4, 1 / 16, 1 / 64):  # 1/256 loses too much
            ways.append(SIZES[j] * share / UP + 2 * (1 + share) * SIZES[j])
        return min(ways)

    trial = try_approach("bottlenet", chain(), two(up=UP))
    assert isclose(trial.best.objective, min(cuts(5, sent)))


def test_shredder_cuts_where_the_tensor_tells_the_least_in_time():
    where = two(up=4.0)
    devices = [device.replace(trusted=device.name == "pi") for device in where.devices]
    trial = try_approach(
        "shredder", chain(), where.replace(devices=devices, links=[one.replace(trusted=True) for one in where.links])
    )
    times = list(cuts(5, lambda j: SIZES[j] / 4.0))
    in_time = [j for j, seconds in enumerate(times) if seconds <= 1.5 * min(times)]
    deepest = max(in_time)
    assert 0 < deepest < 5
    net = chain().with_sensitivity(0.9)
    (sensitivity,) = [one.sensitivity for one in net.tensors if one.name == f"t{deepest}"]
    assert isclose(trial.best.objective, 0.253 * sensitivity)


def test_hiertrain_trains_three_parts_and_adds_up_gradients():
    (network,) = approach_named("hiertrain").build(beginning_of_chain(2), tiers()).networks
    assert [layer.flops for layer in network.layers if layer.name == "a#1"] == [3 * 8 * WORK[0]]
    assert isclose(sum(layer.flops for layer in network.layers if "#" in layer.name), 3 * 24 * sum(WORK[:2]))
    sizes = {one.name: one.bytes for one in network.tensors}
    assert sizes["t0#1"] == 8 * SIZES[0]
    assert sizes["t1#1"] == 2 * 8 * SIZES[1]
    assert sizes["a.gradient#3"] == 2 * WEIGHTS[0]


def test_hiertrain_tries_all_that_it_chooses_from():
    problem = approach_named("hiertrain").build(beginning_of_chain(2), tiers())
    (network,) = problem.networks
    least = inf
    for top, one, two_ in product(["pi", "nx", "t4"], repeat=3):
        for first, second in combinations_with_replacement(range(3), 2):
            places = {}
            for layer in network.layers:
                name, _, part = layer.name.rpartition("#")
                kept, home = {"1": (first, one), "2": (second, two_)}.get(part, (0, top))
                places[layer.name] = home if name and "ab".index(name) < kept else top
            least = min(least, dp.evaluate(problem, scheduled(problem, {network.name: places})).objective)
    own = dp.evaluate(problem, approach_named("hiertrain").plan(problem)).objective
    assert own <= least + 1e-9


def test_no_user_of_dina_gains_by_another_cut_or_node():
    trial = try_approach("dina", chain(), users())
    problem = trial.problem
    for network in problem.networks:
        own = trial.evaluation.metrics[f"latency({network.name})"]
        for kept, node in product(range(6), "cd"):
            placed = {name: dict(layers) for name, layers in trial.own.placement.items()}
            placed[network.name] = {
                name: str(network.source) if rank < kept else node for rank, name in enumerate("abcde")
            }
            other = dp.evaluate(problem, scheduled(problem, placed)).metrics[f"latency({network.name})"]
            assert other >= own - 1e-9
    with pytest.raises(dp.InputError, match="a platform of three devices or fewer"):
        approach_named("hiertrain").build(chain(), users())
    with pytest.raises(dp.InputError, match="two end devices or more"):
        approach_named("dina").build(chain(), tiers())


def test_distredge_is_not_worse_than_equal_shares():
    net, where = small("distredge")
    problem = approach_named("distredge").build(net, where)
    names = [layer.name for layer in problem.networks[0].layers]
    devices = where.device_names()
    equal = {name: devices[(int(name.rpartition("#")[2]) - 1) // 2] if "#" in name else devices[0] for name in names}
    plan = scheduled(problem, {problem.networks[0].name: equal})
    own = approach_named("distredge").plan(problem)
    assert dp.evaluate(problem, own).objective <= dp.evaluate(problem, plan).objective
    assert own == approach_named("distredge").plan(problem)
