"""Choices beyond placement, worked out by hand: modes, forms, reach, scenarios, state, losses, batches."""

import math
import re

import pytest
from builders import layer, link, network, plan, platform, problem, tensor

import dnnopt as dp
from dnnopt.problem.constraints import Deadline, Energy, MetricLimit
from dnnopt.referee import evaluate

NET = network(
    [layer("a", weights=100, activations=10), layer("b", weights=200, activations=20)],
    [tensor("x", "input", "a", 8), tensor("t", "a", "b", 4, sensitivity=0.5)],
)
UP = link("up", sender="p", receiver="q", bandwidth=2.0, latency=1.0, trusted=True)
ON = platform(
    [dp.Device(name="p", power=3.0, price=2.0, trusted=True), dp.Device(name="q", power=5.0, trusted=True)],
    [UP],
    {"p>q": "up"},
)
TIMES = {"a": (4, 1), "b": (6, 2)}
SPLIT = plan("a:p b:q")


def with_modes(*modes, **fields):
    p = ON.devices[0].replace(modes=modes, **fields)
    return problem(NET, ON.replace(devices=[p, ON.devices[1]]), TIMES)


def with_form(net=NET, plain=True, on=ON, **fields):
    form = dp.Form(**({"name": "jpeg", "bytes": 1} | fields))
    t = net.tensors[1].replace(forms=[form], plain=plain)
    return problem(net.replace(tensors=[net.tensors[0], t]), on, TIMES)


JPEG = dp.Plan(placement=SPLIT.placement, forms={"net": {"t": "jpeg"}})


# Modes


def test_a_measured_time_holds_for_the_modes_that_override_no_rate():
    one = with_modes(dp.Mode(name="plain"), dp.Mode(name="eco", power=1.0, loss=0.01))
    seen = evaluate(one, plan("a:p:eco b:q"))
    assert seen.metrics["latency"] == 4 + (1 + 4 / 2) + 2
    assert seen.metrics["energy"] == 4 * 1.0 + 2 * 5.0
    assert seen.metrics["accuracy_loss"] == 0.01


def test_a_mode_with_other_rates_needs_its_own_time():
    with pytest.raises(dp.InputError, match=r"profile.time.net.a.p:slow: no time"):
        with_modes(dp.Mode(name="plain"), dp.Mode(name="slow", efficiency=0.5))


def test_what_a_device_cannot_run_none_of_its_modes_can_but_one_with_a_time_of_its_own():
    modes = [dp.Mode(name="plain"), dp.Mode(name="slow", efficiency=0.5), dp.Mode(name="slower", efficiency=0.25)]
    layers = [one.replace(flops=1.0, bytes=1.0) for one in NET.layers]
    p = ON.devices[0].replace(modes=modes, flops_per_s=1.0, bytes_per_s=1.0)
    times = {"a": {"p": None, "q": 1, "p:slower": 9}, "b": {"p": 6, "q": 2}}
    one = problem(NET.replace(layers=layers), ON.replace(devices=[p, ON.devices[1]]), TIMES).replace(
        profile=dp.Profile(time={"net": times})
    )
    seconds = [evaluate(one, plan(f"a:p:{mode.name} b:p:plain")).metrics["latency"] for mode in modes]
    assert seconds == [math.inf, math.inf, 15.0]


def test_two_executors_never_have_one_name():
    p = dp.Device(name="p", modes=[dp.Mode(name="a:b"), dp.Mode(name="c")])
    other = dp.Device(name="p:a", modes=[dp.Mode(name="b"), dp.Mode(name="c")])
    words = "devices[1].modes: got 'b', expected another name, as 'p:a:b' is a mode of 'p' too"
    with pytest.raises(dp.InputError, match=re.escape(words)):
        platform([p, other])
    with pytest.raises(dp.InputError, match="as 'p:c' is a device too"):
        platform([p, dp.Device(name="p:c")])


def test_a_mode_makes_other_bytes_and_holds_others():
    one = with_modes(
        dp.Mode(name="plain"),
        dp.Mode(name="int8", weight_bytes=0.25, activation_bytes=0.5, output_bytes=0.5),
    ).replace(subject_to=[dp.memory("weights+activations", limits={"p": 29})])
    seen = evaluate(one, plan("a:p:int8 b:q"))
    assert seen.transmissions[0].bytes == 2
    assert seen.metrics["latency"] == 4 + (1 + 2 / 2) + 2
    assert seen.metrics["memory(p)"] == 25 + 5
    assert [(v.constraint, v.amount) for v in seen.violations] == [("memory(p)", 1)]


