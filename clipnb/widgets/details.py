"""One image of the search widget, large: its captions, and why it was found."""

import html

import ipywidgets
import numpy as np
from PIL import Image
from torch import Tensor

from clipnb.datasets.photos import UnreadableImageError, open_file, read_photo
from clipnb.retrieval import Hit, ImageIndex
from clipnb.search.bank import is_short
from clipnb.search.explain import (
    REST,
    draw_overlay,
    occlusion_map,
    shares_add_up,
    short_query_shares,
    word_shares,
)
from clipnb.search.nearest import find_nearest
from clipnb.search.query import shorten
from clipnb.search.thumbnails import LONGER_SIDE, encode_thumbnail, encode_webp
from clipnb.widgets.accessible import CLOSE, LIVE
from clipnb.widgets.cards import name_hit
from clipnb.widgets.images import format_webp

LARGE_SIZE = 360  # pixels a side at which the image is shown
N_CAPTIONS = 5
MOST_WORDS = 12  # of which the shares are shown
MOST_LETTERS = 400  # of a text whose words are explained
FAST = (60, 40, 25)  # qualities of thumbnails that are made while a reader types
REGION = "Orange parts raise the cosine and blue parts lower it."


class Details(ipywidgets.Box):
    """A panel with one image. It is hidden until `show` is called, and again after `hide`."""

    def __init__(self):
        super().__init__()
        self.figure = ipywidgets.HTML()
        self.text = ipywidgets.HTML()
        self.region = ipywidgets.ToggleButton(
            description="Show the region", tooltip="Which part of the image the score comes from"
        )
        self.close_it = ipywidgets.Button(description="Close", tooltip="Close the details")
        self.region.observe(self._draw, "value")
        self.close_it.on_click(self._close)
        self.overlay = ""  # the region as an <img> tag, once it was asked for
        self.large = ""
        self.asked: tuple[ImageIndex, str, Tensor | None] | None = None
        self.opener: ipywidgets.Button | None = None
        buttons = ipywidgets.Box([self.region, self.close_it])
        self.children = [ipywidgets.VBox([self.figure, buttons]), self.text]
        self.add_class("clipnb-details")
        buttons.add_class("clipnb-controls")
        self.close_it.add_class(CLOSE)
        self.text.add_class(LIVE)
        self.layout.display = "none"

    def show(
        self,
        index: ImageIndex,
        hit: Hit,
        text: str,
        query_feature: Tensor | None,
        large: bytes,
        opener: ipywidgets.Button | None = None,
    ) -> None:
        """Show an image.

        text: the query, if it is one plain text. large: the image as WebP. opener: the button that
        gets the keyboard back when the panel is closed.
        """
        self.opener = opener
        self.asked = (index, hit.image_id, query_feature)
        self.overlay = ""
        self.large = format_webp(large, f"Large: {name_hit(hit)}", LARGE_SIZE)
        self.region.layout.display = None if query_feature is not None else "none"
        self.region.value = False
        self._draw()
        sections = [f"<h4>{html.escape(name_hit(hit))}</h4>"]
        if index.captions is not None:
            sections.append(f"<p class='clipnb-aside'>{html.escape(hit.image_id)}</p>")
        sections += [tell_word_shares(index, hit, text), tell_captions(index, hit.image_id)]
        self.text.value = "".join(sections)
        self.layout.display = None
        self.close_it.focus()

    def hide(self) -> None:
        """Hide the panel, and leave the keyboard where it is."""
        self.layout.display = "none"

    def _close(self, button: ipywidgets.Button) -> None:
        """Hide the panel, and give the keyboard back to the button that has opened it."""
        self.hide()
        if self.opener is not None:
            self.opener.focus()

    def _draw(self, change: dict | None = None) -> None:
        """Show the image, with the region over it if it is asked for."""
        note = REGION if self.region.value else ""
        if self.region.value and not self.overlay:
            index, image_id, feature = self.asked
            try:
                region = occlusion_map(index.model, index.image(image_id), feature)
                overlay = Image.fromarray(draw_overlay(region, LARGE_SIZE))
                self.overlay = format_webp(encode_webp(overlay, 80), "", LARGE_SIZE)
            except (OSError, ValueError) as error:
                note = html.escape(str(error))
        overlay = self.overlay if self.region.value else ""
        self.figure.value = f"<div class='clipnb-large'>{self.large}{overlay}</div><p>{note}</p>"


