"""How fast searching is: `python -m clipnb bench search`.

All that is compared runs in turns, so that other work on the machine slows both sides alike.
"""

import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from clipnb.bench.approximate import K, compare_indexes, load_everything, time_call
from clipnb.bench.jpegs import temporary_photos
from clipnb.bench.processes import run_python
from clipnb.bench.timing import summarize_ratios
from clipnb.bench_report import search_tables
from clipnb.datasets import CaptionDataset, read_image
from clipnb.datasets.photos import PhotoFolder
from clipnb.features import encode_images
from clipnb.model import create_model
from clipnb.recipes import RECIPES
from clipnb.records import record_benchmark
from clipnb.retrieval import ImageIndex
from clipnb.run_folders import is_finished, run_folder
from clipnb.runs import Run
from clipnb.runtime import (
    data_dir,
    progress,
)
from clipnb.search.nearest import find_nearest
from clipnb.search.store import update_store
from clipnb.training import load_or_train

QUERY = "a red car beside a tree under a dark sky"  # typed letter by letter

# A program for `run_python`: the most memory of a search beyond that of an idle process, in bytes.
PRINT_SEARCH_MEMORY = """
import sys, torch
from clipnb.bench.processes import read_peak_memory
from clipnb.search.nearest import find_nearest
find_nearest(torch.zeros(10, 512), torch.zeros(512), 10)
before = read_peak_memory()
features = torch.empty(int(sys.argv[1]), 512).normal_()
find_nearest(features, features[0].clone(), 10)
print(read_peak_memory() - before)
"""


def run_search_benchmark(name: str | None = None) -> str:
    """Measure everything, write the record, and print it. Returns the record's path as text.

    The record is `results/bench/search-<cpu>.json`. It takes the run `quick` with seed 0, which is
    trained if there is none, and the run `two_minutes` on Flickr8k if there is one.

    name: another run, or a published model such as "ViT-B-32/openai" (see `open_run`), which is
    measured instead, on its dataset or on the scenes. Then the record has its name.
    """
    from clipnb.pretrained import open_run

    runs = find_runs() if name is None else [open_run(name)]
    parts = {
        "keystroke": lambda: measure_keystrokes(runs[0]),
        "exact search": measure_exact_search,
        "folder": measure_folders,
        "decoding": compare_decoders,
        "indexes": lambda: compare_indexes(runs),
    }
    results = {name: measure() for name, measure in progress(parts.items(), desc="benchmark")}
    prefix = "search-" if name is None else f"search-{runs[0].folder.name}-"
    path, record = record_benchmark(results, prefix)
    print(search_tables(record))
    return path


def find_runs() -> list[Run]:
    """Return the run `quick`, and `two_minutes` on Flickr8k if that run and the photos are here."""
    runs = [load_or_train("quick")]
    has_photos = (data_dir() / "flickr8k").is_dir()
    if has_photos and is_finished(run_folder(RECIPES["two_minutes"])):
        runs.append(load_or_train("two_minutes"))
    return runs


# ---- time ------------------------------------------------------------------------------------


def compare_times(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int, n_items: int = 0
) -> dict:
    """Call two functions in turns, after a first call of each that does not count.

    Returns the ratio of their milliseconds, or of their items per second if each call handles
    `n_items`. See `summarize_ratios`.
    """
    ours()
    theirs()
    pairs = [(time_call(ours), time_call(theirs)) for _ in range(rounds)]
    if n_items:
        pairs = [(1000 * n_items / a, 1000 * n_items / b) for a, b in pairs]
    own_values, other_values = zip(*pairs, strict=True)
    unit = "images per second" if n_items else "milliseconds"
    return summarize_ratios(own_values, other_values, unit)


# ---- a keystroke -----------------------------------------------------------------------------


