"""PipeDream's graphs as problems: the accounting by hand, the planner's figures, other platforms, what is refused."""

import random
from itertools import combinations, product

import pytest
from builders import plan
from commands import dnnopt
from shared_data import shared_file

import dnnopt as dp
from dnnopt.base.errors import InputError
from dnnopt.referee import evaluate

MEGA = 1e6
INF = float("inf")


def node(name, forward, backward, activation, parameters=0, description="Conv2d(3, 64)"):
    numbers = f"forward_compute_time={forward}, backward_compute_time={backward}"
    return f"{name} -- {description} -- {numbers}, activation_size={activation}, parameter_size={parameters}"


def edge(source, target):
    return f"\t{source} -- {target}"


# a -> b -> c -> d and a -> d; times in ms. At 1 GB/s there and back, 1 MB takes 2 ms.
SMALL = [
    node("in", 50, 0, 9e9, description="Input0"),
    node("a", 1, 2, MEGA, 600_000),
    node("b", 3, 4, 2 * MEGA, 1_200_000),
    node("c", 2.5, 2.5, 3 * MEGA, description="ReLU(inplace)"),
    node("d", 1, 1, 0, description="Linear"),
    node("unused", 70, 70, 9e9, description="__getitem__(0)"),
    *[edge(*pair) for pair in ("in a", "a b", "b c", "c d", "a d", "c unused") for pair in [pair.split()]],
]


