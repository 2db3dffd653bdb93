"""Simulated outcomes of the experiments on rivals and counting: chance, and the paper's effects."""

import numpy as np

from clipnb.claims.probes.rivals import TRIED
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.experiments.tagging import SCENE_TAGS

N_IMAGES = 2000
# How far the scores of images with and without a tag lie apart, in standard deviations of either.
PROBE, UNTRAINED = 1.9, 1.0
HARDNESS_STD, SEED_STD = 0.4, 0.05  # between the tasks, and between the seeds
# The differences in the paper's Figure 5, in points, without the largest gain and loss: as many as
# there are tasks here. A distance of one standard deviation is about 10 points.
GAINS = (23.2, 22.5, 14.5, 12.4, 7.8, 7.7, 6.7, 3.9, 3.0, 3.0, 2.8, 2.0, 1.9, 1.1, 0.5)
LOSSES = (3.2, 10.0, 11.3, 11.9, 12.5, 16.6, 18.2, 18.4, 19.5, 34.0)
POINTS = 10
# Percent right, and by chance. Words lose 18.2 points in counting, and 1.3 in naming.
COUNTING = {
    "words": (58.0, 100 / 3),
    "words, any kind": (52.0, 100 / 3),
    "words, number alone": (40.0, 100 / 3),
    "probe": (76.2, 100 / 3),
    "transferred probe": (72.0, 100 / 3),
    "words, kind": (78.7, 100 / 12),
    "probe, kind": (80.0, 100 / 12),
    "words, colour": (93.7, 100 / 8),
    "probe, colour": (95.0, 100 / 8),
    "words, place": (93.7, 100 / 8),
    "probe, place": (95.0, 100 / 8),
}
# The same for sizes, in the experiment that sets counting beside all other tasks.
SIZES = {"words, size": (88.7, 50.0), "probe, size": (90.0, 50.0)}


def simulate_scores(kind, seed, conditions, tried):
    """Simulate the scores of tags by words, probes on twins and probes on an untrained tower.

    tried: which of the tags are on trial, bool (L,), 25 of them. Words win 15 of these.
    """
    n_tasks = len(tried)
    tasks = np.random.default_rng(12345)  # the same for all seeds
    hardness = tasks.normal(0, HARDNESS_STD, n_tasks)
    lead = np.zeros(n_tasks)
    lead[tried] = tasks.permutation([*GAINS, *(-loss for loss in LOSSES)]) / POINTS
    rng = np.random.default_rng(seed)
    truth = rng.random((N_IMAGES, n_tasks)) < 0.15
    distances = dict.fromkeys(conditions, PROBE + hardness)
    distances["words"] = PROBE + hardness + lead
    distances["untrained"] = UNTRAINED + hardness / 2
    outcomes = {"_truth": truth}
    for name, distance in distances.items():
        own = np.zeros(n_tasks) if kind == "blank" else distance + rng.normal(0, SEED_STD, n_tasks)
        outcomes[f"_{name}"] = rng.normal(0, 1, truth.shape) + own * truth
    return outcomes


def simulate_scenes(kind, seed):
    """Simulate 33 tags of scenes."""
    names = [f"{attribute} {value}" for attribute, value in SCENE_TAGS]
    tried = np.array([attribute in TRIED for attribute, _ in SCENE_TAGS])
    return simulate_scores(kind, seed, ["near", "far"], tried), {"tasks": names}


def simulate_photos(kind, seed):
    """Simulate 25 nouns of photos."""
    tried = np.ones(len(NOUN_CLASSES), dtype=bool)
    return simulate_scores(kind, seed, ["probe"], tried), {"tasks": list(NOUN_CLASSES)}


def simulate_counting(kind, seed, tasks=COUNTING):
    """Simulate counting and naming, with a seed's own luck."""
    rng = np.random.default_rng(seed)
    outcomes = {}
    for name, (percent, chance) in tasks.items():
        own = chance if kind == "blank" else percent + rng.normal(0, 2)
        outcomes[name] = rng.random(N_IMAGES) < own / 100
    return outcomes, {}


def simulate_all_tasks(kind, seed):
    """Simulate counting and naming, sizes too."""
    return simulate_counting(kind, seed, COUNTING | SIZES)


SIMULATIONS = {
    "rivals": simulate_scenes,
    "rivals_flickr8k": simulate_photos,
    "counting": simulate_counting,
    "counting_all_tasks": simulate_all_tasks,
}
