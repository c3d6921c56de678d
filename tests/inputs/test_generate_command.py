"""`dnnopt generate`, and docs/generators.md, whose commands and programs print what it shows."""

import gzip
import hashlib
import re

import pytest
from commands import dnnopt
from pages import page, printed, programs

import dnnopt as dp
from dnnopt.inputs.generators import KINDS, TOPOLOGIES, Recipe, generate

PAGE = page("generators.md")


def run(*words):
    return dnnopt("generate", *words)


def test_options_are_the_recipe(tmp_path):
    out = tmp_path / "problem.json"
    words = "chain dense --size 12 --devices 4 --topology hosts --hosts 2 --heterogeneity 3 --link-heterogeneity 2"
    words += " --communication 0.5 --memory 0.4 --deadline 0.2 --decay 0.7 --execution parallel --transport multicast"
    done = run(*words.split(), "--minimize", "latency", "-s", "worst_leakage <= 0.5", "--seed", 9, "-o", out)
    assert done.returncode == 0, done.output
    recipe = Recipe(
        kinds=("chain", "dense"),
        size=12,
        devices=4,
        topology="hosts",
        hosts=2,
        heterogeneity=3.0,
        link_heterogeneity=2.0,
        communication=0.5,
        memory=0.4,
        deadline=0.2,
        decay=0.7,
        execution="parallel",
        transport="multicast",
        minimize=dp.latency(),
        subject_to=(dp.worst_leakage() <= 0.5,),
        seed=9,
    )
    assert dp.read_problem(out) == generate(recipe).problem


def test_the_checksum_is_of_the_text_and_packing_has_no_time_stamp(tmp_path):
    plain, packed = tmp_path / "problem.json", tmp_path / "problem.json.gz"
    shown = [run("layered", "-o", path).output.splitlines()[-1] for path in (plain, packed)]
    assert shown == [f"sha256 {hashlib.sha256(plain.read_bytes()).hexdigest()}"] * 2
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert packed.read_bytes()[4:8] == bytes(4)


def test_bad_knobs_are_refused(tmp_path):
    for words, part in (
        (("tree",), "'tree'"),
        (("chain", "--memory", "2"), "memory: got 2.0"),
        (("chain", "--minimize", "speed"), "--minimize"),
        (("chain", "-s", "speed <= 1"), "--subject-to"),
    ):
        done = run(*words, "-o", tmp_path / "problem.json")
        assert done.returncode == 2
        assert part in done.output
    assert not (tmp_path / "problem.json").exists()


def test_commands_print_what_the_page_shows(tmp_path):
    blocks = "".join(re.findall(r"^```\n(\$ .*?)^```", PAGE, re.DOTALL | re.MULTILINE))
    for words, output in re.findall(r"^\$ dnnopt (.*)\n((?:(?!\$ ).*\n)*)", blocks, re.MULTILINE):
        done = dnnopt(*words.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout == output, words


@pytest.mark.parametrize(("code", "output"), programs(PAGE))
def test_programs_print_what_the_page_shows(code, output):
    assert printed(code) == output


def test_the_page_and_the_help_name_every_kind_and_topology():
    words = run("--help").output
    for name in (*KINDS, *TOPOLOGIES):
        assert f"| `{name}` |" in PAGE
        assert name in words
