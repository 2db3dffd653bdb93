"""Simulated outcomes of the experiments on rivals and counting: chance, and the paper's effects."""

import numpy as np

from clipnb.claims.probes.rivals import TRIED
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.experiments.tagging import SCENE_TAGS

N_IMAGES = 1000
# How far the scores of images with and without a tag lie apart, in standard deviations of either.
# The words' are a little lower on average, so that their precision is 1.9 points lower.
PROBE, UNTRAINED, WORDS_MINUS_PROBE = 1.9, 1.0, -0.07
# What differs between the tasks: how hard they are, and by how much words lead or lose.
HARDNESS_STD, LEAD_STD, SEED_STD = 0.4, 0.35, 0.05
COUNTING = {  # percent right; the paper's difference is 18.2
    "words": 58.0,
    "words, any kind": 52.0,
    "words, number alone": 40.0,
    "probe": 76.2,
    "transferred probe": 72.0,
    "words, kind": 70.0,
    "probe, kind": 80.0,
}
COUNTING_CHANCE = 100 / 3


def simulate_scores(kind, seed, conditions, tried):
    """Simulate the scores of tags by words, probes on twins and probes on an untrained tower.

    tried: which of the tags are on trial, bool (L,). The paper's effect is the mean over these.
    """
    n_tasks = len(tried)
    tasks = np.random.default_rng(12345)  # the same for all seeds
    hardness = tasks.normal(0, HARDNESS_STD, n_tasks)
    lead = tasks.normal(0, LEAD_STD, n_tasks)
    lead += WORDS_MINUS_PROBE - lead[tried].mean()
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


def simulate_counting(kind, seed):
    """Simulate counting and naming, with a seed's own luck."""
    rng = np.random.default_rng(seed)
    outcomes = {}
    for name, percent in COUNTING.items():
        chance = 100 / 12 if name.endswith("kind") and "any" not in name else COUNTING_CHANCE
        own = chance if kind == "blank" else percent + rng.normal(0, 2)
        outcomes[name] = rng.random(N_IMAGES) < own / 100
    return outcomes, {}


SIMULATIONS = {
    "rivals": simulate_scenes,
    "rivals_flickr8k": simulate_photos,
    "counting": simulate_counting,
}
