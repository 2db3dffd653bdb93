"""A game against the model: which sentence belongs to which image?

It works by setting traits alone.
"""

import html
import random
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch

from clipnb.retrieval import ImageIndex
from clipnb.widgets.accessible import LIVE, make_helper
from clipnb.widgets.checks import check_captions, check_index, check_number, check_shown
from clipnb.widgets.closing import WholeWidget
from clipnb.widgets.images import format_image

LETTERS = "ABCDEFGH"
OPEN = "?"  # a choice that has not been made

STYLE = """
.clipnb-table        { display: flex; flex-flow: row wrap; gap: 10px; margin: 4px 0 8px; }
.clipnb-table figure { margin: 0; text-align: center; color: var(--jp-ui-font-color1, #222); }
.clipnb-table img    { display: block; border-radius: 6px; }
.clipnb-sentence     { max-width: 560px; line-height: 1.4;
                       white-space: normal; overflow-wrap: anywhere;
                       color: var(--jp-ui-font-color1, #222); }
.clipnb-score .widget-html-content
                     { min-height: 24px; line-height: 1.5; color: var(--jp-ui-font-color1, #222); }
"""


@dataclass(frozen=True)
class Round:
    """One deal: the rows of n images in the index, and n sentences as (place, caption's number).

    Sentence i belongs to the image at `places[i]` of `rows`, and is caption `numbers[i]` of it.
    """

    rows: list[int]
    places: list[int]
    numbers: list[int]


def deal_round(index: ImageIndex, n: int, rng: random.Random) -> Round:
    """Deal n images of an index, and one caption of each in another order."""
    rows = rng.sample(range(len(index)), n)
    places = rng.sample(range(n), n)
    numbers = [rng.randrange(len(index.captions[rows[place]])) for place in places]
    return Round(rows, places, numbers)


def choose_images(index: ImageIndex, dealt: Round) -> list[int]:
    """Return the model's choices: for each sentence of a round the place of the nearest image."""
    image_features = index.image_features[dealt.rows]  # (n, D)
    captions = zip(dealt.places, dealt.numbers, strict=True)
    text_features = torch.stack(
        [index.text_features[dealt.rows[place], number] for place, number in captions]
    )  # (n, D)
    return (text_features @ image_features.T).argmax(dim=1).tolist()


class MatchingGame(WholeWidget):
    """Play against a model: choose an image for each sentence, then compare.

    All of it can be done from code: set `choices[i].value` to a letter, click `compare` and `deal`.
    `scores` counts the right choices of the reader and of the model over all rounds. n: images in
    a round, at most 8. seed: decides the rounds. shown: larger images uint8 (N, 3, S, S) to show
    in place of the index's own. Raises TypeError and ValueError, in a sentence, for an index
    without images or captions.
    """

    def __init__(
        self, index: ImageIndex, n: int = 6, seed: int = 0, shown: np.ndarray | None = None
    ):
        super().__init__()
        check_index(index)
        check_shown(index, shown)
        check_captions(index)
        self.index = index
        self.n = min(max(1, check_number("n", n)), len(index), len(LETTERS))
        self.rng = random.Random(seed)
        self.shown = index.images if shown is None else shown
        self.scores = {"you": 0, "model": 0, "of": 0}
        self.images = ipywidgets.HTML()
        beside = {"flex": "1 1 0", "min_width": "0"}  # beside its choice, as wide as there is room
        self.sentences = [ipywidgets.HTML(layout=beside) for _ in range(self.n)]
        options = [OPEN, *LETTERS[: self.n]]
        self.choices = [
            ipywidgets.Dropdown(
                options=options,
                description=f"Sentence {number}",
                style={"description_width": "initial"},
                layout={"width": "150px"},
            )
            for number in range(1, self.n + 1)
        ]
        self.compare = ipywidgets.Button(
            description="Compare with the model", layout={"width": "auto"}
        )
        self.deal = ipywidgets.Button(description="Next round", layout={"width": "auto"})
        self.status = ipywidgets.HTML()
        self.status.add_class(LIVE)
        self.status.add_class("clipnb-score")
        self.compare.on_click(self._compare)
        self.deal.on_click(self._deal)
        pairs = zip(self.choices, self.sentences, strict=True)
        rows = [ipywidgets.HBox(pair) for pair in pairs]
        buttons = ipywidgets.HBox([self.compare, self.deal], layout={"flex_flow": "row wrap"})
        self.children = [make_helper(STYLE), self.images, *rows, buttons, self.status]
        self._deal()

    def __repr__(self) -> str:  # the default one prints the children, images and all
        return f"MatchingGame({self.n} of {len(self.index)} images)"

    def _deal(self, button: ipywidgets.Button | None = None) -> None:
        """Begin a round: show new images and sentences, and forget the choices."""
        self.round = deal_round(self.index, self.n, self.rng)
        self.images.value = self._format_images()
        for widget in self.choices:
            widget.value = OPEN
        self._show_sentences()
        self.compare.disabled = False
        self.status.value = "Choose a letter for each sentence, then compare."

    def _compare(self, button: ipywidgets.Button | None = None) -> None:
        """Show the reader's and the model's choices beside the truth, and count the right ones."""
        choices = [widget.value for widget in self.choices]
        if OPEN in choices:
            n_open = choices.count(OPEN)
            self.status.value = f"{n_open} of {self.n} sentences have no image yet."
            return
        truths = [LETTERS[place] for place in self.round.places]
        model = [LETTERS[place] for place in choose_images(self.index, self.round)]
        n_yours = sum(ours == truth for ours, truth in zip(choices, truths, strict=True))
        n_models = sum(its == truth for its, truth in zip(model, truths, strict=True))
        self.scores["you"] += n_yours
        self.scores["model"] += n_models
        self.scores["of"] += self.n
        self._show_sentences(list(zip(choices, model, truths, strict=True)))
        self.compare.disabled = True  # a round counts once
        self.status.value = (
            f"This round: you {n_yours}, the model {n_models} of {self.n}. In all rounds: you "
            f"{self.scores['you']}, the model {self.scores['model']} of {self.scores['of']}."
        )

    def _format_images(self) -> str:
        figures = []
        for letter, row in zip(LETTERS, self.round.rows, strict=False):
            image = format_image(self.shown[row], f"image {letter}", size=128)
            figures.append(f"<figure>{image}<figcaption><b>{letter}</b></figcaption></figure>")
        return f'<div class="clipnb-table">{"".join(figures)}</div>'

    def _show_sentences(self, results: list[tuple[str, str, str]] | None = None) -> None:
        """Show the sentences, and (choice, model's choice, truth) of each once they are known."""
        for i, widget in enumerate(self.sentences):
            row = self.round.rows[self.round.places[i]]
            sentence = html.escape(self.index.captions[row][self.round.numbers[i]])
            result = _format_result(*results[i]) if results else ""
            widget.value = f'<div class="clipnb-sentence">{sentence}{result}</div>'


def _format_result(choice: str, model: str, truth: str) -> str:
    """Say who was right about one sentence."""
    yours = "right" if choice == truth else f"wrong, it is {truth}"
    its = "right" if model == truth else f"wrong, it chose {model}"
    return f"<br><b>you: {yours} · the model: {its}</b>"
