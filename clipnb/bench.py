"""How fast training is, against the usual way, against what the hardware allows, and against open_clip: `python -m clipnb bench train`.

Only ratios carry from one machine to another. What is compared runs in turn, A, B, A, B ..., so that whatever else the machine
does meanwhile falls on both alike; a ratio is the median over the rounds, beside the lowest and the highest.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
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

from clipnb import bench_reference as reference
from clipnb import report, runs, scenes
from clipnb.datasets import dataset_folder, load_dataset
from clipnb.model import create_model
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import cpu_name, get_device, keep_freed_memory, machine, memory_format, progress, shown, versions
from clipnb.tokenizer import clip_tokenizer
from clipnb.training import batches, make_optimizer, make_tokenizer, tokenize, train_step


def here(recipe):
    """A recipe on a dataset that this machine has: its own, or the scenes; with a step so small that training changes nothing.

    On one batch seen again and again a model would soon be perfect, and numbers too small for the processor's fast path slow it down.
    """
    there = recipe.dataset == "scenes" or dataset_folder(recipe.dataset).exists()
    return replace(recipe, dataset=recipe.dataset if there else "scenes", learning_rate=1e-7)


def fresh_model(recipe):
    """A model and its optimizer, as `train` makes them."""
    device = get_device()
    model = create_model(recipe).to(device, memory_format=memory_format(device))
    return model, make_optimizer(model, recipe)


def endless(dataset, tokens, recipe):
    """Batches of one epoch after another."""
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(tokens)))
    while True:
        yield from batches(dataset, tokens, recipe, get_device())


def training_stream(recipe):
    """Endless batches of a recipe's training split."""
    dataset = load_dataset(recipe.dataset, "train", recipe.stored_size)
    return endless(dataset, tokenize(make_tokenizer(recipe, dataset.captions), dataset.captions), recipe)


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


def race(contestants, batch_size, seconds, rounds, title):
    """Run functions of a number of steps in turn -> pairs per second of each, a list of `rounds` numbers.

    All make the same number of steps, as many as the slowest makes in `seconds`, at least one.
    """
    def timed(run, steps):
        start = time.perf_counter()
        run(steps)
        return time.perf_counter() - start

    slowest = max(min(timed(run, 1), timed(run, 1)) for run in contestants.values())  # the first step also warms up
    steps, rates = max(1, int(seconds / slowest)), {name: [] for name in contestants}
    for _ in progress(range(rounds), desc=title, leave=False):
        for name, run in contestants.items():
            rates[name].append(steps * batch_size / timed(run, steps))
    return rates


def compared(ours, theirs, unit="pairs per second"):
    """Two lists of measurements, taken in turn, as the record keeps them: the median of the ratios first."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    return {"ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios), "rounds": len(ratios),
            "ours": statistics.median(ours), "theirs": statistics.median(theirs), "unit": unit}


def against_the_usual_way(recipe=RECIPES["baseline"], batch_sizes=(32, 256), seconds=10, rounds=5, pictures=1000):
    """Our batches and steps against the original pipeline's: same architecture, photos of 500x375, image size and batch."""
    with photos(pictures, min(pictures, 100)):
        return usual_way_races(replace(recipe, dataset="photos", learning_rate=1e-7), batch_sizes, seconds, rounds)


def usual_way_races(recipe, batch_sizes, seconds, rounds):
    """The races of `against_the_usual_way` on the dataset of the recipe."""
    device, results = get_device(), {}
    usual = reference.usual_dataset(recipe.dataset, clip_tokenizer(), recipe.image_size)
    for batch_size in batch_sizes:
        sized = replace(recipe, batch_size=batch_size)
        model = create_model(recipe).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)

        def usual_loop(steps):
            keep_freed_memory(False)
            for images, tokens in reference.row_loader(usual, batch_size, steps):
                loss = reference.usual_step(model, optimizer, images.to(device), tokens.to(device))
            return loss.item()

        rates = race({"ours": loop(*fresh_model(sized), training_stream(sized), sized), "usual": usual_loop},
                     batch_size, seconds, rounds, f"the usual way, batch {batch_size}")
        results[f"batch {batch_size}"] = compared(rates["ours"], rates["usual"])
    return results


