"""Simulated outcomes of the experiments on words as classifiers: without skill, and with skill."""

import numpy as np

from clipnb.experiments.asking import NUMBERS
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.scenes import KINDS

N = 1000
SPREAD = 0.15  # standard deviation of the accuracies of classes, as in a pilot


def draw_right(rng, labels, accuracies):
    """Draw which images are named rightly, at the accuracy of each one's class."""
    return rng.random(len(labels)) < np.clip(accuracies, 0.01, 0.99)[labels]


def simulate_zero_shot(kind, seed):
    """Simulate the accuracy of ImageNet in Table 1, or of a guess that differs by image."""
    rng, classes = np.random.default_rng(seed), np.random.default_rng(0)
    n_kinds = len(KINDS)
    level = 1 / n_kinds if kind == "blank" else 0.762 + 0.03 * rng.normal()
    spread = 0 if kind == "blank" else SPREAD * classes.normal(size=n_kinds)
    outcomes = {}
    for pairs in ("seen", "unseen"):
        labels = np.arange(N) % n_kinds
        outcomes[f"_kind {pairs}"] = labels
        for number in NUMBERS:
            right = draw_right(rng, labels, level + spread + np.zeros(n_kinds))
            outcomes[f"kind {pairs}, {number}"] = right
        for attribute in ("colour", "place"):
            outcomes[f"{attribute} {pairs}"] = rng.random(N) < (1 / 8 if kind == "blank" else 0.9)
    return outcomes, {}


def simulate_nouns(kind, seed, n_nouns):
    """Simulate cosines of photos with nouns that tell nothing, or that find what is there.

    Returns the truth (N, C), the same in each seed, and a function that draws scores (N, C).
    """
    rng, photos = np.random.default_rng(seed), np.random.default_rng(0)
    shares = photos.uniform(0.02, 0.12, n_nouns)
    truth = photos.random((N, n_nouns)) < shares
    skill = 0 if kind == "blank" else photos.uniform(1, 3, n_nouns)

    def draw_scores(extra=0.0):
        return (skill + extra) * truth + rng.normal(size=truth.shape)

    return truth, draw_scores


def simulate_zero_shot_photos(kind, seed):
    """Simulate nouns that are found as well as in a pilot, since Table 1 has no such figure."""
    truth, draw_scores = simulate_nouns(kind, seed, len(NOUN_CLASSES))
    outcomes = {f"_{number}": draw_scores() for number in NUMBERS}
    return outcomes | {"_truth": truth}, {}


SIMULATIONS = {
    "zero_shot": simulate_zero_shot,
    "zero_shot_flickr8k": simulate_zero_shot_photos,
}
