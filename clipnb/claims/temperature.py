"""Does a learned temperature do as well as the best fixed one, and is its clamp necessary?

Claims C17b and C17c (paper §2.3 and §2.5). The first sitting chose the best of four fixed
temperatures on the test images, gave all of them one learning rate, and asked about the clamp where
the scale never came near it. Now the best of eight is chosen on dev images, each has a rate of its
own, and the clamp is tried where the scale is most likely to reach it, beside a start at which it
surely matters.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from clipnb.claims.batches import N_SCENES, RATES, TUNING_EPOCHS, make_recipe
from clipnb.claims.drawn import TUNING_SEED, draw_training_set
from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.small_models import (
    N_DEV,
    SMALL,
    draw_exam,
    fit_clip,
    name_things,
    try_rates,
)
from clipnb.experiments.quantities import accuracy, difference
from clipnb.model import CLIP
from clipnb.training import make_tokenizer

TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
BATCH_SIZE = 64
# The best of three by temperature, on dev (results/tuning/temperature.json). The learned one has
# the rate of its batch size in batches.py, chosen in the same way.
FIXED_RATES = {
    0.01: 3e-3,
    0.02: 3e-3,
    0.05: 3e-3,
    0.07: 3e-3,
    0.1: 3e-3,
    0.2: 3e-3,
    0.5: 3e-3,
    1.0: 3e-3,
}


# ---- learned or fixed ------------------------------------------------------------------------


def fix_scale(temperature: float) -> Callable[[CLIP], None]:
    """Make a function that keeps the temperature of a fresh model where it says."""

    def fix(model: CLIP) -> None:
        with torch.no_grad():
            model.logit_scale.fill_(-math.log(temperature))
        model.logit_scale.requires_grad_(False)

    return fix


def measure_temperature(
    seed: int, temperatures: Sequence[float], epochs: int, n_scenes: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well words name scenes with a learned temperature and with fixed ones.

    The best and the worst fixed one are chosen on dev images, for each seed anew.
    """
    train_set = draw_training_set(seed, n_scenes, SMALL.stored_size)
    tokenizer = make_tokenizer(SMALL, train_set.captions)
    exam = draw_exam(n_images, SMALL.image_size)
    dev = draw_exam(N_DEV, SMALL.image_size, is_dev=True)
    usual = make_recipe(n_scenes, BATCH_SIZE, epochs, RATES[BATCH_SIZE])
    model = fit_clip(usual, seed, train_set, tokenizer)
    outcomes = {"learned": name_things(model, tokenizer, exam)}
    scale = model.logit_scale.exp().item()
    on_dev = {}
    for temperature in temperatures:
        recipe = dataclasses.replace(
            usual,
            name=f"small_fixed_{temperature:g}_drawn_{n_scenes}",
            learning_rate=FIXED_RATES[temperature],
        )
        model = fit_clip(recipe, seed, train_set, tokenizer, fix_scale(temperature))
        outcomes[f"fixed at {temperature:g}"] = name_things(model, tokenizer, exam)
        on_dev[temperature] = float(name_things(model, tokenizer, dev).mean())
    best, worst = max(on_dev, key=on_dev.get), min(on_dev, key=on_dev.get)
    return outcomes, {"best": best, "worst": worst, "scale": scale}


def subtract_best(outcomes: dict[str, Any]) -> float:
    """Return by how many points the learned temperature is above the best fixed one."""
    return difference("learned", f"fixed at {outcomes['best']:g}")(outcomes)


def subtract_worst(outcomes: dict[str, Any]) -> float:
    """Return by how many points the learned temperature is above the worst fixed one."""
    return difference("learned", f"fixed at {outcomes['worst']:g}")(outcomes)


def measure_span(outcomes: dict[str, Any]) -> float:
    """Return by how many points the best fixed temperature is above the worst one."""
    return subtract_worst(outcomes) - subtract_best(outcomes)


def tune_temperature() -> dict[str, dict[str, float]]:
    """Try three learning rates for the learned temperature and for each fixed one."""
    train_set = draw_training_set(TUNING_SEED, N_SCENES, SMALL.stored_size)
    tokenizer = make_tokenizer(SMALL, train_set.captions)
    dev = draw_exam(N_DEV, SMALL.image_size, is_dev=True)

    def score(model: CLIP) -> np.ndarray:
        return name_things(model, tokenizer, dev)

    recipe = make_recipe(N_SCENES, BATCH_SIZE, TUNING_EPOCHS, RATES[BATCH_SIZE])
    scores = {"learned": try_rates(recipe, train_set, tokenizer, score)}
    for temperature in TEMPERATURES:
        own = dataclasses.replace(recipe, name=f"small_fixed_{temperature:g}_drawn_{N_SCENES}")
        scores[f"fixed at {temperature:g}"] = try_rates(
            own, train_set, tokenizer, score, prepare=fix_scale(temperature)
        )
    return scores


# ---- the clamp -------------------------------------------------------------------------------


def start_scale(start: float) -> Callable[[CLIP], None]:
    """Make a function that sets the scale of a fresh model and lets it note its highest scale."""

    def prepare(model: CLIP) -> None:
        with torch.no_grad():
            model.logit_scale.fill_(math.log(start))
        model.register_buffer("highest_scale", torch.tensor(0.0))

    return prepare
