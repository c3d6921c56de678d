"""Files of problems, their parts and plans: read back as written, refused with one message, whole or not at all."""

import copy
import json
import os

import pytest
from brute_force import judged_plans
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, write_text
from dnnopt.methods.solving import solve
from dnnopt.problem.networks import read_network, write_network
from dnnopt.problem.plan import Plan, Schedule, Transfer, read_plan, write_plan
from dnnopt.problem.platforms import read_platform, write_platform
from dnnopt.problem.problem import read_problem, write_problem

GOOD = {
    "format": "dnnopt-problem",
    "version": 1,
    "name": "two layers",
    "networks": [
        {
            "name": "net",
            "layers": [{"name": "a", "weights": 4}, {"name": "b", "weights": 4}],
            "tensors": [
                {"name": "in", "producer": "input", "consumers": ["a"], "bytes": 8},
                {"name": "t", "producer": "a", "consumers": ["b"], "bytes": 2},
                {"name": "u", "producer": "b", "consumers": ["output"], "bytes": 1},
            ],
            "source": "p",
        }
    ],
    "platform": {
        "devices": [{"name": "p", "memory": 8}, {"name": "q"}],
        "links": [{"name": "up", "bandwidth": 1, "latency": 0}, {"name": "down", "bandwidth": 2, "latency": 0}],
        "routes": [{"from": "p", "to": "q", "links": ["up"]}, {"from": "q", "to": "p", "links": ["down"]}],
        "resources": [{"name": "radio", "links": ["up", "down"]}],
    },
    "profile": {"time": {"net": {"a": {"p": 1, "q": 2}, "b": {"p": 2, "q": None}}}},
    "execution": "sequential",
    "minimize": [{"metric": "latency"}],
    "subject_to": [
        {"constraint": "memory"},
        {"constraint": "placement", "network": "net", "layer": "a", "allowed": ["p"]},
    ],
}
NETWORK = ("networks", 0)
TENSOR = (*NETWORK, "tensors", 1)
LINK = ("platform", "links", 0)


def changed(place, value):
    """Return the good file with another value in one place; a function changes what is there."""
    data = copy.deepcopy(GOOD)
    inner = data
    for part in place[:-1]:
        inner = inner[part]
    if callable(value):
        value(inner[place[-1]])
    else:
        inner[place[-1]] = value
    return data


def again(index):
    """Return a function that appends a copy of an entry of a list."""
    return lambda entries: entries.append(copy.deepcopy(entries[index]))


def put(key, value):
    return lambda entry: entry.update({key: value})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("round-trip")


# Round trips


@settings(max_examples=60)
@given(problems(most_placements=30))
def test_problems_networks_and_platforms_are_read_back_as_they_were(folder, problem):
    file = folder / "problem.json"
    write_problem(problem, file)
    assert read_problem(file) == problem
    write_platform(problem.platform, file)
    assert read_platform(file) == problem.platform
    for network in problem.networks:
        write_network(network, file)
        assert read_network(file) == network


@settings(max_examples=30)
@given(problems(most_placements=30))
def test_plans_are_read_back_and_fit_their_problem(folder, problem):
    plan, _ = next(judged_plans(problem))
    write_plan(plan, folder / "plan.json")
    assert read_plan(folder / "plan.json", problem) == plan


numbers = st.floats(0, 1e12, allow_subnormal=False)


@settings(max_examples=50)
@given(start=numbers, other=numbers, destination=st.sampled_from((None, "q")))
def test_schedules_are_read_back_to_the_last_digit(folder, start, other, destination):
    transfer = Transfer(network="net", tensor="t", link="up", start=other, destination=destination)
    plan = Plan(
        placement={"net": {"a": "p", "b": "q"}},
        schedule=Schedule(layers={"net": {"a": 0.0, "b": start}}, transfers=(transfer,)),
    )
    write_plan(plan, folder / "plan.json")
    assert read_plan(folder / "plan.json") == plan


def test_a_result_file_is_a_plan_file(path):
    problem = from_data(path, GOOD)
    result = solve(problem)
    write_text(path, dump_json(result.to_data()))
    assert read_plan(path, problem) == result.plan
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "optimal"


def test_a_result_file_without_a_plan_says_so(path):
    problem = from_data(path, changed(("subject_to", 0), {"constraint": "max_devices", "limit": 0}))
    write_text(path, dump_json(solve(problem).to_data()))
    with pytest.raises(InputError, match="placement: the file has no plan"):
        read_plan(path)


