"""Texts that a model misreads: it looks for the cat of "a dog and no cat".

A bag of words averages the words, and other text encoders hardly learn what "no" means either,
since captions seldom say what is not there. A query with a minus does what is meant: `a dog - cat`.
Words that a model does not know are misread too. `explain_terms` tells both.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipnb.search.query import Term
from clipnb.search.words import UnknownWord, describe_unknown_words, explain_unknown_words

if TYPE_CHECKING:
    from clipnb.tokenizer import Tokenizer

ECHOED = 60  # characters of a phrase that a message repeats
LONGEST = 200  # characters of a query that a message repeats

# fmt: off
NEGATIONS = {
    "no", "not", "without", "except", "excluding", "minus", "neither", "nor", "isn't", "aren't",
    "wasn't", "weren't", "doesn't", "don't", "didn't", "hasn't", "haven't",
}
NOBODY = {"nobody", "no-one", "noone"}  # without people
# With one of these words behind it, "no" or "not" leaves nothing out: "no parking", "not far".
HARMLESS = {
    "all", "always", "at", "cross", "disturb", "diving", "doubt", "dumping", "end", "enough",
    "enter", "entry", "even", "every", "exit", "far", "feed", "fishing", "idea", "just", "limits",
    "littering", "longer", "many", "matter", "more", "much", "necessarily", "only", "other",
    "parking", "problem", "quite", "smoking", "so", "stopping", "sure", "swimming", "to", "too",
    "touch", "trespassing", "turn", "very", "way", "yet",
}
SIGNS = {"label", "logo", "poster", "sign", "signs", "sticker", "symbol"}  # "a no dogs sign"
# Words before it with which it leaves nothing out either: "or not", "say no", "a no sleeve shirt".
QUOTING = {"a", "an", "or", "say", "saying", "says", "the", "why"}
# Words that are left out of a phrase at its beginning.
OPENERS = {
    "a", "an", "any", "be", "for", "having", "her", "his", "its", "of", "single", "some", "the",
    "their", "wearing",
}
# A phrase that is left out ends before one of these words.
BOUNDARIES = {
    "above", "across", "and", "are", "at", "behind", "below", "beside", "but", "by", "during",
    "from", "has", "have", "in", "inside", "into", "is", "near", "next", "on", "onto", "or",
    "outside", "over", "that", "under", "was", "were", "while", "who", "with",
}
LINKS = BOUNDARIES | {"do", "does", "having", "there", "wearing", "which"}
# fmt: on


# ---- a whole query ---------------------------------------------------------------------------


def explain_terms(
    tokenizer: "Tokenizer",
    terms: Sequence[Term],
    known_words: Collection[str] | None = None,
    still_typing: bool = False,
) -> tuple[list[UnknownWord], list[str]]:
    """Find the words of a query that a model does not know, and say in sentences what it misreads.

    terms: of a `Query`; only their texts count. known_words, still_typing: as for
    `find_unknown_words`. The sentences repeat words of the query: escape them in HTML.
    """
    text = join_texts(terms)
    unknown = explain_unknown_words(tokenizer, text, known_words, still_typing)
    has_images = any(not isinstance(term.content, str) for term in terms)
    sentences = [describe_unknown_words(unknown, "" if has_images else text)]
    left_out = [phrase for term in terms for phrase in find_phrases_left_out(term)]
    if left_out:
        sentences.append(describe_negation(left_out, rewrite_terms(terms)))
    return unknown, [sentence for sentence in sentences if sentence]


def join_texts(terms: Sequence[Term]) -> str:
    """Join the texts among the terms of a query with spaces."""
    return " ".join(term.content for term in terms if isinstance(term.content, str))


def find_phrases_left_out(term: Term) -> list[str]:
    """Find the phrases that the text of a term leaves out; none in a term that is subtracted."""
    if term.weight < 0 or not isinstance(term.content, str):
        return []
    return divide_at_negations(str(term))[1]


def rewrite_terms(terms: Sequence[Term]) -> str:
    """Write a query in which minuses leave out what its texts say is not there.

    Images that are no files are not in it, because no text can name them.
    """
    parts = []
    for term in terms:
        if not isinstance(term.content, str | Path):
            continue
        text = rewrite_negation(str(term)) if find_phrases_left_out(term) else str(term)
        sign = "-" if term.weight < 0 else "+"
        parts.append(text if text.startswith("- ") else f"{sign} {text}")
    return " ".join(parts).removeprefix("+ ")


# ---- one text --------------------------------------------------------------------------------


def explain_negation(text: str) -> str | None:
    """Say that a model looks for what a text leaves out, and which query leaves it out.

    For "a dog and no cat" that is the query `a dog - cat`. English only. Returns None for a text
    that leaves nothing out, such as "a no parking sign", and for a query with "+" or "-" in it.
    """
    _, left_out = divide_at_negations(text)
    return describe_negation(left_out, rewrite_negation(text)) if left_out else None


def describe_negation(left_out: list[str], query: str) -> str:
    """Say that a model looks for some phrases, and which query leaves them out."""
    named = " and ".join(f"“{phrase[:ECHOED]}”" for phrase in left_out[:3])
    advice = f"A query that leaves this out is: {query}"
    if len(query) > LONGEST:
        advice = "To leave something out, write a minus before it, as in: a dog - cat"
    return (
        f"Words such as “no” and “without” hardly count for the model, so it looks for {named} as "
        f"well. {advice}"
    )


def rewrite_negation(text: str) -> str | None:
    """Return the query that leaves out what a text says is not there, such as `a dog - cat`.

    Returns None where `explain_negation` does.
    """
    wanted, left_out = divide_at_negations(text)
    if not left_out:
        return None
    return " ".join([wanted, *(f"- {phrase}" for phrase in left_out)]).strip()


def divide_at_negations(text: str) -> tuple[str, list[str]]:
    """Divide a text into what it asks for and the phrases that it leaves out."""
    words = text.replace('"', "").replace("’", "'").replace("no one", "nobody").split()
    if "+" in words or "-" in words:
        return text, []
    plain = [word.strip(".,;:!?()").lower() for word in words]
    wanted, left_out = [], []
    i = end = 0
    while i < len(words):
        goes_on = plain[i] in ("or", "nor") and left_out and i == end  # "without people or cars"
        start, end = find_left_out(words, plain, i, goes_on)
        if start == end:
            wanted.append(words[i])
            i += 1
            continue
        left_out.append("people" if plain[i] in NOBODY else " ".join(plain[start:end]))
        wanted = strip_links(wanted)  # the "and" of "a dog and no cat"
        i = end
        if is_particle(plain, i):
            i += 1
    if not left_out:
        return text, []
    return " ".join(strip_links(wanted)).rstrip(".,;:!? "), left_out


def find_left_out(words: list[str], plain: list[str], i: int, goes_on: bool) -> tuple[int, int]:
    """Find the first word of the phrase that word i leaves out, and the end of it.

    plain: the words in lower case, without punctuation. goes_on: word i is the "or" between two
    such phrases. Start and end are the same if word i leaves nothing out.
    """
    nothing = (i, i)
    if plain[i] in NOBODY:
        return i, i + 1
    if not (goes_on or plain[i] in NEGATIONS) or words[i][-1] in ".,;:!?":
        return nothing
    following = plain[i + 1 : i + 5]
    if not following or following[0] in HARMLESS or following[0][:1].isdigit():  # "no 7"
        return nothing
    if SIGNS & set(following) or (i > 0 and plain[i - 1] in QUOTING):
        return nothing
    start = i + 1
    while start < len(words) and plain[start] in OPENERS | BOUNDARIES:
        start += 1
    end = start
    while end < len(words) and plain[end] not in BOUNDARIES | NEGATIONS | NOBODY | {""}:
        if end > start and plain[end].endswith("ing"):  # "without a shirt standing on a rock"
            break
        end += 1
        if words[end - 1][-1] in ".,;:!?":
            break
    return start, end


def is_particle(plain: list[str], i: int) -> bool:
    """Tell whether word i is the "on" of "with no shirt on", which belongs to no place."""
    if plain[i : i + 1] != ["on"]:
        return False
    following = plain[i + 1 : i + 2]
    return not following or following[0] in BOUNDARIES | {""} or following[0].endswith("ing")


def strip_links(words: list[str]) -> list[str]:
    """Drop the words at both ends that only link: "and", "who is", and "on" at the beginning."""
    start, end = 0, len(words)
    while start < end and words[end - 1].strip(",;").lower() in LINKS:
        end -= 1
    while start < end and words[start].lower() in LINKS:
        start += 1
    return words[start:end]
