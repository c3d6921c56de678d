"""The command line as a person uses it: its exit code and its words."""

import json
import os
import signal
import subprocess
import sys

import pytest
from commands import check_refused, dnnopt, dnnopt_process, wait_until_it_searches

RESNET = "resnet50-pi4-wifi-nx-wan-t4"
ON_PI = ("squeezenet", "--platform", "pi4-wifi-nx-wan-t4")


@pytest.fixture
def problem_data():
    """A problem file's data: two layers on two devices."""
    return {
        "format": "dnnopt-problem",
        "version": 1,
        "name": "two",
        "networks": [
            {
                "name": "net",
                "layers": [
                    {"name": "a", "flops": 1e9, "bytes": 1e6, "weights": 1e6, "activations": 1e3},
                    {"name": "b", "flops": 2e9, "bytes": 1e6, "weights": 2e6, "activations": 1e3},
                ],
                "tensors": [
                    {"name": "x", "producer": "input", "consumers": ["a"], "bytes": 1e5},
                    {"name": "t", "producer": "a", "consumers": ["b"], "bytes": 1e4},
                ],
                "source": "phone",
            }
        ],
        "platform": {
            "devices": [
                {"name": "phone", "flops_per_s": 1e10, "bytes_per_s": 1e10, "memory": 2.5e6},
                {"name": "cloud", "flops_per_s": 1e12, "bytes_per_s": 1e11},
            ],
            "links": [
                {"name": "up", "bandwidth": 1e6, "latency": 0.01},
                {"name": "down", "bandwidth": 1e6, "latency": 0.01},
            ],
            "routes": [
                {"from": "phone", "to": "cloud", "links": ["up"]},
                {"from": "cloud", "to": "phone", "links": ["down"]},
            ],
        },
        "execution": "sequential",
        "minimize": [{"metric": "latency"}],
        "subject_to": [{"constraint": "memory"}],
    }


@pytest.fixture
def write(tmp_path):
    def write_data(data, name="problem.json"):
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
        return path

    return write_data


def test_solve_of_a_network_says_what_runs_where_and_exits_0():
    run = dnnopt("solve", *ON_PI)
    assert run.returncode == 0
    for part in ("proved optimal", "What runs where", "What is sent", "wifi-up", "gap 0 %", "By hand", "all on t4"):
        assert part in run.stdout


def test_solve_of_a_problem_in_the_library_with_memory_binding_is_proved_optimal(tmp_path):
    out = tmp_path / "out.json"
    assert dnnopt("solve", RESNET, "--json", out).returncode == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["status"] == "optimal"
    assert result["gap"] <= 1e-6
    hosted = {device for layers in result["placement"].values() for device in layers.values()}
    assert hosted == {"nx", "t4"}
    cuts = next(row["objective"] for row in result["baselines"] if row["name"] == "best single cut")
    assert cuts > 1.03 * result["objective"]


def test_result_file_is_a_plan_file_that_check_accepts(write, problem_data, tmp_path):
    problem, out = write(problem_data), tmp_path / "out.json"
    assert dnnopt("solve", problem, "--json", out).returncode == 0
    run = dnnopt("check", problem, out)
    assert run.returncode == 0
    assert "feasible: every constraint holds" in run.stdout


def test_check_names_what_a_plan_breaks_and_exits_1(write, problem_data):
    plan = write({"placement": {"net": {"a": "phone", "b": "phone"}}}, "plan.json")
    run = dnnopt("check", write(problem_data), plan)
    assert run.returncode == 1
    assert "memory(phone)" in run.stdout


def test_solve_prints_json_alone_where_asked(write, problem_data):
    run = dnnopt("solve", write(problem_data), "--json", "-")
    assert json.loads(run.stdout)["objective"] == pytest.approx(0.11 + 0.001 + 0.002)


@pytest.mark.parametrize("solver", ["highs", "cbc", "cpsat"])
def test_solvers_agree_on_the_command_line(write, problem_data, solver):
    run = dnnopt("solve", write(problem_data), "--solver", solver, "--json", "-")
    result = json.loads(run.stdout)
    assert result["status"] == "optimal"
    assert result["solver"] == solver
    assert result["objective"] == pytest.approx(0.11 + 0.001 + 0.002)


def test_compare_lists_every_baseline_and_the_exact_method():
    words = ["alexnet", "--platform", "pi4-wifi-nx-wan-t4", "-m", "pi=64 MiB", "-m", "nx=128 MiB", "-m", "t4=512 MiB"]
    run = dnnopt("compare", *words, "-f", "product", "--time-limit", "10", "--heuristic-limit", "0.1")
    assert run.returncode == 0
    for part in (
        "all on pi",
        "best single cut",
        "greedy",
        "edgewise+sum (highs)",
        "product+sum (highs)",
        "breaks memory",
    ):
        assert part in run.stdout


