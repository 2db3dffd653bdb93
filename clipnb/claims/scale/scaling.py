"""Does the error fall as a power of compute, and does a small run predict a larger one's error?

Claims C8 (paper Fig 9) and L7 (Cherti et al. 2023). The first sitting fitted one line to all runs,
also to those that spend their compute badly, and tested the line on the runs it was fitted to. Now
the line is fitted to the runs that no cheaper one beats, up to an eighth of the highest cost, and
has to foretell the error of the best run beyond. Its opponent has as many parameters: a straight
line without the logarithm of the error.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from clipnb.claims.drawn import TUNING_SEED, draw_training_set
from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.scale.frontier import (
    average_halves,
    compare_with_last,
    compare_with_line,
    divide_forecast,
    divide_last,
    find_best_accuracy,
)
from clipnb.claims.scale.small_models import (
    N_DEV,
    SMALL,
    SMALL_PHOTOS,
    draw_exam,
    find_photos,
    fit_clip,
    name_things,
    try_rates,
)
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.small_clip import count_multiply_adds
from clipnb.model import CLIP
from clipnb.recipes import Recipe
from clipnb.training import make_tokenizer

SCENES = dataclasses.replace(SMALL, image_size=48, stored_size=48)
# The best of five by width, with few images, on dev (results/tuning/scaling.json and
# scaling_flickr8k.json).
BEST_RATES = {32: 3e-3, 64: 3e-3, 128: 1e-3}
PHOTO_RATES = {32: 3e-3, 48: 3e-3, 64: 3e-3, 96: 1e-3, 128: 1e-3}


# ---- the runs --------------------------------------------------------------------------------


def measure_scaling(
    seed: int, widths: Sequence[int], sizes: Sequence[int], epochs: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well words name scenes, by width and number of training scenes."""
    train_set = draw_training_set(seed, max(sizes), SCENES.stored_size)
    exam = draw_exam(n_images, SCENES.image_size)
    recipe = dataclasses.replace(SCENES, name="scaling", epochs=epochs)
    score = score_by(name_things, exam)
    return measure_grid(seed, recipe, train_set, widths, sizes, BEST_RATES, score)


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


# ---- learning rates --------------------------------------------------------------------------


def tune_scaling() -> dict[str, dict[str, float]]:
    """Try five learning rates for each width, on 2,000 scenes."""
    train_set = draw_training_set(TUNING_SEED, 2000, SCENES.stored_size)
    recipe = dataclasses.replace(SCENES, name="scaling_2000", epochs=FULL["epochs"])
    exam = draw_exam(N_DEV, SCENES.image_size, is_dev=True)
    return tune_widths(BEST_RATES, recipe, train_set, score_by(name_things, exam))


def tune_scaling_photos() -> dict[str, dict[str, float]]:
    """Try five learning rates for each width, on 1,500 photos."""
    train_set = load_dataset("flickr8k", "train", SMALL_PHOTOS.stored_size).subset(range(1500))
    recipe = dataclasses.replace(SMALL_PHOTOS, name="scaling_1500", epochs=FULL_PHOTOS["epochs"])
    exam = load_dataset("flickr8k", "dev", SMALL_PHOTOS.image_size)
    return tune_widths(PHOTO_RATES, recipe, train_set, score_by(find_photos, exam))


def tune_widths(
    widths: Iterable[int], recipe: Recipe, train_set: CaptionDataset, score: Score
) -> dict[str, dict[str, float]]:
    """Try five learning rates for each width."""
    tokenizer = make_tokenizer(recipe, train_set.captions)
    scores = {}
    for width in widths:
        own = dataclasses.replace(recipe, image_width=width)
        scores[f"width {width}"] = try_rates(
            own, train_set, tokenizer, lambda model: score(model, tokenizer)
        )
    return scores


# ---- the experiments -------------------------------------------------------------------------

