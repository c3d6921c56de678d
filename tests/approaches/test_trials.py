"""Each approach that runs: its problem against the paper's formula, its plan against the proved optimum."""

from dataclasses import replace
from itertools import combinations_with_replacement, pairwise, product
from math import inf, isclose

import pytest
from builders import link, platform
from commands import check_refused, dnnopt
from small_settings import SIZES, SLOW, WEIGHTS, WORK, chain, gpus, graph, small, tiers, two

import dnnopt as dp
from dnnopt.approaches import approach_named, published, try_approach
from dnnopt.approaches.settings import among, charged_to_devices, in_row, in_tiers

RUNNING = [name for name, one in published().items() if one.runs]


def least(name, net, where):
    """Return the proved optimum of an approach's problem, and its problem."""
    problem = approach_named(name).build(net, where)
    result = dp.solve(problem)
    assert result.status == "optimal"
    return result.objective, problem


def test_neurosurgeon_is_its_formula():
    # min_j sum_{i<=j} TM_i + TU_j + sum_{k>j} TC_k; after the last layer nothing is sent
    found = [sum(WORK[:j]) + (SIZES[j] / 0.5 if j < 5 else 0.0) + sum(WORK[j:]) / 8 for j in range(6)]
    assert isclose(least("neurosurgeon", chain(), two(up=0.5))[0], min(found))
    assert 0 < found.index(min(found)) < 5


def test_a_trial_compares_with_each_side_alone():
    trial = try_approach("neurosurgeon", chain(), two(up=0.5))
    best = 15 + 2.0 / 0.5 + 11 / 8
    assert isclose(trial.best.objective, best)
    assert trial.against == {"pi": pytest.approx(26 / best), "t4": pytest.approx((12 / 0.5 + 26 / 8) / best)}
    where = two(up=0.5)
    pinned = try_approach("edgeshard", chain(), where.replace(devices=[d.replace(memory=20.0) for d in where.devices]))
    assert set(pinned.alone) == {"pi"}  # the first layer stays where the prompt is
    assert pinned.against == {}  # and all layers weigh 21
    small = two().replace(
        devices=[d.replace(memory=memory) for d, memory in zip(two().devices, (5.0, 30.0), strict=True)]
    )
    full = try_approach("equal-layers", chain(), small)
    assert full.gap is None
    assert full.against == {}
    assert full.headline() == "Equal layers (vLLM default) finds a plan that breaks memory(pi)"


def test_ans_expects_free_and_busy_times():
    def seconds(j, rate, speed):
        return sum(WORK[:j]) + (SIZES[j] / (0.5 * rate) if j < 5 else 0.0) + sum(WORK[j:]) / (8 * speed)

    found = [(seconds(j, 1.0, 1.0) + seconds(j, 0.3, 0.5)) / 2 for j in range(6)]
    assert isclose(least("ans", chain(), two(up=0.5, second="edge"))[0], min(found))


def test_the_rows_of_a_trial_say_how_long_both_took():
    trial = try_approach("neurosurgeon", chain(), two(up=0.5))
    own, best = trial.to_rows()
    assert 0 < own["seconds"] == trial.seconds < 10
    assert best["seconds"] == trial.best.runtime
    assert own["objective"] == best["objective"]
    assert (own["status"], best["status"]) == ("feasible", "proved optimal")


def test_jointdnn_is_its_shortest_path():
    found = []
    for sides in product((0, 1), repeat=5):
        seconds = sum(work / (8 if side else 1) for work, side in zip(WORK, sides, strict=True))
        way = [0, *sides, 0]
        for k in range(6):
            seconds += {(0, 1): SIZES[k] / 2, (1, 0): SIZES[k] / 4}.get((way[k], way[k + 1]), 0.0)
        found.append(seconds)
    assert isclose(least("jointdnn", chain(), two())[0], min(found))


def test_ionn_waits_for_weights():
    found = [
        sum(WORK[:j]) + (SIZES[j] / 2 if j < 5 else 0.0) + sum(WORK[j:]) / 8 + sum(WEIGHTS[j:]) / 2 for j in range(6)
    ]
    assert isclose(least("ionn", chain(), two(second="edge"))[0], min(found))


def cuts():
    """Yield the seconds, and the seconds on the second side, of each cut of the graph that nothing returns over."""
    net = graph()
    for sides in product((0, 1), repeat=5):
        side = dict(zip("abcde", sides, strict=True)) | {"input": 0}
        readers = [(one, reader) for one in net.tensors for reader in one.consumers]
        if any(side[one.producer] > side[reader] for one, reader in readers):
            continue
        sent = {one.name: one.bytes for one, reader in readers if side[one.producer] < side[reader]}
        there = sum(work / 8 for work, one in zip(WORK, sides, strict=True) if one)
        here = sum(work for work, one in zip(WORK, sides, strict=True) if not one)
        yield here + sum(sent.values()) / 0.5 + there, there


