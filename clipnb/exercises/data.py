"""Notebook 01: what the answers to its exercises must fulfil."""

from collections.abc import Callable

from clipnb.exercises import Properties, is_close


def leaking_share(answer: float) -> Properties:
    """Yield the properties of the leak of ten captions an image and half of the rows."""
    yield "It is a share between 0 and 1.", 0 <= answer <= 1
    yield "An image that misses train has all its other rows in the test.", answer > 0.99
    yield "It is right to the third digit.", is_close(answer, 1 - 2**-9, 5e-4)


def first_merge(answer: tuple[str, str]) -> Properties:
    """Yield the properties of the first pair that BPE joins."""
    counts = {("e", "s"): 9, ("s", "t/"): 9, ("l", "o"): 7, ("w", "e"): 8, ("n", "e"): 6}
    pair = tuple(piece.replace("</w>", "/") for piece in answer)
    yield "It is a pair of pieces.", len(pair) == 2
    yield "No other pair occurs more often.", counts.get(pair, 0) == 9
    yield "Of equally frequent pairs it is the one that comes first.", pair == ("e", "s")


def leak_after_repair(answer: float) -> Properties:
    """Yield the property of the leak that is left when equal sentences are dropped."""
    yield "It is the percentage of test rows whose image is in train.", 99 < answer < 99.95


def split_three(answer: Callable) -> Properties:
    """Yield the properties of a split by images into train, dev and test."""
    ids = [f"{i % 1000:03d}.jpg" for i in range(5000)]  # 1,000 images with five rows each
    parts = [list(part) for part in answer(ids)]
    yield "It returns three lists.", len(parts) == 3
    yield "Every row is in exactly one part.", sorted(sum(parts, [])) == list(range(5000))
    train, dev, test = ({ids[i] for i in part} for part in parts)
    yield "No image is in two parts.", not (train & dev or train & test or dev & test)
    yield "About 80 % of the images are in train.", 760 <= len(train) <= 840
    yield "Dev and test have about 10 % each.", all(70 <= len(part) <= 130 for part in (dev, test))
    again = [list(part) for part in answer(ids)]
    yield "The same call gives the same split.", again == parts
    yield (
        "The images are not taken in the order of their names.",
        not any(is_in_order(part) for part in (dev, test)),
    )


def is_in_order(names: set[str]) -> bool:
    """Tell whether names such as 007.jpg follow each other without a gap."""
    numbers = [int(name.removesuffix(".jpg")) for name in names]
    return max(numbers) - min(numbers) == len(numbers) - 1


def best_teacher(answer: int) -> Properties:
    """Yield the property of the person who names most colours."""
    yield "It is a person from 1 to 5.", answer in range(1, 6)
    yield "Nobody names the colour more often.", answer == 2


def enough_entries(answer: float) -> Properties:
    """Yield the properties of the vocabulary's size from which a larger one changes nothing."""
    yield "A smaller vocabulary makes longer sentences.", answer >= 450
    yield "A vocabulary of that size already holds every word.", answer <= 690
