"""Energy, cost, traffic, memory, leakage and the objectives, worked by hand."""

import pytest
from builders import layer, link, network, plan, platform, problem, shared, shared_across, tensor

from dnnopt.problem.constraints import memory
from dnnopt.problem.objectives import Term, cost, energy, latency, leakage, period, traffic, worst_leakage
from dnnopt.problem.platforms import Device
from dnnopt.referee import evaluate

# a on pi for 2 s; 10 bytes over "up" take 10 s; b on t4 for 3 s; the answer's byte takes 1 s over "down".
NET = network(
    "a b",
    [tensor("ab", "a", "b", 10), tensor("answer", "b", "output", 1)],
    sink="pi",
)
ON = platform(
    [
        Device(name="pi", power=5, idle_power=0.5, price=0.25),
        Device(name="t4", power=100, idle_power=2, price=4),
    ],
    [
        link("up", sender="pi", receiver="t4", send_energy_per_byte=3, receive_energy_per_byte=7, price_per_byte=0.5),
        link("down", sender="t4", receiver="pi", send_energy_per_byte=11, receive_energy_per_byte=13),
    ],
    {"pi>t4": "up", "t4>pi": "down"},
)
TIMES = {"a": (2, 1), "b": (6, 3)}
SPLIT = plan("a:pi b:t4")
LATENCY = 2 + 10 + 3 + 1
PI = 5 * 2 + 3 * 10 + 13 * 1
T4 = 100 * 3 + 7 * 10 + 11 * 1


def value(*terms, on=ON, **options):
    return evaluate(problem(NET, on, TIMES, minimize=terms, **options), SPLIT).objective


def test_energy_is_that_of_layers_and_of_both_ends_of_links():
    assert value(energy()) == PI + T4


def test_energy_of_a_device_has_its_own_end_of_each_link():
    assert value(energy("pi")) == PI
    assert value(energy("t4")) == T4


def test_energy_of_several_devices_is_the_sum_of_theirs():
    assert value(energy("pi", "t4")) == PI + T4


def test_energy_of_a_link_without_ends_belongs_to_no_device_but_to_the_total():
    air = platform(
        ON.devices,
        [link("air", send_energy_per_byte=3, receive_energy_per_byte=7)],
        {"pi>t4": "air", "t4>pi": "air"},
    )
    assert value(energy(), on=air) == 5 * 2 + 100 * 3 + 10 * 11
    assert value(energy("pi", "t4"), on=air) == 5 * 2 + 100 * 3


def test_energy_of_devices_does_not_include_relays_links():
    relayed = platform(
        "pi hub t4",
        [
            link("up", sender="pi", receiver="hub", send_energy_per_byte=3, receive_energy_per_byte=7),
            link("on", sender="hub", receiver="t4", send_energy_per_byte=11, receive_energy_per_byte=13),
        ],
        {"pi>t4": "up on"},
    )
    net = network("a b", [tensor("ab", "a", "b", 10)])
    metrics = evaluate(problem(net, relayed, {"a": (1, 1, 1), "b": (1, 1, 1)}), SPLIT).metrics
    assert [metrics[f"energy({name})"] for name in ("pi", "hub", "t4")] == [30, 180, 130]


def test_measured_energy_replaces_power_times_time():
    assert value(energy("pi"), energies={"a": (1.5, 0)}) == 1.5 + 3 * 10 + 13 * 1


def test_idle_energy_is_idle_power_while_a_device_is_not_busy():
    assert value(energy(idle=True)) == PI + T4 + 0.5 * (LATENCY - 2) + 2 * (LATENCY - 3)


def test_idle_energy_of_a_device_is_its_own():
    assert value(energy("t4", idle=True)) == T4 + 2 * (LATENCY - 3)


def test_idle_energy_follows_the_weighted_latency():
    net = NET.model_copy(update={"weight": 3.0})
    result = evaluate(problem(net, ON, TIMES, minimize=energy("t4", idle=True)), SPLIT)
    assert result.objective == T4 + 2 * (3 * LATENCY - 3)


def test_the_energy_metric_leaves_idle_power_out():
    assert evaluate(problem(NET, ON, TIMES, minimize=energy(idle=True)), SPLIT).metrics["energy"] == PI + T4


def test_cost_is_that_of_busy_seconds_and_of_bytes():
    assert value(cost()) == 0.25 * 2 + 4 * 3 + 0.5 * 10


def test_traffic_is_of_all_links_or_of_those_named():
    assert value(traffic()) == 11
    assert value(traffic("down")) == 1


def test_busy_seconds_are_those_of_layers():
    metrics = evaluate(problem(NET, ON, TIMES), SPLIT).metrics
    assert (metrics["busy(pi)"], metrics["busy(t4)"]) == (2, 3)


def test_terms_of_one_priority_are_weighted_and_added():
    assert value(0.5 * latency(), 2 * energy("pi")) == 0.5 * LATENCY + 2 * PI


