"""Simulated outcomes of the experiments on batches and losses: chance, and planted effects."""

import numpy as np

N_IMAGES = 2000
SCENES = {  # percent right by epochs and batch size
    4: {16: 60, 64: 55, 256: 45, 1024: 30},
    16: {16: 66, 64: 66, 256: 62, 1024: 50},
    64: {16: 68, 64: 71, 256: 71, 1024: 66},
}
PHOTOS = {4: {32: 52, 512: 40}, 16: {32: 60, 512: 60}}
LOSSES = {  # the sigmoid is better in small batches, and equal in large ones
    "softmax, N = 16": 60,
    "sigmoid, N = 16": 66,
    "softmax, N = 1024": 50,
    "sigmoid, N = 1024": 50,
}
PHOTO_LOSSES = {  # the gain fades as batches grow
    "softmax, N = 32": 45,
    "sigmoid, N = 32": 51,
    "softmax, N = 128": 45,
    "sigmoid, N = 128": 48,
    "softmax, N = 512": 43,
    "sigmoid, N = 512": 43,
}
SEED_STD = 1.5  # points
PAIR_STD = 1.0  # points, of each of two runs that share scenes, weights and order


def draw(percent, rng, std=SEED_STD):
    """Draw the shares of three tasks right of N images, with a run's own luck."""
    return rng.binomial(3, (percent + rng.normal(0, std)) / 100, N_IMAGES) / 3


def simulate_grid(kind, seed, grid, chance):
    """Simulate batch sizes and budgets."""
    rng = np.random.default_rng(seed)
    outcomes = {
        f"N = {N}, {epochs} epochs": draw(chance if kind == "blank" else percent, rng)
        for epochs, row in grid.items()
        for N, percent in row.items()
    }
    sizes = list(next(iter(grid.values())))
    return outcomes, {"batch_sizes": sizes, "budgets": list(grid)}


def simulate_scenes(kind, seed):
    """Simulate the naming of scenes."""
    return simulate_grid(kind, seed, SCENES, 11)


def simulate_photos(kind, seed):
    """Simulate the finding of photos among ten."""
    return simulate_grid(kind, seed, PHOTOS, 10)


def simulate_losses(kind, seed, losses, chance):
    """Simulate a softmax and a sigmoid."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, SEED_STD)  # of a seed, the same for all of its runs
    percents = {name: chance if kind == "blank" else own for name, own in losses.items()}
    outcomes = {name: draw(own + luck, rng, PAIR_STD) for name, own in percents.items()}
    return outcomes, {}


def simulate_siglip(kind, seed):
    """Simulate both losses on scenes."""
    return simulate_losses(kind, seed, LOSSES, 11)


def simulate_siglip_photos(kind, seed):
    """Simulate both losses on photos."""
    return simulate_losses(kind, seed, PHOTO_LOSSES, 10)


SIMULATIONS = {
    "batches": simulate_scenes,
    "batches_flickr8k": simulate_photos,
    "siglip": simulate_siglip,
    "siglip_flickr8k": simulate_siglip_photos,
}
