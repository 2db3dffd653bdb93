"""Precision of short queries: how many of the first ten images found show what a word says.

Recall asks for the one image of a whole caption. People type one word, for which many images are
right, so the share of right images among the first ten tells more about a search.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from clipnb.datasets import CaptionDataset
from clipnb.scenes import COLOURS, KINDS, PLACES
from clipnb.search.bank import FUNCTION_WORDS
from clipnb.search.nearest import find_nearest
from clipnb.search.words import find_words

Truth = dict[str, dict[str, Tensor]]  # by category and text: bool (N,), the images that are right

N_WORDS = 50  # frequent words, where no words are named
MOST_COMMON = 0.3  # of the images, that such a word may be said of: more is easy to guess
IRREGULAR_PLURALS = {"man": "men", "woman": "women", "child": "children"}


def find_truth(dataset: CaptionDataset, words: Sequence[str] | None = None) -> Truth:
    """Find which images of a dataset are right for which words.

    With labels (the scenes) the categories are kinds, colours, places, and two-word texts such as
    "red dog" and "dog beach". Without labels the one category is words: an image is right if one of
    its captions says the word, in the singular or the plural. words: by default the most frequent
    ones, function words aside.
    """
    if dataset.labels:
        return find_truth_in_labels(dataset.labels)
    said = [set(find_words(" ".join(own))) for own in dataset.captions]
    words = find_frequent_words(said) if words is None else words
    return {"words": {word: mark(bool(list_forms(word) & own) for own in said) for word in words}}


def find_truth_in_labels(labels: Sequence[dict]) -> Truth:
    """Find which scenes are right for kinds, colours, places, and pairs of them."""
    kinds = [{each["kind"] for each in label["objects"]} for label in labels]
    colours = [{each["colour"] for each in label["objects"]} for label in labels]
    pairs = [{(each["colour"], each["kind"]) for each in label["objects"]} for label in labels]
    places = [label["place"] for label in labels]
    return {
        "kinds": {kind: mark(kind in own for own in kinds) for kind in KINDS},
        "colours": {colour: mark(colour in own for own in colours) for colour in COLOURS},
        "places": {place: mark(place == own for own in places) for place in PLACES},
        "colour and kind": {
            f"{colour} {kind}": mark((colour, kind) in own for own in pairs)
            for colour in COLOURS
            for kind in KINDS
        },
        "kind and place": {
            f"{kind} {place}": mark(
                kind in own and place == where for own, where in zip(kinds, places, strict=True)
            )
            for kind in KINDS
            for place in PLACES
        },
    }


def mark(right: Iterable[bool]) -> Tensor:
    """Turn N truth values into a tensor, bool (N,)."""
    return torch.tensor(list(right), dtype=torch.bool)


def find_frequent_words(said: Sequence[set[str]]) -> list[str]:
    """Find the words that most images are said to show, without those that nearly all are."""
    counts = {}
    for own in said:
        for word in own - FUNCTION_WORDS:
            counts[word] = counts.get(word, 0) + 1
    frequent = [word for word in counts if counts[word] <= MOST_COMMON * len(said)]
    return sorted(frequent, key=lambda word: (-counts[word], word))[:N_WORDS]


def list_forms(noun: str) -> set[str]:
    """Return the singular of a noun and the spellings that its plural may have."""
    return {noun, IRREGULAR_PLURALS.get(noun, f"{noun}s"), f"{noun}es"}


def measure_word_precision(
    image_features: Tensor,
    truth: Truth,
    encode: Callable[[str], Tensor],
    k: int = 10,
) -> dict[str, dict]:
    """Measure the share of right images among the first k for each text, in percent.

    image_features: (N, D). truth: from `find_truth`. encode: turns a text into a feature (D,), for
    example `index.encode` or `bank.expand`. Returns for each category "precision", its mean over
    the texts; "chance", the same for images in random order; and "texts", the precision of each
    text. Texts with fewer than k right images are left out: they could not reach 100. Raises
    ValueError for NaN or infinity in the features.
    """
    summary = {}
    for category, texts in truth.items():
        precisions, shares = {}, []
        for text, right in texts.items():
            if right.sum() < k:
                continue
            _, first = find_nearest(image_features, encode(text), k)
            precisions[text] = 100 * right[first].double().mean().item()
            shares.append(100 * right.double().mean().item())
        if precisions:
            summary[category] = {
                "precision": sum(precisions.values()) / len(precisions),
                "chance": sum(shares) / len(shares),
                "texts": precisions,
            }
    return summary
