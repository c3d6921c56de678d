"""Arguments of records: constraints take their value first, and what is misspelt is named with what was meant."""

import pytest

import dnnopt as dp


@pytest.mark.parametrize(
    ("positional", "by_keyword"),
    [
        (lambda: dp.Deadline(0.1), dp.Deadline(limit=0.1)),
        (lambda: dp.Deadline(0.1, "net"), dp.Deadline(limit=0.1, network="net")),
        (lambda: dp.MaxDevices(2), dp.MaxDevices(limit=2)),
        (lambda: dp.MaxCuts(3), dp.MaxCuts(limit=3)),
        (lambda: dp.Energy(2.0), dp.Energy(limit=2.0)),
        (lambda: dp.Energy(2.0, ("pi",)), dp.Energy(limit=2.0, devices=("pi",))),
        (lambda: dp.Cost(1.0), dp.Cost(limit=1.0)),
        (lambda: dp.Traffic(1e6), dp.Traffic(limit=1e6)),
        (lambda: dp.Leakage(0.5), dp.Leakage(limit=0.5)),
        (lambda: dp.WorstLeakage(0.5), dp.WorstLeakage(limit=0.5)),
        (lambda: dp.Utilisation(0.8), dp.Utilisation(limit=0.8)),
        (lambda: dp.Bandwidth("up", 8.0), dp.Bandwidth(link="up", limit=8.0)),
        (lambda: dp.MetricLimit("own", 1.0), dp.MetricLimit(metric="own", limit=1.0)),
        (lambda: dp.Memory("weights+activations"), dp.Memory(rule="weights+activations")),
        (lambda: dp.Placement("a", ["pi"], "net"), dp.Placement(network="net", layer="a", allowed=("pi",))),
        (lambda: dp.Colocate(["a", "b"], "net"), dp.Colocate(network="net", layers=("a", "b"))),
        (lambda: dp.Separate(["a", "b"], "net"), dp.Separate(network="net", layers=("a", "b"))),
    ],
)
def test_constraints_take_what_they_limit_first(positional, by_keyword):
    assert positional() == by_keyword


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dp.Deadline("0.1 J"), "limit: got '0.1 J', expected time such as '30 ms'"),
        (
            lambda: dp.Placement("net", "a", ["pi"]),
            "allowed: got 'a', expected a list of names (in Python: Placement('conv1', ['pi'], network='net'))",
        ),
        (
            lambda: dp.Colocate("net", ["a", "b"]),
            "layers: got 'net', expected a list of names (in Python: Colocate(['a', 'b'], network='net'))",
        ),
        (lambda: dp.Separate("a", "b"), "layers: got 'a', expected a list of names (in Python: Separate(['a', 'b'], "),
        (lambda: dp.latency() <= None, "got None, expected a number on the right of <="),
        (lambda: dp.Utilisation(80) and dp.Utilisation("80"), "limit: got '80', expected a number"),
        (
            lambda: dp.solve("resnet50"),
            "no problem named 'resnet50' in the library; it is a network, of which dp.Problem",
        ),
        (lambda: dp.MaxDevices(1, 2), "MaxDevices takes at most 1 argument"),
        (lambda: dp.Deadline(0.1, limit=0.2), "limit: Deadline got two values"),
        (lambda: dp.Deadline(limits=0.1), "limits: unknown key; did you mean 'limit'?"),
        (lambda: dp.MaxDevices(limt=2), "limt: unknown key; did you mean 'limit'? (and 1 more)"),
        (lambda: dp.Device("pi", memroy=8e9), "memroy: unknown key; did you mean 'memory'?"),
        (lambda: dp.Route("a", to="b", link=()), "link: unknown key; did you mean 'links'?"),
        (lambda: dp.Device("pi", colour="red"), "colour: unknown key"),
        (
            lambda: dp.load("small/001").replace(minimise=dp.latency()),
            "minimise: unknown key; did you mean 'minimize'?",
        ),
        (lambda: dp.Plan.from_data({"placment": {}}), "placment: unknown key; did you mean 'placement'? (and 1 more)"),
    ],
)
def test_wrong_arguments_are_input_errors_that_say_what_was_meant(make, message):
    with pytest.raises(dp.InputError) as refused:
        make()
    assert str(refused.value).startswith(message)


def two_networks():
    one = dp.load("small/001")
    network = one.networks[0]
    return one.replace(networks=[network, network.replace(name="other")], profile=dp.Profile())


def test_constraints_on_layers_are_about_the_only_network_where_they_name_none():
    one = dp.load("small/001")
    network, device = one.networks[0], one.platform.devices[0].name
    first, second = (layer.name for layer in network.layers[:2])
    named = one.replace(
        subject_to=[dp.Placement(first, [device], network.name), dp.Separate([first, second], network.name)]
    )
    assert one.replace(subject_to=[dp.Placement(first, [device]), dp.Separate([first, second])]) == named
    entry = {"constraint": "placement", "layer": first, "allowed": [device]}
    assert dp.Problem.from_data(one.to_data() | {"subject_to": [entry]}).subject_to == named.subject_to[:1]
    assert dp.Placement(first, [device]).label == f"placement({first})"


def test_constraints_on_layers_name_their_network_where_there_are_several():
    one = two_networks()
    first = one.networks[0].layers[0].name
    with pytest.raises(
        dp.InputError, match=rf"^subject_to\[1\]\.network: missing: one of {one.networks[0].name}, other"
    ):
        one.replace(subject_to=[dp.Colocate([first], "other"), dp.Colocate([first])])
