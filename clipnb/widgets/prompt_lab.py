"""The prompt laboratory: type class names and templates and see how well they name images.

It works by setting traits alone.
"""

import html
import warnings
from collections.abc import Sequence

import ipywidgets
import numpy as np
from torch import Tensor

from clipnb.features import check_is_model, encode_images
from clipnb.model import CLIP
from clipnb.preprocess import check_uint8_images
from clipnb.search.words import is_clip_vocabulary
from clipnb.tokenizer import Tokenizer
from clipnb.widgets.accessible import LIVE, make_helper
from clipnb.widgets.checks import check_classes, check_list
from clipnb.widgets.closing import WholeWidget
from clipnb.widgets.exam import Exam, fold, join, read_exam
from clipnb.widgets.images import format_image
from clipnb.widgets.style import PROMPT_LAB_STYLE
from clipnb.zero_shot import build_zero_shot_classifier, find_unknown_words

RIGHT_COLOUR = "#009E73"
WRONG_COLOUR = "#0072B2"
MOST_BARS = 12

SCORES = '<div class="clipnb-exam">{image}<div class="clipnb-bars">{bars}</div></div>'
IMAGE = "<figure>{image}<figcaption>truth: <b>{truth}</b>{note}</figcaption></figure>"
BAR = (
    "<div><span>{name}</span>"
    '<i><u style="width:{percent:.1f}%;background:{colour}"></u></i>'
    "<b>{percent:.0f} %</b></div>"
)


