"""The notebooks run, and what is stored in them is what they print.

Texts with times differ from run to run. Cells with the tag ``exact`` print what must not: proved optima, sizes, bounds.
"""

import importlib.util
import re
from pathlib import Path

import pytest

import dnnopt as dp

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
for module in ("nbclient", "ipykernel", "matplotlib", "pyomo", "pulp", "onnxruntime", "zmq"):
    pytest.importorskip(module, reason=f"{module} is not installed")

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
execute = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)


@pytest.fixture(scope="module")
def kernel():
    """Start a kernel for all notebooks: to read what they import takes longer than to run some of them."""
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.utils import run_sync

    manager = AsyncKernelManager()
    run_sync(manager.start_kernel)()
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


def stored(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def pictures(cell):
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == {
        "approaches",
        "choices",
        "export",
        "formulations_side_by_side",
        "gaps",
        "granularity",
        "own_data",
        "quick_start",
        "split_and_run",
        "write_your_own",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_and_draws_what_is_stored_in_it(path, tmp_path, kernel):
    before, after = code(stored(path)), code(execute.execute(path, tmp_path, kernel))
    exact = [index for index, cell in enumerate(before) if "exact" in cell.metadata.get("tags", ())]
    assert exact
    for index in exact:
        assert printed(before[index])
        assert printed(after[index]) == printed(before[index])
    assert [pictures(cell) for cell in after] == [pictures(cell) for cell in before]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_was_executed_from_the_top_without_errors(path):
    notebook = stored(path)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "execute_result"}
    assert {output.name for output in outputs if output.output_type == "stream"} <= {"stdout"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_is_small_and_does_not_say_where_it_ran(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert not re.search(r'"[^"\n]*(?:/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\)', text)
    notebook = stored(path)
    assert notebook.metadata == execute.METADATA
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


def test_results_print_as_plain_text_in_notebooks(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    text = str(dp.solve(dp.load("small/001"), method="multi-cut"))
    assert text.startswith("small/001: a plan, not proved optimal\n")
    assert "\x1b" not in text
