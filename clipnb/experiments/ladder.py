"""The ladder of notebook 11: from the baseline over two_minutes to improved, one change at a time.

`python -m clipnb ladder` trains what is missing of it.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NotRequired, TypedDict

from clipnb import records
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import progress
from clipnb.training import load_or_train


class Step(NamedTuple):
    """What one rung changes in the recipe of the rung below."""

    what: str
    fields: dict


class Rung(TypedDict):
    """What is on record of one rung."""

    what: str  # the change, in words
    values: list[float]  # mean recall on dev in percent, by seed
    mean: float
    std: float | None  # None with a single seed
    seconds: float  # of training, the mean over seeds
    gain: NotRequired[float]  # over the rung below
    margin: NotRequired[float]  # half of the gain's 95 % interval


def make_step(what: str, **fields: Any) -> Step:
    """Make a step from its description and the recipe fields that it sets."""
    return Step(what, fields)


# All rungs but the last three see the same number of images.
STEPS = (
    make_step("the baseline, at 64 px", image_size=64, stored_size=64),
    make_step("a vocabulary of 4,096", tokenizer="captions", vocab_size=4096),
    make_step("batch norm, shortcuts", image_encoder="residual_cnn"),
    make_step("a bag of words", text_encoder="bag_of_words"),
    make_step("five captions a step", captions_per_image=5),
    make_step(
        "augmentation",
        stored_size=80,
        min_crop_area=0.5,
        flip=True,
        colour=0.4,
        token_dropout=0.2,
        label_smoothing=0.1,
    ),
    make_step("Muon", optimizer="muon", muon_learning_rate=8e-3),
    make_step("more weight decay", weight_decay=1.0),
    make_step("captions with captions", text_loss=1.0),
    make_step("a running average", ema=0.98),
    make_step("larger in evaluation", image_size=80, crop_size=64),
    make_step("a wider image tower", image_width=256),
    make_step("larger images", image_size=112, crop_size=96, stored_size=128),
    make_step(
        "longer, held back more",
        epochs=54,
        muon_learning_rate=5e-3,
        weight_decay=2.0,
        ema=0.995,
        min_crop_area=0.3,
        token_dropout=0.3,
    ),
    make_step("larger images still", image_size=144, crop_size=128, stored_size=144),
    make_step("deeper, in the same time", image_depth=2, crop_size=112, epochs=40),
)


def ladder_recipes() -> list[tuple[str, Recipe]]:
    """Return the rungs from the bottom up, as pairs of what changed and the recipe.

    Each recipe is the one before with one change. Those that are in RECIPES have their own names
    there, so that they are trained once and not twice.
    """
    known = {replace(recipe, name="any"): recipe for recipe in RECIPES.values()}
    recipe = replace(RECIPES["baseline"], epochs=RECIPES["two_minutes"].epochs)
    rungs = []
    for number, step in enumerate(STEPS):
        recipe = replace(recipe, name=f"rung_{number}", **step.fields)
        rungs.append((step.what, known.get(replace(recipe, name="any"), recipe)))
    return rungs


def find_trials(recipe: Recipe, trials: Sequence[dict]) -> list[dict]:
    """Find the recorded trials of a recipe, by whatever name, one for each seed.

    trials: as `records.load_trials` returns them. Of two with the same seed the later one counts.
    """
    by_seed = {}
    for trial in trials:
        if replace(Recipe(**trial["recipe"]), name=recipe.name) == recipe:
            by_seed[trial["seed"]] = trial
    return list(by_seed.values())


def train_ladder(seeds: int = 3) -> None:
    """Train every rung with seeds 0, 1, ... and record the result on dev.

    What results/trials/flickr8k.jsonl already holds is not trained again.
    """
    jobs = [(recipe, seed) for _, recipe in ladder_recipes() for seed in range(seeds)]
    for recipe, seed in progress(jobs, desc="ladder"):
        done = find_trials(recipe, records.load_trials(recipe.dataset))
        if seed not in [trial["seed"] for trial in done]:
            records.record_trial(load_or_train(recipe, seed))


def summarize_ladder(trials: Sequence[dict]) -> list[Rung]:
    """Summarize the rungs that are among some recorded trials, from the bottom up.

    All but the lowest have a `gain` and its `margin`. Three seeds say little about the noise of
    their own rung, so the margins take the noise that all rungs share: the root of the mean
    variance.
    """
    rungs = []
    for what, recipe in ladder_recipes():
        own = find_trials(recipe, trials)
        if own:
            rungs.append(_summarize_rung(what, own))
    noise = _pool_noise(rungs)
    for below, rung in zip(rungs, rungs[1:], strict=False):
        # 2 is the 97.5 % quantile of Student's t with about two dozen degrees of freedom.
        standard_error = noise * math.sqrt(1 / len(rung["values"]) + 1 / len(below["values"]))
        rung["gain"] = rung["mean"] - below["mean"]
        rung["margin"] = 2 * standard_error
    return rungs


def _summarize_rung(what: str, trials: list[dict]) -> Rung:
    values = [trial["dev"]["mean_recall"] for trial in trials]
    return {
        "what": what,
        "values": values,
        "mean": statistics.mean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "seconds": statistics.mean(trial["train_seconds"] for trial in trials),
    }


def _pool_noise(rungs: list[Rung]) -> float:
    """Return the standard deviation between seeds that all rungs share; NaN if none has two."""
    degrees = sum(len(rung["values"]) - 1 for rung in rungs)
    if degrees == 0:
        return math.nan
    squares = [(len(rung["values"]) - 1) * rung["std"] ** 2 for rung in rungs if rung["std"]]
    return math.sqrt(sum(squares) / degrees)
