"""What the search widget says about a search, as HTML."""

import html
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from clipnb.search.query import Query, shorten
from clipnb.widgets.cards import ECHOED
from clipnb.widgets.history import Asked, Part, parse_text

NO_PLACE = "The template is not used, because it has no {}. Write {} where your text belongs."

Formatter = Callable[[Part], str]  # returns the <img> tag of an image in a query


def quote(text: str, unknown: Collection[str] = ()) -> str:
    """Return a text as HTML, in quotation marks, cut if it is long. Unknown words are greyed."""
    parts = []
    for part in re.split(r"(\w+)", shorten(text.strip(), ECHOED)):
        escaped = html.escape(part)
        if part.lower() in unknown:
            escaped = f'<span class="clipnb-unknown">{escaped}</span>'
        parts.append(escaped)
    return f"“{''.join(parts)}”"


def write_query(asked: Asked, format_part: Formatter, unknown: Collection[str] = ()) -> str:
    """Write a search as the sum and difference of vectors that it is.

    unknown: words of it that the model does not know.
    """
    terms = parse_text(asked.text)
    if not asked.parts and len(terms) < 2 and not any(term.weight < 0 for term in terms):
        return quote(asked.text, unknown)
    words = []
    for term in terms:
        is_path = isinstance(term.content, Path)
        content = quote(term.content.name) if is_path else quote(term.content, unknown)
        weight = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} × "
        words += [_sign(term.weight), weight + content]
    for part in asked.parts:
        caption = f" {quote(part.caption)}" if part.caption and len(asked.parts) == 1 else ""
        words += [_sign(part.weight), format_part(part) + caption]
    if words[:1] == ["+"]:
        words = words[1:]
    return " ".join(words)


def _sign(weight: float) -> str:
    return "−" if weight < 0 else "+"


def is_arithmetic(query: Any) -> bool:
    """Tell whether several vectors are added, or any is subtracted."""
    return isinstance(query, Query) and (len(query.terms) > 1 or query.terms[0].weight < 0)


def tell_found(
    n_hits: int, n_images: int, asked: str, matched: bool | None, arithmetic: bool
) -> str:
    """Say what was found. asked: the search as HTML. matched: see `ImageIndex.has_match`."""
    if matched is False:
        return (
            f"<b>Nothing here matches {asked}.</b> Below are the nearest of {n_images:,} images "
            "all the same. Click one to search by it."
        )
    order = "those nearest to the result first" if arithmetic else f"those nearest to {asked} first"
    sentence = f"{n_hits} of {n_images:,} images, {order}. Click one to search by it."
    if arithmetic:
        return f"{asked}<br>The vectors are added and subtracted. You see {sentence}"
    return sentence


def tell_nothing_found(asked: Asked) -> str:
    """Say why a search has no result."""
    if asked.parts:
        return "The index holds no other image."
    if not asked.text.strip():
        return "Type a few words to search."
    return (
        f"Nothing to search by: the model has no word or letter of {quote(asked.text)}. "
        "Try other words."
    )


def describe_error(error: Exception) -> str:
    """Return the message of an error as HTML, in one line."""
    return html.escape(shorten(str(error), 300))


def tell_words(sentences: list[str], template: str) -> str:
    """Write what `explain_terms` says, and whether the template is of no use, below a status."""
    if template.strip() and "{}" not in template:
        sentences = [*sentences, NO_PLACE]
    told = [html.escape(sentence) for sentence in sentences]
    return "".join(f'<br><span class="clipnb-aside">{sentence}</span>' for sentence in told)
