"""Simulated outcomes of the experiment on sources: without skill, and with equal averages."""

import numpy as np

from clipnb.claims.shift import sources, sources_photos

N = 3000


def simulate_sources(kind, seed, lead=0.006):
    """Simulate two sources that differ in single tasks and hardly on average.

    lead: of the first source, as a share of its signal; 0.006 is about 0.4 points.
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(999)
    n_tasks = len(sources.TASKS)
    truth = np.eye(n_tasks, dtype=bool)[fixed.integers(n_tasks, size=N)]
    swing = 0.08 * fixed.normal(size=n_tasks // 2)
    swing = np.concatenate([swing, -swing])  # as good as each other on average, but for `lead`
    levels = {"nature": 2.2 * (1 + lead) + swing, "town": 2.2 - swing, sources.SPOILED: 1.4 + swing}
    outcomes = {"_truth": truth}
    for name, level in levels.items():
        signal = 0.0 if kind == "blank" else level * (1 + 0.008 * rng.normal())
        outcomes[f"_{name}"] = signal * truth + rng.normal(size=truth.shape)
    return outcomes, {}


def simulate_photos(kind, seed, lead=0.005):
    """Simulate the same for photos: each word is shown by some of the photos."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(999)
    shares = np.linspace(0.02, 0.25, len(sources_photos.TASK_WORDS))
    truth = fixed.random((1000, len(shares))) < shares
    swing = 0.08 * fixed.normal(size=len(shares) // 2)
    swing = np.stack([swing, -swing], axis=1).flatten()  # of neighbours, which are as frequent
    dogs, people, spoiled = "dogs", "people", sources_photos.SPOILED
    levels = {dogs: 0.6 + swing, people: 0.6 * (1 + lead) - swing, spoiled: 0.3 - swing}
    outcomes = {"_truth": truth}
    for name, level in levels.items():
        signal = 0.0 if kind == "blank" else level * (1 + 0.02 * rng.normal())
        outcomes[f"_{name}"] = signal * truth + rng.normal(size=truth.shape)
    return outcomes, {}


SIMULATIONS = {"sources": simulate_sources, "sources_flickr8k": simulate_photos}
