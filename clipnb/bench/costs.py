"""What training costs by itself: decoding, growing with the data, and compiling."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch

from clipnb.batches import iterate_batches
from clipnb.bench.loops import iterate_endlessly, make_loop, make_model, use_photos
from clipnb.datasets import load_dataset
from clipnb.features import tokenize
from clipnb.loop import make_tokenizer
from clipnb.model import CLIP
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import get_device, progress
from clipnb.steps import train_step

# ---- decoding --------------------------------------------------------------------------------


def measure_decoding(image_sizes: Sequence[int] = (64, 224)) -> dict[str, float]:
    """Measure cold- and warm-cache load times of the photos, scaled to 8,000 photos."""
    results = {}
    with (
        tempfile.TemporaryDirectory() as empty,  # no cache from an earlier run
        patch.dict(os.environ, CLIPNB_CACHE=empty),
    ):
        for image_size in image_sizes:
            for use in ("first", "second"):
                start = time.perf_counter()
                n_images = len(load_dataset("photos", "train", image_size))
                seconds = time.perf_counter() - start
                name = f"{use} use at {image_size} px, seconds for 8,000"
                results[name] = seconds * 8000 / n_images
    return results


# ---- growing with the data -------------------------------------------------------------------


class RepeatedImages:
    """An array of N images as one without an end: image i is image i modulo N."""

    def __init__(self, images: np.ndarray):
        self.images = images

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self.images[indices % len(self.images)]


def measure_growth(
    recipe: Recipe = RECIPES["quick"],
    n_images: Sequence[int] = (1000, 4000, 16000, 64000),
    batch_sizes: Sequence[int] = (16, 32, 64, 128, 256, 512, 1024),
    steps: int = 8,
) -> dict[str, dict]:
    """Measure seconds per epoch by number of images, and pairs per second by batch size.

    The record also holds the straight line through the seconds. steps: how many batches of each
    size.
    """
    recipe = use_photos(recipe)
    time_epoch = make_epoch_timer(recipe)
    time_epoch(2 * recipe.batch_size, recipe)  # warm up
    seconds_per_epoch = {
        n: time_epoch(n, recipe) for n in progress(n_images, desc="epochs", leave=False)
    }
    rates = {}
    for batch_size in progress(batch_sizes, desc="batch sizes", leave=False):
        n_pairs = steps * batch_size
        rates[batch_size] = n_pairs / time_epoch(n_pairs, replace(recipe, batch_size=batch_size))
    return {
        "seconds per epoch": seconds_per_epoch,
        "line": fit_line(seconds_per_epoch),
        "pairs per second by batch size": rates,
    }


def make_epoch_timer(recipe: Recipe) -> Callable[[int, Recipe], float]:
    """Make a function that returns the seconds of an epoch on n images with the model of `recipe`.

    It takes n, and a recipe that may differ from `recipe` in its batch size. There are as many
    images as it is asked for: the photos are repeated.
    """
    dataset = load_dataset(recipe.dataset, "train", recipe.stored_size)
    tokens = tokenize(make_tokenizer(recipe, dataset.captions), dataset.captions)  # (N, K, T)
    repeated = SimpleNamespace(images=RepeatedImages(dataset.images))  # all that batches need
    model, optimizer = make_model(recipe)

    def time_epoch(n: int, sized: Recipe) -> float:
        rows = torch.arange(n) % len(tokens)
        batches = iterate_batches(repeated, tokens[rows], sized, get_device())
        train_loop = make_loop(model, optimizer, batches, sized)
        start = time.perf_counter()
        train_loop(None)
        return time.perf_counter() - start

    return time_epoch


def fit_line(seconds_per_epoch: dict[int, float]) -> dict[str, float]:
    """Fit a straight line to the seconds of an epoch by its number of images."""
    x = np.array(list(seconds_per_epoch))
    y = np.array(list(seconds_per_epoch.values()))
    slope, intercept = np.polyfit(x, y, 1)
    residuals = y - (slope * x + intercept)
    return {
        "seconds per 1,000 images": 1000 * slope,
        "seconds at 0": intercept,
        "R2": 1 - (residuals**2).sum() / ((y - y.mean()) ** 2).sum(),
    }


# ---- compiling -------------------------------------------------------------------------------


def measure_compiling(
    recipe: Recipe = RECIPES["quick"], steps: int = 60, backend: str = "inductor"
) -> dict:
    """Measure what `torch.compile` of the encoders costs, and after how many steps it has paid.

    Returns the reason if compiling is not possible here.
    """
    with (
        tempfile.TemporaryDirectory() as empty,  # nothing compiled by an earlier run
        patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=empty),
    ):
        try:
            seconds = time_eager_and_compiled(use_photos(recipe), steps, backend)
        except Exception as error:  # no compiler, Windows, a Python too new: an answer, no failure
            reason = str(error).strip().splitlines()[0]
            return {"not possible here": f"{type(error).__name__}: {reason}"}
    later = {
        name: statistics.median(values[len(values) // 2 :]) for name, values in seconds.items()
    }
    # Captions of new lengths compile again, so the cost is not in the first step alone.
    cost = sum(seconds["compiled"]) - steps * later["compiled"]
    saved = later["eager"] - later["compiled"]
    return {
        "first step, eager": seconds["eager"][0],
        "first step, compiled": seconds["compiled"][0],
        "later step, eager": later["eager"],
        "later step, compiled": later["compiled"],
        "seconds spent compiling": cost,
        "pays after steps": cost / saved if saved > 0 else None,
    }


def time_eager_and_compiled(recipe: Recipe, steps: int, backend: str) -> dict[str, list[float]]:
    """Return the seconds of each step of an "eager" and of a "compiled" model, run in turns."""
    models = {"eager": make_model(recipe), "compiled": make_model(recipe)}
    compile_encoders(models["compiled"][0], backend)
    seconds = {name: [] for name in models}
    batches = islice(iterate_endlessly(recipe), steps)
    for images, tokens in progress(batches, total=steps, desc="torch.compile", leave=False):
        for name, (model, optimizer) in models.items():
            start = time.perf_counter()
            train_step(model, optimizer, images, tokens, recipe).item()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def compile_encoders(model: CLIP, backend: str) -> None:
    """Compile both encoders of a model in place, when they are first used."""
    model.image_encoder.compile(backend=backend)
    model.text_encoder.compile(backend=backend)
