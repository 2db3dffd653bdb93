"""Simulated outcomes of the experiment on locked towers: blank, and with the paper's lead."""

import numpy as np

from clipnb.claims.scale import locked

N = 500
RECALL = {  # of each way with 100, 500 and 2,000 pairs; the lead with few pairs is the paper's
    locked.SCRATCH: (0.15, 0.35, 0.60),
    locked.LOCKED: (0.345, 0.545, 0.65),
    locked.UNLOCKED: (0.30, 0.50, 0.65),
}
CHANCE = 1.3  # percent


def simulate_locked(kind, seed):
    """Simulate the ways with few and with many pairs, or models that guess."""
    rng, is_blank = np.random.default_rng(seed), kind == "blank"
    outcomes = {}
    for place, size in enumerate(locked.SIZES):
        luck = rng.random((N, 6))  # six hits make a recall
        for way, recalls in RECALL.items():
            level = CHANCE / 100 if is_blank else recalls[place] + 0.02 * rng.normal()
            fresh = rng.random((N, 6)) < (1.0 if is_blank else 0.6)
            own = np.where(fresh, rng.random((N, 6)), luck)
            outcomes[f"{way}, {size} pairs"] = (own < level).mean(axis=1)
            named = 1 / 12 if is_blank else level
            outcomes[f"{way}, {size} pairs: naming"] = (rng.random(N) < named).astype(float)
    return outcomes, {"chance": CHANCE}


SIMULATIONS = {"locked": simulate_locked}