@pytest.mark.parametrize("ending", [".lp", ".mps"])
def test_export_writes_a_model_that_says_its_units(write, problem_data, tmp_path, ending):
    model = tmp_path / f"model{ending}"
    assert dnnopt("export", write(problem_data), "-o", model).returncode == 0
    text = model.read_text(encoding="utf-8")
    assert "Units: 1 of time" in text.split("\n")[0]
    assert "x(a,phone)" in text


@pytest.mark.parametrize(
    "kind", ["networks", "platforms", "problems", "formulations", "solvers", "methods", "heuristics"]
)
def test_list_prints_a_name_a_line(kind):
    run = dnnopt("list", kind)
    assert run.returncode == 0
    names = run.stdout.split()
    assert {
        "networks": "resnet50",
        "platforms": "pi4-wifi-nx-wan-t4",
        "problems": RESNET,
        "formulations": "edgewise+potentials",
        "solvers": "cbc",
        "methods": "min-cut",
        "heuristics": "greedy",
    }[kind] in names


def test_help_is_shown_without_arguments():
    assert "solve" in dnnopt("--help").stdout


# Bad input


def test_not_an_onnx_file_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"this is not an ONNX file")
    check_refused(dnnopt("solve", path, "--platform", "pi4-lte-t4"), "model.onnx", "ONNX")


def test_truncated_json_is_refused(write, problem_data):
    path = write(json.dumps(problem_data)[:300])
    check_refused(dnnopt("solve", path), "problem.json", "not JSON", "cut off")


def test_missing_file_is_refused(tmp_path):
    check_refused(dnnopt("solve", tmp_path / "none.json"), "none.json", "No such file")


def _cycle(data):
    data["networks"][0]["tensors"].append({"name": "back", "producer": "b", "consumers": ["a"], "bytes": 1})


def _set(*keys):
    *path, last, value = keys

    def change(data):
        for key in path:
            data = data[key]
        data[last] = value

    return change


def _duplicate(*path):
    def change(data):
        for key in path:
            data = data[key]
        data.append(data[0])

    return change


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (_cycle, ("networks[0]", "cycle", "a -> b -> a")),
        (_set("networks", 0, "tensors", 1, "consumers", ["c"]), ("tensors[1].consumers[0]", "'c'", "layer")),
        (_set("platform", "links", 0, "bandwidth", -1), ("links[0].bandwidth", "-1", "> 0")),
        (_set("platform", "links", 0, "bandwidth", 0), ("links[0].bandwidth", "0", "> 0")),
        (_set("platform", "routes", 0, "links", ["sideways"]), ("routes[0].links[0]", "'sideways'", "link")),
        (_set("networks", 0, "source", "fridge"), ("networks[0].source", "'fridge'", "device")),
        (
            _set("subject_to", [{"constraint": "placement", "network": "net", "layer": "a", "allowed": ["fridge"]}]),
            ("subject_to[0].allowed[0]", "'fridge'", "device"),
        ),
        (
            _set("profile", {"time": {"net": {"a": {"phone": float("nan")}}}}),
            ("profile.time.net.a.phone", "nan", "finite"),
        ),
        (_duplicate("networks", 0, "layers"), ("layers[2]", "'a'", "name of its own")),
        (_duplicate("platform", "devices"), ("devices[2]", "'phone'", "name of its own")),
        (_set("minimize", [{"metric": "beauty"}]), ("minimize[0].metric", "'beauty'", "latency")),
        (_set("subject_to", [{"constraint": "taste"}]), ("subject_to[0]", "taste", "memory")),
        (_set("colour", "red"), ("colour", "unknown key")),
        (_set("version", 2), ("version", "2", "newer")),
        (_set("platform", "nowhere"), ("platform", "nowhere")),
    ],
)
def test_bad_problem_file_is_refused_with_field_value_and_expectation(write, problem_data, change, parts):
    change(problem_data)
    message = check_refused(dnnopt("solve", write(problem_data)), "problem.json", *parts)
    assert message.count("\n") == 1


def test_unsupported_formulation_and_objective_is_refused_and_the_able_are_named():
    run = dnnopt("solve", *ON_PI, "--execution", "parallel", "--formulation", "cp-assignment")
    check_refused(run, "cp-assignment", "parallel", "edgewise+potentials")


