"""PipeEdge's profiles as problems: the accounting by hand, the published optima, and what is refused."""

import copy
import json
import math

import pytest
from builders import plan
from commands import dnnopt
from edits import edited
from shared_data import shared_file

import dnnopt as dp
from dnnopt.base.errors import InputError
from dnnopt.inputs.pipeedge import read_pipeedge
from dnnopt.referee import evaluate

MEBI = 2**20
VIT = "google/vit-base-patch16-224"
MINNOWBOARD, RCC = "Minnowboard-E3845", "RCC-VE-C2000"
# With a batch of 2 and 4 bytes an element, 131072 elements are 1 MiB; 8 Mbit/s are 1 MiB/s.
SMALL = {
    "models": {
        "net": {
            "layers": 3,
            "mem_MB": [1, 2, 3],
            "parameters_in": 131072,
            "parameters_out": [131072, 262144, 131072],
        }
    },
    "device_types": {
        "fast": {
            "bw_Mbps": 8,
            "mem_MB": 16,
            "model_profiles": {"net": [{"batch_size": 2, "dtype": "torch.float32", "time_s": [1, 4, 2]}]},
        },
        "slow": {
            "bw_Mbps": 4,
            "mem_MB": 16,
            "model_profiles": {"net": [{"batch_size": 2, "dtype": "torch.float32", "time_s": [2, 8, 4]}]},
        },
    },
}


@pytest.fixture
def write(tmp_path):
    def write_file(data):
        path = tmp_path / "profile.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write_file


def test_computation_and_transmission_take_what_the_scheduler_says(write):
    problem = read_pipeedge(write(SMALL), model="net", devices={"fast": 2, "slow": 1})
    metrics = evaluate(problem, plan({"net": "layer1:fast-1 layer2:slow-1 layer3:fast-2"})).metrics
    assert metrics["load(slow-1)"] == 8
    assert metrics["load(fast-1->slow-1)"] == 2  # 1 MiB at the lower of 8 and 4 Mbit/s
    assert metrics["load(slow-1->fast-2)"] == 4
    assert metrics["period"] == 8


def test_memory_counts_three_copies_of_what_is_exchanged_and_one_at_the_ends(write):
    problem = read_pipeedge(write(SMALL), model="net", devices={"fast": 2})
    metrics = evaluate(problem, plan({"net": "layer1:fast-1 layer2:fast-1 layer3:fast-2"})).metrics
    assert metrics["memory(fast-1)"] == (1 + 2 + 1 + 3 * 2) * MEBI
    assert metrics["memory(fast-2)"] == (3 + 3 * 2 + 1) * MEBI


def test_the_optimum_by_hand(write):
    problem = read_pipeedge(write(SMALL), model="net", devices={"fast": 2})
    result = dp.solve(problem, time_limit=60)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(5)  # layers 1 and 2 | layer 3; 1 | 2 and 3 takes 6


def test_memory_can_rule_out_the_fastest_split(write):
    data = copy.deepcopy(SMALL)
    data["device_types"]["fast"]["mem_MB"] = 9
    problem = read_pipeedge(write(data), model="net", devices={"fast": 2})
    # Splits need 10 + 10 and 5 + 9 MiB; all on one device needs 6 + 2 MiB and takes 7 s.
    assert dp.solve(problem, time_limit=60).objective == pytest.approx(6)


def test_half_precision_halves_the_bytes(write):
    data = copy.deepcopy(SMALL)
    data["device_types"]["fast"]["model_profiles"]["net"][0]["dtype"] = "torch.float16"
    problem = read_pipeedge(write(data), model="net", devices={"fast": 1})
    assert [tensor.bytes for tensor in problem.networks[0].tensors] == [MEBI / 2, MEBI / 2, MEBI, MEBI / 2]


def best_pipeline(data, model, counts):
    """Return the shortest period and its placement, by dynamic programming over layers and devices used."""
    kinds = list(counts)
    layers = data["models"][model]["layers"]
    outs = data["models"][model]["parameters_out"]
    profiles = {kind: data["device_types"][kind]["model_profiles"][model][0] for kind in kinds}
    bandwidth = {kind: data["device_types"][kind]["bw_Mbps"] * MEBI / 8 for kind in kinds}
    states = {(0, (0,) * len(kinds), None): (0.0, ())}
    for start in range(layers):
        for (_, used, last), (value, stages) in [item for item in states.items() if item[0][0] == start]:
            for k, kind in enumerate(kinds):
                if used[k] == counts[kind]:
                    continue
                sent = 0.0
                if last is not None:
                    bits = 4 * outs[start - 1] * profiles[kind]["batch_size"]
                    sent = bits / min(bandwidth[kind], bandwidth[last])
                now = tuple(count + (j == k) for j, count in enumerate(used))
                for end in range(start + 1, layers + 1):
                    worst = max(value, sent, math.fsum(profiles[kind]["time_s"][start:end]))
                    key = (end, now, kind)
                    if worst < states.get(key, (math.inf,))[0]:
                        board = f"{kind}-{now[k]}"
                        states[key] = worst, (*stages, *(f"layer{v + 1}:{board}" for v in range(start, end)))
    value, stages = min(found for key, found in states.items() if key[0] == layers)
    return value, plan({model: " ".join(stages)})


