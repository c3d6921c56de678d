"""Methods of records that forward to what the package does, and public names that a user types."""

import pytest

import dnnopt as dp


@pytest.fixture(scope="module")
def problem():
    return dp.load("small/001")


@pytest.fixture(scope="module")
def result(problem):
    return problem.solve(time_limit=20, seed=3)


def two_networks():
    layers = (dp.Layer("conv1", flops=1e9, bytes=1.0), dp.Layer("conv2", flops=1e9, bytes=1.0))
    names = {"a": (*layers, dp.Layer("head", flops=1e9, bytes=1.0)), "b": layers}
    device = dp.Device("pi", flops_per_s=1e9, bytes_per_s=1e9)
    networks = [dp.Network(name=name, layers=own) for name, own in names.items()]
    return dp.Problem(networks, dp.Platform(devices=(device,)), "sequential", dp.latency())


def test_a_problem_is_solved_by_a_method_with_the_same_options(problem, result):
    assert result.seed == 3
    assert result.objective == dp.solve(problem, time_limit=20, seed=3).objective
    with pytest.raises(dp.InputError, match="one of auto"):
        problem.solve(method="magic")


def test_a_summary_says_what_kind_of_problem_it_is(problem):
    text = problem.summary()
    assert text.startswith("small/001")
    for word in ("alexnet (22 layers)", "treewidth", "proved", "minimise"):
        assert word in text
    assert "best known" in two_networks().summary()


def test_a_result_has_what_is_asked_first(problem, result):
    assert result.is_optimal
    assert result.placement == result.plan.placement
    assert result.metrics["latency"] == pytest.approx(result.objective)


def test_a_result_without_a_plan_has_none_of_it(problem):
    nothing = problem.replace(subject_to=[dp.MaxDevices(limit=0)]).solve(time_limit=20)
    assert (nothing.is_optimal, nothing.placement, nothing.metrics, nothing.to_rows()) == (False, None, {}, [])


def test_a_result_is_a_data_frame_with_a_row_for_each_layer(result):
    pytest.importorskip("pandas")
    frame = result.to_frame()
    assert list(frame.columns) == ["network", "layer", "device"]
    assert dict(zip(frame["layer"], frame["device"], strict=True)) == result.placement["alexnet"]


def test_a_scheduled_result_has_the_starts_of_its_layers():
    found = two_networks().replace(execution="scheduled").solve(time_limit=20)
    rows = found.to_rows()
    assert [(row["network"], row["layer"]) for row in rows] == [
        (network, layer) for network, layers in found.placement.items() for layer in layers
    ]
    assert {row["layer"]: row["start"] for row in rows if row["network"] == "a"} == found.plan.schedule.layers["a"]


def test_a_plan_says_where_a_layer_is(result):
    for layer, device in result.placement["alexnet"].items():
        assert result.plan[layer] == result.plan["alexnet", layer] == device


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("conv1", "plan: got 'conv1', expected the network, too: 'a', 'b' have it"),
        ("conv9", "plan: got 'conv9', expected the name of a layer: conv1, conv1, conv2, conv2, head"),
        (("b", "head"), "plan: got 'head', expected the name of a layer: conv1, conv2"),
        (("c", "head"), "plan: got 'c', expected the name of a network: a, b"),
        (3, "plan: got '3', expected the name of a layer: conv1, conv1, conv2, conv2, head"),
    ],
)
def test_a_layer_that_is_not_there_or_in_two_networks_is_an_input_error(key, message):
    plan = dp.Plan({"a": {"conv1": "x", "conv2": "x", "head": "y"}, "b": {"conv1": "y", "conv2": "y"}})
    assert (plan["head"], plan["b", "conv1"], plan["a", "conv1"]) == ("y", "y", "x")
    with pytest.raises(dp.InputError) as caught:
        plan[key]
    assert str(caught.value) == message.replace("conv1, conv1, conv2, conv2", "conv1, conv2")


def test_a_network_is_read_from_onnx_by_a_method(tmp_path):
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"], name="relu")],
        "g",
        [value("x", onnx.TensorProto.FLOAT, [1, 4])],
        [value("y", onnx.TensorProto.FLOAT, [1, 4])],
    )
    path = tmp_path / "relu.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    found = dp.Network.from_onnx(path, name="mine", source="pi")
    assert found == dp.read_onnx(path, name="mine", source="pi")
    assert (found.name, found.source, len(found.layers)) == ("mine", "pi", 1)


def test_the_library_says_its_names():
    assert "small/001" in dp.names("problems")
    assert "resnet50" in dp.names("networks")
    assert dp.names("platforms")
    with pytest.raises(dp.InputError, match="kind: got 'problem', expected one of networks, platforms, problems"):
        dp.names("problem")


def test_the_best_known_value_of_a_problem_is_that_of_its_data(problem, result):
    row = dp.best_known("small/001")
    assert row.status == "proved"
    assert row.objective == pytest.approx(result.objective, rel=1e-5)
    assert dp.best_known(problem) == row
    assert dp.best_known(problem.replace(transport="multicast")) is None
    with pytest.raises(dp.InputError, match="no problem named 'small/01'"):
        dp.best_known("small/01")


def test_fronts_and_formulations_are_public(problem):
    front = dp.pareto(problem, [dp.latency(), dp.traffic()], time_limit=30)
    assert isinstance(front, dp.Front)
    assert dp.Term("energy", devices=("a",), over="max") == dp.largest(dp.energy("a"))
    rows = dp.compare_formulations(problem, ["edgewise"], time_limit=10).rows
    assert [row.formulation for row in rows] == ["edgewise+sum"]
