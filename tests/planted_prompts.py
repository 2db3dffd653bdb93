"""Simulated outcomes of the experiments on prompts: guesses, and the paper's gain of 5 points."""

import numpy as np
from planted_zero_shot import simulate_nouns

from clipnb.claims.words.prompts import READERS
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.scenes import KINDS

N = 2000
BARE = 0.63  # kinds that the bare name names, as in a pilot
GAIN = 0.05  # Figure 4
SHARE_CHANGED = 0.15  # images whose answer is another after another question, as in a pilot


def change_answers(rng, right, gain):
    """Change some answers, so that `gain` more of all images are right than before."""
    changed = rng.random(len(right)) < SHARE_CHANGED
    becomes_right = rng.random(len(right)) < right[changed].mean() + gain / SHARE_CHANGED
    return np.where(changed, becomes_right, right)


def simulate_prompts(kind, seed):
    """Simulate both readers, with a gain that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    outcomes = {}
    for reader in READERS:
        if kind == "blank":
            level, gain = 1 / len(KINDS), 0
        else:
            level, gain = BARE + 0.03 * rng.normal(), GAIN + 0.01 * rng.normal()
        bare = rng.random(N) < level
        outcomes[f"{reader}: bare name"] = bare
        for condition in ("a photo of a", "both numbers", "colours and places", "best template"):
            outcomes[f"{reader}: {condition}"] = change_answers(rng, bare, 0)
        outcomes[f"{reader}: mean template"] = change_answers(rng, bare, 0).astype(float)
        outcomes[f"{reader}: ensemble"] = change_answers(rng, bare, gain)
    return outcomes, {f"the best template of the {reader}": 0 for reader in READERS}


def simulate_asking(kind, seed):
    """Simulate a gain of asking in both numbers, for kinds of which dogs are the first."""
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % len(KINDS)
    if kind == "blank":
        level, gain = 1 / len(KINDS), 0
    else:
        level, gain = BARE + 0.03 * rng.normal(), GAIN + 0.01 * rng.normal()
    right = {"singular": rng.random(N) < level}
    for condition in ("plural", "both", "folded", "moved"):
        right[condition] = change_answers(rng, right["singular"], gain)
    outcomes = {"_kind": labels}
    for condition, own in right.items():
        others = (labels + rng.integers(1, len(KINDS), N)) % len(KINDS)
        outcomes |= {condition: own, f"_answers, {condition}": np.where(own, labels, others)}
    return outcomes, {}


def simulate_photo_prompts(kind, seed):
    """Simulate nouns that sentences find better than names do, by about 5 points."""
    truth, draw_scores = simulate_nouns(kind, seed, len(NOUN_CLASSES))
    bare = draw_scores()
    gain = 0 if kind == "blank" else 0.22
    outcomes = {"_bare name": bare, "_truth": truth, "_ensemble": bare + gain * truth}
    for condition in ("a photo of a", "both numbers"):
        outcomes[f"_{condition}"] = bare + 0.1 * draw_scores()
    outcomes["_each template"] = np.stack([bare, draw_scores()], axis=1)
    return outcomes, {"templates": ["a {}", "the {}"]}


SIMULATIONS = {
    "prompts": simulate_prompts,
    "prompts_flickr8k": simulate_photo_prompts,
    "asking_in_number": simulate_asking,
}
