"""Simulated outcomes of the experiments on the temperature: models at chance, planted effects."""

import numpy as np

N_IMAGES = 2000
CHANCE = 11
FIXED = {0.01: 40, 0.02: 52, 0.05: 60, 0.07: 61, 0.1: 60, 0.2: 54, 0.5: 35, 1.0: 25}
LEARNED = {"learned": 61, "learned from 0.5": 60}
SEED_STD = 0.8  # points, of runs that share their scenes and first weights


def draw(percent, luck, rng):
    """Draw the shares of three tasks right of N images."""
    own = percent + luck + rng.normal(0, SEED_STD)
    return rng.binomial(3, own / 100, N_IMAGES) / 3


def simulate_temperature(kind, seed):
    """Simulate fixed temperatures and one that is learned."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, 1.5)  # of the scenes, the same for all runs of a seed
    percents = LEARNED | {f"fixed at {each:g}": percent for each, percent in FIXED.items()}
    if kind == "blank":
        percents = dict.fromkeys(percents, CHANCE)
    outcomes = {name: draw(percent, luck, rng) for name, percent in percents.items()}
    return outcomes, {"best": 0.07, "worst": 1.0, "scale": 20.0}


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


SIMULATIONS = {"temperature": simulate_temperature, "clamp": simulate_clamp}