@pytest.mark.parametrize(
    ("devices", "published"),
    [({MINNOWBOARD: 4}, 3.3543), ({RCC: 4}, 2.6663), ({MINNOWBOARD: 4, RCC: 4}, 1.5488)],
    ids=["4 Minnowboards", "4 RCCs", "4 + 4"],
)
def test_the_referee_gives_the_published_periods(devices, published):
    path = shared_file("pipeedge/vit-base.json")
    value, best = best_pipeline(json.loads(path.read_text()), VIT, devices)
    assert value == pytest.approx(published, abs=5e-5)
    found = evaluate(read_pipeedge(path, model=VIT, devices=devices), best)
    assert found.feasible
    assert found.objective == pytest.approx(value, rel=1e-12)


def test_the_shortest_period_of_two_boards_is_proved():
    path = shared_file("pipeedge/vit-base.json")
    value, _ = best_pipeline(json.loads(path.read_text()), VIT, {MINNOWBOARD: 1, RCC: 1})
    result = dp.solve(read_pipeedge(path, model=VIT, devices={MINNOWBOARD: 1, RCC: 1}), time_limit=300)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(value, rel=1e-6)


NET, FAST = ("models", "net"), ("device_types", "fast")
FAST_NET = (*FAST, "model_profiles", "net")


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        (("models",), None, ("models", "missing")),
        ((*NET, "layers"), "3", ("models.net.layers", "'3'", "a whole number")),
        ((*NET, "mem_MB"), [1, 2], ("models.net.mem_MB", "2 values", "expected 3")),
        ((*NET, "parameters_out"), [1, -2, 3], ("models.net.parameters_out[1]", "-2", ">= 0")),
        ((*FAST, "bw_Mbps"), 0, ("device_types.fast.bw_Mbps", "got 0", "> 0")),
        ((*FAST, "model_profiles"), {}, ("device_types.fast.model_profiles", "expected profiles of net")),
        ((*FAST_NET, 0, "time_s"), [1, 2], ("device_types.fast.model_profiles.net[0].time_s", "2 values")),
        ((*FAST_NET, 0, "time_s"), [1, "x", 2], ("device_types.fast.model_profiles.net[0].time_s[1]", "'x'")),
        ((*FAST_NET, 0, "dtype"), "torch.int8", ("model_profiles.net[0].dtype", "torch.int8", "torch.float32")),
        ((*FAST_NET, 0, "batch_size"), 4, ("device_types", "[4, 'torch.float32']", "one batch size")),
    ],
)
def test_malformed_files_are_refused_by_field(write, path, value, parts):
    file = write(edited(SMALL, path, value))
    with pytest.raises(InputError) as caught:
        read_pipeedge(file, model="net", devices={"fast": 1, "slow": 1})
    for part in (str(file), *parts):
        assert part in str(caught.value)


def test_several_profiles_need_a_batch_size(write):
    data = copy.deepcopy(SMALL)
    profiles = data["device_types"]["fast"]["model_profiles"]["net"]
    profiles.append(profiles[0] | {"batch_size": 4})
    with pytest.raises(InputError, match=r"batch sizes \[2, 4\]"):
        read_pipeedge(write(data), model="net", devices={"fast": 1})
    problem = read_pipeedge(write(data), model="net", devices={"fast": 1}, batch_size=4)
    assert problem.networks[0].tensors[0].bytes == 2 * MEBI


@pytest.mark.parametrize(
    ("text", "part"), [("{", "not JSON"), ("[]", "an object"), ('{"models": 3, "device_types": {}}', "models: got 3")]
)
def test_what_is_no_profile_is_refused(write, text, part):
    with pytest.raises(InputError, match=part):
        read_pipeedge(write(text), model="net", devices={"fast": 1})


def test_unknown_names_are_refused(write):
    with pytest.raises(InputError, match="got 'other', expected the name of a model: net"):
        read_pipeedge(write(SMALL), model="other", devices={"fast": 1})
    with pytest.raises(InputError, match="got 'quick', expected the name of a type of device: fast, slow"):
        read_pipeedge(write(SMALL), model="net", devices={"quick": 1})
    with pytest.raises(InputError, match="at least one"):
        read_pipeedge(write(SMALL), model="net", devices={"fast": 0})


