"""The command line where things are not as usual: streams, encodings, no home, no place to write."""

import json
import os
import subprocess
import sys

import pytest

NAMES = ("größe\u202e", "層\x1b[2J")


@pytest.fixture
def problem(tmp_path):
    """Write a problem with names in letters of many scripts and with control characters."""
    device, layer = NAMES
    data = {
        "format": "dnnopt-problem",
        "version": 1,
        "networks": [{"name": "net", "layers": [{"name": layer, "flops": 1, "bytes": 1}]}],
        "platform": {"devices": [{"name": device, "flops_per_s": 1, "bytes_per_s": 1}]},
        "execution": "sequential",
        "minimize": [{"metric": "latency"}],
    }
    path = tmp_path / "µ.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def run(*words, shell="exec {}", cwd=None, **environment):
    """Run the command line as a shell does that puts it in place of ``{}``; None takes a variable away."""
    variables = {name: value for name, value in (os.environ | environment).items() if value is not None}
    script = shell.format('"$@"')
    command = ["bash", "-c", f"set -o pipefail; {script}", "bash", sys.executable, "-m", "dnnopt", *map(str, words)]
    found = subprocess.run(command, capture_output=True, env=variables, cwd=cwd, timeout=300, stdin=subprocess.DEVNULL)
    assert b"Traceback" not in found.stderr
    assert b"Exception ignored" not in found.stderr
    return found


def test_a_pipe_that_closes_early_ends_the_command_quietly():
    found = run("list", "networks", shell="{} | sh -c 'exec <&-; sleep 0.1'")
    assert found.returncode == 141
    assert found.stderr == b""
    assert run("list", "networks", shell="{} | head -1").stdout.startswith(b"name")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["list", "networks"], ["list", "solvers"], ["show", "PROBLEM"]])
def test_a_full_disk_behind_the_output_is_told_in_one_line(problem, words):
    words = [problem if word == "PROBLEM" else word for word in words]
    found = run(*words, shell="{} > /dev/full")
    assert found.returncode == 2
    assert found.stderr == b"dnnopt: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm_and_no_file_takes_their_place(problem, tmp_path, closed):
    out = tmp_path / "out.json"
    assert run("solve", problem, "--json", out, shell=f"{{}} {closed}").returncode == 0
    assert json.loads(out.read_text(encoding="utf-8"))["status"] == "optimal"
    assert run("solve", tmp_path / "none", shell=f"{{}} {closed}").returncode == 2


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "LANG": None}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}],
)
def test_names_are_shown_and_files_are_utf_8_whatever_the_encoding(problem, environment):
    found = run("solve", problem, **environment)
    assert found.returncode == 0
    assert b"\\u202e" in found.stdout
    assert b"\\x1b[2J" in found.stdout
    assert b"\x1b" not in found.stdout
    printed = json.loads(run("solve", problem, "--json", "-", **environment).stdout.decode("utf-8"))
    assert printed["placement"] == {"net": {NAMES[1]: NAMES[0]}}
    assert run("solve", problem.with_name("µµ.json"), **environment).returncode == 2


def test_neither_a_home_nor_a_writable_place_nor_a_wide_terminal_is_needed(problem, tmp_path):
    figure = tmp_path / "plan.png"
    nowhere = {"HOME": None, "XDG_CONFIG_HOME": None, "XDG_CACHE_HOME": None, "COLUMNS": "3"}
    found = run("solve", problem, "--figure", figure, cwd="/proc", **nowhere)
    assert found.returncode == 0, found.stderr
    assert figure.exists()
    assert run("show", problem, HOME="/none/such", cwd="/").returncode == 0
    gone = tmp_path / "gone"
    gone.mkdir()
    assert run("show", problem, shell=f"cd {gone}; rmdir {gone}; {{}}").returncode == 0


def test_a_problem_may_come_through_a_pipe(problem):
    found = run("solve", "/dev/stdin", "--json", "/dev/stdout", shell=f"cat {problem} | {{}}")
    assert found.returncode == 0, found.stderr
    assert b'"status": "optimal"' in found.stdout
    assert b"What runs where" in found.stdout
    assert run("solve", "-", shell=f"cat {problem} | {{}}").returncode == 2


@pytest.mark.parametrize("name", ["\x1b[2J.json", "a\nb.json", "\udcff.json", "$a$.json", "[red].json"])
def test_names_of_files_are_shown_whole_in_messages(tmp_path, name):
    path = tmp_path / name
    path.write_text("{}", encoding="utf-8")
    found = run("solve", path)
    assert found.returncode == 2
    assert found.stderr.count(b"\n") == 1
    assert b"\x1b" not in found.stderr
    assert name.encode("unicode_escape") in found.stderr


def test_what_is_too_large_is_refused_at_once_and_read_where_that_is_asked_for(tmp_path):
    workload = {"maxFPGAs": 10**9, "maxSizePerFPGA": 100, "maxCPUs": 1, "edges": []}
    workload["nodes"] = [{"id": 0, "supportedOnFpga": 1, "cpuLatency": 5, "fpgaLatency": 1}]
    path, output = tmp_path / "workload.json", tmp_path / "problem.json"
    path.write_text(json.dumps(workload), encoding="utf-8")
    for words in (
        ["import", "msr", path, "-o", output],
        ["generate", "chain", "-o", output, "--size", 10**9],
        ["generate", "chain", "-o", output, "--devices", 10**6],
    ):
        found = run(*words)
        assert found.returncode == 2
        assert b"expected at most" in found.stderr
        assert b"--allow-large" in found.stderr
    assert not output.exists()
    path.write_text(json.dumps(workload | {"maxFPGAs": 3}), encoding="utf-8")
    assert run("import", "msr", path, "-o", output, "--allow-large").returncode == 0


def test_a_generated_problem_may_be_piped_on(problem):
    shell = f"{{}} | {sys.executable} -m dnnopt solve /dev/stdin --json -"
    found = run("generate", "chain", "--size", 3, "-o", "/dev/stdout", shell=shell)
    assert json.loads(found.stdout)["status"] == "optimal"
