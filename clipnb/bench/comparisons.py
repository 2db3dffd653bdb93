"""Pairs per second of our training over those of others, and over the most that is possible."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat

import torch
from torch import Tensor

from clipnb.bench import baselines
from clipnb.bench.loops import (
    TrainingLoop,
    iterate_endlessly,
    make_loop,
    make_model,
    make_other_loop,
    repeat_typical_batch,
    use_photos,
)
from clipnb.bench.timing import compare_speeds
from clipnb.model import create_model
from clipnb.recipes import FROM_SCRATCH, RECIPES, Recipe
from clipnb.runtime import get_device

WORKER_COUNTS = (0, min(4, os.cpu_count() or 1))  # of a DataLoader

# The shape of `baselines.make_open_clip_model`. Crops are as large as open_clip's.
VIT = Recipe(
    "vit",
    "photos",
    "vit",
    "transformer",
    tokenizer="clip",
    vocab_size=49408,
    dropout=0.0,
    stored_size=72,
    min_crop_area=0.9,
)


def compare_with_naive(
    recipe: Recipe = RECIPES["baseline"],
    batch_sizes: Sequence[int] = (32, 256),
    seconds: float = 10,
    rounds: int = 5,
) -> dict[str, dict]:
    """Compare our batches and steps with the naive pipeline's.

    Model, photos, image size and batch size are the same.
    """
    rows = baselines.make_naive_dataset("photos", recipe.image_size)
    results = {}
    for batch_size in batch_sizes:
        sized = replace(use_photos(recipe), batch_size=batch_size)
        theirs = make_naive_loop(sized, rows)
        ours = make_loop(*make_model(sized), iterate_endlessly(sized), sized)
        name = f"batch {batch_size}"
        results[name] = compare_speeds(
            ours, theirs, batch_size, seconds, rounds, f"the usual way, {name}"
        )
    return results


def make_naive_loop(recipe: Recipe, rows: baselines.RowDataset) -> TrainingLoop:
    """Make the naive pipeline's loop with the model, the batch size and the rate of a recipe."""
    model = create_model(recipe).to(get_device())
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    return make_other_loop(
        partial(baselines.make_row_loader, rows, recipe.batch_size),
        partial(baselines.take_naive_step, model, optimizer),
    )


def compare_with_bare_step(
    recipes: Sequence[Recipe] = FROM_SCRATCH, seconds: float = 4, rounds: int = 7
) -> dict[str, dict]:
    """Compare the whole training loop with the bare step on one batch, for each recipe.

    A ratio of 1 means that data and augmentation cost nothing.
    """
    results = {}
    for recipe in map(use_photos, recipes):
        model, optimizer = make_model(recipe)
        batches = iterate_endlessly(recipe)
        whole = make_loop(model, optimizer, batches, recipe)
        bare = make_loop(model, optimizer, repeat_typical_batch(batches), recipe)
        title = f"the limit, {recipe.name}"
        results[recipe.name] = compare_speeds(
            whole, bare, recipe.batch_size, seconds, rounds, title
        )
    return results


def compare_with_open_clip(
    recipe: Recipe = VIT,
    worker_counts: Sequence[int] = WORKER_COUNTS,
    seconds: float = 4,
    rounds: int = 7,
) -> dict[str, dict]:
    """Compare our training of a ViT and a text transformer with open_clip's.

    open_clip's modules, loss and AdamW run first on the same tensors as ours, then each project
    runs on its own data pipeline.
    """
    recipe = use_photos(recipe)
    model, optimizer = make_model(recipe)
    batches = iterate_endlessly(recipe)
    rows = baselines.make_open_clip_dataset("photos", recipe.image_size)
    take_step = make_open_clip_step(recipe)
    images, tokens = next(batches)
    tokens = baselines.pad_tokens(tokens, 77)  # (1, B, 77): open_clip takes no shorter texts

    def compare(ours: TrainingLoop, theirs: TrainingLoop, title: str) -> dict:
        return compare_speeds(
            ours, theirs, recipe.batch_size, seconds, rounds, f"open_clip, {title}"
        )

    ours = make_loop(model, optimizer, repeat((images, tokens)), recipe)
    theirs = make_other_loop(partial(repeat, (images, tokens[0])), take_step)
    results = {"same tensors": compare(ours, theirs, "same tensors")}

    ours = make_loop(model, optimizer, batches, recipe)
    for workers in worker_counts:
        open_batches = partial(baselines.make_row_loader, rows, recipe.batch_size, workers=workers)
        theirs = make_other_loop(open_batches, take_step)
        title = f"own data pipelines, {workers} workers"
        results[title] = compare(ours, theirs, title)
    return results


def make_open_clip_step(recipe: Recipe) -> Callable[[Tensor, Tensor], Tensor]:
    """Make open_clip's training step for images and tokens, with a model of its own."""
    from open_clip.loss import ClipLoss

    model = baselines.make_open_clip_model(recipe.image_size).to(get_device())
    optimizer = baselines.make_open_clip_optimizer(model, recipe)
    return partial(baselines.take_open_clip_step, model, optimizer, ClipLoss())
