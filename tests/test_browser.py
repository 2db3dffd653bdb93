"""A reader's visit, for real: notebooks run in JupyterLab, in a browser.

Answers are hidden until they are asked for, opening a notebook changes nothing on disk, a query and
a click change the images, and nobody is shut out: axe-core looks for barriers, in a light and a
dark theme, and nothing has to be scrolled sideways.
"""

import json
import platform

import nbformat
import pytest
from lab import (
    ERRORS,
    IDLE,
    MINUTES,
    choose,
    close_notebook,
    find_chromium,
    launch,
    open_notebook,
    run_all_cells,
    start_lab,
    wait_until_run,
)
from PIL import Image

from clipnb.runtime import ROOT

KERNEL = "Python 3 (ipykernel)"
READY = f":text('{IDLE}'), .jp-NotebookKernelStatus-fade"  # in JupyterLab, in Notebook
SEARCH = "05_retrieval_demo"
PREDICTIONS = "03_infonce_loss"
FOR_EVERYONE = ["00_see_it_work", "05_retrieval_demo", "06_zero_shot_and_prompts"]

# What is not ours: JupyterLab shows the figures of a notebook as images without a text, and has no
# way to give one. Our texts for them are in the cells' metadata, where `nbconvert` finds them.
NOT_OURS = [".jp-RenderedImage > img"]
OURS = [
    ".jp-Notebook .jp-RenderedMarkdown",
    ".jp-Notebook .jp-OutputArea-output",
]
FIND_BARRIERS = """
async ([include, exclude]) => {
  const context = {include: include.map(s => [s]), exclude: exclude.map(s => [s])};
  const result = await axe.run(context, {resultTypes: ['violations']});
  const serious = result.violations.filter(v => ['serious', 'critical'].includes(v.impact));
  return serious.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 200)}`));
}
"""
# Code is left out: a line of 100 columns scrolls within its own editor, as JupyterLab's readers
# know it, and View > Wrap Lines breaks it.
FIND_SIDEWAYS = """
() => [...document.querySelectorAll('.jp-Notebook, .jp-Notebook *')].filter(part =>
    part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0
    && ['auto', 'scroll'].includes(getComputedStyle(part).overflowX)
    && !part.closest('.cm-editor'))
  .map(part => `${part.className}: ${part.textContent.slice(0, 60)}`)
"""

# A function without arguments: the images of the hits as data URLs, as they are on the screen.
# An image that is not there yet is null.
READ_HITS = """
() => {
  const widget = document.querySelector('.clipnb-retrieval');
  const hits = [...widget.querySelectorAll('.clipnb-gallery .clipnb-hit')];
  return hits.map(hit => {
    const img = hit.querySelector('img');
    if (!img || !img.complete || !img.naturalWidth) return null;
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
    canvas.getContext('2d').drawImage(img, 0, 0);
    return canvas.toDataURL();
  });
}
"""
# Tells whether there are hits, all of them are on the screen, and they differ from `before`.
HITS_HAVE_CHANGED = f"""
before => {{
  const hits = ({READ_HITS})();
  return hits.length && !hits.includes(null) && hits.join() != before.join();
}}
"""


# ---- JupyterLab and its pages ----------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            pytest.skip(
                "no Chromium here: install one, run `playwright install chromium`, or set "
                "CHROMIUM_PATH"
            )
        browser = launch(playwright, path)
        yield browser
        browser.close()


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


def check_no_errors(page):
    errors = page.locator(ERRORS)
    assert not errors.count(), errors.first.inner_text()


# ---- the search box --------------------------------------------------------------------------


def wait_for_other_hits(page, before):
    """Return the hits, as data URLs, once they are complete and differ from `before`."""
    page.wait_for_function(HITS_HAVE_CHANGED, arg=before, timeout=MINUTES)
    return page.evaluate(READ_HITS)


