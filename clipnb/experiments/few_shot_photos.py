"""Experiments of notebook 08 on photos: nouns, with words and with probes (paper Fig 6, 8)."""

from typing import Any

import numpy as np

from clipnb.datasets import load_dataset
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.nouns import (
    NOUN_CLASSES,
    average_precisions,
    mean_average_precision,
    noun_truth,
)
from clipnb.experiments.probes import (
    Split,
    encode_for_probes,
    find_crossing,
    fit_probe,
    grade_crossing,
)
from clipnb.experiments.quantities import precision, surplus
from clipnb.experiments.representations import correlate, judge_correlation
from clipnb.recipes import TWO_MINUTES
from clipnb.zero_shot import zero_shot_scores

# Photos of a noun. Beside them stand five times as many photos without it.
PHOTO_SHOTS = (1, 2, 4, 8, 16, 32, 64)


def measure_photos(seed: int, draws: int, C: float) -> tuple[Outcomes, dict]:
    """Score 25 nouns in the official test photos, with words and with probes.

    The probes are on the same features. They have seen 1 to 64 photos of a noun, or all training
    photos.
    """
    run = load_or_train_timed(TWO_MINUTES, seed)
    train_set, test_set = (
        load_dataset("flickr8k", split, TWO_MINUTES.image_size) for split in ("train", "test")
    )
    train_features, test_features = encode_for_probes(run.model, [train_set, test_set])
    train_truth, test_truth = noun_truth(train_set), noun_truth(test_set)  # bool (N, C)
    few, full = [], []
    for column, truth in enumerate(train_truth.T):
        noun = Split(train_features, truth)
        rng = np.random.default_rng((seed, column))
        full.append(fit_probe(noun, C).decision_function(test_features))
        few.append(score_with_shots(noun, test_features, draws, C, rng))
    few = np.stack(few, axis=-1).astype(np.float32)  # (N, K, draws, C)
    full = np.stack(full, axis=-1).astype(np.float32)  # (N, C)
    clip = zero_shot_scores(
        run.model, run.tokenizer, test_set.images, NOUN_CLASSES, ["a {}"]
    ).numpy()
    numbers = {
        "shots": list(PHOTO_SHOTS),
        "curve": precision_by_shots(few, test_truth),
        "positives": train_truth.sum(axis=0).tolist(),
        "zero-shot, by noun": average_precisions(clip, test_truth).tolist(),
        "probe, by noun": average_precisions(full, test_truth).tolist(),
    }
    return {"_clip": clip, "_full": full, "_few": few, "_truth": test_truth}, numbers


def score_with_shots(
    noun: Split, test_features: np.ndarray, draws: int, C: float, rng: np.random.Generator
) -> np.ndarray:
    """Score test images with probes that have seen few photos of a noun, (N, K, draws).

    noun: the training photos; its labels tell whether a photo shows the noun. K: of `PHOTO_SHOTS`.
    """
    scores = np.zeros((len(test_features), len(PHOTO_SHOTS), draws))
    for draw in range(draws):
        with_noun = rng.permutation(np.flatnonzero(noun.labels))
        without = rng.permutation(np.flatnonzero(~noun.labels))
        for i, k in enumerate(PHOTO_SHOTS):
            rows = np.concatenate([with_noun[:k], without[: 5 * k]])
            scores[:, i, draw] = fit_probe(noun.subset(rows), C).decision_function(test_features)
    return scores


def precision_by_shots(few: np.ndarray, truth: np.ndarray) -> list[float]:
    """Return the mean average precision, in percent, for each number of photos.

    few: the probes' scores (N, K, draws, C), whose draws are averaged. truth: bool (N, C).
    """
    curve = []
    for scores in few.transpose(1, 2, 0, 3):  # K times (draws, N, C)
        curve.append(np.mean([mean_average_precision(each, truth) for each in scores]))
    return curve


def photos_worth(outcomes: dict[str, Any]) -> float:
    """Return the photos of a noun with which probes reach zero-shot's mean average precision.

    It is 0.5 for less than one photo, and 128 for more than 64.
    """
    level = mean_average_precision(outcomes["_clip"], outcomes["_truth"])
    curve = precision_by_shots(outcomes["_few"], outcomes["_truth"])
    return find_crossing(curve, level, PHOTO_SHOTS, never=128.0)


def correlation_over_nouns(outcomes: dict[str, Any]) -> float:
    """Return Pearson's r of zero-shot's and the full probe's average precision over nouns."""
    clip = average_precisions(outcomes["_clip"], outcomes["_truth"])
    full = average_precisions(outcomes["_full"], outcomes["_truth"])
    known = ~np.isnan(clip)
    return correlate(clip[known], full[known])


def judge_photos_worth(quantities: Quantities) -> tuple[str, str]:
    """Judge where probes reach zero-shot: the paper says at four examples.

    replicated: the interval of the crossing lies above 2. partly: above 1. contradicted: not above
    1 anywhere.
    """
    photos = quantities["photos of a noun"]
    words = quantities["zero-shot, mean AP"]
    full = quantities["full probe, mean AP"]
    because = (
        f"words are worth {photos['mean']:.0f} photos of a noun (128: more than 64): mean average "
        f"precision {words['mean']:.0f} %, with all training photos {full['mean']:.0f} %."
    )
    return grade_crossing(photos["interval"], enough=2), because


def judge_tracking_on_photos(quantities: Quantities) -> tuple[str, str]:
    """Judge the correlation over nouns with `judge_correlation`."""
    return judge_correlation(quantities["r over nouns"], quantities["the probe's lead"])


PRECISIONS = {
    "zero-shot, mean AP": precision("clip"),
    "full probe, mean AP": precision("full"),
}

EXPERIMENTS = [
    Experiment(
        name="few_shot_flickr8k",
        claim="C4",
        title="Zero-shot equals a probe with four photos of a noun",
        where="Fig 6",
        paper={"examples a class": 4},
        dataset="flickr8k",
        measure=measure_photos,
        quantities={"photos of a noun": photos_worth, **PRECISIONS},
        unit="photos",
        rule=(
            "replicated: the interval of the crossing lies above 2, half the paper's four; "
            "partly: above 1; contradicted: not above 1 anywhere"
        ),
        judge=judge_photos_worth,
        notebook="08_linear_probe_and_few_shot",
        full={"draws": 3, "C": 10.0},
    ),
    Experiment(
        name="tracks_supervised_flickr8k",
        claim="C6",
        title="Zero-shot goes with supervised accuracy, photos",
        where="Fig 8",
        paper={"r": 0.82, "the probe's lead": "10 to 25 points"},
        dataset="flickr8k",
        measure=measure_photos,
        quantities={
            "r over nouns": correlation_over_nouns,
            "the probe's lead": surplus(precision("full"), precision("clip")),
            **PRECISIONS,
        },
        unit="correlation",
        rule="replicated: the interval of r lies above 0.5; partly: above 0; contradicted: below 0",
        judge=judge_tracking_on_photos,
        notebook="08_linear_probe_and_few_shot",
        full={"draws": 3, "C": 10.0},
    ),
]