def measure_keystrokes(run: Run, dataset: CaptionDataset | None = None) -> dict:
    """Measure the milliseconds from a letter typed to new results in the kernel: medians.

    "search" is the product with all features and the k best, "encoding" the query's feature, and
    "whole" all of that with the building of the cards.
    """
    from clipnb.widgets.retrieval import RetrievalWidget

    dataset = dataset or load_everything(run)
    index = ImageIndex.build(run.model, run.tokenizer, dataset)
    widget = RetrievalWidget(index)
    times = {"search": [], "encoding": [], "whole": []}
    for n in range(1, len(QUERY) + 1):
        text = QUERY[:n]
        feature = index.encode(text)
        times["encoding"].append(time_call(index.encode, text))
        times["search"].append(
            time_call(find_nearest, index.image_features, feature, widget.k.value)
        )
        times["whole"].append(time_call(widget.query.set_trait, "value", text))
    medians = {f"{name}, milliseconds": statistics.median(times[name]) for name in times}
    return {"images": len(index), **medians}


# ---- exact search ----------------------------------------------------------------------------


def measure_exact_search(n_features: int = 1_000_000, rounds: int = 9) -> dict:
    """Compare an exact search with one matrix product and top-k, and its memory with the features.

    The ratio of memory is the most that the search takes, the features included, divided by the
    size of the features.
    """
    features = torch.empty(n_features, 512).normal_()
    query = features[0].clone()

    def multiply_and_sort() -> None:
        (features @ query).topk(K)

    times = compare_times(lambda: find_nearest(features, query, K), multiply_and_sort, rounds)
    size = features.nbytes
    result = {f"time, {n_features:,} features": times}
    if sys.platform != "win32":
        peak = run_python(PRINT_SEARCH_MEMORY, str(n_features))
        memory = {"ratio": peak / size, "ours": peak / 1e6, "theirs": size / 1e6, "unit": "MB"}
        result[f"memory, {n_features:,} features"] = memory
    return result


# ---- a folder --------------------------------------------------------------------------------


def measure_folders(
    recipes: Sequence[str] = ("quick", "improved", "baseline"), n_images: int = 300, rounds: int = 3
) -> dict:
    """Compare indexing a folder of JPEG files with encoding alone, for models of several sizes.

    Both are images per second.
    """
    with temporary_photos(n_images, n_images) as folder:
        photos = PhotoFolder(folder / "Images")
        models = {name: create_model(RECIPES[name]) for name in recipes}
        return {
            f"indexing against encoding alone, {name}": compare_with_encoding(model, photos, rounds)
            for name, model in models.items()
        }


def compare_with_encoding(model: nn.Module, photos: PhotoFolder, rounds: int) -> dict:
    """Compare indexing photos with encoding the same images, decoded before.

    Indexing reads, decodes, makes thumbnails, encodes and saves.
    """
    paths = photos.paths.values()
    size, crop = model.preprocess.size, model.preprocess.crop
    decoded = np.stack([read_image(path, size, crop) for path in paths])
    images = decoded.transpose(0, 3, 1, 2)  # (N, 3, S, S)

    def index_anew() -> None:
        with tempfile.TemporaryDirectory() as empty, patch.dict(os.environ, CLIPNB_CACHE=empty):
            update_store(photos, model)

    return compare_times(index_anew, lambda: encode_images(model, images), rounds, len(images))


def compare_decoders(n_images: int = 100, rounds: int = 5, size: int = 64) -> dict:
    """Compare our decoding with torchvision's, for images of `size` pixels, in one thread.

    Ours is Pillow's with `draft`, which decodes a JPEG file at a fraction of its size. torchvision
    decodes it whole.
    """
    from torchvision.io import decode_jpeg, read_file
    from torchvision.transforms.functional import resize

    with temporary_photos(n_images, n_images) as folder:
        paths = sorted((folder / "Images").iterdir())

        def decode_ours() -> None:
            for path in paths:
                read_image(path, size)

        def decode_theirs() -> None:
            for path in paths:
                resize(decode_jpeg(read_file(str(path))), [size, size])

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torchvision gives decoding up
            result = compare_times(decode_ours, decode_theirs, rounds, n_images)
    return {"Pillow against torchvision": result}