def tell_word_shares(index: ImageIndex, hit: Hit, text: str) -> str:
    """Show as bars which word of a text has which share of the cosine."""
    if not text.strip() or len(text) > MOST_LETTERS:
        return ""
    feature = index.feature(hit.image_id)
    is_expanded = index.bank is not None and is_short(text)  # the cosine is not the text's own
    if is_expanded:
        shares = short_query_shares(index.bank, text, feature)
    else:
        shares = word_shares(index.model, index.tokenizer, text, feature)
    if not shares:
        return ""
    cosine = f"the cosine of {hit.score:.2f}"
    if shares_add_up(index.model) and not is_expanded:
        meaning = f"each word's share of {cosine}."
        *of_words, (_, rest) = shares
        rest += sum(share for _, share in of_words[MOST_WORDS:])
        shares = [*of_words[:MOST_WORDS], (REST, rest)]
    else:
        each = "each word" if len(shares) <= MOST_WORDS else f"each of the first {MOST_WORDS} words"
        meaning = f"what {cosine} loses without {each}. These numbers do not add up to it."
        shares = shares[:MOST_WORDS]
    largest = max(abs(share) for _, share in shares) or 1.0
    rows = []
    for word, share in shares:
        width = 100 * abs(share) / largest
        kind = "minus" if share < 0 else "plus"
        rows.append(
            f"<tr><th scope='row'>{html.escape(shorten(word, 24))}</th>"
            f"<td><i class='{kind}' style='width:{width:.0f}%'></i></td>"
            f"<td>{f'{share:+.2f}'.replace('-', '−')}</td></tr>"
        )
    return f"<p>Why this one: {meaning}</p><table class='clipnb-shares'>{''.join(rows)}</table>"


def tell_captions(index: ImageIndex, image_id: str) -> str:
    """List the captions nearest to an image: those of the collection, or else of the bank."""
    feature = index.feature(image_id)
    if index.captions is not None:
        nearest = [(hit.score, hit.caption) for hit in index.search_captions(feature, N_CAPTIONS)]
        title = "The captions nearest to this image"
    elif index.bank is not None:
        scores, rows = find_nearest(index.bank.features, feature, N_CAPTIONS)
        captions = [index.bank.captions[row] for row in rows.tolist()]
        nearest = list(zip(scores.tolist(), captions, strict=True))
        title = "The captions of the training set nearest to this image"
    else:
        return ""
    items = [
        f"<li><b>{score:.2f}</b> {html.escape(shorten(text, 200))}</li>" for score, text in nearest
    ]
    return f"<p>{title}</p><ul>{''.join(items)}</ul>"


def read_original(index: ImageIndex, image_id: str, least_side: int) -> Image.Image | None:
    """Read an image from its file, if the index knows a file that can still be read."""
    if not index.paths:
        return None
    try:
        with open_file(index.paths[index.row[image_id]]) as file:
            return read_photo(file, least_side).image
    except (OSError, UnreadableImageError):
        return None


def load_large(index: ImageIndex, image_id: str, array: np.ndarray | None) -> bytes:
    """Return an image as WebP, from its file, or from an array (3, S, S), as large as it gets.

    Raises OSError if there is neither, nor a thumbnail.
    """
    image = read_original(index, image_id, LARGE_SIZE)
    if image is None and array is not None:
        image = Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    if image is None:
        return index.thumbnail(image_id)
    image.thumbnail((2 * LARGE_SIZE, 2 * LARGE_SIZE))
    return encode_webp(image, 85)


def load_thumbnail(index: ImageIndex, image_id: str) -> bytes:
    """Return an image as WebP of at most 5 KB.

    The index of a dataset holds images as small as the model sees them, so the file looks better.
    Raises OSError if the file is gone and there is no thumbnail.
    """
    image = None
    if index.images is not None and index.image_size < LONGER_SIDE:
        image = read_original(index, image_id, LONGER_SIDE)
    if image is None:
        return index.thumbnail(image_id)
    return encode_thumbnail(image, LONGER_SIDE, FAST)
