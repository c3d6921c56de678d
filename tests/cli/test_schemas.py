"""JSON Schemas: what is shipped or written fits them, what readers refuse does not, and a page has them all."""

import gzip
import json
from functools import cache
from pathlib import Path

import pytest
from commands import dnnopt
from pages import page

import dnnopt as dp
from dnnopt.methods import schemas

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
INSTANCES = Path(__file__).parent.parent.parent / "instances"
PLATFORM = INSTANCES / "platforms" / "pi4-wifi-nx-wan-t4.json"


def read(path):
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


@cache
def validator(kind):
    schema = schemas.schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def fits(kind, data):
    return validator(kind).is_valid(json.loads(json.dumps(data)))


def made(problem="small/001"):
    return dp.solve(dp.load(problem), method="multi-cut")


@pytest.mark.parametrize(
    ("kind", "pattern", "least"),
    [
        ("platform", "platforms/*.json", 29),
        ("network", "networks/*.json.gz", 50),
        ("problem", "problems/**/*.json*", 219),
        ("plan", "plans/**/*.json.gz", 217),
        ("variants", "variants/*.json", 1),
    ],
)
def test_every_shipped_file_fits_the_schema_of_its_kind(kind, pattern, least):
    check, paths = validator(kind), sorted(INSTANCES.glob(pattern))
    assert len(paths) >= least
    for path in paths:
        error = next(check.iter_errors(read(path)), None)
        assert error is None, (path.name, error.message, list(error.absolute_path))


def test_what_is_written_fits(tmp_path):
    problem = dp.load("small/001")
    result = made()
    assert fits("result", result.to_data())
    assert fits("plan", result.to_data())
    assert fits("plan", result.plan.to_data())
    dp.write_problem(problem, tmp_path / "problem.json")
    assert fits("problem", read(tmp_path / "problem.json"))
    dp.write_platform(dp.star(["pi5", "t4"], "wifi"), tmp_path / "platform.json")
    assert fits("platform", read(tmp_path / "platform.json"))
    times = {"a": {"one": {"pi5": 0.5, "t4": None}}}
    measured = dp.Measurement(
        network="a",
        device="pi5",
        model="a.onnx",
        inputs={"image": 1.0},
        repetitions=3,
        warmup=1,
        threads=1,
        seed=0,
        quartiles={"one": (0.4, 0.6)},
        sum_of_layers=0.5,
        overhead=0.1,
        total=0.6,
        total_quartiles=(0.5, 0.7),
        fastest=0.5,
        groups=[dp.FusedGroup(("one", "two"), ("both",), 0.5)],
        processor="any",
        date="2026-11-28",
        versions={"onnxruntime": "1.24"},
    )
    profile = dp.Profile(time=times, energy={"a": {"one": {"pi5": 2.0}}}, measurements=[measured])
    dp.write_profile(profile, tmp_path / "profile.json")
    assert dp.read_profile(tmp_path / "profile.json") == profile
    assert fits("profile", read(tmp_path / "profile.json"))


def test_a_schedule_and_an_infeasible_result_fit():
    network = dp.network("alexnet", source="pi", sink="pi")
    scheduled = dp.Problem(network, "pi4-wifi-nx-wan-t4", "scheduled", dp.latency())
    result = dp.solve(scheduled, method="heft")
    assert result.plan.schedule is not None
    assert fits("result", result.to_data())
    impossible = dp.load("small/001").replace(subject_to=(dp.Cost(limit=0.0), dp.Deadline(limit=1e-12)))
    result = dp.solve(impossible)
    assert result.plan is None
    assert fits("result", result.to_data())


def test_a_schema_has_exactly_the_keys_of_what_is_written():
    data = made().to_data()
    properties = schemas.schema("result")["properties"]
    assert set(data) <= set(properties)
    assert set(properties) - set(data) <= {"forms", "blocks", "schedule", "$schema"}


