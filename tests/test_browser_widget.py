"""Every part of the search widget in a browser, in JupyterLab and in the Notebook application."""

import nbformat
import pytest
from browser_parts import (
    FIND_BARRIERS,
    FIND_SIDEWAYS,
    NOT_OURS,
    READ_HITS,
    check_no_errors,
    use_theme,
    wait_for_other_hits,
)
from lab import ERRORS, IDLE, MINUTES, close_notebook, run_all_cells, start_lab
from PIL import Image

KERNEL = "Python 3 (ipykernel)"
READY = f":text('{IDLE}'), .jp-NotebookKernelStatus-fade"  # in JupyterLab, in Notebook
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


def type_query(page, text, told):
    """Type into the box what replaces its text, and wait until the status tells it.

    Once, on a machine with too much to do, no letter reached the box, or the kernel never heard of
    them. So this does what a reader would do, and types again.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    box = page.locator(".clipnb-query input")
    box.fill(text)
    try:
        sync_api.expect(page.locator(".clipnb-status").first).to_contain_text(told, timeout=30_000)
    except AssertionError:
        box.fill("")
        box.fill(text)
    wait_for_status(page, told)
    sync_api.expect(box).to_have_value(text)


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
    type_query(page, "a red boat", "“a red boat”")

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
    type_query(page, "- night", "− “night”")
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
    page.locator(".clipnb-status img").first.wait_for(state="detached", timeout=MINUTES)
    type_query(page, "a red boat", "“a red boat”")
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
    type_query(page, "", "Type a few words")
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
