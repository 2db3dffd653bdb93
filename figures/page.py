"""Take a picture of a page made by `save_html`: `python figures/page.py` writes page.png.

It needs a Chromium, as the browser tests do, and says so where there is none. The `quick` recipe's
model is trained first if it is not there.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from clipnb import ImageIndex, load_bank, load_dataset, load_or_train

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))
from lab import find_chromium, launch  # noqa: E402

QUERY = "a red car on the street"
WIDTH, HEIGHT = 1000, 560  # pixels


def main() -> None:
    """Make a page of the scenes, search in it, and keep what it shows."""
    from playwright.sync_api import sync_playwright

    run = load_or_train("quick")
    dataset = load_dataset("scenes", "test", run.recipe.image_size)
    index = ImageIndex.build(run.model, run.tokenizer, dataset, load_bank(run))
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = find_chromium(playwright)
        if chromium is None:
            sys.exit("page.png is taken in a Chromium, and there is none here.")
        path = Path(folder) / "page.html"
        index.save_html(path, title="The scenes")
        browser = launch(playwright, chromium)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(path.as_uri())
        page.fill("#query", QUERY)
        page.wait_for_timeout(1000)  # milliseconds, until the images are drawn
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(128).save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
