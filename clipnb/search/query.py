"""A query with plus and minus: `2:dog + ./a.jpg - people` (the grammar of rclip, simplified).

A term is a text or an image file. It may begin with a weight, as in `2:dog`. "+" and "-" count only
where they stand alone between spaces, so `t-shirt` is a text. A quoted part stays whole, as in
`"rock - paper" + hands`. The double quotes themselves never reach the model.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_TERMS = 50  # each of them costs an encoding
SMALLEST_WEIGHT, LARGEST_WEIGHT = 0.001, 1000
ECHOED = 60  # characters of a term that a message repeats

# A quoted part, or an operator. A quote begins at the beginning of a word or behind a weight.
QUOTED_OR_OPERATOR = re.compile(r'(?<![^\s:])"[^"]*"|(?<!\S)[+-](?!\S)')
# A digit behind the colon makes it a time or a ratio: "12:30 train" and "16:9" have no weight.
WEIGHT = re.compile(r"([+-]?(?:[.,]*\d[\d.,]*(?:e[+-]?\d+)?|nan|inf)):\s*(?![\s\d])", re.IGNORECASE)
PATH_START = re.compile(r"(?:\.{0,2}|~)[/\\]")  # /a, ./a, ../a and ~/a


@dataclass(frozen=True, eq=False)
class Term:
    """One part of a query.

    weight: below zero for a part that is subtracted. content: a text, the path of an image file,
    or an image itself, as `ImageIndex.encode` takes it.
    """

    weight: float
    content: str | Path | Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Term):
            return NotImplemented
        same = self.content is other.content
        if isinstance(self.content, str | Path) and isinstance(other.content, str | Path):
            same = self.content == other.content  # two arrays would be compared pixel by pixel
        return same and self.weight == other.weight

    def __str__(self) -> str:
        """Return the term without its sign, in the form that `parse_query` reads."""
        content = write_content(self.content)
        weight = f"{abs(self.weight)!r}".removesuffix(".0")
        looks_weighted = bool(WEIGHT.match(content))
        is_time = weight != "1" and content[:1].isdigit()  # "2:12:30" has no weight
        is_divided = bool(QUOTED_OR_OPERATOR.search(content)) or content != content.strip()
        if looks_weighted or is_time or is_divided:
            content = f'"{content}"'
        return content if weight == "1" and not looks_weighted else f"{weight}:{content}"


@dataclass(frozen=True)
class Query:
    """The terms of a query. Its vector is the sum of their unit vectors, each times its weight."""

    terms: tuple[Term, ...]

    def __post_init__(self):
        object.__setattr__(self, "terms", tuple(self.terms))

    @property
    def text(self) -> str | None:
        """The text, if the query is one text and nothing is subtracted; None otherwise."""
        if len(self.terms) != 1 or self.terms[0].weight < 0:
            return None
        content = self.terms[0].content
        return content if isinstance(content, str) else None

    def __str__(self) -> str:
        """Return the query in the form that `parse_query` reads."""
        parts = []
        for term in self.terms:
            sign = "-" if term.weight < 0 else "+"
            parts += [sign, str(term)]
        if parts[:1] == ["+"]:
            parts = parts[1:]
        return " ".join(parts)


def write_content(content: str | Path | Any) -> str:
    """Write the content of a term. An image that is no file is called "(image)"."""
    if isinstance(content, str):
        return content
    if isinstance(content, Path):
        return str(content) if content.is_absolute() else f"./{content}"
    return "(image)"


# ---- reading ---------------------------------------------------------------------------------


def parse_query(texts: str | Sequence[str]) -> Query:
    """Read a query from one string, or from the arguments of a command.

    Neighbouring arguments without an operator between them are one text. An argument that names a
    file is that file, whatever its name. A query may consist of subtracted terms alone: `- people`
    finds the images least like people. A text without any word gives a query without terms.

    Raises ValueError, in one line, for an operator or a weight that nothing follows, for a weight
    that is no number from 0.001 to 1,000, for a file that is not there, and for too many terms.
    Raises TypeError for anything but strings.
    """
    arguments = [texts] if isinstance(texts, str) else list(texts)
    sign, words = "", []
    terms = []
    for token in [*find_tokens(arguments), None]:
        if token not in ("+", "-", None):
            words.append(token)
            continue
        if words:
            terms.append(read_term(sign, " ".join(words)))
        elif sign:
            raise ValueError(
                f"nothing follows the {sign!r}; write a text or an image file after it, as in "
                "'dog + snow', or put it into double quotes if it is a part of a text."
            )
        sign, words = token, []
    if len(terms) > MOST_TERMS:
        raise ValueError(f"a query has at most {MOST_TERMS} terms, but this has {len(terms):,}.")
    return Query(tuple(terms))


def find_tokens(arguments: Sequence[str]) -> list[str]:
    """Divide arguments into the operators "+" and "-" and what stands between them."""
    tokens = []
    for argument in arguments:
        if not isinstance(argument, str):
            raise TypeError(f"a query is a string or a list of strings, not {argument!r}.")
        weight = WEIGHT.match(argument)
        if is_file(argument[weight.end() :] if weight else argument):
            tokens.append(argument)
            continue
        start = 0
        for match in QUOTED_OR_OPERATOR.finditer(argument):
            if match[0] in ("+", "-"):
                tokens += [argument[start : match.start()].strip(), match[0]]
                start = match.end()
        tokens.append(argument[start:].strip())
    return [token for token in tokens if token]


def read_term(sign: str, text: str) -> Term:
    """Read one term. sign: "+", "-" or nothing. Raises ValueError as `parse_query` does."""
    rest = text
    if text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        rest = text[1:-1].strip()
    weight = 1.0
    match = WEIGHT.match(rest)
    if match:
        weight = read_weight(match[1], rest)
        rest = rest[match.end() :]
    if not rest.replace('"', "").strip():
        raise ValueError(
            f"there is nothing to search for in {shorten(text)!r}; write a text or an image file, "
            "as in 'dog' or '2:dog'."
        )
    return Term(-weight if sign == "-" else weight, read_content(rest))


def read_weight(number: str, text: str) -> float:
    """Read the weight of a term. Raises ValueError for what is no number or out of bounds."""
    try:
        weight = float(number)
    except ValueError:
        weight = 0.0
    if not SMALLEST_WEIGHT <= abs(weight) <= LARGEST_WEIGHT:
        raise ValueError(
            f"{shorten(number)!r} is no weight in {shorten(text)!r}; a weight is a number from "
            f"{SMALLEST_WEIGHT} to {LARGEST_WEIGHT:,}, as in '2:dog' or '0.5:dog'."
        )
    return weight


def read_content(text: str) -> str | Path:
    """Return the path of the image file that a text names, or the text with single spaces.

    Raises ValueError for a text that looks like a file but names none.
    """
    unquoted = text.replace('"', "").strip()
    for name in (text, unquoted):
        if is_file(name):
            return Path(name).expanduser()
    if not looks_like_file(unquoted):
        return " ".join(unquoted.split())
    if "://" in unquoted:
        raise ValueError(f"{shorten(unquoted)!r} is an address; download the image, name the file.")
    if os.path.isdir(os.path.expanduser(unquoted)):
        raise ValueError(f"{shorten(unquoted)!r} is a folder; name one image file in it.")
    hint = " Put a + or - between an image and a text." if " " in unquoted else ""
    raise ValueError(f"there is no image file {shorten(unquoted)!r}.{hint}")


def looks_like_file(text: str) -> bool:
    """Tell whether a text has the form of a path or the suffix of an image."""
    from clipnb.datasets.image_files import (
        ALL_SUFFIXES,
        get_suffix,
    )  # a text alone needs no dataset

    return bool(PATH_START.match(text)) or get_suffix(text) in ALL_SUFFIXES


def is_file(text: str) -> bool:
    """Tell whether a text has the form of a path or of an image and names a file that exists."""
    return looks_like_file(text) and os.path.isfile(os.path.expanduser(text))


def shorten(text: str, most: int = ECHOED) -> str:
    """Cut a text after `most` characters, and mark the cut with an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