def test_layers_in_two_modes_of_a_device_send_nothing_and_each_mode_holds_shared_weights():
    one = with_modes(dp.Mode(name="plain"), dp.Mode(name="half", weight_bytes=0.5)).replace(
        shared_weights=[{"name": "tied", "bytes": 40, "layers": [("net", "a"), ("net", "b")]}]
    )
    seen = evaluate(one, plan("a:p:plain b:p:half"))
    assert seen.transmissions == ()
    assert seen.metrics["memory(p)"] == 100 + 200 / 2 + 40 + 40 / 2
    assert evaluate(one, plan("a:p:half b:p:half")).metrics["memory(p)"] == 50 + 100 + 20


def test_one_mode_holds_for_all_layers_of_the_device():
    one = with_modes(dp.Mode(name="x"), dp.Mode(name="y"), one_mode=True)
    assert evaluate(one, plan("a:p:x b:p:x")).feasible
    (broken,) = evaluate(one, plan("a:p:x b:p:y")).violations
    assert (broken.constraint, broken.message) == (
        "one_mode(p)",
        "layers run in 2 modes of p (p:x, p:y), all in one allowed",
    )


def test_a_mode_that_cannot_run_an_operator_breaks_that():
    one = with_modes(dp.Mode(name="x"), dp.Mode(name="convolutions", ops=["Conv"]))
    (broken,) = evaluate(one, plan("a:p:convolutions b:q")).violations
    assert broken.constraint == "unsupported(a on p:convolutions)"


def test_a_placement_may_allow_any_mode_or_one():
    one = with_modes(dp.Mode(name="x"), dp.Mode(name="y"))
    for allowed, feasible in ((["p"], True), (["p:x"], False), (["p:y", "q"], True)):
        limited = one.replace(subject_to=[dp.Placement(network="net", layer="a", allowed=allowed)])
        assert evaluate(limited, plan("a:p:y b:q")).feasible == feasible


def test_a_plan_must_name_the_mode_of_a_device_with_several():
    with pytest.raises(dp.InputError, match=r"placement.net.a: got 'p', expected the name of a device: p:x, p:y, q"):
        evaluate(with_modes(dp.Mode(name="x"), dp.Mode(name="y")), SPLIT)


def test_the_roofline_is_that_of_the_mode():
    net = NET.replace(layers=[one.replace(flops=12.0, bytes=1.0) for one in NET.layers])
    p = dp.Device(
        name="p", flops_per_s=2.0, bytes_per_s=1e3, modes=[dp.Mode(name="x"), dp.Mode(name="y", flops_per_s=6)]
    )
    one = dp.Problem(net, platform([p]), "sequential", dp.latency())
    assert evaluate(one, plan("a:p:x b:p:y")).metrics["latency"] == 6 + 2


# Forms


def test_a_form_is_encoded_and_decoded_once_and_only_where_it_is_sent():
    one = with_form(encode={"p": 0.5}, decode={"q": 0.25}, loss=0.125)
    seen = evaluate(one, JPEG)
    assert seen.metrics["latency"] == 4 + 0.5 + (1 + 1 / 2) + 0.25 + 2
    assert seen.metrics["energy"] == 3.0 * 4.5 + 5.0 * 2.25
    assert seen.metrics["cost"] == 2.0 * 4.5
    assert (seen.metrics["busy(p)"], seen.metrics["busy(q)"], seen.metrics["period"]) == (4.5, 2.25, 4.5)
    assert (seen.metrics["traffic"], seen.metrics["accuracy_loss"]) == (1, 0.125)
    assert (seen.transmissions[0].form, seen.transmissions[0].bytes) == ("jpeg", 1)
    together = dp.Plan(placement=plan("a:p b:p").placement, forms=JPEG.forms)
    assert evaluate(one, together).metrics["latency"] == 10
    assert evaluate(one, together).metrics["accuracy_loss"] == 0


def test_under_parallel_execution_encoding_hops_and_decoding_follow_each_other_on_the_edge():
    one = with_form(encode={"p": 0.5}, decode={"q": 0.25}).replace(execution="parallel")
    assert evaluate(one, JPEG).metrics["latency"] == 4 + 0.5 + 1.5 + 0.25 + 2