def against_the_limit(recipes=tuple(RECIPES.values()), seconds=4, rounds=7):
    """The whole training loop against the bare step, for each recipe: 1 would mean that data and augmentation cost nothing."""
    results = {}
    for recipe in map(here, recipes):
        model, optimizer = fresh_model(recipe)
        stream = training_stream(recipe)
        batch = typical_batch(stream)
        rates = race({"loop": loop(model, optimizer, stream, recipe), "bare": loop(model, optimizer, repeat(batch), recipe)},
                     len(batch[0]), seconds, rounds, f"the limit, {recipe.name}")
        results[recipe.name] = compared(rates["loop"], rates["bare"]) | {"dataset": recipe.dataset}
    return results


def child(code):
    """The last line that Python code prints in a fresh interpreter, as a number."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"the benchmark's subprocess failed: {result.stderr.strip().splitlines()[-1]}")
    return float(result.stdout.split()[-1])


def peak_memory(recipes=tuple(RECIPES.values()), steps=4):
    """Bytes the process needs at most: the loop's against the array of pictures plus 1.5 times what the bare step needs."""
    if sys.platform == "win32":
        return "not measured on Windows"
    results = {}
    for recipe in progress([here(recipe) for recipe in recipes], desc="peak memory", leave=False):
        code = f"from clipnb import bench; from clipnb.recipes import Recipe; print(bench.peak_of({{}}, {recipe!r}, {steps}))"
        whole, step = child(code.format("'loop'")), child(code.format("'bare'"))
        array = load_dataset(recipe.dataset, "train", recipe.stored_size).images.nbytes
        results[recipe.name] = {"ratio": whole / (array + 1.5 * step), "loop": whole, "bare": step, "array": array}
    return results


def peak_of(what, recipe, steps):
    """Train for some steps, "loop" or "bare", in this process; returns the most memory it has had, in bytes."""
    stream = training_stream(recipe)
    if what == "loop":
        load_dataset(recipe.dataset, "train", recipe.stored_size).images.max()  # read it all, as an epoch does
    loop(*fresh_model(recipe), stream if what == "loop" else repeat(typical_batch(stream)), recipe)(steps)
    status = Path("/proc/self/status")
    if status.exists():  # Linux: there ru_maxrss also counts what the parent held when it started this process
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


# the shape of open_clip_model, cropped as open_clip crops
VIT = Recipe("vit", "photos", "vit", "transformer", tokenizer="clip", vocab_size=49408, dropout=0.0, stored_size=72, min_crop=0.9, batch_size=128)


def against_open_clip(recipe=VIT, workers=(0, min(4, os.cpu_count() or 1)), seconds=4, rounds=7, pictures=1000):
    """The same ViT and text transformer by open_clip's modules, loss and AdamW: on the same tensors, then each with its own data pipeline."""
    with photos(pictures, min(pictures, 100)):
        return open_clip_races(replace(recipe, learning_rate=1e-7), workers, seconds, rounds)


def open_clip_races(recipe, workers, seconds, rounds):
    """The races of `against_open_clip`."""
    from open_clip.loss import ClipLoss

    device, results = get_device(), {}
    B, stream, rows = recipe.batch_size, training_stream(recipe), reference.open_clip_dataset(recipe.dataset, recipe.image_size)
    images, tokens = next(stream)
    batch = images, reference.pad(tokens, 77)  # open_clip takes no shorter texts
    ours, theirs = fresh_model(recipe), reference.open_clip_model(recipe.image_size).to(device)

    def their_loop(stream_of, optimizer):
        def run(steps):
            keep_freed_memory(False)
            for images, tokens in stream_of(steps):
                loss = reference.open_clip_step(theirs, ClipLoss(), optimizer, images.to(device), tokens.to(device))
            return loss.item()

        return run

    for fused, name in (None, "same tensors"), (True, "same tensors, its AdamW fused too"):
        their_run = their_loop(lambda steps: [(batch[0], batch[1][0])] * steps, reference.open_clip_optimizer(theirs, recipe, fused))
        rates = race({"ours": loop(*ours, repeat(batch), recipe), "open_clip": their_run}, B, seconds, rounds, f"open_clip, {name}")
        results[name] = compared(rates["ours"], rates["open_clip"])
    optimizer = reference.open_clip_optimizer(theirs, recipe, None)
    for n in workers:
        their_run = their_loop(lambda steps: reference.row_loader(rows, B, steps, n), optimizer)
        rates = race({"ours": loop(*ours, stream, recipe), "open_clip": their_run}, B, seconds, rounds, f"open_clip's data, {n} workers")
        results[f"own data pipelines, {n} workers"] = compared(rates["ours"], rates["open_clip"])
    return results