FULL = {
    "widths": [32, 64, 128],
    "sizes": [500, 1000, 2000, 4000, 8000, 16000],
    "epochs": 3,
    "n_images": 4000,
}
FULL_PHOTOS = {
    "widths": [32, 48, 64, 96, 128],
    "sizes": [375, 750, 1500, 3000, 6000],
    "epochs": 6,
    "n_images": 1000,
}
SMALL_GRID = {"widths": [32, 64], "sizes": [500, 1000, 2000, 4000], "epochs": 2, "n_images": 500}
SMALL_PHOTO_GRID = {
    "widths": [32, 64],
    "sizes": [375, 750, 1500, 3000],
    "epochs": 2,
    "n_images": 500,
}
NEARER = "power law nearer than a straight line"
RATIO = "foretold over measured error"
LAST_RATIO = "last fitted error over measured error"
BEST = "percent right of the held-out run"
SHAPE_EFFECTS = {
    NEARER: Effect(compute=average_halves(compare_with_line), unit="points"),
    "power law nearer than the last value": Effect(
        compute=average_halves(compare_with_last), unit="points"
    ),
    "exponent b": Effect(compute=average_halves(lambda seen: seen.exponent), unit="power"),
    "R² on logarithmic axes": Effect(
        compute=average_halves(lambda seen: seen.r_squared), unit="share of variance"
    ),
    BEST: Effect(compute=find_best_accuracy, unit="percent"),
}
FORECAST_EFFECTS = {
    RATIO: Effect(compute=divide_forecast, unit="times", scale="log"),
    LAST_RATIO: Effect(compute=divide_last, unit="times", scale="log"),
    BEST: Effect(compute=find_best_accuracy, unit="percent"),
}


def explain_shape(effects: dict[str, dict]) -> str:
    """Say how much nearer the power law comes, and its exponent."""
    return (
        f"the power law comes {effects[NEARER]['mean']:+.1f} points nearer to the error of the "
        f"expensive run than a straight line does; error falls as the power "
        f"{effects['exponent b']['mean']:.2f} of compute, with R² "
        f"{effects['R² on logarithmic axes']['mean']:.2f} on logarithmic axes."
    )


def explain_forecast(effects: dict[str, dict]) -> str:
    """Say how the foretold error compares with the measured one."""
    return (
        f"the line through the cheap runs foretells {effects[RATIO]['mean']:.2f} times the error "
        "that the expensive run has; without a line, the best cheap run has "
        f"{effects[LAST_RATIO]['mean']:.2f} times that error."
    )


GRID_TEXT = {
    "conditions": {
        "width x images": "a CLIP whose image tower has that width, trained on so many images",
        "frontier": "the runs that cost at most an eighth of the most expensive one and that no "
        "cheaper run beats",
        "held-out run": "the best of the runs that cost more; no line is fitted to it",
    },
    "equal": "epochs, batch size, vocabulary, test images; the learning rate is that of the width. "
    "Both lines are fitted to the same runs and have two parameters",
    "tuning": "five learning rates for each width, tried once with few images on dev; the best "
    "one is used for all numbers of images, and may not be the best for the largest",
}
SHAPE_TEXT = {
    "quote": "Across 39 evals on 36 different datasets, average zero-shot error is well modeled by "
    "a log-log linear trend across a 44x range of compute spanning 5 different CLIP models.",
    "source": "Radford et al. 2021, §3.1.5, caption of Figure 9",
    "match": "proxy",
    "match_reason": "the paper scales one family of models on one training set; here widths and "
    "numbers of images grow together, on drawn scenes that the seed draws or on the given training "
    "split of Flickr8k, of which the seed draws weights and order alone",
    "hypothesis": "a power law fitted to the cheap runs of the frontier comes nearer to the error "
    "of the expensive run than a straight line of error over the logarithm of compute, which has "
    "as many parameters",
    "margin": 1.0,
    "margin_reason": "one point of error is about what two seeds differ by; of two forecasts that "
    "differ by less, neither is the better one in practice",
    "opposite": "the straight line comes nearer: then error does not follow a power law here",
}
FORECAST_TEXT = {
    "quote": "Moreover, performance often follows reliable scaling laws as a function of training "
    "set size, model size, and compute, which offers valuable guidance as large-scale experiments "
    "are becoming increasingly expensive.",
    "source": "Cherti et al. 2023 (arXiv 2212.07143), abstract",
    "match": "proxy",
    "match_reason": "their models are trained on up to two billion pairs; ours on at most 16,000 "
    "scenes that the seed draws, or on the given training split of Flickr8k, of which the seed "
    "draws weights and order alone",
    "hypothesis": "the error of the expensive run is what a power law through the cheap runs says, "
    "within a factor of 1.2",
    "kind": "equivalence",
    "margin": 1.2,
    "margin_reason": "with an exponent of 0.3, eight times the compute makes the error 1.9 times "
    "smaller; a forecast within 1.2 tells more than two thirds of that fall on a logarithmic scale",
    "opposite": "the foretold error is more than 1.2 times too high or too low",
}


