"""Judging by retrieval: how far up does the right image, or a right caption, come?

All recalls are in percent.
"""

import math
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

RECALL_AT = (1, 5, 10)


def retrieval_ranks(image_features: Tensor, text_features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rank of the best right answer to every query, 1 being the best.

    image_features: (N, D) and text_features: (N, K, D), of unit length. Returns image-to-text
    ranks int64 (N,), the best of the image's K captions among all N*K, and text-to-image ranks
    (N*K,). A rank is 1 + the number of wrong answers that score at least as high. So ties count
    against us: a model that gives everything the same score would be perfect otherwise. So does a
    score that is NaN or infinite: a wrong answer with such a score counts as better than any right
    one, and a right answer with such a score as the last of all. Raises ValueError if the two have
    different numbers of images or dimensions, or other types than one of floating point, or if
    there is no image or no caption. Arrays of NumPy are taken too.
    """
    image_features, text_features = torch.as_tensor(image_features), torch.as_tensor(text_features)
    if text_features.ndim != 3:
        raise ValueError(
            f"text features are (N, K, D), and these are {tuple(text_features.shape)}; with one "
            "caption of each image give text_features[:, None]."
        )
    N, K, D = text_features.shape
    if len(image_features) != N:
        raise ValueError(f"there are {len(image_features)} images, but captions of {N} images.")
    if image_features.shape != (N, D):
        raise ValueError(
            f"image features are {tuple(image_features.shape)}, and captions have {D} numbers; "
            f"give image features ({N}, {D})."
        )
    _check_counts(N, K)
    kinds = image_features.dtype, text_features.dtype
    if kinds[0] != kinds[1] or not kinds[0].is_floating_point:
        raise ValueError(
            f"image features are {kinds[0]} and text features {kinds[1]}; give both in the same "
            "type, one of floating point."
        )
    scores = image_features @ text_features.reshape(N * K, D).T  # (N, N*K)
    scores = scores.masked_fill(scores.isinf(), torch.nan)  # NaN is lower than nothing
    captions = torch.arange(N * K, device=scores.device)
    owner = captions // K  # (N*K,) the image that each caption belongs to
    images = torch.arange(N, device=scores.device)
    wrong = owner[None, :] != images[:, None]  # (N, N*K)

    best_own = scores.masked_fill(wrong, -torch.inf).amax(dim=1)  # (N,) an image's best caption
    image_to_text = 1 + (~(scores < best_own[:, None]) & wrong).sum(dim=1)

    own = scores[owner, captions]  # (N*K,) each caption with its own image
    text_to_image = 1 + (~(scores < own[None, :]) & wrong).sum(dim=0)
    return image_to_text, text_to_image


def retrieval_metrics(image_features: Tensor, text_features: Tensor) -> dict[str, float]:
    """Return R@1, R@5, R@10 (percent) and the median rank both ways, and their `mean_recall`.

    image_features: (N, D) and text_features: (N, K, D), of unit length. `mean_recall` is the mean
    of the six recalls. Image-to-text is a hit if any of an image's K captions is among the first k
    of all N*K, as retrieval on Flickr is usually reported, also in the CLIP paper's Table 13.
    """
    return summarize_ranks(*retrieval_ranks(image_features, text_features))


def summarize_ranks(image_to_text: Tensor, text_to_image: Tensor) -> dict[str, float]:
    """Summarize the ranks that `retrieval_ranks` returns as recalls and median ranks."""
    metrics = _summarize_arrays(_to_numpy(image_to_text), _to_numpy(text_to_image))
    return {name: float(value) for name, value in metrics.items()}


def _summarize_arrays(image_to_text: np.ndarray, text_to_image: np.ndarray) -> dict:
    """Summarize ranks along the last axis; all axes before it are kept."""
    metrics = {}
    for direction, ranks in (("image_to_text", image_to_text), ("text_to_image", text_to_image)):
        for k in RECALL_AT:
            metrics[f"{direction}_R@{k}"] = 100 * np.mean(ranks <= k, axis=-1)
        metrics[f"{direction}_median_rank"] = np.median(ranks, axis=-1)
    return metrics | {"mean_recall": _mean_recall(metrics)}


def _mean_recall(metrics: dict) -> np.ndarray:
    return np.mean([value for name, value in metrics.items() if "R@" in name], axis=0)


def _to_numpy(ranks: Tensor | np.ndarray) -> np.ndarray:
    return torch.as_tensor(ranks).cpu().numpy()


def _check_counts(N: int, K: int) -> None:
    are_whole = all(isinstance(each, SupportsIndex) for each in (N, K))
    if not are_whole or N < 1 or K < 1:
        raise ValueError(
            f"there are {N} images with {K} captions each; give whole numbers, at least one image "
            "and one caption."
        )


def chance(N: int, K: int = 5) -> dict[str, float]:
    """Return what a model that guesses would score on N images with K captions each. Exact.

    The keys are those of `retrieval_metrics`. Raises ValueError if there is no image or no caption.
    """
    _check_counts(N, K)

    def miss(r: int) -> float:  # P(none of the K right captions is among the first r of N*K)
        return math.comb(max(N * K - r, 0), K) / math.comb(N * K, K)

    metrics = {f"image_to_text_R@{k}": 100 * (1 - miss(k)) for k in RECALL_AT}
    median_rank = next(r for r in range(N * K + 1) if miss(r) <= 0.5)
    metrics["image_to_text_median_rank"] = float(median_rank)
    metrics |= {f"text_to_image_R@{k}": 100 * min(k / N, 1) for k in RECALL_AT}
    metrics["text_to_image_median_rank"] = (N + 1) / 2
    return metrics | {"mean_recall": float(_mean_recall(metrics))}


def bootstrap_intervals(
    image_to_text: Tensor, text_to_image: Tensor, n_resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of all `retrieval_metrics`, as {metric: (low, high)}.

    The arguments are the ranks that `retrieval_ranks` returns. Images are drawn with replacement,
    and their K captions move with them. Only queries are resampled; the gallery stays as it is.
    Raises ValueError if the ranks are not those of N images and N*K captions, or if nothing is
    drawn.
    """
    image_ranks, text_ranks = _to_numpy(image_to_text), _to_numpy(text_to_image)
    N = image_ranks.size
    if image_ranks.shape != (N,) or not text_ranks.size or text_ranks.size % max(N, 1):
        raise ValueError(
            f"there are ranks {image_ranks.shape} of images and {text_ranks.shape} of captions; "
            "give (N,) and (N*K,), as retrieval_ranks returns them."
        )
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; set it to 1 or more.")
    text_ranks = text_ranks.reshape(N, -1)  # (N, K)
    drawn = np.random.default_rng(seed).integers(N, size=(n_resamples, N))
    n_blocks = 1 + n_resamples * text_ranks.size // 20_000_000  # at most 160 MB at a time
    blocks = []
    for rows in np.array_split(drawn, n_blocks):  # each (R, N)
        resampled_texts = text_ranks[rows].reshape(len(rows), -1)  # (R, N*K)
        blocks.append(_summarize_arrays(image_ranks[rows], resampled_texts))
    intervals = {}
    for name in blocks[0]:
        values = np.concatenate([block[name] for block in blocks])  # (n_resamples,)
        intervals[name] = tuple(np.percentile(values, [2.5, 97.5]).tolist())
    return intervals