class PromptLab(WholeWidget):
    """Class names and templates in, accuracy on fixed images and the scores of one of them out.

    images: uint8 (N, 3, S, S). truth: N class names, the right answers. classes, templates: what
    it starts with.

    The exam stays the same while the reader tries other words: a name that no image shows stands
    for the class at its place in `classes`, or "dog = puppy" says for which (see `read_exam`). The
    reader changes the exam by typing other classes that the images show, or fewer. The widget says
    so.

    All of it can be done from code: set `classes.value` (names, separated by commas),
    `templates.value` (separated by semicolons) or `image.value`. `accuracy` is the percentage of
    the exam's images that are named rightly. It is None if the boxes make no classifier; then
    `status.value` says why. Raises TypeError and ValueError, in a sentence, for images and names
    that do not fit each other.
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
        check_is_model(model)
        check_uint8_images(images)
        truth = check_list("truth", truth, "a class name")
        classes = check_list("classes", classes, "a class name")
        templates = check_list("templates", templates, "a template")
        check_classes(truth, classes, len(images))
        self.model = model
        self.tokenizer = tokenizer
        self.images = images
        self.truth = truth
        self.start = classes
        self.features = encode_images(model, images)  # (N, D)
        self.scale = model.logit_scale.exp().item()
        self.accuracy: float | None = None
        self.classes = make_text_box("classes", ", ".join(classes))
        self.templates = make_text_box("templates", "; ".join(templates))
        self.image = ipywidgets.IntSlider(
            self._find_first_image(),
            0,
            len(self.truth) - 1,
            description="image",
            style={"description_width": "90px"},
        )
        self.status = ipywidgets.HTML()
        self.scores = ipywidgets.HTML()
        self.add_class("clipnb-lab")
        self.status.add_class(LIVE)
        helper = make_helper(PROMPT_LAB_STYLE)
        controls = [self.classes, self.templates, self.image]
        self.children = [helper, *controls, self.status, self.scores]
        for control in controls:
            control.observe(self.update, "value")
        self.update()

    def __repr__(self) -> str:
        return f"PromptLab({len(self.truth)} images)"

    def _find_first_image(self) -> int:
        """Return the number of the first image that shows one of the classes at the start."""
        asked = {fold(name) for name in self.start}
        return next((i for i, name in enumerate(self.truth) if fold(name) in asked), 0)

    def update(self, change: dict | None = None) -> None:
        """Build the classifier that the boxes describe, and show what it says.

        If it cannot be built, say why, and show no score.
        """
        try:
            exam = read_exam(self.classes.value, self.truth, self.start)
            templates = split_text(self.templates.value, ";")
            weights = self._build_classifier(exam.names, templates)  # (D, C)
        except ValueError as error:
            self.accuracy = None
            self.scores.value = self._format_image(None)
            self.status.value = f"⚠ {html.escape(str(error))}"
            return
        scores = self.features @ weights  # (N, C)
        self.accuracy = self._measure_accuracy(scores, exam)
        self.scores.value = self._format_scores(scores[self.image.value], exam)
        # The status comes last, so that a reader who sees it sees its scores too.
        self.status.value = "<br>".join(map(html.escape, self._tell(exam)))

    def _build_classifier(self, names: list[str], templates: list[str]) -> Tensor:
        """Build the classifier. It would warn of each unknown word; `_tell` says it in one line."""
        if not templates:
            raise ValueError("Type a template such as “a {}”; several are separated by semicolons.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return build_zero_shot_classifier(self.model, self.tokenizer, names, templates)

    def _measure_accuracy(self, scores: Tensor, exam: Exam) -> float:
        """Return the percentage of the exam's images that scores (N, C) name rightly."""
        rights = [
            exam.classes[best] == truth
            for best, truth in zip(scores.argmax(dim=1).tolist(), self.truth, strict=True)
            if truth in exam.classes
        ]
        return 100 * float(np.mean(rights))

    def _tell(self, exam: Exam) -> list[str]:
        """Say what the exam is and how it went, one sentence or two a line."""
        lines = [
            f"{self.accuracy:.0f} % of the {exam.n_images} images of {join(exam.asked)} are named "
            f"rightly; guessing: {100 / len(exam.names):.0f} %."
        ]
        if exam.n_others == 1:
            lines[0] += " One more image is left out."
        elif exam.n_others:
            lines[0] += f" The other {exam.n_others} images are left out."
        if changes := self._tell_changes(exam):
            lines.append(changes)
        stand_ins = [
            f"“{name}” for {shown}"
            for name, shown in zip(exam.names, exam.classes, strict=True)
            if shown is not None and name != shown
        ]
        if stand_ins:
            lines.append(f"Standing in: {join(stand_ins)}.")
        extra = [name for name, shown in zip(exam.names, exam.classes, strict=True) if not shown]
        if extra:
            lines.append(f"A wrong answer for every image: {join(extra)}.")
        unknown = [word for name in exam.names for word in find_unknown_words(self.tokenizer, name)]
        if unknown:
            words = join([f"“{word}”" for word in unknown], most=5)
            lines.append(f"⚠ Seldom or never read by the model: {words}. The score means nothing.")
            if is_clip_vocabulary(self.tokenizer):  # the captions of its training are not here
                lines[-1] = f"CLIP's vocabulary spells {words} in pieces; the model may know it."
        return lines

    def _tell_changes(self, exam: Exam) -> str:
        """Say how the exam differs from the one at the start; nothing if it is the same."""
        shown = set(self.truth)
        start = [name for name in self.start if name in shown]
        without = [name for name in start if name not in exam.asked]
        new = [name for name in exam.asked if name not in start]
        changes = []
        if without:
            changes.append(f"without {join(without)}")
        if new:
            changes.append(f"with {join(new)}")
        return f"Another exam than at the start: {', '.join(changes)}." if changes else ""

    def _format_scores(self, scores: Tensor, exam: Exam) -> str:
        """Format the scores (C,) of the chosen image as HTML: the image, and a bar a class."""
        truth = self.truth[self.image.value]
        shares = (self.scale * scores).softmax(dim=0)  # (C,)
        shown = range(len(exam.names))
        if len(exam.names) > MOST_BARS:
            shown = shares.topk(MOST_BARS).indices.tolist()
        bars = [
            BAR.format(
                name=html.escape(exam.names[c]) + (" ✓" if exam.classes[c] == truth else ""),
                percent=100 * shares[c].item(),
                colour=RIGHT_COLOUR if exam.classes[c] == truth else WRONG_COLOUR,
            )
            for c in shown
        ]
        if len(exam.names) > MOST_BARS:
            bars.append(f"<div>The {len(exam.names) - MOST_BARS} others have less.</div>")
        return SCORES.format(image=self._format_image(exam), bars="".join(bars))

    def _format_image(self, exam: Exam | None) -> str:
        """Format the chosen image as HTML, with its truth."""
        i = self.image.value
        note = ""
        if exam is not None and self.truth[i] not in exam.classes:
            note = ", which is none of the classes"
        truth = html.escape(self.truth[i])
        return IMAGE.format(image=format_image(self.images[i]), truth=truth, note=note)


def make_text_box(description: str, text: str) -> ipywidgets.Text:
    """Make a text box that holds `text`, as wide as the pane allows."""
    return ipywidgets.Text(text, description=description, style={"description_width": "90px"})


def split_text(text: str, separator: str) -> list[str]:
    """Split a text at a separator into its parts, without spaces around them or empty ones."""
    parts = [part.strip() for part in text.split(separator)]
    return [part for part in parts if part]