def test_decoding_is_done_once_on_each_device_that_gets_the_tensor():
    net = network("a b c d", [tensor("t", "a", "b c d", 4)])
    net = net.replace(
        tensors=[net.tensors[0].replace(forms=[dp.Form(name="z", bytes=2, encode={"p": 1}, decode={"q": 3})])]
    )
    times = dict.fromkeys("abcd", (0, 0))
    sent = dp.Plan(placement=plan("a:p b:q c:q d:p").placement, forms={"net": {"t": "z"}})
    for transport, copies in (("unicast", 1), ("multicast", 1), ("per_edge", 2)):
        one = problem(net, ON, times).replace(transport=transport)
        assert evaluate(one, sent).metrics["latency"] == 1 + copies * (1 + 2 / 2) + 3


def test_what_cannot_be_encoded_or_decoded_or_sent_as_it_is_is_broken():
    assert [v.constraint for v in evaluate(with_form(encode={}), JPEG).violations] == ["form(t as jpeg on p)"]
    assert [v.message for v in evaluate(with_form(decode={"p": 1}), JPEG).violations] == ["q cannot decode t as jpeg"]
    assert [v.constraint for v in evaluate(with_form(plain=False), SPLIT).violations] == ["form(t)"]
    assert evaluate(with_form(plain=False), JPEG).feasible


def test_a_form_has_a_sensitivity_of_its_own_and_the_larger_of_two_counts():
    p, q = ON.devices
    on = ON.replace(devices=[p, q.replace(trusted=False)])
    net = NET.replace(tensors=[NET.tensors[0].replace(sensitivity=0.0), NET.tensors[1]])
    one = with_form(net, on=on, sensitivity=0.2)
    assert evaluate(one, JPEG).metrics["leakage"] == 0.2
    assert evaluate(one, SPLIT).metrics["leakage"] == 0.5
    both = on.replace(devices=[p.replace(trusted=False), q.replace(trusted=False)])
    net = net.replace(layers=[*net.layers, layer("c", 0, 0)])
    net = net.replace(tensors=[net.tensors[0], net.tensors[1].replace(consumers=("b", "c"))])
    form = dp.Form(name="jpeg", bytes=1, sensitivity=0.2)
    net = net.replace(tensors=[net.tensors[0], net.tensors[1].replace(forms=[form])])
    own = problem(net, both, TIMES | {"c": (1, 1)})
    seen = evaluate(own, dp.Plan(placement=plan("a:p b:q c:p").placement, forms=JPEG.forms))
    assert seen.metrics["leakage"] == seen.metrics["worst_leakage"] == 0.5


def test_a_wrong_time_of_coding_is_named_by_its_place():
    for encode, field in (({"roofline": {"flops": 1}}, "encode.roofline.bytes"), ({"p": -1.0}, "encode.p")):
        with pytest.raises(dp.InputError, match=rf"^{re.escape(field)}: "):
            dp.Form(name="jpeg", bytes=1, encode=encode)


def test_raw_input_has_forms_too():
    x = NET.tensors[0].replace(forms=[dp.Form(name="camera", bytes=2, decode={"q": 0.5})])
    net = NET.replace(tensors=[x, NET.tensors[1]], source="p")
    sent = dp.Plan(placement=plan("a:q b:q").placement, forms={"net": {"x": "camera"}})
    assert evaluate(problem(net, ON, TIMES), sent).metrics["latency"] == (1 + 2 / 2) + 0.5 + 1 + 2


# Reach


def test_what_few_inputs_reach_counts_as_much_less():
    net = NET.replace(layers=[NET.layers[0], NET.layers[1].replace(reach=0.5)])
    seen = evaluate(problem(net, ON, TIMES), SPLIT)
    assert seen.metrics["latency"] == 4 + 0.5 * (1 + 4 / 2) + 0.5 * 2
    assert seen.metrics["energy"] == 4 * 3.0 + 0.5 * 2 * 5.0
    assert seen.metrics["traffic"] == 2
    assert seen.metrics["memory(q)"] == 200


