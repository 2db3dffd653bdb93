"""How the benchmark measures: photographs made for it, loops that can be run for a number of steps, and races between them.

What is compared runs in turn, A, B, A, B ..., so that whatever else the machine does meanwhile falls on both alike; a ratio is the
median over the rounds, beside the lowest and the highest.
"""

import contextlib
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np

from clipnb import scenes
from clipnb.datasets import load_dataset
from clipnb.features import tokenize
from clipnb.model import create_model
from clipnb.optimizers import make_optimizer
from clipnb.runtime import get_device, keep_freed_memory, memory_format, progress
from clipnb.training import iterate_batches, make_tokenizer, train_step


@contextlib.contextmanager
def photos(n_images=1000, distinct=100):
    """A dataset "photos" in a temporary data folder with a cache of its own: JPEGs of Flickr8k's size, the same on every machine."""
    with (
        tempfile.TemporaryDirectory() as root,
        patch.dict(os.environ, CLIPNB_DATA=root, CLIPNB_CACHE=f"{root}/cache"),
    ):
        write_photos(Path(root) / "photos", n_images, distinct)
        yield Path(root) / "photos"


def write_photos(folder, n_images, distinct):
    """A dataset folder of `images` JPEGs of 500x375, as large as photographs: drawn scenes with noise, each copied many times."""
    from PIL import Image

    names = [f"{i:05d}.jpg" for i in range(n_images)]
    (folder / "Images").mkdir(parents=True)
    (folder / "splits").mkdir()
    noise = np.random.default_rng(0)
    for i, name in enumerate(names):
        if i >= distinct:
            shutil.copyfile(folder / "Images" / names[i % distinct], folder / "Images" / name)
            continue
        drawn = scenes.render(scenes.dataset_scene("train", i), 125).resize(
            (500, 375), Image.Resampling.BICUBIC
        )
        # smooth areas alone would be smaller and quicker than a photo's; with this noise a file has as many bytes as one of
        # Flickr8k's: 1.1 GB in 8,091 files is 136 kB each, and the bytes are what decoding takes its time for
        pixels = np.asarray(drawn) + noise.normal(0, 20, (375, 500, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
            folder / "Images" / name, quality=95
        )
    lines = [
        f"{name},{caption}\n"
        for i, name in enumerate(names)
        for caption in scenes.captions(scenes.dataset_scene("train", i))
    ]
    (folder / "captions.txt").write_text("image,caption\n" + "".join(lines), encoding="utf-8")
    (folder / "splits" / "train.txt").write_text("\n".join(names), encoding="utf-8")


def on_photos(recipe):
    """A recipe on the benchmark's photographs, with a step so small that training changes nothing.

    On one batch seen again and again a model would soon be perfect, and numbers too small for the processor's fast path slow it down.
    """
    return replace(recipe, dataset="photos", learning_rate=1e-7)


def fresh_model(recipe):
    """A model and its optimizer, as `train` makes them."""
    device = get_device()
    model = create_model(recipe).to(device, memory_format=memory_format(device))
    return model, make_optimizer(model, recipe)


def training_stream(recipe):
    """Endless batches of a recipe's training split, one epoch after another."""
    dataset = load_dataset(recipe.dataset, "train", recipe.stored_size)
    tokens = tokenize(make_tokenizer(recipe, dataset.captions), dataset.captions)
    while True:
        yield from iterate_batches(dataset, tokens, recipe, get_device())


def typical_batch(stream, draws=5):
    """Of a few batches the one whose longest caption is of middling length, which is what a step's time depends on."""
    return sorted(islice(stream, draws), key=lambda batch: batch[1].shape[-1])[draws // 2]


def loop(model, optimizer, stream, recipe):
    """A function that trains for a number of steps on batches from `stream`; on `repeat(batch)` it measures the bare step."""

    def run(steps):
        keep_freed_memory()  # as `train` does
        for images, tokens in islice(stream, steps):
            loss = train_step(model, optimizer, images, tokens, recipe)
        return loss.item()  # waits until a GPU is done

    return run


def their_loop(stream_of, step):
    """The same for somebody else's `step(images, tokens)` on `stream_of(steps)`, with the C library's usual habits."""

    def run(steps):
        keep_freed_memory(False)
        for images, tokens in stream_of(steps):
            loss = step(images.to(get_device()), tokens.to(get_device()))
        return loss.item()

    return run


def race(contestants, batch_size, seconds, rounds, title):
    """Run functions of a number of steps in turn -> pairs per second of each, a list of `rounds` numbers.

    All make the same number of steps, as many as the slowest makes in `seconds`, at least one.
    """

    def timed(run, steps):
        start = time.perf_counter()
        run(steps)
        return time.perf_counter() - start

    slowest = max(
        min(timed(run, 1), timed(run, 1)) for run in contestants
    )  # the first step also warms up
    steps, rates = max(1, int(seconds / slowest)), [[] for _ in contestants]
    for _ in progress(range(rounds), desc=title, leave=False):
        for run, mine in zip(contestants, rates):
            run(
                1
            )  # not counted: the contestant before may have handed back the memory this one keeps
            mine.append(steps * batch_size / timed(run, steps))
    return rates


def compared(ours, theirs, unit="pairs per second"):
    """Two lists of measurements, taken in turn, as the record keeps them: the median of the ratios first."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    return {
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "rounds": len(ratios),
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "unit": unit,
    }
