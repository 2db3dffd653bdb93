"""A reader's visit, for real: notebooks run in JupyterLab, in a browser.

Answers are hidden until they are asked for, opening a notebook changes nothing on disk, a query and
a click change the images, and nobody is shut out: axe-core looks for barriers, in a light and a
dark theme, and nothing has to be scrolled sideways.
"""

import json
import platform

import nbformat
import pytest
from browser_parts import (
    FIND_BARRIERS,
    FIND_SIDEWAYS,
    NOT_OURS,
    check_no_errors,
    use_theme,
    wait_for_other_hits,
)
from lab import (
    ERRORS,
    MINUTES,
    choose,
    close_notebook,
    open_notebook,
    run_all_cells,
    start_lab,
    wait_until_run,
)

from clipnb.runtime import ROOT

SEARCH = "05_retrieval_demo"
PREDICTIONS = "14_replication_report"  # many hidden answers, and no cell that trains
FOR_EVERYONE = ["00_see_it_work", "05_retrieval_demo", "06_zero_shot_and_prompts"]
OURS = [
    ".jp-Notebook .jp-RenderedMarkdown",
    ".jp-Notebook .jp-OutputArea-output",
]


# ---- JupyterLab and its pages ----------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """A JupyterLab of its own, on a copy of the course."""
    with start_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def visit(browser, lab):
    """A function that opens a notebook of the copy. At the end its kernel is stopped."""
    pages = []

    def open_it(name, **size):
        if not lab.notebook(name).exists():
            pytest.skip(f"there is no {name}")
        pages.append(open_notebook(browser, lab, name, **size))
        return pages[-1]

    yield open_it
    for page in pages:
        close_notebook(page)


# ---- the search box --------------------------------------------------------------------------


@pytest.fixture
def search(lab):
    """Notebook 05 up to its search box. nbval runs all of its cells."""
    notebook = nbformat.read(lab.notebook(SEARCH), as_version=4)
    sources = [cell.source for cell in notebook.cells]
    last = next(i for i, source in enumerate(sources) if source.startswith("RetrievalWidget("))
    del notebook.cells[last + 1 :]
    nbformat.write(notebook, lab.notebook("search"))


def type_query(page, widget, query, before):
    """Type a query. Returns the hits once they have changed."""
    widget.locator(".clipnb-query input").fill(query)
    widget.locator(".clipnb-status", has_text=query).wait_for(timeout=MINUTES)
    return wait_for_other_hits(page, before)


@pytest.mark.usefixtures("search")
def test_a_reader_searches_in_notebook_05(visit):
    page = visit("search")
    run_all_cells(page)
    # On a first run the scenes are drawn and the model is trained before there is a widget.
    page.locator(f".clipnb-retrieval, {ERRORS}").first.wait_for(timeout=10 * MINUTES)
    check_no_errors(page)
    widget = page.locator(".clipnb-retrieval").first
    widget.scroll_into_view_if_needed()

    cars = type_query(page, widget, "a red car on the street", [])
    boats = type_query(page, widget, "a boat on the sea at night", cars)
    assert len(set(boats)) > 1, "all hits show the same image"

    last = widget.locator(".clipnb-hit").last
    last.hover()
    caption = last.locator("p").get_attribute("title")
    last.get_by_role("button", name=f"More like “{caption}”").click()
    status = widget.get_by_role("status")
    status.locator("img").wait_for(timeout=MINUTES)  # the status comes last, after all hits
    similar = wait_for_other_hits(page, boats)
    assert len(set(similar)) > 1, "all hits show the same image"
    assert "a boat" not in status.inner_text().replace(caption, ""), "it still tells of the text"
    assert caption in status.inner_text()

    widget.get_by_role("button", name="Back").click()
    status.filter(has_text="a boat on the sea at night").wait_for(timeout=MINUTES)
    assert wait_for_other_hits(page, similar) == boats
    check_no_errors(page)

    n_cells = page.locator(".jp-Notebook .jp-Cell").count()
    last.locator(".clipnb-pick").focus()
    page.keyboard.press("b")  # inserts a cell wherever JupyterLab's shortcuts act
    assert widget.get_by_role("slider", name="images").count() == 1
    assert page.locator(".jp-Notebook .jp-Cell").count() == n_cells


# ---- hidden answers and folded sections ------------------------------------------------------


