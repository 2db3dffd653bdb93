"""Experiment of notebook 09: images in other styles, and who names them (paper Fig 13)."""

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.small_clip import load_or_fit_clip
from clipnb.experiments.twin import (
    SupervisedBaseline,
    fit_supervised_baseline,
    predict_supervised,
)
from clipnb.model import CLIP
from clipnb.recipes import QUICK, Recipe
from clipnb.scenes import COUNTS, STYLES, dataset_scene
from clipnb.tokenizer import Tokenizer
from clipnb.training import make_tokenizer
from clipnb.zero_shot import zero_shot_scores

STYLED_RECIPE = dataclasses.replace(QUICK, image_size=48, stored_size=48)
# The styles of the varied training sets. "negative" is in none of them.
TRAINING_STYLES = ("painted", "sketch", "blurred", "noisy")
SHIFTED_STYLES = TRAINING_STYLES[1:]  # all of them but the one that draws the line


# ---- training on one style or on many --------------------------------------------------------


def make_styled_recipe(n_images: int, many: bool, epochs: int) -> Recipe:
    """Make the recipe of a model that is trained on `render_training_set(n_images, many)`."""
    name = f"styles_{'many' if many else 'one'}_{n_images}"
    return dataclasses.replace(STYLED_RECIPE, name=name, epochs=epochs)


def render_training_set(n_images: int, many: bool) -> CaptionDataset:
    """Render the first scenes of the training split, painted or in many styles.

    many: each image is in a random one of `TRAINING_STYLES`.
    """
    some_scenes = [dataset_scene("train", i) for i in range(min(n_images, COUNTS["train"]))]
    styles = ["painted"]
    if many:
        rng = random.Random(5)
        styles = [rng.choice(TRAINING_STYLES) for _ in range(n_images)]
    return render_dataset(some_scenes, STYLED_RECIPE.stored_size, styles)


def fit_styled_clip(seed: int, n_images: int, many: bool, epochs: int) -> tuple[CLIP, Tokenizer]:
    """Train (or load) CLIP on captioned images of one style or of many."""
    recipe = make_styled_recipe(n_images, many, epochs)
    train_set = render_training_set(n_images, many)
    tokenizer = make_tokenizer(recipe, train_set.captions)
    return load_or_fit_clip(recipe, seed, train_set, tokenizer), tokenizer


def fit_styled_baseline(seed: int, n_images: int, many: bool, epochs: int) -> SupervisedBaseline:
    """Train (or load) the supervised baseline on the same images, with labels instead."""
    recipe = make_styled_recipe(n_images, many, epochs)
    recipe = dataclasses.replace(recipe, name=f"{recipe.name}_supervised")
    return fit_supervised_baseline(recipe, seed, render_training_set(n_images, many))


def fit_line_baselines(
    seed: int, sizes: Sequence[int], epochs: int
) -> dict[str, SupervisedBaseline]:
    """Train (or load) the supervised baselines that draw the line, as {"line <size>": baseline}.

    They see painted images alone. A smaller training set means fewer steps as well, so they range
    from poor to good.
    """
    return {f"line {n}": fit_styled_baseline(seed, n, False, epochs) for n in sizes}


# ---- testing in every style ------------------------------------------------------------------


def render_test_sets(n_images: int) -> dict[str, CaptionDataset]:
    """Render the same scenes, which show one kind of thing each, in every style."""
    some_scenes = sample_scenes(n_images, "one_thing_seen", keep=has_one_thing)
    size = STYLED_RECIPE.image_size
    return {style: render_dataset(some_scenes, size, [style]) for style in STYLES}


def score_clip(
    name: str, model: CLIP, tokenizer: Tokenizer, test_sets: dict[str, CaptionDataset]
) -> Outcomes:
    """Tell for each test image whether zero-shot CLIP names its kind.

    Returns {"<name>: <style>": bool (N,)}.
    """
    outcomes = {}
    for style, test_set in test_sets.items():
        kinds, truth = read_classes(test_set, "kind")
        cosines = zero_shot_scores(model, tokenizer, test_set.images, kinds)  # (N, 12)
        outcomes[f"{name}: {style}"] = cosines.argmax(dim=1).numpy() == truth
    return outcomes


def score_baselines(
    baselines: dict[str, SupervisedBaseline], test_sets: dict[str, CaptionDataset]
) -> Outcomes:
    """Tell for each test image whether supervised baselines name its kind.

    baselines: {name: baseline}. Returns {"<name>: <style>": bool (N,)}.
    """
    outcomes = {}
    for name, baseline in baselines.items():
        for style, test_set in test_sets.items():
            _, truth = read_classes(test_set, "kind")
            logits = predict_supervised(baseline, test_set.images, "kind")  # (N, 12)
            outcomes[f"{name}: {style}"] = logits.argmax(dim=1).numpy() == truth
    return outcomes


