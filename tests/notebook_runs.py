"""Run a notebook of the course on another dataset than the one it names."""

import os
import re

import nbformat
from execute import make_client

from clipnb.runtime import ROOT


def find_notebook(prefix):
    return next((ROOT / "notebooks").glob(f"{prefix}_*.ipynb"))


def run_notebook(path, dataset, environment):
    """Run a notebook on another dataset, and return its cells. Raises when a cell does."""
    notebook = nbformat.read(path, as_version=4)
    n_changed = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            line = f'DATASET = "{dataset}"'
            cell.source, n = re.subn(r'^DATASET = "\w+"', line, cell.source, flags=re.MULTILINE)
            n_changed += n
    assert n_changed == 1, "one line of the notebook says which dataset it uses"
    make_client(notebook, path.parent).execute(env=os.environ | environment)
    return notebook.cells