def test_non_ascii_names_and_every_kind_of_character_survive(path):
    name = 'ünï/漢字 "quoted" \\ \t:[x]'
    data = json.loads(json.dumps(GOOD).replace('"a"', json.dumps(name)))
    problem = from_data(path, data)
    write_problem(problem, path)
    assert read_problem(path) == problem
    assert problem.networks[0].layers[0].name == name


# Bad input


def from_data(path, data):
    path.write_text(json.dumps(data), encoding="utf-8")
    return read_problem(path)


def test_the_file_that_the_bad_ones_are_made_from_is_good(path):
    assert solve(from_data(path, GOOD)).status == "optimal"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(GOOD)[:-30], "is the file cut off?"),
        (json.dumps(GOOD)[:200], "is the file cut off?"),
        ("", "not JSON"),
        ("hello", "not JSON: Expecting value at line 1, column 1"),
        ("[1, 2]", "got [1, 2], expected an object"),
        ("[" * 100_000, "nested too deeply"),
        (
            json.dumps(GOOD).replace('"name": "net"', '"name": "net", "name": "net2"'),
            "name: got 'name', expected every",
        ),
        (json.dumps(GOOD).replace('"p": 1', '"p": NaN'), "time.net.a.p: got nan, expected a finite number"),
        (json.dumps(GOOD).replace('"p": 1', '"p": Infinity'), "time.net.a.p: got inf, expected a finite number"),
        (json.dumps(GOOD).replace('"p": 1', '"p": 1e999'), "time.net.a.p: got inf, expected a finite number"),
    ],
    ids=lambda value: value[:20],
)
def test_text_that_is_no_problem_file_is_refused_naming_the_file(path, text, words):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_problem(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("place", "value", "field", "words"),
    [
        (("format",), "dnnopt-plan", "format", "got 'dnnopt-plan', expected 'dnnopt-problem'"),
        (("version",), 2, "version", "got 2, expected at most 1 (the file was written by a newer dnnopt)"),
        (("version",), "1", "version", "got '1', expected 1"),
        (("version",), True, "version", "got True, expected 1"),
        ((*TENSOR, "producer"), "b", "networks[0].tensors", "the layers form a cycle: b -> b"),
        (
            (*NETWORK, "tensors", 2),
            put("consumers", ["a"]),
            "networks[0].tensors",
            "the layers form a cycle: ",
        ),
        ((*TENSOR, "consumers"), ["c"], "networks[0].tensors[1].consumers[0]", "got 'c', expected the name of a layer"),
        (
            (*TENSOR, "consumers"),
            ["b", "b"],
            "networks[0].tensors[1].consumers[1]",
            "got 'b', expected a consumer name",
        ),
        ((*TENSOR, "producer"), "z", "networks[0].tensors[1].producer", "got 'z', expected the name of a layer"),
        ((*TENSOR, "bytes"), -1, "networks[0].tensors[1].bytes", "got -1, expected a number >= 0"),
        (
            (*TENSOR, "bytes"),
            "2 kilos",
            "networks[0].tensors[1].bytes",
            "got '2 kilos', expected bytes such as '4 GiB'",
        ),
        ((*TENSOR, "bytes"), True, "networks[0].tensors[1].bytes", "got True, expected a number"),
        ((*TENSOR, "bytes"), None, "networks[0].tensors[1].bytes", "got None, expected a number"),
        (TENSOR, put("sensitivity", 1.5), "networks[0].tensors[1].sensitivity", "got 1.5, expected a number <= 1"),
        (TENSOR, lambda entry: entry.pop("bytes"), "networks[0].tensors[1].bytes", "missing"),
        (TENSOR, put("size", 3), "networks[0].tensors[1].size", "unknown key"),
        ((*NETWORK, "tensors"), again(1), "networks[0].tensors[3]", "got 't', expected a tensor name of its own"),
        ((*NETWORK, "layers"), again(0), "networks[0].layers[2]", "got 'a', expected a layer name of its own"),
        ((*NETWORK, "layers", 0, "name"), "input", "networks[0].layers[0].name", "got 'input', expected a layer name"),
        (
            (*NETWORK, "layers", 0, "name"),
            "",
            "networks[0].layers[0].name",
            "got '', expected a text that is not empty",
        ),
        ((*NETWORK, "layers"), [], "networks[0].layers", "got [], expected a list of at least 1"),
        ((*NETWORK, "source"), "gpu", "networks[0].source", "got 'gpu', expected the name of a device: p, q"),
        (("networks",), again(0), "networks[1]", "got 'net', expected a network name of its own"),
        (("networks",), {"name": "net"}, "networks", "expected a list"),
        ((*LINK, "bandwidth"), -5, "platform.links[0].bandwidth", "got -5, expected a number > 0"),
        ((*LINK, "bandwidth"), 0, "platform.links[0].bandwidth", "got 0, expected a number > 0"),
        (
            (*LINK, "bandwidth"),
            "fast",
            "platform.links[0].bandwidth",
            "got 'fast', expected bandwidth such as",
        ),
        (LINK, put("sender", "gpu"), "platform.links[0].sender", "got 'gpu', expected the name of a device"),
        (("platform", "links"), again(0), "platform.links[2]", "got 'up', expected a link name of its own"),
        (("platform", "devices"), again(0), "platform.devices[2]", "got 'p', expected a device name of its own"),
        (("platform", "devices"), [], "platform.devices", "got [], expected a list of at least 1"),
        (("platform", "devices", 0), put("trusted", "yes"), "platform.devices[0].trusted", "expected true or false"),
        (("platform", "devices", 0), put("tier", "fog"), "platform.devices[0].tier", "expected one of 'end', 'edge'"),
        (("platform", "devices", 0), put("efficiency", 0), "platform.devices[0].efficiency", "expected a number > 0"),
        (
            ("platform", "routes", 0, "links"),
            ["up", "cable"],
            "platform.routes[0].links[1]",
            "got 'cable', expected the name of a link: down, up",
        ),
        (("platform", "routes", 0, "to"), "p", "platform.routes[0].to", "got 'p', expected another device than 'from'"),
        (("platform", "routes"), again(0), "platform.routes[2]", "expected one route from 'p' to 'q'"),
        (
            ("platform", "routes", 0, "links"),
            ["up", "up"],
            "platform.routes[0].links[1]",
            "expected a link name of its",
        ),
        (
            ("platform", "resources", 0, "links"),
            ["x"],
            "platform.resources[0].links[0]",
            "got 'x', expected the name of",
        ),
        (("profile", "time", "net"), put("c", {"p": 1}), "profile.time.net", "got 'c', expected the name of a layer"),
        (("profile", "time", "net", "a"), put("gpu", 1), "profile.time.net.a", "got 'gpu', expected the name of a dev"),
        (("profile", "time", "net", "a"), put("p", -1), "profile.time.net.a.p", "got -1, expected a number >= 0"),
        (
            ("profile", "time", "net", "a"),
            put("p", "1 h 2"),
            "profile.time.net.a.p",
            "got '1 h 2', expected time such",
        ),
        (
            ("profile", "time", "net"),
            lambda net: net.pop("b"),
            "profile.time.net.b.p",
            "no time: expected a measured one",
        ),
        (("profile", "time", "net", "a"), lambda row: row.pop("q"), "profile.time.net.a.q", "no time: expected"),
        (("execution",), "fast", "execution", "got 'fast', expected one of 'sequential'"),
        (("transport",), "broadcast", "transport", "got 'broadcast', expected one of 'unicast'"),
        (("minimize",), [], "minimize", "got [], expected a list of at least 1"),
        (
            ("minimize", 0, "metric"),
            "speed",
            "minimize[0].metric",
            "got 'speed', expected the name of a metric: accuracy_loss, batch_latency, cost",
        ),
        (("minimize", 0), put("weight", -1), "minimize[0].weight", "got -1, expected a number >= 0"),
        (("minimize", 0), put("priority", 0.5), "minimize[0].priority", "got 0.5, expected a whole number"),
        (
            ("minimize", 0),
            put("network", "other"),
            "minimize[0].network",
            "got 'other', expected the name of a network",
        ),
        (("minimize", 0), put("idle", True), "minimize[0].idle", "got True, expected no such key for 'latency'"),
        (("subject_to", 0, "constraint"), "speed", "subject_to[0]", "expected one of 'memory', 'deadline'"),
        (("subject_to", 0), lambda entry: entry.clear(), "subject_to[0]", "missing key 'constraint'"),
        (("subject_to", 0), put("rule", "all"), "subject_to[0].rule", "got 'all', expected one of 'weights'"),
        (("subject_to", 0), put("buffers", 1.5), "subject_to[0].buffers", "got 1.5, expected a whole number"),
        (
            ("subject_to", 0),
            put("limits", {"gpu": 1}),
            "subject_to[0].limits",
            "got 'gpu', expected the name of a device",
        ),
        (("subject_to", 1, "allowed"), ["gpu"], "subject_to[1].allowed[0]", "got 'gpu', expected the name of a device"),
        (("subject_to", 1, "layer"), "c", "subject_to[1].layer", "got 'c', expected the name of a layer: a, b"),
        (("subject_to", 0), {"constraint": "deadline"}, "networks[0].deadline", "missing: 'deadline'"),
        (("subject_to", 0), {"constraint": "utilisation"}, "networks[0].rate", "missing: 'utilisation'"),
        (("subject_to", 0), {"constraint": "monotone_tiers"}, "platform.devices[0].tier", "missing: 'monotone_tiers'"),
        (
            ("subject_to", 0),
            {"constraint": "leakage", "limit": 1},
            "platform.devices[0].trusted",
            "missing: 'leakage' (subject_to[0].constraint) needs true or false",
        ),
        (
            ("subject_to", 0, "rule"),
            "weights+activations",
            "networks[0].layers[0].activations",
            "missing: 'memory' (subject_to[0].constraint) needs bytes",
        ),
        (
            ("subject_to", 0),
            {"constraint": "bandwidth", "limit": 3},
            "subject_to[0].link",
            "expected the name of a link",
        ),
        (("threads",), 4, "threads", "unknown key"),
        (("platform",), "no-such-platform", "platform", "no platform named 'no-such-platform' in the library"),
        (("networks", 0), "resnet5", "networks[0]", "did you mean resnet50"),
        (("networks", 0), {"base": True}, "networks[0].base", "got True, expected a text"),
        (("networks", 0), {"base": ["alexnet"]}, "networks[0].base", "expected a text"),
        (("subject_to", 0), {"constraint": "max_cuts", "limit": 2**64}, "subject_to[0].limit", "<= 2147483647"),
    ],
    ids=lambda value: value if isinstance(value, str) and "[" in value else None,
)
def test_bad_values_are_refused_naming_file_field_value_and_what_was_expected(path, place, value, field, words):
    with pytest.raises(InputError) as error:
        from_data(path, changed(place, value))
    assert (error.value.file, error.value.field) == (str(path), field)
    assert words in str(error.value)
    assert str(error.value) == f"{path}: {field}: {error.value.problem}"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"placement": {"net": {"a": "p"}}}, "placement.net.b: missing: expected a device"),
        ({"placement": {"net": {"a": "p", "b": "gpu"}}}, "placement.net.b: got 'gpu', expected the name of a device"),
        (
            {"placement": {"net": {"a": "p", "b": "q", "c": "q"}}},
            "placement.net: got 'c', expected the name of a layer",
        ),
        ({"placement": {"other": {}}}, "placement: got 'other', expected the name of a network"),
        ({"placement": {"net": {"a": "p", "b": 1}}}, "placement.net.b: got 1, expected a text"),
        ({"placement": []}, "placement: got [], expected an object"),
        ({"placement": None}, "placement: the file has no plan"),
        ({}, "placement: missing"),
    ],
)
def test_plans_that_do_not_fit_are_refused_naming_file_and_field(path, data, words):
    problem = from_data(path, GOOD)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_plan(path, problem)
    assert str(error.value).startswith(f"{path}: {words}")


def test_a_missing_file_a_folder_and_bytes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        read_problem(tmp_path / "none.json")
    with pytest.raises(InputError, match="Is a directory"):
        read_problem(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_problem(tmp_path / "bytes")


# Writing


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path, failure, monkeypatch):
    write_problem(from_data(path, GOOD), path)
    before = path.read_bytes()

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises((InputError, KeyboardInterrupt)) as error:
        write_text(path, "new")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    if isinstance(failure, OSError):
        assert str(error.value) == f"{path}: cannot be written: No space left on device"


def test_numbers_that_json_does_not_have_are_refused_before_the_file_is_touched(path):
    path.write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_text(path, dump_json({"bound": float("nan")}))
    assert path.read_text(encoding="utf-8") == "old"


def test_a_folder_that_does_not_exist_is_refused_naming_the_file(tmp_path):
    target = tmp_path / "none" / "plan.json"
    with pytest.raises(InputError, match="cannot be written: No such file"):
        write_plan(Plan(placement={}), target)


def test_written_files_have_the_permissions_that_the_user_wants(path):
    mask = os.umask(0o027)
    try:
        write_text(path, "text")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o640
