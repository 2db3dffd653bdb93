"""A classifier made of words: each class is the mean feature of sentences about it (paper §3.1)."""

import warnings
from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from clipnb.features import encode_images, encode_texts
from clipnb.model import CLIP
from clipnb.search.words import find_unknown_words, find_words, is_clip_vocabulary
from clipnb.tokenizer import Tokenizer, check_texts

__all__ = [
    "DEFAULT_TEMPLATES",
    "build_zero_shot_classifier",
    "find_unknown_words",
    "find_words",
    "zero_shot_scores",
]
DEFAULT_TEMPLATES = ("a photo of a {}",)


def build_zero_shot_classifier(
    model: CLIP,
    tokenizer: Tokenizer,
    classnames: Iterable[str],
    templates: Iterable[str] = DEFAULT_TEMPLATES,
) -> Tensor:
    """Build a classifier from class names and templates with a {} each.

    Returns weights (D, C), float32, of unit length: image features @ weights are cosines. The
    features of a class's sentences are averaged, and the mean gets unit length again (paper
    §3.1.4), so an ensemble of templates costs nothing at test time.

    Warns of a class name with a word that is no single token: a vocabulary learned from the
    captions has hardly met it, so its score means nothing. CLIP's own vocabulary has a token for
    most words, also for those that no caption of yours held, so with it the warning is rare.

    Raises TypeError for what is no list of strings, ValueError if there is no class or no
    template, for an empty class name, or a template without exactly one {}.
    """
    classnames = check_texts(classnames, "a class name")
    templates = check_texts(templates, "a template")
    check_classes_and_templates(classnames, templates)
    warn_of_unknown_words(tokenizer, classnames)
    texts = [template.replace("{}", name) for name in classnames for template in templates]  # C*P
    features = encode_texts(model, tokenizer(texts))  # (C*P, D)
    by_class = features.view(len(classnames), len(templates), -1)  # (C, P, D)
    return F.normalize(by_class.mean(dim=1), dim=-1).T  # (D, C)


def check_classes_and_templates(classnames: list[str], templates: list[str]) -> None:
    """Raise ValueError, in words, for what makes no classifier."""
    if not classnames or not templates:
        raise ValueError("a classifier needs at least one class name and one template.")
    for place, name in enumerate(classnames, start=1):
        if not name.strip():
            raise ValueError(
                f"class name {place} of {len(classnames)} is empty; a class name is a text, such "
                "as 'dog'."
            )
    for template in templates:
        if problem := find_problem(template):
            raise ValueError(
                f"the template {template!r} has {problem}; write {{}} once, where the class name "
                "goes, as in 'a photo of a {}'."
            )


def find_problem(template: str) -> str:
    """Say what keeps a template from taking a class name, or return an empty string."""
    n_places = template.count("{}")
    if n_places == 0:
        return "no {} for the class name"
    if n_places > 1:
        return f"{n_places} places {{}} for the class name"
    rest = template.replace("{}", "")
    if "{" in rest or "}" in rest:
        return "a brace that belongs to no {}"
    return ""


def warn_of_unknown_words(tokenizer: Tokenizer, classnames: list[str]) -> None:
    """Warn of class names with words that are no single token.

    A published model may know such a word, so with CLIP's vocabulary the warning says so.
    """
    meaning = "so its score means nothing."
    if is_clip_vocabulary(tokenizer):
        meaning = (
            "so its score may mean nothing, unless the model was trained on very many captions."
        )
    for name in classnames:
        if unknown := find_unknown_words(tokenizer, name):
            words = ", ".join(map(repr, unknown))
            warnings.warn(
                f"class {name!r}: the vocabulary has never seen {words} as a word, {meaning}",
                stacklevel=3,
            )


def zero_shot_scores(
    model: CLIP,
    tokenizer: Tokenizer,
    images: Tensor,
    classnames: Iterable[str],
    templates: Iterable[str] = DEFAULT_TEMPLATES,
) -> Tensor:
    """Return the cosines (N, C) of images with classes.

    images: uint8 (N, 3, S, S), or their features (N, D) of unit length.
    """
    if getattr(images, "ndim", 4) == 4:  # encode_images tells what is no array
        images = encode_images(model, images)
    return images @ build_zero_shot_classifier(model, tokenizer, classnames, templates)
