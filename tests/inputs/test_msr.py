"""Workloads of the NeurIPS 2020 paper as problems: the accounting by hand, the published optima, what is refused."""

import json

import pytest
from builders import plan
from commands import dnnopt
from edits import edited
from shared_data import shared_file

import dnnopt as dp
from dnnopt.base.errors import InputError
from dnnopt.inputs.msr import read_msr
from dnnopt.problem.plan import Plan
from dnnopt.referee import evaluate


def node(number, name, accelerator, size=10.0, **fields):
    return {
        "id": number,
        "name": name,
        "supportedOnFpga": 1,
        "cpuLatency": 10.0 * accelerator,
        "fpgaLatency": accelerator,
        "isBackwardNode": False,
        "size": size,
    } | fields


def edge(source, destination, cost):
    return {"sourceId": source, "destId": destination, "cost": cost, "size": 7.0}


# a -> b -> c and a -> c; numbers have a gap; times in ms.
SMALL = {
    "maxSizePerFPGA": 25.0,
    "maxFPGAs": 2,
    "maxCPUs": 1,
    "nodes": [node(1, "a", 2.0), node(2, "b", 3.0), node(5, "c", 4.0)],
    "edges": [edge(1, 2, 1.0), edge(1, 5, 1.0), edge(2, 5, 2.0)],
}


@pytest.fixture
def write(tmp_path):
    def write_file(data):
        path = tmp_path / "net.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write_file


def loads(problem, placement):
    metrics = evaluate(problem, plan(placement)).metrics
    return [1e3 * metrics[f"load({device})"] for device in ("accelerator1", "accelerator2", "cpu1")]


def test_an_accelerator_pays_once_for_each_tensor_either_way(write):
    problem = read_msr(write(SMALL))
    # accelerator1: a and c, a goes out, b comes in; accelerator2: b, a comes in, b goes out.
    assert loads(problem, "a:accelerator1 b:accelerator2 c:accelerator1") == pytest.approx(
        [2 + 4 + 1 + 2, 3 + 1 + 2, 0]
    )
    # a goes to two devices, and is sent once.
    assert loads(problem, "a:accelerator1 b:accelerator2 c:cpu1") == pytest.approx([2 + 1, 3 + 1 + 2, 40])


def test_processors_pay_no_communication(write):
    problem = read_msr(write(SMALL | {"maxCPUs": 2}))
    assert loads(problem, "a:cpu1 b:cpu2 c:cpu1") == pytest.approx([0, 0, 60])
    assert loads(problem, "a:cpu1 b:accelerator1 c:cpu1") == pytest.approx([3 + 1 + 2, 0, 60])


def test_memory_limits_accelerators_alone(write):
    problem = read_msr(write(SMALL))
    crowded = evaluate(problem, plan("a:accelerator1 b:accelerator1 c:accelerator1"))
    assert [violation.constraint for violation in crowded.violations] == ["memory(accelerator1)"]
    assert evaluate(problem, plan("a:cpu1 b:cpu1 c:cpu1")).feasible


def test_nodes_that_accelerators_do_not_support_stay_on_processors(write):
    data = SMALL | {"nodes": [node(1, "a", 2.0, supportedOnFpga=False), *SMALL["nodes"][1:]]}
    found = evaluate(read_msr(write(data)), plan("a:accelerator1 b:cpu1 c:cpu1"))
    assert [violation.constraint for violation in found.violations] == ["unsupported(a on accelerator1)"]


def test_the_optimum_by_hand(write):
    for contiguous in (False, True):
        result = dp.solve(read_msr(write(SMALL), contiguous=contiguous), time_limit=60)
        assert result.status == "optimal"
        assert result.objective == pytest.approx(8e-3)  # a, b | c: 2 + 3 + 1 + 2; a | b, c: 3 + 4 + 1; a, c | b: 9


