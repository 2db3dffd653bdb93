"""Transfer: classes against chance, words that captions use, nouns that both worlds know."""

import numpy as np
import pytest

from clipnb.claims.words import transfer
from clipnb.datasets import CaptionDataset
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.scenes.words import NOUN_FORMS, PLACE_PHRASES


def make_outcomes(right):
    """Return outcomes with two images of each class, of which `right` tells who is named."""
    outcomes = {"captions": [200] * 8 + [0] * 20}
    for task, names in transfer.TASKS.items():
        outcomes[f"_{task}"] = np.repeat(np.arange(len(names)), 2)
        outcomes[task] = np.tile(right, len(names))
        outcomes[f"{task}, z-scores"] = np.ones(2 * len(names), bool)
    return outcomes


def test_every_class_is_measured_against_the_chance_of_its_task():
    outcomes = make_outcomes([True, False])
    by_class = transfer.above_chance(outcomes)
    assert by_class == pytest.approx([37.5] * 16 + [50 - 100 / 12] * 12)
    scaled = transfer.above_chance_by_z_scores(outcomes)
    assert scaled == pytest.approx([87.5] * 16 + [100 - 100 / 12] * 12)
    assert transfer.often_named_above_chance(outcomes) == pytest.approx([37.5] * 8)


def test_captions_count_once_for_a_word_in_either_number():
    captions = [["A red dog and a red ball", "two dogs on a beach"]]
    images = np.zeros((1, 3, 8, 8), np.uint8)
    dataset = CaptionDataset("toy", "train", images, captions, ["x"])
    counts = transfer.count_captions(dataset)
    names = [name for names in transfer.TASKS.values() for name in names]
    counted = dict(zip(names, counts, strict=True))
    assert (counted["red"], counted["dog"], counted["beach"], counted["cat"]) == (1, 2, 1, 0)


def test_the_nouns_of_both_worlds_stand_in_captions_of_scenes():
    phrases = [phrase for own in PLACE_PHRASES.values() for phrase in own.ground + own.nouns]
    words = {word for phrase in phrases for word in phrase.split()} | set(NOUN_FORMS)
    assert set(transfer.SCENE_NOUNS) == words & set(NOUN_CLASSES)