@contextlib.contextmanager
def photos(pictures=1000, distinct=100):
    """A dataset "photos" in a temporary data folder with a cache of its own: JPEGs of Flickr8k's size, the same on every machine."""
    with tempfile.TemporaryDirectory() as root, patch.dict(os.environ, CLIPNB_DATA=root, CLIPNB_CACHE=f"{root}/cache"):
        write_photos(Path(root) / "photos", pictures, distinct)
        yield Path(root) / "photos"


def write_photos(folder, pictures, distinct):
    """A dataset folder of `pictures` JPEGs of 500x375, as large as photographs: drawn scenes with noise, each copied many times."""
    from PIL import Image

    names = [f"{i:05d}.jpg" for i in range(pictures)]
    (folder / "Images").mkdir(parents=True)
    (folder / "splits").mkdir()
    noise = np.random.default_rng(0)
    for i, name in enumerate(names):
        if i >= distinct:
            shutil.copyfile(folder / "Images" / names[i % distinct], folder / "Images" / name)
            continue
        drawn = scenes.render(scenes.dataset_scene("train", i), 125).resize((500, 375), Image.Resampling.BICUBIC)
        pixels = np.asarray(drawn) + noise.normal(0, 10, (375, 500, 3))  # smooth areas alone would be smaller and quicker than a photo's
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "Images" / name, quality=85)
    lines = [f"{name},{caption}\n" for i, name in enumerate(names) for caption in scenes.captions(scenes.dataset_scene("train", i))]
    (folder / "captions.txt").write_text("image,caption\n" + "".join(lines), encoding="utf-8")
    (folder / "splits" / "train.txt").write_text("\n".join(names), encoding="utf-8")


def first_use(pictures=1000, distinct=100, image_sizes=(64, 224)):
    """Seconds until 8,000 photos of 500x375 are decoded and cached, and until they are there when asked for again; from `pictures` of them."""
    with photos(pictures, distinct) as folder:
        results = {"bytes per file": statistics.mean(p.stat().st_size for p in (folder / "Images").iterdir()), "pictures": pictures}
        for image_size in image_sizes:
            for use in "first", "second":
                start = time.perf_counter()
                load_dataset("photos", "train", image_size)
                results[f"{use} use at {image_size} px, seconds for 8,000"] = (time.perf_counter() - start) * 8000 / pictures
    return results


class Repeated:
    """An array of pictures that goes on and on: picture i is picture i modulo N."""

    def __init__(self, images):
        self.images = images

    def __getitem__(self, indices):
        return self.images[indices % len(self.images)]


def scaling(recipe=RECIPES["quick"], pictures=(1000, 4000, 16000, 64000), batch_sizes=(16, 32, 64, 128, 256, 512, 1024), seconds=5):
    """Seconds per epoch against the number of pictures, with the straight line through them, and pairs per second against the batch size."""
    recipe = here(recipe)
    dataset = load_dataset(recipe.dataset, "train", recipe.stored_size)
    tokens = tokenize(make_tokenizer(recipe, dataset.captions), dataset.captions)  # (N, K, T)
    many, model_and_optimizer, epochs = SimpleNamespace(images=Repeated(dataset.images)), fresh_model(recipe), {}
    loop(*model_and_optimizer, endless(dataset, tokens, recipe), recipe)(2)  # warm up
    for n in progress(pictures, desc="scaling, pictures", leave=False):
        stream = batches(many, tokens[torch.arange(n) % len(tokens)], recipe, get_device())
        start = time.perf_counter()
        loop(*model_and_optimizer, stream, recipe)(None)  # all of the epoch
        epochs[n] = time.perf_counter() - start
    x, y = np.array(list(epochs)), np.array(list(epochs.values()))
    slope, intercept = np.polyfit(x, y, 1)
    line = {"seconds per 1,000 pictures": 1000 * slope, "seconds at 0": intercept, "R2": 1 - ((y - slope * x - intercept) ** 2).sum() / ((y - y.mean()) ** 2).sum()}
    rates = {}
    for B in batch_sizes:
        sized = replace(recipe, batch_size=B)
        run = loop(*model_and_optimizer, endless(many, tokens[torch.arange(max(B, len(tokens))) % len(tokens)], sized), sized)
        rates[B] = race({"ours": run}, B, seconds, 1, f"scaling, batch {B}")["ours"][0]
    return {"seconds per epoch": epochs, "line": line, "pairs per second by batch size": rates}