def type_query(page, widget, query, before):
    """Type a query. Returns the hits once they have changed."""
    widget.locator(".clipnb-query input").fill(query)
    widget.locator(".clipnb-status", has_text=query).wait_for(timeout=MINUTES)
    return wait_for_other_hits(page, before)


def test_a_reader_searches_in_notebook_05(visit):
    page = visit(SEARCH)
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


# ---- all parts of the search widget ----------------------------------------------------------

EVERYTHING = """
import torch
from clipnb import RECIPES, ImageIndex, RetrievalWidget, create_model, load_dataset, train_tokenizer
dataset = load_dataset("scenes", "test").subset(range(120))
tokenizer = train_tokenizer([text for own in dataset.captions for text in own], vocab_size=600)
def build(seed):
    torch.manual_seed(seed)
    return ImageIndex.build(create_model(RECIPES["quick"]), tokenizer, dataset)
RetrievalWidget(build(0), "a red car", others={"another": build(1)})
"""
PASTE = """
input => {
  const canvas = new OffscreenCanvas(30, 20);
  canvas.getContext('2d').fillRect(0, 0, 30, 20);
  canvas.convertToBlob({type: 'image/png'}).then(blob => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([blob], 'pasted.png', {type: 'image/png'}));
    const options = {clipboardData, bubbles: true, cancelable: true};
    input.dispatchEvent(new ClipboardEvent('paste', options));
  });
}
"""


@pytest.fixture(scope="module", params=["jupyterlab", "notebook"])
def app(request, browser, tmp_path_factory):
    """JupyterLab, or the Notebook application where it is installed, with one notebook more."""
    pytest.importorskip(request.param)
    with start_lab(tmp_path_factory.mktemp(request.param), request.param) as lab:
        cell = nbformat.v4.new_code_cell(EVERYTHING)
        notebook = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("1 + 1")])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": KERNEL}
        nbformat.write(notebook, lab.notebook("everything"))
        lab.page = "lab/tree" if request.param == "jupyterlab" else "notebooks"
        yield lab


