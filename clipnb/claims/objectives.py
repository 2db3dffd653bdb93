"""C1: contrast needs fewer images than predicting a caption's words or the caption (Fig 2)."""

from clipnb.claims.drawn import N_TRAINING, TUNING_SEED, draw_training_set
from clipnb.claims.experiment import Outcomes
from clipnb.claims.learning_curves import (
    ARMS,
    BAG_PREDICTION,
    CONTRAST,
    LANGUAGE_MODEL,
    RECIPE,
    Exam,
    LearningCurve,
    Question,
    train_arm,
)
from clipnb.datasets import load_dataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.nouns import IRREGULAR_PLURALS, NOUN_CLASSES, noun_truth
from clipnb.scenes import COLOURS
from clipnb.scenes.words import NOUN_FORMS

NUMBERS = ("two", "three")
RATES = {  # learning rates that each arm tries: as many for each, where it does well
    LANGUAGE_MODEL: (3e-4, 1e-3, 3e-3),
    BAG_PREDICTION: (3e-3, 1e-2, 3e-2),
    CONTRAST: (3e-4, 1e-3, 3e-3),
}
import numpy as np

def name_kind(kind):
    singular, plural = NOUN_FORMS[kind].plain[0]
    described = ["", *(f"{colour} " for colour in COLOURS)]
    one = [f"a {how}{singular}" for how in described]
    return one + [f"{number} {how}{plural}" for number in NUMBERS for how in described]

def make_scenes_exam(n_images, name="one_thing_seen"):
    test_set = render_dataset(sample_scenes(n_images, name, keep=has_one_thing), RECIPE.image_size)
    kinds, kind = read_classes(test_set, "kind")
    colours, colour = read_classes(test_set, "colour")
    of_colours = [[f"{number} {each}" for number in ("a", *NUMBERS)] for each in colours]
    questions = [
        Question([name_kind(each) for each in kinds], np.eye(len(kinds), dtype=bool)[kind]),
        Question(of_colours, np.eye(len(colours), dtype=bool)[colour]),
    ]
    return Exam(test_set.images, questions)

def name_noun(noun):
    plural = IRREGULAR_PLURALS.get(noun, f"{noun}s")
    return [f"a {noun}", f"the {noun}", f"in the {noun}", f"on the {noun}", f"two {plural}"]

def make_photos_exam(split, n=None):
    test_set = load_dataset("flickr8k", split, RECIPE.image_size)
    truth = noun_truth(test_set)
    shows = np.flatnonzero(truth.any(axis=1))
    return Exam(test_set.images[shows], [Question([name_noun(n) for n in NOUN_CLASSES], truth[shows])])
