"""Experiments of notebook 07: one image encoder, four things to learn from the same pairs.

They test the paper's §2.3 and Fig 2.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.encoders import BagOfWords, TextTransformer, normalize_images
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.fitting import Loss, iterate_fitting, make_clip_objective
from clipnb.experiments.nouns import NOUN_CLASSES, mean_average_precision, noun_truth
from clipnb.experiments.predictive import Captioner, WordPredictor, make_predictive_objective
from clipnb.features import apply_in_batches
from clipnb.model import CLIP, create_image_encoder
from clipnb.recipes import QUICK, Recipe
from clipnb.runtime import seed_everything
from clipnb.scenes import COLOURS
from clipnb.tokenizer import Tokenizer
from clipnb.training import make_tokenizer, steps_per_epoch
from clipnb.zero_shot import zero_shot_scores

OBJECTIVES_RECIPE = dataclasses.replace(
    QUICK, name="objectives", image_size=48, stored_size=48, captions_per_image=1
)

LANGUAGE_MODEL = "caption language model"
BAG_PREDICTION = "bag-of-words prediction"
CONTRASTIVE_TRANSFORMER = "contrastive, transformer"
CONTRASTIVE_BAG = "contrastive, bag of words"
CONDITIONS = (LANGUAGE_MODEL, BAG_PREDICTION, CONTRASTIVE_TRANSFORMER, CONTRASTIVE_BAG)

# The sentences with which classes are named. A kind is named with and without every colour.
CLASS_TEMPLATES = {
    "kind": ["a {}"] + [f"a {colour} {{}}" for colour in COLOURS],
    "colour": ["a {}"],
}


# ---- the four conditions ---------------------------------------------------------------------


def make_condition(
    condition: str, recipe: Recipe, tokenizer: Tokenizer, dataset: CaptionDataset
) -> tuple[nn.Module, Loss]:
    """Make a fresh model for one of CONDITIONS, and its loss for `train_with_loss`.

    Raises ValueError for an unknown condition.
    """
    if condition not in CONDITIONS:
        raise ValueError(
            f"no condition {condition!r}; choose one of {', '.join(map(repr, CONDITIONS))}."
        )
    image_encoder = create_image_encoder(recipe)
    if condition == LANGUAGE_MODEL:
        model = Captioner(image_encoder, tokenizer.vocab_size)
        return model, make_predictive_objective(tokenizer, dataset)
    if condition == BAG_PREDICTION:
        model = WordPredictor(image_encoder, tokenizer.vocab_size)
        return model, make_predictive_objective(tokenizer, dataset)
    if condition == CONTRASTIVE_TRANSFORMER:
        text_encoder = TextTransformer(tokenizer.vocab_size, layers=2)
    else:
        text_encoder = BagOfWords(tokenizer.vocab_size)
    return CLIP(image_encoder, text_encoder), make_clip_objective(tokenizer, dataset, recipe)


def class_scores(
    model: nn.Module,
    tokenizer: Tokenizer,
    images: Tensor | np.ndarray,
    names: Sequence[str],
    templates: Sequence[str],
) -> Tensor:
    """Score C class names for images uint8 (N, 3, S, S), as float32 (N, C) on the CPU.

    A CLIP compares features, a word predictor looks up the logit of the name's last token, and a
    captioner sums the likelihoods of the name's sentences.
    """
    if isinstance(model, CLIP):
        return zero_shot_scores(model, tokenizer, images, names, templates)
    if isinstance(model, WordPredictor):
        return _word_scores(model, tokenizer, images, names)
    return _sentence_scores(model, tokenizer, images, names, templates)


def _word_scores(
    model: WordPredictor, tokenizer: Tokenizer, images: Tensor | np.ndarray, names: Sequence[str]
) -> Tensor:
    word_ids = [tokenizer.encode(name)[-1] for name in names]

    def score(batch: Tensor) -> Tensor:
        return model(normalize_images(batch))[:, word_ids]  # (B, C)

    return apply_in_batches(model, score, images)


def _sentence_scores(
    model: Captioner,
    tokenizer: Tokenizer,
    images: Tensor | np.ndarray,
    names: Sequence[str],
    templates: Sequence[str],
) -> Tensor:
    sentences = [template.format(name) for name in names for template in templates]
    tokens = tokenizer(sentences)  # (C*P, T)

    def score(batch: Tensor) -> Tensor:
        image_features = model.image_encoder(normalize_images(batch))
        return model.log_likelihood(image_features, tokens.to(batch.device))  # (B, C*P)

    by_sentence = apply_in_batches(model, score, images)  # (N, C*P)
    by_class = by_sentence.view(-1, len(names), len(templates))  # (N, C, P)
    return by_class.logsumexp(dim=-1)  # any of a class's sentences will do


# ---- learning curves -------------------------------------------------------------------------

Evaluate = Callable[[nn.Module, Tokenizer], np.ndarray]  # returns a row for each test image


class LearningCurve(NamedTuple):
    """How a model did at T moments of its training."""

    images: list[int]  # seen at each of the T moments
    outcomes: np.ndarray  # (N, T, ...) what the evaluation returned at each moment
    seconds_per_image: float  # of training, without the evaluations


def train_conditions(
    seed: int, train_set: CaptionDataset, epochs: int, n_points: int, evaluate: Evaluate
) -> dict[str, LearningCurve]:
    """Train all CONDITIONS on the same images, each as often, and evaluate them on the way.

    Returns {condition: its learning curve of `n_points` moments}.
    """
    recipe = dataclasses.replace(OBJECTIVES_RECIPE, epochs=epochs)
    tokenizer = make_tokenizer(recipe, train_set.captions)
    moments = choose_moments(epochs * steps_per_epoch(train_set, recipe), n_points)
    images = [steps * recipe.batch_size for steps in moments]
    curves = {}
    for condition in CONDITIONS:
        seed_everything(seed)
        model, loss = make_condition(condition, recipe, tokenizer, train_set)
        outcomes, seconds = [], 0.0
        start = time.perf_counter()
        for images_seen in iterate_fitting(model, loss, train_set, recipe, seed, decay_rate=False):
            if images_seen in images:
                seconds += time.perf_counter() - start
                outcomes.append(evaluate(model, tokenizer))
                start = time.perf_counter()
        curves[condition] = LearningCurve(images, np.stack(outcomes, axis=1), seconds / images[-1])
    return curves


def choose_moments(n_steps: int, n_points: int) -> list[int]:
    """Choose the steps after which to evaluate: the last one is `n_steps`, in ascending order.

    Each is the square root of two times the one before, rounded. Equal ones count once.
    """
    return sorted({round(n_steps * 2 ** -(i / 2)) for i in range(n_points)})


def summarize_training(curves: dict[str, LearningCurve]) -> dict[str, Any]:
    """Return what a record tells of the training itself: images seen, and seconds an image."""
    return {
        "images": curves[CONDITIONS[0]].images,  # the same in all conditions
        "seconds per image": {name: curve.seconds_per_image for name, curve in curves.items()},
    }


def measure_objectives(
    seed: int, epochs: int, points: int, n_images: int, n_train_images: int
) -> tuple[Outcomes, dict]:
    """Name kinds and colours of one-thing images at several moments of the training."""
    size = OBJECTIVES_RECIPE.image_size
    test_set = render_dataset(sample_scenes(n_images, "one_thing_seen", keep=has_one_thing), size)
    train_set = load_dataset("scenes", "train", OBJECTIVES_RECIPE.stored_size)
    train_set = train_set.subset(range(n_train_images))

    def evaluate(model: nn.Module, tokenizer: Tokenizer) -> np.ndarray:
        right = []
        for attribute, templates in CLASS_TEMPLATES.items():
            names, truth = read_classes(test_set, attribute)
            scores = class_scores(model, tokenizer, test_set.images, names, templates)  # (N, C)
            right.append(scores.argmax(dim=1).numpy() == truth)
        return np.stack(right, axis=1)  # (N, 2)

    curves = train_conditions(seed, train_set, epochs, points, evaluate)
    # (N, T): half a point for the kind, half a point for the colour
    outcomes = {name: curve.outcomes.mean(axis=2) for name, curve in curves.items()}
    outcomes |= {f"{name}: kinds": curve.outcomes[..., 0] for name, curve in curves.items()}
    return outcomes, summarize_training(curves)


def measure_objectives_flickr8k(seed: int, epochs: int, points: int) -> tuple[Outcomes, dict]:
    """Score 25 nouns in the dev photos at several moments of the training."""
    dev_set = load_dataset("flickr8k", "dev", OBJECTIVES_RECIPE.image_size)
    train_set = load_dataset("flickr8k", "train", OBJECTIVES_RECIPE.stored_size)

    def evaluate(model: nn.Module, tokenizer: Tokenizer) -> np.ndarray:
        scores = class_scores(model, tokenizer, dev_set.images, NOUN_CLASSES, ["a {}"])
        return scores.numpy()  # (N, C)

    curves = train_conditions(seed, train_set, epochs, points, evaluate)
    outcomes = {f"_{name}": curve.outcomes for name, curve in curves.items()}  # (N, T, C)
    outcomes["_truth"] = noun_truth(dev_set)
    precisions = {name: precision_curve(outcomes, name).tolist() for name in CONDITIONS}
    return outcomes, summarize_training(curves) | {"mean average precision": precisions}


# ---- quantities ------------------------------------------------------------------------------

Curve = Callable[[dict[str, Any], str], np.ndarray]  # (T,) from outcomes and a condition


def accuracy_curve(outcomes: dict[str, Any], condition: str) -> np.ndarray:
    """Return the share of right answers at each moment, (T,)."""
    return outcomes[condition].mean(axis=0)


def precision_curve(outcomes: dict[str, Any], condition: str) -> np.ndarray:
    """Return the mean average precision at each moment, in percent, (T,)."""
    by_moment = outcomes[f"_{condition}"].swapaxes(0, 1)  # (T, N, C)
    return np.array([mean_average_precision(scores, outcomes["_truth"]) for scores in by_moment])


def images_to_reach(curve: Sequence[float], images: Sequence[int], level: float) -> float:
    """Return the number of images seen when a curve first reaches a level.

    Between two measured points it is interpolated on a log axis. A curve that starts above the
    level needs the first number of images, one that never reaches it the last.
    """
    curve = np.asarray(curve)
    reached = np.flatnonzero(curve >= level)
    if not len(reached):
        return images[-1]
    i = reached[0]
    if i == 0:
        return images[0]
    share = (level - curve[i - 1]) / (curve[i] - curve[i - 1])
    before, after = np.log(images[i - 1]), np.log(images[i])
    return float(np.exp(before + share * (after - before)))


def efficiency_quantity(fast: str, slow: str, curve: Curve = accuracy_curve) -> Quantity:
    """Make the quantity "how many times fewer images `fast` needs than `slow`".

    The level to reach is what the lower of the two reaches at the end. A value below 1 means that
    `fast` needs more images.
    """

    def quantity(outcomes: dict[str, Any]) -> float:
        fast_curve, slow_curve = curve(outcomes, fast), curve(outcomes, slow)
        level = min(fast_curve[-1], slow_curve[-1])
        fast_images = images_to_reach(fast_curve, outcomes["images"], level)
        slow_images = images_to_reach(slow_curve, outcomes["images"], level)
        return slow_images / fast_images

    return quantity


def cost_ratio(outcomes: dict[str, Any]) -> float:
    """Return how many times longer an image takes a language model than a contrastive bag."""
    seconds = outcomes["seconds per image"]
    return seconds[LANGUAGE_MODEL] / seconds[CONTRASTIVE_BAG]


def ratio_quantities(curve: Curve) -> dict[str, Quantity]:
    """Make the quantities of both experiments, from their kind of learning curve."""

    def efficiency(fast: str, slow: str) -> Quantity:
        return efficiency_quantity(fast, slow, curve)

    return {
        "contrastive bag over bag prediction": efficiency(CONTRASTIVE_BAG, BAG_PREDICTION),
        "bag prediction over language model": efficiency(BAG_PREDICTION, LANGUAGE_MODEL),
        "contrastive bag over language model": efficiency(CONTRASTIVE_BAG, LANGUAGE_MODEL),
        "contrastive bag over contrastive transformer": efficiency(
            CONTRASTIVE_BAG, CONTRASTIVE_TRANSFORMER
        ),
        "seconds an image, language model over contrastive bag": cost_ratio,
    }


def judge_objectives(quantities: Quantities) -> tuple[str, str]:
    """Judge both of the paper's steps by their intervals.

    replicated: both steps save images. partly: one of them, or both together. contradicted:
    contrast needs more images than predicting the bag and does not beat the language model.
    """
    contrast = quantities["contrastive bag over bag prediction"]
    bag = quantities["bag prediction over language model"]
    both = quantities["contrastive bag over language model"]
    because = (
        f"to reach the same level, predicting the bag of words takes {1 / bag['mean']:.2f} of a "
        f"language model's images, and contrastive learning {1 / contrast['mean']:.2f} of the "
        "predictor's (the paper: a third, and a quarter)."
    )
    contrast_low, contrast_high = contrast["interval"]
    bag_low, both_low = bag["interval"][0], both["interval"][0]
    if contrast_low > 1 and bag_low > 1:
        return "replicated", because
    if contrast_high < 1 and both_low < 1:
        return "contradicted", because
    if max(contrast_low, bag_low, both_low) > 1:
        return "partly", because
    return "not at this scale", because


RULE = (
    "replicated: both steps, from language model to bag of words and on to contrast, save images "
    "by their intervals; partly: one of them or both together; contradicted: contrast needs more "
    "than predicting the bag, by the interval, and does not beat the language model"
)
PAPER = {"contrastive over bag prediction": 4, "bag prediction over language model": 3}

EXPERIMENTS = [
    Experiment(
        name="objectives",
        claim="C1",
        title="Contrast needs fewer images than prediction",
        where="Fig 2",
        paper=PAPER,
        dataset="scenes",
        measure=measure_objectives,
        quantities=ratio_quantities(accuracy_curve),
        unit="times fewer images",
        rule=RULE,
        judge=judge_objectives,
        notebook="07_contrastive_vs_predictive",
        small={"epochs": 3, "points": 5, "n_images": 200, "n_train_images": 2048},
        full={"epochs": 6, "points": 9, "n_images": 1000, "n_train_images": 6000},
    ),
    Experiment(
        name="objectives_flickr8k",
        claim="C1",
        title="Contrast needs fewer images than prediction, photos",
        where="Fig 2",
        paper=PAPER,
        dataset="flickr8k",
        measure=measure_objectives_flickr8k,
        quantities=ratio_quantities(precision_curve),
        unit="times fewer images",
        rule=RULE,
        judge=judge_objectives,
        notebook="07_contrastive_vs_predictive",
        full={"epochs": 4, "points": 8},
    ),
]
