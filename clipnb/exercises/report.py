"""Notebook 14: what the answers to its exercises must fulfil."""

import math
from collections.abc import Callable

import numpy as np

from clipnb.claims.verdicts import NOT_REACHED, VERDICTS, judge_interval
from clipnb.exercises import Properties, is_close


def verdict_of_an_interval(answer: str) -> Properties:
    """Yield the properties of the verdict on an interval of 0.6 to 3.1 points, margin 1.25."""
    yield f"It is one of {', '.join(VERDICTS)}.", answer in VERDICTS
    expected = judge_interval(0.6, 3.1, 1.25, "difference")
    yield "It follows the rule of section 2.", answer == expected


def verdict_on_a_blank(answer: str) -> Properties:
    """Yield the properties of the verdict on two models that have learned nothing."""
    yield f"It is one of {', '.join(VERDICTS)}.", answer in VERDICTS
    yield "A verdict about models that know nothing is no evidence.", answer == NOT_REACHED


def narrower(answer: Callable) -> Properties:
    """Yield the properties of the gains of more images and of more seeds."""
    half = 100 * (1 - math.sqrt(0.5))
    with_images, with_seeds = answer(4.0, 0.0)
    yield "Without noise of the seeds, more seeds gain nothing.", is_close(with_seeds, 0)
    yield "Then twice the images shrink it by a root of two.", is_close(with_images, half)
    with_images, with_seeds = answer(0.0, 9.0)
    yield "Without noise of the images it is the other way round.", is_close(with_seeds, half)
    with_images, with_seeds = answer(3.0, 1.0)
    yield "The larger variance is the one to reduce.", with_images > with_seeds > 0
    yield "The numbers are right.", is_close(with_images, 100 * (1 - math.sqrt(2.5 / 4)))


def holm(answer: Callable) -> Properties:
    """Yield the properties of p-values that are corrected after Holm."""
    yield "A single test needs no correction.", np.allclose(answer([0.03]), [0.03])
    yield "The smallest of two is doubled.", is_close(answer([0.01, 0.5])[0], 0.02)
    yield "The largest stays as it is.", is_close(answer([0.01, 0.5])[1], 0.5)
    yield "The order of the tests does not matter.", np.allclose(answer([0.5, 0.01]), [0.5, 0.02])
    # 0.03 times 2 is 0.06, and 0.04 times 1 would be less than that.
    corrected = answer([0.01, 0.04, 0.03, 0.005])
    yield (
        "A larger p-value is never corrected to a smaller one.",
        np.allclose(corrected, [0.03, 0.06, 0.06, 0.02]),
    )
    yield "No p-value is above 1.", max(answer([0.9, 0.8, 0.7])) <= 1


def compute_lead(answer: Callable) -> Properties:
    """Yield the properties of an effect: by how many points words beat guessing."""
    outcomes = {"words": np.array([True, True, False, False]), "_kind": np.arange(4)}
    yield (
        "Half of the answers right is 50 minus 100/12 points.",
        is_close(answer(outcomes), 50 - 100 / 12),
    )
    nothing = {"words": np.zeros(24, bool)}
    yield "Nothing right is 100/12 points below guessing.", is_close(answer(nothing), -100 / 12)
    drawn = {"words": np.array([True, True, True, False, False, False, False, False])}
    yield "It is a number for any draw of the images.", is_close(answer(drawn), 37.5 - 100 / 12)
