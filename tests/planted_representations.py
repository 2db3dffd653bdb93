"""Simulated outcomes of the experiments on representations: chance, and the paper's five points."""

import numpy as np

from clipnb.claims.probes.representations import TASKS, TOLD_TASKS, TOWERS
from clipnb.experiments.exams import ATTRIBUTES
from clipnb.experiments.nouns import NOUN_CLASSES

N_IMAGES = 1000
N_NOUNS = len(NOUN_CLASSES)
TWIN, UNTRAINED, LEAD = 70.0, 55.0, 5.0  # percent right, and the paper's lead in points
LEAD_STD, SEED_STD = 3.0, 1.0  # between the tasks, and between the seeds
# How far the scores of photos with and without a noun lie apart, in standard deviations of either.
DISTANCES = {
    "CLIP": 1.8,
    "told everything": 1.62,
    "other nouns": 1.5,
    "own nouns": 1.6,
    "untrained": 1.0,
}
DISTANCE_STD, DISTANCE_SEED_STD = 0.15, 0.03


def simulate_scenes(kind, seed):
    """Simulate twelve tasks of scenes on four towers."""
    leads = np.random.default_rng(12345).normal(0, LEAD_STD, len(TASKS))  # the same for all seeds
    leads += LEAD - leads.mean()
    rng = np.random.default_rng(seed)
    outcomes = {}
    for tower in TOWERS:
        luck = rng.normal(0, SEED_STD)
        for task, lead in zip(TASKS, leads, strict=True):
            percent = UNTRAINED if tower == "untrained" else TWIN + luck
            percent += lead if tower == "CLIP" else 0
            if kind == "blank":
                percent = 100 / len(ATTRIBUTES[task]) if task in TOLD_TASKS else 50
            outcomes[f"{tower}, {task}"] = rng.random(N_IMAGES) < percent / 100
    return outcomes, {"tasks": list(TASKS)}


def simulate_photos(kind, seed):
    """Simulate 25 nouns of photos on five towers."""
    hardness = np.random.default_rng(12345).normal(0, 0.4, N_NOUNS)
    rng = np.random.default_rng(seed)
    truth = rng.random((N_IMAGES, N_NOUNS)) < 0.1
    outcomes = {"_truth": truth}
    for tower, distance in DISTANCES.items():
        between = np.random.default_rng(len(tower)).normal(0, DISTANCE_STD, N_NOUNS)
        own = distance + hardness + between - between.mean()
        own += rng.normal(0, DISTANCE_SEED_STD, N_NOUNS)
        own = np.zeros(N_NOUNS) if kind == "blank" else own
        outcomes[f"_{tower}"] = rng.normal(0, 1, truth.shape) + own * truth
    return outcomes, {"tasks": list(NOUN_CLASSES)}


SIMULATIONS = {"representations": simulate_scenes, "representations_flickr8k": simulate_photos}
