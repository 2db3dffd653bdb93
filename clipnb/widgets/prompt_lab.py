"""The prompt laboratory: type class names and templates and see how well they name images. It works by setting traits alone."""

import html
import warnings

import ipywidgets
import numpy as np

from clipnb.features import encode_images
from clipnb.widgets.retrieval import image_html
from clipnb.zero_shot import build_zero_shot_classifier

BAR = '<div style="display:flex;align-items:center;gap:8px;margin:2px 0"><span style="width:110px">{name}</span><span style="height:12px;width:{width:.0f}px;background:{colour}"></span>{share:.0f} %</div>'


class PromptLab(ipywidgets.VBox):
    """Class names and templates in, accuracy on fixed images and the scores of one of them out.

    images: uint8 (N, 3, S, S). truth: N class names, as the images' right answers. classes, templates: lists of strings to start with.
    All of it can be done from code: set `classes.value` (names with commas), `templates.value` (with semicolons) or `image.value`;
    `accuracy` is the share of images named rightly among those whose truth is one of the classes, in percent, or None if there is none.
    """

    def __init__(self, model, tokenizer, images, truth, classes, templates=("a {}",)):
        super().__init__()
        self.model, self.tokenizer, self.images, self.truth = model, tokenizer, images, list(truth)
        self.features, self.accuracy, self.scale = (
            encode_images(model, images),
            None,
            model.logit_scale.exp().item(),
        )
        wide = {"description_width": "90px"}
        self.classes = ipywidgets.Text(
            ", ".join(classes), description="classes", style=wide, layout={"width": "620px"}
        )
        self.templates = ipywidgets.Text(
            "; ".join(templates), description="templates", style=wide, layout={"width": "620px"}
        )
        self.image = ipywidgets.IntSlider(
            0, 0, len(self.truth) - 1, description="image", style=wide, layout={"width": "420px"}
        )
        self.status, self.scores = ipywidgets.HTML(), ipywidgets.HTML()
        self.children = [self.classes, self.templates, self.image, self.status, self.scores]
        for part in self.classes, self.templates, self.image:
            part.observe(lambda change: self.update(), "value")
        self.update()

    def __repr__(self):
        return f"PromptLab({len(self.truth)} images)"

    def update(self):
        """Build the classifier anew from what the boxes hold; what cannot be built is said, and the last good answer stays."""
        names = [name.strip() for name in self.classes.value.split(",") if name.strip()]
        templates = [
            template.strip() for template in self.templates.value.split(";") if template.strip()
        ]
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                weights = build_zero_shot_classifier(
                    self.model, self.tokenizer, names, templates
                )  # (D, C)
        except ValueError as error:
            self.status.value = f"<b>{html.escape(str(error))}</b> The scores below are those of the last good prompt."
            return
        scores = self.features @ weights  # (N, C)
        guesses = [names[i] for i in scores.argmax(dim=1).tolist()]
        asked = [i for i, name in enumerate(self.truth) if name in names]
        self.accuracy = (
            100 * float(np.mean([guesses[i] == self.truth[i] for i in asked])) if asked else None
        )
        told = (
            f"<b>{self.accuracy:.0f} %</b> of {len(asked)} images are named rightly; guessing: {100 / len(names):.0f} %."
            if asked
            else "None of the images shows one of these classes."
        )
        self.status.value = "<br>".join(
            [told, *(f"⚠ {html.escape(str(warning.message))}" for warning in caught)]
        )
        i = self.image.value
        bars = "".join(
            BAR.format(
                name=html.escape(name),
                width=300 * share,
                share=100 * share,
                colour="#009E73" if name == self.truth[i] else "#0072B2",
            )
            for name, share in zip(names, (self.scale * scores[i]).softmax(dim=0).tolist())
        )
        self.scores.value = f'<div style="display:flex;gap:16px;align-items:flex-start">{image_html(self.images[i], self.truth[i])}<div>{bars}</div></div>'
