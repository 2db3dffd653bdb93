"""What the experiments on C6 would measure: models that learned nothing, and the paper's effect."""

import numpy as np

from clipnb.experiments.exams import ATTRIBUTES
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.experiments.probes import TAUGHT_TASKS

R = 0.82  # the paper's correlation
N_IMAGES = 4000


def draw_correlated(n, stream):
    """Return two normal values for each of n classes; their correlation is R exactly."""
    pairs = np.random.default_rng(stream).normal(size=(n, 2))
    pairs = (pairs - pairs.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(pairs.T))).T
    return pairs[:, 0], R * pairs[:, 0] + np.sqrt(1 - R**2) * pairs[:, 1]


def answer(rng, truth, known, n):
    """Answer each image rightly with the chance `known` of its class, else at random."""
    guesses = rng.integers(n, size=len(truth))
    return np.where(rng.random(len(truth)) < known[truth], truth, guesses)


def simulate_tracking(kind, seed):
    rng = np.random.default_rng(seed)
    outcomes = {}
    for stream, task in enumerate(TAUGHT_TASKS):
        n = len(ATTRIBUTES[task])
        truth = np.arange(N_IMAGES) // 2 % n  # in both halves
        outcomes[f"_truth, {task}"] = truth
        words, probe = draw_correlated(n, stream)
        for who, values, level in (("words", words, 0.5), ("probe", probe, 0.65)):
            by_seed = 0.02 * rng.normal(size=n)
            known = np.clip(level + 0.18 * values + by_seed, 0, 1) * (kind == "planted")
            answers = answer(rng, truth, known, n)
            outcomes[f"{who}, {task}"] = answers == truth
            outcomes[f"_{who}, {task}"] = answers
    return outcomes, {}


def simulate_tracking_photos(kind, seed):
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(1)
    n = len(NOUN_CLASSES)
    words, probe = draw_correlated(n, 0)
    prevalence = fixed.uniform(0.05, 0.25, n)
    outcomes = {}
    for photos in ("", ", dev"):
        truth = fixed.random((1000, n)) < prevalence
        shared = fixed.normal(size=truth.shape)  # a photo is hard for words and probe alike
        for who, values, level in (("words", words, 1.2), ("probe", probe, 1.5)):
            by_seed = 0.05 * rng.normal(size=n)
            distance = (level + 0.5 * values + by_seed) * (kind == "planted")
            noise = 0.8 * shared + 0.6 * rng.normal(size=truth.shape)
            outcomes[f"_{who}{photos}"] = noise + truth * distance
        outcomes[f"_truth{photos}"] = truth
    del outcomes["_probe, dev"]
    return outcomes, {"chosen C": 1.0}


SIMULATIONS = {
    "tracks_supervised": simulate_tracking,
    "tracks_supervised_flickr8k": simulate_tracking_photos,
}
