"""Notebook 14: what the answers to its exercises must fulfil."""

import math
from collections.abc import Callable

from clipnb.exercises import Properties, is_close
from clipnb.experiments.experiment import VERDICTS
from clipnb.experiments.verdicts import combine_verdicts


def n_outside(answer: int) -> Properties:
    """Yield the property of the number of experiments with a seed outside of the interval."""
    yield "It is the number of experiments with a value outside of the interval.", answer == 0


def verdict_of_three(answer: str) -> Properties:
    """Yield the properties of a verdict over three experiments."""
    yield f"It is one of {', '.join(VERDICTS)}.", answer in VERDICTS
    combined = combine_verdicts(["replicated", "contradicted", "not at this scale"])
    yield "It follows the rule of section 1.", answer == combined


def narrower(answer: Callable) -> Properties:
    """Yield the properties of the gains of more images and of more seeds."""
    half = 100 * (1 - math.sqrt(0.5))
    with_images, with_seeds = answer(4.0, 0.0)
    yield "Without noise of the seeds, six seeds gain nothing.", is_close(with_seeds, 0)
    yield "Then twice the images shrink it by a root of two.", is_close(with_images, half)
    with_images, with_seeds = answer(0.0, 9.0)
    yield "Without noise of the images it is the other way round.", is_close(with_seeds, half)
    with_images, with_seeds = answer(3.0, 1.0)
    yield "The larger variance is the one to reduce.", with_images > with_seeds > 0
    yield "The numbers are right.", is_close(with_images, 100 * (1 - math.sqrt(2.5 / 4)))


def judge_guess(answer: Callable) -> Properties:
    """Yield the properties of a judge of the claim that a guesser is right by chance."""
    inside = answer({"accuracy": {"interval": [6.0, 18.0], "mean": 12.0}})
    yield "It returns a verdict and a reason.", len(inside) == 2 and isinstance(inside[1], str)
    yield "An interval that holds 100/12 replicates.", inside[0] == "replicated"
    above = answer({"accuracy": {"interval": [8.5, 9.1], "mean": 8.8}})
    yield "An interval above it contradicts.", above[0] == "contradicted"
    below = answer({"accuracy": {"interval": [7.6, 8.2], "mean": 7.9}})
    yield "An interval below it contradicts, too.", below[0] == "contradicted"
