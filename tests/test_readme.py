"""The README tells the truth: its example runs, and its output is what the command prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

from dnnopt.base.versions import __version__

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def without_runtime(text):
    """Return the text without what depends on how busy the machine is: seconds, and which engine was in time."""
    return re.sub(r"in [\d.,]+ m?s\b", "in ... s", re.sub(r"(not )?confirmed by .* in", "confirmed in", text))


def test_python_example_runs_as_printed(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    quick = code.replace("time_limit=60", "time_limit=4").replace(
        "compare(problem)", "compare(problem, heuristic_limit=0.1)"
    )
    exec(quick, names)
    assert names["result"].plan is not None
    assert (tmp_path / "resnet50.lp").stat().st_size > 0


def test_first_example_prints_what_the_readme_shows():
    command, output = re.search(r"```\n\$ dnnopt (.*?)\n(.*?)```", README, re.DOTALL).groups()
    words = [sys.executable, "-m", "dnnopt", *command.split()]
    unasked = dict(os.environ)  # readline may have set COLUMNS below Python
    run = subprocess.run(words, capture_output=True, text=True, check=True, env=unasked)
    printed = "\n".join(line.rstrip() for line in run.stdout.split("\n"))
    assert without_runtime(printed) == without_runtime(output)


def test_every_file_of_the_map_and_every_link_exists():
    root = Path(__file__).parent.parent
    links = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    mapped = re.findall(r"^  (\w+(?:/|\.py))", README, re.MULTILINE)
    assert links
    assert mapped
    assert [link for link in links if not (root / link).exists()] == []
    assert [name for name in mapped if not (root / "dnnopt" / name).exists()] == []


def test_what_is_cited_is_this_version():
    citation = (Path(__file__).parent.parent / "CITATION.cff").read_text(encoding="utf-8")
    (version,) = re.findall(r"^version: (.*)$", citation, re.MULTILINE)
    (released,) = re.findall(r"^date-released: (\d{4})-\d{2}-\d{2}$", citation, re.MULTILINE)
    assert version == __version__
    assert f"note   = {{Version {version}}}" in README
    assert f"year   = {{{released}}}" in README
    (title,) = re.findall(r'^title: "(.*)"$', citation, re.MULTILINE)
    assert f"title  = {{{title}}}" in README