@pytest.fixture
def write(tmp_path):
    def write_file(lines, name="net.graph.txt"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write_file


def metrics(problem, placement):
    found = evaluate(problem, plan({"net": placement}))
    assert found.feasible
    return found.metrics


def test_inputs_and_unused_items_are_left_out(write):
    network = dp.read_pipedream(write(SMALL), machines=2).networks[0]
    assert network.name == "net"
    assert [layer.name for layer in network.layers] == ["a", "b", "c", "d"]
    assert [layer.op for layer in network.layers] == ["Conv2d", "Conv2d", "ReLU", "Linear"]
    assert [layer.weights for layer in network.layers] == [600_000, 1_200_000, 0, 0]
    assert {tensor.name: tensor.consumers for tensor in network.tensors} == {"a": ("b", "d"), "b": ("c",), "c": ("d",)}


def test_used_items_and_results_stay(write):
    lines = [line.replace("Linear", "__getitem__(1)").replace("ReLU", "Input") for line in SMALL]
    lines += [node("e", 1, 1, 1), edge("d", "e")]
    network = dp.read_pipedream(write(lines), machines=2).networks[0]
    assert [layer.name for layer in network.layers] == ["a", "b", "c", "d", "e"]


def test_computation_and_cuts_take_what_the_planner_says(write):
    found = metrics(dp.read_pipedream(write(SMALL), machines=3), "a:machine1 b:machine1 c:machine2 d:machine3")
    assert found["load(machine1)"] == pytest.approx(10e-3)
    assert found["load(machine2)"] == pytest.approx(5e-3)
    assert found["load(machine3)"] == pytest.approx(2e-3)
    assert found["load(machine1->machine2)"] == pytest.approx(6e-3)  # a, which d uses, and b: 3 MB
    assert found["load(machine2->machine3)"] == pytest.approx(8e-3)  # a again, and c: 4 MB


def test_a_tensor_crosses_each_cut_once(write):
    found = metrics(dp.read_pipedream(write(SMALL), machines=3), "a:machine1 b:machine2 c:machine2 d:machine3")
    assert found["load(machine1->machine2)"] == pytest.approx(2e-3)  # a, for b and for d
    assert found["load(machine2->machine3)"] == pytest.approx(8e-3)


def test_nothing_goes_back(write):
    problem = dp.read_pipedream(write(SMALL), machines=2)
    found = evaluate(problem, plan({"net": "a:machine2 b:machine2 c:machine2 d:machine1"}))
    assert not found.feasible


def test_bandwidth_is_that_of_a_connection(write):
    half = dp.read_pipedream(write(SMALL), machines=2, bandwidth="500 MB/s")
    found = metrics(half, "a:machine1 b:machine2 c:machine2 d:machine2")
    assert found["load(machine1->machine2)"] == pytest.approx(4e-3)
    assert dp.read_pipedream(write(SMALL), machines=2, bandwidth=5e8) == half


def test_machines_of_a_stage_share_its_samples_and_sum_up_gradients(write):
    problem = dp.read_pipedream(write(SMALL), machines=(3, 2, 1))
    assert problem.platform.device_names() == ("machines1-3", "machines4-5", "machine6")
    found = metrics(problem, "a:machines1-3 b:machines4-5 c:machines4-5 d:machine6")
    assert found["load(machines1-3)"] == pytest.approx((3e-3 + 4 * 2 * 6e5 / (1e9 * 3)) / 3)
    assert found["load(machines4-5)"] == pytest.approx((12e-3 + 4 * 1 * 12e5 / (1e9 * 2)) / 2)
    assert found["load(machine6)"] == pytest.approx(2e-3)
    assert found["load(machines1-3->machines4-5)"] == pytest.approx(2e-3 / 2)  # two machines receive
    assert found["load(machines4-5->machine6)"] == pytest.approx(8e-3)  # one machine receives


def test_stages_of_a_planner_sums_of_activations_and_blank_lines_are_read(write):
    lines = [line if line.startswith("\t") else f"{line} -- stage_id=3" for line in SMALL]
    lines[2] = lines[2].replace("activation_size=2000000.0", "activation_size=[1500000.0; 500000.0]")
    assert "[" in lines[2]
    edges = [line for line in lines if line.startswith("\t")]
    mixed = write([*edges[:2], "", *(line for line in lines if line not in edges), *edges[2:], edges[3]])
    one = dp.read_pipedream(mixed, machines=2)
    other = dp.read_pipedream(write(SMALL), machines=2)
    assert one.profile == other.profile
    assert sorted(map(str, one.networks[0].tensors)) == sorted(map(str, other.networks[0].tensors))


def drawn(seed):
    """Return layers (seconds, bytes of activations, bytes of parameters) and edges of a small graph."""
    generator = random.Random(seed)
    size = generator.randint(4, 6)
    layers = [
        (generator.randint(1, 9), generator.randint(0, 4) * MEGA, generator.randint(0, 3) * MEGA) for _ in range(size)
    ]
    edges = {(u, v) for u, v in combinations(range(size), 2) if generator.random() < 0.5}
    return layers, sorted(edges | {(u, u + 1) for u in range(size - 1) if generator.random() < 0.6})


def best_period(layers, edges, counts):
    """Return the shortest period, by enumeration of what goes to which stage; all of them have layers."""
    best = INF
    for stage in product(range(len(counts)), repeat=len(layers)):
        if len(set(stage)) < len(counts) or any(stage[u] > stage[v] for u, v in edges):
            continue
        loads = []
        for number, machines in enumerate(counts):
            here = [layer for layer, at in zip(layers, stage, strict=True) if at == number]
            seconds = sum(layer[0] for layer in here) / 1e3
            parameters = sum(layer[2] for layer in here)
            loads.append((seconds + 4 * (machines - 1) * parameters / (1e9 * machines)) / machines)
        for cut in range(1, len(counts)):
            crosses = {u for u, v in edges if stage[u] < cut <= stage[v]}
            loads.append(2 * sum(layers[u][1] for u in crosses) / 1e9 / min(counts[cut - 1 : cut + 1]))
        best = min(best, max(loads))
    return best


def shapes(most):
    """Return the machines of the stages of all pipelines with at most so many."""
    lists = (counts for stages in range(1, most + 1) for counts in product(range(1, most + 1), repeat=stages))
    return [counts for counts in lists if sum(counts) <= most]


@pytest.mark.parametrize("seed", range(6))
def test_the_optimum_is_that_of_all_pipelines(write, seed):
    layers, edges = drawn(seed)
    lines = [node(f"n{v}", *(seconds, 0, *sizes)) for v, (seconds, *sizes) in enumerate(layers)]
    path = write([*lines, *(edge(f"n{u}", f"n{v}") for u, v in edges)])
    straight = min(best_period(layers, edges, (1,) * stages) for stages in (1, 2, 3))
    result = dp.solve(dp.read_pipedream(path, machines=3), time_limit=60)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(straight)
    replicated = min(best_period(layers, edges, counts) for counts in shapes(3))
    found = dp.best_of(dp.read_pipedream_replicated(path, machines=3), time_limit=60)
    assert found.status == "optimal"
    assert found.objective == pytest.approx(replicated)


def test_variants_are_all_ways_to_give_machines_to_stages(write):
    found = dp.read_pipedream_replicated(write(SMALL), machines=3)
    assert list(found.problems) == ["1+1+1", "1+2", "2+1", "3"]
    assert found.problems["1+1+1"] == dp.read_pipedream(write(SMALL), machines=3)
    assert found.problems["2+1"] == dp.read_pipedream(write(SMALL), machines=(2, 1))


@pytest.mark.parametrize(("name", "planned"), [("vgg16", 0.411041792), ("resnet18", 0.201601)])
def test_straight_pipelines_are_those_of_the_planner(name, planned):
    result = dp.solve(dp.read_pipedream(shared_file(f"pipedream/{name}.graph.txt"), machines=4), time_limit=120)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(planned, rel=1e-9)


@pytest.mark.parametrize(("name", "planned", "shape"), [("vgg16", 0.205520896, "3+1"), ("resnet18", 0.100004036, "4")])
def test_replicated_pipelines_are_those_of_the_planner(name, planned, shape):
    path = shared_file(f"pipedream/{name}.graph.txt")
    found = dp.best_of(dp.read_pipedream_replicated(path, machines=4), time_limit=120)
    assert (found.status, found.variant) == ("optimal", shape)
    assert found.objective == pytest.approx(planned, rel=1e-9)


def test_few_stages_of_many_machines_are_solved_at_once():
    path = shared_file("pipedream/vgg16.graph.txt")
    found = dp.best_of(dp.read_pipedream_replicated(path, machines=16, stages=3), time_limit=120)
    assert (found.status, found.variant) == ("optimal", "13+2+1")
    assert found.objective == pytest.approx(0.0565297674, rel=1e-8)
    alone = dp.solve(dp.read_pipedream(path, machines=(13, 2, 1)), formulation="edgewise", time_limit=120)
    assert alone.objective == pytest.approx(found.objective, rel=1e-9)


def test_a_link_for_each_pair_is_another_problem():
    problem = dp.read_pipedream(shared_file("pipedream/resnet18.graph.txt"), machines=4)
    rate = problem.platform.links[0].bandwidth
    links = [
        dp.Link(name=f"{i}->{j}", bandwidth=rate, latency=0.0)
        for i, j in combinations(problem.platform.device_names(), 2)
    ]
    routes = [
        dp.Route(origin=i, destination=j, links=(f"{i}->{j}",)) for i, j in (link.name.split("->") for link in links)
    ]
    mesh = problem.platform.replace(links=tuple(links), routes=tuple(routes))
    result = dp.solve(problem.replace(platform=mesh, transport="unicast"), time_limit=120)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(0.191629, abs=5e-7)


@pytest.mark.parametrize(
    ("number", "line", "parts"),
    [
        (2, "a", ("line 2", "got 'a'", "expected a node, NAME -- DESCRIPTION")),
        (2, node("a", "x", 2, 1), ("line 2: forward_compute_time", "'x'", "a number")),
        (2, node("a", 1, -2, 1), ("line 2: backward_compute_time", "-2", ">= 0")),
        (2, node("a", 1, 2, "nan"), ("line 2: activation_size", "nan", "finite")),
        (2, node("a", 1, 2, "[1; ]"), ("line 2: activation_size", "'[1; ]'", "a number")),
        (2, node("a", 1, 2, 1, "[1; 2]"), ("line 2: parameter_size", "'[1; 2]'", "a number")),
        (2, node("a", 1, 2, 1).replace("backward", "back"), ("line 2", "backward_compute_time=NUMBER")),
        (2, node("output", 1, 2, 1), ("line 2", "'output'", "another name than input and output")),
        (3, node("a", 1, 2, 1), ("line 3", "got 'a'", "line 2 has it already")),
        (7, "\tin -- ", ("line 7", "an edge")),
        (7, "\tin -- a -- b", ("line 7", "an edge")),
        (7, "\tin -- z", ("line 7", "got 'z'", "the name of a node")),
        (8, "\tb -- a", ("line 8: ", "cycle")),
    ],
)
def test_malformed_files_are_refused_by_line(write, number, line, parts):
    lines = list(SMALL)
    lines[number - 1] = line
    if "cycle" in parts:
        lines.insert(number - 1, edge("a", "b"))
        parts = (f"line {number + 1}: ", "cycle: a -> b -> a")
    path = write(lines)
    with pytest.raises(InputError) as caught:
        dp.read_pipedream(path, machines=2)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def test_a_graph_without_layers_is_refused(write):
    for lines in ([], SMALL[:1]):
        with pytest.raises(InputError, match=r"net\.graph\.txt: no nodes, or none but inputs"):
            dp.read_pipedream(write(lines), machines=2)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"machines": 0}, "machines: got 0"),
        ({"machines": []}, "machines"),
        ({"machines": [2, 0]}, r"machines: got \[2, 0\]"),
        ({"machines": 181}, "at most 180 stages"),
        ({"machines": 2, "bandwidth": 0.0}, "bandwidth: got 0.0"),
        ({"machines": 2, "bandwidth": "fast"}, "bandwidth"),
    ],
)
def test_machines_and_bandwidth_must_be_some(write, arguments, part):
    with pytest.raises(InputError, match=part):
        dp.read_pipedream(write(SMALL), **arguments)


