"""Simulated outcomes of the experiments on limits and on word order: blank and planted."""

import numpy as np

from clipnb.claims.words.hard_negatives import PLAIN, TAUGHT
from clipnb.claims.words.limits import LABELLED, TOLD
from clipnb.claims.words.sentence_exams import CHANGES, NAMING
from clipnb.claims.words.word_swaps import TASKS

# ---- limits ----------------------------------------------------------------------------------


def draw_choices(rng, n_images, share, is_blank):
    """Draw choices that are right with a probability, or by chance."""
    skill = 0 if is_blank else 0.02 * rng.normal()
    return (rng.random(n_images) < (0.5 if is_blank else share + skill)).astype(float)


def simulate_limits(kind, seed):
    """Simulate skills near chance that labels teach by the paper's 18 points."""
    rng, is_blank = np.random.default_rng(seed), kind == "blank"
    outcomes = {}
    for arm, gained in ((PLAIN, 0.0), (TAUGHT, 0.0), (LABELLED, 0.182), (TOLD, 0.182)):
        for skill in CHANGES:
            share = 0.9 if skill in NAMING else 0.54 + gained
            both = [draw_choices(rng, 1000, share, is_blank) for _ in range(2)]
            image = draw_choices(rng, 1000, share, is_blank) > 0.5
            text = (both[0] == 1) & (both[1] == 1)
            outcomes[f"{arm}, {skill}: choice"] = (both[0] + both[1]) / 2
            outcomes[f"{arm}, {skill}: text"] = text
            outcomes[f"{arm}, {skill}: image"] = image
            outcomes[f"{arm}, {skill}: group"] = text & image
    return outcomes, {}


# The share of right choices beside the right photo and beside another one.
SWAPS = {
    (PLAIN, "swap"): (0.57, 0.54),
    (PLAIN, "noun"): (0.85, 0.55),
    (TAUGHT, "swap"): (0.93, 0.93 - 0.03 - 0.182),
    (TAUGHT, "noun"): (0.85, 0.55),
}


def simulate_swaps(kind, seed):
    """Simulate photos that add the paper's 18 points to the choices of a taught model."""
    rng, is_blank = np.random.default_rng(seed), kind == "blank"
    outcomes = {}
    for arm in (PLAIN, TAUGHT):
        for task in TASKS:
            right, another = SWAPS[arm, task]
            for photo, share in (("right photo", right), ("another photo", another)):
                outcomes[f"{arm}, {task}, {photo}"] = draw_choices(rng, 800, share, is_blank)
    return outcomes, {}


# ---- word order ------------------------------------------------------------------------------


def simulate_order(kind, seed, n_images, recall, chance):
    """Simulate models that lose a twentieth by shuffling and half by wrong words, or that guess."""
    rng = np.random.default_rng(seed)
    kept = {"as written": 1.0, "shuffled": 0.95, "a third replaced": 0.5}
    skill = 0.02 * rng.normal()
    outcomes = {}
    for arm in (PLAIN, TAUGHT):
        luck = rng.random((n_images, 6))  # six hits make a recall; most keep their answer
        for name, share in kept.items():
            level = chance / 100 if kind == "blank" else (recall + skill) * share
            fresh = rng.random((n_images, 6)) < (1.0 if kind == "blank" else 0.2)
            own = np.where(fresh, rng.random((n_images, 6)), luck)
            outcomes[f"{arm}, {name}"] = (own < level).mean(axis=1)
    return outcomes, {"chance": chance}


def simulate_scenes(kind, seed):
    """Simulate the experiment on scenes."""
    return simulate_order(kind, seed, 500, 0.6, 1.3)


def simulate_photos(kind, seed):
    """Simulate the experiment on photos."""
    return simulate_order(kind, seed, 1000, 0.1, 0.65)


SIMULATIONS = {
    "limits": simulate_limits,
    "limits_counting": simulate_limits,
    "limits_flickr8k": simulate_swaps,
    "word_order": simulate_scenes,
    "word_order_flickr8k": simulate_photos,
}
