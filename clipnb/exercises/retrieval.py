"""The exercises of notebook 05: chance, ranks, thresholds, exclusion, and pairs never seen.

All examples are made by hand, so they hold for any dataset.
"""

from collections.abc import Callable

import torch

from clipnb.exercises import Properties, is_close


def guessing(answer: Callable) -> Properties:
    """Yield the properties of a guesser's recall at k, in percent."""
    yield "Among 1,000 images a guesser has an R@1 of 0.1 %.", is_close(answer(1000, 1), 0.1)
    yield "Among 1,000 images a guesser has an R@10 of 1 %.", is_close(answer(1000, 10), 1)
    yield "Among 40 images a guesser has an R@10 of 25 %.", is_close(answer(40, 10), 25)
    yield "The first ten of ten images hold every image.", is_close(answer(10, 10), 100)
    yield "With five images a guesser's R@10 is 100 %.", is_close(answer(5, 10), 100)


def reciprocal_ranks(answer: Callable) -> Properties:
    """Yield the properties of the mean reciprocal rank."""
    yield "Three perfect ranks give 1.", is_close(answer([1, 1, 1]), 1)
    yield "Two ranks of 2 give a half.", is_close(answer([2, 2]), 0.5)
    yield "The ranks 1 and 4 give 5/8.", is_close(answer([1, 4]), 0.625)
    yield "The order of the queries does not matter.", is_close(answer([4, 1]), answer([1, 4]))
    top_loss = float(answer([1, 100])) - float(answer([2, 100]))
    bottom_loss = float(answer([1, 100])) - float(answer([1, 200]))
    yield "From rank 1 to 2 costs more than from 100 to 200.", top_loss > bottom_loss


def refusing(answer: Callable) -> Properties:
    """Yield the properties of the share of honest queries that a safe threshold refuses."""
    apart = answer(torch.tensor([0.7, 0.8]), torch.tensor([0.5, 0.6]))
    yield "If all honest scores are above all foreign ones, 0 % are refused.", is_close(apart, 0)
    reverse = answer(torch.tensor([0.5, 0.6]), torch.tensor([0.4, 0.9]))
    yield "One foreign score above all honest ones refuses 100 % of them.", is_close(reverse, 100)
    some = answer(torch.tensor([0.6, 0.7, 0.8, 0.9]), torch.tensor([0.65, 0.5, 0.4]))
    yield "If one honest score of four is too low, 25 % are refused.", is_close(some, 25)
    equal = answer(torch.tensor([0.7, 0.8]), torch.tensor([0.7]))
    yield "An honest score that equals the highest foreign one is refused.", is_close(equal, 50)


def excluding(answer: Callable) -> Properties:
    """Yield the properties of a search for one thing and against another."""
    wanted = torch.tensor([1.0, 0.0, 0.0])
    unwanted = torch.tensor([0.0, 1.0, 0.0])
    both = torch.tensor([0.8, 0.6, 0.0])
    images = torch.stack([both, unwanted, 0.99 * wanted, torch.tensor([0.0, 0.0, 1.0])])  # (4, 3)
    order = [int(i) for i in answer(images, wanted, unwanted)]
    yield "The indices of four images are 0, 1, 2 and 3, each once.", sorted(order) == [0, 1, 2, 3]
    yield "The image with the wanted thing alone comes first.", order[0] == 2
    yield "The image with the unwanted thing alone comes last.", order[-1] == 1
    plain = [int(i) for i in answer(images, wanted, torch.zeros(3))]
    yield "If nothing is unwanted, the wanted thing decides.", plain[:2] == [2, 0]
    close = torch.tensor([[0.9, 0.4359, 0.0], [0.8, 0.0, 0.6]])  # the first shows both things
    order = [int(i) for i in answer(close, wanted, unwanted)]
    yield "Less of the wanted thing is better than much of the unwanted one.", order == [1, 0]


def finding_pairs(answer: Callable) -> Properties:
    """Yield the properties of the share of right first hits, with the share by chance beside it."""
    images = torch.eye(4)  # (4 images, 4)
    texts = images[:2]  # (2 queries, 4), whose first hits are the images 0 and 1
    is_right = torch.tensor([[True, False, False, False], [False, True, True, True]])
    found, chance = answer(images, texts, is_right)
    yield "If both first hits are right, 100 % are right.", is_close(found, 100)
    yield "With one right image of four, and then three, chance is 50 %.", is_close(chance, 50)
    found, chance = answer(images, texts, is_right.flip(0))
    yield "If both first hits are wrong, 0 % are right.", is_close(found, 0)
    yield "Chance does not depend on what is found.", is_close(chance, 50)
    found, _ = answer(images, texts, is_right[:1].expand(2, 4))
    yield "If one first hit of two is right, 50 % are right.", is_close(found, 50)