def compiling(recipe=RECIPES["quick"], steps=60, backend="inductor"):
    """Steps with the encoders through `torch.compile` against eager ones: what compiling costs, and after how many steps it has paid."""
    recipe = here(recipe)
    stream, seconds = training_stream(recipe), {"eager": [], "compiled": []}
    contestants = {name: fresh_model(recipe) for name in seconds}
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache):  # nothing compiled by an earlier run
        try:
            for encoder in contestants["compiled"][0].image_encoder, contestants["compiled"][0].text_encoder:
                encoder.compile(backend=backend)
            for batch in progress(islice(stream, steps), total=steps, desc="torch.compile", leave=False):
                for name, (model, optimizer) in contestants.items():
                    start = time.perf_counter()
                    train_step(model, optimizer, *batch, recipe).item()
                    seconds[name].append(time.perf_counter() - start)
        except Exception as error:  # no compiler, Windows, a Python too new: whatever the reason, it is an answer and no failure
            return {"not possible here": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
    later = {name: statistics.median(values[len(values) // 2 :]) for name, values in seconds.items()}
    cost = sum(seconds["compiled"]) - steps * later["compiled"]  # captions of new lengths compile again, so not in the first step alone
    saved = later["eager"] - later["compiled"]
    return {"first step, eager": seconds["eager"][0], "first step, compiled": seconds["compiled"][0], "later step, eager": later["eager"],
            "later step, compiled": later["compiled"], "seconds spent compiling": cost, "pays after steps": cost / saved if saved > 0 else None}


def importing(rounds=5):
    """Seconds that `import clipnb` takes in a fresh interpreter, alone and with what training needs, against `import torch`."""
    statements, seconds = ("import torch", "import clipnb", "import clipnb; clipnb.train"), {}
    for _ in progress(range(rounds), desc="import", leave=False):
        for statement in statements:
            code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
            seconds.setdefault(statement, []).append(child(code))
    return {statement: compared(seconds[statement], seconds["import torch"], "seconds") for statement in statements[1:]}


def numbers(value, path=()):
    """Every number of nested results, a comparison as one line: pairs (is it a comparison, text)."""
    title = ": ".join(path)
    if isinstance(value, dict) and "ratio" in value:
        rest = ", ".join(f"{key} {v:.4g}" if isinstance(v, float) else f"{key} {v}" for key, v in value.items() if key != "ratio")
        yield True, f"{value['ratio']:8.3f}  {title} ({rest})"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, (*path, str(key)))
    else:
        yield False, f"{title}: {value:.4g}" if isinstance(value, float) else f"{title}: {value}"


PARTS = {"the usual way": against_the_usual_way, "the limit": against_the_limit, "peak memory": peak_memory, "open_clip": against_open_clip,
         "first use": first_use, "scaling": scaling, "torch.compile": compiling, "import": importing}


def bench_train():
    """Measure everything, print it, ratios first, and write `results/bench/<cpu>.json`; returns its path as text."""
    results = {name: part() for name, part in progress(PARTS.items(), desc="benchmark")}
    about = {"machine": machine(), "threads": torch.get_num_threads(), "versions": versions(), "date": datetime.date.today().isoformat()}
    path = report.RESULTS / "bench" / (re.sub("[^a-z0-9]+", "-", cpu_name().lower()).strip("-") + ".json")
    runs.write(path, json.dumps(report.rounded(about | results), indent=1) + "\n")
    print("\n".join(text for _, text in sorted(numbers(results), key=lambda line: not line[0])))  # ratios first, else in order
    return shown(path)