def test_a_copy_counts_with_the_largest_reach_among_those_that_it_serves():
    net = network("a b c", [tensor("t", "a", "b c", 4)])
    net = net.replace(layers=[net.layers[0], net.layers[1].replace(reach=0.5), net.layers[2].replace(reach=0.25)])
    times = {"a": (0, 0), "b": (0, 0), "c": (0, 0)}
    for transport, share in (("unicast", 0.5), ("multicast", 0.5), ("per_edge", 0.75)):
        one = problem(net, ON, times).replace(transport=transport)
        assert evaluate(one, plan("a:p b:q c:q")).metrics["latency"] == share * (1 + 4 / 2)
    assert evaluate(problem(net, ON, times), plan("a:p b:p c:q")).metrics["latency"] == 0.25 * 3


def test_a_result_counts_with_its_own_reach():
    net = network("a", [tensor("y", "a", "output", 4, reach=0.3)], sink="q")
    assert evaluate(problem(net, ON, {"a": (1, 1)}), plan("a:p")).metrics["latency"] == pytest.approx(1 + 0.3 * 3)


def test_reach_must_not_grow_and_has_no_critical_path():
    first, second = NET.layers
    with pytest.raises(dp.InputError, match=r"layers\[1\].reach: got 1.0, expected at most 0.5, the reach of a, which"):
        NET.replace(layers=[first.replace(reach=0.5), second])
    net = NET.replace(layers=[first, second.replace(reach=0.5)])
    with pytest.raises(
        dp.InputError, match=r"expected 1, as minimize\[0\] asks for the latency under parallel execution"
    ):
        problem(net, ON, TIMES).replace(execution="parallel")


# Scenarios


SCENARIOS = [
    dp.Scenario(name="busy", probability=0.25, bandwidth={"up": 0.5}, latency={"up": 3.0}, speed={"q": 0.5}),
    dp.Scenario(name="usual", probability=0.75),
]
BUSY, USUAL = 4 + (3 + 4) + 4, 4 + (1 + 2) + 2


def varying(minimize=None, *limits):
    one = problem(NET, ON, TIMES, minimize=minimize or dp.latency())
    return one.replace(scenarios=SCENARIOS, subject_to=limits)


@pytest.mark.parametrize(
    ("term", "value"),
    [
        (dp.latency(), 0.25 * BUSY + 0.75 * USUAL),
        (dp.worst(dp.latency()), BUSY),
        (dp.cvar(dp.latency(), 0.75), BUSY),
        (dp.cvar(dp.latency(), 0.5), (0.25 * BUSY + 0.25 * USUAL) / 0.5),
        (dp.cvar(dp.latency(), 0.0), 0.25 * BUSY + 0.75 * USUAL),
        (dp.period(), 0.25 * 7 + 0.75 * 4),
        (dp.worst(dp.period()), 7),
        (dp.energy(), 12 + 5.0 * (0.25 * 4 + 0.75 * 2)),
        (dp.worst(dp.energy()), 12 + 5.0 * 4),
        (dp.batch_latency(3), 0.25 * (BUSY + 2 * 7) + 0.75 * (USUAL + 2 * 4)),
        (dp.worst(dp.batch_latency(3)), BUSY + 2 * 7),
    ],
    ids=lambda one: one.label if isinstance(one, dp.Term) else "",
)
def test_terms_look_across_scenarios(term, value):
    assert evaluate(varying(term), SPLIT).objective == pytest.approx(value)


def test_limits_look_across_scenarios():
    def holds(limit):
        return evaluate(varying(None, limit), SPLIT).feasible

    mean = 0.25 * BUSY + 0.75 * USUAL
    assert holds(Deadline(mean + 0.01))
    assert not holds(Deadline(mean - 0.01))
    assert not holds(Deadline(BUSY - 1, across="worst"))
    assert holds(Deadline(USUAL, share=0.75))
    assert not holds(Deadline(USUAL, share=0.76))
    assert not holds(Energy(31, across="worst"))
    assert holds(Energy(31, across="cvar", level=0.5))
    assert holds(MetricLimit("period", 5))
    assert not holds(MetricLimit("period", 5, across="worst"))


def test_utilisation_and_bandwidth_hold_in_every_scenario():
    net = NET.replace(rate=0.2)
    one = problem(net, ON, TIMES).replace(scenarios=SCENARIOS)
    assert evaluate(one.replace(subject_to=[dp.Utilisation()]), SPLIT).violations[0].amount == pytest.approx(
        0.2 * 7 - 1
    )
    assert evaluate(one.replace(subject_to=[dp.Bandwidth(link="up")]), SPLIT).feasible
    faster = problem(net.replace(rate=0.3), ON, TIMES).replace(
        scenarios=SCENARIOS, subject_to=[dp.Bandwidth(link="up")]
    )
    assert evaluate(faster, SPLIT).violations[0].amount == pytest.approx(0.3 * 4 - 1)