def test_unsupported_timing_is_refused_and_the_able_are_named():
    run = dnnopt("solve", *ON_PI, "--execution", "pipelined", "--minimize", "period", "--formulation", "edgewise+sum")
    check_refused(run, "edgewise+sum", "period", "edgewise+period")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("solve", "squeezenot", "--platform", "pi4-lte-t4"), ("squeezenot", "did you mean squeezenet")),
        (("solve", "squeezenet"), ("--platform", "pi4-lte-t4")),
        (("solve", "squeezenet", "--platform", "pi4-lte-t5"), ("pi4-lte-t5", "did you mean")),
        (("solve", *ON_PI, "--memory", "pi=lots"), ("--memory", "lots", "GiB")),
        (("solve", *ON_PI, "--subject-to", "latency <= 20 apples"), ("--subject-to", "apples")),
        (("solve", *ON_PI, "--minimize", "speed"), ("--minimize", "speed", "latency")),
        (("solve", *ON_PI, "--time-limit", "-1"), ("time_limit", "-1")),
        (("solve", *ON_PI, "--solver", "gurobi"), ("gurobi", "highs")),
        (("solve", *ON_PI, "--formulation", "magic"), ("magic", "edgewise")),
        (("solve", *ON_PI, "--execution", "telepathic"), ("execution", "telepathic", "sequential")),
        (("solve", RESNET, "--platform", "pi4-lte-t4"), ("--platform", "goes with a network")),
        (("solve", *ON_PI, "--solver", "cbc", "--formulation", "cp-assignment"), ("cbc", "cpsat")),
        (("solve", *ON_PI, "--dim", "batch=1"), ("--dim", "ONNX")),
        (("solve", *ON_PI, "--threads", "100000"), ("threads", "100000", "512")),
        (("export", RESNET, "-o", "model.txt"), ("model.txt", ".lp")),
        (("export", RESNET, "-o", "model.lp", "-f", "cp-assignment"), ("--formulation", "MILP")),
        (("list", "fruit"), ("fruit", "networks")),
    ],
)
def test_bad_option_is_refused_with_a_hint(words, parts):
    check_refused(dnnopt(*words), *parts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("solve", "-o", "x"), "No such option: -o ('dnnopt solve --help' says what there is)"),
        (("bench",), "PROBLEMS: missing: sets or problems of the library"),
        (("check",), "Missing argument 'target'. ('dnnopt check --help' says what there is)"),
        (("frob",), "No such command 'frob'. ('dnnopt --help' says what there is)"),
        (("solve", *ON_PI, "--source", "foo"), "networks[0].source: got 'foo', expected the name of a device: "),
    ],
)
def test_what_is_typed_wrongly_is_one_line(words, message):
    run = dnnopt_process(*words)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"dnnopt: {message}")
    assert run.stderr.count("\n") == 1


# Infeasible problems


def test_infeasible_problem_exits_1_and_names_a_minimal_set_of_groups(write, problem_data):
    problem_data["subject_to"] += [
        {"constraint": "deadline", "limit": 0.01},
        {"constraint": "energy", "limit": 1e9},
    ]
    run = dnnopt("solve", write(problem_data))
    assert run.returncode == 1
    assert "deadline" in run.stderr
    assert "energy" not in run.stderr
    assert "memory" not in run.stderr


def test_absent_route_that_is_needed_exits_1_and_is_named(write, problem_data):
    del problem_data["platform"]["routes"][0]
    run = dnnopt("solve", write(problem_data))
    assert run.returncode == 1
    assert "no route from phone to cloud" in run.stderr
    assert "memory" in run.stderr
    assert "cloud to phone" not in run.stderr


# Interruption


@pytest.mark.parametrize("solver", ["highs", "cpsat"])  # of CBC, which is a process: tests/base/test_processes.py
def test_ctrl_c_gives_the_best_plan_so_far_with_its_bound(tmp_path, solver):
    out = tmp_path / "out.json"
    formulation = "cp-assignment" if solver == "cpsat" else "product"
    words = ["solve", "densenet121", "--platform", "pi4-lan-nano-nx-wan-t4", "-m", "pi=8MiB", "-m", "nano=8MiB"]
    words += ["-m", "nx=16MiB", "-m", "t4=16MiB", "--solver", solver, "-f", formulation, "--threads", "1"]
    command = [sys.executable, "-m", "dnnopt", *words, "--json", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until_it_searches(process)
        os.kill(process.pid, signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    result = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    assert process.returncode in (0, 130), errors
    assert "Traceback" not in errors
    assert result["status"] in ("interrupted", "optimal"), output
    if result["placement"] is not None:
        assert process.returncode == 0
        assert result["bound"] is None or result["bound"] <= result["objective"]
