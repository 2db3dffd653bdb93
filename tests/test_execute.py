"""`make notebooks` runs notebooks in order, and keeps nothing of the machine in them."""

import subprocess
import sys

import execute
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from notebook_checks import METADATA, ROOT


def write_notebook(path, *sources):
    """Write a notebook with these code cells, not yet executed."""
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells), path)


def test_a_notebook_is_executed_in_order_and_names_no_machine(tmp_path):
    path = tmp_path / "some.ipynb"
    write_notebook(
        path,
        "import os, ipywidgets\nipywidgets.IntSlider()",
        "from clipnb.runtime import progress\n_ = list(progress([1]))",
        "import matplotlib.pyplot as plt\n_, ax = plt.subplots()\nplt.show()",
        "print(os.listdir())",
    )
    command = [sys.executable, ROOT / "notebooks" / "execute.py", path]  # as `make notebooks`
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    notebook = nbformat.read(path, as_version=4)
    _, progress_cell, plot_cell, folder_cell = notebook.cells
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4]
    assert notebook.metadata == METADATA, "no widget state"
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert progress_cell.outputs == [], "the bar is silent"
    assert "image/png" in plot_cell.outputs[0].data
    assert folder_cell.outputs[0].text == "['some.ipynb']\n", "it runs in its own folder"
    assert list(tmp_path.iterdir()) == [path]


def test_a_notebook_that_fails_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "some.ipynb"
    write_notebook(path, "print('fine')", "1 / 0")
    before = path.read_bytes()
    monkeypatch.setattr(sys, "argv", ["execute.py", str(path)])
    with pytest.raises(SystemExit) as stopped:  # Python prints its text and returns 1
        execute.main()
    assert "ZeroDivisionError" in stopped.value.code
    assert "some.ipynb failed" in stopped.value.code
    assert "Traceback (most recent call last):\n  File" not in stopped.value.code
    assert path.read_bytes() == before
