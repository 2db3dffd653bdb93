"""Experiment of notebook 10: which of the two towers deserves the next doubling (paper §2.4)?"""

import dataclasses
from typing import Any

import numpy as np

from clipnb.datasets import load_dataset
from clipnb.encoders import TextTransformer
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.fitting import load_or_fit, make_clip_objective
from clipnb.experiments.small_clip import (
    NAMING_TASKS,
    SMALL_RECIPE,
    count_multiply_adds,
    score_naming,
)
from clipnb.model import CLIP, create_image_encoder
from clipnb.recipes import Recipe
from clipnb.runtime import seed_everything
from clipnb.training import make_tokenizer

# The widths of the image tower and of the text tower. The second and the third condition cost twice
# as many multiply-adds as the first.
WIDTHS = {
    "both small": (96, 64),
    "image tower takes all": (152, 64),
    "text tower takes all": (96, 136),
}


def measure_towers(seed: int, epochs: int, n_images: int) -> tuple[Outcomes, dict]:
    """Measure how well words name images with two small towers, and with twice the multiply-adds.

    The increase is spent on the image tower or on the text tower.
    """
    train_set = load_dataset("scenes", "train", SMALL_RECIPE.stored_size)
    tokenizer = make_tokenizer(SMALL_RECIPE, train_set.captions)
    outcomes, cost = {}, {}
    for condition, (image_width, text_width) in WIDTHS.items():
        recipe = dataclasses.replace(
            SMALL_RECIPE,
            name=f"towers_{image_width}_{text_width}",
            text_encoder="transformer",
            image_width=image_width,
            captions_per_image=1,
            epochs=epochs,
        )
        seed_everything(seed)
        model = create_clip(recipe, text_width)
        objective = make_clip_objective(tokenizer, train_set, recipe)
        model = load_or_fit(model, objective, train_set, recipe, seed)
        for task, right in score_naming(model, tokenizer, n_images).items():
            outcomes[f"{condition}, {task}"] = right
        cost[condition] = count_multiply_adds(model, recipe.image_size)
    return outcomes, {"multiply_adds": cost}


def create_clip(recipe: Recipe, text_width: int) -> CLIP:
    """Create a CLIP whose text transformer has two layers of a given width."""
    text_encoder = TextTransformer(
        recipe.vocab_size,
        recipe.context_length,
        text_width,
        layers=2,
        heads=4,
        feedforward=4 * text_width,
    )
    return CLIP(create_image_encoder(recipe), text_encoder)


def tower_gain_quantity(tower: str) -> Quantity:
    """Make the quantity "points that a doubled budget brings if this tower takes the increase".

    tower: "image" or "text". The points are the mean over the three tasks.
    """

    def quantity(outcomes: dict[str, Any]) -> float:
        gains = []
        for task in NAMING_TASKS:
            larger = np.mean(outcomes[f"{tower} tower takes all, {task}"])
            gains.append(larger - np.mean(outcomes[f"both small, {task}"]))
        return 100 * np.mean(gains)

    return quantity


def subtract_tower_gains(outcomes: dict[str, Any]) -> float:
    """Return by how many points the image tower gains more than the text tower."""
    return tower_gain_quantity("image")(outcomes) - tower_gain_quantity("text")(outcomes)


def judge_towers(quantities: Quantities) -> tuple[str, str]:
    """Judge by the interval of the image tower's gain minus the text tower's.

    "replicated" if it lies above 0, "contradicted" if below, "not at this scale" if it holds 0.
    """
    low, high = quantities["image minus text"]["interval"]
    image = quantities["image tower takes all"]["mean"]
    text = quantities["text tower takes all"]["mean"]
    because = (
        f"a doubled budget brings {image:+.1f} points if the image tower takes the increase, "
        f"{text:+.1f} if the text tower does."
    )
    if low > 0:
        return "replicated", because
    if high < 0:
        return "contradicted", because
    return "not at this scale", because


EXPERIMENTS = [
    Experiment(
        name="towers",
        claim="C8",
        title="The text tower's capacity matters less",
        where="§2.4",
        paper={"text tower": "less sensitive to its capacity"},
        dataset="scenes",
        measure=measure_towers,
        quantities={
            "image minus text": subtract_tower_gains,
            "image tower takes all": tower_gain_quantity("image"),
            "text tower takes all": tower_gain_quantity("text"),
        },
        unit="points",
        rule=(
            "replicated: twice the multiply-adds in all bring more if the image tower takes the "
            "increase than if the text tower does, by the interval; contradicted: less"
        ),
        judge=judge_towers,
        notebook="10_scaling",
        small={"epochs": 1, "n_images": 500},
        full={"epochs": 4, "n_images": 2000},
    ),
]
