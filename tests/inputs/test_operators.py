"""Operator graphs: the same everywhere, valid, with classes and gradients as the docstring says."""

import hashlib
import json

import pytest
from commands import dnnopt

import dnnopt as dp
from dnnopt.base.errors import InputError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.logical import Colocation
from dnnopt.compiled.scaling import all_on_one
from dnnopt.inputs.generators.operators import operator_graph, operator_workload

# SHA-256 of the workload with room 1.5 and seed 7, as JSON.
GOLDEN = {
    (100, False): "4f954421b2b8d39eb38ee5d788a68cdaba1977e66d61d505cdc64e59aab810ac",
    (150, True): "85fab1811a77b17cdc0d4a4416c5da841daeb872d9f9cab62ca1e4edafe1bc77",
}


@pytest.mark.parametrize(("size", "training"), GOLDEN)
def test_workloads_are_the_same_everywhere(size, training):
    data = operator_workload(size, 3, training=training, room=1.5, seed=7)
    assert hashlib.sha256(json.dumps(data).encode()).hexdigest() == GOLDEN[size, training]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [1, 34, 300])
def test_graphs_have_at_least_that_many_operators_and_not_many_more(size, training):
    nodes = operator_workload(size, 3, training=training, room=1.5, seed=1)["nodes"]
    assert max(size, 33) <= len(nodes) <= max(size, 20) + 70
    assert any(node["isBackwardNode"] for node in nodes) == training


def test_gradients_share_the_device_of_what_they_are_of():
    data = operator_workload(100, 3, training=True, room=1.5, seed=2)
    color = {node["name"]: node["colorClass"] for node in data["nodes"]}
    backward = {node["name"]: node["isBackwardNode"] for node in data["nodes"]}
    for name, found in color.items():
        if backward[name]:
            of = next(one for one in sorted(color, key=len, reverse=True) if name.startswith(one + "."))
            assert found == color[of] or name.endswith(".sum'")
    assert color["b0.q.w"] == color["b0.q.mm"] == color["b0.q.w.step"] != color["b0.k.mm"]
    # No gradient before what it is made from: forward operators come first, then each after its sources.
    assert all(edge["sourceId"] < edge["destId"] for edge in data["edges"])


def test_room_below_one_keeps_some_operators_off_accelerators():
    tight, roomy = (operator_graph(60, 2, room=room, seed=3) for room in (0.5, 2.5))
    for problem, fits in ((tight, False), (roomy, True)):
        c = compile_problem(problem)
        on_first = all_on_one(c)[:1]
        assert (Evaluator(c).excess(on_first)[0] == 0) == fits
        assert any(isinstance(one, Colocation) for one in c.constraints)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"size": 0}, "size"),
        ({"size": 10**9}, ""),
        ({"accelerators": 0}, "accelerators"),
        ({"room": 0.0}, "room"),
        ({"objective": "energy"}, "objective"),
        ({"training": True}, "training"),
        ({"contiguous": True}, "contiguous"),
    ],
)
def test_values_out_of_range_are_refused(given, field):
    with pytest.raises(InputError) as caught:
        operator_graph(**given)
    assert caught.value.field == field


def test_the_command_writes_the_problem(tmp_path):
    words = "--size 60 --accelerators 3 --training --objective throughput --contiguous --room 0.8 --seed 2"
    assert dnnopt("generate-operators", "-o", tmp_path / "operators.json", *words.split()).returncode == 0
    keys = {"training": True, "objective": "throughput", "contiguous": True, "room": 0.8, "seed": 2}
    assert dp.read_problem(tmp_path / "operators.json") == operator_graph(60, 3, **keys)
    refused = dnnopt("generate-operators", "-o", tmp_path / "other.json", "--training")
    assert refused.returncode == 2
    assert "training: goes with throughput" in refused.stderr
    assert not (tmp_path / "other.json").exists()