def measure_robustness(
    seed: int, sizes: Sequence[int], epochs: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure who names the kinds in five styles: words or labels, trained on one style or many.

    sizes: the training images of the baselines that draw the line. The three models that are
    judged by it see as many as the largest.
    """
    largest = max(sizes)
    test_sets = render_test_sets(n_images)
    baselines = fit_line_baselines(seed, sizes, epochs)
    baselines["labels, many styles"] = fit_styled_baseline(seed, largest, True, epochs)
    outcomes = score_baselines(baselines, test_sets)
    for name, many in (("words, one style", False), ("words, many styles", True)):
        model, tokenizer = fit_styled_clip(seed, largest, many, epochs)
        outcomes |= score_clip(name, model, tokenizer, test_sets)
    return outcomes, {"sizes": list(sizes)}


# ---- effective robustness --------------------------------------------------------------------


def logit(share: float | np.ndarray) -> float | np.ndarray:
    """Return the log odds of shares. Shares below 1 or above 99 percent are clipped."""
    share = np.clip(share, 0.01, 0.99)
    return np.log(share / (1 - share))


def mean_accuracy(outcomes: dict[str, Any], name: str, styles: Sequence[str]) -> float:
    """Return a model's accuracy as a share, averaged over styles."""
    return np.mean([np.mean(outcomes[f"{name}: {style}"]) for style in styles])


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Fit a line by least squares. Returns its slope and intercept."""
    from scipy import stats

    if np.ptp(x) <= 1e-6:  # equally good models draw no line: their mean stands for it
        return 0.0, np.mean(y)
    fit = stats.linregress(x, y)
    return fit.slope, fit.intercept


def effective_robustness(outcomes: dict[str, Any], name: str, styles: Sequence[str]) -> float:
    """Return by how many points a model is above the line on some styles (Taori et al. 2020).

    The line predicts the accuracy on these styles from the accuracy on painted images, both as log
    odds. The baselines "line <size>" draw it.
    """
    line = [f"line {size}" for size in outcomes["sizes"]]
    painted = [logit(mean_accuracy(outcomes, baseline, ["painted"])) for baseline in line]
    shifted = [logit(mean_accuracy(outcomes, baseline, styles)) for baseline in line]
    slope, intercept = fit_line(painted, shifted)
    log_odds = intercept + slope * logit(mean_accuracy(outcomes, name, ["painted"]))
    predicted = 1 / (1 + np.exp(-log_odds))
    return 100 * (mean_accuracy(outcomes, name, styles) - predicted)


def effective_robustness_quantity(name: str, styles: Sequence[str]) -> Quantity:
    """Make the quantity "points by which a model is above the line on some styles"."""

    def quantity(outcomes: dict[str, Any]) -> float:
        return effective_robustness(outcomes, name, styles)

    return quantity


JUDGED_MODELS = ("words, many styles", "words, one style", "labels, many styles")
ON_SHIFTED_STYLES = {
    name: effective_robustness_quantity(name, SHIFTED_STYLES) for name in JUDGED_MODELS
}
ON_A_NEW_STYLE = {
    f"{name}, never shown": effective_robustness_quantity(name, ["negative"])
    for name in JUDGED_MODELS
}
QUANTITIES = ON_SHIFTED_STYLES | ON_A_NEW_STYLE


def judge_robustness(quantities: Quantities) -> tuple[str, str]:
    """Judge whether words stand above the line, by their whole interval.

    Replicated: after training on many styles, and on one. Partly: after many styles alone.
    Contradicted: after many styles they stand below it. Not at this scale: after many styles the
    interval holds the line.
    """
    words_one = quantities["words, one style"]
    words_many = quantities["words, many styles"]
    labels_many = quantities["labels, many styles"]
    never_shown = quantities["words, many styles, never shown"]
    reason = (
        "above the supervised line in points: "
        f"words with many styles {words_many['mean']:+.0f}, "
        f"words with one style {words_one['mean']:+.0f}, "
        f"labels with many styles {labels_many['mean']:+.0f}; "
        f"in a style never shown {never_shown['mean']:+.0f}."
    )
    low, high = words_many["interval"]
    if low > 0 and words_one["interval"][0] > 0:
        return "replicated", reason
    if low > 0:
        return "partly", reason
    if high < 0:
        return "contradicted", reason
    return "not at this scale", reason


EXPERIMENTS = [
    Experiment(
        name="robustness",
        claim="C10",
        title="Zero-shot stands above the supervised line",
        where="Fig 13",
        paper={
            "robustness gap closed by up to": "75 %",
            "ImageNet-R": 88.9,
            "ResNet-101 there": 37.7,
        },
        dataset="scenes",
        measure=measure_robustness,
        quantities=QUANTITIES,
        unit="points above the line",
        rule=(
            "replicated: CLIP trained on captioned images of many styles is above the line of "
            "supervised one-style nets, and so is CLIP trained on one style; partly: the first "
            "alone, so that the data do it and not the words"
        ),
        judge=judge_robustness,
        notebook="09_robustness",
        small={"sizes": [800, 1600], "epochs": 5, "n_images": 300},
        full={"sizes": [1000, 2000, 4000, 6000], "epochs": 6, "n_images": 1000},
    ),
]
