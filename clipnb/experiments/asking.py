"""Asking for a class in words, in the singular, in the plural or in both, and who answers right.

Two thirds of the scenes with one kind of thing show two or three of it, and their captions say
"dogs". A classifier made of "a dog" alone asks for something else than most captions tell.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import has_one_thing, render_dataset, sample_scenes
from clipnb.experiments.nouns import IRREGULAR_PLURALS
from clipnb.features import encode_texts
from clipnb.runs import Run
from clipnb.scenes.words import NOUN_FORMS
from clipnb.zero_shot import find_unknown_words

NUMBERS = ("singular", "plural", "both")
Sentences = list[list[str]]  # for each class, the sentences whose features are averaged


def load_exam(n_images: int, pairs: str = "seen", image_size: int = 64) -> CaptionDataset:
    """Draw test scenes that show one kind of thing each, the same every time.

    pairs: "seen" (pairs of kind and colour that training shows), "unseen" (those that it does not)
    or "dev" (seen pairs in other scenes, on which a setting may be chosen).
    """
    scenes = sample_scenes(n_images, f"one_thing_{pairs}", pairs == "unseen", has_one_thing)
    return render_dataset(scenes, image_size)


def score_sentences(run: Run, features: Tensor, sentences: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the cosines (N, C) of images with classes, each of which is told by some sentences.

    features: of the images, (N, D) of unit length. The features of a class's sentences are
    averaged, and the mean gets unit length again (paper §3.1.4). Classes may have different
    numbers of sentences.
    """
    means = [encode_texts(run.model, run.tokenizer(list(own))).mean(dim=0) for own in sentences]
    weights = F.normalize(torch.stack(means), dim=-1)  # (C, D)
    return (features @ weights.T).numpy()


def ask_kinds(kinds: Sequence[str]) -> dict[str, Sentences]:
    """Return the sentences that ask for kinds of things: "a dog", "dogs", or both of them."""
    forms = [NOUN_FORMS[kind].plain[0] for kind in kinds]
    singular = [[f"a {one}"] for one, _ in forms]
    plural = [[many] for _, many in forms]
    return put_together(singular, plural)


def ask_nouns(nouns: Sequence[str], is_known: Callable[[str], bool]) -> dict[str, Sentences]:
    """Return the sentences that ask for nouns: "dog", "dogs", or both of them.

    A noun whose plural is not known, such as "grass", is asked for in the singular each time.
    """
    plurals = [IRREGULAR_PLURALS.get(noun, f"{noun}s") for noun in nouns]
    singular = [[noun] for noun in nouns]
    plural = [[many if is_known(many) else noun] for noun, many in zip(nouns, plurals, strict=True)]
    return put_together(singular, plural)


def put_together(singular: Sentences, plural: Sentences) -> dict[str, Sentences]:
    """Return sentences by their number; "both" holds those in the singular and in the plural."""
    both = [one + many for one, many in zip(singular, plural, strict=True)]
    return {"singular": singular, "plural": plural, "both": both}


def knows_word(run: Run) -> Callable[[str], bool]:
    """Make a function that tells whether a word is a single token of a run's vocabulary."""
    return lambda word: not find_unknown_words(run.tokenizer, word)


def score_by_class(right: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the percentage of right answers (C,) among the images of each class.

    Its mean over classes is that of chance, 100 / C, for every model that gives all images the same
    answer. right: (N,). labels: int (N,); every class has an image.
    """
    return np.array([100 * np.mean(right[labels == label]) for label in range(n_classes)])
