"""Simulated outcomes of the experiments on retrieval: guesses, and what the paper reports."""

import numpy as np

from clipnb.claims.words.retrieval import DIRECTIONS, NAMES
from clipnb.metrics import RECALL_AT

N, K = 1000, 5
TABLE_13 = {"image to text": (0.880, 0.987, 0.994), "text to image": (0.687, 0.906, 0.952)}
OURS = {"image to text": (0.06, 0.18, 0.26), "text to image": (0.06, 0.18, 0.26)}  # in a pilot
PREFIX = 0.015  # of R@1


def draw_hits(rng, recalls, n_queries):
    """Draw nested hits at R@1, R@5 and R@10 of N images with some queries each, (3, N)."""
    luck = rng.random((N, n_queries))
    return [(luck < recall).mean(axis=1) for recall in recalls]


def simulate_hits(rng, recalls):
    """Simulate the hits of both directions: {direction R@k: (N,)}."""
    outcomes = {}
    for direction, n_queries in zip(DIRECTIONS, (1, K), strict=True):
        hits = draw_hits(rng, recalls[direction], n_queries)
        outcomes |= {f"{direction} R@{k}": own for k, own in zip(RECALL_AT, hits, strict=True)}
    return outcomes


def simulate_retrieval(kind, seed):
    """Simulate the recalls of Table 13, or those of a guess among N images."""
    rng = np.random.default_rng(seed)
    guess = dict.fromkeys(DIRECTIONS, [k / N for k in RECALL_AT])
    return simulate_hits(rng, guess if kind == "blank" else TABLE_13), {}


def simulate_prefix(kind, seed):
    """Simulate hits of plain captions, and with a prefix that makes misses hits.

    A blank prefix changes as many queries for the better as for the worse.
    """
    rng = np.random.default_rng(seed)
    gain = 0 if kind == "blank" else PREFIX + 0.002 * rng.normal()
    outcomes = {}
    for direction, n_queries in zip(DIRECTIONS, (1, K), strict=True):
        luck = rng.random((N, n_queries))
        moved = rng.random((N, n_queries)) < 0.3  # the queries whose rank the prefix changes
        other_luck = np.where(moved, rng.random((N, n_queries)), luck)
        for k, recall in zip(RECALL_AT, OURS[direction], strict=True):
            for name, own, extra in zip(NAMES, (luck, other_luck), (0, gain), strict=True):
                outcomes[f"{name}, {direction} R@{k}"] = (own < recall + extra).mean(axis=1)
    return outcomes, {}


SIMULATIONS = {
    "retrieval": simulate_retrieval,
    "retrieval_scenes": simulate_retrieval,
    "retrieval_prefix": simulate_prefix,
}