@pytest.fixture
def search(browser, app):
    """A page with the search widget and all its parts."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.goto(app.address(f"{app.page}/notebooks/everything.ipynb"), timeout=2 * MINUTES)
    page.locator(READY).first.wait_for(state="attached", timeout=2 * MINUTES)
    run_all_cells(page)
    page.locator(f".clipnb-hit img, {ERRORS}").first.wait_for(timeout=5 * MINUTES)
    check_no_errors(page)
    yield page
    close_notebook(page)


def wait_for_status(page, text):
    sync_api = pytest.importorskip("playwright.sync_api")
    status = page.locator(".clipnb-status").first
    sync_api.expect(status).to_contain_text(text, timeout=MINUTES)  # it tells what is there instead


def press(page, name):
    page.locator(".clipnb-retrieval").get_by_role("button", name=name, exact=True).first.click()


def press_on_card(page, number, name):
    card = page.locator(".clipnb-hit").nth(number)
    card.hover()
    card.get_by_role("button", name=name).click()


def test_every_part_of_the_search_widget_works(search, tmp_path):
    page = search
    n_cells = page.locator(".jp-Notebook .jp-Cell").count()
    box = page.locator(".clipnb-query input")
    box.fill("a red boat")
    wait_for_status(page, "“a red boat”")

    # By the keyboard alone: to the button "More", which unfolds the other parts.
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "More":
            break
    page.keyboard.press("Enter")
    page.locator(".clipnb-options").wait_for(state="visible", timeout=MINUTES)
    page.keyboard.press("b")

    (tmp_path / "<i>.png").write_bytes(b"no image")
    Image.new("RGB", (1500, 1500), "green").save(tmp_path / "own.png")
    for name, told in [("<i>.png", "cannot be searched by"), ("own.png", "“own.png”")]:
        with page.expect_file_chooser() as chooser:
            page.locator(".clipnb-own .widget-upload").click()
        chooser.value.set_files(tmp_path / name)
        wait_for_status(page, told)
    box.evaluate(PASTE)
    wait_for_status(page, "“pasted.png”")
    box.fill("- night")
    wait_for_status(page, "− “night”")
    press(page, "Without images")
    press_on_card(page, 1, "Subtract image 2")
    wait_for_status(page, "− “night” −")
    press(page, "Back")
    press(page, "Forward")
    wait_for_status(page, "− “night” −")

    before = page.evaluate(READ_HITS)
    press(page, "another")
    wait_for_other_hits(page, before)
    press(page, "softmax")
    page.locator(".clipnb-hit b", has_text="%").first.wait_for(timeout=MINUTES)
    press(page, "More images")
    page.locator(".clipnb-hit").nth(11).wait_for(timeout=MINUTES)

    press(page, "Without images")
    box.fill("a red boat")
    page.locator(".clipnb-status img").first.wait_for(state="detached", timeout=MINUTES)
    wait_for_status(page, "“a red boat”")
    press_on_card(page, 2, "Details of image 3")
    page.locator(".clipnb-shares th", has_text="boat").wait_for(timeout=MINUTES)
    press(page, "Show the region")
    page.locator(".clipnb-large img").nth(1).wait_for(timeout=MINUTES)
    page.keyboard.press("Escape")
    page.locator(".clipnb-details").wait_for(state="hidden", timeout=MINUTES)
    page.wait_for_function("document.activeElement.textContent == 'Details of image 3'")

    press(page, "Map")
    page.locator(".clipnb-map button[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("b")
    name = page.evaluate("document.activeElement.title")
    page.keyboard.press("Enter")
    wait_for_status(page, name)
    check_no_errors(page)
    assert page.locator(".jp-Notebook .jp-Cell").count() == n_cells, "a shortcut was fired"


def test_no_part_of_the_search_widget_shuts_anybody_out(search, axe):
    page = search
    press(page, "More")
    press(page, "Map")
    press_on_card(page, 0, "Add image 1")
    page.locator(".clipnb-map").wait_for(timeout=MINUTES)
    press_on_card(page, 0, "Details of image 1")
    page.locator(".clipnb-details").wait_for(state="visible", timeout=MINUTES)
    press(page, "Show the region")
    page.add_script_tag(path=axe)
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        use_theme(page, theme)
        assert page.evaluate(FIND_BARRIERS, [[".clipnb-retrieval"], NOT_OURS]) == [], theme
    page.set_viewport_size({"width": 900, "height": 1000})  # Notebook: 600 px for the widget
    page.wait_for_timeout(1000)
    assert page.evaluate(FIND_SIDEWAYS) == []


def test_fifty_quick_keystrokes_leave_the_last_querys_results(search):
    page = search
    page.locator(".clipnb-query input").fill("")
    wait_for_status(page, "Type a few words")
    query = "a red boat and two white dogs on the beach at noon"
    sent = []
    tools = page.context.new_cdp_session(page)
    tools.send("Network.enable")
    tools.on("Network.webSocketFrameSent", lambda frame: sent.append(frame))
    page.keyboard.type(query, delay=5)
    wait_for_status(page, f"“{query}”")
    hits = page.locator(".clipnb-gallery").inner_text()
    page.wait_for_timeout(1500)
    assert page.locator(".clipnb-gallery").inner_text() == hits, "an older answer came later"
    assert len(sent) < len(query), "each keystroke waits for the kernel's answer to the last one"


# ---- hidden answers and folded sections ------------------------------------------------------


@pytest.fixture
def predictions(lab):
    """Notebook 03 as it is in the copy, with two more hidden answers and a folded section.

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
    choose(page, "File", "docmanager:save")
    page.wait_for_timeout(1000)
    assert path.read_bytes() == before


# ---- for everyone ----------------------------------------------------------------------------


def use_theme(page, name):
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-item", has_text="Theme").first.hover()
    page.locator(".lm-Menu-item", has_text=name).first.click()
    page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached", timeout=MINUTES)
    page.wait_for_timeout(500)  # colours change slowly


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
