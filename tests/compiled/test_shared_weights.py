"""Weights that several layers share: in files, in networks that are made of others, and what is refused."""

import copy
import json

import pytest
from builders import layer, network, platform, problem, shared, shared_across
from commands import dnnopt

from dnnopt.base.errors import InputError
from dnnopt.methods.solving import solve
from dnnopt.problem import library
from dnnopt.problem.constraints import Placement, memory
from dnnopt.problem.networks import Network, read_network, write_network
from dnnopt.problem.problem import Problem, read_problem, write_problem

TIED = network([layer("a", 1), layer("b", 2), layer("c", 4)], shared_weights=(shared("wte", 10, "a c"),))
OTHER = network([layer("u", 8)], name="other")
TIMES = {"net": dict.fromkeys("abc", (1, 1)), "other": {"u": (1, 1)}}
BACKBONE = shared_across("backbone", 100, "net.b other.u")


def two_networks(shared_weights=(BACKBONE,)):
    return problem([TIED, OTHER], platform("p q"), TIMES, subject_to=[memory()], shared_weights=shared_weights)


def test_networks_and_problems_are_read_back_with_their_shared_weights(tmp_path):
    write_network(TIED, tmp_path / "net.json")
    assert read_network(tmp_path / "net.json") == TIED
    write_problem(two_networks(), tmp_path / "problem.json")
    assert read_problem(tmp_path / "problem.json") == two_networks()


def test_files_say_networks_and_layers():
    data = two_networks().to_data()
    wanted = [{"name": "backbone", "bytes": 100.0, "layers": [["net", "b"], ["other", "u"]]}]
    assert data["shared_weights"] == wanted
    assert data["networks"][0]["shared_weights"] == [{"name": "wte", "bytes": 10.0, "layers": ["a", "c"]}]


def test_the_checksum_tells_problems_with_shared_weights_apart_and_stays_without():
    with_backbone, without = two_networks(), two_networks(())
    assert with_backbone.checksum != without.checksum
    assert "shared_weights" not in without.to_data()


def test_the_summary_counts_shared_weights_once():
    assert "17 B of weights" in TIED.summary()


def test_a_network_of_the_library_with_other_fields_keeps_its_shared_weights(monkeypatch):
    monkeypatch.setattr(library, "network", lambda name: TIED)
    data = two_networks(()).to_data()
    data["networks"][0] = {"base": "net", "name": "prefill", "sensitivity_decay": 0.5}
    del data["profile"]["time"]["net"]
    data["profile"]["time"]["prefill"] = {word: {"p": 1, "q": 1} for word in "abc"}
    again = Problem.from_data(data)
    assert again.networks[0].shared_weights == TIED.shared_weights
    assert [one.name for one in again.all_shared_weights()] == ["prefill.wte"]


def test_reports_say_which_devices_hold_what():
    places = {("net", "a"): "p", ("net", "b"): "q", ("net", "c"): "q", ("other", "u"): "q"}
    limits = [Placement(network=net, layer=name, allowed=(device,)) for (net, name), device in places.items()]
    result = solve(two_networks().replace(subject_to=[memory(), *limits]))
    lines = str(result).splitlines()
    start = lines.index("What layers share")
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        ["weights", "size", "layers", "held", "by"],
        ["net.wte", "10", "B", "2", "p,", "q"],
        ["backbone", "100", "B", "2", "q"],
    ]
    memories = [result.evaluation.metrics[f"memory({device})"] for device in "pq"]
    assert memories == [1 + 10, 2 + 4 + 8 + 10 + 100]


def test_features_count_shared_weights(tmp_path):
    path = str(tmp_path / "problem.json")
    write_problem(two_networks(), path)
    shown = [dnnopt("show", path, *options).output for options in ((), ("--json", "-"))]
    assert ["shared", "weights", "2"] in [line.split() for line in shown[0].splitlines()]
    assert json.loads(shown[1])["shared_weights"] == 2


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layers", ["a", "x"], r"shared_weights\[0\].layers\[1\]: got 'x', expected the name of a layer: a, b, c"),
        ("layers", ["a", "output"], r"shared_weights\[0\].layers\[1\]: got 'output', expected the name of a layer"),
        ("layers", ["a", "a"], r"shared_weights\[0\].layers\[1\]: got 'a', expected a layer name of its own"),
        ("layers", [], r"shared_weights\[0\].layers: got \[\], expected a list of at least 1"),
        ("layers", [["net", "a"]], r"shared_weights\[0\].layers\[0\]: got \['net', 'a'\], expected a text"),
        ("bytes", -1, r"shared_weights\[0\].bytes: got -1, expected a number >= 0"),
        ("bytes", True, r"shared_weights\[0\].bytes: got True, expected a number"),
        ("name", "", r"shared_weights\[0\].name: got '', expected a text that is not empty"),
    ],
)
def test_bad_shared_weights_of_a_network_are_refused(field, value, message):
    data = copy.deepcopy(TIED.to_data())
    data["shared_weights"][0][field] = value
    with pytest.raises(InputError, match=message):
        Network.from_data(data)


def test_two_shared_weights_of_one_name_are_refused():
    twice = [shared("wte", 1, "a b"), shared("wte", 2, "b c")]
    with pytest.raises(InputError, match=r"shared_weights\[1\]: got 'wte', expected a shared-weights name of its own"):
        TIED.replace(shared_weights=twice)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layers", ["b"], r"shared_weights\[0\].layers\[0\]: got 'b', expected a pair: the name of a network and"),
        ("layers", [["net", "b", "c"]], r"shared_weights\[0\].layers\[0\]: got .*, expected a pair"),
        ("layers", [["net", 1]], r"shared_weights\[0\].layers\[0\]\[1\]: got 1, expected a text"),
        (
            "layers",
            [["nett", "b"]],
            r"shared_weights\[0\].layers\[0\]\[0\]: got 'nett', expected the name of a network",
        ),
        (
            "layers",
            [["net", "u"]],
            r"shared_weights\[0\].layers\[0\]\[1\]: got 'u', expected the name of a layer: a, b",
        ),
        ("layers", [["net", "b"], ["net", "b"]], r"shared_weights\[0\].layers\[1\]: got .* a layer name of its own"),
        ("layers", [], r"shared_weights\[0\].layers: got \[\], expected a list of at least 1"),
        ("bytes", -0.5, r"shared_weights\[0\].bytes: got -0.5, expected a number >= 0"),
        ("name", "net.wte", r"shared_weights\[0\].name: got 'net.wte', expected a name other than those of the netw"),
    ],
)
def test_bad_shared_weights_of_a_problem_are_refused(field, value, message):
    data = two_networks().to_data()
    data["shared_weights"][0][field] = value
    with pytest.raises(InputError, match=message):
        Problem.from_data(data)


def test_two_shared_weights_of_one_name_in_a_problem_are_refused():
    with pytest.raises(InputError, match=r"shared_weights\[1\]: got 'backbone', expected a shared-weights name of its"):
        two_networks((BACKBONE, BACKBONE))
