"""Signs and FAISS against the exact search: what is found, how fast, in how much memory."""

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipnb.datasets import CaptionDataset
from clipnb.features import encode_images, encode_texts
from clipnb.runs import Run, load_run_dataset
from clipnb.search.nearest import FaissIndex, SignBits, find_nearest

K = 10  # how many are found


def load_everything(run: Run) -> CaptionDataset:
    """Load all three splits of a run's dataset as one."""
    splits = [load_run_dataset(run, split) for split in ("train", "dev", "test")]
    captions, ids = [], []
    for split in splits:
        captions += [own[:5] for own in split.captions]
        ids += [f"{split.split}/{image_id}" for image_id in split.image_ids]
    images = np.concatenate([split.images for split in splits])
    return CaptionDataset(run.recipe.dataset, "all", images, captions, ids)


def time_call(function: Callable, *arguments: Any) -> float:
    """Return the milliseconds that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return 1000 * (time.perf_counter() - start)


def compare_indexes(
    runs: Sequence[Run], counts: Sequence[int] = (10_000, 100_000, 1_000_000), n_queries: int = 50
) -> list[dict]:
    """Compare signs and FAISS with the exact search, on features of our runs (see `grow`).

    Returns a row for each run, number of features and way. Recall is the share of the true 10
    nearest that are found, for captions and for images as queries.
    """
    rows = []
    for run in runs:
        dataset = load_everything(run)
        image_features = encode_images(run.model, dataset.images)
        texts = [captions[0] for captions in dataset.captions[-n_queries:]]
        text_queries = encode_texts(run.model, run.tokenizer(texts))
        for n in counts:
            features = grow(image_features, n)
            queries = {"texts": text_queries, "images": features[:: n // n_queries][:n_queries]}
            rows += compare_ways(features, queries, f"{run.recipe.dataset}, {run.recipe.name}")
    return rows


def grow(features: Tensor, n: int, noise: float = 0.05) -> Tensor:
    """Make n features of unit length from fewer real ones (N, D).

    Each lies at a random place between an image's feature and one of its 20 nearest, plus a random
    vector of about the length `noise`.
    """
    generator = torch.Generator().manual_seed(0)
    nearest = (features @ features.T).topk(min(21, len(features))).indices
    grown = torch.empty(n, features.shape[1])
    for block in grown.split(50_000):
        B, D = block.shape
        rows = torch.randint(len(features), (B,), generator=generator)
        others = nearest[rows, torch.randint(nearest.shape[1], (B,), generator=generator)]
        place = torch.rand(B, 1, generator=generator)
        between = torch.lerp(features[rows], features[others], place)
        random = torch.randn(B, D, generator=generator) * noise / D**0.5
        block.copy_(F.normalize(between + random, dim=1))
    return grown


def list_ways() -> dict[str, Callable[[Tensor], Any]]:
    """Return how to make the index of each way, by its name; FAISS only if it is installed."""
    ways = {"signs": SignBits}
    with contextlib.suppress(ModuleNotFoundError):
        import faiss  # noqa: F401

        ways["FAISS"] = FaissIndex
    return ways


def compare_ways(features: Tensor, queries: dict[str, Tensor], gallery: str) -> list[dict]:
    """Compare all ways on the same features and queries, in turns. Returns a row for each."""
    N, D = features.shape
    about = {"gallery": gallery, "features": N}
    rows = [{**about, "way": "exact", "bytes each": 4 * D}]
    finders = [lambda query: find_nearest(features, query, K)]
    n_bytes = {"signs": D // 8, "FAISS": D + 8}  # of the index, for each feature
    for way, make in list_ways().items():
        start = time.perf_counter()
        index = make(features)
        seconds = time.perf_counter() - start
        rows.append({**about, "way": way, "bytes each": n_bytes[way], "seconds to make": seconds})
        finders.append(lambda query, index=index: index.find_nearest(query, K))

    times = [[] for _ in rows]
    for kind, own_queries in queries.items():
        recalls = [[] for _ in rows]
        for query in own_queries:
            true_rows = finders[0](query)[1]
            for finder, own_times, own_recalls in zip(finders, times, recalls, strict=True):
                own_times.append(time_call(finder, query))
                found = torch.isin(true_rows, finder(query)[1])
                own_recalls.append(found.float().mean().item())
        for row, own_recalls in zip(rows, recalls, strict=True):
            row[f"recall, {kind}"] = statistics.fmean(own_recalls)
    for row, own_times in zip(rows, times, strict=True):
        row["milliseconds"] = statistics.median(own_times)
        ratios = [exact / own for exact, own in zip(times[0], own_times, strict=True)]
        row["times as fast"] = statistics.median(ratios)
    return rows
