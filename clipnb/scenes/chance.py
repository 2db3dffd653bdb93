"""Random choices that are the same in every version of Python.

All of them use `rng.random()` alone. Python promises that the numbers it gives for a seed never
change. It does not promise that for `rng.choice` or `rng.uniform`.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

Option = TypeVar("Option")


def pick(rng: random.Random, options: Sequence[Option]) -> Option:
    """Return one of `options`, each with the same chance."""
    return options[int(rng.random() * len(options))]


def maybe(rng: random.Random, chance: float) -> bool:
    """Return True with this chance, which lies in [0, 1]."""
    return rng.random() < chance


def between(rng: random.Random, low: float, high: float) -> float:
    """Return a number between `low` and `high`."""
    return low + (high - low) * rng.random()
