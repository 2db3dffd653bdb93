"""Does the error fall as a power of compute, and does a small run predict a larger one's error?

Claims C8 (paper Fig 9) and L7 (Cherti et al. 2023). The first sitting fitted one line to all runs,
also to those that spend their compute badly, and tested the line on the runs it was fitted to. Now
the line is fitted to the best run of each budget alone, and has to foretell the error of a run that
costs at least eight times as much as any that it has seen. Its opponent has as many parameters: a
straight line without the logarithm of the error.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from clipnb.claims.drawn import draw_training_set
from clipnb.claims.experiment import Outcomes
from clipnb.claims.small_models import (
    SMALL,
    SMALL_PHOTOS,
    draw_exam,
    find_photos,
    fit_clip,
    name_things,
)
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.small_clip import count_multiply_adds
from clipnb.model import CLIP
from clipnb.recipes import Recipe
from clipnb.training import make_tokenizer

SCENES = dataclasses.replace(SMALL, image_size=48, stored_size=48)
# The best of three by width, with a quarter of the images, on dev (results/tuning/scaling.json and
# scaling_flickr8k.json).
RATES = {32: 3e-3, 64: 3e-3, 128: 3e-3}
PHOTO_RATES = {32: 3e-3, 64: 3e-3, 128: 3e-3}
HELD_OUT = 8  # runs that cost more than the largest divided by this are foretold, not fitted
LOWEST_ERROR = 1e-3  # a perfect run counts as this error, so that it has a logarithm


# ---- the runs --------------------------------------------------------------------------------


def measure_scaling(
    seed: int, widths: Sequence[int], sizes: Sequence[int], epochs: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well words name scenes, by width and number of training scenes."""
    train_set = draw_training_set(seed, max(sizes), SCENES.stored_size)
    exam = draw_exam(n_images, SCENES.image_size)
    recipe = dataclasses.replace(SCENES, name="scaling", epochs=epochs)
    return measure_grid(seed, recipe, train_set, widths, sizes, RATES, score_by(name_things, exam))


