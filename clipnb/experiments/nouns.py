"""Flickr8k as a test of classification: classes made of the captions' nouns, and average precision."""

import re

import numpy as np

# Frequent nouns that name something one can see; chosen from training captions, before any model was asked.
CLASSES = (
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
IRREGULAR = {"man": "men", "woman": "women", "child": "children"}


def noun_truth(dataset, classes=CLASSES, votes=2):
    """Whether at least `votes` of an image's captions hold a class's noun, in the singular or the plural: bool (N, C)."""
    forms = [{name, IRREGULAR.get(name, name + "s"), name + "es"} for name in classes]
    words = [
        [set(re.findall("[a-z]+", caption.lower())) for caption in own] for own in dataset.captions
    ]
    return np.array(
        [[sum(bool(form & said) for said in own) >= votes for form in forms] for own in words]
    )


def average_precisions(scores, truth):
    """Average precision of each class, in percent, NaN without a positive; scores (N, C), truth bool (N, C) -> (C,).

    Equal to scikit-learn's `average_precision_score` where no scores tie; all classes at once, since the bootstrap asks a thousand times.
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(truth, order, axis=0)  # (N, C) best first
    precision = hits.cumsum(axis=0) / np.arange(1, len(hits) + 1)[:, None]
    positives = hits.sum(axis=0)
    return 100 * (precision * hits).sum(axis=0) / np.where(positives, positives, np.nan)


def mean_average_precision(scores, truth):
    """Mean over classes of average precision, in percent; scores (N, C), truth bool (N, C), classes without a positive are left out."""
    return float(np.nanmean(average_precisions(scores, truth)))


def prevalence(truth):
    """What guessing scores, nearly: the mean share of images that hold a class, in percent."""
    return float(100 * np.mean(truth))
