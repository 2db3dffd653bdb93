"""What the experiments on C4 and C5 would measure: models that learned nothing, and the paper's."""

import numpy as np

from clipnb.claims.probes import few_shot, few_shot_photos
from clipnb.claims.probes.worth import PAPER_MEDIAN, PAPER_SHOTS
from clipnb.experiments.exams import ATTRIBUTES
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.experiments.probes import TAUGHT_TASKS
from clipnb.experiments.shots import rank_scores

N_IMAGES, DRAWS = 900, 1
# From class to class: the paper's mean, 20.8, is that of a lognormal with its median and this.
SPREAD = 1.64


def draw_worths(n, median, spread):
    """Return what words are worth to n classes, the same for every seed."""
    places = (np.arange(n) + 0.5) / n
    normal = np.sqrt(2) * np.vectorize(_inverse_erf)(2 * places - 1)
    return np.random.default_rng(0).permutation(median * np.exp(spread * normal))


def _inverse_erf(value):
    from scipy.special import erfinv

    return erfinv(value)


def know(shots):
    """Return how often a probe with so many examples knows a class, between 0 and 1."""
    return np.clip(0.25 + 0.1 * np.log2(shots), 0.05, 0.97)


def answer(rng, truth, known, n):
    """Answer each image rightly with the chance `known` of its class, else at random."""
    guesses = rng.integers(n, size=len(truth))
    return np.where(rng.random(len(truth)) < known[truth], truth, guesses).astype(np.int8)


def simulate_scenes(kind, seed, median, spread):
    rng = np.random.default_rng(seed)
    shots = few_shot.SHOTS
    outcomes = {}
    sizes = [len(ATTRIBUTES[task]) for task in TAUGHT_TASKS]
    worths = np.split(draw_worths(sum(sizes), median, spread), np.cumsum(sizes)[:-1])
    for task, n, worth in zip(TAUGHT_TASKS, sizes, worths, strict=True):
        truth = np.arange(N_IMAGES) % n
        learned = float(kind == "planted")
        known = learned * know(worth * np.exp(0.1 * rng.normal()))  # a seed is better or worse
        words = answer(rng, truth, known, n)
        probes = np.zeros((N_IMAGES, len(shots), DRAWS), np.int8)
        for i, k in enumerate(shots):
            for draw in range(DRAWS):
                probes[:, i, draw] = answer(rng, truth, np.full(n, learned * know(k)), n)
        outcomes[f"words, {task}"] = words == truth
        outcomes[f"words in the singular, {task}"] = words == truth
        outcomes[f"_truth, {task}"] = truth
        outcomes[f"_words, {task}"] = words
        outcomes[f"_probes, {task}"] = probes
    few = {f"{name}{few_shot.FEW}": array for name, array in outcomes.items()}
    return outcomes | few, {"shots": shots}


def simulate_photos(kind, seed, median, spread):
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(1)
    shots, n_nouns, n_photos = few_shot_photos.SHOTS, len(NOUN_CLASSES), 300
    worths = draw_worths(n_nouns, median, spread)
    truth = fixed.random((n_photos, n_nouns)) < fixed.uniform(0.03, 0.2, n_nouns)
    positives = np.linspace(61, 1500, n_nouns).round().astype(int)
    learned = float(kind == "planted")

    def separate(k):  # how far photos with a noun lie above the others
        return learned * np.clip(0.5 + 0.3 * np.log2(k), 0.0, None)

    shared = fixed.normal(size=truth.shape)  # a photo is hard for words and probes alike

    def score(distance):
        noise = 0.7 * shared + 0.7 * rng.normal(size=truth.shape)
        return noise + truth * distance

    last = [np.full(n_nouns, k) for k in shots] + [positives]
    probes = [[score(separate(k)) for _ in range(DRAWS)] for k in last]
    outcomes = {
        "_words": score(separate(worths * np.exp(0.1 * rng.normal()))),
        "_probes": rank_scores(np.array(probes).transpose(2, 0, 1, 3)),
        "_truth": truth,
    }
    chosen = [1.0] * len(last)
    return outcomes, {"shots": shots, "positives": positives.tolist(), "chosen C": chosen}


def simulate_few_shot(kind, seed):
    return simulate_scenes(kind, seed, PAPER_SHOTS, 0.0)


def simulate_few_shot_photos(kind, seed):
    return simulate_photos(kind, seed, PAPER_SHOTS, 0.0)


def simulate_label_worth(kind, seed):
    return simulate_scenes(kind, seed, PAPER_MEDIAN, SPREAD)


def simulate_label_worth_photos(kind, seed):
    return simulate_photos(kind, seed, PAPER_MEDIAN, SPREAD)


SIMULATIONS = {
    "few_shot": simulate_few_shot,
    "few_shot_flickr8k": simulate_few_shot_photos,
    "label_worth": simulate_label_worth,
    "label_worth_flickr8k": simulate_label_worth_photos,
}