@pytest.fixture
def predictions(lab):
    """Notebook 14 as it is in the copy, with two more hidden answers and a folded section.

    None of its cells has a number, so that a number tells that a cell was run.
    """
    path = lab.notebook(PREDICTIONS)
    if not path.exists():
        pytest.skip(f"there is no {PREDICTIONS}")
    notebook = nbformat.read(path, as_version=4)
    heading = nbformat.v4.new_markdown_cell("## Deeper: is it folded?\n\nThis is seen.")
    heading.metadata["jp-MarkdownHeadingCollapsed"] = True
    folded = nbformat.v4.new_code_cell("print(1 + 1)")
    # JupyterLab goes to the last cell when it has run all, and would unfold it.
    notebook.cells += [heading, folded, nbformat.v4.new_markdown_cell("## The end")]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
    for cell in list(filter(prints, notebook.cells))[:2]:
        cell.metadata.update({"collapsed": True, "jupyter": {"outputs_hidden": True}})
    nbformat.write(notebook, path.with_name("predictions.ipynb"))
    return notebook


def prints(cell):
    return [output.output_type for output in cell.get("outputs", [])] == ["stream"]


def read_cells(page):
    """Return what a reader sees of each cell: prompt, and whether it or its output is hidden."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(cell => ({
          prompt: (cell.querySelector('.jp-InputPrompt') || {}).textContent,
          folded: cell.offsetHeight == 0,
          hidden: !!cell.querySelector('.jp-OutputPlaceholder'),
        }))"""
    )


def is_answer(cell):
    return cell.metadata.get("jupyter", {}).get("outputs_hidden", False)


def test_answers_are_hidden_until_they_are_asked_for(predictions, visit):
    page = visit("predictions")
    cells = read_cells(page)
    answers = [i for i, cell in enumerate(predictions.cells) if is_answer(cell)]
    assert [i for i, cell in enumerate(cells) if cell["hidden"]] == answers

    headings = [
        i
        for i, cell in enumerate(predictions.cells)
        if cell.metadata.get("jp-MarkdownHeadingCollapsed")
    ]
    for i in headings:
        assert not cells[i]["folded"], "the heading itself is seen"
        assert cells[i + 1]["folded"], "what it stands above is not"
    folded = [i for i, cell in enumerate(cells) if cell["folded"]]

    clicked = next(i for i in answers if i not in folded)
    cell = page.locator(".jp-Notebook .jp-Cell").nth(clicked)
    cell.locator(".jp-OutputPlaceholder").click()
    cell.locator(".jp-OutputArea-output").first.wait_for(timeout=MINUTES)
    assert [i for i, cell in enumerate(read_cells(page)) if cell["hidden"]] == [
        i for i in answers if i != clicked
    ]

    run_all_cells(page)
    wait_until_run(page)
    check_no_errors(page)
    cells = read_cells(page)
    assert not [i for i, cell in enumerate(cells) if cell["hidden"]], "running opens the answers"
    # "Run all" runs what is folded too, and leaves it folded.
    assert [i for i, cell in enumerate(cells) if cell["folded"]] == folded
    for cell, seen in zip(predictions.cells, cells, strict=True):
        if cell.cell_type == "code" and cell.source:
            assert seen["prompt"].strip("[]:").isdigit(), cell.source


# ---- opening changes nothing -----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("notebooks/[0-9]*.ipynb")))
def test_opening_and_saving_changes_no_byte(name, lab, visit):
    path = lab.notebook(name)
    committed = path.read_bytes()
    # JupyterLab writes the kernel's version of Python. On the one that the course was run with it
    # changes nothing, elsewhere this line.
    version = json.loads(committed)["metadata"].get("language_info", {}).get("version", "none")
    here = platform.python_version()
    before = committed.replace(f'"version": "{version}"'.encode(), f'"version": "{here}"'.encode())
    path.write_bytes(before)
    page = visit(name)
    assert not page.locator(".jp-mod-dirty").count(), "opening it has changed it"

    def is_saved(answer):
        return answer.request.method == "PUT" and path.name in answer.url

    with page.expect_response(is_saved, timeout=MINUTES):
        choose(page, "File", "docmanager:save")
    assert path.read_bytes() == before


# ---- for everyone ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOR_EVERYONE)
def test_nobody_is_shut_out(name, visit, axe):
    page = visit(name)
    run_all_cells(page)
    wait_until_run(page)
    check_no_errors(page)
    page.add_script_tag(path=axe)
    barriers = {}
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        use_theme(page, theme)
        barriers[theme] = page.evaluate(FIND_BARRIERS, [OURS, NOT_OURS])
    assert not any(barriers.values()), barriers

    page.keyboard.press("Control+b")  # takes the list of files away
    page.set_viewport_size({"width": 900, "height": 1000})
    page.wait_for_timeout(1000)
    assert page.evaluate(FIND_SIDEWAYS) == []