def changed(data, path, value):
    """Return a copy of the data with another value at a path."""
    whole = node = json.loads(json.dumps(data))
    *place, last = path
    for part in place:
        node = node[part]
    node[last] = value
    return whole


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "dnnopt-network"),
        (["version"], 2),
        (["devices"], []),
        (["devices", 0, "name"], ""),
        (["devices", 0, "memory"], -1),
        (["devices", 0, "memory"], True),
        (["devices", 0, "memory"], "much"),
        (["devices", 0, "memory"], "64"),
        (["devices", 0, "efficiency"], 1.5),
        (["devices", 0, "efficiency"], 0),
        (["devices", 0, "tier"], "fog"),
        (["devices", 0, "memry"], 1),
        (["devices", 0, "trusted"], "yes"),
        (["devices", 0, "flops_per_s"], {"int8": 1e9}),
        (["devices", 0, "flops_per_s"], {"float32": 1e9, "int9": 1e9}),
        (["links", 0, "bandwidth"], None),
        (["routes", 0, "links"], "wifi-up"),
    ],
)
def test_what_the_reader_of_platforms_refuses_does_not_fit(tmp_path, path, value):
    data = changed(read(PLATFORM), path, value)
    (tmp_path / "platform.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(dp.InputError):
        dp.read_platform(tmp_path / "platform.json")
    assert not fits("platform", data)


def places(node, path=()):
    """Yield the path of every value in a file."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield [*path, key]
        yield from places(value, [*path, key])


def test_whatever_the_reader_of_platforms_takes_fits():
    base, check = dp.line(["watch-imx7", "pixel8"], "bluetooth").to_data(), validator("platform")
    base["devices"][1]["flops_per_s"] = {"float32": 1e9, "int8": "4 GFLOP/s"}
    base, taken = json.loads(json.dumps(base)), 0
    for path in places(base):
        for value in (None, True, -1, 0.5, "5 W", "0.5", "0", "7 %", " 20 Mbit/s ", "3 µs", "x", [], {}):
            data = changed(base, path, value)
            try:
                dp.Platform.from_data(data)
            except dp.InputError:
                continue
            taken += 1
            assert check.is_valid({"format": "dnnopt-platform", "version": 1, **data}), (path, value)
    assert taken > 100


@pytest.mark.parametrize(
    ("path", "value", "right"),
    [
        (["networks"], "resnet50", True),
        (["networks"], ["resnet50"], True),
        (["networks"], [{"base": "resnet50", "source": "pi", "sensitivity_decay": 0.9}], True),
        (["networks"], [{"base": "resnet50", "sorce": "pi"}], False),
        (["networks"], [{"base": "resnet50", "sensitivity_decay": 2}], False),
        (["networks"], [], False),
        (["platform"], "pi4-wifi-nx-wan-t4", True),
        (["networks"], [{"base": "resnet50", "layers": {"conv1": {"state": "1 MB"}}, "loss": 0.1}], True),
        (["networks"], [{"base": "resnet50", "tensors": {"r3": {"forms": [{"name": "half", "bytes": 1}]}}}], True),
        (["networks"], [{"base": "resnet50", "layers": {"conv1": {"flops": 1}}}], False),
        (["platform"], {"base": "pi4-wifi-nx-wan-t4", "override": {"nx.modes": [{"name": "fast"}]}}, True),
        (["platform"], {"base": "pi4-wifi-nx-wan-t4", "change": {}}, False),
        (["platform"], 5, False),
        (["execution"], "quick", False),
        (["minimize"], [], False),
        (["minimize"], [{"metric": "latency", "weight": 2}], True),
        (["minimize"], [{"metric": "latency", "weight": "heavy"}], False),
        (["subject_to"], [{"constraint": "cost", "limit": 1}], True),
        (["subject_to"], [{"limit": 1}], False),
        (["subject_to"], [{"constraint": "cost"}], False),
        (["subject_to"], [{"constraint": "price", "limit": 1}], False),
    ],
)
def test_a_schema_takes_what_the_reader_of_problems_takes(tmp_path, path, value, right):
    base = {
        "format": "dnnopt-problem",
        "version": 1,
        "networks": ["resnet50"],
        "platform": "pi4-wifi-nx-wan-t4",
        "execution": "sequential",
        "minimize": [{"metric": "latency"}],
    }
    data = changed(base, path, value)
    (tmp_path / "problem.json").write_text(json.dumps(data), encoding="utf-8")
    if right:
        dp.read_problem(tmp_path / "problem.json")
    else:
        with pytest.raises(dp.InputError):
            dp.read_problem(tmp_path / "problem.json")
    assert fits("problem", data) == right


def test_texts_with_units_fit_in_every_kind_of_file():
    platform = read(PLATFORM)
    assert isinstance(platform["devices"][0]["memory"], str)
    assert fits("platform", platform)
    network = {"name": "a", "layers": [{"name": "one", "flops": "2 GFLOP"}]}
    assert fits("network", {"format": "dnnopt-network", "version": 1, **network})
    assert dp.Network.from_data(network).layers[0].flops == 2e9
    network["layers"][0]["flops"] = "2 GFLOP per layer"
    assert not fits("network", {"format": "dnnopt-network", "version": 1, **network})


def test_a_file_may_say_where_its_schema_is(tmp_path):
    data = {"$schema": "platform.schema.json", **read(PLATFORM)}
    (tmp_path / "platform.json").write_text(json.dumps(data), encoding="utf-8")
    assert dp.read_platform(tmp_path / "platform.json") == dp.read_platform(PLATFORM)
    assert fits("platform", data)
    (tmp_path / "platform.json").write_text(json.dumps(data | {"$schema": 5}), encoding="utf-8")
    with pytest.raises(dp.InputError, match=r"\$schema: got 5, expected a text"):
        dp.read_platform(tmp_path / "platform.json")
    assert not fits("platform", data | {"$schema": 5})


@pytest.mark.parametrize("kind", schemas.KINDS)
def test_the_command_prints_the_schema_and_the_page_has_its_keys(kind):
    run = dnnopt("schema", kind)
    assert run.returncode == 0
    assert json.loads(run.stdout) == schemas.schema(kind)
    table = dnnopt("schema", kind, "--keys").stdout
    assert f"\n## {kind}\n" in page("schemas.md")
    assert table in page("schemas.md"), f"docs/schemas.md is not what 'dnnopt schema {kind} --keys' prints"


def test_an_unknown_kind_is_refused():
    run = dnnopt("schema", "plans")
    assert run.returncode == 2
    kinds = "problem, platform, network, profile, plan, variants, manifest, result"
    assert run.output == f"dnnopt: KIND: got 'plans', expected one of {kinds}\n"
