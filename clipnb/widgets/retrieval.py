"""The retrieval widget: type and see the images change, click one to search by it.

It works by setting traits alone. Parts that only some readers want are folded away.
"""

from typing import Any

import ipywidgets
import numpy as np
import torch

from clipnb.places import display_value
from clipnb.retrieval import Hit, ImageIndex
from clipnb.search.negation import explain_terms, join_texts
from clipnb.search.query import Query, Term
from clipnb.search.words import find_unknown_words
from clipnb.tokenizer import check_text
from clipnb.widgets.accessible import LIVE, OWN_KEYS, make_helper
from clipnb.widgets.cards import Card, make_button, name_hit, name_image
from clipnb.widgets.checks import check_index, check_number, check_others, check_shown
from clipnb.widgets.closing import WholeWidget
from clipnb.widgets.details import Details, load_large
from clipnb.widgets.gallery import Gallery
from clipnb.widgets.history import Asked, History, Part, is_unfinished, make_query, parse_text
from clipnb.widgets.options import Options
from clipnb.widgets.status import (
    describe_error,
    is_arithmetic,
    tell_found,
    tell_nothing_found,
    tell_words,
    write_query,
)
from clipnb.widgets.style import RETRIEVAL_STYLE
from clipnb.widgets.suggestions import Suggestions, suggest_texts


