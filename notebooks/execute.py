"""Run the notebooks anew, each in an empty folder, and write their outputs back: all, or those that are named."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
SECONDS = 120  # for one cell
# A kernel that has run another notebook is as good as new, but for the modules of others that it has read.
_CLEAR = """%reset -f
import os, sys
os.chdir({!r})
for _name in [name for name in sys.modules if name.partition(".")[0] == "dnnopt"]:
    del sys.modules[_name]
del os, sys
"""
METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}


def execute(path: Path, folder: Path, kernel: Any = None) -> Any:
    """Return a notebook with the outputs that its cells have when they run in `folder`, one after the other.

    Nothing in it says where or when it ran: of metadata, only the tags of cells are kept.

    Parameters
    ----------
    path, folder : Path
    kernel : jupyter_client.AsyncKernelManager, optional
        A kernel that runs and is left running: what other notebooks defined there, and changed in dnnopt, is cleared.
        Without it, one is started for the notebook.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    if kernel is not None:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(_CLEAR.format(str(folder))))
    client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}, km=kernel)
    client.execute()
    if kernel is not None:
        del notebook.cells[0]
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """Return outputs with texts in one piece that were printed in several."""
    joined: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def main(names: list[str]) -> None:
    """Execute the notebooks and write them back."""
    for path in sorted(HERE.glob("*.ipynb")):
        if not names or path.stem in names:
            with tempfile.TemporaryDirectory() as folder:
                notebook = execute(path, Path(folder))
            nbformat.write(notebook, path)
            print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
