"""Exams that ask for what an image shows, in the words of captions and in both numbers."""

import numpy as np

from clipnb.claims.learning.learning_curves import RECIPE, Exam, Question
from clipnb.datasets import load_dataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.nouns import IRREGULAR_PLURALS, NOUN_CLASSES, noun_truth
from clipnb.scenes import COLOURS
from clipnb.scenes.words import NOUN_FORMS

NUMBERS = ("two", "three")
UNCOUNTED = {  # their plurals are so rare in the captions that they are no words of the vocabulary
    "water", "beach", "grass", "snow", "street", "field", "pool", "sand", "soccer", "football",
    "road", "crowd",
}  # fmt: skip


def name_kind(kind: str) -> list[str]:
    """Write sentences that end in a kind, with and without colour: "a dog" to "three white dogs".

    Two thirds of the test images show two or three things, so the kind is asked for in both
    numbers.
    """
    singular, plural = NOUN_FORMS[kind].plain[0]
    described = ["", *(f"{colour} " for colour in COLOURS)]
    one = [f"a {how}{singular}" for how in described]
    return one + [f"{number} {how}{plural}" for number in NUMBERS for how in described]


def name_colour(colour: str) -> list[str]:
    """Write beginnings of sentences that end in a colour: "a red", "two red"."""
    return [f"{number} {colour}" for number in ("a", *NUMBERS)]


def name_noun(noun: str) -> list[str]:
    """Write beginnings of sentences about a photo that end in a noun."""
    sentences = [f"a {noun}", f"the {noun}", f"in the {noun}", f"on the {noun}"]
    if noun not in UNCOUNTED:
        sentences.append(f"two {IRREGULAR_PLURALS.get(noun, f'{noun}s')}")
    return sentences


def make_scenes_exam(n_images: int, name: str = "one_thing_seen") -> Exam:
    """Ask for the kind and the colour of the things in drawn images that show one kind."""
    test_set = render_dataset(sample_scenes(n_images, name, keep=has_one_thing), RECIPE.image_size)
    kinds, kind = read_classes(test_set, "kind")
    colours, colour = read_classes(test_set, "colour")
    of_kinds = Question([name_kind(each) for each in kinds], np.eye(len(kinds), dtype=bool)[kind])
    of_colours = Question(
        [name_colour(each) for each in colours], np.eye(len(colours), dtype=bool)[colour]
    )
    return Exam(test_set.images, [of_kinds, of_colours])


def make_photos_exam(split: str, n_images: int | None = None) -> Exam:
    """Ask which of 25 nouns a photo shows; it may show several, or none."""
    photos = load_dataset("flickr8k", split, RECIPE.image_size)
    sentences = [name_noun(noun) for noun in NOUN_CLASSES]
    truth = noun_truth(photos)[:n_images]  # (N, 25)
    return Exam(photos.images[:n_images], [Question(sentences, truth, single=False)])
