"""The k features nearest to a query: exactly, by their signs first, or with FAISS.

All three ways take features (N, D) and a query (D,), and give scores and rows, best first.
"""

import math
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

from clipnb.places import display_value

BLOCK = 65_536  # rows that are handled at a time while an index is made


def find_nearest(features: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k features that have the largest dot product with a query, exactly.

    features: float32 (N, D), possibly backed by a memory map. query: float32 (D,). Returns scores
    and rows, float32 and int64, each (min(k, N),), best first. With features of unit length, a
    score is a cosine. The cost is one matrix product, and N scores in memory. Raises ValueError
    for NaN or infinity in the query, or in one of the features found.
    """
    check_query(query)
    scores, rows = (features @ query).topk(max(0, min(k, len(features))))
    bad = ~scores.isfinite()  # NaN counts as the largest number, so it is always among the first
    if bad.any():
        raise ValueError(f"feature {rows[bad][0]} holds NaN or infinity; encode the images again.")
    return scores, rows


def check_query(query: Tensor) -> None:
    """Raise ValueError if a query holds NaN or infinity."""
    if not query.isfinite().all():
        raise ValueError("the query holds NaN or infinity; encode it again.")


def check_k(k: object, what: str) -> None:
    """Raise ValueError if k is no whole number of what is to be found."""
    if not isinstance(k, SupportsIndex) or isinstance(k, bool):
        raise ValueError(f"k is {display_value(k)}; set it to a whole number of {what}.")


def check_features(features: Tensor) -> None:
    """Raise ValueError if there are no features, or if one of them holds NaN or infinity."""
    if not len(features):
        raise ValueError("there are no features to search in.")
    check_finite(features)


def check_finite(features: Tensor) -> None:
    """Raise ValueError if one of the features (N, D) holds NaN or infinity."""
    for start in range(0, len(features), BLOCK):
        bad = ~features[start : start + BLOCK].isfinite().all(dim=1)
        if bad.any():
            row = start + int(bad.int().argmax())
            raise ValueError(f"feature {row} holds NaN or infinity; encode the images again.")


# ---- signs -----------------------------------------------------------------------------------


class SignBits:
    """A search that compares signs first: one bit for each number, 1/32 of the memory.

    The `n_rescored` features that have most signs in common with the query are compared with it
    exactly. The others are left out, so one of the true k nearest may be missed.
    """

    def __init__(self, features: Tensor, n_rescored: int = 2000):
        check_features(features)
        self.features = features
        self.n_rescored = n_rescored
        self.bits = pack_signs(features)  # uint64 (D / 64, N)
        self.span = find_span(features)  # (D, D)

    def find_nearest(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Find the k features nearest to a query. See `find_nearest` for what goes in and out."""
        check_query(query)
        query_bits = pack_signs((self.span @ query)[None])  # (D / 64, 1)
        differing = np.zeros(len(self.features), np.uint16)  # how many signs differ
        for words, query_word in zip(self.bits, query_bits, strict=True):
            differing += np.bitwise_count(words ^ query_word)

        n = max(k, self.n_rescored)
        farthest = np.searchsorted(np.bincount(differing).cumsum(), n)  # at least n differ less
        rows = np.flatnonzero(differing <= farthest)
        rows = rows[differing[rows].argsort(kind="stable")[:n]]
        rows = torch.from_numpy(rows)
        scores, nearest = find_nearest(self.features[rows], query, k)
        return scores, rows[nearest]


def pack_signs(features: Tensor) -> np.ndarray:
    """Pack the signs of features (N, D) into uint64 (W, N): W words of 64 signs for each row."""
    N, D = features.shape
    n_words = math.ceil(D / 64)
    words = np.empty((n_words, N), np.uint64)
    for start in range(0, N, BLOCK):
        block = features[start : start + BLOCK]
        positive = np.zeros((len(block), 64 * n_words), bool)
        positive[:, :D] = block.numpy() > 0
        words[:, start : start + BLOCK] = np.packbits(positive, axis=1).view(np.uint64).T
    return words


def find_span(features: Tensor, n_rows: int = 10_000, left_out: float = 0.01) -> Tensor:
    """Find the directions in which features (N, D) differ, as a projection (D, D) onto them.

    What a query holds in other directions changes all scores alike, but it would flip signs. A
    text's feature has much of that. left_out: the share of the variance that is left out, computed
    on about `n_rows` rows.
    """
    sample = features[:: max(1, len(features) // n_rows)]
    centred = sample - sample.mean(dim=0)
    variances, directions = torch.linalg.eigh(centred.T @ centred)  # ascending
    share = variances.cumsum(dim=0) / variances.sum()
    kept = directions[:, share > left_out]  # (D, R)
    return kept @ kept.T


# ---- FAISS -----------------------------------------------------------------------------------


class FaissIndex:
    """A search with FAISS: features in groups, of which only the nearest `n_probed` are searched.

    The numbers are stored in 8 bits. The best 100 features are compared exactly (Johnson et al.
    2017; `IVF,SQ8` in FAISS's own words). It is the fastest for many queries, but making it takes
    much longer than a search. Raises ModuleNotFoundError without the extra `faiss`.
    """

    def __init__(self, features: Tensor, n_probed: int = 32, n_rescored: int = 100):
        try:
            import faiss
        except ModuleNotFoundError:
            message = "this search needs faiss: pip install 'clipnb[faiss]'"
            raise ModuleNotFoundError(message, name="faiss") from None
        check_features(features)
        N, D = features.shape
        self.features = features
        self.n_rescored = n_rescored
        n_groups = math.ceil(math.sqrt(N))
        self.index = faiss.index_factory(D, f"IVF{n_groups},SQ8", faiss.METRIC_INNER_PRODUCT)
        self.index.cp.min_points_per_centroid = 1  # no warnings about few features
        sample = features[:: max(1, N // (50 * n_groups))]  # 50 features for each group
        self.index.train(np.ascontiguousarray(sample.numpy()))
        for start in range(0, N, BLOCK):
            self.index.add(features[start : start + BLOCK].numpy())
        self.index.nprobe = n_probed

    def find_nearest(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Find the k features nearest to a query. See `find_nearest` for what goes in and out."""
        check_query(query)
        n = max(k, self.n_rescored)
        rows = self.index.search(query[None].numpy(), n)[1][0]  # -1 where there are too few
        rows = torch.from_numpy(rows[rows >= 0])
        scores, nearest = find_nearest(self.features[rows], query, k)
        return scores, rows[nearest]
