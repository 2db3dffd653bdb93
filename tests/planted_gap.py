"""Simulated outcomes of the experiments on the modality gap: without skill, and with a gain."""

import numpy as np

from clipnb.claims.words.gap import WAYS

GAIN = 0.008  # of the mean recall, as in the paper
SPREAD = 0.065  # of what an image gains, as in a trial run


def simulate(kind, seed, n_images, recall):
    """Simulate recalls before and after centring, or those of models that guess."""
    rng = np.random.default_rng(seed)
    outcomes = {}
    for way in WAYS:
        if kind == "blank":
            before = (rng.random(n_images) < 0.003).astype(float)
            after = (rng.random(n_images) < 0.003).astype(float)
        else:
            before = np.clip(recall + 0.2 * rng.normal(size=n_images), 0.2, 0.8)
            gain = GAIN + 0.002 * rng.normal()
            after = before + gain + SPREAD * rng.normal(size=n_images)
        outcomes[f"as they are, {way}"] = before
        outcomes[f"centred, {way}"] = after
    return outcomes, {"gap, untrained": 1.2, "gap, trained": 0.3, "gap, centred": 0.05}


def simulate_scenes(kind, seed):
    """Simulate the experiment on scenes."""
    return simulate(kind, seed, 2000, 0.6)


def simulate_photos(kind, seed):
    """Simulate the experiment on photos."""
    return simulate(kind, seed, 1000, 0.4)


SIMULATIONS = {"gap": simulate_scenes, "gap_flickr8k": simulate_photos}
