"""Tags: is this in the image, yes or no? Words and linear probes answer in average precision.

Every class of every attribute is a task of its own, so that there are many tasks.
"""

from collections.abc import Sequence

import numpy as np

from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import ATTRIBUTES
from clipnb.experiments.nouns import average_precisions
from clipnb.experiments.probes import Split, fit_probe
from clipnb.scenes import KINDS
from clipnb.scenes.sentences import tell_place
from clipnb.scenes.words import NOUN_FORMS

Tag = tuple[str, str | int]  # an attribute and one of its classes, such as ("kind", "dog")
SCENE_TAGS: tuple[Tag, ...] = tuple(
    (attribute, value) for attribute, values in ATTRIBUTES.items() for value in values
)
TAG_C = (1.0, 10.0, 100.0, 1000.0)  # to choose from, for features of mean square length 1
COUNTS = (1, 2, 3)
NUMBER_WORDS = {1: "a", 2: "two", 3: "three"}  # as the captions number things


def tag_truth(dataset: CaptionDataset, tags: Sequence[Tag] = SCENE_TAGS) -> np.ndarray:
    """Tell which tags each image of scenes shows, bool (N, L), by any of its things."""
    truth = np.zeros((len(dataset.labels), len(tags)), dtype=bool)
    for row, label in enumerate(dataset.labels):
        for column, (attribute, value) in enumerate(tags):
            owners = [label] if attribute == "place" else label["objects"]
            truth[row, column] = any(owner[attribute] == value for owner in owners)
    return truth


def describe_tag(tag: Tag) -> list[str]:
    """Return sentences that tell a tag, in every number: "a red dog", "two red dogs", and so on.

    What the tag leaves open takes all its values: the kind, and the count. A caption tells a number
    and a noun in nearly every case.
    """
    attribute, value = tag
    adjective = value if attribute in ("colour", "size") else ""
    place = tell_place(value) if attribute == "place" else ""
    kinds = [value] if attribute == "kind" else KINDS
    counts = [value] if attribute == "count" else COUNTS
    return [tell_count(kind, n, adjective, place) for kind in kinds for n in counts]


def tell_count(kind: str, count: int, adjective: str = "", place: str = "") -> str:
    """Tell how many things of a kind there are: "two dogs", "an orange dog on the beach"."""
    noun = NOUN_FORMS[kind].plain[0][count > 1]
    number = NUMBER_WORDS[count]
    if count == 1 and adjective.startswith(tuple("aeiou")):
        number = "an"
    return " ".join(filter(None, [number, adjective, noun, place]))


def probe_tags(
    features: Sequence[np.ndarray], truths: Sequence[np.ndarray]
) -> tuple[np.ndarray, float]:
    """Score the test images by a probe for each tag. Returns (N, L) and the mean precision on dev.

    features: (N, D) of the pool, of validation and of the test. truths: bool (N, L) of the first
    two. One C serves all tags. It is the one of `TAG_C` with the best mean average precision on the
    validation images.
    """
    pool, validation, test = features
    best, best_precision = np.empty(0), -1.0
    for C in TAG_C:
        probes = [fit_probe(Split(pool, own), C) for own in truths[0].T]
        scores = np.stack([probe.decision_function(validation) for probe in probes], axis=1)
        precision = float(np.nanmean(average_precisions(scores, truths[1])))
        if precision > best_precision:
            best, best_precision = probes, precision
    scores = np.stack([probe.decision_function(test) for probe in best], axis=1)
    return scores.astype(np.float32), best_precision


def probe_untaught(
    towers: Sequence[tuple[Sequence[np.ndarray], np.ndarray]], truths: Sequence[np.ndarray]
) -> np.ndarray:
    """Score each tag by a probe on the first tower that was not taught it. Returns (N, L).

    towers: the features of each (see `probe_tags`), and which tags it was taught, bool (L,).
    Raises ValueError if a tag was taught to all of them.
    """
    taught_to_all = np.all([taught for _, taught in towers], axis=0)
    if taught_to_all.any():
        raise ValueError(f"{taught_to_all.sum()} tags were taught to every tower.")
    left = np.ones_like(taught_to_all)  # tags without a score so far
    scores = np.zeros((len(towers[0][0][-1]), len(left)), dtype=np.float32)
    for features, taught in towers:
        columns = left & ~taught
        if columns.any():
            scores[:, columns], _ = probe_tags(features, [truth[:, columns] for truth in truths])
        left &= taught
    return scores
