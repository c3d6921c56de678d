"""Splits of MSR workloads: what is read, what is refused, and how far the experts' are from the optimum."""

import json

import pytest
from commands import check_refused, dnnopt
from shared_data import shared_file

import dnnopt as dp

# The experts' splits of the authors' repository (human-experts, MIT): first and last ids of what each accelerator has.
EXPERTS = {
    "bert24_inference": [[(1, 8)], [(9, 12)], [(13, 16)], [(17, 20)], [(21, 24)], [(25, 32)]],
    "bert24_training": [
        [(1, 8), (33, 40)], [(9, 12), (41, 44)], [(13, 16), (45, 48)], [(17, 20), (49, 52)], [(21, 24), (53, 56)],
        [(25, 32), (57, 64)],
    ],
    "gnmt_inference": [[(1, 2), (4, 15)], [(16, 30)], [(3, 3), (31, 50)], [(51, 69)], [(70, 83)], [(84, 96)]],
}  # fmt: skip
# ms: theirs, and the least of contiguous splits.
FOUND = {
    "bert24_inference": (20.083953, 17.789906),
    "bert24_training": (49.404906, 41.745812),
    "gnmt_inference": (46.208451, 32.910658),
}


def split(shares):
    nodes = [[node for first, last in runs for node in range(first, last + 1)] for runs in shares]
    return {
        "cpus": [{"load": 0.0, "nodes": []}],
        "fpgas": [{"load": -1, "nodes": some} for some in nodes],
        "maxLoad": -1,
    }


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_above_the_optimum(name, tmp_path):
    path = tmp_path / "expert.json"
    path.write_text(json.dumps(split(EXPERTS[name])))
    workload = shared_file(f"msr/throughput/{name}.json")
    problem = dp.read_msr(workload, contiguous=True)
    judged = dp.evaluate(problem, dp.read_msr_split(path, workload))
    best = dp.solve(problem, method="ideals")
    assert judged.feasible
    assert (1e3 * judged.objective, 1e3 * best.objective) == pytest.approx(FOUND[name], abs=1e-6)


WORKLOAD = {
    "maxSizePerFPGA": 25.0,
    "maxFPGAs": 2,
    "maxCPUs": 1,
    "nodes": [
        {"id": number, "name": name, "supportedOnFpga": 1, "cpuLatency": 5.0, "fpgaLatency": 1.0, "size": 1.0}
        for number, name in ((1, "a"), (2, "b"), (5, "input"))
    ],
    "edges": [{"sourceId": 1, "destId": 2, "cost": 1.0}, {"sourceId": 2, "destId": 5, "cost": 2.0}],
}


@pytest.fixture
def files(tmp_path):
    def write(split):
        (tmp_path / "net.json").write_text(json.dumps(WORKLOAD))
        (tmp_path / "split.json").write_text(json.dumps(split))
        return tmp_path / "split.json", tmp_path / "net.json"

    return write


def test_a_split_is_a_plan_by_the_names_of_nodes(files):
    paths = files({"fpgas": [{"nodes": [1]}, {"nodes": [5], "load": 3}, {"nodes": []}], "cpus": [{"nodes": [2]}]})
    plan = dp.read_msr_split(*paths)
    assert plan.placement["net"] == {"a": "accelerator1", "input-5": "accelerator2", "b": "cpu1"}
    judged = dp.evaluate(dp.read_msr(paths[1]), plan)
    assert judged.objective == pytest.approx(5e-3)  # the processor's


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"fpgas": [{"nodes": [1, 2]}]}, r"nodes: got 'none on 5', expected every node"),
        ({"fpgas": [{"nodes": [1, 2, 5]}, {"nodes": [2]}]}, r"fpgas\[1\]\.nodes: got 2, expected every node once"),
        ({"fpgas": [{"nodes": [1, 2, 5, 7]}]}, r"fpgas\[0\]\.nodes: got 7, expected a node"),
        ({"cpus": [{}, {"nodes": [1, 2, 5]}]}, r"cpus\[1\]\.nodes: got 1, expected none, as the workload has 1 cpus"),
        ({"fpgas": [{"nodes": ["a"]}]}, r"fpgas\[0\]\.nodes\[0\]"),
    ],
)
def test_what_is_no_split_of_the_workload_is_refused(files, split, said):
    with pytest.raises(dp.InputError, match=said):
        dp.read_msr_split(*files(split))


def test_the_command_writes_the_plan(files, tmp_path):
    path, workload = files({"fpgas": [{"nodes": [1, 2, 5]}]})
    done = dnnopt("import", "msr", str(workload), "--split", str(path), "-o", str(tmp_path / "plan.json"))
    assert done.returncode == 0, done.stderr
    assert dnnopt("import", "msr", str(workload), "-o", str(tmp_path / "problem.json")).returncode == 0
    judged = dnnopt("check", str(tmp_path / "problem.json"), str(tmp_path / "plan.json"))
    assert judged.returncode == 0
    refused = dnnopt(
        "import", "msr", str(workload), "--split", str(path), "--contiguous", "-o", str(tmp_path / "x.json")
    )
    check_refused(refused, "--contiguous", "does not go with --split")
