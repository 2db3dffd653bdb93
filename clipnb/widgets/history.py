"""What a reader of the search widget has asked for, and the way back and forward."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipnb.search.query import Query, Term, parse_query
from clipnb.search.words import find_last_word

MOST_KEPT = 100  # searches that the history holds
SETTLED = 1.5  # seconds after which a typed text counts as a search of its own


@dataclass(frozen=True, eq=False)
class Part:
    """One image of a query.

    weight: 1, or -1 for an image that is subtracted. image: what `ImageIndex.encode` takes, or None
    for an image of the collection. image_id: of an image of the collection. caption: stands for it.
    """

    weight: int
    image: Any = None
    image_id: str | None = None
    caption: str = ""


@dataclass(frozen=True)
class Asked:
    """One search: a text, images, or both, added and subtracted.

    replaced_by_text: the next text that is typed takes the place of the images. It joins them
    otherwise.
    """

    text: str = ""
    parts: tuple[Part, ...] = ()
    replaced_by_text: bool = False

    def type(self, text: str) -> "Asked":
        """Return the search after the text in the box has changed."""
        joins = text.lstrip().startswith(("+", "-"))
        if self.replaced_by_text and text.strip() and not joins:
            return Asked(text)
        return Asked(text, self.parts, self.replaced_by_text and not joins)

    def add(self, part: Part) -> "Asked":
        """Return the search with one more image."""
        return Asked(self.text, (*self.parts, part))

    def __str__(self) -> str:
        """Return the search as one line of plain text."""
        words = [self.text.strip()] if self.text.strip() else []
        for part in self.parts:
            sign = "-" if part.weight < 0 else "+"
            words.append(f"{sign} [{part.caption or 'image'}]")
        return " ".join(words).removeprefix("+ ")


def parse_text(text: str) -> tuple[Term, ...]:
    """Read the terms of a text that may be unfinished. Raises ValueError as `parse_query` does."""
    words = text.split()
    if words and words[-1] in ("+", "-"):  # what comes next has not been typed yet
        words = words[:-1]
        text = " ".join(words)
    return parse_query(text).terms


def is_unfinished(text: str, terms: Sequence[Term]) -> bool:
    """Tell whether the last word of a text may still be typed: it ends a term that is a text."""
    ends_with_text = bool(terms) and isinstance(terms[-1].content, str)
    return ends_with_text and find_last_word(text) is not None


def fill_template(template: str, text: str) -> str:
    """Put a text into a template such as "a photo of a {}"."""
    return template.replace("{}", text) if "{}" in template else text


def make_query(asked: Asked, index: Any, template: str = "") -> Any:
    """Turn a search into what the index takes: a text, an image, a vector or a `Query`.

    Raises ValueError for a text that is no query.
    """
    terms = []
    for term in parse_text(asked.text):
        content = term.content
        if isinstance(content, str):
            content = fill_template(template, content)
        terms.append(Term(term.weight, content))
    for part in asked.parts:
        content = part.image if part.image_id is None else index.feature(part.image_id)
        terms.append(Term(part.weight, content))
    if not terms:
        return asked.text
    if len(terms) == 1 and terms[0].weight == 1 and not isinstance(terms[0].content, Path):
        return terms[0].content
    return Query(tuple(terms))


class History:
    """Searches in their order, and where among them the reader is. It starts with one search."""

    def __init__(self, asked: Asked):
        self.entries = [asked]
        self.position = 0
        self.changed = time.monotonic()

    @property
    def current(self) -> Asked:
        """The search that is shown."""
        return self.entries[self.position]

    @property
    def has_past(self) -> bool:
        """Whether there is a search to go back to."""
        return self.position > 0

    @property
    def has_future(self) -> bool:
        """Whether there is a search to go forward to."""
        return self.position < len(self.entries) - 1

    def visit(self, asked: Asked) -> None:
        """Go to a new search. What lay ahead is forgotten, as in a browser."""
        self.entries = [*self.entries[: self.position + 1], asked][-MOST_KEPT:]
        self.position = len(self.entries) - 1
        self.changed = time.monotonic()

    def type(self, asked: Asked) -> None:
        """Go to a search that differs by a keystroke.

        It takes the place of a text that is still being typed, and of an empty one.
        """
        before = self.current
        now = time.monotonic()
        typed = before.parts == asked.parts
        unfinished = not before.text.strip() or now - self.changed < SETTLED
        if typed and unfinished and not self.has_future:
            self.entries[self.position] = asked
            self.changed = now
        else:
            self.visit(asked)

    def move(self, steps: int) -> Asked:
        """Go back (below zero) or forward by some steps, and return the search there."""
        self.position = min(max(self.position + steps, 0), len(self.entries) - 1)
        self.changed = float("-inf")  # it has been looked at
        return self.current