def test_replicated_machines_are_few(write):
    with pytest.raises(InputError, match="at most 512 variants"):
        dp.read_pipedream_replicated(write(SMALL), machines=11)
    with pytest.raises(InputError, match="at most 512 variants"):
        dp.read_pipedream_replicated(write(SMALL), machines=1_000_000)
    with pytest.raises(InputError, match="at most 512 variants"):
        dp.read_pipedream_replicated(write(SMALL), machines=100, stages=3)
    with pytest.raises(InputError, match="machines: got 0"):
        dp.read_pipedream_replicated(write(SMALL), machines=0)
    with pytest.raises(InputError, match=r"net\.graph\.txt: line 1: "):
        dp.read_pipedream_replicated(write(["a"]), machines=2)


def test_the_command_writes_a_problem_file(write, tmp_path):
    path, out = write(SMALL), tmp_path / "problem.json"
    run = dnnopt("import", "pipedream", str(path), "--machines", "3", "--bandwidth", "2 GB/s", "-o", str(out))
    assert run.returncode == 0, run.output
    assert "net on 3 machines; 4 layers, 3 devices" in run.output
    assert dp.read_problem(out) == dp.read_pipedream(path, machines=3, bandwidth=2e9)


def test_stages_may_be_few_of_many_machines(write):
    found = dp.read_pipedream_replicated(write(SMALL), machines=16, stages=2)
    assert sorted(found.problems) == sorted(["16", *(f"{first}+{16 - first}" for first in range(1, 16))])
    assert found.problems["15+1"] == dp.read_pipedream(write(SMALL), machines=(15, 1))
    every = dp.read_pipedream_replicated(write(SMALL), machines=4, stages=9)
    assert every == dp.read_pipedream_replicated(write(SMALL), machines=4)
    assert list(dp.read_pipedream_replicated(write(SMALL), machines=3, stages=1).problems) == ["3"]
    with pytest.raises(InputError, match="stages: got 0"):
        dp.read_pipedream_replicated(write(SMALL), machines=3, stages=0)


def test_the_command_writes_variants(write, tmp_path):
    path, out = write(SMALL), tmp_path / "variants.json"
    run = dnnopt("import", "pipedream", str(path), "--machines", "3", "--replicated", "-o", str(out))
    assert run.returncode == 0, run.output
    assert "net on 3 machines, replicated; 4 layers, 4 variants" in run.output
    assert dp.read_variants(out) == dp.read_pipedream_replicated(path, machines=3)
    words = ["import", "pipedream", str(path), "--machines", "16", "--stages", "2", "-o", str(out)]
    assert "16 variants" in dnnopt(*words, "--replicated").output
    assert "--stages: goes with --replicated" in dnnopt(*words).output


def test_the_command_refuses_what_it_cannot_read(write, tmp_path):
    words = ["import", "pipedream", str(write(SMALL)), "-o", str(tmp_path / "problem.json"), "--machines"]
    for more, part in ((["2", "--bandwidth", "fast"], "--bandwidth"), (["0"], "machines: got 0")):
        run = dnnopt(*words, *more)
        assert run.returncode == 2
        assert part in run.output
