"""Texts that the search widget offers in place of one that the model does not understand."""

import re
from collections.abc import Callable

import ipywidgets

from clipnb.search.negation import rewrite_negation
from clipnb.search.words import UnknownWord
from clipnb.widgets.cards import make_button, shorten

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


def suggest_texts(text: str, unknown: list[UnknownWord]) -> list[str]:
    """Return texts to search for in place of one with misspelt words or a negation."""
    texts = [rewrite_negation(text) or text]
    corrected = text
    for word in unknown:
        corrected = replace_word(corrected, word.word, word.spelling or word.word)
    texts.append(corrected)
    for word in unknown:
        texts += [replace_word(text, word.word, known) for known in word.nearest]
    return [other for other in dict.fromkeys(texts) if other != text]


def replace_word(text: str, word: str, other: str) -> str:
    """Replace a word wherever it stands in a text, in whatever case."""
    return re.sub(rf"\b{re.escape(word)}\b", other, text, flags=re.IGNORECASE)
