"""Sentences about a scene: true ones, and ones that are wrong in one fact."""

import random

import pytest

from clipnb.scenes.sentences import FACTS, tell, tell_thing, tell_wrongly

DOG = {"kind": "dog", "colour": "red", "size": "small", "count": 2}
CAR = {"kind": "car", "colour": "blue", "size": "large", "count": 1}
SCENE = {"place": "beach", "objects": [DOG, CAR], "relation": "left of"}
LONE_DOG = {"place": "night", "objects": [DOG], "relation": None}


def test_a_scene_is_told_in_plain_words():
    assert tell(SCENE) == "two red dogs left of one blue car on the beach"
    assert tell(LONE_DOG) == "two red dogs at night"
    assert tell_thing("fish", "black", 3) == "three black fish"


@pytest.mark.parametrize("fact", FACTS)
def test_a_wrong_sentence_is_wrong_in_one_fact(fact):
    rng = random.Random(0)
    for _ in range(20):
        wrong = tell_wrongly(SCENE, fact, rng)
        assert wrong != tell(SCENE)
        same_words = sorted(wrong.split()) == sorted(tell(SCENE).split())
        assert same_words == (fact == "whose colour")
    assert tell(SCENE) == "two red dogs left of one blue car on the beach", "the label is unchanged"


def test_a_fact_that_a_scene_does_not_have_cannot_be_wrong():
    rng = random.Random(0)
    assert tell_wrongly(LONE_DOG, "relation", rng) is None
    assert tell_wrongly(LONE_DOG, "whose colour", rng) is None
    alike = SCENE | {"objects": [DOG, CAR | {"colour": "red"}]}
    assert tell_wrongly(alike, "whose colour", rng) is None


def test_two_facts_are_told_wrongly_as_expected():
    rng = random.Random(0)
    assert tell_wrongly(SCENE, "relation", rng) == "two red dogs right of one blue car on the beach"
    swapped = tell_wrongly(SCENE, "whose colour", rng)
    assert swapped == "two blue dogs left of one red car on the beach"
