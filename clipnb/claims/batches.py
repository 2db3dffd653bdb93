"""Do large batches help, and what does a sigmoid loss change about it?

Claims C17a (paper §2.5) and L4 (Zhai et al. 2023). The first sitting compared batch sizes at one
budget of training and with one rule for the learning rate. The best batch size depends on both.
Now every batch size has a rate of its own and is trained for three budgets. What is on trial is the
trend: does longer training favour larger batches?
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clipnb.claims.drawn import TUNING_SEED, draw_training_set
from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.small_models import (
    CHANCE,
    GALLERY,
    N_DEV,
    SMALL,
    SMALL_PHOTOS,
    draw_exam,
    find_photos,
    fit_clip,
    name_things,
    try_rates,
)
from clipnb.datasets import load_dataset
from clipnb.experiments.quantities import accuracy, difference
from clipnb.recipes import Recipe
from clipnb.training import make_tokenizer

N_SCENES = 2048  # training scenes: whole batches of every size
TUNING_EPOCHS = 8  # with which learning rates are chosen
PHOTO_TUNING_EPOCHS = 4
# The best of three by batch size, on dev (results/tuning/batches.json, siglip.json and
# batches_flickr8k.json).
RATES = {16: 3e-3, 64: 3e-3, 256: 3e-3, 1024: 3e-3}
SIGMOID_RATES = {16: 3e-3, 1024: 3e-3}
PHOTO_RATES = {32: 3e-3, 512: 3e-3}


# ---- batch sizes and budgets -----------------------------------------------------------------


def make_recipe(n_scenes: int, batch_size: int, epochs: int, rate: float) -> Recipe:
    """Make the recipe of a small CLIP on drawn scenes."""
    return dataclasses.replace(
        SMALL,
        name=f"small_drawn_{n_scenes}",
        batch_size=batch_size,
        epochs=epochs,
        learning_rate=rate,
    )


def measure_batches(
    seed: int, batch_sizes: Sequence[int], budgets: Sequence[int], n_scenes: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well words name scenes, for each batch size N and budget in epochs."""
    train_set = draw_training_set(seed, n_scenes, SMALL.stored_size)
    tokenizer = make_tokenizer(SMALL, train_set.captions)
    exam = draw_exam(n_images, SMALL.image_size)
    outcomes = {}
    for epochs in budgets:
        for N in batch_sizes:
            recipe = make_recipe(n_scenes, N, epochs, RATES[N])
            model = fit_clip(recipe, seed, train_set, tokenizer)
            outcomes[name_condition(N, epochs)] = name_things(model, tokenizer, exam)
    return outcomes, {"batch_sizes": list(batch_sizes), "budgets": list(budgets)}


