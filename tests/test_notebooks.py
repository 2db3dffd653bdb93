"""Every notebook keeps the contract, every check of the contract can fail, and `make notebooks` does what it says."""

import ast
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_checks import ROOT, definitions, drift_problems, package_definitions, problems

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_contract(path):
    faults = problems(nbformat.read(path, as_version=4), path.parent, path.name)
    assert not faults, "\n".join([path.name, *faults])


def test_every_notebook_has_a_number_of_its_own_and_a_row_in_the_readme():
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert all(number.isdigit() for number in numbers) and len(set(numbers)) == len(numbers)
    rows = re.findall(
        r"^\| \[(\d\d) .*?\]\(notebooks/(.+?)\)",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.M,
    )
    assert rows == [(number, path.name) for number, path in zip(numbers, NOTEBOOKS)]


# ---- the checks can fail ---------------------------------------------------------------------------------------------

IMAGE = "![a plan](plan.png)"


def good_notebook():
    """A small notebook that keeps the contract, for faults to be put into."""
    shown = new_output(
        "display_data", {"image/png": "aGk=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    )
    cells = [
        new_markdown_cell("# A title"),
        new_markdown_cell(
            f"> **Goal** one · **You need** two · **Time** 1 min · **Data** scenes\n\n{IMAGE}"
        ),
        new_code_cell("ax = draw()\nplt.show()", outputs=[shown]),
        new_code_cell(
            "print('a third:\\n', 1 / 3)",
            outputs=[new_output("stream", name="stdout", text="0.333\n")],
        ),
        *(new_code_cell(f"x = {i}") for i in range(4)),
        new_markdown_cell("## Checks"),
        new_code_cell("assert x == 3"),
        new_markdown_cell(
            "## Exercises\n" + 3 * "<details><summary>Solution</summary>yes</details>\n"
        ),
        new_markdown_cell("## Summary\n\n## References\n\n[next](02_b.ipynb)"),
    ]
    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
    return new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3"},
            "language_info": {"name": "python"},
        },
    )


def source(text, cell=3):
    def put(notebook):
        notebook.cells[cell].source = text

    return put


def output(*args, cell=3, **kwargs):
    def put(notebook):
        notebook.cells[cell].outputs = [new_output(*args, **kwargs)]

    return put


def tag(name, *cells):
    def put(notebook):
        for cell in cells:
            notebook.cells[cell].metadata.tags = [name]

    return put


def replace(old, new):
    def put(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)

    return put


def both(*faults):
    return lambda notebook: [fault(notebook) for fault in faults]


FAULTS = {
    "count missing": (lambda n: n.cells[2].update(execution_count=None), "not executed"),
    "counts out of order": (lambda n: n.cells[2].update(execution_count=9), "not executed"),
    "error": (output("error", ename="ValueError", evalue="no", traceback=[]), "holds an error"),
    "widget state": (lambda n: n.metadata.update(widgets={}), "widget state"),
    "machine's metadata": (lambda n: n.metadata.language_info.update(version="3.12.1"), "metadata"),
    "twin ids": (lambda n: n.cells[3].update(id=n.cells[2].id), "ids"),
    "huge": (output("display_data", {"text/plain": "x" * 2_000_000}), "larger than"),
    "skip": (tag("nbval-skip", 3), "nbval-skip"),
    "nbval comment": (source("# NBVAL_IGNORE_OUTPUT\nprint(1)"), "NBVAL"),
    "long cell": (source("x = 1\n" * 26), "26 lines"),
    "path in source": (source("open('/home/reader/photos')"), "path of somebody"),
    "path in output": (
        output("stream", name="stdout", text="saved C:\\Users\\me\\run"),
        "path of somebody",
    ),
    "path in warning": (
        output("stream", name="stdout", text="lib/site-packages/torch/nn.py:3"),
        "path of somebody",
    ),
    "address": (
        output("execute_result", {"text/plain": "[<matplotlib.lines.Line2D at 0x7f1234567890>]"}),
        "repr",
    ),
    "plot's value": (output("execute_result", {"text/plain": "Text(0.5, 1.0, 'Loss')"}), "repr"),
    "stderr": (output("stream", name="stderr", text="careful"), "stderr"),
    "no show": (source("draw()", cell=2), "plt.show()"),
    "semicolon": (source("f(3);"), "ends in `;`"),
    "magic": (source("%%time\nf()"), "not plain Python"),
    "Output": (source("with widgets.Output():\n    pass"), "uses Output"),
    "interact": (source("interact(f, x=3)"), "uses interact"),
    "interact as decorator": (source("@interact\ndef f(x): pass"), "uses interact"),
    "clear_output": (source("clear_output(wait=True)"), "uses clear_output"),
    "display_id": (source("display(x, display_id='a')"), "uses display_id"),
    "set to flickr8k": (source("DATASET = 'flickr8k'"), "committed notebooks run on the scenes"),
    "photos": (
        source("show(clipnb.load_dataset('flickr8k', split='test'))\nplt.show()", cell=2),
        "may not be passed on",
    ),
    "too many ignored": (
        both(
            tag("nbval-ignore-output", 3, 6),
            replace("x = 0", "assert 1"),
            replace("x = 3", "assert 1"),
        ),
        "one in six",
    ),
    "ignored without assert": (tag("nbval-ignore-output", 3), "must assert"),
    "no title": (source("## A title", cell=0), "title"),
    "no Goal": (replace("Goal", "Aim"), "'Goal'"),
    "no Time": (replace("Time", "When"), "'Time'"),
    "no image": (replace(IMAGE, ""), "no image of where we are"),
    "no Summary": (replace("## Summary", ""), "headings"),
    "foot out of order": (replace("## Checks", "## References"), "headings"),
    "no asserts": (replace("assert x == 3", "x == 3"), "no cell of asserts"),
    "solution missing": (
        replace("<details><summary>Solution</summary>yes</details>\n", "yes\n"),
        "<details>",
    ),
    "dead link": (replace("## Summary", "## Summary\n[there](../clipnb/gone.py)"), "leads nowhere"),
    "dead image": (replace("plan.png", "gone.png"), "leads nowhere"),
    "no alt text": (replace("![a plan]", "![]"), "alt text"),
    "no alt in img": (replace(IMAGE, '<img src="plan.png">'), "alt text"),
    "no next": (replace("[next](02_b.ipynb)", ""), "neighbour 02_b.ipynb"),
    "drifted": (source("def clip_loss(a, b, scale):\n    return 0"), "clip_loss has drifted"),
}


