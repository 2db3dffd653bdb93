"""Every check of the notebook contract can fail: one fault in a good notebook is found."""

import copy

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_checks import METADATA, find_problems
from notebook_course import PLACEHOLDER

from clipnb.runtime import ROOT

REPORTS = [ROOT / "README.md", *(ROOT / name / "README.md" for name in ("results", "data"))]
IMAGE = "![a plan](plan.png)"
ALT = "A line that rises and then stays where it is."
SOLUTION = "<details>\n<summary>Solution</summary>\n\n```python\ny = 3\n```\n</details>"
# The places of some cells in the good notebook.
BOX = 1
PLOT_CELL = 2
PRINT_CELL = 3
CELL_BEFORE_LAST_X = 6
PREDICTION = 8
ANSWER = 9
DEEPER_HEADING = 10
DEEPER_CELL = 11
FIRST_EXERCISE = 15
FIRST_STUB = 16


@pytest.fixture
def notebook():
    """A small notebook that keeps the contract, for faults to be put into."""
    figure = {"image/png": "aGk=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    shown = new_output("display_data", figure)
    printed = new_output("stream", name="stdout", text="0.333\n")
    hidden = new_output("stream", name="stdout", text="The third digit\n3\n")
    box = "> **Goal** one · **You need** two · **Time** · about 1 min to read · **Data** scenes"
    cells = [
        new_markdown_cell("# A title"),
        new_markdown_cell(f"{box}\n\n{IMAGE}"),
        new_code_cell("ax = draw()\nplt.show()", outputs=[shown], metadata={"alt": ALT}),
        new_code_cell("print('a third:\\n', 1 / 3)", outputs=[printed]),
        new_code_cell("x = 0"),
        new_code_cell("x = 1"),
        new_code_cell("x = 2"),
        new_code_cell("x = 3"),
        new_markdown_cell("**Predict first.** What is x?"),
        new_code_cell("print(x)", outputs=[hidden], metadata={"jupyter": {"outputs_hidden": True}}),
        new_markdown_cell("## Deeper: why", metadata={"jp-MarkdownHeadingCollapsed": True}),
        new_code_cell("z = 3"),
        new_markdown_cell("## Checks"),
        new_code_cell("assert x == 3"),
        new_markdown_cell("## Exercises"),
    ]
    for number, minutes in enumerate(["two", "two", "ten"], 1):
        title = f"### Exercise {number} ★ · {minutes} minutes: three"
        cells.append(new_markdown_cell(f"{title}\n\n{SOLUTION}"))
        cells.append(new_code_cell("y = ...\n\n\ncheck(three, y)"))
    cells.append(new_markdown_cell("## Summary\n\n## References\n\n[next](02_b.ipynb)"))
    code = [cell for cell in cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, 1):
        cell.execution_count = number
    return new_notebook(cells=cells, metadata=copy.deepcopy(METADATA))


@pytest.fixture
def folder(tmp_path):
    """A folder with what the good notebook links to."""
    for name in ("plan.png", "01_a.ipynb", "02_b.ipynb"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def check(notebook, folder):
    """A function that asserts that the notebook has one problem, and that words describe it."""

    def check_problem(words):
        found = find_problems(notebook, folder, "01_a.ipynb")
        assert len(found) == 1, found
        assert words in found[0]

    return check_problem


def test_the_good_notebook_has_no_problem(notebook, folder):
    assert find_problems(notebook, folder, "01_a.ipynb") == []


# ---- the file --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [None, 9])
def test_a_wrong_execution_count_is_found(notebook, check, count):
    notebook.cells[PLOT_CELL].execution_count = count
    check("not executed")


def test_widget_state_is_found(notebook, check):
    notebook.metadata.widgets = {}
    check("widget state")


def test_another_version_in_the_metadata_is_found(notebook, check):
    notebook.metadata.language_info.version = "3.12.1"
    check("metadata")


def test_a_kernel_of_another_name_is_found(notebook, check):
    notebook.metadata.kernelspec.name = "my_kernel"
    check("metadata")


def test_two_cells_with_the_same_id_are_found(notebook, check):
    notebook.cells[PRINT_CELL].id = notebook.cells[PLOT_CELL].id
    check("ids")


def test_a_huge_notebook_is_found(notebook, check):
    huge = new_output("display_data", {"text/plain": "x" * 2_000_000})
    notebook.cells[PRINT_CELL].outputs = [huge]
    check("larger than")


# ---- tags ------------------------------------------------------------------------------------


def test_the_tag_nbval_skip_is_found(notebook, check):
    notebook.cells[PRINT_CELL].metadata.tags = ["nbval-skip"]
    check("nbval-skip")


def test_an_ignored_output_without_an_assert_is_found(notebook, check):
    notebook.cells[PRINT_CELL].metadata.tags = ["nbval-ignore-output"]
    check("must assert")


def test_too_many_ignored_outputs_are_found(notebook, check):
    for place in (PRINT_CELL, CELL_BEFORE_LAST_X - 1, CELL_BEFORE_LAST_X):
        notebook.cells[place].metadata.tags = ["nbval-ignore-output"]
        notebook.cells[place + 1].source = "assert 1"
    check("one in six")


# ---- code cells ------------------------------------------------------------------------------

SOURCES = {
    "a comment for nbval": ("# NBVAL_IGNORE_OUTPUT\nprint(1)", "nbval-skip or a comment for nbval"),
    "a long cell": ("x = 1\n" * 26, "26 lines"),
    "a path": ("open('/home/reader/photos')", "path of somebody"),
    "a semicolon": ("f(3);", "ends in `;`"),
    "a magic": ("%%time\nf()", "not plain Python"),
    "Output": ("with widgets.Output():\n    pass", "uses Output"),
    "interact": ("interact(f, x=3)", "uses interact"),
    "interact as a decorator": ("@interact\ndef f(x): pass", "uses interact"),
    "clear_output": ("clear_output(wait=True)", "uses clear_output"),
    "display_id": ("display(x, display_id='a')", "uses display_id"),
    "another dataset": ("DATASET = 'flickr8k'", "Committed notebooks run on the scenes"),
    "drift": ("def clip_loss(a, b, scale):\n    return 0", "clip_loss differs from clipnb.losses"),
}


@pytest.mark.parametrize("source, words", SOURCES.values(), ids=SOURCES)
def test_a_fault_in_the_source_of_a_cell_is_found(notebook, check, source, words):
    notebook.cells[PRINT_CELL].source = source
    check(words)


PLOT_SOURCES = {
    "no show": ("draw()", "plt.show()"),
    "photos": (
        "show(clipnb.load_dataset('flickr8k', split='test'))\nplt.show()",
        "may not be passed on",
    ),
    "photos by keyword": (
        "show(load_dataset(split='test', name='flickr8k'))\nplt.show()",
        "may not be passed on",
    ),
}


@pytest.mark.parametrize("source, words", PLOT_SOURCES.values(), ids=PLOT_SOURCES)
def test_a_fault_in_the_source_of_a_plot_is_found(notebook, check, source, words):
    notebook.cells[PLOT_CELL].source = source
    check(words)


def test_an_error_is_found(notebook, check):
    error = new_output("error", ename="ValueError", evalue="no", traceback=[])
    notebook.cells[PRINT_CELL].outputs = [error]
    check("holds an error")


def test_an_error_that_is_expected_is_no_problem(notebook, folder):
    error = new_output("error", ename="ValueError", evalue="no", traceback=[])
    notebook.cells[PRINT_CELL].outputs = [error]
    notebook.cells[PRINT_CELL].metadata.tags = ["raises-exception"]
    assert find_problems(notebook, folder, "01_a.ipynb") == []


def test_a_warning_is_found(notebook, check):
    notebook.cells[PRINT_CELL].outputs = [new_output("stream", name="stderr", text="careful")]
    check("stderr")


@pytest.mark.parametrize(
    "text", ["saved C:\\Users\\me\\run", "lib/site-packages/torch/nn.py:3"], ids=["path", "warning"]
)
def test_a_path_in_an_output_is_found(notebook, check, text):
    notebook.cells[PRINT_CELL].outputs = [new_output("stream", name="stdout", text=text)]
    check("path of somebody")


@pytest.mark.parametrize(
    "text", ["[<matplotlib.lines.Line2D at 0x7f1234567890>]", "Text(0.5, 1.0, 'Loss')"]
)
def test_the_repr_of_an_object_is_found(notebook, check, text):
    notebook.cells[PRINT_CELL].outputs = [new_output("execute_result", {"text/plain": text})]
    check("repr")


# ---- Markdown --------------------------------------------------------------------------------

# What is replaced in all cells, by what, and the words that describe the problem.
REPLACEMENTS = {
    "no title": ("# A title", "## A title", "title"),
    "no goal": ("Goal", "Aim", "'Goal'"),
    "no time": ("Time", "When", "`Time · about N min to read`"),
    "a dishonest time": ("about 1 min", "about 30 min", "30 min of reading"),
    "no image": (IMAGE, "", "no image of where we are"),
    "no summary": ("## Summary", "", "headings"),
    "a foot out of order": ("## Checks", "## References", "headings"),
    "no asserts": ("assert x == 3", "x == 3", "no cell of asserts"),
    "a dead link": ("## Summary", "## Summary\n[there](../clipnb/gone.py)", "leads nowhere"),
    "a dead image": ("plan.png", "gone.png", "leads nowhere"),
    "no alt text": ("![a plan]", "![]", "alt text"),
    "no alt text in HTML": (IMAGE, '<img src="plan.png">', "alt text"),
    "no link to the next": ("[next](02_b.ipynb)", "", "neighbour 02_b.ipynb"),
}


@pytest.mark.parametrize("old, new, words", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_a_fault_in_the_markdown_is_found(notebook, check, old, new, words):
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new)
    check(words)


def test_text_in_code_that_looks_like_a_link_is_no_problem(notebook, folder):
    notebook.cells[1].source += "\n\n`[a](b)` and\n\n```\n![](c)\n```\n"
    assert find_problems(notebook, folder, "01_a.ipynb") == []


# ---- the course's own rules ------------------------------------------------------------------


def test_a_long_main_line_is_found(notebook, check):
    notebook.cells[BOX + 1 : BOX + 1] = [new_markdown_cell("word") for _ in range(60)]
    check("At most 60")


def test_deeper_cells_do_not_count(notebook, folder):
    many = [new_markdown_cell("word") for _ in range(60)]
    notebook.cells[DEEPER_CELL + 1 : DEEPER_CELL + 1] = many
    assert find_problems(notebook, folder, "01_a.ipynb") == []


def test_a_deeper_section_that_is_not_folded_is_found(notebook, check):
    del notebook.cells[DEEPER_HEADING].metadata["jp-MarkdownHeadingCollapsed"]
    check("Deeper")


def test_a_folded_heading_of_the_main_line_is_found(notebook, check):
    notebook.cells[PREDICTION].metadata["jp-MarkdownHeadingCollapsed"] = True
    check("Deeper")


def test_a_name_from_a_deeper_section_is_found(notebook, check):
    notebook.cells[PRINT_CELL].source = "print(z)"
    check("only Deeper sections define: z")


def test_an_answer_in_sight_is_found(notebook, check):
    notebook.cells[ANSWER].metadata.clear()
    check("answer to a prediction is in sight")


def test_a_hidden_output_without_a_question_is_found(notebook, check):
    notebook.cells[PREDICTION].source = "What is x?"
    check("without a prediction")


def test_a_cell_that_goes_on_with_an_answer_may_be_hidden(notebook, folder):
    second = copy.deepcopy(notebook.cells[ANSWER])
    second.id = "goes-on"
    notebook.cells.insert(ANSWER + 1, second)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, 1):
        cell.execution_count = number
    assert find_problems(notebook, folder, "01_a.ipynb") == []


def test_a_preview_that_tells_the_answer_is_found(notebook, check):
    notebook.cells[ANSWER].outputs[0].text = "3\n"
    check("preview of a hidden output")


def test_a_placeholder_is_found(notebook, check):
    notebook.cells[PREDICTION].source += " It has MILLIONS of digits."
    check("placeholder 'MILLIONS'")


def test_a_prediction_without_an_answer_is_found(notebook, check):
    notebook.cells[-1].source += "\n\n**Predict first.** What comes next?"
    check("no cell that answers it")


def test_a_figure_without_alt_text_is_found(notebook, check):
    notebook.cells[PLOT_CELL].metadata.clear()
    check("no alt text")


EXERCISE_FAULTS = {
    "no difficulty": (" ★", "", "instead of"),
    "no solution": ("<summary>Solution</summary>", "", "no solution"),
}


@pytest.mark.parametrize("old, new, words", EXERCISE_FAULTS.values(), ids=EXERCISE_FAULTS)
def test_a_fault_in_an_exercise_is_found(notebook, check, old, new, words):
    cell = notebook.cells[FIRST_EXERCISE]
    cell.source = cell.source.replace(old, new)
    check(words)


def test_an_exercise_that_checks_nothing_is_found(notebook, check):
    notebook.cells[FIRST_STUB].source = "y = ..."
    check("ends in `check(...)`")


def test_too_few_short_exercises_are_found(notebook, check):
    cell = notebook.cells[FIRST_EXERCISE]
    cell.source = cell.source.replace("two minutes", "five minutes")
    check("1 of two minutes")


# ---- placeholders in reports -----------------------------------------------------------------


def test_placeholders_are_told_from_ordinary_words():
    for text in ("1 row in LATER", "at MILLIONS million", "TODO: say why", "XXX points", "@@ %"):
        assert PLACEHOLDER.search(text), text
    assert not PLACEHOLDER.search("Later there are millions of README files in MAX_LINES.")


@pytest.mark.parametrize("report", REPORTS, ids=[path.parent.name for path in REPORTS])
def test_no_report_holds_a_placeholder(report):
    assert PLACEHOLDER.findall(report.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("folder", ["claims", "first_sitting", "protocols"])
def test_no_record_holds_a_placeholder(folder):
    for path in (ROOT / "results" / folder).glob("*.json"):
        assert PLACEHOLDER.findall(path.read_text(encoding="utf-8")) == [], path.name