def test_latency_is_that_of_calls_and_of_a_pool_of_processors(write):
    problem = read_msr(write(SMALL | {"maxCPUs": 3}), objective="latency")
    assert problem.platform.device_names() == ("accelerator1", "accelerator2", "cpus")

    def latency(placement):
        return 1e3 * evaluate(problem, plan(placement)).metrics["latency"]

    assert latency("a:cpus b:cpus c:cpus") == pytest.approx(20 + 30 + 40)
    # a and b in one call: a goes out for nobody but c, which is on the other device.
    assert latency("a:accelerator1 b:accelerator1 c:accelerator2") == pytest.approx((2 + 3 + 1 + 2) + (1 + 2 + 4))
    assert latency("a:accelerator1 b:accelerator2 c:accelerator2") == pytest.approx((2 + 1) + (1 + 3 + 4))
    result = dp.solve(problem, time_limit=60)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(11e-3)


def test_a_call_is_convex(write):
    problem = read_msr(write(SMALL), objective="latency")
    found = evaluate(problem, plan("a:accelerator1 b:accelerator2 c:accelerator1"))
    assert [violation.constraint for violation in found.violations] == ["call(net)"]


def test_contiguous_goes_with_throughput(write):
    with pytest.raises(InputError, match="contiguous: goes with throughput"):
        read_msr(write(SMALL), objective="latency", contiguous=True)


# Forward a, b, c and backward C, B, A. Forward and backward of one layer share their class.
TRAINING = {
    "maxSizePerFPGA": 100.0,
    "maxFPGAs": 2,
    "maxCPUs": 0,
    "nodes": [
        node(1, "a", 1.0, colorClass=1),
        node(2, "b", 1.0, colorClass=2),
        node(3, "c", 1.0, colorClass=1),
        node(4, "C", 1.0, colorClass=1, isBackwardNode=True),
        node(5, "B", 1.0, colorClass=2, isBackwardNode=True),
        node(6, "A", 1.0, colorClass=1, isBackwardNode=1),
    ],
    "edges": [edge(source, source + 1, 0.5) for source in range(1, 6)],
}


def violated(data, write, placement, contiguous):
    found = evaluate(read_msr(write(data), contiguous=contiguous), plan(placement))
    return [violation.constraint for violation in found.violations]


def test_colour_classes_share_a_device(write):
    apart = "a:accelerator1 b:accelerator2 c:accelerator1 C:accelerator1 B:accelerator1 A:accelerator1"
    assert violated(TRAINING, write, apart, False) == ["colocate(net:b,B)"]


def test_contiguity_is_about_forward_nodes(write):
    there_and_back = "a:accelerator1 b:accelerator2 c:accelerator1 C:accelerator1 B:accelerator2 A:accelerator1"
    assert violated(TRAINING, write, there_and_back, False) == []
    assert violated(TRAINING, write, there_and_back, True) == ["contiguous(net)"]
    nodes = [one | {"colorClass": one["colorClass"] if one["name"] in "bB" else 3} for one in TRAINING["nodes"]]
    nodes[0]["colorClass"] = nodes[5]["colorClass"] = 1
    forwards = "a:accelerator1 b:accelerator2 c:accelerator2 C:accelerator2 B:accelerator2 A:accelerator1"
    assert violated(TRAINING | {"nodes": nodes}, write, forwards, True) == []


# The device of each node, in the file's order: the number of an accelerator, or c for the processor.
REFERENCES = {
    ("bert24_inference", False): ("1c22332243433425511161515666c4c4", 17.7147),
    ("bert24_inference", True): ("11111111222233334444555556666666", 17.7899),
    ("bert24_training", True): ("1111111111111111222222223333333344444444555555555566666666666666", 41.7458),
}


@pytest.mark.parametrize(("name", "contiguous"), REFERENCES)
def test_the_referee_gives_the_published_loads(name, contiguous):
    devices, published = REFERENCES[name, contiguous]
    problem = read_msr(shared_file(f"msr/throughput/{name}.json"), contiguous=contiguous)
    layers = [layer.name for layer in problem.networks[0].layers]
    names = ["cpu1" if device == "c" else f"accelerator{device}" for device in devices]
    found = evaluate(problem, Plan(placement={name: dict(zip(layers, names, strict=True))}))
    assert found.feasible
    assert 1e3 * found.objective == pytest.approx(published, abs=5e-5)


def layer_names(problem):
    return [layer.name for layer in problem.networks[0].layers]


