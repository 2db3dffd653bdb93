"""Experiments of notebook 06: a classifier made of words (paper §3.1, Table 1)."""

import dataclasses
from typing import Any

from clipnb.datasets import load_dataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.nouns import NOUN_CLASSES, noun_truth, prevalence
from clipnb.experiments.quantities import accuracy, difference, precision, surplus
from clipnb.experiments.twin import (
    fit_multi_label_baseline,
    fit_supervised_baseline,
    predict_nouns,
    predict_supervised,
)
from clipnb.features import encode_images
from clipnb.recipes import QUICK, TWO_MINUTES
from clipnb.scenes import KINDS
from clipnb.zero_shot import zero_shot_scores

PAPER = {"ImageNet": 76.2, "the system before it": 11.5}


# ---- scenes ----------------------------------------------------------------------------------


def measure_zero_shot(seed: int, n_images: int) -> tuple[Outcomes, dict]:
    """Measure who names kind, colour and place rightly: zero-shot CLIP or a supervised baseline.

    The test images show one thing each. "seen": their pairs of kind and colour are in the training
    images. "unseen": they are held out.
    """
    run = load_or_train_timed(QUICK, seed)
    train_set = load_dataset("scenes", "train", QUICK.stored_size)
    recipe = dataclasses.replace(QUICK, name="quick_supervised")
    baseline = fit_supervised_baseline(recipe, seed, train_set)
    outcomes = {}
    for pairs, compositions in (("seen", False), ("unseen", True)):
        scenes = sample_scenes(n_images, f"one_thing_{pairs}", compositions, keep=has_one_thing)
        test_set = render_dataset(scenes)
        features = encode_images(run.model, test_set.images)  # (N, D)
        for attribute in ("kind", "colour", "place"):
            names, truth = read_classes(test_set, attribute)
            cosines = zero_shot_scores(run.model, run.tokenizer, features, names)  # (N, C)
            logits = predict_supervised(baseline, test_set.images, attribute)  # (N, C)
            outcomes[f"clip {attribute} {pairs}"] = cosines.argmax(dim=1).numpy() == truth
            outcomes[f"supervised {attribute} {pairs}"] = logits.argmax(dim=1).numpy() == truth
    return outcomes, {}


KIND_QUANTITIES = {
    "zero-shot, kinds": accuracy("clip kind seen"),
    "zero-shot, kinds, unseen pairs": accuracy("clip kind unseen"),
    "twin, kinds": accuracy("supervised kind seen"),
    "twin, kinds, unseen pairs": accuracy("supervised kind unseen"),
    "what unseen pairs cost the twin more": surplus(
        difference("supervised kind seen", "supervised kind unseen"),
        difference("clip kind seen", "clip kind unseen"),
    ),
}


def judge_zero_shot(quantities: Quantities) -> tuple[str, str]:
    """Judge whether words alone name the kinds.

    Replicated: the intervals on seen and on unseen pairs lie above three times chance. Partly: the
    interval on seen pairs lies above chance. Contradicted: it does not.
    """
    chance = 100 / len(KINDS)
    seen = quantities["zero-shot, kinds"]
    unseen = quantities["zero-shot, kinds, unseen pairs"]
    twin = quantities["twin, kinds, unseen pairs"]
    reason = (
        f"words alone name {seen['mean']:.0f} % of the kinds (chance {chance:.0f} %), and "
        f"{unseen['mean']:.0f} % in colours never met in training, where the supervised twin falls "
        f"to {twin['mean']:.0f} %."
    )
    low_seen, low_unseen = seen["interval"][0], unseen["interval"][0]
    if low_seen > 3 * chance and low_unseen > 3 * chance:
        return "replicated", reason
    if low_seen > chance:
        return "partly", reason
    return "contradicted", reason


# ---- photos ----------------------------------------------------------------------------------


def measure_zero_shot_flickr8k(seed: int, epochs: int) -> tuple[Outcomes, dict]:
    """Measure scores of 25 nouns in the test photos: zero-shot, and by a supervised baseline.

    The baseline is taught the nouns of the training captions. epochs: how long it trains.
    """
    run = load_or_train_timed(TWO_MINUTES, seed)
    test_set = load_dataset("flickr8k", "test", TWO_MINUTES.image_size)
    train_set = load_dataset("flickr8k", "train", TWO_MINUTES.stored_size)
    recipe = dataclasses.replace(
        TWO_MINUTES, name="two_minutes_supervised", epochs=epochs, label_smoothing=0.0
    )
    baseline = fit_multi_label_baseline(recipe, seed, train_set)
    logits = predict_nouns(baseline, test_set.images)
    cosines = zero_shot_scores(run.model, run.tokenizer, test_set.images, NOUN_CLASSES, ["a {}"])
    return {
        "_clip": cosines.numpy(),  # (N, 25)
        "_supervised": logits.numpy(),
        "_truth": noun_truth(test_set),
    }, {}


def noun_prevalence(outcomes: dict[str, Any]) -> float:
    """Return about what guessing scores: the mean share of photos that show a noun, in percent."""
    return prevalence(outcomes["_truth"])


NOUN_QUANTITIES = {
    "zero-shot, mean AP": precision("clip"),
    "supervised twin, mean AP": precision("supervised"),
    "chance": noun_prevalence,
}


def judge_zero_shot_flickr8k(quantities: Quantities) -> tuple[str, str]:
    """Judge whether words alone find the nouns.

    Replicated: the interval of mean average precision lies above three times chance. Partly: it
    lies above chance. Contradicted: it does not.
    """
    zero_shot = quantities["zero-shot, mean AP"]
    twin = quantities["supervised twin, mean AP"]
    chance = quantities["chance"]["mean"]
    reason = (
        f"mean average precision over {len(NOUN_CLASSES)} nouns {zero_shot['mean']:.0f} %, "
        f"guessing {chance:.0f} %, a supervised twin {twin['mean']:.0f} %."
    )
    low = zero_shot["interval"][0]
    if low > 3 * chance:
        return "replicated", reason
    if low > chance:
        return "partly", reason
    return "contradicted", reason


EXPERIMENTS = [
    Experiment(
        name="zero_shot",
        claim="C2",
        title="A classifier made of words, kinds of things",
        where="Table 1",
        paper=PAPER,
        dataset="scenes",
        measure=measure_zero_shot,
        quantities=KIND_QUANTITIES,
        unit="percent",
        rule=(
            "replicated: the intervals on seen and on unseen pairs lie above three times chance "
            "(25 %)"
        ),
        judge=judge_zero_shot,
        notebook="06_zero_shot_and_prompts",
        small={"n_images": 400},
        full={"n_images": 2000},
    ),
    Experiment(
        name="zero_shot_flickr8k",
        claim="C2",
        title="A classifier made of words, nouns in photos",
        where="Table 1",
        paper=PAPER,
        dataset="flickr8k",
        measure=measure_zero_shot_flickr8k,
        quantities=NOUN_QUANTITIES,
        unit="percent",
        rule="replicated: the interval of mean average precision lies above three times chance",
        judge=judge_zero_shot_flickr8k,
        notebook="06_zero_shot_and_prompts",
        full={"epochs": 8},
    ),
]
