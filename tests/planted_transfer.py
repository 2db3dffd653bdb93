"""Simulated outcomes of the experiments on transfer: guesses, and what the paper reports."""

import numpy as np
from planted_zero_shot import N, draw_right, simulate_nouns

from clipnb.claims.words.transfer import SCENE_NOUNS, TASKS

SPREAD = 0.25  # standard deviation of the accuracies of classes
CAPTIONS = [150] * 20 + [20] * 8


def simulate_transfer(kind, seed):
    """Simulate the accuracy on ImageNet Sketch in Figure 13, or a guess that differs by image."""
    rng, classes = np.random.default_rng(seed), np.random.default_rng(0)
    outcomes = {}
    for task, names in TASKS.items():
        labels = np.arange(N) % len(names)
        if kind == "blank":
            accuracies = np.full(len(names), 1 / len(names))
        else:
            accuracies = 0.602 + SPREAD * classes.normal(size=len(names)) + 0.03 * rng.normal()
        outcomes[f"_{task}"] = labels
        outcomes[task] = draw_right(rng, labels, accuracies)
        outcomes[f"{task}, z-scores"] = draw_right(rng, labels, accuracies)
    own = 0.0 if kind == "blank" else 25 + rng.normal()
    return outcomes, {"captions": CAPTIONS, "own nouns": own}


def simulate_transfer_to_photos(kind, seed):
    """Simulate nouns that are found as well as in photos by a model of photos."""
    truth, draw_scores = simulate_nouns(kind, seed, len(SCENE_NOUNS))
    own = 100 / 12 if kind == "blank" else 70 + 2 * np.random.default_rng(seed).normal()
    return {"_scores": draw_scores(), "_truth": truth}, {"own kinds": own}


SIMULATIONS = {
    "transfer": simulate_transfer,
    "transfer_to_photos": simulate_transfer_to_photos,
}
