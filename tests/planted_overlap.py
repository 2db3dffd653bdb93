"""Simulated outcomes of planted leaks: without skill, with a harmless leak and a harmful one."""

import numpy as np

from clipnb.claims.shift import overlap

N = 1000
# The share of leaked photos that are found only because they leaked. 0.045 of 2.2 % are 0.1 points.
GAINS = {"planted": 0.045, "harmful": 0.6}


def simulate_overlap(kind, seed):
    """Simulate whether captions find their photos.

    kind: "blank", "planted" (a leak shifts the figure by 0.1 points, as in the paper) or "harmful".
    """
    rng = np.random.default_rng(seed)
    is_easy = np.random.default_rng(999).random(N) < 0.1  # of the test photos, which are fixed
    found = np.where(is_easy, 0.4, 0.01)  # 5 % of all
    outcomes = {}
    for condition, leak in overlap.LEAKS.items():
        leaked = np.zeros(N, bool)
        leaked[overlap.choose_leaked(N, leak.share, seed)] = True
        gain = 0.9 if condition == "long, same captions" else GAINS.get(kind, 0.0)
        chance = np.where(leaked, np.maximum(found, found + gain * (1 - found)), found)
        if kind == "blank":
            chance = np.full(N, 1 / N)
        outcomes[condition] = rng.random(N) < chance
        outcomes[f"_leaked: {condition}"] = leaked
    return outcomes, {}


SIMULATIONS = {"overlap": simulate_overlap}
