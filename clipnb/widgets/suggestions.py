"""Texts that the search widget offers in place of one that the model does not understand."""

import re
from collections.abc import Callable, Sequence

import ipywidgets

from clipnb.search.negation import rewrite_terms
from clipnb.search.query import Query, Term, shorten
from clipnb.search.words import UnknownWord
from clipnb.widgets.cards import make_button

MOST = 3


class Suggestions(ipywidgets.Box):
    """Buttons that search for another text. choose: called with the text of the one clicked."""

    def __init__(self, choose: Callable[[str], None]):
        super().__init__()
        self.choose = choose
        self.texts: list[str] = []
        self.children = [make_button("", "") for _ in range(MOST)]
        for button in self.children:
            button.on_click(self._click)
        self.add_class("clipnb-controls")
        self.show([])

    def show(self, texts: list[str]) -> None:
        """Offer some texts. The other buttons are hidden."""
        self.texts = texts[:MOST]
        for i, button in enumerate(self.children):
            button.layout.display = None if i < len(self.texts) else "none"
        for button, text in zip(self.children, self.texts, strict=False):
            with button.hold_sync():  # one message in place of two
                button.description = f"Search for “{shorten(text, 50)}”"
                button.tooltip = button.description

    def _click(self, button: ipywidgets.Button) -> None:
        self.choose(self.texts[self.children.index(button)])


def suggest_texts(terms: Sequence[Term], unknown: list[UnknownWord]) -> list[str]:
    """Return texts to search for in place of one with misspelt words or a negation.

    terms: what the text was read as. The names of files in it stay as they are.
    """
    corrected = terms
    for word in unknown:
        corrected = replace_in_texts(corrected, word.word, word.spelling or word.word)
    texts = [rewrite_terms(terms), str(Query(corrected))]
    for word in unknown:
        texts += [str(Query(replace_in_texts(terms, word.word, near))) for near in word.nearest]
    return [other for other in dict.fromkeys(texts) if other != str(Query(terms))]


def replace_in_texts(terms: Sequence[Term], word: str, other: str) -> list[Term]:
    """Replace a word in all terms that are texts."""
    replaced = []
    for term in terms:
        content = term.content
        if isinstance(content, str):
            content = replace_word(content, word, other)
        replaced.append(Term(term.weight, content))
    return replaced


def replace_word(text: str, word: str, other: str) -> str:
    """Replace a word wherever it stands in a text, in whatever case."""
    return re.sub(rf"\b{re.escape(word)}\b", other, text, flags=re.IGNORECASE)
