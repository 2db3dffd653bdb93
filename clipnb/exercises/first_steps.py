"""Notebook 00: what the answers to its exercises must fulfil."""

import re
from collections.abc import Callable

import torch

from clipnb.exercises import Properties, is_close


def two_sentences(answer: tuple[str, str]) -> Properties:
    """Yield the properties of two sentences that a bag of words cannot tell apart."""
    # Words and punctuation marks, as the tokenizer separates them.
    first, second = (re.findall(r"\w+|[^\w\s]", text.lower().strip(" .")) for text in answer)
    n_words = [sum(piece.isalnum() for piece in pieces) for pieces in (first, second)]
    yield "Each sentence has at least five words.", min(n_words) >= 5
    yield "The sentences are different.", first != second
    yield "The model cannot tell them apart.", sorted(first) == sorted(second)


def right_of_a_hundred(answer: float) -> Properties:
    """Yield the property of the number of right guesses in a game of any size."""
    yield "It is the average number of right guesses.", is_close(answer, 1)


def play(answer: Callable) -> Properties:
    """Yield the properties of a player who reads a table of scores (images, sentences)."""
    scores = torch.tensor([[0.1, 0.9], [0.7, 0.2], [0.3, 0.5]])
    yield "There is one choice for each sentence.", len(answer(scores)) == 2
    yield "A choice is the row with the highest score.", list(answer(scores)) == [1, 0]
    negative = torch.tensor([[-0.9, -0.2], [-0.3, -0.8]])
    yield "Negative scores work too.", list(answer(negative)) == [1, 0]
    many = torch.rand(20, 30, generator=torch.Generator().manual_seed(0))
    expected = many.argmax(dim=0).tolist()
    yield "It holds for a large table.", [int(row) for row in answer(many)] == expected