def test_measured_energies_stay_in_a_scenario():
    one = problem(NET, ON, TIMES, minimize=dp.worst(dp.energy()), energies={"a": (7, 7), "b": (1, 2)})
    assert evaluate(one.replace(scenarios=SCENARIOS), SPLIT).objective == 7 + 2


@pytest.mark.parametrize(
    ("scenarios", "message"),
    [
        (SCENARIOS[:1], "scenarios: got 0.25, expected probabilities that sum to 1"),
        ([dp.Scenario("s", 1.0, speed={"up": 2})], r"scenarios\[0\].speed: got 'up', expected the name of a device"),
        ([dp.Scenario("s", 0.5), dp.Scenario("s", 0.5)], "a scenario name of its own"),
    ],
    ids=["sum", "unknown", "twice"],
)
def test_scenarios_that_are_wrong_are_named(scenarios, message):
    with pytest.raises(dp.InputError, match=message):
        problem(NET, ON, TIMES).replace(scenarios=scenarios)


def test_a_level_goes_with_cvar_alone():
    with pytest.raises(
        dp.InputError, match="level: got None, expected a number from 0 to below 1, as across is 'cvar'"
    ):
        dp.Term(metric="latency", across="cvar")
    with pytest.raises(dp.InputError, match=r"level: got 0.9, expected no level, as across is not 'cvar'"):
        dp.Term(metric="latency", level=0.9)
    with pytest.raises(dp.InputError, match="a metric that differs between scenarios"):
        _ = dp.worst(dp.traffic()) <= 2


# State, losses, batches


def test_every_memory_rule_counts_state_whatever_the_mode():
    net = NET.replace(layers=[NET.layers[0].replace(state=1000.0), NET.layers[1]])
    p = ON.devices[0].replace(modes=[dp.Mode(name="x"), dp.Mode(name="y", weight_bytes=0.5, activation_bytes=0.5)])
    one = problem(net, ON.replace(devices=[p, ON.devices[1]]), TIMES)
    for rule, held in (("weights", 50), ("weights+activations", 55), ("weights+largest_activation", 55)):
        seen = evaluate(one.replace(subject_to=[dp.memory(rule)]), plan("a:p:y b:q"))
        assert seen.metrics["memory(p)"] == 1000 + held


def test_a_network_may_lose_accuracy_whatever_the_plan():
    one = problem(NET.replace(loss=0.02), ON, TIMES, minimize=dp.accuracy_loss())
    assert evaluate(one, SPLIT).objective == 0.02
    (broken,) = evaluate(one.replace(subject_to=[dp.accuracy_loss() <= 0.01]), SPLIT).violations
    assert (broken.constraint, broken.amount) == ("accuracy_loss", pytest.approx(0.01))


def test_a_batch_takes_its_first_latency_and_a_period_for_each_further_round():
    one = problem(NET, ON, TIMES, minimize=dp.batch_latency(5))
    assert evaluate(one, SPLIT).objective == USUAL + 4 * 4
    with pytest.raises(dp.InputError, match="batch_latency is one under sequential execution"):
        one.replace(execution="pipelined")


# Several networks


def test_layers_of_several_networks_may_have_to_share_a_device():
    other = network("u", name="other")
    one = problem([NET, other], ON, {"net": TIMES, "other": {"u": (1, 1)}})
    together = dp.Colocate(layers=[["net", "b"], ["other", "u"]])
    both = plan({"net": "a:p b:q", "other": "u:q"})
    assert evaluate(one.replace(subject_to=[together]), both).feasible
    apart = plan({"net": "a:p b:q", "other": "u:p"})
    (broken,) = evaluate(one.replace(subject_to=[together]), apart).violations
    assert broken.message == "layers net.b, other.u are on q, p, not on one device"
    assert (
        dp.solve(one.replace(subject_to=[together, dp.Separate(layers=[["net", "a"], ["other", "u"]])])).objective == 10
    )
    with pytest.raises(dp.InputError, match=r"subject_to\[0\].layers\[1\]: got 'v', expected the name of a layer: u"):
        one.replace(subject_to=[dp.Colocate(layers=[["net", "b"], ["other", "v"]])])
