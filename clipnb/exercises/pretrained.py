"""The exercises of notebook 12: positions, low-rank changes, [EOS], crops, mixed weights."""

from collections.abc import Callable

import torch

from clipnb.exercises import Properties, is_close


def number_of_positions(answer: Callable) -> Properties:
    """Yield the properties of the number of positions in a published ViT."""
    yield "It is a whole number.", answer(224, 32) == int(answer(224, 32))
    yield "An image that is one patch has two positions.", answer(16, 16) == 2
    for image_size, patch_size, n in ((224, 32, 50), (224, 16, 197), (336, 14, 577)):
        yield (
            f"It is right for {image_size} px in patches of {patch_size} px.",
            answer(image_size, patch_size) == n,
        )


def low_rank_size(answer: Callable) -> Properties:
    """Yield the properties of the number of numbers that learn in a low-rank change."""
    yield "A square matrix of 10 with rank 1 has 20.", answer((10, 10), 1) == 20
    yield "Twice the rank is twice as many.", answer((7, 30), 4) == 2 * answer((7, 30), 2)
    yield "It is right for a matrix with more columns than rows.", answer((7, 30), 2) == 74
    yield "It is right for a kernel.", answer((192, 96, 3, 3), 8) == 8 * (192 + 864)


def reading_at_end(answer: Callable) -> Properties:
    """Yield the properties of the outputs at the end of each text."""
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4)  # (B, T, D)
    tokens = torch.tensor([[8, 3, 9, 0, 0], [8, 1, 2, 3, 9], [8, 9, 0, 0, 0]])
    read = answer(x, tokens)
    yield "It has a row for each text.", tuple(read.shape) == (3, 4)
    yield "A text that fills all positions is read at the last one.", is_close(read[1], x[1, 4])
    yield "A short text is read before its padding.", is_close(read[0], x[0, 2])
    yield "The shortest text is read at its second token.", is_close(read[2], x[2, 1])


def middle_square(answer: Callable) -> Properties:
    """Yield the properties of the largest square in the middle of a photo."""
    yield "A square photo stays whole.", tuple(answer(64, 64)) == (0, 0, 64, 64)
    yield "It is right for a wide photo.", tuple(answer(512, 256)) == (128, 0, 384, 256)
    yield "It is right for a high photo.", tuple(answer(300, 500)) == (0, 100, 300, 400)
    left, top, right, bottom = answer(101, 60)
    yield (
        "An odd margin gives whole pixels, and still a square of full height.",
        left == int(left) and right - left == bottom - top == 60,
    )
    yield "It lies in the middle, to within a pixel.", abs(left - (101 - right)) <= 1


def mixed_weights(answer: Callable) -> Properties:
    """Yield the properties of a state dict between two others."""
    first = {"weight": torch.zeros(2, 2), "n_batches": torch.tensor(3)}
    second = {"weight": torch.ones(2, 2), "n_batches": torch.tensor(9)}
    mixed = answer(first, second, 0.25)
    yield "It has the same names.", set(mixed) == set(first)
    yield "A quarter comes from the second.", is_close(mixed["weight"], torch.full((2, 2), 0.25))
    yield (
        "Whole numbers are the second's, and stay whole.",
        mixed["n_batches"].dtype == torch.int64 and int(mixed["n_batches"]) == 9,
    )
    yield (
        "Share 0 gives the first.",
        is_close(answer(first, second, 0.0)["weight"], torch.zeros(2, 2)),
    )
    yield (
        "Share 1 gives the second.",
        is_close(answer(first, second, 1.0)["weight"], torch.ones(2, 2)),
    )
    for tensor in mixed.values():
        tensor.add_(1)
    unchanged = not first["weight"].any() and bool((second["weight"] == 1).all())
    unchanged &= int(first["n_batches"]) == 3 and int(second["n_batches"]) == 9
    yield "Neither of the two is changed, then or later.", unchanged
