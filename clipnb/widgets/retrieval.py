"""The retrieval widget: type and see the images change, click one to search by it.

It works by setting traits alone.
"""

import functools
import html
from collections.abc import Callable

import ipywidgets
import numpy as np

from clipnb.retrieval import Hit, ImageIndex
from clipnb.widgets.images import format_image
from clipnb.widgets.style import STYLE


class Card(ipywidgets.Box):
    """One hit: image, score, caption, and `pick`, a transparent button over the image.

    Its content changes with every search. on_pick: called with the button at a click.
    """

    def __init__(self, on_pick: Callable[[ipywidgets.Button], None]):
        super().__init__()
        self.text = ipywidgets.HTML()
        self.pick = ipywidgets.Button(description="more like this")
        self.pick.on_click(on_pick)
        self.pick.add_class("clipnb-pick")
        self.add_class("clipnb-hit")
        self.children = [self.text, self.pick]

    def show(self, hit: Hit, image: np.ndarray) -> None:
        """Show a hit and its image uint8 (3, S, S)."""
        words = hit.caption.strip(" .")
        caption = html.escape(words)
        filled = 100 * min(1, max(0, hit.score))  # percent of the bar
        self.text.value = (
            format_image(image, words)
            + f'<span class="clipnb-bar"><i style="width:{filled:.0f}%"></i></span>'
            + f'<p title="{caption}"><b>{hit.score:.2f}</b> {caption}</p>'
        )
        self.pick.tooltip = f"search by this image: {words}"


class RetrievalWidget(ipywidgets.VBox):
    """A search box over an `ImageIndex`: type and the images change, click one to search by it.

    All of it can be done from code: set `query.value` or `k.value`, click `cards[i].pick`, or call
    `search`. `hits` are the images now shown, and `status.value` says what was asked. query, k:
    what it starts with. most: the largest k.
    """

    def __init__(self, index: ImageIndex, query: str = "", k: int = 6, most: int = 24):
        super().__init__()
        most = max(1, min(most, len(index)))
        self.index = index
        self.hits: list[Hit] = []
        self.last_query: str | np.ndarray = query
        self.query = ipywidgets.Text(
            query,
            description="Search",
            placeholder=f"for example: {index.captions[0][0].strip(' .')}",
            style={"description_width": "initial"},
            layout={"width": "460px"},
        )
        self.k = ipywidgets.IntSlider(
            max(1, min(k, most)),
            min=1,
            max=most,
            description="images",
            style={"description_width": "initial"},
            layout={"width": "260px"},
        )
        self.status = ipywidgets.HTML()
        self.gallery = ipywidgets.Box()
        # Cards are made once and filled anew. New ones for each letter typed would pile up in the
        # browser.
        self.cards = [Card(functools.partial(self.search_by_card, i)) for i in range(most)]

        self.add_class("clipnb-retrieval")
        self.query.add_class("clipnb-query")
        self.gallery.add_class("clipnb-gallery")
        self.status.add_class("clipnb-status")
        self.query.observe(self._follow_typing, "value")
        self.k.observe(self._search_again, "value")
        style = ipywidgets.HTML(STYLE, layout={"display": "none"})
        controls = ipywidgets.HBox([self.query, self.k], layout={"flex_flow": "row wrap"})
        self.children = [style, controls, self.status, self.gallery]
        self.search(query)

    def __repr__(self) -> str:  # the default one prints the children, images and all
        return f"RetrievalWidget({len(self.index)} images)"

    def _follow_typing(self, change: dict) -> None:
        """Search for what the box now holds, unless a click on an image has emptied it."""
        if change["new"] or isinstance(self.last_query, str):
            self.search(change["new"])

    def _search_again(self, change: dict) -> None:
        self.search(self.last_query)

    def search_by_card(self, i: int, button: ipywidgets.Button | None = None) -> None:
        """Search by the image on card i, and empty the box, whose text is no longer the query."""
        self.search(self.index.image(self.hits[i].image_id))
        self.query.value = ""

    def search(self, query: str | np.ndarray) -> None:
        """Show what the index finds for a text or an image uint8 (3, S, S).

        An image is not shown as a hit of itself.
        """
        self.last_query = query
        if isinstance(query, str):
            self.hits = self.index.search(query, self.k.value)
            asked = f"“{html.escape(query.strip())}”"
        else:
            self.hits = self._find_others(query)
            asked = format_image(query, "the image you clicked")
        for card, hit in zip(self.cards, self.hits, strict=False):  # there may be fewer hits
            card.show(hit, self.index.image(hit.image_id))
        self.gallery.children = self.cards[: len(self.hits)]
        # The status comes last, so that a reader who sees it sees its hits too.
        if self.hits:
            self.status.value = (
                f"{len(self.hits)} of {len(self.index):,} images, those nearest to {asked} first. "
                "Click one to search by it."
            )
        elif isinstance(query, str) and not query.strip():
            self.status.value = "Type a few words to search."
        else:
            self.status.value = (
                f"Nothing to search by: the model has no word or letter of {asked}. "
                "Try other words."
            )

    def _find_others(self, image: np.ndarray) -> list[Hit]:
        """Find the images nearest to an image, but not the image itself."""
        hits = self.index.search(image, self.k.value + 1)
        others = [hit for hit in hits if not np.array_equal(self.index.image(hit.image_id), image)]
        return others[: self.k.value]
