"""How much memory a step takes, by the size of the batch: at once, in chunks, and cached.

Each step runs in a process of its own, whose peak is read at its end.
"""

import dataclasses
import json
from collections.abc import Sequence

import torch

from clipnb.bench.loops import make_model
from clipnb.bench.processes import read_peak_memory, run_python
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import get_device, keep_freed_memory, progress
from clipnb.steps import train_step

PRINT_STEP_MEMORY = """
import sys
from clipnb.bench.memory import print_step_memory
print_step_memory(sys.argv[1])
"""
# A small model without batch norm, on small images: what fits a laptop in the largest batches.
SMALL = dataclasses.replace(
    RECIPES["quick"],
    name="small",
    image_encoder="tiny_cnn",
    image_size=32,
    embed_dim=64,
    captions_per_image=1,
)
WAYS = {  # how the pairs of a batch go through the encoders
    "at once": {"chunk_size": 0},
    "in chunks": {"chunk_size": 128},
    "cached": {"chunk_size": 128, "cache_gradients": True},
}


def measure_step_memory(
    recipe: Recipe = SMALL, batch_sizes: Sequence[int] = (256, 1024, 4096)
) -> dict[str, dict[int, int]]:
    """Measure the bytes that one step needs above what the process had before it.

    Returns for each way in `WAYS` {batch size: bytes}. The batch itself counts as had before.
    """
    results = {}
    for way, changes in progress(WAYS.items(), desc="memory", leave=False):
        results[way] = {}
        for size in batch_sizes:
            sized = dataclasses.replace(recipe, batch_size=size, **changes)
            arguments = json.dumps(dataclasses.asdict(sized))
            results[way][size] = int(run_python(PRINT_STEP_MEMORY, arguments))
    return results


def print_step_memory(arguments: str) -> None:
    """Take a step on a batch of noise, and print by how many bytes it has raised the peak.

    arguments: the fields of a recipe as JSON. A step on few pairs comes first, because PyTorch
    itself grows at its first step.
    """
    recipe = Recipe(**json.loads(arguments))
    keep_freed_memory(False)  # freed memory goes back, so that the peak is what was in use
    model, optimizer = make_model(recipe)
    images, tokens = make_noise(recipe)
    train_step(model, optimizer, images[:16], tokens[:, :16], recipe)
    before = read_peak_memory()
    train_step(model, optimizer, images, tokens, recipe)
    print(read_peak_memory() - before)


def make_noise(recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Make images float32 (B, 3, S, S) and tokens int64 (C, B, 12) for one step of a recipe."""
    B, C, S = recipe.batch_size, recipe.captions_per_image, recipe.image_size
    generator = torch.Generator().manual_seed(0)
    images = 2 * torch.rand(B, 3, S, S, generator=generator) - 1
    tokens = torch.randint(1, recipe.vocab_size, (C, B, 12), generator=generator)
    return images.to(get_device()), tokens.to(get_device())
