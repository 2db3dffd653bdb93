"""C6 on photos: are words good at the nouns that a fully supervised probe is good at?

In the first sitting the correlation was one of average precisions, which are higher for frequent
nouns even by guessing, and its interval held the noise of the photos alone. Now the score is the
area under the ROC curve, which is 50 % by guessing for every noun, and the nouns are the sample.
Words and probe are scored on different photos, so that a photo that is hard for both makes no
correlation.
"""

import dataclasses
from typing import Any

import numpy as np

from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.probes.correlation import SETTING, jackknife, tell_correlation
from clipnb.datasets import load_dataset
from clipnb.experiments.asking import ask_nouns, knows_word, score_sentences
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.nouns import NOUN_CLASSES, noun_truth
from clipnb.experiments.probes import Split, encode_for_probes
from clipnb.experiments.shots import NOUN_C_GRID, choose_noun_C, score_nouns
from clipnb.features import encode_images
from clipnb.recipes import TWO_MINUTES


def measure_tracking_photos(seed: int, epochs: int) -> tuple[Outcomes, dict]:
    """Score 25 nouns in the official test photos, with words and with probes on all photos.

    epochs: of training CLIP. Words score the dev photos too.
    """
    run = load_or_train_timed(dataclasses.replace(TWO_MINUTES, epochs=epochs), seed)
    names = ("train", "dev", "test")
    sets = [load_dataset("flickr8k", name, TWO_MINUTES.image_size) for name in names]
    train, dev, test = map(Split, encode_for_probes(run.model, sets), map(noun_truth, sets))
    everything = np.ones_like(train.labels)
    C = choose_noun_C(train, everything, dev)
    sentences = ask_nouns(NOUN_CLASSES, knows_word(run))["both"]
    words = {
        name: score_sentences(run, encode_images(run.model, own.images), sentences)
        for name, own in zip(names, sets, strict=True)
        if name != "train"
    }
    outcomes = {
        "_words": words["test"],  # (N, C)
        "_probe": score_nouns(train, everything, C, test.features),
        "_truth": test.labels,
        "_words, dev": words["dev"],
        "_truth, dev": dev.labels,
    }
    return outcomes, {"chosen C": C}


def measure_areas(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each class, in percent, (C,).

    It is how often a photo of the class scores higher than one without it. scores: (N, C), without
    ties. truth: bool (N, C).
    """
    ranks = scores.argsort(axis=0).argsort(axis=0)  # 0 is the lowest
    n_with = truth.sum(axis=0)
    n_without = len(truth) - n_with
    wins = (ranks * truth).sum(axis=0) - n_with * (n_with - 1) / 2
    return 100 * wins / (n_with * n_without)


def correlate_areas(outcomes: dict[str, Any]) -> np.ndarray:
    """Return jackknife values of the correlation over nouns of the ROC areas, (C,).

    Words are scored on the dev photos and the probe on the test photos.
    """
    words = measure_areas(outcomes["_words, dev"], outcomes["_truth, dev"])
    probe = measure_areas(outcomes["_probe"], outcomes["_truth"])
    return jackknife(words, probe, np.zeros(len(words), int))


def correlate_on_same_photos(outcomes: dict[str, Any]) -> np.ndarray:
    """Return the same with words and probe on the test photos, (C,)."""
    words, probe = (
        measure_areas(outcomes[who], outcomes["_truth"]) for who in ("_words", "_probe")
    )
    return jackknife(words, probe, np.zeros(len(words), int))


def lead_of_probe(outcomes: dict[str, Any]) -> np.ndarray:
    """Return the points of ROC area by which the probe is above words for each noun, (C,)."""
    truth = outcomes["_truth"]
    return measure_areas(outcomes["_probe"], truth) - measure_areas(outcomes["_words"], truth)


def mean_area_of_words(outcomes: dict[str, Any]) -> float:
    """Return the mean ROC area of words over nouns, in percent."""
    return float(measure_areas(outcomes["_words"], outcomes["_truth"]).mean())


def mean_area_of_probe(outcomes: dict[str, Any]) -> float:
    """Return the mean ROC area of probes over nouns, in percent."""
    return float(measure_areas(outcomes["_probe"], outcomes["_truth"]).mean())


EXPERIMENTS = [
    Experiment(
        name="tracks_supervised_flickr8k",
        claim="C6",
        title="Words and a fully supervised probe are good at the same nouns in photos",
        dataset="flickr8k",
        protocol=Protocol(
            **SETTING,
            match_reason=(
                "The 25 nouns of one dataset of 8,000 photos stand for 27 datasets. The score is "
                "the area under the ROC curve, because a photo shows several nouns."
            ),
            hypothesis=(
                "Over nouns, the ROC area of words and that of a probe on the same features go "
                "together."
            ),
            conditions={
                "words": "the noun's singular and plural, their features averaged",
                "probe": "a logistic regression for each noun on the same features, with the "
                "labels of all 6,000 training photos",
            },
            equal=(
                "The model and the features are the same. Words are scored on the dev photos and "
                "the probe on the test photos, 1,000 each."
            ),
            tuning=(
                f"C of the probes is chosen from {len(NOUN_C_GRID)} values on the dev photos. For "
                "words nothing is chosen."
            ),
            power=(
                "Five seeds and 25 nouns. By simulation the interval reaches 0.45 either way on "
                "Fisher's scale, so that r = 0.63 is found to be more than the margin, and r = "
                "0.42 to be more than none. It holds the truth in 93 to 96 % of simulated cases, "
                "skewed ones among them. The official training photos are given, so a seed draws "
                "the weights and the order of training alone."
            ),
            gates=(
                Gate(effect="words, ROC area", above=65.0, why="words alone find no nouns"),
                Gate(
                    effect="probe, ROC area",
                    below=97.0,
                    why="the probe finds every noun, and the nouns do not differ",
                ),
            ),
        ),
        measure=measure_tracking_photos,
        effects={
            "over nouns": Effect(compute=correlate_areas, unit="Fisher's z", over="units"),
            "over nouns, on the same photos": Effect(
                compute=correlate_on_same_photos, unit="Fisher's z", over="units"
            ),
            "probe minus words": Effect(
                compute=lead_of_probe, unit="points of ROC area", over="units"
            ),
            "words, ROC area": Effect(compute=mean_area_of_words, unit="percent"),
            "probe, ROC area": Effect(compute=mean_area_of_probe, unit="percent"),
        },
        explain=tell_correlation,
        notebook="08_linear_probe_and_few_shot",
        small={"epochs": 2},
        full={"epochs": TWO_MINUTES.epochs},
    ),
]
