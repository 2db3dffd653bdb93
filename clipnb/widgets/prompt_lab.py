"""The prompt laboratory: type class names and templates and see how well they name images.

It works by setting traits alone.
"""

import html
import warnings
from collections.abc import Sequence

import ipywidgets
import numpy as np
from torch import Tensor

from clipnb.features import encode_images
from clipnb.model import CLIP
from clipnb.tokenizer import Tokenizer
from clipnb.widgets.images import format_image
from clipnb.zero_shot import build_zero_shot_classifier

RIGHT_COLOUR = "#009E73"
WRONG_COLOUR = "#0072B2"

SCORES = '<div style="display:flex;gap:16px;align-items:flex-start">{image}<div>{bars}</div></div>'
BAR = (
    '<div style="display:flex;align-items:center;gap:8px;margin:2px 0">'
    '<span style="width:110px">{name}</span>'
    '<span style="height:12px;width:{width:.0f}px;background:{colour}"></span>'
    "{percent:.0f} %"
    "</div>"
)


class PromptLab(ipywidgets.VBox):
    """Class names and templates in, accuracy on fixed images and the scores of one of them out.

    images: uint8 (N, 3, S, S). truth: N class names, the right answers. classes, templates: what
    it starts with.

    All of it can be done from code: set `classes.value` (names, separated by commas),
    `templates.value` (separated by semicolons) or `image.value`. `accuracy` is the percentage of
    images that are named rightly, among those whose truth is one of the classes. It is None if
    there are none.
    """

    def __init__(
        self,
        model: CLIP,
        tokenizer: Tokenizer,
        images: np.ndarray,
        truth: Sequence[str],
        classes: Sequence[str],
        templates: Sequence[str] = ("a {}",),
    ):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.images = images
        self.truth = list(truth)
        self.features = encode_images(model, images)  # (N, D)
        self.scale = model.logit_scale.exp().item()
        self.accuracy: float | None = None
        self.classes = make_text_box("classes", ", ".join(classes))
        self.templates = make_text_box("templates", "; ".join(templates))
        self.image = ipywidgets.IntSlider(
            0,
            0,
            len(self.truth) - 1,
            description="image",
            style={"description_width": "90px"},
            layout={"width": "420px"},
        )
        self.status = ipywidgets.HTML()
        self.scores = ipywidgets.HTML()
        self.children = [self.classes, self.templates, self.image, self.status, self.scores]
        for control in (self.classes, self.templates, self.image):
            control.observe(self.update, "value")
        self.update()

    def __repr__(self) -> str:
        return f"PromptLab({len(self.truth)} images)"

    def update(self, change: dict | None = None) -> None:
        """Build the classifier that the boxes describe, and show what it says.

        If it cannot be built, say why and leave the last good scores.
        """
        names = split_text(self.classes.value, ",")
        templates = split_text(self.templates.value, ";")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                weights = build_zero_shot_classifier(
                    self.model, self.tokenizer, names, templates
                )  # (D, C)
        except ValueError as error:
            self.status.value = (
                f"<b>{html.escape(str(error))}</b> "
                "The scores below are those of the last good prompt."
            )
            return
        scores = self.features @ weights  # (N, C)
        messages = [self._measure_accuracy(scores, names)]
        messages += [f"⚠ {html.escape(str(warning.message))}" for warning in caught]
        self.status.value = "<br>".join(messages)
        self.scores.value = self._format_scores(scores[self.image.value], names)

    def _measure_accuracy(self, scores: Tensor, names: list[str]) -> str:
        """Set `accuracy` from scores (N, C), and return a sentence about it."""
        rights = [
            names[best] == truth
            for best, truth in zip(scores.argmax(dim=1).tolist(), self.truth, strict=True)
            if truth in names
        ]
        if not rights:
            self.accuracy = None
            return "None of the images shows one of these classes."
        self.accuracy = 100 * float(np.mean(rights))
        return (
            f"<b>{self.accuracy:.0f} %</b> of {len(rights)} images are named rightly; "
            f"guessing: {100 / len(names):.0f} %."
        )

    def _format_scores(self, scores: Tensor, names: list[str]) -> str:
        """Format the scores (C,) of the chosen image as HTML: the image, and a bar a class."""
        i = self.image.value
        shares = (self.scale * scores).softmax(dim=0).tolist()
        bars = [
            BAR.format(
                name=html.escape(name),
                width=300 * share,
                percent=100 * share,
                colour=RIGHT_COLOUR if name == self.truth[i] else WRONG_COLOUR,
            )
            for name, share in zip(names, shares, strict=True)
        ]
        return SCORES.format(image=format_image(self.images[i], self.truth[i]), bars="".join(bars))


def make_text_box(description: str, text: str) -> ipywidgets.Text:
    """Make a wide text box that holds `text`."""
    return ipywidgets.Text(
        text,
        description=description,
        style={"description_width": "90px"},
        layout={"width": "620px"},
    )


def split_text(text: str, separator: str) -> list[str]:
    """Split a text at a separator into its parts, without spaces around them or empty ones."""
    parts = [part.strip() for part in text.split(separator)]
    return [part for part in parts if part]
