"""Record the search box in use, for the README: `python figures/search.py` writes search.gif.

It needs a Chromium, as the browser test does, and says so where there is none. The `quick` recipe's
model is trained first if it is not there. JupyterLab runs in the background, a query is typed
letter by letter, an image is clicked, and each state of the widget becomes a frame.
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from animation import make_palette, use_palette
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))
from lab import find_chromium, launch, open_notebook, run_all_cells, start_lab  # noqa: E402

CODE = """
from clipnb import ImageIndex, RetrievalWidget, load_dataset, load_or_train

run = load_or_train("quick")
index = ImageIndex.build(run.model, run.tokenizer, load_dataset("scenes", "test"))
RetrievalWidget(index, k=6)
"""
QUERY = "white boats at night"
CLICKED = 3  # which hit is clicked
POINTER = [(0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12)]
LETTER, STEP, LOOK = 140, 60, 2200  # milliseconds: a letter, a step of the pointer, a result

Frame = tuple[Image.Image, int]  # how it looks, and for how many milliseconds


def record(widget: Any) -> Iterator[Frame]:
    """Use the widget on the page, and yield what it shows, frame by frame."""
    box = widget.locator(".clipnb-query input")
    status = widget.locator(".clipnb-status")
    yield take(widget), 900
    box.click()
    for n in range(1, len(QUERY) + 1):
        box.press_sequentially(QUERY[n - 1])
        status.filter(has_text=f"“{QUERY[:n].strip()}”").wait_for()
        yield take(widget), LETTER
    yield take(widget), LOOK

    card = widget.locator(".clipnb-hit").nth(CLICKED)
    corner, goal = widget.bounding_box(), card.bounding_box()
    end = np.array([goal["x"] - corner["x"] + 80, goal["y"] - corner["y"] + 80])
    start = end + [120, 140]
    for share in np.linspace(0, 1, 6):
        x, y = start + share * (end - start)
        widget.page.mouse.move(corner["x"] + x, corner["y"] + y)
        widget.page.wait_for_timeout(250)  # the button over the image appears slowly
        yield take(widget, (x, y)), STEP
    yield take(widget, (x, y)), 900
    card.locator(".clipnb-pick").click()
    status.locator("img").wait_for()
    widget.page.wait_for_timeout(250)
    yield take(widget, (x, y)), 500
    widget.page.mouse.move(5, 5)
    widget.page.wait_for_timeout(250)
    yield take(widget), 2 * LOOK


def take(widget: Any, pointer: tuple[float, float] | None = None) -> Image.Image:
    """Take a picture of the widget, once all its images are there, with a pointer on it."""
    widget.page.wait_for_function(
        "() => [...document.querySelectorAll('.clipnb-retrieval img')].every(i => i.complete)"
    )
    image = Image.open(io.BytesIO(widget.screenshot())).convert("RGB")
    if pointer is not None:
        corners = [(pointer[0] + x, pointer[1] + y) for x, y in POINTER]
        ImageDraw.Draw(image).polygon(corners, fill="white", outline="black")
    return image


def save_frames(frames: list[Frame], path: Path) -> None:
    """Write frames as a GIF that loops. All share one palette, so that only changes are stored.

    The last frame comes first too, for a moment: it is what a page shows that does not move.
    """
    frames = [(frames[-1][0], 100), *frames]
    images = [image for image, _ in frames]
    palette = make_palette([images[i] for i in np.linspace(0, len(images) - 1, 6).astype(int)])
    first, *others = [use_palette(image, palette) for image in images]
    durations = [milliseconds for _, milliseconds in frames]
    first.save(
        path, save_all=True, append_images=others, duration=durations, loop=0, optimize=False
    )


def main() -> None:
    """Record the search box."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = find_chromium(playwright)
        if chromium is None:
            sys.exit("search.gif is recorded in a Chromium, and there is none here.")
        with start_lab(Path(folder)) as lab:
            cells = [nbformat.v4.new_code_cell(CODE)]
            metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
            notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
            nbformat.write(notebook, lab.notebook("search"))
            page = open_notebook(launch(playwright, chromium), lab, "search", width=1350)
            run_all_cells(page)
            widget = page.locator(".clipnb-retrieval")
            widget.wait_for(timeout=600_000)  # milliseconds; the model may be trained first
            save_frames(list(record(widget)), Path(__file__).with_suffix(".gif"))


if __name__ == "__main__":
    main()
