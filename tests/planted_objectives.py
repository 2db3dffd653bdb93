"""Simulated outcomes of the objectives: arms that learned nothing, and the paper's two ratios."""

import numpy as np

from clipnb.claims.learning.learning_curves import ARMS, BAG_PREDICTION, CONTRAST, LANGUAGE_MODEL

N_IMAGES = 600
IMAGES = [int(128 * step) for step in np.unique(np.geomspace(4, 230, 13).round())]
CHANCE = 0.1
TOP = 0.7  # the share of right answers that every arm comes near to at last
LATER = {CONTRAST: 1, BAG_PREDICTION: 4, LANGUAGE_MODEL: 12}  # the paper's times as many images


def simulate(kind, seed):
    """Simulate a seed: "blank" or "planted". Returns what `measure` does."""
    rng = np.random.default_rng(seed)
    outcomes, numbers = {}, {"chance": CHANCE, "images": IMAGES}
    hard = rng.random(N_IMAGES)[:, None]  # the same images are hard for all arms
    for arm in ARMS:
        share = np.full(len(IMAGES), CHANCE)
        if kind == "planted":
            halfway = 2000 * LATER[arm] * np.exp(rng.normal(0, 0.2))
            share = CHANCE + (TOP - CHANCE) / (1 + (halfway / np.array(IMAGES)) ** 1.5)
            share = share + rng.normal(0, 0.01, len(IMAGES))
        noise = rng.normal(0, 0.1, (N_IMAGES, len(IMAGES)))
        curve = (hard + noise < share).astype(float)
        outcomes[arm], outcomes[f"_curve, {arm}"] = curve[:, -1], curve
        numbers[f"curve, {arm}"] = (100 * curve.mean(axis=0)).tolist()
        numbers[f"seconds per image, {arm}"] = 1e-3
    return outcomes, numbers


NAMES = ("objectives", "objectives_bag", "objectives_flickr8k", "objectives_bag_flickr8k")
SIMULATIONS = dict.fromkeys(NAMES, simulate)
