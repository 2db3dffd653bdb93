"""More data than memory: shards against the images in memory, and images mapped into memory."""

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from clipnb.batches import iterate_batches
from clipnb.bench.loops import Batch, iterate_endlessly, make_loop, make_model
from clipnb.bench.processes import run_python
from clipnb.bench.timing import compare_speeds
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.datasets.shard_files import write_shards
from clipnb.datasets.shards import ShardFolder
from clipnb.features import tokenize
from clipnb.loop import make_tokenizer
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import get_device, progress, replace_when_done
from clipnb.scenes import captions, dataset_scene, render
from clipnb.steps import train_step
from clipnb.streaming import ShardBatches

# A program for `run_python`. It finds its arguments in sys.argv.
PRINT_OWN_MEMORY = """
import sys
from clipnb.bench.streaming import print_own_memory
print_own_memory(sys.argv[1])
"""


# ---- shards ----------------------------------------------------------------------------------


def compare_shards_with_memory(
    recipe: Recipe = RECIPES["quick"], workers: int = 0, seconds: float = 4, rounds: int = 7
) -> dict:
    """Compare training from shards with training from the images in memory, in turns.

    Returns the ratio of their pairs per second (see `summarize_ratios`). The shards are written
    before, and the system keeps their files in memory if they fit.
    """
    dataset = load_dataset(recipe.dataset, "train", recipe.stored_size)
    with tempfile.TemporaryDirectory() as folder:
        write_shards(dataset, Path(folder) / "shards")
        shards = ShardFolder(Path(folder) / "shards", workers=workers)
        streamed = iterate_shards_endlessly(recipe, shards, dataset)
        ours = make_loop(*make_model(recipe), streamed, recipe)
        theirs = make_loop(*make_model(recipe), iterate_endlessly(recipe), recipe)
        title = f"shards, {workers} workers"
        result = compare_speeds(ours, theirs, recipe.batch_size, seconds, rounds, title)
        streamed.close()  # before the folder goes
    return result


def iterate_shards_endlessly(
    recipe: Recipe, shards: ShardFolder, dataset: CaptionDataset
) -> Iterator[Batch]:
    """Iterate over the batches of some shards, one epoch after another, for ever.

    The captions are tokenized before the first one, as they are with the images in memory.
    """
    batches = ShardBatches(shards, make_tokenizer(recipe, dataset.captions), seed=0)
    batches.tokenize([caption for own in dataset.captions for caption in own])
    while True:
        yield from batches.open_epoch(recipe, get_device())


# ---- images mapped into memory ---------------------------------------------------------------


def measure_mapped_memory(
    recipe: Recipe = RECIPES["quick"], n_images: int = 100_000, steps: int = 100
) -> dict:
    """Measure the memory of training on many drawn images that are mapped into memory. On Linux.

    Returns bytes: the size of the array of images, the most that the process holds of its own, and
    the most of a process with a tenth of the images. What is mapped from a file does not count: the
    system takes it back when memory is short. Of its own a process has captions and tokens, which
    grow with the data, and model and batches, which do not.
    """
    with tempfile.TemporaryDirectory() as folder:
        draw_dataset(folder, n_images, recipe.stored_size)
        arguments = {"folder": folder, "recipe": dataclasses.asdict(recipe), "steps": steps}
        most, tenth = (
            run_python(PRINT_OWN_MEMORY, json.dumps(arguments | {"n_images": n}))
            for n in (n_images, n_images // 10)
        )
    array = n_images * 3 * recipe.stored_size**2
    return {
        "images": n_images,
        "array, bytes": array,
        "own memory, bytes": most,
        "own memory with a tenth of the images, bytes": tenth,
        "own memory for each further image, bytes": (most - tenth) / (0.9 * n_images),
    }


def draw_dataset(folder: str | Path, n_images: int, image_size: int, seed: int = 0) -> None:
    """Draw scenes into an array on disk, with their captions, and without any file for an image.

    Writes images.npy, uint8 (N, 3, S, S), and captions.json into `folder`.
    """
    folder = Path(folder)
    texts = []
    with replace_when_done(folder / "images.npy") as temporary:
        shape = (n_images, 3, image_size, image_size)
        images = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        for i in progress(range(n_images), desc="drawing"):
            scene = dataset_scene("train", i, seed)
            images[i] = np.asarray(render(scene, image_size)).transpose(2, 0, 1)
            texts.append(captions(scene))
        images.flush()
    (folder / "captions.json").write_text(json.dumps(texts), encoding="utf-8")


def load_drawn(folder: str | Path, n_images: int) -> CaptionDataset:
    """Load the first images of what `draw_dataset` has drawn, mapped into memory."""
    folder = Path(folder)
    images = np.load(folder / "images.npy", mmap_mode="r")[:n_images]
    texts = json.loads((folder / "captions.json").read_text(encoding="utf-8"))[:n_images]
    ids = [f"drawn_{i:06d}" for i in range(n_images)]
    return CaptionDataset("drawn", "train", images, texts, ids)


def print_own_memory(arguments: str) -> None:
    """Train on drawn images in this process, and print the most memory of its own, in bytes.

    arguments: JSON with `folder`, `n_images`, `recipe` and `steps`. It is read after each step.
    """
    given = json.loads(arguments)
    recipe = Recipe(**given["recipe"])
    dataset = load_drawn(given["folder"], given["n_images"])
    tokens = tokenize(make_tokenizer(recipe, dataset.captions), dataset.captions)  # (N, K, T)
    model, optimizer = make_model(recipe)
    most = 0
    batches = iterate_batches(dataset, tokens, recipe, get_device())
    for images, texts in islice(batches, given["steps"]):
        train_step(model, optimizer, images, texts, recipe)
        most = max(most, read_own_memory())
    print(most)


def read_own_memory() -> int:
    """Return the memory that this process holds and that no file backs, in bytes. On Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("this system does not tell how much memory a process has of its own.")