def named(*names):
    """The small workload with other names; None: no name at all."""
    nodes = [dict(node, name=name) for node, name in zip(SMALL["nodes"], names, strict=True)]
    return SMALL | {"nodes": [{k: v for k, v in node.items() if v is not None} for node in nodes]}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((None, None, None), ["node1", "node2", "node5"]),
        (("input", "conv", "output"), ["input-1", "conv", "output-5"]),
        (("a", "a", "b"), ["a-1", "a-2", "b"]),
        (("", 3, "b"), ["node1", "node2", "b"]),
        ((None, "node1", "x"), ["node1'", "node1", "x"]),
    ],
)
def test_names_are_for_reading_alone(write, names, expected):
    problem = read_msr(write(named(*names)))
    assert layer_names(problem) == expected
    result = dp.solve(problem, time_limit=60)
    assert (result.status, result.objective) == ("optimal", pytest.approx(8e-3))


def test_costs_of_a_node_may_differ_by_noise_and_the_first_counts(write):
    edges = [edge(1, 2, 1.0), edge(1, 5, 1.0000009), edge(2, 5, 2.0)]
    problem = read_msr(write(SMALL | {"edges": edges}))
    assert loads(problem, "a:accelerator1 b:cpu1 c:cpu1")[0] == pytest.approx(3.0, rel=1e-12)
    edges[1]["cost"] = 1.0000011
    with pytest.raises(InputError, match=r"edges\[1\].cost"):
        read_msr(write(SMALL | {"edges": edges}))


def test_what_inference_does_not_need_may_be_missing(write):
    nodes = [{k: v for k, v in node.items() if k not in ("size", "isBackwardNode")} for node in SMALL["nodes"]]
    problem = read_msr(write(SMALL | {"nodes": nodes}), contiguous=True)
    assert [layer.weights for layer in problem.networks[0].layers] == [0, 0, 0]
    assert evaluate(problem, plan("a:accelerator1 b:accelerator1 c:accelerator1")).feasible


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        (("maxFPGAs",), None, ("maxFPGAs", "missing")),
        (("maxFPGAs",), 1.5, ("maxFPGAs", "1.5", "a whole number")),
        (("maxSizePerFPGA",), -1, ("maxSizePerFPGA", "-1", ">= 0")),
        (("nodes",), [], ("nodes", "a list of at least 1")),
        (("nodes", 1, "fpgaLatency"), "3", ("nodes[1].fpgaLatency", "'3'", "a number")),
        (("nodes", 1, "isBackwardNode"), 2, ("nodes[1].isBackwardNode", "got 2", "true or false")),
        (("nodes", 1, "id"), 1, ("nodes[1]", "'1'", "nodes[0]")),
        (("edges", 2, "destId"), 3, ("edges[2].destId", "'3'", "1, 2, 5")),
        (("edges", 1, "cost"), 1.5, ("edges[1].cost", "1.5", "1.0, the cost of the other edges of node 1")),
        (("edges", 2, "destId"), 1, ("cycle", "a -> b -> a")),
    ],
)
def test_malformed_files_are_refused_by_field(write, path, value, parts):
    file = write(edited(SMALL, path, value))
    with pytest.raises(InputError) as caught:
        read_msr(file)
    for part in (str(file), *parts):
        assert part in str(caught.value)


def test_a_workload_without_devices_is_refused(write):
    with pytest.raises(InputError, match="at least one accelerator or processor"):
        read_msr(write(SMALL | {"maxFPGAs": 0, "maxCPUs": 0}))


def test_the_command_writes_a_problem_file(write, tmp_path):
    out = tmp_path / "problem.json"
    words = ["import", "msr", str(write(SMALL)), "--objective", "throughput", "--contiguous", "-o", str(out)]
    run = dnnopt(*words)
    assert run.returncode == 0, run.output
    assert dp.read_problem(out) == read_msr(write(SMALL), contiguous=True)


def test_the_command_refuses_unknown_objectives(write):
    run = dnnopt("import", "msr", write(SMALL), "--objective", "speed", "-o", "x.json")
    assert run.returncode == 2
    assert "'speed'" in run.output
