"""Notebook 08: what the answers to its exercises must fulfil."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from clipnb.exercises import Properties, is_close


def crossing_at(answer: float) -> Properties:
    """Yield the properties of a crossing that is read on a log axis."""
    yield "It lies between the two measured points.", 2 < answer < 8
    yield "It lies halfway on the log axis.", is_close(answer, 4, 1e-3)


def n_numbers(answer: int) -> Properties:
    """Yield the properties of the size of a linear probe."""
    yield "Each of the twelve classes has a direction of 512 numbers.", answer >= 12 * 512
    yield "Each class has an offset, too.", answer == 12 * 512 + 12


def median_worth(answer: float) -> Properties:
    """Yield the properties of a median of 2, 8, 5, 30 and a number above 128."""
    yield "It is one of the known numbers.", answer in (2, 5, 8, 30)
    yield "As many classes lie below it as above it.", answer == 8


def mix_columns(answer: Callable) -> Properties:
    """Yield the properties of a mixture of the columns of words and of a probe."""
    generator = torch.Generator().manual_seed(0)
    words = F.normalize(torch.randn(8, 3, generator=generator), dim=0)
    probe = 5 * torch.randn(8, 3, generator=generator)
    yield "A share of 0 leaves the words alone.", is_close(answer(words, probe, 0.0), words)
    added = torch.as_tensor(answer(words, probe, 0.5)) - words
    yield (
        "What is added has the length of the share.",
        is_close(added.norm(dim=0), torch.full((3,), 0.5)),
    )
    yield (
        "It points where the probe points.",
        is_close(F.normalize(added, dim=0), F.normalize(probe, dim=0)),
    )


def classify_by_prototypes(answer: Callable) -> Properties:
    """Yield the properties of a classifier by the nearest mean."""
    rng = np.random.default_rng(0)
    # The second class lies nearly behind the first, three times as far from the middle.
    centres = np.array([[1, 0.5, 0], [3, -0.5, 0], [-4, 0, 0]])
    labels = np.repeat(np.arange(3), 20)
    features = centres[labels] + 0.1 * rng.standard_normal((60, 3))
    queries = centres[[2, 0, 1]] + 0.1 * rng.standard_normal((3, 3))
    guesses = np.asarray(answer(features, labels, queries))
    yield "There is one label for each query.", guesses.shape == (3,)
    yield "Clear queries are classified right.", guesses.tolist() == [2, 0, 1]
    unclear = rng.standard_normal((200, 3))
    guesses = np.asarray(answer(features, labels, unclear))
    shifted = np.asarray(answer(features - 100, labels, unclear - 100))
    yield "The place of the origin does not matter.", shifted.tolist() == guesses.tolist()
    one_each = np.asarray(answer(features[[0, 20, 40]], labels[[0, 20, 40]], queries))
    yield "One example a class is enough to answer.", one_each.tolist() == [2, 0, 1]


def counting_sentences(answer: Callable) -> Properties:
    """Yield the properties of sentences that count one, two and three things."""
    sentences = list(answer("dog", "red"))
    yield "There are three sentences.", len(sentences) == 3
    yield "Each names the colour.", all("red" in sentence.split() for sentence in sentences)
    yield "The first has the singular.", "dog" in sentences[0].split()
    yield "The others have the plural.", all("dogs" in text.split() for text in sentences[1:])
    counts = "two" in sentences[1].split() and "three" in sentences[2].split()
    yield "The second says two, the third says three.", counts
    yield "The plural of fish is fish.", "fish" in list(answer("fish", "blue"))[2].split()
