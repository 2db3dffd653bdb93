"""What training costs by itself: memory, import, decoding the images once, growing with the data, compiling."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch

from clipnb.bench.races import (
    compared,
    fresh_model,
    loop,
    on_photos,
    training_stream,
    typical_batch,
)
from clipnb.datasets import load_dataset
from clipnb.features import tokenize
from clipnb.recipes import RECIPES
from clipnb.runtime import get_device, progress
from clipnb.training import iterate_batches, make_tokenizer, train_step


def first_use(image_sizes=(64, 224)):
    """Seconds until 8,000 photos are decoded and cached, and until they are there when asked for again; from as many as `photos` has."""
    results = {}
    with (
        tempfile.TemporaryDirectory() as cache,
        patch.dict(os.environ, CLIPNB_CACHE=cache),
    ):  # an empty one
        for image_size in image_sizes:
            for use in "first", "second":
                start = time.perf_counter()
                n_images = len(load_dataset("photos", "train", image_size))
                results[f"{use} use at {image_size} px, seconds for 8,000"] = (
                    (time.perf_counter() - start) * 8000 / n_images
                )
    return results


def child(code):
    """The last line that Python code prints in a fresh interpreter, as a number."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(
            f"the benchmark's subprocess failed: {result.stderr.strip().splitlines()[-1]}"
        )
    return float(result.stdout.split()[-1])


def peak_memory(recipes=tuple(RECIPES.values()), steps=4):
    """Bytes the process needs at most: the loop's against the array of images plus 1.5 times what the bare step needs."""
    if sys.platform == "win32":
        return {"not measured": "Windows keeps no such count"}
    results = {}
    for recipe in progress(
        [on_photos(recipe) for recipe in recipes], desc="peak memory", leave=False
    ):
        whole, step = (
            child(
                f"from clipnb.bench.costs import peak_of; from clipnb.recipes import Recipe; print(peak_of({what!r}, {recipe!r}, {steps}))"
            )
            for what in ("loop", "bare")
        )
        array = load_dataset(recipe.dataset, "train", recipe.stored_size).images.nbytes
        results[recipe.name] = {
            "ratio": whole / (array + 1.5 * step),
            "loop": whole,
            "bare": step,
            "array": array,
        }
    return results


def peak_of(what, recipe, steps):
    """Train for some steps, "loop" or "bare", in this process; returns the most memory it has had, in bytes."""
    stream = training_stream(recipe)
    if what == "loop":
        load_dataset(
            recipe.dataset, "train", recipe.stored_size
        ).images.max()  # read it all, as an epoch does
    loop(*fresh_model(recipe), stream if what == "loop" else repeat(typical_batch(stream)), recipe)(
        steps
    )
    status = Path("/proc/self/status")
    if (
        status.exists()
    ):  # Linux: there ru_maxrss also counts what the parent held when it started this process
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def importing(rounds=5):
    """Seconds that `import clipnb` with all that training needs takes in a fresh interpreter, against `import torch`."""
    seconds = {"import torch": [], "import clipnb; clipnb.train": []}
    for _ in progress(range(rounds), desc="import", leave=False):
        for statement, mine in seconds.items():
            mine.append(
                child(
                    f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
                )
            )
    theirs, ours = seconds.values()
    return compared(ours, theirs, "seconds")


class Repeated:
    """An array of images that goes on and on: image i is image i modulo N."""

    def __init__(self, images):
        self.images = images

    def __getitem__(self, indices):
        return self.images[indices % len(self.images)]


def scaling(
    recipe=RECIPES["quick"],
    n_images=(1000, 4000, 16000, 64000),
    batch_sizes=(16, 32, 64, 128, 256, 512, 1024),
    steps=8,
):
    """Seconds per epoch against the number of images, with the straight line through them, and pairs per second against the batch size."""
    recipe = on_photos(recipe)
    dataset = load_dataset(recipe.dataset, "train", recipe.stored_size)
    tokens = tokenize(make_tokenizer(recipe, dataset.captions), dataset.captions)  # (N, K, T)
    many, model_and_optimizer = (
        SimpleNamespace(images=Repeated(dataset.images)),
        fresh_model(recipe),
    )

    def seconds(n, recipe):
        """For an epoch of n images."""
        stream, start = (
            iterate_batches(many, tokens[torch.arange(n) % len(tokens)], recipe, get_device()),
            time.perf_counter(),
        )
        loop(*model_and_optimizer, stream, recipe)(None)
        return time.perf_counter() - start

    seconds(2 * recipe.batch_size, recipe)  # warm up
    epochs = {
        n: seconds(n, recipe) for n in progress(n_images, desc="scaling, images", leave=False)
    }
    x, y = np.array(list(epochs)), np.array(list(epochs.values()))
    slope, intercept = np.polyfit(x, y, 1)
    line = {
        "seconds per 1,000 images": 1000 * slope,
        "seconds at 0": intercept,
        "R2": 1 - ((y - slope * x - intercept) ** 2).sum() / ((y - y.mean()) ** 2).sum(),
    }
    rates = {
        B: steps * B / seconds(steps * B, replace(recipe, batch_size=B))
        for B in progress(batch_sizes, desc="scaling, batches", leave=False)
    }
    return {"seconds per epoch": epochs, "line": line, "pairs per second by batch size": rates}


def compiling(recipe=RECIPES["quick"], steps=60, backend="inductor"):
    """Steps with the encoders through `torch.compile` against eager ones: what compiling costs, and after how many steps it has paid."""
    recipe = on_photos(recipe)
    stream, seconds = training_stream(recipe), {"eager": [], "compiled": []}
    contestants = {name: fresh_model(recipe) for name in seconds}
    with (
        tempfile.TemporaryDirectory() as cache,
        patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache),
    ):  # nothing compiled by an earlier run
        try:
            for encoder in (
                contestants["compiled"][0].image_encoder,
                contestants["compiled"][0].text_encoder,
            ):
                encoder.compile(backend=backend)
            for batch in progress(
                islice(stream, steps), total=steps, desc="torch.compile", leave=False
            ):
                for name, (model, optimizer) in contestants.items():
                    start = time.perf_counter()
                    train_step(model, optimizer, *batch, recipe).item()
                    seconds[name].append(time.perf_counter() - start)
        except Exception as error:  # no compiler, Windows, a Python too new: whatever the reason, it is an answer and no failure
            return {
                "not possible here": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            }
    later = {
        name: statistics.median(values[len(values) // 2 :]) for name, values in seconds.items()
    }
    cost = (
        sum(seconds["compiled"]) - steps * later["compiled"]
    )  # captions of new lengths compile again, so not in the first step alone
    saved = later["eager"] - later["compiled"]
    return {
        "first step, eager": seconds["eager"][0],
        "first step, compiled": seconds["compiled"][0],
        "later step, eager": later["eager"],
        "later step, compiled": later["compiled"],
        "seconds spent compiling": cost,
        "pays after steps": cost / saved if saved > 0 else None,
    }
