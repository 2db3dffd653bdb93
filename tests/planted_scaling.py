"""Simulated outcomes of the experiments on scaling: models that learned nothing, and power laws."""

from statistics import NormalDist

import numpy as np

SCENE_SIZES, PHOTO_SIZES = (500, 1000, 2000, 4000, 8000, 16000), (375, 750, 1500, 3000, 6000)
COST = {32: 0.5e6, 48: 0.9e6, 64: 1.5e6, 96: 3.1e6, 128: 5.1e6}  # multiply-adds for one image
SCENE_WIDTHS, PHOTO_WIDTHS = (32, 64, 128), (32, 48, 64, 96, 128)
EXPONENT = 0.22
FIRST_ERROR = 0.6  # of the cheapest run
WRONG_WIDTH = 0.2  # how much error a width costs that does not fit the budget
SEED_STD = 0.03  # of the logarithm of a run's error
SHARED = 0.7  # share of the variance between images that all runs have in common


def simulate(kind, seed, widths, sizes, n_images, chance):
    """Return the outcomes of a grid of widths and sizes, at chance or on a power law of compute.

    The best width grows with compute, from the narrowest to the widest.
    """
    rng = np.random.default_rng(seed)
    hard = np.random.default_rng(0).normal(0, np.sqrt(SHARED), (n_images, 3))  # the same images
    runs = [(width, size) for size in sizes for width in widths]
    compute = {f"{width} x {size}": 3.0 * COST[width] * size for width, size in runs}
    cheapest, dearest = min(compute.values()), max(compute.values())
    outcomes = {}
    for (width, _), (run, own) in zip(runs, compute.items(), strict=True):
        spent = np.log(own / cheapest)
        best_width = np.log(widths[0]) + spent / np.log(dearest / cheapest) * np.log(4)
        log_error = np.log(FIRST_ERROR) - EXPONENT * spent
        log_error += WRONG_WIDTH * (np.log(width) - best_width) ** 2 + rng.normal(0, SEED_STD)
        error = 1 - chance if kind == "blank" else min(np.exp(log_error), 1 - chance)
        easy = rng.normal(hard, np.sqrt(1 - SHARED))  # (n_images, 3), for this run
        outcomes[run] = (easy > NormalDist().inv_cdf(error)).mean(axis=1)
    outcomes["_half"] = np.arange(n_images) % 2
    return outcomes, {"compute": compute}


def simulate_scenes(kind, seed):
    """Simulate the naming of scenes."""
    return simulate(kind, seed, SCENE_WIDTHS, SCENE_SIZES, 4000, 0.11)


def simulate_photos(kind, seed):
    """Simulate the finding of photos among ten."""
    return simulate(kind, seed, PHOTO_WIDTHS, PHOTO_SIZES, 1000, 0.1)


SIMULATIONS = {
    "scaling": simulate_scenes,
    "scaling_flickr8k": simulate_photos,
    "predictable_scaling": simulate_scenes,
    "predictable_scaling_flickr8k": simulate_photos,
}
