"""What is shown of problems, networks, platforms and plans at a prompt and in a notebook."""

import pickle

import pytest

import dnnopt as dp

NASTY = "<b>net\x1b[31m</b>"


def devices(*names):
    return tuple(dp.Device(name=name, flops_per_s=1e9, bytes_per_s=1e9) for name in names)


def network(name="net", layers=3):
    own = tuple(dp.Layer(name=f"v{i}", flops=1e9, bytes=1.0, weights=1e6) for i in range(layers))
    tensors = tuple(dp.Tensor(f"t{i}", f"v{i}", (f"v{i + 1}",), 8.0) for i in range(layers - 1))
    return dp.Network(name=name, layers=own, tensors=tensors)


def problem(**fields):
    pair = dp.Platform("pair", devices("a", "b"))
    return dp.Problem(**({"networks": network(), "platform": pair, "execution": "sequential"} | fields))


def shown():
    """Return one of each kind, with its line."""
    one = problem(minimize=dp.latency())
    return [
        (one, "<Problem net: 3 layers, 2 devices, sequential, minimise latency>"),
        (network(), "<Network net: 3 layers, 2 tensors, 3 GFLOP, 3 MB of weights>"),
        (one.platform, "<Platform pair: 2 devices (a, b), 0 links, 0 routes>"),
        (dp.Plan({"net": {"v0": "a", "v1": "b", "v2": "b"}}), "<Plan net: b 2, a 1>"),
    ]


@pytest.mark.parametrize("number", range(4))
def test_each_is_one_line_at_a_prompt(number):
    record, line = shown()[number]
    assert repr(record) == str(record) == line


def test_an_objective_with_weights_and_priorities_and_constraints_are_told():
    terms = [2 * dp.latency("net"), dp.Term("energy", priority=1, devices=("a",), idle=True)]
    one = problem(minimize=terms, subject_to=[dp.MaxDevices(limit=1)], name="mine")
    assert repr(one) == (
        "<Problem mine: 3 layers, 2 devices, sequential, "
        "minimise 2 x latency(net), then energy(a) with idle, 1 constraint>"
    )


def test_a_problem_without_a_name_is_called_like_its_networks():
    one = problem(networks=[network("x"), network("y")], minimize=dp.latency())
    assert one.title == "x + y"
    assert one.replace(name="mine").title == "mine"


def test_a_platform_without_a_name_begins_with_its_devices():
    assert repr(dp.Platform(devices=devices("a"))) == "<Platform 1 device (a), 0 links, 0 routes>"


def test_a_line_stays_short_and_shows_no_control_characters():
    many = dp.Platform(NASTY, devices(*(f"device{i}" for i in range(500))))
    assert len(repr(many)) < 200
    assert "\\x1b" in repr(many)
    assert "\x1b" not in repr(many)


def test_names_are_escaped_in_tables():
    one = problem(networks=network(NASTY), minimize=dp.latency())
    for record in (one, one.networks[0], dp.Platform(NASTY, devices("a")), dp.Plan({NASTY: {"v0": "a"}})):
        html = record._repr_html_()
        assert html.startswith("<table>")
        assert "<b>" not in html
        assert "\x1b" not in html
        assert "&lt;b&gt;net" in html


def test_a_table_names_what_it_shows():
    html = problem(minimize=dp.latency())._repr_html_()
    for word in ("<th>problem</th>", "<th>objective</th>", "<td>minimise latency</td>", "<td>3 layers</td>"):
        assert word in html


@pytest.mark.parametrize("number", range(4))
def test_records_pickle(number):
    record, _ = shown()[number]
    assert pickle.loads(pickle.dumps(record)) == record
