"""What is typed after the options that describe a problem becomes that problem, or one clear error."""

import json
import re

import pytest
from typer.testing import CliRunner

import dnnopt as dp
from dnnopt.cli import app
from dnnopt.cli.target import read_target
from dnnopt.problem import constraints as c
from dnnopt.problem.objectives import Term, largest

TARGET, ON = "small/001", {"target": "alexnet", "platform": "pi4-wifi-nx-wan-t4"}


def read(**options):
    return read_target(**ON | options)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def on_pi(*words):
    return on_pi_by("show", *words)


def on_pi_by(command, *words):
    return run(command, "alexnet", "-p", "pi4-wifi-nx-wan-t4", *words)


def limits(**options):
    """Return the constraints, but for the memory that the command line limits by itself."""
    return [one for one in read(**options).subject_to if not isinstance(one, c.Memory)]


def test_pipelined_execution_minimises_the_period_and_says_so():
    said = on_pi("--execution", "pipelined")
    assert said.exit_code == 0, said.stderr
    assert "The period is minimised, as execution is pipelined: throughput is 1 / period." in said.stderr
    assert read(execution="pipelined").minimize == (dp.period(),)
    assert read(execution="pipelined", minimize="latency").minimize == (dp.latency(),)
    assert read(execution="parallel").minimize == read().minimize == (dp.latency(),)
    assert "minimised" not in on_pi("--execution", "parallel").stderr


def test_throughput_is_maximised_and_limited_as_the_period_is_minimised_and_limited():
    assert read(maximize="throughput").minimize == read(minimize="period").minimize
    assert limits(subject_to=["throughput >= 20 /s"]) == limits(subject_to=["period <= 50 ms"])
    fronts = [
        json.loads(run("pareto", "small/002", "-b", word, "-b", "energy", "--json", "-").stdout)
        for word in ("throughput", "period")
    ]
    assert [point["objectives"] for point in fronts[0]["points"]] == [one["objectives"] for one in fronts[1]["points"]]
    assert fronts[0]["points"]


def test_results_about_periods_show_the_throughput_too():
    words = ("alexnet", "-p", "pi4-wifi-nx-wan-t4", "--method", "multi-cut")
    shown = run("solve", *words, "--execution", "pipelined", "--json", "-")
    metrics = json.loads(shown.stdout)["metrics"]
    assert metrics["throughput"] == pytest.approx(1 / metrics["period"])
    line = f"period {1e3 * metrics['period']:.4g} ms, throughput {metrics['throughput']:.4g} /s, energy"
    for options in (["--execution", "pipelined"], ["-s", "throughput >= 0.1 /s"]):
        assert re.search(r"period [\d.]+ m?s, throughput [\d.]+ /s, energy", run("solve", *words, *options).stdout)
    assert line in run("solve", *words, "--execution", "pipelined").stdout
    assert "throughput" not in run("solve", *words).stdout
    front = run("pareto", "small/002", "-b", "throughput", "-b", "energy").stdout
    assert re.search(r"period +energy +throughput +proved", front)


def test_objectives_may_be_the_largest_of_several():
    assert read(minimize="2*largest(energy(pi, nx))").minimize == (2.0 * largest(dp.energy("pi", "nx")),)


def test_every_constraint_is_said_about_the_network_that_is_read():
    said = ["placement(conv1, pi, nx)", "contiguous", "max_devices <= 2", "input_stays(pi)", "colocate(conv1, relu1)"]
    first = c.Placement(network="alexnet", layer="conv1", allowed=("pi", "nx"))
    together = c.Colocate(network="alexnet", layers=("conv1", "relu1"))
    reads = c.Placement(network="alexnet", layer="conv1", allowed=("pi",))
    assert limits(subject_to=said) == [first, c.Contiguous(), c.MaxDevices(limit=2), reads, together]


def test_a_rate_is_what_utilisation_and_bandwidth_read():
    found = read(rate="10 /s", subject_to=["utilisation <= 80 %", "bandwidth"])
    assert found.networks[0].rate == 10
    assert found.subject_to[1:] == (c.Utilisation(limit=0.8), c.Bandwidth())


def test_memory_is_limited_by_the_rule_that_is_said():
    [only] = read(subject_to=["memory(weights, pi=64 MiB)"]).subject_to
    assert only == c.Memory(rule="weights", limits={"pi": 2**26})
    assert read(memory=["pi=64 MiB"]).subject_to[0].limits == {"pi": 2**26}
    assert "memory: memory(weights)." in on_pi("-s", "memory(weights)").stderr


def sensitivities(**options):
    return {tensor.name: tensor.sensitivity for tensor in read(**options).networks[0].tensors}


