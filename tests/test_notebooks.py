"""Every notebook keeps the contract, and the README lists every notebook."""

import re

import nbformat
import pytest
from notebook_checks import ROOT, find_problems

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_keeps_the_contract(path):
    notebook = nbformat.read(path, as_version=4)
    found = find_problems(notebook, path.parent, path.name)
    assert not found, "\n".join([path.name, *found])


def test_every_notebook_has_a_number_of_its_own():
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert all(number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_every_notebook_has_a_row_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d\d) .*?\]\(notebooks/(.+?)\)", readme, re.MULTILINE)
    assert rows == [(path.name[:2], path.name) for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_the_readme_tells_the_reading_time_of_a_notebook(path):
    head = "".join(cell.source for cell in nbformat.read(path, as_version=4).cells[:2])
    minutes = re.search(r"\bTime\b.*?(\d+) min to read", head)[1]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^.*\(notebooks/{path.name}\).*$", readme, re.MULTILINE)[0]
    assert row.split("|")[3].split()[:2] == [minutes, "min"]


def test_the_readme_is_short_enough_to_read():
    words = (ROOT / "README.md").read_text(encoding="utf-8").split()
    assert len(words) < 1500
