"""The images that the search widget shows."""

from collections.abc import Callable

import ipywidgets
import numpy as np

from clipnb.retrieval import Hit, ImageIndex
from clipnb.search.thumbnails import encode_webp
from clipnb.widgets.cards import Card, Pictures
from clipnb.widgets.details import load_thumbnail
from clipnb.widgets.history import Part
from clipnb.widgets.images import format_image, format_webp

SMALL_SIZE = 36  # pixels a side of an image in the status


class Gallery(ipywidgets.Box):
    """Cards of images of an index. Cards are made once and filled anew.

    New cards for each letter that is typed would pile up in the browser. shown, act: as for
    `RetrievalWidget` and `Card`.
    """

    def __init__(
        self, index: ImageIndex, shown: np.ndarray | None, act: Callable[[str, int], None]
    ):
        super().__init__()
        self.index = index
        self.shown = shown
        self.act = act
        self.cards: list[Card] = []
        self.pictures = Pictures(self.format_picture)
        self.add_class("clipnb-gallery")

    def show(self, hits: list[Hit], shares: list[float | None], matched: bool | None) -> None:
        """Show hits in their order. matched: False greys them (see `ImageIndex.has_match`)."""
        for number in range(len(self.cards) + 1, len(hits) + 1):
            self.cards.append(Card(number, self.act))
        for card, hit, share in zip(self.cards, hits, shares, strict=False):
            card.show(hit, self.pictures.get(hit.image_id), share)
        cards = tuple(self.cards[: len(hits)])
        if self.children != cards:
            self.children = cards
        self.pictures.forget_old(len(hits))
        if matched is False:
            self.add_class("clipnb-unsure")
        else:
            self.remove_class("clipnb-unsure")

    def find_array(self, image_id: str) -> np.ndarray | None:
        """Return an image uint8 (3, S, S), if it is in memory."""
        images = self.index.images if self.shown is None else self.shown
        return None if images is None else images[self.index.row[image_id]]

    def format_picture(self, image_id: str, size: int | None = None) -> str:
        """Return the <img> tag of an image, drawn from where it looks best.

        Raises OSError if its file is gone.
        """
        options = {} if size is None else {"size": size}
        if self.shown is not None:
            return format_image(self.find_array(image_id), **options)
        return format_webp(load_thumbnail(self.index, image_id), **options)

    def format_part(self, part: Part) -> str:
        """Return an image of a query as a small <img> tag."""
        if part.image_id is not None:
            try:
                return self.format_picture(part.image_id, SMALL_SIZE)
            except OSError:
                return "an image"  # its file is gone, but its feature is in the index
        if hasattr(part.image, "convert"):  # an image of Pillow
            small = part.image.convert("RGB")
            small.thumbnail((2 * SMALL_SIZE, 2 * SMALL_SIZE))
            return format_webp(encode_webp(small), size=SMALL_SIZE)
        image = np.asarray(part.image)
        return format_image(image, size=SMALL_SIZE) if image.ndim == 3 else "a vector"
