"""Training against the usual way, against what the hardware allows, and against open_clip: pairs per second over theirs."""

import os
from dataclasses import replace
from functools import partial
from itertools import repeat

import torch

from clipnb.bench import baselines
from clipnb.bench.races import (
    compared,
    fresh_model,
    loop,
    on_photos,
    race,
    their_loop,
    training_stream,
    typical_batch,
)
from clipnb.model import create_model
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import get_device

# the shape of baselines.open_clip_model, cropped as open_clip crops
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


def against_the_usual_way(recipe=RECIPES["baseline"], batch_sizes=(32, 256), seconds=10, rounds=5):
    """Our batches and steps against the original pipeline's: same architecture, photos, image size and batch."""
    results, rows = {}, baselines.naive_dataset("photos", recipe.image_size)
    for B in batch_sizes:
        sized, model = (
            replace(on_photos(recipe), batch_size=B),
            create_model(recipe).to(get_device()),
        )
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=sized.learning_rate, weight_decay=sized.weight_decay
        )
        ours = loop(*fresh_model(sized), training_stream(sized), sized)
        theirs = their_loop(
            lambda steps: baselines.row_loader(rows, B, steps),
            partial(baselines.naive_step, model, optimizer),
        )
        results[f"batch {B}"] = compared(
            *race([ours, theirs], B, seconds, rounds, f"the usual way, batch {B}")
        )
    return results


def against_the_limit(recipes=tuple(RECIPES.values()), seconds=4, rounds=7):
    """The whole training loop against the bare step, for each recipe: 1 would mean that data and augmentation cost nothing."""
    results = {}
    for recipe in map(on_photos, recipes):
        model_and_optimizer, stream = fresh_model(recipe), training_stream(recipe)
        whole, bare = (
            loop(*model_and_optimizer, source, recipe)
            for source in (stream, repeat(typical_batch(stream)))
        )
        results[recipe.name] = compared(
            *race([whole, bare], recipe.batch_size, seconds, rounds, f"the limit, {recipe.name}")
        )
    return results


def against_open_clip(recipe=VIT, workers=(0, min(4, os.cpu_count() or 1)), seconds=4, rounds=7):
    """The same ViT and text transformer by open_clip's modules, loss and AdamW: on the same tensors, then each with its own data pipeline."""
    from open_clip.loss import ClipLoss

    recipe, B = on_photos(recipe), recipe.batch_size
    model_and_optimizer, stream, rows = (
        fresh_model(recipe),
        training_stream(recipe),
        baselines.open_clip_dataset("photos", recipe.image_size),
    )
    model = baselines.open_clip_model(recipe.image_size).to(get_device())
    step = partial(
        baselines.open_clip_step, model, baselines.open_clip_optimizer(model, recipe), ClipLoss()
    )
    images, tokens = next(stream)
    tokens = baselines.pad(tokens, 77)  # open_clip takes no shorter texts
    ours, theirs = (
        loop(*model_and_optimizer, repeat((images, tokens)), recipe),
        their_loop(lambda steps: repeat((images, tokens[0]), steps), step),
    )
    results = {
        "same tensors": compared(
            *race([ours, theirs], B, seconds, rounds, "open_clip, same tensors")
        )
    }
    ours = loop(*model_and_optimizer, stream, recipe)
    for n in workers:
        theirs = their_loop(lambda steps: baselines.row_loader(rows, B, steps, n), step)
        results[f"own data pipelines, {n} workers"] = compared(
            *race([ours, theirs], B, seconds, rounds, f"open_clip's data, {n} workers")
        )
    return results