def make_gates(percent: float, is_forecast: bool = False) -> tuple[Gate, ...]:
    """Make the gates: the best run works, and there is a fall of the error to foretell."""
    competence = Gate(
        effect=BEST, above=percent, why="even the best run learned too little to show a law"
    )
    fall = Gate(
        effect=LAST_RATIO,
        above=1.2,
        why="the error fell too little for a wrong forecast to be told from a right one",
    )
    return (competence, fall) if is_forecast else (competence,)


POWER_SCENES = (
    "5 seeds and 4,000 test images: the half that reads an error of 0.2 knows it to 0.7 points; "
    "with an exponent of 0.2 and runs that differ by 3 % of their error from seed to seed, "
    "simulations find the difference, and know the foretold error to a factor of about 1.1"
)
POWER_PHOTOS = (
    "5 seeds and the 1,000 test photos: simulated seeds that differ by 3 % of their error find the "
    "difference that an exponent of 0.3 makes; the exponent on photos may be smaller, and then a "
    "power law and a straight line foretell about the same, which ends as inconclusive"
)


EXPERIMENTS = [
    Experiment(
        name="scaling",
        claim="C8",
        title="A power law foretells the error of an expensive run",
        dataset="scenes",
        protocol=Protocol(**GRID_TEXT, **SHAPE_TEXT, power=POWER_SCENES, gates=make_gates(40)),
        measure=measure_scaling,
        effects=SHAPE_EFFECTS,
        explain=explain_shape,
        tune=tune_scaling,
        notebook="10_scaling",
        small=SMALL_GRID,
        full=FULL,
    ),
    Experiment(
        name="scaling_flickr8k",
        claim="C8",
        title="A power law foretells the error of an expensive run, on photos",
        dataset="flickr8k",
        protocol=Protocol(**GRID_TEXT, **SHAPE_TEXT, power=POWER_PHOTOS, gates=make_gates(30)),
        measure=measure_scaling_photos,
        effects=SHAPE_EFFECTS,
        explain=explain_shape,
        tune=tune_scaling_photos,
        notebook="10_scaling",
        small=SMALL_PHOTO_GRID,
        full=FULL_PHOTOS,
    ),
    Experiment(
        name="predictable_scaling",
        claim="L7",
        title="Cheap runs foretell the error of an expensive one",
        dataset="scenes",
        protocol=Protocol(
            **GRID_TEXT, **FORECAST_TEXT, power=POWER_SCENES, gates=make_gates(40, True)
        ),
        measure=measure_scaling,
        effects=FORECAST_EFFECTS,
        explain=explain_forecast,
        notebook="10_scaling",
        small=SMALL_GRID,
        full=FULL,
    ),
    Experiment(
        name="predictable_scaling_flickr8k",
        claim="L7",
        title="Cheap runs foretell the error of an expensive one, on photos",
        dataset="flickr8k",
        protocol=Protocol(
            **GRID_TEXT, **FORECAST_TEXT, power=POWER_PHOTOS, gates=make_gates(30, True)
        ),
        measure=measure_scaling_photos,
        effects=FORECAST_EFFECTS,
        explain=explain_forecast,
        notebook="10_scaling",
        small=SMALL_PHOTO_GRID,
        full=FULL_PHOTOS,
    ),
]