# What the profiler and the scheduler write (a model and a type that nobody asks for are as in their documentation).
MODELS = """\
DummyModel:
  layers: 0
  mem_MB: []
  parameters_in: 0
  parameters_out: []
net:
  layers: 3
  mem_MB: [1, 2,
    3]
  parameters_in: 131072
  parameters_out: [131072, 262144, 131072]
"""
TYPES = """\
DummyDeviceType:
  bw_Mbps: 0
  mem_MB: 0
  model_profiles:
fast:
  bw_Mbps: 8
  mem_MB: 16
  model_profiles:
    net:
    - batch_size: 2
      dtype: torch.float32
      time_s: [1.0, 4.0,
        2.0]
    other/net:
    - batch_size: 2
slow:
  bw_Mbps: 4
  mem_MB: 16
  model_profiles:
    net:
    - {batch_size: 2, dtype: torch.float32, time_s: [2, 8, 4.0e+0]}
"""
HOSTS = """\
DummyDeviceType: []
fast:
- mb-0
- mb-1
slow: [10.0.0.1]
"""


@pytest.fixture
def scheduler_files(tmp_path):
    for name, text in (("models", MODELS), ("device_types", TYPES), ("devices", HOSTS)):
        (tmp_path / f"{name}.yml").write_text(text)
    return [tmp_path / f"{name}.yml" for name in ("models", "device_types", "devices")]


def test_the_files_of_the_scheduler_are_the_same_problem(write, scheduler_files):
    counts = {"fast": 2, "slow": 1}
    published = read_pipeedge(scheduler_files[:2], model="net", devices=counts)
    assert published == read_pipeedge(write(SMALL), model="net", devices=counts)


def test_devices_may_be_the_hosts_that_a_file_lists(scheduler_files):
    problem = read_pipeedge(scheduler_files, model="net")
    assert problem.platform.device_names() == ("mb-0", "mb-1", "10.0.0.1")
    assert dp.solve(problem, time_limit=60).objective == pytest.approx(4)  # 1 | 2 | 3, the last on the slow one
    with pytest.raises(InputError, match="a file lists the hosts already"):
        read_pipeedge(scheduler_files, model="net", devices={"fast": 1})
    with pytest.raises(InputError, match="devices: missing; no file lists hosts"):
        read_pipeedge(scheduler_files[:2], model="net")


@pytest.mark.parametrize(
    ("model", "kind", "part"),
    [
        ("DummyModel", "fast", "models.yml: DummyModel.layers: got 0"),
        ("net", "DummyDeviceType", "device_types.yml: DummyDeviceType.bw_Mbps: got 0"),
        ("other/net", "fast", "got 'other/net', expected the name of a model: DummyModel, net"),
    ],
)
def test_what_is_asked_for_must_be_whole(scheduler_files, model, kind, part):
    with pytest.raises(InputError) as caught:
        read_pipeedge(scheduler_files[:2], model=model, devices={kind: 1})
    assert part in str(caught.value)


def test_models_that_are_not_asked_for_are_not_looked_at(write):
    data = copy.deepcopy(SMALL)
    data["models"]["other"] = {"layers": "none"}
    data["device_types"]["other"] = 3
    data["device_types"]["fast"]["model_profiles"]["other"] = [{"time_s": None}]
    problem = read_pipeedge(write(data), model="net", devices={"fast": 2})
    assert problem == read_pipeedge(write(SMALL), model="net", devices={"fast": 2})


def test_a_name_in_two_files_and_an_entry_of_no_kind_are_refused(scheduler_files, tmp_path):
    with pytest.raises(InputError, match=r"DummyModel: is in .*models\.yml already"):
        read_pipeedge([scheduler_files[0], *scheduler_files], model="net")
    (tmp_path / "odd.yml").write_text("net:\n  depth: 3\n")
    with pytest.raises(InputError, match=r"odd\.yml: net: got {'depth': 3}, expected a model"):
        read_pipeedge(tmp_path / "odd.yml", model="net", devices={"fast": 1})


def test_the_command_reads_the_files_of_the_scheduler(scheduler_files, tmp_path):
    out = tmp_path / "problem.json"
    words = ["import", "pipeedge", *map(str, scheduler_files), "--model", "net", "-o", str(out)]
    run = dnnopt(*words)
    assert run.returncode == 0, run.output
    assert dp.read_problem(out) == read_pipeedge(scheduler_files, model="net")


def test_the_command_writes_a_problem_file(write, tmp_path):
    out = tmp_path / "problem.json"
    words = ["import", "pipeedge", str(write(SMALL)), "--model", "net", "--devices", "fast:2,slow:1", "-o", str(out)]
    run = dnnopt(*words)
    assert run.returncode == 0, run.output
    assert dp.read_problem(out) == read_pipeedge(write(SMALL), model="net", devices={"fast": 2, "slow": 1})


@pytest.mark.parametrize("devices", ["fast", "fast:0", "fast:x", ":2", "fast:1,fast:2", ""])
def test_the_command_refuses_devices_it_cannot_read(write, tmp_path, devices):
    words = ["import", "pipeedge", str(write(SMALL)), "--model", "net", "--devices", devices, "-o", "x.json"]
    run = dnnopt(*words)
    assert run.returncode == 2
    assert "--devices" in run.output