def test_sensitivities_come_from_a_decay_a_file_or_one_by_one(tmp_path):
    network = dp.network("alexnet")
    known = {tensor.name: tensor.sensitivity for tensor in network.with_sensitivity(0.5, input=0.8).tensors}
    assert sensitivities(decay="50 %") == sensitivities(decay="0.5")
    assert sensitivities(sensitivity=["input=0.8"], decay="0.5") == known
    file = tmp_path / "rho.json"
    file.write_text(json.dumps({"data_0": 1, "r1": 0.25}), encoding="utf-8")
    found = sensitivities(sensitivity=[str(file), "r1=50 %"])
    assert (found["data_0"], found["r1"], found["r2"]) == (1, 0.5, None)
    assert sensitivities(sensitivity=[str(file)], decay="0.5")["r1"] == 0.25
    assert read(minimize="leakage", decay="0.9").minimize == (Term(metric="leakage"),)


def test_a_setting_changes_a_problem_as_it_does_in_a_sweep():
    found = read(set_=["bandwidth(wifi-up)=5 Mbit/s", "deadline=300 ms"])
    assert found.platform.links[0].bandwidth == 625e3
    assert found.subject_to[-1] == c.Deadline(limit=0.3)
    before = dp.load(TARGET)
    assert (
        read_target(TARGET, set_=["bandwidth=0.5"]).platform.links[0].bandwidth
        == before.platform.links[0].bandwidth / 2
    )
    told = run("show", TARGET, "--set", "bandwidth=0.5")
    assert "Set: bandwidth=0.5" in told.stderr
    assert "best known" in run("show", TARGET).stdout
    words = [command.name for command in app.registered_commands if "set_" in dict(command.callback.__annotations__)]
    assert {"solve", "compare", "show", "formulations", "pareto", "sweep", "explain", "export", "check"} <= set(words)


def test_output_is_what_o_stands_for_in_every_command():
    short = {}
    for command in [
        *app.registered_commands,
        *(one for group in app.registered_groups for one in group.typer_instance.registered_commands),
    ]:
        for name, annotation in command.callback.__annotations__.items():
            for option in getattr(annotation, "__metadata__", ()):
                for declared in getattr(option, "param_decls", None) or ():
                    if len(declared) == 2:
                        short.setdefault(declared, set()).add(name)
    assert short["-o"] == {"output"}
    assert short["-b"] == {"objective"}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["-m", "pi=64"], ["--memory: got '64'", "64 bytes, or 64 MiB? Write 'pi=64 MiB'"]),
        (["-m", "pi=1 MiB", "-m", "pi=2 MiB"], ["--memory", "every name once"]),
        (["-s", "latency <= 300"], ["--subject-to", "300 s, or 300 ms? Write 'latency <= 300 ms'"]),
        (
            ["-s", "placement(conv9, pi)"],
            ["--subject-to: got 'conv9'", "the name of a layer of alexnet; did you mean conv"],
        ),
        (["-s", "energy(fridge) <= 2 J"], ["--subject-to 'energy(fridge) <= 2 J'", "'fridge'", "the name of a device"]),
        (["-s", "utilisation"], ["networks[0].rate", "requests per second (--rate on the command line)"]),
        (["--rate", "10"], ["--rate: got '10', expected a unit: 10 /min, or 10 /s? Write '10 /s'"]),
        (["--rate", "0 /s"], ["--rate", "a rate > 0"]),
        (["-s", "memory(weights)", "-m", "pi=1 MiB"], ["--memory", "'memory(weights)'"]),
        (["-s", "memory(weights)", "--no-memory"], ["--no-memory", "'memory(weights)'"]),
        (["--minimize", "-throughput"], ["--minimize", "'--maximize throughput' is the same as '--minimize period'"]),
        (["--minimize", "latency + throughput"], ["--minimize", "throughput alone"]),
        (["--minimize", ""], ["--minimize: got ''", "terms of latency"]),
        (["--maximize", "latency"], ["--maximize", "'throughput' (all else is minimised)"]),
        (["--maximize", "throughput", "--minimize", "cost"], ["--maximize", "--minimize"]),
        (["--minimize", "leakage"], ["'leakage' (minimize[0].metric)", "'--sensitivity input=1 --decay 0.9'"]),
        (["-s", "leakage <= 1"], ["'leakage' (subject_to[1].constraint)", "'--sensitivity FILE'"]),
        (["--sensitivity", "input=1"], ["--decay", "missing"]),
        (["--sensitivity", "input=2", "--decay", "0.9"], ["--sensitivity", "got 2.0", "from 0 to 1"]),
        (["--sensitivity", "r99=1"], ["--sensitivity", "'r99'", "the name of a tensor"]),
        (["--sensitivity", "none.json"], ["none.json", "No such file"]),
        (["--sensitivity", "input"], ["--sensitivity: got 'input', expected NAME=VALUE", "'input=1' or the file"]),
        (["--decay", "0"], ["--decay", "got 0.0", "> 0"]),
        (["--decay", "much"], ["--decay", "got 'much'"]),
        (["--memory", "64 MiB"], ["--memory: got '64 MiB', expected NAME=VALUE, such as 'pi=64 MiB'"]),
        (["--set", "core"], ["--set: got 'core'", "NAME=VALUE"]),
        (["--set", "bandwidth(wifi-up)=5"], ["--set", "5 B/s, or 5 Mbit/s? Write 'bandwidth(wifi-up)=5 Mbit/s'"]),
        (["--set", "bandwidth(wifi)=5 MB/s"], ["--set.bandwidth", "'wifi'", "the name of a link"]),
        (["--no-memory", "--set", "memory(pi)=5 MB"], ["--set.memory(pi)", "there is no memory constraint"]),
    ],
)
def test_what_is_typed_wrongly_is_refused_with_the_option_and_what_is_meant(words, parts):
    said = on_pi(*words)
    assert said.exit_code == 2, said.output
    for part in parts:
        assert part in said.stderr


