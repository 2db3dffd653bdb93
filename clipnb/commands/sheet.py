"""A contact sheet: the images that a search found, on a local HTML page."""

import base64
import contextlib
import html
import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipnb.commands.galleries import Gallery
    from clipnb.retrieval import Hit

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; }}
ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1.5rem;
  list-style: none; padding: 0; }}
img {{ display: block; width: 100%; height: 10rem; object-fit: contain; object-position: left; }}
small {{ overflow-wrap: anywhere; }}
</style>
<h1>{title}</h1>
<p>{note}</p>
<ol>
{items}
</ol>
</html>
"""
ITEM = """<li><a href="{address}"><img src="data:image/webp;base64,{data}" alt="{alt}"></a>
{score:.3f} {caption}<br><small>{path}</small></li>"""


def open_sheet(gallery: "Gallery", title: str, note: str, hits: list["Hit"]) -> None:
    """Write a page of the images found into the cache and show it in the browser.

    Without a display its path is printed alone. The next search replaces the page.
    """
    from clipnb.runtime import cache_dir, write_file

    items = []
    for hit in hits:
        with contextlib.suppress(OSError):  # of a file that has gone since it was indexed
            items.append(format_item(gallery, hit))
    page = PAGE.format(title=html.escape(title), note=html.escape(note), items="\n".join(items))
    path = cache_dir().resolve() / "search.html"
    write_file(path, page.encode("utf-8", "replace"))
    print(f"The page is {path}", file=sys.stderr)
    if has_display():
        webbrowser.open(path.as_uri())


def format_item(gallery: "Gallery", hit: "Hit") -> str:
    """Return the HTML of one image. Its name and its caption are data, so they are escaped.

    Raises OSError if its file is gone.
    """
    path = gallery.get_path(hit.image_id)
    return ITEM.format(
        address=html.escape(Path(path).absolute().as_uri()),
        data=base64.b64encode(gallery.index.thumbnail(hit.image_id)).decode(),
        alt=html.escape(hit.caption or hit.image_id),
        score=hit.score,
        caption=html.escape(hit.caption),
        path=html.escape(path),
    )


def has_display() -> bool:
    """Tell whether a browser window can open: a browser in the terminal would block it."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
