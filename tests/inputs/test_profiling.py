"""Layers measured on this machine: what is matched with what, files, and what is refused."""

import json
import signal
import subprocess
import sys

import numpy as np
import onnx
import pytest
from commands import check_refused, dnnopt
from onnx import TensorProto, helper, numpy_helper

import dnnopt as dp
from dnnopt.inputs.profiling import profile_onnx, wheel_files
from dnnopt.problem.profiles import FusedGroup, Profile, read_profile, write_profile

pytest.importorskip("onnxruntime")

QUICK = {"repetitions": 3, "warmup": 1, "threads": 1}
RANDOM = np.random.default_rng(0)
PHONE = dp.Device("phone", flops_per_s=1e10, bytes_per_s=1e10)
CLOUD = dp.Device("cloud", flops_per_s=1e12, bytes_per_s=1e12)


def weights(name, *shape):
    return numpy_helper.from_array(RANDOM.standard_normal(shape).astype(np.float32), name)


def value(name, *shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(path, nodes, inputs, outputs, stored=(), **fields):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(stored))
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid("own", 1) for _ in fields.get("functions", ()))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, **fields)
    onnx.save(model, path)
    return path


@pytest.fixture
def conv_net(tmp_path):
    """Conv, BatchNormalization, Relu, Split, Add, with nodes that have no names; weights of the Conv are computed."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["w"]),
        helper.make_node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "v", "v", "v", "v"], ["n"]),
        helper.make_node("Dropout", ["n"], ["d"]),
        helper.make_node("Relu", ["d"], ["r"]),
        helper.make_node("Split", ["r"], ["left", "right"], axis=1),
        helper.make_node("Add", ["left", "right"], ["sum"]),
        helper.make_node("Identity", ["sum"], ["out"]),
    ]
    shape = numpy_helper.from_array(np.array([8, 3, 3, 3]), "shape")
    positive = numpy_helper.from_array(np.ones(8, np.float32), "v")
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32])]
    return save(tmp_path / "conv.onnx", nodes, inputs, [value("out", None, 4, 32, 32)], [shape, positive])


LAYERS = ["conv1", "batchnormalization1", "relu1", "split1", "add1"]


def test_every_layer_apart_has_a_time_of_its_own(conv_net):
    profile = profile_onnx(conv_net, "phone", dimensions={"batch": 2}, **QUICK)
    (measured,) = profile.measurements
    assert list(profile.time["conv"]) == LAYERS
    assert measured.groups == ()
    assert measured.other == {}
    assert all(times["phone"] >= 0 for times in profile.time["conv"].values())
    assert measured.sum_of_layers == pytest.approx(sum(times["phone"] for times in profile.time["conv"].values()))
    for layer, (first, third) in measured.quartiles.items():
        assert first <= profile.time["conv"][layer]["phone"] <= third


def test_measurement_says_what_was_run_and_how(conv_net):
    (measured,) = profile_onnx(conv_net, "phone", dimensions={"batch": 2}, seed=5, **QUICK).measurements
    assert (measured.network, measured.device) == ("conv", "phone")
    assert (measured.repetitions, measured.warmup, measured.threads, measured.seed) == (3, 1, 1, 5)
    assert "conv.onnx" in measured.model
    assert measured.inputs == {"image": 4 * 2 * 3 * 32 * 32}
    assert measured.versions["onnxruntime"]
    assert measured.processor
    assert measured.total > 0
    assert measured.fastest > 0


def test_layers_that_the_runtime_fuses_share_its_time_and_are_listed(conv_net):
    profile = profile_onnx(conv_net, "phone", dimensions={"batch": 2}, optimised=True, **QUICK)
    (measured,) = profile.measurements
    (group,) = measured.groups
    assert measured.optimised
    assert group.layers == ("conv1", "batchnormalization1", "relu1")
    assert group.nodes == ("FusedConv conv1",)
    shares = [profile.time["conv"][layer]["phone"] for layer in group.layers]
    assert sum(shares) == pytest.approx(group.seconds, abs=1e-8)
    assert list(profile.time["conv"]) == LAYERS


def test_layers_that_become_one_operator_are_one_group_and_others_are_not_drawn_in(tmp_path):
    # A Gelu in five operators, whose result two transposes turn to and fro: one output has it, one its transpose.
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["c"]),
        helper.make_node("Div", ["c", "root"], ["s"]),
        helper.make_node("Erf", ["s"], ["d"]),
        helper.make_node("Add", ["d", "one"], ["e"]),
        helper.make_node("Mul", ["c", "e"], ["f"]),
        helper.make_node("Mul", ["f", "half"], ["g"]),
        helper.make_node("Transpose", ["g"], ["t"], perm=[1, 0]),
        helper.make_node("Transpose", ["t"], ["u"], perm=[1, 0]),
        helper.make_node("Identity", ["t"], ["y"]),
        helper.make_node("Identity", ["u"], ["z"]),
    ]
    scalars = {"root": 2**0.5, "one": 1.0, "half": 0.5}
    stored = [weights("w", 64, 64), *(numpy_helper.from_array(np.float32(x), name) for name, x in scalars.items())]
    outputs = [value("y", 64, 8), value("z", 8, 64)]
    path = save(tmp_path / "gelu.onnx", nodes, [value("x", 8, 64)], outputs, stored)
    assert profile_onnx(path, "phone", **QUICK).measurements[0].groups == ()
    (group,) = profile_onnx(path, "phone", optimised=True, **QUICK).measurements[0].groups
    assert group.layers == ("div1", "erf1", "add1", "mul1", "mul2", "transpose1", "transpose2")
    assert "Gelu" in group.nodes


@pytest.mark.parametrize("optimised", [False, True])
def test_layers_with_equal_weights_stay_two(tmp_path, optimised):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["x", "w"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["y"], axis=1),
    ]
    path = save(tmp_path / "twins.onnx", nodes, [value("x", 8, 64)], [value("y", 8, 128)], [weights("w", 64, 64)])
    assert profile_onnx(path, "phone", optimised=optimised, **QUICK).measurements[0].groups == ()


def test_what_no_layer_accounts_for_is_listed(tmp_path):
    # The runtime does not fold what dequantises weights.
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    stored = [
        numpy_helper.from_array(np.ones((16, 16), np.int8), "q"),
        numpy_helper.from_array(np.float32(0.5), "scale"),
    ]
    path = save(tmp_path / "q.onnx", nodes, [value("x", 4, 16)], [value("y", 4, 16)], stored)
    profile = profile_onnx(path, "phone", **QUICK)
    assert list(profile.time["q"]) == ["matmul1"]
    assert list(profile.measurements[0].other) == ["DequantizeLinear:w"]


def test_whole_numbers_and_truth_values_are_valid_inputs(tmp_path):
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Where", ["mask", "rows", "zero"], ["y"]),
    ]
    inputs = [value("ids", 5, kind=TensorProto.INT64), value("mask", 5, 1, kind=TensorProto.BOOL)]
    stored = [weights("table", 2, 8), numpy_helper.from_array(np.float32(0), "zero")]
    path = save(tmp_path / "ids.onnx", nodes, inputs, [value("y", 5, 8)], stored)
    assert list(profile_onnx(path, "phone", **QUICK).time["ids"]) == ["gather1", "where1"]


def test_weights_of_a_file_with_functions_are_there_when_it_runs(tmp_path):
    body = [helper.make_node("MatMul", ["a", "b"], ["p"]), helper.make_node("Relu", ["p"], ["q"])]
    function = helper.make_function("own", "Dense", ["a", "b"], ["q"], body, [helper.make_opsetid("", 17)])
    nodes = [helper.make_node("Dense", ["x", "w"], ["y"], domain="own")]
    path = tmp_path / "f.onnx"
    save(path, nodes, [value("x", 4, 128)], [value("y", 4, 128)], [weights("w", 128, 128)], functions=[function])
    assert list(profile_onnx(path, "phone", **QUICK).time["f"]) == ["matmul1", "relu1"]


def test_functions_and_constant_branches_are_measured_as_they_are_read(tmp_path):
    path = tmp_path / "branches.onnx"
    output = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    body = [helper.make_node("MatMul", ["a", "w"], ["m"]), helper.make_node("Relu", ["m"], ["q"])]
    function = helper.make_function("own", "Dense", ["a", "w"], ["q"], body, [helper.make_opsetid("", 14)])
    branches = {
        "then_branch": helper.make_graph(
            [helper.make_node("Dense", ["x", "w"], ["b"], domain="own")], "then", [], [output]
        ),
        "else_branch": helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "else", [], [output]),
    }
    flag = helper.make_tensor("flag", TensorProto.BOOL, [], [1])
    nodes = [helper.make_node("If", ["flag"], ["h"], **branches), helper.make_node("Exp", ["h"], ["y"])]
    save(path, nodes, [value("x", 4, 128)], [value("y", 4, 128)], [weights("w", 128, 128), flag], functions=[function])
    profile = profile_onnx(path, "here", **QUICK)
    assert profile.time["branches"].keys() == {"matmul1", "relu1", "exp1"}


def test_functions_of_another_definition_are_read_but_not_run(tmp_path):
    path = tmp_path / "older.onnx"
    squeeze = [helper.make_node("Squeeze", ["a"], ["q"], axes=[0])]
    function = helper.make_function("own", "First", ["a"], ["q"], squeeze, [helper.make_opsetid("", 11)])
    nodes = [helper.make_node("First", ["x"], ["y"], domain="own")]
    save(path, nodes, [value("x", 1, 128)], [value("y", 128)], [], functions=[function])
    assert [layer.op for layer in dp.read_onnx(path).layers] == ["Squeeze"]
    with pytest.raises(
        dp.InputError, match=r"Squeeze 'squeeze1' is of a function with operator set 11, and the model has 17"
    ):
        profile_onnx(path, "here", **QUICK)


def test_weights_in_another_file_are_found_beside_the_model_and_missed_by_name(tmp_path):
    path = save(
        tmp_path / "big.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", 4, 64)],
        [value("y", 4, 64)],
        [weights("w", 64, 64)],
    )
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="big.bin", size_threshold=0)
    assert list(profile_onnx(path, "phone", **QUICK).time["big"]) == ["matmul1"]
    (tmp_path / "big.bin").unlink()
    with pytest.raises(dp.InputError, match=r"big\.onnx: the weights 'w' are in the file 'big\.bin'"):
        profile_onnx(path, "phone", **QUICK)


def test_network_of_the_onnx_wheel_has_the_layers_of_the_library():
    profile = profile_onnx("squeezenet", "phone", repetitions=1, warmup=0)
    assert list(profile.time["squeezenet"]) == [layer.name for layer in dp.network("squeezenet").layers]
    assert profile.measurements[0].other == {}


def test_wheel_has_the_nine_networks():
    assert len(wheel_files()) == 9
    assert {"alexnet", "squeezenet", "resnet50"} <= wheel_files().keys()


def test_profile_file_holds_times_spread_and_provenance(conv_net, tmp_path):
    profile = profile_onnx(conv_net, "phone", dimensions={"batch": 1}, optimised=True, **QUICK)
    write_profile(profile, tmp_path / "p.json")
    data = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    assert (data["format"], data["version"]) == ("dnnopt-profile", 1)
    assert read_profile(tmp_path / "p.json") == profile


def problem(network, profile):
    platform = dp.Platform(devices=(PHONE, CLOUD))
    return dp.Problem(network, platform, execution="sequential", minimize=dp.latency(), profile=profile)


def test_problem_takes_measured_times_and_the_roofline_elsewhere(conv_net):
    network = dp.read_onnx(conv_net, dimensions={"batch": 2})
    profile = profile_onnx(conv_net, "phone", dimensions={"batch": 2}, **QUICK)
    plan = dp.Plan(placement={"conv": dict.fromkeys(LAYERS, "phone")})
    measured = dp.evaluate(problem(network, profile), plan).objective
    assert measured == pytest.approx(profile.measurements[0].sum_of_layers)
    elsewhere = dp.Plan(placement={"conv": dict.fromkeys(LAYERS, "cloud")})
    assert dp.evaluate(problem(network, profile), elsewhere).objective == pytest.approx(
        dp.evaluate(problem(network, Profile()), elsewhere).objective
    )


def test_problem_is_the_same_wherever_its_times_come_from(conv_net):
    network = dp.read_onnx(conv_net, dimensions={"batch": 2})
    profile = profile_onnx(conv_net, "phone", dimensions={"batch": 2}, **QUICK)
    assert problem(network, profile).checksum == problem(network, Profile(time=profile.time)).checksum


def test_times_of_another_batch_are_refused(conv_net):
    profile = profile_onnx(conv_net, "phone", dimensions={"batch": 2}, **QUICK)
    with pytest.raises(
        dp.InputError, match=r"profile\.measurements\[0\]\.inputs\.image: got 24576\.0, expected 12288 bytes"
    ):
        problem(dp.read_onnx(conv_net, dimensions={"batch": 1}), profile)


def test_profiles_are_merged_where_they_do_not_contradict_each_other():
    one = Profile(time={"net": {"a": {"phone": 1.0}}})
    two = Profile(time={"net": {"a": {"phone": 1.0, "cloud": 2.0}, "b": {"phone": None}}})
    assert one.merged(two) == two
    with pytest.raises(dp.InputError, match=r"time\.net\.a\.phone: got 3\.0, expected 1\.0, as in another profile"):
        two.merged(Profile(time={"net": {"a": {"phone": 3.0}}}))


def test_group_has_two_layers():
    with pytest.raises(dp.InputError, match="layers"):
        FusedGroup(layers=("a",), nodes=("n",), seconds=1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"repetitions": 0}, "repetitions: got 0, expected a whole number >= 1"),
        ({"warmup": -1}, "warmup: got -1"),
        ({"threads": 0}, "threads: got 0"),
        ({"device": ""}, "device: got ''"),
        ({"model": "nosuch"}, "expected an ONNX file, or a network of the onnx wheel: alexnet"),
        ({"model": "nosuch.onnx"}, "nosuch.onnx: cannot be read"),
        ({"dimensions": {"batch": 1}}, "no dimension is called batch"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(dp.InputError) as error:
        profile_onnx(**{"model": "squeezenet", "device": "phone", **arguments})
    assert message in str(error.value)


def test_symbolic_dimensions_must_be_given(conv_net):
    with pytest.raises(dp.InputError, match="no size for batch"):
        profile_onnx(conv_net, "phone", **QUICK)


def test_what_onnxruntime_refuses_is_one_error(tmp_path):
    # Its shapes fit, but an index lies outside the table when it runs.
    nodes = [helper.make_node("Gather", ["x", "i"], ["y"])]
    stored = [numpy_helper.from_array(np.array([7]), "i")]
    path = save(tmp_path / "bad.onnx", nodes, [value("x", 4, 2)], [value("y", 1, 2)], stored)
    with pytest.raises(dp.InputError, match=r"bad\.onnx: onnxruntime cannot run it: .*Gather"):
        profile_onnx(path, "phone", **QUICK)


def test_without_onnxruntime_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(dp.InputError, match=r'onnxruntime is not installed: pip install "dnnopt\[profile\]"'):
        profile_onnx("squeezenet", "phone")


def test_profile_of_a_file_without_header_is_refused(tmp_path):
    (tmp_path / "p.json").write_text('{"time": {}}', encoding="utf-8")
    with pytest.raises(dp.InputError, match="expected 'dnnopt-profile'"):
        dp.read_profile(tmp_path / "p.json")


def test_measured_times_go_from_the_command_that_measures_to_the_one_that_solves(tmp_path):
    path = tmp_path / "pi.json"
    run = dnnopt("profile", "squeezenet", "--device", "pi", "--repetitions", 2, "--optimised", "-o", path)
    assert run.returncode == 0, run.stderr
    for part in ("65 layers", "FusedConv conv1", "conv1, relu1", "All layers", "a whole run"):
        assert part in run.stdout
    target = ("squeezenet", "--platform", "pi4-wifi-nx-wan-t4", "--profile", path)
    run = dnnopt("check", *target, tmp_path / "none.json")
    check_refused(run, "none.json")
    run = dnnopt("solve", *target, "--json", "-")
    assert run.returncode == 0, run.stderr
    times = read_profile(path).measurements[0].sum_of_layers
    assert json.loads(run.stdout)["objective"] <= times + 1e-9


def test_ctrl_c_ends_a_measurement_with_one_line_and_no_file(tmp_path):
    words = ["profile", "squeezenet", "--device", "pi", "--repetitions", "10000", "-o", str(tmp_path / "p.json")]
    command = [sys.executable, "-m", "dnnopt", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr.readline() == "measuring each layer apart\n"
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err) == (130, "", "dnnopt: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_profiles_that_do_not_fit_are_refused_by_file(tmp_path):
    for name, device, seconds in (("one", "pi", 1.0), ("two", "pi", 2.0), ("other", "laptop", 1.0)):
        write_profile(Profile(time={"squeezenet": {"conv1": {device: seconds}}}), tmp_path / f"{name}.json")
    target = ("solve", "squeezenet", "--platform", "pi4-wifi-nx-wan-t4", "--profile")
    check_refused(dnnopt(*target, tmp_path / "other.json"), "other.json: time.squeezenet.conv1", "'laptop'", "nx, pi")
    run = dnnopt(*target, tmp_path / "one.json", "--profile", tmp_path / "two.json")
    check_refused(run, "two.json: time.squeezenet.conv1.pi: got 2.0, expected 1.0")


def test_profile_goes_with_a_network(tmp_path):
    write_profile(Profile(), tmp_path / "p.json")
    run = dnnopt("solve", "resnet50-pi4-wifi-nx-wan-t4", "--profile", tmp_path / "p.json")
    check_refused(run, "--profile: goes with a network")
