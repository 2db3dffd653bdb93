"""Experiments of notebook 06: a classifier out of words, prompts, and where it breaks (paper §3.1, §6)."""

import dataclasses

import numpy as np

from clipnb.claims import Experiment
from clipnb.datasets import load_dataset
from clipnb.experiments.common import classes_of, draw, has_one_thing, predict_supervised, sample_scenes, supervised_twin, trained
from clipnb.recipes import RECIPES
from clipnb.zero_shot import encode_images, zero_shot_scores

QUICK = RECIPES["quick"]


def measure_zero_shot(seed, pictures):
    """Kind of the one thing in a picture: zero-shot CLIP and its supervised twin, on (kind, colour) pairs seen in training and on held-out ones."""
    run = trained(QUICK, seed)
    twin = supervised_twin(dataclasses.replace(QUICK, name="quick_supervised"), seed, load_dataset("scenes", "train", QUICK.stored_size))
    outcomes = {}
    for where, compositions in ("seen", False), ("unseen", True):
        exam = draw(sample_scenes(pictures, f"one_thing_{where}", compositions, keep=has_one_thing))
        features = encode_images(run.model, exam.images)
        for attribute in ("kind", "colour", "place"):
            names, truth = classes_of(exam, attribute)
            clip = zero_shot_scores(run.model, run.tokenizer, features, names).argmax(dim=1).numpy()
            supervised = predict_supervised(twin, exam.images, attribute).argmax(dim=1).numpy()
            outcomes |= {f"clip {attribute} {where}": clip == truth, f"supervised {attribute} {where}": supervised == truth}
    return outcomes, {"chance kind": 1 / 12}


def judge_zero_shot(found):
    """Replicated if zero-shot is far above chance on seen and unseen pairs alike."""
    seen, unseen = found["zero-shot, kinds"], found["zero-shot, kinds, unseen pairs"]
    if min(seen["interval"][0], unseen["interval"][0]) > 3 * 100 / 12:
        return "replicated", f"words alone name {seen['mean']:.0f} % of the kinds (chance 8 %), and {unseen['mean']:.0f} % in colours never met in training."
    return ("partly" if seen["interval"][0] > 100 / 12 else "contradicted"), f"words alone name {seen['mean']:.0f} % of the kinds (chance 8 %)."


EXPERIMENTS = [
    Experiment(
        "zero_shot", "C2", "A classifier out of words works", "Table 1, §3.1", {"ImageNet": 76.2, "Visual N-Grams, ImageNet": 11.5}, "scenes",
        measure_zero_shot,
        {"zero-shot, kinds": lambda o: 100 * np.mean(o["clip kind seen"]),
         "zero-shot, kinds, unseen pairs": lambda o: 100 * np.mean(o["clip kind unseen"]),
         "supervised twin, kinds": lambda o: 100 * np.mean(o["supervised kind seen"])},
        "percent", "replicated: the intervals on seen and on unseen pairs lie above three times chance", judge_zero_shot,
        "06_zero_shot_and_prompts", small={"pictures": 300}, full={"pictures": 2000}),
]
