"""Experiment of notebook 10: do large batches matter (paper §2.5, Table 18)?"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clipnb.datasets import load_dataset
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.quantities import difference
from clipnb.experiments.small_clip import (
    SMALL_RECIPE,
    average_tasks,
    load_or_fit_clip,
    score_naming,
)
from clipnb.training import make_tokenizer


def measure_batch_size(
    seed: int, batch_sizes: Sequence[int], epochs: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well words name images for each batch size N; every image is seen equally often.

    The learning rate grows with the root of the batch size. An outcome is the share of the three
    tasks that are right.
    """
    train_set = load_dataset("scenes", "train", SMALL_RECIPE.stored_size)
    tokenizer = make_tokenizer(SMALL_RECIPE, train_set.captions)
    outcomes = {}
    for N in batch_sizes:
        recipe = dataclasses.replace(
            SMALL_RECIPE,
            name=f"batch_{N}",
            batch_size=N,
            learning_rate=SMALL_RECIPE.learning_rate * math.sqrt(N / SMALL_RECIPE.batch_size),
            epochs=epochs,
        )
        model = load_or_fit_clip(recipe, seed, train_set, tokenizer)
        outcomes[f"N = {N}"] = average_tasks(score_naming(model, tokenizer, n_images))
    return outcomes, {"batch_sizes": list(batch_sizes)}


def subtract_batch_of_64(outcomes: dict[str, Any]) -> float:
    """Return by how many points the largest batch is above a batch of 64."""
    largest = max(outcomes["batch_sizes"])
    return difference(f"N = {largest}", "N = 64")(outcomes)


def find_best_batch(outcomes: dict[str, Any]) -> float:
    """Return log2 of the batch size with the highest accuracy."""

    def accuracy_of(N: int) -> float:
        return np.mean(outcomes[f"N = {N}"])

    return math.log2(max(outcomes["batch_sizes"], key=accuracy_of))


def judge_batch_size(quantities: Quantities) -> tuple[str, str]:
    """Judge by the interval of the largest batch's accuracy minus that of a batch of 64.

    "replicated" if it lies above 0, "contradicted" if below, "not at this scale" if it holds 0.
    """
    gain = quantities["largest batch minus 64"]
    low, high = gain["interval"]
    best = 2 ** quantities["best batch, log2"]["mean"]
    because = (
        f"at equal images seen the largest batch is {gain['mean']:+.1f} points from a batch of 64; "
        f"the best has {best:.0f} or so."
    )
    if low > 0:
        return "replicated", because
    if high < 0:
        return "contradicted", because
    return "not at this scale", because


EXPERIMENTS = [
    Experiment(
        name="batch_size",
        claim="C17",
        title="Large batches matter",
        where="§2.5, Table 18",
        paper={"batch size": 32768},
        dataset="scenes",
        measure=measure_batch_size,
        quantities={
            "largest batch minus 64": subtract_batch_of_64,
            "best batch, log2": find_best_batch,
        },
        unit="points",
        rule=(
            "replicated: at equal images seen, the largest batch is above a batch of 64 by the "
            "interval; contradicted: below"
        ),
        judge=judge_batch_size,
        notebook="10_scaling",
        small={"batch_sizes": [16, 64, 256], "epochs": 2, "n_images": 500},
        full={"batch_sizes": [16, 32, 64, 128, 256, 512, 1024], "epochs": 6, "n_images": 2000},
    ),
]
