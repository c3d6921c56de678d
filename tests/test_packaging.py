"""The package as it is installed: what the archives hold, and what may be imported together."""

import re
import runpy
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from dnnopt.base.programs import find_cbc
from dnnopt.base.versions import __version__, show_versions, versions

ROOT = Path(__file__).parent.parent


def run(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)


def build(kind: str, source: Path, out: Path) -> Path:
    done = run("-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = out.iterdir()
    return archive


def names_in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked_sdist(tmp_path_factory):
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    sdist = build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        assert not [member.name for member in archive if member.issym() or member.islnk()]
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def test_versions_name_dnnopt_python_and_the_installed_dependencies():
    found = versions()
    assert found["dnnopt"] == __version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"platform", "numpy", "highspy", "ortools", "pydantic", "onnx", "typer", "rich"} <= found.keys()


def test_show_versions_prints_one_per_line_and_which_cbc_there_is(capsys):
    show_versions()
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    cbc = find_cbc()
    assert shown.pop("cbc") == ("none" if cbc is None else f"{cbc.path} ({cbc.source})")
    assert shown == versions()


def test_all_holds_what_there_are_wheels_for_on_macs_and_elsewhere_everything():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert not [name for name in project["dependencies"] if name.startswith(("cbcbox", "pulp"))]
    assert any(name.startswith("pulp") for name in project["optional-dependencies"]["modelling"])
    for system, expected in (("darwin", False), ("linux", True), ("win32", True)):
        needed = [Requirement(text) for text in project["optional-dependencies"]["all"]]
        where = {"sys_platform": system, "python_version": "3.14"}
        here = [one for one in needed if one.marker is None or one.marker.evaluate(where)]
        extras = {extra for one in here for extra in one.extras}
        assert "modelling" in extras
        assert ("profile" in extras) is expected
        assert ("cbc" in extras) is expected


def test_the_page_on_installing_has_every_extra_and_the_rows_of_its_script():
    text = (ROOT / "docs" / "installing.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"]) - {"all", "dev"}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == extras
    script = runpy.run_path(str(ROOT / "docs" / "installable.py"))
    assert set(script["EXTRAS"]) == {*extras, "all"}
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    table = {row[0]: row[1:] for row in rows if len(row) == 1 + len(script["PYTHONS"])}
    assert table.pop("") == [f"Python {python}" for python in script["PYTHONS"]]
    assert list(table) == [machine.title for machine in script["MACHINES"]]
    assert all("`all`" in cell for cells in table.values() for cell in cells)


def test_the_script_says_what_cannot_be_installed():
    cell = runpy.run_path(str(ROOT / "docs" / "installable.py"))["cell"]
    assert cell({}) == "`all`"
    assert cell({"cbc": "no wheel"}) == "`all`, not `cbc`"
    assert cell({"all": "no wheel", "scip": "no wheel"}) == "without `scip`"
    assert cell({"": "no wheel", "all": "no wheel"}) == "no"


def test_versions_imports_no_dependency():
    code = "import sys; from dnnopt.base.versions import versions; old = set(sys.modules); versions(); "
    done = run("-c", code + "print(*set(sys.modules) - old)")
    assert done.returncode == 0
    assert not re.search("numpy|highspy|ortools|onnx", done.stdout)


@pytest.mark.parametrize("name", ["formulations", "formulations.milp"])
def test_formulations_have_one_name(name):
    done = run("-c", f"import {name}")
    assert (
        "ImportError: this folder was imported as 'formulations'; its only name is 'dnnopt.formulations'" in done.stderr
    )
    assert run("-c", f"import dnnopt.{name}").returncode == 0


def test_instances_are_found_inside_the_package():
    assert (resources.files("dnnopt") / "instances" / "problems").is_dir()
    assert (resources.files("dnnopt") / "instances" / "catalogue" / "devices.json").is_file()


@pytest.mark.parametrize(("first", "second"), [("highspy", "ortools"), ("ortools", "highspy")])
def test_highs_and_cpsat_work_in_one_process(first, second):
    use = {
        "highspy": "import highspy; h = highspy.Highs(); h.silent(); assert h.run() == highspy.HighsStatus.kOk",
        "ortools": "from ortools.sat.python import cp_model; s = cp_model.CpSolver();"
        "assert s.solve(cp_model.CpModel()) == cp_model.OPTIMAL",
    }
    done = run("-c", "\n".join([use[first], use[second], use[first]]))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["formulations", "instances"])
def test_wheel_holds_real_files_in_place_of_links(wheel, folder):
    expected = {f"dnnopt/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*") if path.is_file()}
    expected = {name for name in expected if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as archive:
        held = {info.filename for info in archive.infolist() if info.filename.startswith(f"dnnopt/{folder}")}
        assert not [info.filename for info in archive.infolist() if info.external_attr >> 28 == 0o12]  # a link
    assert held == expected


def test_wheel_holds_marker_of_types_and_nothing_outside_the_package(wheel):
    names = names_in_wheel(wheel)
    assert "dnnopt/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"dnnopt", f"dnnopt-{__version__}.dist-info"}


def test_editable_install_copies_nothing(tmp_path):
    pytest.importorskip("hatchling")
    done = run("-c", "import sys, hatchling.build as b; b.build_editable(sys.argv[1])", tmp_path)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.iterdir()
    assert {name for name in names_in_wheel(wheel) if ".dist-info/" not in name} == {"_dnnopt.pth"}


def test_sdist_builds_the_same_wheel(wheel, unpacked_sdist, tmp_path):
    assert (unpacked_sdist / "formulations" / "__init__.py").is_file()
    assert not (unpacked_sdist / "dnnopt" / "formulations").exists()
    again = build("wheel", unpacked_sdist, tmp_path)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {i.filename: i.CRC for i in first.infolist()} == {i.filename: i.CRC for i in second.infolist()}
