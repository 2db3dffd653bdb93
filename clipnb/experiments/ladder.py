"""The ladder of notebook 11: from the baseline over two_minutes to improved, one change at a time. `python -m clipnb ladder` climbs it."""

import math
import statistics
from dataclasses import replace

from clipnb import records
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import progress
from clipnb.training import load_or_train

STEPS = [  # what changes, and the fields that say it; all rungs but the last three see as many images
    ("the baseline, at 64 px", {"image_size": 64, "stored_size": 64}),
    ("a vocabulary of 4,096", {"tokenizer": "captions", "vocab_size": 4096}),
    ("batch norm, shortcuts", {"image_encoder": "residual_cnn"}),
    ("a bag of words", {"text_encoder": "bag_of_words"}),
    ("five captions a step", {"captions_per_image": 5}),
    (
        "augmentation",
        {
            "stored_size": 80,
            "min_crop_area": 0.5,
            "flip": True,
            "colour": 0.4,
            "token_dropout": 0.2,
            "label_smoothing": 0.1,
        },
    ),
    ("Muon", {"optimizer": "muon", "muon_learning_rate": 8e-3}),
    ("more weight decay", {"weight_decay": 1.0}),
    ("captions with captions", {"text_loss": 1.0}),
    ("a running average", {"ema": 0.98}),
    ("larger in evaluation", {"image_size": 80, "crop_size": 64}),
    ("a wider image tower", {"image_width": 256}),
    ("larger images", {"image_size": 112, "crop_size": 96, "stored_size": 128}),
    (
        "longer, held back more",
        {
            "epochs": 54,
            "muon_learning_rate": 5e-3,
            "weight_decay": 2.0,
            "ema": 0.995,
            "min_crop_area": 0.3,
            "token_dropout": 0.3,
        },
    ),
    ("larger images still", {"image_size": 144, "crop_size": 128, "stored_size": 144}),
    ("deeper, in the same time", {"image_depth": 2, "crop_size": 112, "epochs": 40}),
]


def ladder_recipes():
    """The ladder from the bottom up: pairs (what changed, Recipe); each recipe is the one before with one change, some are in RECIPES."""
    known = {
        replace(recipe, name=""): recipe for recipe in RECIPES.values()
    }  # under their own names: trained once, not twice
    recipe, found = replace(RECIPES["baseline"], epochs=RECIPES["two_minutes"].epochs), []
    for number, (what, changes) in enumerate(STEPS):
        recipe = replace(recipe, name=f"rung_{number}", **changes)
        found.append((what, known.get(replace(recipe, name=""), recipe)))
    return found


def find_trials(recipe, arms):
    """Those of some recorded arms (`records.load_trials`) that are this recipe, by whatever name, one for each seed."""
    same = (arm for arm in arms if replace(Recipe(**arm["recipe"]), name=recipe.name) == recipe)
    return list({arm["seed"]: arm for arm in same}.values())


def train_ladder(seeds=3):
    """Train every rung with seeds 0, 1, ... that has no line in results/arms/flickr8k.jsonl yet, and add it there: dev only."""
    todo = [(what, recipe, seed) for what, recipe in ladder_recipes() for seed in range(seeds)]
    for what, recipe, seed in progress(todo, desc="ladder"):
        if seed not in [
            arm["seed"] for arm in find_trials(recipe, records.load_trials(recipe.dataset))
        ]:
            records.record_trial(load_or_train(recipe, seed))


def summarize_ladder(arms):
    """The ladder as recorded: a dict for each rung with `what`, `values` (mean recall on dev by seed), `mean`, `std` and `seconds`.

    All but the lowest have `gain`, over the rung below, and `margin`, half of its 95 % interval. Three seeds say little about the
    noise of their own rung, so the margins take the one that all rungs share: the square root of the mean variance.
    """
    found = []
    for what, recipe in ladder_recipes():
        own = find_trials(recipe, arms)
        values = [arm["dev"]["mean_recall"] for arm in own]
        if values:
            found.append(
                {
                    "what": what,
                    "values": values,
                    "mean": statistics.mean(values),
                    "std": statistics.stdev(values) if len(values) > 1 else None,
                    "seconds": statistics.mean(arm["train_seconds"] for arm in own),
                }
            )
    degrees = sum(len(rung["values"]) - 1 for rung in found)
    noise = (
        math.sqrt(
            sum((len(rung["values"]) - 1) * rung["std"] ** 2 for rung in found if rung["std"])
            / degrees
        )
        if degrees
        else math.nan
    )
    for below, rung in zip(found, found[1:]):
        rung["gain"] = rung["mean"] - below["mean"]
        rung["margin"] = (
            2 * noise * math.sqrt(1 / len(rung["values"]) + 1 / len(below["values"]))
        )  # 2: Student's t for two dozen degrees
    return found
