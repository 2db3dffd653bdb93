"""The exercises of notebook 11: decay as memory, averages, Muon's depth, seeds, mirrors, crops."""

import math
from collections.abc import Callable

import torch

from clipnb.exercises import Properties, is_close


def decay_memory(answer: Callable) -> Properties:
    """Yield the properties of the memory of a weight, in epochs, to within a percent."""
    yield (
        "A constant learning rate of 0.001 with decay 1 and ten steps an epoch gives 100.",
        is_close(answer(0.001, 1.0, 10), 100, 0.01),
    )
    short, long = answer(0.008, 1.0, 46), answer(0.004, 1.0, 46)
    yield "Half the learning rate gives twice the memory.", is_close(long, 2 * short, 0.01)
    yield (
        "Twice the weight decay gives half the memory.",
        is_close(answer(0.008, 2.0, 46), short / 2, 0.01),
    )
    yield (
        "With more steps in an epoch, the memory is fewer epochs long.",
        answer(0.008, 1.0, 460) < short,
    )


def average_share(answer: Callable) -> Properties:
    """Yield the properties of the share that the latest steps have in a running average."""
    yield "With d = 0.9, the latest step has a tenth.", is_close(answer(0.9, 1), 0.1)
    yield "With d = 0.9, the latest two steps have 0.19.", is_close(answer(0.9, 2), 0.19)
    yield "No steps have no share.", abs(answer(0.5, 0)) < 1e-9
    weights = [0.02 * 0.98**age for age in range(50)]
    yield (
        "With d = 0.98, the latest 50 steps have the sum of their weights.",
        is_close(answer(0.98, 50), math.fsum(weights)),
    )


def number_of_seeds(answer: Callable) -> Properties:
    """Yield the properties of the number of seeds that show a gain."""
    yield "It is a whole number.", answer(1.0, 0.4) == int(answer(1.0, 0.4))
    for gain, noise in ((0.5, 0.43), (0.3, 0.43), (1.1, 0.7)):
        n = int(answer(gain, noise))
        yield (
            f"With so many seeds, a gain of {gain} is larger than its margin.",
            n > 0 and 2 * noise * math.sqrt(2 / n) <= gain,
        )
        yield (
            f"With one seed less, a gain of {gain} is smaller than its margin.",
            n > 1 and 2 * noise * math.sqrt(2 / (n - 1)) > gain,
        )


def mirrored_caption(answer: Callable) -> Properties:
    """Yield the properties of a caption whose image is mirrored."""
    yield "Left becomes right.", answer("a dog left of a cat") == "a dog right of a cat"
    yield "Right becomes left.", answer("a dog right of a cat") == "a dog left of a cat"
    both = "on the left a dog , on the right a cat"
    yield (
        "Both sides may stand in one caption.",
        answer(both) == "on the right a dog , on the left a cat",
    )
    yield "A caption without sides stays as it is.", answer("two red balls") == "two red balls"
    yield (
        "Parts of longer words stay as they are.",
        answer("a bright cleft in a leftover") == "a bright cleft in a leftover",
    )
    yield "A capital letter stays a capital letter.", answer("Left of a tree") == "Right of a tree"
    yield "Mirroring twice gives back the caption.", answer(answer(both)) == both


def newton_schulz_steps(answer: Callable) -> Properties:
    """Yield the properties of the number of steps until all singular values are above 0.5."""
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(30, 12, dtype=torch.float64))

    def make_matrix(smallest: float) -> torch.Tensor:
        values = torch.linspace(math.log(smallest), 0, 12, dtype=torch.float64).exp()
        return left @ torch.diag(values) @ right.T

    yield "A matrix whose directions are equally long needs few steps.", answer(make_matrix(1)) <= 2
    shallow, deep = answer(make_matrix(1e-2)), answer(make_matrix(1e-6))
    yield "It is a whole number.", deep == int(deep)
    for smallest, n_steps in ((1e-2, shallow), (1e-6, deep)):
        values = torch.linalg.svdvals(make_matrix(smallest))
        values = values / values.norm()
        lowest = []  # after each step
        for _ in range(40):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
            lowest.append(values.min().item())
        first = 1 + next(i for i, value in enumerate(lowest) if value > 0.5)
        yield f"It is right for a smallest singular value of {smallest:g}.", n_steps == first
    yield "It does not depend on the length of the matrix.", answer(100 * make_matrix(1e-6)) == deep


def crop_magnification(answer: Callable) -> Properties:
    """Yield the properties of the mean magnification of random crops."""
    yield "Whole images are not magnified.", is_close(answer(1.0), 1)
    for area in (0.75, 0.5, 0.25):
        areas = torch.linspace(area, 1, 200_001, dtype=torch.float64)
        mean = torch.trapezoid(1 / areas.sqrt(), areas).item() / (1 - area)
        yield (
            f"It is right for crops of at least {area:.0%} of the area.",
            is_close(answer(area), mean, tolerance=1e-3),
        )