def test_each_priority_is_an_objective_in_ascending_order():
    terms = (
        Term(metric="cost", priority=7),
        Term(metric="latency", priority=-1),
        Term(metric="traffic", priority=7, weight=2.0),
        Term(metric="period", priority=2),
    )
    result = evaluate(problem(NET, ON, TIMES, minimize=terms), SPLIT)
    assert result.objectives == (LATENCY, 10, 17.5 + 2 * 11)
    assert result.objective == LATENCY


def test_a_term_without_weight_counts_for_nothing_even_where_it_is_infinite():
    silent = platform(ON.devices, ON.links, {"pi>t4": "up"})
    result = evaluate(problem(NET, silent, TIMES, minimize=0 * latency() + traffic("up")), SPLIT)
    assert result.objective == 10


def test_period_is_an_objective():
    assert value(period()) == 10


# Memory.
HEAVY = network(
    [layer("a", 100, 30), layer("b", 200, 50), layer("c", 400, 20)],
    [
        tensor("image", "input", "a", 5),
        tensor("ab", "a", "b c", 7),
        tensor("bc", "b", "c", 11),
        tensor("answer", "c", "output", 1),
    ],
    source="pi",
    sink="pi",
)
STAR = platform(
    "pi hub t4",
    [link("pi-hub"), link("hub-t4"), link("back")],
    {"pi>t4": "pi-hub hub-t4", "t4>pi": "back"},
)
NOTHING = dict.fromkeys("abc", (0, 0, 0))


def held(entry=None, placement="a:pi b:pi c:t4", net=HEAVY, **options):
    listed = [] if entry is None else [entry]
    metrics = evaluate(problem(net, STAR, NOTHING, subject_to=listed, **options), plan(placement)).metrics
    return tuple(metrics[f"memory({name})"] for name in ("pi", "hub", "t4"))


def test_memory_is_of_weights_where_no_rule_is_listed():
    assert held() == (300, 0, 400)


def test_memory_by_weights():
    assert held(memory("weights")) == (300, 0, 400)


def test_memory_by_weights_and_all_activations():
    assert held(memory("weights+activations")) == (300 + 30 + 50, 0, 400 + 20)


def test_memory_by_weights_and_the_largest_activation():
    assert held(memory("weights+largest_activation")) == (300 + 50, 0, 400 + 20)


def test_the_largest_activation_is_over_all_networks():
    networks = [HEAVY, network([layer("u", 1000, 70)], name="other")]
    two = problem(
        networks, STAR, {"net": NOTHING, "other": {"u": (0, 0, 0)}}, subject_to=[memory("weights+largest_activation")]
    )
    result = evaluate(two, plan({"net": "a:pi b:pi c:t4", "other": "u:pi"}))
    assert result.metrics["memory(pi)"] == 300 + 1000 + 70


def test_buffers_hold_each_tensor_that_is_sent_or_received_but_not_relayed():
    # ab and bc go from pi over the hub to t4, the answer comes back; the image stays on pi.
    assert held(memory(buffers=2)) == (300 + 2 * (7 + 11 + 1), 0, 400 + 2 * (7 + 11 + 1))


def test_buffers_hold_raw_input_that_is_sent():
    assert held(memory(buffers=1), "a:t4 b:t4 c:t4") == (5 + 1, 0, 700 + 5 + 1)


@pytest.mark.parametrize("transport", ["unicast", "multicast", "per_edge"])
def test_buffers_hold_a_tensor_once_however_many_copies_there_are(transport):
    assert held(memory(buffers=1), "a:pi b:t4 c:t4", transport=transport) == (100 + 7 + 1, 0, 600 + 7 + 1)


def test_buffers_over_a_free_route_are_held_too():
    free = platform("pi hub t4", routes={"pi>t4": "", "t4>pi": ""})
    result = evaluate(problem(HEAVY, free, NOTHING, subject_to=[memory(buffers=1)]), plan("a:pi b:pi c:t4"))
    assert result.metrics["memory(t4)"] == 400 + 7 + 11 + 1


@pytest.mark.parametrize(
    ("rule", "pi", "t4"),
    [
        ("weights", 300, 400),
        ("weights+activations", 300 + 30 + 50, 400 + 20),
        ("weights+largest_activation", 300 + 50, 400 + 20),
    ],
)
def test_shared_weights_are_held_once_by_each_device_that_runs_a_layer_that_reads_them(rule, pi, t4):
    tied = HEAVY.replace(shared_weights=(shared("wte", 1000, "a b c"), shared("head", 3000, "c"), shared("x", 0, "a")))
    assert held(memory(rule), net=tied) == (pi + 1000, 0, t4 + 1000 + 3000)


def test_shared_weights_are_held_where_no_rule_is_listed():
    assert held(net=HEAVY.replace(shared_weights=(shared("wte", 1000, "a b"),))) == (1300, 0, 400)


