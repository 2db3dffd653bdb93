"""Notebook 09: what the answers to its exercises must fulfil."""

import math
from collections.abc import Callable

import numpy as np

from clipnb.exercises import Properties, is_close
from clipnb.search.duplicates import hash_images


def points_above(answer: float) -> Properties:
    """Yield the properties of a distance above a line in logits."""
    yield "The model is above the line.", answer > 0
    yield "It is a number of points, not a share.", answer > 1
    yield "The line is compared in percent.", is_close(answer, 100 * (0.4 - 1 / (1 + math.e)), 1e-2)


def points_of_small_leak(answer: float) -> Properties:
    """Yield the property of the shift that a small leak makes."""
    yield "It is proportional to the leak.", is_close(answer, 0.88, 1e-2)


def largest_shift(answer: Callable) -> Properties:
    """Yield the properties of the largest shift that leaked photos can make."""
    yield "Without a leak there is no shift.", is_close(answer(0, 1000, 0.06), 0)
    yield "If all photos leak and none was found, it is 100.", is_close(answer(50, 50, 0.0), 100)
    yield "Of a model that finds all, nothing can be moved.", is_close(answer(22, 1000, 1.0), 0)
    yield "Five of 1,000 photos move it by 0.47.", is_close(answer(5, 1000, 0.06), 0.47, 1e-3)


def find_mirrored(answer: Callable) -> Properties:
    """Yield the properties of a search that finds mirrored copies."""
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    hashes = hash_images(images)
    found = np.asarray(answer(images[:4], hashes))
    yield "There is one distance for each query.", found.shape == (4,)
    yield "It still finds plain copies.", (found == 0).all()
    mirrored = np.ascontiguousarray(images[:4, :, :, ::-1])
    yield "It finds mirrored copies.", (np.asarray(answer(mirrored, hashes)) <= 2).all()
    other = np.asarray(answer(images[6:8], hashes[:4]))
    yield "Other images stay far away.", (other > 8).all()


def distance_from_line(answer: Callable) -> Properties:
    """Yield the properties of the distance above a line that is fitted in logits."""

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    painted = [sigmoid(x) for x in (-1.0, 0.0, 1.0, 2.0)]
    others = [sigmoid(0.5 * x - 1) for x in (-1.0, 0.0, 1.0, 2.0)]
    on_line = answer(painted, others, sigmoid(1.5), sigmoid(-0.25))
    yield "A model on the line has 0.", is_close(on_line, 0)
    above = answer(painted, others, sigmoid(1.5), sigmoid(-0.25) + 0.1)
    yield "Ten points more accuracy are ten points.", is_close(above, 10)
    below = answer(painted, others, sigmoid(1.5), sigmoid(-0.25) - 0.1)
    yield "Below the line it is negative.", is_close(below, -10)


def name_style(answer: Callable) -> Properties:
    """Yield the properties of captions that name the style."""
    caption = "two red dogs on the beach ."
    yield "A painted image keeps its caption.", answer(caption, "painted") == caption
    styled = {style: answer(caption, style) for style in ("sketch", "blurred", "noisy")}
    starts = all(text.startswith("two red dogs on the beach") for text in styled.values())
    yield "The words of the caption come first.", starts
    yield "A sketch is named.", styled["sketch"].rstrip(" .").endswith("as a sketch")
    yield "Blur is named.", styled["blurred"].rstrip(" .").endswith("blurred")
    yield "Noise is named.", styled["noisy"].rstrip(" .").endswith("with grain")