@pytest.mark.parametrize("name", ["dads", "qdmp"])
def test_dads_charges_a_tensor_once_and_nothing_returns(name):
    assert isclose(least(name, graph(), two(up=0.5))[0], min(seconds for seconds, _ in cuts()))


def test_dnn_surgery_keeps_its_budget():
    budget = sum(WORK) / 8 / 4
    found = min(seconds for seconds, there in cuts() if there <= budget + 1e-12)
    assert isclose(least("dnn-surgery", graph(), two(up=0.5, price=2.0))[0], found)
    assert found > min(seconds for seconds, _ in cuts())


def test_jalad_chooses_bits_within_the_loss():
    found = []
    for j in range(6):
        sent = 0.0 if j == 5 else SIZES[0] if j == 0 else -(-SIZES[j] * 4 // 32)  # 4 bits lose 0.005, 2 bits 0.05
        found.append(sum(WORK[:j]) + sent / 0.1 + sum(WORK[j:]) / 8)
    assert isclose(least("jalad", chain(), two(up=0.1))[0], min(found))


@pytest.mark.parametrize("name", ["aaiot", "scission"])
def test_tiers_are_gone_up_alone(name):
    ways = {(0, 1): (0.5, 4.0), (1, 2): (0.25, 1.0)}
    found = []
    for x, y in combinations_with_replacement(range(6), 2):
        where = [0] * x + [1] * (y - x) + [2] * (5 - y)
        seconds = sum(work / (1.0, 4.0, 20.0)[tier] for work, tier in zip(WORK, where, strict=True))
        for k, (one, other) in enumerate(zip([0, *where], where, strict=False)):
            for hop in range(one, other):
                delay, rate = ways[hop, hop + 1]
                seconds += delay + SIZES[k] / rate
        found.append(seconds)
    assert isclose(least(name, chain(), tiers())[0], min(found))


def stages(shared):
    """Yield the load of the busiest resource of each way to run the chain in two stages that fit."""
    for j in range(6):
        for first, second in ((0, 1), (1, 0)):
            weights = {first: sum(WEIGHTS[:j]), second: sum(WEIGHTS[j:])}
            if max(weights.values()) > 16:
                continue
            loads = {first: sum(WORK[:j]) / (1 + first), second: sum(WORK[j:]) / (1 + second)}
            sent = SIZES[j] / 2 if 0 < j < 5 else 0.0
            yield (
                max(loads.values()) + sent
                if shared is None
                else max(max(load + (sent if shared else 0.0) for load in loads.values()), sent)
            )


@pytest.mark.parametrize(("name", "shared"), [("msr", True), ("piper", True), ("pipeedge", False), ("dnnpipe", False)])
def test_pipelines_charge_links_apart_and_msr_charges_devices(name, shared):
    assert isclose(least(name, chain(), gpus())[0], min(stages(shared)))


def test_a_host_does_not_pay_for_what_others_send():
    links = {one.name: one.links for one in charged_to_devices(dp.platform("pcie-host-4xa100")).resources}
    assert links["host"] == ()
    assert links["gpu1"] == ("gpu1-up", "gpu1-down")
    pair = platform([dp.Device("a"), dp.Device("b")], [link("l", sender="a", receiver="b")], {"a>b": "l"})
    assert [one.links for one in charged_to_devices(pair).resources] == [("l",), ("l",)]


def test_alpa_adds_the_largest_stage_for_each_further_round():
    found = []
    for j in range(6):
        for first, second in ((0, 1), (1, 0)):
            if max(sum(WEIGHTS[:j]), sum(WEIGHTS[j:])) > 16:
                continue
            parts = [sum(WORK[:j]) / (1 + first), sum(WORK[j:]) / (1 + second)]
            hops = [SIZES[j] / 2] * 2 if 0 < j < 5 else []  # out of the one, into the other
            found.append(sum(parts) + sum(hops) + 7 * max(parts + hops))
    assert isclose(least("alpa", chain(), gpus())[0], min(found))


def test_scissionlite_codes_what_it_sends():
    def sent(size, coded):
        work = 1.25 * size  # bytes; one a second on each side
        return size / 0.1 if not coded else size / 4 / 0.1 + 2 * work

    found = []
    for j in range(6):
        ways = [0.0] if j == 5 else [sent(SIZES[j], coded) for coded in ((False, True) if j else (False,))]
        found += [sum(WORK[:j]) + way + sum(WORK[j:]) / 8 for way in ways]
    assert isclose(least("scissionlite", chain(), two(up=0.1, second="edge"))[0], min(found))


def test_pruned_layers_and_layers_of_few_bits():
    pruned = [sum(WORK[:j]) / 2 + way(j, 2) + sum(WORK[j:]) / 16 for j in range(6)]
    assert isclose(least("cogent", chain(), two(up=0.1, second="edge"))[0], min(pruned))
    four_bits = [sum(WORK[:j]) + way(j, 8) + sum(WORK[j:]) / 8 for j in range(6)]
    assert isclose(least("auto-split", chain(), two(up=0.1))[0], min(four_bits))


def way(j, factor):
    """Return the seconds at the j-th cut over 0.1 bytes/s; all but the input are smaller by a factor."""
    return 0.0 if j == 5 else SIZES[j] / 0.1 / (factor if j else 1)


def free_placements():
    """Yield, for each placement on two sides, its latency and its seconds on either; the answer may stay anywhere."""
    for sides in product((0, 1), repeat=5):
        seconds = [sum(work for work, side in zip(WORK, sides, strict=True) if side == one) for one in (0, 1)]
        seconds[1] /= 8
        places = [0, *sides]
        sent = sum({(0, 1): SIZES[k] / 2, (1, 0): SIZES[k] / 4}.get((places[k], places[k + 1]), 0.0) for k in range(5))
        yield sum(seconds) + sent, seconds[0], seconds[1]


def test_cost_within_a_deadline_and_a_weighted_sum():
    limit = 1.5 * min(latency for latency, _, _ in free_placements())
    dear = min(2.0 * there for latency, _, there in free_placements() if latency <= limit)
    assert isclose(least("pso-ga", chain(), two(price=2.0))[0], dear)
    assert dear > 0
    weighed = min(0.5 * latency + 0.5 * 3.0 * here for latency, here, _ in free_placements())
    assert isclose(least("hivemind", chain(), two())[0], weighed)


def test_energy_of_two_ends_and_the_period_of_two_stages():
    joules = [3.0 * sum(WORK[:j]) + 5.0 * sum(WORK[j:]) / 8 for j in range(6)]
    assert isclose(least("deepwear", chain(), two(second="end"))[0], min(joules))
    loads = [max(sum(WORK[:j]), SIZES[j] / 2 if j < 5 else 0.0, sum(WORK[j:]) / 8) for j in range(6)]
    assert isclose(least("paretopipe", chain(), two())[0], min(loads))


def test_stages_without_a_limit_on_memory():
    roomy = [max(sum(WORK[:j]) / 2, sum(WORK[j:]), SIZES[j] / 2 if 0 < j < 5 else 0.0) for j in range(6)]
    roomy += [max(sum(WORK[:j]), sum(WORK[j:]) / 2, SIZES[j] / 2 if 0 < j < 5 else 0.0) for j in range(6)]
    assert isclose(least("defer", chain(), gpus())[0], min(roomy))


def counts_of(name, where):
    problem = approach_named(name).build(chain(), where)
    placed = list(approach_named(name).plan(problem).placement["net"].values())
    return [placed.count(device) for device in where.device_names()]


def test_rules_are_what_they_say():
    def room(*memory):
        where = gpus(len(memory))
        return where.replace(devices=[d.replace(memory=m) for d, m in zip(where.devices, memory, strict=True)])

    assert counts_of("exo", room(10.0, 30.0)) == [1, 4]
    assert counts_of("exo", room(10.0, 10.0, 10.0)) == [2, 2, 1]
    assert counts_of("equal-layers", room(1.0, 1.0, 1.0)) == [2, 2, 1]
    assert counts_of("vram-order", room(7.0, 8.0, 9.0)) == [3, 1, 1]
    assert counts_of("vram-order", room(0.5, 30.0)) == [0, 5]
    assert counts_of("vram-order", room(2.0, 2.0)) == [1, 4]
    with pytest.raises(dp.InputError, match="the memory of each device"):
        counts_of("exo", room(1.0, None))
    problem = approach_named("exo").build(chain(), gpus())
    assert in_row(problem, [2, 3]) == {"net": {"a": "g0", "b": "g0", "c": "g1", "d": "g1", "e": "g1"}}


@pytest.mark.parametrize("name", RUNNING)
def test_its_plan_passes_the_referee_and_is_not_below_the_optimum(name):
    trial = try_approach(name, *small(name), time_limit=100)
    assert trial.best.status == "optimal"
    problem = trial.best.problem
    assert isclose(trial.best.objective, dp.evaluate(problem, trial.best.plan).objective, rel_tol=1e-9, abs_tol=1e-12)
    if name not in SLOW:
        for solver in ("cpsat",) if problem.execution == "scheduled" else ("highs", "cpsat"):
            again = dp.solve(problem, solver=solver, time_limit=100, confirm=False)
            assert again.status == "optimal"
            assert isclose(again.objective, trial.best.objective, rel_tol=1e-6, abs_tol=1e-12)
    assert trial.own is not None
    assert trial.evaluation is not None
    assert trial.evaluation == dp.evaluate(trial.problem, trial.own)
    assert trial.evaluation.violations == ()
    assert trial.gap is not None
    assert -1e-9 <= trial.gap < inf
    assert trial.gap > 1e-9 or "the optimum" in trial.headline()
    same_variant = trial.variant == trial.best_variant
    assert trial.elsewhere or trial.gap <= 1e-9 or trial.problem.execution == "scheduled" or not same_variant


def test_coedge_gives_each_layer_the_same_shares():
    whole = dp.platform("four-pi3-lan-blocking")
    problem = approach_named("coedge").build(dp.network("resnet18"), among(whole, ["pi0", "pi1"]))
    (placed,) = approach_named("coedge").plan(problem).placement.values()
    shares = {}
    for name, device in placed.items():
        _, mark, part = name.rpartition("#")
        if mark:
            shares.setdefault(int(part), set()).add(device)
        else:
            assert device == "pi0"
    assert sorted(shares) == [1, 2, 3, 4]
    assert [len(devices) for devices in shares.values()] == [1, 1, 1, 1]
    assert [device for part in sorted(shares) for device in shares[part]] == ["pi0", "pi0", "pi1", "pi1"]


def test_mednn_has_a_tile_for_each_device():
    six = approach_named("mednn").build(dp.network("alexnet"), dp.platform("six-pi4-wifi"))
    assert six.networks[0].name == "alexnet@grid:2x3"
    pair = approach_named("mednn").build(dp.network("alexnet"), among(dp.platform("six-pi4-wifi"), ["pi0", "pi1"]))
    assert pair.networks[0].name == "alexnet@grid:1x2"


def test_hax_conn_changes_the_device_of_each_run_once_at_most():
    trial = try_approach("hax-conn", chain(), two())
    assert trial.best.status == "optimal"
    for placed in trial.best.placement.values():
        devices = [placed[name] for name in "abcde"]
        assert sum(a != b for a, b in pairwise(devices)) <= 1
    apart = sum(WORK) / 8 * 2  # both on the faster device, one after the other
    assert trial.best.objective <= apart + 1e-9


def test_examples_and_instances_are_in_the_library():
    known, nets, wheres = dp.names("problems"), dp.names("networks"), dp.names("platforms")
    for one in published().values():
        assert set(one.instances) <= set(known), one.name
        if one.runs:
            assert one.example[0].partition("@")[0] in nets
            assert one.example[1] in wheres


def test_devices_are_taken_out_with_their_links():
    where = among(dp.platform("wearable-bluetooth-phone-wifi-cloud"), ["watch", "phone"])
    assert where.device_names() == ("watch", "phone")
    assert {(route.origin, route.destination) for route in where.routes} == {("watch", "phone"), ("phone", "watch")}
    assert {one.name for one in where.links} == {name for route in where.routes for name in route.links}


def test_what_does_not_suit_an_approach_is_refused():
    idle = replace(approach_named("ddnn"), build=None, missing="All of it.")
    with pytest.raises(dp.InputError, match=r"does not run here\. Missing: All of it"):
        try_approach(idle)
    with pytest.raises(dp.InputError, match="no approach named 'neurosurgery'; did you mean neurosurgeon"):
        try_approach("neurosurgery")
    with pytest.raises(dp.InputError, match="a platform of two devices"):
        try_approach("dads", "alexnet", "4-jetson-nx-lan")
    with pytest.raises(dp.InputError, match="devices of different tiers"):
        try_approach("scission", "alexnet", "4-jetson-nx-lan")
    with pytest.raises(dp.InputError, match="a tier of each device, or of none"):
        in_tiers(platform([dp.Device("a", tier="end"), dp.Device("b")]))
    refused = try_approach("jointdnn", "resnet18@layer", "pi3-wifi-pc")
    assert refused.own is None
    assert refused.gap is None
    assert refused.best.status == "optimal"
    assert "chain" in refused.headline()


def test_the_command_tells_of_an_approach_and_of_its_trial():
    done = dnnopt("approach", "exo")
    assert done.returncode == 0, done.stderr
    for part in (
        "Memory-proportional (exo) (2024)",
        "its own rule",
        "above the optimum",
        "Elsewhere in the best plan:",
    ):
        assert part in done.stdout
    known = dnnopt("approach", "neurosurgeon", "--about").stdout
    assert "[M]; same model, other numbers" in known
    assert "proved optimal" not in known
    assert "which training decides" in dnnopt("approach", "ddnn", "--about").stdout
    assert dnnopt("approach", "exo", "--csv", "-").stdout.startswith("plan,status,")
    check_refused(dnnopt("approach", "magic"), "no approach named 'magic'")
    check_refused(dnnopt("approach", "dads", "small/001"), "NETWORK", "expected a network")