def measure_scaling_photos(
    seed: int, widths: Sequence[int], sizes: Sequence[int], epochs: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well captions find photos, by width and number of training photos."""
    train_set = load_dataset("flickr8k", "train", SMALL_PHOTOS.stored_size)
    exam = load_dataset("flickr8k", "test", SMALL_PHOTOS.image_size).subset(range(n_images))
    recipe = dataclasses.replace(SMALL_PHOTOS, name="scaling", epochs=epochs)
    score = score_by(find_photos, exam)
    return measure_grid(seed, recipe, train_set, widths, sizes, PHOTO_RATES, score)


Score = Callable[[CLIP, Any], np.ndarray]  # of a model and a tokenizer


def score_by(score: Callable, exam: CaptionDataset) -> Score:
    """Return a function of model and tokenizer that scores them with an exam."""
    return lambda model, tokenizer: score(model, tokenizer, exam)


def measure_grid(
    seed: int,
    recipe: Recipe,
    train_set: CaptionDataset,
    widths: Sequence[int],
    sizes: Sequence[int],
    rates: dict[int, float],
    score: Score,
) -> tuple[Outcomes, dict]:
    """Train every width on the first images of a training set, as many as each of `sizes` says.

    All runs share one vocabulary. A condition is named "width x size". `_half` tells which half of
    the test images an image belongs to: one is there to choose runs, the other to read their error.
    """
    tokenizer = make_tokenizer(recipe, train_set.captions)
    outcomes, compute = {}, {}
    for size in sizes:
        subset = train_set.subset(range(size))
        for width in widths:
            own = dataclasses.replace(
                recipe,
                name=f"{recipe.name}_{size}_of_{len(train_set)}",
                image_width=width,
                learning_rate=rates[width],
            )
            model = fit_clip(own, seed, subset, tokenizer)
            condition = f"{width} x {size}"
            outcomes[condition] = score(model, tokenizer)
            own_compute = sum(count_multiply_adds(model, recipe.image_size))
            compute[condition] = own_compute * recipe.epochs * size
    outcomes["_half"] = np.arange(len(outcomes[condition])) % 2
    return outcomes, {"compute": compute}


# ---- the frontier ----------------------------------------------------------------------------


class Frontier(NamedTuple):
    """The best runs, by what they cost."""

    compute: np.ndarray  # (F,) of the runs to fit, rising
    error: np.ndarray  # (F,) as shares
    held_out_compute: float
    held_out_error: float


def find_frontier(outcomes: dict[str, Any], half: int) -> Frontier:
    """Find the runs that no cheaper run beats, and the best of the held-out expensive ones.

    They are chosen by the test images of one half, and their error is read on those of the other,
    because the lowest of many errors is too low where it was chosen.
    """
    compute = outcomes["compute"]
    order = sorted(compute, key=compute.get)
    choosing = outcomes["_half"] == half
    chosen_by = {run: 1 - outcomes[run][choosing].mean() for run in order}
    read = {run: max(1 - outcomes[run][~choosing].mean(), LOWEST_ERROR) for run in order}
    limit = max(compute.values()) / HELD_OUT
    best, lowest = [], np.inf
    for run in order:
        if compute[run] <= limit and chosen_by[run] < lowest:
            best.append(run)
            lowest = chosen_by[run]
    last = min((run for run in order if compute[run] > limit), key=chosen_by.get)
    return Frontier(
        np.array([compute[run] for run in best]),
        np.array([read[run] for run in best]),
        compute[last],
        read[last],
    )


class Forecast(NamedTuple):
    """What is foretold about the held-out run, and what was measured. All errors are shares."""

    power_law: float
    straight_line: float
    last_value: float
    measured: float
    exponent: float  # b of error = a * compute**-b
    r_squared: float  # of the line on logarithmic axes, over the fitted runs


def forecast(outcomes: dict[str, Any], half: int) -> Forecast:
    """Fit both lines to the cheaper part of a frontier and foretell the held-out run.

    A frontier of one run foretells that nothing changes.
    """
    compute, error, last_compute, measured = find_frontier(outcomes, half)
    x, last_x = np.log(compute), np.log(last_compute)
    if len(x) == 1:
        return Forecast(error[0], error[0], error[0], measured, 0.0, 0.0)
    slope, intercept = np.polyfit(x, np.log(error), 1)
    straight = np.polyval(np.polyfit(x, error, 1), last_x)
    correlation = np.corrcoef(x, np.log(error))[0, 1] if error.std() else 0.0
    return Forecast(
        float(np.exp(intercept + slope * last_x)),
        float(max(straight, 0)),  # an error is never negative
        float(error[-1]),
        float(measured),
        float(-slope),
        float(correlation**2),
    )


def average_halves(compute: Callable[[Forecast], float]) -> Callable[[dict[str, Any]], float]:
    """Make an effect from a function of a forecast: its mean over which half chooses the runs."""

    def average(outcomes: dict[str, Any]) -> float:
        return float(np.mean([compute(forecast(outcomes, half)) for half in (0, 1)]))

    return average


def compare_with_line(seen: Forecast) -> float:
    """Return by how many points the power law comes nearer to the error than a straight line."""
    return 100 * (abs(seen.straight_line - seen.measured) - abs(seen.power_law - seen.measured))


def compare_with_last(seen: Forecast) -> float:
    """Return by how many points the power law comes nearer than the last fitted error."""
    return 100 * (abs(seen.last_value - seen.measured) - abs(seen.power_law - seen.measured))


def divide_forecast(outcomes: dict[str, Any]) -> float:
    """Return the foretold error divided by the measured one; the geometric mean over the halves."""
    ratios = [np.log(each.power_law / each.measured) for each in forecast_twice(outcomes)]
    return float(np.exp(np.mean(ratios)))


def divide_last(outcomes: dict[str, Any]) -> float:
    """Return the last fitted error divided by the held-out one, in the same way."""
    ratios = [np.log(each.last_value / each.measured) for each in forecast_twice(outcomes)]
    return float(np.exp(np.mean(ratios)))


def forecast_twice(outcomes: dict[str, Any]) -> list[Forecast]:
    """Return the forecasts with each of the two halves as the one that chooses."""
    return [forecast(outcomes, half) for half in (0, 1)]


def find_best_accuracy(outcomes: dict[str, Any]) -> float:
    """Return the percent right of the held-out run."""
    return 100 * (1 - np.mean([each.measured for each in forecast_twice(outcomes)]))
