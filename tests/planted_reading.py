"""Simulated outcomes of the experiment on reading: without skill, and with the paper's."""

import numpy as np

from clipnb.claims.words import reading

N = 1000
CHANCE = reading.CHANCE / 100
READ = {  # the share of the cards that is read, at the paper's size in "every caption"
    "no caption": CHANCE,
    "one in sixteen": CHANCE + 0.05,
    "one in five": CHANCE + 0.15,
    "every caption": CHANCE + 0.41,
    "the card alone": 0.95,
}


def simulate_reading(kind, seed):
    """Simulate models that read as the paper's does, or models that guess."""
    rng = np.random.default_rng(seed)
    is_blank = kind == "blank"

    def draw(share):
        skill = 0 if is_blank else 0.03 * rng.normal()
        return rng.random(N) < (CHANCE if is_blank else share + skill)

    outcomes = {}
    for condition, share in READ.items():
        outcomes[f"{condition}: reads"] = draw(share)
        if condition != "the card alone":
            outcomes[f"{condition}: names"] = draw(0.4)
            outcomes[f"{condition}: reads a word never printed"] = draw(CHANCE)
    outcomes[f"{reading.SUPERVISED}: reads"] = draw(0.95)
    return outcomes, {}


SIMULATIONS = {"reading": simulate_reading}
