"""Simulated outcomes of the experiments on the temperature: models at chance, planted effects."""

import numpy as np

N_IMAGES = 2000
CHANCE = 11
FIXED = {0.01: 40, 0.02: 52, 0.05: 60, 0.07: 61, 0.1: 60, 0.2: 54, 0.5: 35, 1.0: 25}
LEARNED = {"learned": 61, "learned from 0.5": 60}
PHOTO_CHANCE = 10
PHOTO_FIXED = {0.01: 36, 0.02: 40, 0.05: 43, 0.1: 42, 0.2: 38, 0.5: 34, 1.0: 30}
PHOTO_LEARNED = {"learned": 43, "learned from 0.5": 36}
SEED_STD = 0.8  # points, of runs that share their scenes and first weights


def draw(percent, luck, rng):
    """Draw the shares of three tasks right of N images."""
    own = percent + luck + rng.normal(0, SEED_STD)
    return rng.binomial(3, own / 100, N_IMAGES) / 3


def simulate_fixed(kind, seed, fixed, learned, chance):
    """Simulate fixed temperatures and one that is learned."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, 1.5)  # of a seed, the same for all of its runs
    percents = learned | {f"fixed at {each:g}": percent for each, percent in fixed.items()}
    if kind == "blank":
        percents = dict.fromkeys(percents, chance)
    outcomes = {name: draw(percent, luck, rng) for name, percent in percents.items()}
    best, worst = max(fixed, key=fixed.get), min(fixed, key=fixed.get)
    return outcomes, {"best": best, "worst": worst, "scale": 20.0}


def simulate_temperature(kind, seed):
    """Simulate temperatures on scenes."""
    return simulate_fixed(kind, seed, FIXED, LEARNED, CHANCE)


def simulate_temperature_photos(kind, seed):
    """Simulate temperatures on photos."""
    return simulate_fixed(kind, seed, PHOTO_FIXED, PHOTO_LEARNED, PHOTO_CHANCE)


def simulate_clamp(kind, seed):
    """Simulate runs with the clamp and without it."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, 1.5)
    outcomes, highest = {}, {}
    for setting in ("usual", "hot", "start at 1000"):
        for on_or_off, percent in (("on", 55), ("off", 40)):
            condition = f"{setting}, clamp {on_or_off}"
            outcomes[condition] = draw(CHANCE if kind == "blank" else percent, luck, rng)
        highest[f"{setting}, clamp off"] = 14.3 if kind == "blank" else 400.0
    return outcomes, {"highest": highest}


SIMULATIONS = {
    "temperature": simulate_temperature,
    "temperature_flickr8k": simulate_temperature_photos,
    "clamp": simulate_clamp,
}