def measure_batches_photos(
    seed: int, batch_sizes: Sequence[int], budgets: Sequence[int], n_photos: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well captions find photos, for each batch size N and budget in epochs."""
    train_set = load_dataset("flickr8k", "train", SMALL_PHOTOS.stored_size)
    tokenizer = make_tokenizer(SMALL_PHOTOS, train_set.captions)
    train_set = train_set.subset(range(n_photos))
    exam = load_dataset("flickr8k", "test", SMALL_PHOTOS.image_size).subset(range(n_images))
    outcomes = {}
    for epochs in budgets:
        for N in batch_sizes:
            recipe = make_photo_recipe(n_photos, N, epochs, PHOTO_RATES[N])
            model = fit_clip(recipe, seed, train_set, tokenizer)
            outcomes[name_condition(N, epochs)] = find_photos(model, tokenizer, exam)
    return outcomes, {"batch_sizes": list(batch_sizes), "budgets": list(budgets)}


def make_photo_recipe(n_photos: int, batch_size: int, epochs: int, rate: float) -> Recipe:
    """Make the recipe of a small CLIP on photos."""
    return dataclasses.replace(
        SMALL_PHOTOS,
        name=f"small_{n_photos}_photos",
        batch_size=batch_size,
        epochs=epochs,
        learning_rate=rate,
    )


def name_condition(N: int, epochs: int) -> str:
    """Name the condition of a batch size and a budget."""
    return f"N = {N}, {epochs} epochs"


def subtract_small(outcomes: dict[str, Any], epochs: int) -> float:
    """Return by how many points the larger half of the batch sizes is above the smaller half."""
    sizes = sorted(outcomes["batch_sizes"])
    percent = [100 * np.mean(outcomes[name_condition(N, epochs)]) for N in sizes]
    middle = len(sizes) // 2
    return float(np.mean(percent[middle:]) - np.mean(percent[:middle]))


def gain_at(choose: Callable[[Sequence[int]], int]) -> Callable[[dict[str, Any]], float]:
    """Make the effect "large minus small batches" at the budget that `choose` picks."""
    return lambda outcomes: subtract_small(outcomes, choose(outcomes["budgets"]))


def measure_trend(outcomes: dict[str, Any]) -> float:
    """Return by how many points the gain from large batches grows with the budget."""
    return gain_at(max)(outcomes) - gain_at(min)(outcomes)


def find_best_size(outcomes: dict[str, Any], epochs: int) -> int:
    """Return the batch size with the highest score at a budget."""
    return max(outcomes["batch_sizes"], key=lambda N: np.mean(outcomes[name_condition(N, epochs)]))


def count_doublings(outcomes: dict[str, Any]) -> float:
    """Return how many doublings the best batch size moves from the lowest budget to the highest."""
    shortest, longest = min(outcomes["budgets"]), max(outcomes["budgets"])
    best = [find_best_size(outcomes, epochs) for epochs in (shortest, longest)]
    return math.log2(best[1] / best[0])


def find_best_score(outcomes: dict[str, Any]) -> float:
    """Return the mean over the batch sizes of the percent right at the highest budget."""
    longest = max(outcomes["budgets"])
    names = [name_condition(N, longest) for N in outcomes["batch_sizes"]]
    return float(100 * np.mean([outcomes[name] for name in names]))


def tune_batches() -> dict[str, dict[str, float]]:
    """Try three learning rates for each batch size."""
    return {f"N = {N}": try_on_scenes(N) for N in RATES}


def try_on_scenes(N: int, **fields) -> dict[str, float]:
    """Try three learning rates for a batch size on scenes. fields: others of the recipe."""
    train_set = draw_training_set(TUNING_SEED, N_SCENES, SMALL.stored_size)
    tokenizer = make_tokenizer(SMALL, train_set.captions)
    exam = draw_exam(N_DEV, SMALL.image_size, is_dev=True)
    recipe = dataclasses.replace(make_recipe(N_SCENES, N, TUNING_EPOCHS, RATES[N]), **fields)
    return try_rates(recipe, train_set, tokenizer, lambda m: name_things(m, tokenizer, exam))


def tune_photos() -> dict[str, dict[str, float]]:
    """Try three learning rates for each batch size on photos, with a third of the epochs."""
    train_set = load_dataset("flickr8k", "train", SMALL_PHOTOS.stored_size)
    tokenizer = make_tokenizer(SMALL_PHOTOS, train_set.captions)
    exam = load_dataset("flickr8k", "dev", SMALL_PHOTOS.image_size)

    def score(model: Any) -> np.ndarray:
        return find_photos(model, tokenizer, exam)

    scores = {}
    for N in PHOTO_RATES:
        recipe = make_photo_recipe(len(train_set), N, PHOTO_TUNING_EPOCHS, PHOTO_RATES[N])
        scores[f"N = {N}"] = try_rates(recipe, train_set, tokenizer, score)
    return scores


# ---- a sigmoid or a softmax ------------------------------------------------------------------


def measure_siglip(
    seed: int, batch_sizes: Sequence[int], epochs: int, n_scenes: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well words name scenes after training with a softmax and with a sigmoid.

    The runs with a softmax are those of `measure_batches`.
    """
    train_set = draw_training_set(seed, n_scenes, SMALL.stored_size)
    tokenizer = make_tokenizer(SMALL, train_set.captions)
    exam = draw_exam(n_images, SMALL.image_size)
    outcomes = {}
    for N in batch_sizes:
        recipe = make_recipe(n_scenes, N, epochs, RATES[N])
        sigmoid = dataclasses.replace(recipe, loss="siglip", learning_rate=SIGMOID_RATES[N])
        for loss, own in (("softmax", recipe), ("sigmoid", sigmoid)):
            model = fit_clip(own, seed, train_set, tokenizer)
            outcomes[f"{loss}, N = {N}"] = name_things(model, tokenizer, exam)
    return outcomes, {}


def tune_siglip() -> dict[str, dict[str, float]]:
    """Try three learning rates for each loss and batch size."""
    scores = {}
    for N in SIGMOID_RATES:
        scores[f"softmax, N = {N}"] = try_on_scenes(N)
        scores[f"sigmoid, N = {N}"] = try_on_scenes(N, loss="siglip")
    return scores
