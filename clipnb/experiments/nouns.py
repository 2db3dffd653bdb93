"""Flickr8k as a test of classification: nouns of the captions as classes, average precision."""

import re
from collections.abc import Sequence

import numpy as np

from clipnb.datasets import CaptionDataset

# Frequent nouns that name something visible. They were chosen from the training captions, before
# any model was tested on them.
NOUN_CLASSES = (
    "dog",
    "man",
    "woman",
    "boy",
    "girl",
    "child",
    "water",
    "beach",
    "grass",
    "snow",
    "bike",
    "ball",
    "street",
    "mountain",
    "car",
    "field",
    "pool",
    "wave",
    "rock",
    "sand",
    "tree",
    "soccer",
    "football",
    "road",
    "crowd",
)
IRREGULAR_PLURALS = {"man": "men", "woman": "women", "child": "children"}


def noun_truth(
    dataset: CaptionDataset, classes: Sequence[str] = NOUN_CLASSES, votes: int = 2
) -> np.ndarray:
    """Tell which nouns each image shows, as bool (N, C).

    An image shows a noun if at least `votes` of its captions hold the noun, in the singular or the
    plural.
    """
    forms = [noun_forms(name) for name in classes]
    truth = np.zeros((len(dataset.captions), len(classes)), dtype=bool)
    for i, captions in enumerate(dataset.captions):
        words = [set(re.findall("[a-z]+", caption.lower())) for caption in captions]
        for c, own_forms in enumerate(forms):
            n_captions = sum(not own_forms.isdisjoint(own_words) for own_words in words)
            truth[i, c] = n_captions >= votes
    return truth


def noun_forms(noun: str) -> set[str]:
    """Return the singular of a noun and the spellings that its plural may have."""
    return {noun, IRREGULAR_PLURALS.get(noun, f"{noun}s"), f"{noun}es"}


def average_precisions(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the average precision of each class, float (C,), in percent.

    scores: (N, C). truth: bool (N, C). A class without a positive gets NaN. The result equals
    scikit-learn's `average_precision_score` where no scores tie. It is computed for all classes at
    once, because the bootstrap needs it a thousand times.
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(truth, order, axis=0)  # (N, C), best first
    ranks = np.arange(1, len(hits) + 1)[:, None]  # (N, 1)
    precision = hits.cumsum(axis=0) / ranks  # (N, C)
    positives = hits.sum(axis=0)  # (C,)
    return 100 * (precision * hits).sum(axis=0) / np.where(positives, positives, np.nan)


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean over classes of average precision, in percent.

    scores: (N, C). truth: bool (N, C). Classes without a positive are left out.
    """
    return float(np.nanmean(average_precisions(scores, truth)))


def prevalence(truth: np.ndarray) -> float:
    """Return the mean share of images that show a class, in percent. truth: bool (N, C).

    Guessing has nearly this mean average precision.
    """
    return float(100 * np.mean(truth))
