"""Judging by retrieval: how far up does the right picture, or a right caption, come? All recalls in percent."""

import math

import numpy as np
import torch

RECALL_AT = (1, 5, 10)


def retrieval_ranks(image_features, text_features):
    """Rank of the best right answer for every query, 1 the best. image_features (N, D), text_features (N, K, D), of unit length.

    Returns int64 image-to-text ranks (N,), the best of the picture's K captions among all N*K, and text-to-image ranks (N*K,).
    A rank is 1 + the number of wrong answers that score at least as high: ties count against us, or a model that gives
    everything the same score would be perfect.
    """
    N, K, D = text_features.shape
    scores = image_features @ text_features.reshape(N * K, D).T  # (N, N*K)
    owner = torch.arange(N, device=scores.device).repeat_interleave(K)  # (N*K,) the picture each caption belongs to
    wrong = owner[None, :] != torch.arange(N, device=scores.device)[:, None]  # (N, N*K)
    best = scores.masked_fill(wrong, -torch.inf).amax(dim=1)  # (N,) the picture's best caption
    own = scores[owner, torch.arange(N * K, device=scores.device)]  # (N*K,) each caption with its own picture
    image_to_text = 1 + ((scores >= best[:, None]) & wrong).sum(dim=1)
    text_to_image = 1 + ((scores >= own[None, :]) & wrong).sum(dim=0)
    return image_to_text, text_to_image


def retrieval_metrics(image_features, text_features):
    """R@1, R@5, R@10 (percent) and median rank both ways, and `mean_recall`, the mean of the six recalls.

    image_features (N, D), text_features (N, K, D), of unit length. Image-to-text is a hit if any of a picture's K captions is
    among the first k of all N*K. That is the protocol of Hodosh et al. 2013 and of the CLIP paper's Table 13.
    """
    return summarize(*retrieval_ranks(image_features, text_features))


def summarize(image_to_text, text_to_image):
    """Ranks, as `retrieval_ranks` gives them, -> dict of recalls and median ranks."""
    metrics = {}
    for direction, ranks in ("image_to_text", image_to_text), ("text_to_image", text_to_image):
        ranks = torch.as_tensor(ranks)
        metrics |= {f"{direction}_R@{k}": 100 * (ranks <= k).double().mean().item() for k in RECALL_AT}
        metrics[f"{direction}_median_rank"] = float(np.median(ranks.cpu()))
    metrics["mean_recall"] = float(np.mean([value for key, value in metrics.items() if "R@" in key]))
    return metrics


def chance(N, K=5):
    """What a model that guesses would score, with `retrieval_metrics`' keys: N pictures with K captions each. Exact."""
    miss = lambda r: math.comb(max(N * K - r, 0), K) / math.comb(N * K, K)  # P(none of K right captions among the first r of N*K)
    metrics = {f"image_to_text_R@{k}": 100 * (1 - miss(k)) for k in RECALL_AT}
    metrics["image_to_text_median_rank"] = float(next(r for r in range(N * K + 1) if miss(r) <= 0.5))
    metrics |= {f"text_to_image_R@{k}": 100 * min(k / N, 1) for k in RECALL_AT}
    metrics["text_to_image_median_rank"] = (N + 1) / 2
    metrics["mean_recall"] = float(np.mean([value for key, value in metrics.items() if "R@" in key]))
    return metrics


def bootstrap_intervals(image_to_text, text_to_image, draws=1000, seed=0):
    """95 % intervals of all `retrieval_metrics` by drawing pictures with replacement, their K captions moving with them.

    Takes the ranks of `retrieval_ranks`; returns {metric: (low, high)}. The gallery stays as it is, only queries are redrawn.
    """
    image_to_text = torch.as_tensor(image_to_text)
    text_to_image = torch.as_tensor(text_to_image).view(len(image_to_text), -1)  # (N, K)
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(draws):
        drawn = rng.integers(len(image_to_text), size=len(image_to_text))
        samples.append(summarize(image_to_text[drawn], text_to_image[drawn].flatten()))
    return {key: tuple(np.percentile([s[key] for s in samples], [2.5, 97.5]).tolist()) for key in samples[0]}