@pytest.fixture
def course(tmp_path):
    """A folder with what the good notebook links to."""
    for name in ("plan.png", "01_a.ipynb", "02_b.ipynb"):
        (tmp_path / name).touch()
    return tmp_path


def test_the_good_notebook_is_good(course):
    assert problems(good_notebook(), course, "01_a.ipynb") == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, course):
    put, words = FAULTS[fault]
    notebook = good_notebook()
    put(notebook)
    found = problems(notebook, course, "01_a.ipynb")
    assert len(found) == 1 and words in found[0], found


# ---- drift -----------------------------------------------------------------------------------------------------------

TWIN = '''
class Tower(nn.Module):
    """A tower."""
    def __init__(self, width: int = 4):
        self.width: int = width
    def forward(self, x):
        return x * self.width
    def save(self): ...
'''


@pytest.mark.parametrize(
    "change, parts",
    [
        (lambda s: s, None),
        (
            lambda s: (
                s.replace('"""A tower."""', "")
                .replace(": int", "")
                .replace("return", "# why\n        return")
            ),
            None,
        ),
        (lambda s: s.replace("    def save(self): ...\n", ""), None),
        (lambda s: s.replace("Tower", "MyTower"), None),
        (lambda s: s.replace("x *", "x +"), "forward"),
        (lambda s: s.replace("= 4", "= 5"), "__init__"),
        (lambda s: s.replace("nn.Module", "object"), ""),
        (
            lambda s: s.replace("    def forward(self, x):\n        return x * self.width\n", ""),
            "forward",
        ),
    ],
    ids=[
        "equal",
        "docstring, annotations, comments",
        "fewer methods",
        "another name",
        "body",
        "default",
        "base",
        "no forward",
    ],
)
def test_drift(change, parts):
    package = {name: [("encoders", twin)] for name, twin in definitions(ast.parse(TWIN)).items()}
    found = list(drift_problems([ast.parse(change(TWIN))], package))
    assert (
        found == [] if parts is None else len(found) == 1 and f"(in {parts})" in found[0] + "(in )"
    )


def test_the_package_has_definitions_to_compare_with():
    assert {"clip_loss", "CLIP", "replace_when_done"} <= set(package_definitions())


# ---- make notebooks --------------------------------------------------------------------------------------------------


def execute(path, *cells):
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, ROOT / "notebooks" / "execute.py", path], capture_output=True, text=True
    )
    return done, before


def test_execute_writes_outputs_in_order_and_no_machine(tmp_path):
    path = tmp_path / "some.ipynb"
    done, _ = execute(
        path,
        "import os, ipywidgets\nipywidgets.IntSlider()",
        "from clipnb.runtime import progress\n_ = list(progress([1]))",
        "import matplotlib.pyplot as plt\n_, ax = plt.subplots()\nplt.show()",
        "print(os.listdir())",
    )
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4]
    assert notebook.metadata == {
        "kernelspec": notebook.metadata.kernelspec,
        "language_info": {"name": "python"},
    }
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert notebook.cells[1].outputs == []  # the bar is silent
    assert "image/png" in notebook.cells[2].outputs[0].data
    assert notebook.cells[3].outputs[0].text == "['some.ipynb']\n"  # runs in its own folder
    assert [path] == list(tmp_path.iterdir())


def test_execute_leaves_a_failing_notebook_alone(tmp_path):
    path = tmp_path / "some.ipynb"
    done, before = execute(path, "print('fine')", "1 / 0")
    assert done.returncode == 1
    assert (
        "ZeroDivisionError" in done.stderr
        and "some.ipynb failed" in done.stderr
        and "Traceback (most recent call last):\n  File" not in done.stderr
    )
    assert path.read_bytes() == before
