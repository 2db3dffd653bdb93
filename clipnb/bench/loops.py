"""Training loops that run for a number of steps: ours, and one around another project's step."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice, repeat

import torch
from torch import Tensor

from clipnb.batches import iterate_batches, keep_on_card
from clipnb.datasets import load_dataset
from clipnb.features import tokenize
from clipnb.loop import make_tokenizer
from clipnb.model import CLIP, create_model
from clipnb.optimizers import make_optimizer
from clipnb.recipes import Recipe
from clipnb.runtime import get_device, keep_freed_memory, memory_format
from clipnb.steps import train_step

Batch = tuple[Tensor, Tensor]  # images and tokens
# Takes a number of steps, or None for as many as there are batches. Returns the last loss.
TrainingLoop = Callable[[int | None], float]


def use_photos(recipe: Recipe) -> Recipe:
    """Return a recipe on the benchmark's photos, with steps so small that they change nothing.

    Otherwise a model that sees one batch again and again would soon be perfect. Its gradients
    would become denormal floats, which slow down the processor.
    """
    return replace(recipe, dataset="photos", learning_rate=1e-7)


def make_model(recipe: Recipe) -> tuple[CLIP, torch.optim.Optimizer]:
    """Make an untrained model and its optimizer, as `train` does."""
    device = get_device()
    model = create_model(recipe).to(device, memory_format=memory_format(device))
    return model, make_optimizer(model, recipe)


def iterate_endlessly(recipe: Recipe) -> Iterator[Batch]:
    """Iterate over the batches of a recipe's training split, one epoch after another, for ever.

    Yields images float32 (B, 3, S, S) and tokens int64 (C, B, T).
    """
    dataset = load_dataset(recipe.dataset, "train", recipe.stored_size)
    tokens = tokenize(make_tokenizer(recipe, dataset.captions), dataset.captions)  # (N, K, T)
    dataset = keep_on_card(dataset, get_device())
    while True:
        yield from iterate_batches(dataset, tokens, recipe, get_device())


def repeat_typical_batch(batches: Iterator[Batch], n: int = 5) -> Iterator[Batch]:
    """Repeat for ever the batch of median length among the next n batches.

    The length of the longest caption in a batch decides how long a step takes.
    """
    candidates = sorted(islice(batches, n), key=count_columns)
    return repeat(candidates[n // 2])


def count_columns(batch: Batch) -> int:
    """Return the length T of the longest caption in a batch."""
    _, tokens = batch
    return tokens.shape[-1]


def make_loop(
    model: CLIP, optimizer: torch.optim.Optimizer, batches: Iterator[Batch], recipe: Recipe
) -> TrainingLoop:
    """Make a loop that trains as `train` does, on as many of the batches as it is told.

    If `batches` repeats one batch, the loop is nothing but the bare step.
    """

    def run(steps: int | None) -> float:
        keep_freed_memory()
        losses = [
            train_step(model, optimizer, images, tokens, recipe)
            for images, tokens in islice(batches, steps)
        ]
        return losses[-1].item()  # waits until a GPU is done

    return run


def make_other_loop(
    open_batches: Callable[[int], Iterable[Batch]], take_step: Callable[[Tensor, Tensor], Tensor]
) -> TrainingLoop:
    """Make a loop around another project's step, with the C library's default settings.

    open_batches: takes a number of steps, returns that many batches. take_step: takes images and
    tokens, returns the loss.
    """

    def run(steps: int) -> float:
        keep_freed_memory(False)
        device = get_device()
        losses = [
            take_step(images.to(device, non_blocking=True), tokens.to(device, non_blocking=True))
            for images, tokens in open_batches(steps)
        ]
        return losses[-1].item()

    return run