@pytest.mark.parametrize(
    "words", [["--decay", "0"], ["--sensitivity", "input=1"], ["--maximize", "throughput"], ["--rate", "1 /s"]]
)
def test_options_about_a_network_do_not_go_with_a_problem(words):
    said = run("show", TARGET, *words)
    assert said.exit_code == 2
    assert f"{words[0]}: goes with a network" in said.stderr


def test_a_set_of_problems_is_not_a_setting():
    said = run("compare", "--set", "core", "--output", "runs")
    assert said.exit_code == 2
    assert "a set of them is --over" in said.stderr


def test_generated_problems_take_constraints_on_their_layers(tmp_path):
    made = run("generate", "chain", "--size", "5", "-s", "placement(layer1, device1)", "-o", tmp_path / "p.json")
    assert made.exit_code == 2
    names = dp.generate(dp.Recipe(kinds=("chain",), size=5)).problem
    layer, device = names.networks[0].layers[0].name, names.platform.device_names()[1]
    made = run("generate", "chain", "--size", "5", "-s", f"placement({layer}, {device})", "-o", tmp_path / "p.json")
    assert made.exit_code == 0, made.stderr
    wanted = c.Placement(network="chain", layer=layer, allowed=(device,))
    assert wanted in dp.read_problem(tmp_path / "p.json").subject_to


def test_names_may_stand_in_double_quotes_after_every_option(tmp_path):
    odd = {"pi": "a=b", "nx": "c, d"}
    data = dp.platform("pi4-wifi-nx-wan-t4").to_data()
    text = json.dumps(data)
    for name, other in odd.items():
        text = text.replace(f'"{name}"', json.dumps(other))
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({"format": "dnnopt-platform", "version": 1} | json.loads(text)), encoding="utf-8")
    quoted = {"source": '"a=b"', "sink": '"c, d"', "memory": ['"a=b"=64 MiB', ' "c, d" =1 GiB']}
    one = read_target("alexnet", platform=str(path), set_=['memory("c, d", "a=b")=32 MiB'], **quoted)
    assert (one.networks[0].source, one.networks[0].sink) == ("a=b", "c, d")
    (memory,) = (limit for limit in one.subject_to if isinstance(limit, c.Memory))
    assert {memory.limits[name] for name in odd.values()} == {32 * 2**20}
    assert read_target("alexnet", platform=str(path), **quoted).subject_to[0].limits == {
        "a=b": 64 * 2**20,
        "c, d": 2**30,
    }


def test_two_rules_on_memory_are_announced_as_two():
    said = on_pi("-s", "memory(weights)", "-s", "memory(weights+activations, pi=1 GiB)")
    assert "; memory: memory(weights) and memory(weights+activations, pi=1 GiB)." in said.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--minimize", "latency - energy"],
            "--minimize: got 'latency - energy', expected no difference: terms cannot",
        ),
        (["--set", "bandwith(wan-up)=1 MB/s"], "; did you mean 'bandwidth'?"),
        (["--set", "throughput>=20 /s"], "expected '=' without < or >: the value of 'throughput' is the least that"),
        (["--set", "deadline <= 1 s"], "expected '=' without < or >: the value of 'deadline' is a limit"),
        (["--set", "colour=1"], "; NAME is one of bandwidth, memory, deadline"),
        (
            ["-s", "utilisation <= 80"],
            "got 'utilisation <= 80', expected a share of at most 100 %: 'utilisation <=",
        ),
        (["-s", "deadline <= None"], "--subject-to: got 'None', expected time such as '30 ms'"),
    ],
)
def test_what_is_typed_wrongly_is_met_with_what_may_have_been_meant(words, message):
    refused = on_pi(*words)
    assert refused.exit_code == 2
    assert message in refused.stderr


@pytest.mark.parametrize("words", [["-s", "latency <= 1 s"], ["-m", "pi=64 MiB"], ["--rate", "3 /s"]])
def test_limits_beside_a_problem_are_refused_with_the_way_to_change_it(words):
    refused = run("show", TARGET, *words)
    assert refused.exit_code == 2
    assert "a problem means exactly what it lists; --set changes its limits" in refused.stderr


def test_a_conflict_names_its_constraints_as_they_were_typed():
    for command in ("explain", "solve"):
        said = on_pi_by(command, "-s", "max_devices <= 2", "-s", "latency <= 1 us", "--set", "deadline=2 us")
        assert said.exit_code == 1
        assert "(subject_to[" in said.output  # that of --set
        said = on_pi_by(command, "-s", "max_devices <= 2", "-s", "latency <= 1 us")
        assert "- deadline (-s 'latency <= 1 us')" in said.output
        assert "subject_to" not in said.output