class RetrievalWidget(WholeWidget):
    """A search box over an `ImageIndex`: type and the images change, click one to search by it.

    All of it can be done from code: set `query.value` or `k.value`, click `cards[i].pick`, `back`,
    `forward` or `more`, or call `search`. `hits` are the images now shown, and `status.value` says
    what was asked. `options` holds what is folded away.

    query, k: what it starts with. most: the largest k. shown: larger images uint8 (N, 3, S, S) in
    the order of the index, to show in place of the index's own. others: indexes of the same images
    by other models, by their names, to switch to. Raises ValueError if their images differ, or if
    there is not one image to show for each of the index, and TypeError for what is no index, no
    images or no text.
    """

    def __init__(
        self,
        index: ImageIndex,
        query: str = "",
        k: int = 6,
        most: int = 24,
        shown: np.ndarray | None = None,
        others: dict[str, ImageIndex] | None = None,
    ):
        super().__init__()
        query = check_text(query, "the query")
        k, most = check_number("k", k), check_number("most", most)
        check_index(index)
        check_shown(index, shown)
        others = check_others(index, others)
        most = max(1, min(most, len(index)))
        self.indexes = {"this model": index, **others}
        self.index = index
        self.first_index = index  # the one whose images are shown
        self.hits: list[Hit] = []
        self.found_by: tuple[ImageIndex, Any] = (index, "")  # what found them: index and query
        self.n_extra = 0  # images beyond k that were asked for
        self.asked = Asked(query)
        self.past = History(self.asked)
        self.query = ipywidgets.Text(
            query,
            description="Search",
            placeholder=make_placeholder(index),
            style={"description_width": "initial"},
        )
        self.k = ipywidgets.IntSlider(
            max(1, min(k, most)),
            min=1,
            max=most,
            description="images",
            style={"description_width": "initial"},
            layout={"width": "240px"},
        )
        self.back = make_button("Back", "Back to the search before")
        self.forward = make_button("Forward", "Forward to the search after")
        self.only_text = make_button("Without images", "Take the images out of the query")
        self.which = ipywidgets.ToggleButtons(
            options=list(self.indexes), tooltips=[f"Search with {name}" for name in self.indexes]
        )
        self.tools = ipywidgets.ToggleButton(
            description="More", tooltip="More ways to search", layout={"width": "auto"}
        )
        self.options = Options(self)
        self.status = ipywidgets.HTML()
        self.suggestions = Suggestions(lambda text: self.ask(Asked(text, self.asked.parts)))
        self.details = Details()
        self.gallery = Gallery(index, shown, self.act)
        self.more = make_button("More images", "Show more of the images found")
        self._arrange()
        self._connect()
        self._run(self.asked)

    def _arrange(self) -> None:
        """Put the parts in their places."""
        controls = ipywidgets.Box([self.query, self.k, self.back, self.forward, self.tools])
        suggested = ipywidgets.Box([self.suggestions, self.only_text])
        parts = [controls, self.options, self.status, suggested, self.details, self.gallery]
        if len(self.indexes) > 1:
            parts.insert(1, self.which)
        self.add_class("clipnb-retrieval")
        self.add_class(OWN_KEYS)
        controls.add_class("clipnb-controls")
        suggested.add_class("clipnb-controls")
        self.query.add_class("clipnb-query")
        self.which.add_class("clipnb-which")
        self.status.add_class("clipnb-status")
        self.status.add_class(LIVE)
        self.more.add_class("clipnb-more")
        self.options.layout.display = "none"
        self.children = [make_helper(RETRIEVAL_STYLE), *parts, self.more]

    def _connect(self) -> None:
        """Say what happens when a reader acts."""
        self.query.observe(self._follow_typing, "value")
        self.k.observe(self.show_again, "value")
        self.back.on_click(self.go_back)
        self.forward.on_click(self.go_forward)
        self.more.on_click(self.show_more)
        self.only_text.on_click(lambda button: self.ask(Asked(self.asked.text)))
        self.tools.observe(self._unfold, "value")
        self.which.observe(self._switch, "value")

    def __repr__(self) -> str:  # the default one prints the children, images and all
        return f"RetrievalWidget({len(self.index)} images)"

    @property
    def cards(self) -> list[Card]:
        """The cards that were made so far, in the order of the hits."""
        return self.gallery.cards

    # ---- what a reader does ------------------------------------------------------------------

    def search(self, query: Any, caption: str = "") -> None:
        """Show what the index finds for a query: a text, an image, a vector or a `Query`.

        An image is not shown as a hit of itself. caption: stands beside it.
        """
        if isinstance(query, str):
            self.ask(Asked(query))
        else:
            self.ask(Asked("", (Part(1, query, None, caption),), replaced_by_text=True))

    def ask(self, asked: Asked) -> None:
        """Search, and remember it as a step of its own."""
        self.past.visit(asked)
        self._run(asked)

    def _follow_typing(self, change: dict) -> None:
        """Search for what the box now holds, unless the program has changed it after a search."""
        if change["new"] == self.asked.text:
            return
        asked = self.asked.type(change["new"])
        self.past.type(asked)
        self._run(asked)

    def act(self, name: str, i: int) -> None:
        """Do what a button of card i asks for: "pick", "add", "subtract" or "open".

        A click on a card that was hidden a moment ago does nothing.
        """
        if i not in range(len(self.hits)):
            return
        hit = self.hits[i]
        if name == "open":
            self.open_details(i)
        elif name == "pick":
            self.ask(Asked("", (self._make_part(hit, 1),), replaced_by_text=True))
        else:
            self.ask(self.asked.add(self._make_part(hit, 1 if name == "add" else -1)))

    def _make_part(self, hit: Hit, weight: int) -> Part:
        return Part(weight, image_id=hit.image_id, caption=name_hit(hit))

    def take_image(self, name: str, image: Any) -> None:
        """Search by an image of the reader's own. Words that are typed then join it."""
        self.ask(Asked("", (Part(1, image, None, name),)))

    def go_back(self, button: ipywidgets.Button | None = None) -> None:
        """Search for what was asked before."""
        self._run(self.past.move(-1))

    def go_forward(self, button: ipywidgets.Button | None = None) -> None:
        """Search for what was asked after this, before the reader went back."""
        self._run(self.past.move(1))

    def show_more(self, button: ipywidgets.Button | None = None) -> None:
        """Show k more images below those that are shown."""
        self.n_extra += self.k.value
        self._run(self.asked, keep_extra=True)

    def open_details(self, i: int) -> None:
        """Show the image on card i large, with its captions and why it was found.

        The query that found it counts. What is in the box may be wrong by now. Raises ValueError if
        there is no such card.
        """
        if i not in range(len(self.hits)):
            raise ValueError(f"there is no card {display_value(i)}; {len(self.hits)} are shown.")
        hit = self.hits[i]
        index, query = self.found_by
        text = query.text if isinstance(query, Query) else query
        text = text if isinstance(text, str) else ""
        array = self.gallery.find_array(hit.image_id)
        try:
            large = load_large(self.first_index, hit.image_id, array)
            feature = index.encode(query)
            self.details.show(index, hit, text, feature, large, self.cards[i].open)
        except (ValueError, OSError) as error:
            self.details.hide()
            self.status.value = describe_error(error)

    def go_to(self, position: int) -> None:
        """Search for one of the searches that the history holds."""
        self._run(self.past.move(position - self.past.position))

    def pick_image(self, image_id: str) -> None:
        """Search by an image of the collection, and empty the box.

        Raises ValueError if the index has no image of this id.
        """
        if image_id not in self.index.row:
            raise ValueError(f"the index has no image {display_value(image_id)}.")
        part = Part(1, image_id=image_id, caption=name_image(self.index, image_id))
        self.ask(Asked("", (part,), replaced_by_text=True))

    def show_again(self, change: dict | None = None) -> None:
        """Search again after a setting has changed."""
        self._run(self.asked, keep_extra=True)

    def _unfold(self, change: dict) -> None:
        self.options.layout.display = None if change["new"] else "none"

    def _switch(self, change: dict) -> None:
        self.index = self.indexes[change["new"]]
        self.options.start_temperature()
        self._run(self.asked, keep_extra=True)

    # ---- searching ---------------------------------------------------------------------------

    def _make_query(self, asked: Asked) -> Any:
        return make_query(asked, self.index, self.options.template.value)

    def _run(self, asked: Asked, keep_extra: bool = False) -> None:
        """Search and show what is found. The status comes last: who sees it sees its hits too."""
        new_text = asked.text != self.asked.text
        self.asked = asked
        if not keep_extra:
            self.n_extra = 0
        suggested = []
        try:
            query = self._make_query(asked)
            self.hits = self._find(query)
            self.found_by = (self.index, query)
            status, suggested, matched = self._tell(query)
        except (ValueError, OSError) as error:
            # What was found before stays, since a query may be wrong while it is being typed.
            status, matched = describe_error(error), None
        self.details.hide()
        self._show_hits(matched)
        self.suggestions.show(suggested)
        if new_text and self.query.value != asked.text:  # else a reader may be typing already
            self.query.value = asked.text
        self.back.disabled = not self.past.has_past
        self.forward.disabled = not self.past.has_future
        joined = asked.parts and not asked.replaced_by_text
        self.only_text.layout.display = None if joined else "none"
        self.options.list_history()
        self.status.value = status

    def _find(self, query: Any) -> list[Hit]:
        """Find the nearest images, but none that the query itself consists of."""
        wanted = self.k.value + self.n_extra
        own = {part.image_id for part in self.asked.parts}
        pixels = [part.image for part in self.asked.parts if isinstance(part.image, np.ndarray)]
        hits = self.index.search(query, wanted + len(self.asked.parts))
        others = [hit for hit in hits if hit.image_id not in own]
        if pixels and self.index.images is not None:
            others = [hit for hit in others if not self._is_one_of(hit, pixels)]
        return others[:wanted]

    def _is_one_of(self, hit: Hit, pixels: list[np.ndarray]) -> bool:
        image = self.index.image(hit.image_id)
        return any(np.array_equal(image, other) for other in pixels)

    # ---- showing -----------------------------------------------------------------------------

    def _show_hits(self, matched: bool | None) -> None:
        self.gallery.show(self.hits, self._share_out(), matched)
        all_shown = len(self.hits) < self.k.value + self.n_extra
        all_shown = all_shown or len(self.hits) == len(self.index)
        self.more.layout.display = "none" if all_shown else None

    def _share_out(self) -> list[float | None]:
        """Return each hit's share of the softmax over the hits, if the reader wants to see it."""
        if not self.options.shows_softmax or not self.hits:
            return [None] * len(self.hits)
        scores = torch.tensor([hit.score for hit in self.hits])
        return (scores / self.options.temperature.value).softmax(dim=0).tolist()

    def _tell(self, query: Any) -> tuple[str, list[str], bool | None]:
        """Say in HTML what was found. Returns also texts to suggest, and whether anything matches.

        The words are those of the texts in the box: neither those of files nor of the template.
        """
        if not self.hits:
            return tell_nothing_found(self.asked), [], None
        tokenizer = self.index.tokenizer
        known = None if self.index.bank is None else self.index.bank.words
        terms = parse_text(self.asked.text)
        images = [Term(part.weight, part) for part in self.asked.parts]
        unfinished = is_unfinished(self.asked.text, terms)
        unknown, sentences = explain_terms(tokenizer, [*terms, *images], known, unfinished)
        asked = write_query(self.asked, self.gallery.format_part, {word.word for word in unknown})
        matched = None
        if len(find_unknown_words(tokenizer, join_texts(terms), known)) == len(unknown):
            matched = self.index.has_match(query)  # the last word is not still being typed
        arithmetic = is_arithmetic(query)
        found = tell_found(len(self.hits), len(self.index), asked, matched, arithmetic)
        told = tell_words(sentences, self.options.template.value)
        return found + told, suggest_texts(terms, unknown), matched


def make_placeholder(index: ImageIndex) -> str:
    """Return what stands in the box while it is empty."""
    example = "a dog on the beach"
    if index.captions:
        example = index.captions[0][0].strip(" .")
    return f"for example: {example}"
