"""An image of the reader's own as a query: uploaded, dropped or pasted.

It goes from the browser to the kernel and no further.
"""

import html
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import ipywidgets
from PIL import Image

from clipnb.datasets.photos import UnreadableImageError, read_photo
from clipnb.search.query import shorten
from clipnb.tokenizer import check_text

MOST_BYTES = 20_000_000
LONGER_SIDE = 1024  # pixels that are kept
SHORTER_SIDE = 448  # kept of a long image: the largest published CLIP takes that many
MOST_KEPT = 16 * SHORTER_SIDE  # of the longer side, however long
ACCEPTED = "image/*,.heic,.heif"


def read_own_image(name: str, data: bytes | None) -> Image.Image:
    """Read an image of any format as RGB, upright, with at most 1024 pixels on its longer side.

    A long image keeps more, up to 7168, so that its shorter side has the 448 that a model may crop.
    data: None if the browser has not sent it because of its size. Raises ValueError, in one
    sentence, for what cannot be read or is too large, and TypeError for what are no bytes.
    """
    shown = f"“{shorten(check_text(name, 'the name of an image'), 60)}”"
    if not isinstance(data, bytes | None):
        raise TypeError(f"{shown} comes as bytes, not as {type(data).__name__}.")
    if data is None or len(data) > MOST_BYTES:
        raise ValueError(f"{shown} is larger than {MOST_BYTES // 1_000_000} MB.")
    try:
        image = read_photo(io.BytesIO(data), LONGER_SIDE).image
    except (OSError, UnreadableImageError) as error:
        raise ValueError(f"{shown} cannot be searched by: {error}.") from None
    shape = max(image.size) / min(image.size)
    longer = min(max(LONGER_SIDE, round(SHORTER_SIDE * shape)), MOST_KEPT)
    image.thumbnail((longer, longer))
    return image


class OwnImage(ipywidgets.Box):
    """A button that uploads an image, and where anywidget is installed a place to drop one.

    take: called with a name and the image. refuse: called with a sentence, as HTML, about a file
    that is no image.
    """

    def __init__(
        self,
        take: Callable[[str, Image.Image], None],
        refuse: Callable[[str], None],
    ):
        super().__init__()
        self.take = take
        self.refuse = refuse
        self.upload = ipywidgets.FileUpload(
            accept=ACCEPTED, description="Your own image", layout={"width": "auto"}
        )
        self.upload.observe(self._take_upload, "value")
        self.children = [self.upload]
        if importlib.util.find_spec("anywidget"):
            drop = make_drop_area()
            drop.on_msg(self._take_message)
            self.children = [self.upload, drop]
        self.add_class("clipnb-own")

    def _take_upload(self, change: dict) -> None:
        if change["new"]:
            file = change["new"][0]
            self.upload.value = ()  # the same file may be chosen again
            self.receive(file["name"], bytes(file["content"]))

    def _take_message(self, widget: ipywidgets.Widget, content: dict, buffers: list) -> None:
        data = bytes(buffers[0]) if buffers else None
        self.receive(str(content.get("name", "the image")), data)

    def receive(self, name: str, data: bytes | None) -> None:
        """Read a file that has come from the browser, and search by it if it is an image."""
        try:
            image = read_own_image(name, data)
        except ValueError as error:
            self.refuse(f"{html.escape(str(error))} Choose another image.")
            return
        self.take(Path(name).name, image)


def make_drop_area() -> ipywidgets.DOMWidget:
    """Make the widget that takes what is dropped or pasted anywhere on the search widget."""
    import anywidget
    import traitlets

    class DropArea(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("own_image.js")
        accepted = traitlets.Unicode(ACCEPTED).tag(sync=True)

    area = DropArea()
    area.add_class("clipnb-drop")
    return area
