"""The retrieval widget: type and see the images change, click one to search by it.

It works by setting traits alone.
"""

import functools
import html
from collections.abc import Callable

import ipywidgets
import numpy as np

from clipnb.retrieval import Hit, ImageIndex
from clipnb.widgets.accessible import LIVE, OWN_KEYS, make_helper
from clipnb.widgets.images import format_image
from clipnb.widgets.style import RETRIEVAL_STYLE
from clipnb.zero_shot import find_unknown_words, find_words

ECHOED = 80  # characters of a query or caption that the status repeats


class Card(ipywidgets.Box):
    """One hit: image, score, caption, and `pick`, a transparent button over the image.

    Its content changes with every search. on_pick: called with the button at a click.
    """

    def __init__(self, on_pick: Callable[[ipywidgets.Button], None]):
        super().__init__()
        self.text = ipywidgets.HTML()
        self.pick = ipywidgets.Button()
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
            format_image(image)  # the caption and the button's name stand for it
            + f'<span class="clipnb-bar"><i style="width:{filled:.0f}%"></i></span>'
            + f'<p title="{caption}"><b>{hit.score:.2f}</b> {caption}</p>'
        )
        self.pick.description = f"More like “{shorten(words)}”"
        self.pick.tooltip = self.pick.description


class RetrievalWidget(ipywidgets.VBox):
    """A search box over an `ImageIndex`: type and the images change, click one to search by it.

    All of it can be done from code: set `query.value` or `k.value`, click `cards[i].pick` or
    `back`, or call `search`. `hits` are the images now shown, and `status.value` says what was
    asked. query, k: what it starts with. most: the largest k. shown: larger images uint8
    (N, 3, S, S) in the order of the index, to show in place of the index's own.
    """

    def __init__(
        self,
        index: ImageIndex,
        query: str = "",
        k: int = 6,
        most: int = 24,
        shown: np.ndarray | None = None,
    ):
        super().__init__()
        most = max(1, min(most, len(index)))
        self.index = index
        self.shown = index.images if shown is None else shown
        self.hits: list[Hit] = []
        self.last_query: str | np.ndarray = query
        self.last_caption = ""
        self.left: list[tuple[str | np.ndarray, str]] = []  # queries and captions before a click
        self.query = ipywidgets.Text(
            query,
            description="Search",
            placeholder=f"for example: {index.captions[0][0].strip(' .')}",
            style={"description_width": "initial"},
        )
        self.k = ipywidgets.IntSlider(
            max(1, min(k, most)),
            min=1,
            max=most,
            description="images",
            style={"description_width": "initial"},
            layout={"width": "260px"},
        )
        self.back = ipywidgets.Button(
            description="Back",
            disabled=True,
            tooltip="Back to the search before the click",
            layout={"width": "auto"},
        )
        self.status = ipywidgets.HTML()
        self.gallery = ipywidgets.Box()
        # Cards are made once and filled anew. New ones for each letter typed would pile up in the
        # browser.
        self.cards = [Card(functools.partial(self.search_by_card, i)) for i in range(most)]

        controls = ipywidgets.Box([self.query, self.k, self.back])
        self.add_class("clipnb-retrieval")
        controls.add_class("clipnb-controls")
        self.query.add_class("clipnb-query")
        self.gallery.add_class("clipnb-gallery")
        self.gallery.add_class(OWN_KEYS)
        self.status.add_class("clipnb-status")
        self.status.add_class(LIVE)
        self.query.observe(self._follow_typing, "value")
        self.k.observe(self._search_again, "value")
        self.back.on_click(self.go_back)
        self.children = [make_helper(RETRIEVAL_STYLE), controls, self.status, self.gallery]
        self.search(query)

    def __repr__(self) -> str:  # the default one prints the children, images and all
        return f"RetrievalWidget({len(self.index)} images)"

    def _follow_typing(self, change: dict) -> None:
        """Search for what the box now holds, unless the program has changed it after a search."""
        text = change["new"]
        asked = self.last_query if isinstance(self.last_query, str) else ""
        if text == asked:
            return
        self.left.clear()
        self.back.disabled = True
        self.search(text)

    def _search_again(self, change: dict) -> None:
        self.search(self.last_query, self.last_caption)

    def search_by_card(self, i: int, button: ipywidgets.Button | None = None) -> None:
        """Search by the image on card i, and empty the box, whose text is no longer the query."""
        self.left.append((self.last_query, self.last_caption))
        self.back.disabled = False
        hit = self.hits[i]
        self.search(self.index.image(hit.image_id), hit.caption.strip(" ."))
        self.query.value = ""

    def go_back(self, button: ipywidgets.Button | None = None) -> None:
        """Search for what was asked before the last click on an image. Typing forgets it."""
        if not self.left:
            return
        query, caption = self.left.pop()
        self.back.disabled = not self.left
        self.search(query, caption)
        self.query.value = query if isinstance(query, str) else ""

    def search(self, query: str | np.ndarray, caption: str = "") -> None:
        """Show what the index finds for a text or an image uint8 (3, S, S).

        An image is not shown as a hit of itself. caption: stands beside it.
        """
        self.last_query = query
        self.last_caption = caption
        if isinstance(query, str):
            self.hits = self.index.search(query, self.k.value)
        else:
            self.hits = self._find_others(query)
        for card, hit in zip(self.cards, self.hits, strict=False):  # there may be fewer hits
            card.show(hit, self.shown[self.index.row[hit.image_id]])
        self.gallery.children = self.cards[: len(self.hits)]
        # The status comes last, so that a reader who sees it sees its hits too.
        self.status.value = self._tell_text() if isinstance(query, str) else self._tell_image()

    def _find_others(self, image: np.ndarray) -> list[Hit]:
        """Find the images nearest to an image, but not the image itself."""
        hits = self.index.search(image, self.k.value + 1)
        others = [hit for hit in hits if not np.array_equal(self.index.image(hit.image_id), image)]
        return others[: self.k.value]

    def _tell_text(self) -> str:
        """Say in HTML what a search for a text has found."""
        asked = f"“{html.escape(shorten(self.last_query.strip()))}”"
        if self.hits:
            return self._count_hits(asked) + self._tell_unknown_words()
        if not self.last_query.strip():
            return "Type a few words to search."
        return f"Nothing to search by: the model has no word or letter of {asked}. Try other words."

    def _tell_image(self) -> str:
        """Say in HTML what a search by an image has found."""
        if not self.hits:
            return "The index holds no other image."
        caption = html.escape(shorten(self.last_caption))
        words = f"“{caption}”" if caption else "this image"
        return self._count_hits(f"{format_image(self.last_query, size=36)} {words}")

    def _count_hits(self, asked: str) -> str:
        return (
            f"{len(self.hits)} of {len(self.index):,} images, those nearest to {asked} first. "
            "Click one to search by it."
        )

    def _tell_unknown_words(self) -> str:
        """Say in HTML which words of the query the model has not learned.

        The last word may still be growing: it counts once no word of the vocabulary begins so.
        """
        text = self.last_query
        unknown = find_unknown_words(self.index.tokenizer, text)
        if unknown and text.lower().endswith(unknown[-1]):
            entries = self.index.tokenizer.bpe.get_vocab()
            if any(entry.startswith(unknown[-1]) for entry in entries):
                unknown.pop()
        if not unknown:
            return ""
        named = ", ".join(f"“{html.escape(shorten(word))}”" for word in unknown[:3])
        words = f"the word {named}" if len(unknown) == 1 else f"the words {named}"
        if len(unknown) > 3:
            words += f" and {len(unknown) - 3} more"
        means = ""
        if len(unknown) == len(find_words(text)):
            means = ", so this order means little"
        return f"<br>This model has seldom or never read {words}{means}."


def shorten(text: str, most: int = ECHOED) -> str:
    """Cut a text after `most` characters, and mark the cut with an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
