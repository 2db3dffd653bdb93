"""Experiment of notebook 09: test photos in training, with other captions (paper §5)."""

import dataclasses
from typing import Any

import numpy as np

from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.quantities import accuracy, difference
from clipnb.features import encode_dataset
from clipnb.metrics import retrieval_ranks
from clipnb.recipes import TWO_MINUTES

MEDIAN_OVERLAP = 0.022  # of the paper's 35 datasets
TRAINING_CAPTIONS = slice(0, 4)
TEST_CAPTIONS = slice(4, 5)


def measure_leaky_split(seed: int) -> tuple[Outcomes, dict]:
    """Measure whether the fifth caption of each test photo finds it, after two ways of training.

    "honest": the photos were not in training. "leaky": they were, with their other four captions.
    """
    image_size, stored_size = TWO_MINUTES.image_size, TWO_MINUTES.stored_size
    train_set = load_dataset("flickr8k", "train", stored_size)
    leaked = load_dataset("flickr8k", "test", stored_size)
    train_sets = {
        "honest": keep_captions(train_set, TRAINING_CAPTIONS),
        "leaky": keep_captions(put_inside(train_set, leaked), TRAINING_CAPTIONS),
    }
    dev_set = load_dataset("flickr8k", "dev", image_size)
    test_set = keep_captions(load_dataset("flickr8k", "test", image_size), TEST_CAPTIONS)
    outcomes = {}
    for split, own_set in train_sets.items():
        recipe = dataclasses.replace(TWO_MINUTES, name=f"split_{split}", captions_per_image=4)
        run = load_or_train_timed(recipe, seed, train_set=own_set, dev_set=dev_set)
        features = encode_dataset(run.model, run.tokenizer, test_set)
        _, text_to_image = retrieval_ranks(*features)  # (N,): one caption for each photo
        for k in (1, 10):
            outcomes[f"{split}, R@{k}"] = (text_to_image <= k).numpy()
    return outcomes, {}


def keep_captions(dataset: CaptionDataset, which: slice) -> CaptionDataset:
    """Return the dataset with some of each image's captions only."""
    return dataclasses.replace(dataset, captions=[own[which] for own in dataset.captions])


def put_inside(train_set: CaptionDataset, test_set: CaptionDataset) -> CaptionDataset:
    """Return the training set with its first images replaced by all those of the test set."""
    rest = train_set.subset(range(len(test_set), len(train_set)))
    return dataclasses.replace(
        rest,
        images=np.concatenate([test_set.images, rest.images]),
        captions=[*test_set.captions, *rest.captions],
        image_ids=[*test_set.image_ids, *rest.image_ids],
    )


def harm_of_median_overlap(outcomes: dict[str, Any]) -> float:
    """Return the points that a leak of the paper's median overlap would add to R@1.

    It is the harm of the whole leak, scaled down: each leaked photo helps its own captions only.
    """
    return MEDIAN_OVERLAP * difference("leaky, R@1", "honest, R@1")(outcomes)


QUANTITIES = {
    "harm of 2.2 % overlap, R@1": harm_of_median_overlap,
    "leaky minus honest, R@1": difference("leaky, R@1", "honest, R@1"),
    "leaky minus honest, R@10": difference("leaky, R@10", "honest, R@10"),
    "honest, R@1": accuracy("honest, R@1"),
    "honest, R@10": accuracy("honest, R@10"),
    "leaky, R@1": accuracy("leaky, R@1"),
    "leaky, R@10": accuracy("leaky, R@10"),
}


def judge_leaky_split(quantities: Quantities) -> tuple[str, str]:
    """Judge by what a leak of 2.2 % of the test photos would add to R@1.

    Replicated: the interval lies within 0.6 points either way. Contradicted: it lies above. Not at
    this scale: it does neither.
    """
    harm = quantities["harm of 2.2 % overlap, R@1"]
    leak = quantities["leaky minus honest, R@1"]
    honest, leaky = quantities["honest, R@10"], quantities["leaky, R@10"]
    reason = (
        f"with all test photos in training, under other captions, R@10 reads {leaky['mean']:.0f} % "
        f"instead of {honest['mean']:.0f} % and R@1 {leak['mean']:+.1f} points; if 2.2 % of them "
        f"leaked, the paper's median, R@1 would move by {harm['mean']:.2f} points (the paper: at "
        "most 0.6)."
    )
    low, high = harm["interval"]
    if max(abs(low), abs(high)) < 0.6:
        return "replicated", reason
    if low > 0.6:
        return "contradicted", reason
    return "not at this scale", reason


EXPERIMENTS = [
    Experiment(
        name="leaky_split",
        claim="C14",
        title="An overlap of a few percent does little harm, a leaky split does much",
        where="§5",
        paper={"median overlap": "2.2 %", "largest shift, points": 0.6},
        dataset="flickr8k",
        measure=measure_leaky_split,
        quantities=QUANTITIES,
        unit="points",
        rule=(
            "replicated: what a leak of 2.2 % of the test photos would add to R@1, by what a leak "
            "of all of them adds, lies within 0.6 points by the interval; contradicted: above"
        ),
        judge=judge_leaky_split,
        notebook="09_robustness",
    ),
]