def test_weights_that_networks_share_are_held_once_beside_what_each_network_shares():
    networks = [
        HEAVY.replace(shared_weights=(shared("wte", 1000, "a c"),)),
        network([layer("u", 5), layer("v", 7)], name="other", shared_weights=(shared("wte", 20_000, "u v"),)),
    ]
    backbone = shared_across("backbone", 300_000, "net.a net.b other.u")
    times = {"net": NOTHING, "other": dict.fromkeys("uv", (0, 0, 0))}
    one = problem(networks, STAR, times, shared_weights=[backbone])
    assert [shared.name for shared in one.all_shared_weights()] == ["net.wte", "other.wte", "backbone"]
    metrics = evaluate(one, plan({"net": "a:pi b:hub c:t4", "other": "u:pi v:t4"})).metrics
    assert metrics["memory(pi)"] == 100 + 5 + 1000 + 20_000 + 300_000
    assert metrics["memory(hub)"] == 200 + 300_000
    assert metrics["memory(t4)"] == 400 + 7 + 1000 + 20_000


def test_memory_is_left_out_where_weights_are_not_known():
    net = network([layer("a", 100), layer("b"), layer("c", 1)])
    metrics = evaluate(problem(net, STAR, NOTHING), plan("a:pi b:pi c:t4")).metrics
    assert not any(name.startswith("memory") for name in metrics)


# Leakage. The phone and the home server are trusted, the cloud is not.
SECRET = network(
    "a b c",
    [
        tensor("image", "input", "a", 1, sensitivity=1.0),
        tensor("ab", "a", "b", 1, sensitivity=0.5),
        tensor("bc", "b", "c", 1, sensitivity=0.25),
        tensor("answer", "c", "output", 1, sensitivity=0.125),
    ],
    source="phone",
    sink="phone",
)
PLACES = [
    Device(name="phone", trusted=True),
    Device(name="home", trusted=True),
    Device(name="cloud", trusted=False),
]
ROUTES = {"phone>home": "lan", "home>phone": "lan", "phone>cloud": "net", "cloud>phone": "net", "home>cloud": "net"}


def house(lan=True, net=True, **routes):
    return platform(PLACES, [link("lan", trusted=lan), link("net", trusted=net)], ROUTES | routes)


def leaks(placement, on=None, net=SECRET):
    terms = [leakage(), worst_leakage()]
    listed = [Term(metric=term.metric, priority=number) for number, term in enumerate(terms)]
    return evaluate(problem(net, on or house(), NOTHING, minimize=listed), plan(placement)).objectives


def test_nothing_leaks_inside_the_trust_domain():
    assert leaks("a:phone b:home c:home") == (0, 0)


def test_what_an_untrusted_device_consumes_leaks():
    assert leaks("a:phone b:cloud c:cloud") == (0.5 + 0.25, 0.5)


def test_what_an_untrusted_device_makes_does_not_leak():
    assert leaks("a:phone b:home c:cloud") == (0.25, 0.25)


def test_a_result_leaks_at_an_untrusted_sink():
    assert leaks("a:phone b:home c:home", net=SECRET.model_copy(update={"sink": "cloud"})) == (0.125, 0.125)


def test_a_result_without_sink_does_not_leak():
    assert leaks("a:phone b:home c:cloud", net=SECRET.model_copy(update={"sink": None})) == (0.25, 0.25)


def test_raw_input_that_is_everywhere_leaks_where_an_untrusted_device_uses_it():
    everywhere = SECRET.model_copy(update={"source": None})
    assert leaks("a:cloud b:cloud c:cloud", net=everywhere) == (1 + 0.5 + 0.25, 1)
    assert leaks("a:phone b:home c:home", net=everywhere) == (0, 0)


def test_raw_input_that_starts_on_an_untrusted_device_leaks_only_where_it_is_used():
    outside = SECRET.model_copy(update={"source": "cloud"})
    assert leaks("a:phone b:home c:home", net=outside) == (0, 0)


def test_what_crosses_an_untrusted_link_leaks():
    assert leaks("a:phone b:home c:home", house(lan=False)) == (0.5 + 0.125, 0.5)


def test_relays_do_not_leak():
    passing = platform(
        PLACES,
        [link("lan", trusted=True), link("net", trusted=True)],
        ROUTES | {"phone>home": "net lan"},
    )
    assert leaks("a:phone b:home c:home", passing) == (0, 0)


def test_a_tensor_leaks_once_however_it_is_exposed():
    fan = network("a b c", [tensor("t", "a", "b c", 1, sensitivity=0.5)])
    assert leaks("a:phone b:cloud c:cloud", house(net=False), fan) == (0.5, 0.5)


def test_leakage_is_left_out_where_a_flag_or_a_sensitivity_is_not_known():
    complete = evaluate(problem(SECRET, house(), NOTHING), plan("a:phone b:cloud c:home"))
    assert complete.metrics["leakage"] == 0.5
    assert complete.metrics["worst_leakage"] == 0.5
    unflagged = platform(PLACES, [link("lan", trusted=True), link("net")], ROUTES)
    bare = network("a b c", [tensor("ab", "a", "b", 1)])
    for net, on in ((SECRET, unflagged), (bare, house())):
        assert "leakage" not in evaluate(problem(net, on, NOTHING), plan("a:phone b:home c:home")).metrics
