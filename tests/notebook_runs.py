"""Run a notebook of the course on another dataset than the one it names."""

import os
import re

import nbformat
from execute import make_client

from clipnb.runtime import ROOT


def find_notebook(prefix):
    return next((ROOT / "notebooks").glob(f"{prefix}_*.ipynb"))


def run_notebook(path, dataset, environment, changes):
    """Run a notebook on another dataset, and return its cells. Raises when a cell does.

    changes: pairs of a text that stands once in the code, and the text to run in its place.
    """
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    replace_once(code, r'^DATASET = "\w+"', f'DATASET = "{dataset}"')
    for old, new in changes:
        replace_once(code, re.escape(old), new)
    make_client(notebook, path.parent).execute(env=os.environ | environment)
    return notebook.cells


def replace_once(cells, pattern, text):
    n_replaced = 0
    for cell in cells:
        cell.source, n = re.subn(pattern, text, cell.source, flags=re.MULTILINE)
        n_replaced += n
    assert n_replaced == 1, f"{pattern} stands once in the notebook"
