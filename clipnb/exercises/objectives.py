"""Notebook 07: what the answers to its exercises must fulfil."""

import math
import random
from collections.abc import Callable

import torch
import torch.nn.functional as F

from clipnb.exercises import Properties, is_close


def fresh_loss(answer: float) -> Properties:
    """Yield the property of the loss of an even guess among 1,000 words."""
    yield "It is the cross-entropy of an even guess, in nats.", is_close(answer, math.log(1000))


def images_needed(answer: float) -> Properties:
    """Yield the properties of a point between two others on a log axis."""
    yield "It lies between the two points.", 1000 < answer < 4000
    yield "It lies halfway on the log axis.", is_close(answer, 2000, 1e-3)


def average_ratios(answer: Callable) -> Properties:
    """Yield the properties of the mean of ratios on the log scale."""
    yield "One ratio is its own mean.", is_close(answer([3.0]), 3.0)
    yield "Half as many and twice as many cancel.", is_close(answer([0.5, 2.0]), 1.0)
    ratios = [0.5, 1.0, 4.0]
    turned = [1 / ratio for ratio in ratios]
    yield "Upside down, the mean turns too.", is_close(answer(turned), 1 / answer(ratios))
    yield "The mean of ½, 1 and 4 is the third root of 2.", is_close(answer(ratios), 2 ** (1 / 3))


def yes_or_no_loss(answer: Callable) -> Properties:
    """Yield the properties of a yes-or-no loss for each word."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 7, generator=generator)
    present = (torch.rand(4, 7, generator=generator) < 0.3).float()
    yield "It returns one number.", torch.as_tensor(answer(logits, present)).ndim == 0
    fresh = answer(torch.zeros(4, 7), present)
    yield "Saying perhaps to every word costs ln 2.", is_close(fresh, math.log(2))
    certain = 30 * (2 * present - 1)
    yield "Certain and right costs nothing.", float(answer(certain, present)) < 1e-6
    yield "Certain and wrong costs much.", float(answer(-certain, present)) > 10
    expected = F.binary_cross_entropy_with_logits(logits, present)
    yield "It is right for random logits.", is_close(answer(logits, present), expected)
    huge = torch.full((1, 2), 200.0)
    yield "It stays finite for large logits.", math.isfinite(answer(huge, torch.zeros(1, 2)))


def recall_at_10(answer: Callable) -> Properties:
    """Yield the properties of the share of rows that find their own number in the first ten."""
    right = torch.arange(30)[:, None]
    best_first = torch.stack([torch.roll(torch.arange(30), -i) for i in range(30)])
    yield "A perfect ranking gives 1.", is_close(answer(best_first), 1)
    tenth = torch.roll(best_first, 9, dims=1)
    yield "The tenth place still counts.", is_close(answer(tenth), 1)
    eleventh = torch.roll(best_first, 10, dims=1)
    yield "The eleventh place does not.", is_close(answer(eleventh), 0)
    half = torch.where(right < 15, tenth, eleventh)
    yield "It is the share of the rows.", is_close(answer(half), 0.5)


def add_noise(answer: Callable) -> Properties:
    """Yield the properties of a caption with four made-up words behind it."""
    made_up = [f"{letter}xq" for letter in "bcdfghjklmnp"]
    caption = "a red dog on the beach ."
    words = answer(caption, made_up, random.Random(0)).rstrip(" .").split()
    yield (
        "The words of the caption come first.",
        words[:6] == ["a", "red", "dog", "on", "the", "beach"],
    )
    noise = [word for word in words if word in made_up]
    yield "Four made-up words follow.", len(noise) == 4 and words[-4:] == noise
    texts = {answer(caption, made_up, random.Random(seed)) for seed in range(20)}
    yield "Another draw gives other words.", len(texts) > 10
