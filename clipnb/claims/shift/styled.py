"""Models that are trained on scenes of one style or of many, with words or with labels.

They are what the experiments on robustness share. Words: CLIP, trained on captions. Labels: the
same image encoder, taught all that the captions tell about a thing and its place.
"""

import dataclasses
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from clipnb.claims.drawn import TRIED_RATES, TUNING_SEED, draw_training_set
from clipnb.datasets import CaptionDataset
from clipnb.experiments.asking import ask_kinds, score_sentences
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Outcomes
from clipnb.experiments.small_clip import load_or_fit_clip
from clipnb.experiments.twin import (
    TOLD_CLASSES,
    SupervisedBaseline,
    fit_supervised_baseline,
    predict_supervised,
)
from clipnb.features import encode_images
from clipnb.model import CLIP
from clipnb.recipes import QUICK, Recipe
from clipnb.scenes import KINDS, STYLES
from clipnb.tokenizer import Tokenizer
from clipnb.training import make_tokenizer

STYLED_RECIPE = dataclasses.replace(QUICK, image_size=48, stored_size=48)
# The styles of the varied training sets. "negative" is in none of them.
TRAINING_STYLES = ("painted", "sketch", "blurred", "noisy")
SHIFTED_STYLES = TRAINING_STYLES[1:]  # all of them but the one that draws the line
CHANCE = 100 / len(KINDS)  # percent

# The best on dev, with seed 100: results/tuning/robustness.json.
BEST_RATES = {
    "words, one style": 3e-3,
    "words, many styles": 3e-3,
    "labels, one style": 1e-2,
    "labels, many styles": 3e-3,
}
TUNING_IMAGES, TUNING_EPOCHS, DEV_IMAGES = 3000, 8, 500

# What the protocols of C10a and L6 quote, on scenes and on photos.
ROBUSTNESS_QUOTE = (
    "All zero-shot CLIP models improve effective robustness by a large amount and reduce the size "
    "of the gap between ImageNet accuracy and accuracy under distribution shift by up to 75%."
)
ROBUSTNESS_SOURCE = "§3.3, Figure 13"
DIVERSITY_QUOTE = (
    "Our experiments show that the more diverse training distribution is the main cause for the "
    "robustness gains, with the other factors contributing little to no robustness."
)
DIVERSITY_SOURCE = (
    "Fang et al. 2022, Data Determines Distributional Robustness in Contrastive Language Image "
    "Pre-training (CLIP), abstract"
)


class Words(NamedTuple):
    """A CLIP with its tokenizer."""

    model: CLIP
    tokenizer: Tokenizer


# ---- training on one style or on many --------------------------------------------------------


def draw_styled_set(seed: int, n_images: int, many: bool) -> CaptionDataset:
    """Draw the first training scenes of a seed, painted or in many styles.

    many: each image is in a random one of `TRAINING_STYLES`.
    """
    styles = ["painted"]
    if many:
        rng = random.Random(f"styles-{seed}")
        styles = [rng.choice(TRAINING_STYLES) for _ in range(n_images)]
    return draw_training_set(seed, n_images, STYLED_RECIPE.stored_size, styles)


def name_styles(target: str, many: bool) -> str:
    """Return the name of a model. target: "words" or "labels"."""
    return f"{target}, {'many styles' if many else 'one style'}"


def make_styled_recipe(
    target: str, many: bool, n_images: int, epochs: int, rate: float | None = None
) -> Recipe:
    """Make the recipe of a model on `draw_styled_set`. rate: by default the best one on dev."""
    rate = rate or BEST_RATES[name_styles(target, many)]
    name = f"drawn_styles_{'many' if many else 'one'}_{n_images}"
    name += "_told_supervised" if target == "labels" else ""
    return dataclasses.replace(STYLED_RECIPE, name=name, epochs=epochs, learning_rate=rate)


def fit_words(
    seed: int, many: bool, n_images: int, epochs: int, rate: float | None = None
) -> Words:
    """Train (or load) CLIP on captioned scenes of one style or of many."""
    recipe = make_styled_recipe("words", many, n_images, epochs, rate)
    train_set = draw_styled_set(seed, n_images, many)
    tokenizer = make_tokenizer(recipe, train_set.captions)
    return Words(load_or_fit_clip(recipe, seed, train_set, tokenizer), tokenizer)


def fit_labels(
    seed: int, many: bool, n_images: int, epochs: int, rate: float | None = None
) -> SupervisedBaseline:
    """Train (or load) the supervised image encoder on the same scenes, with labels instead."""
    recipe = make_styled_recipe("labels", many, n_images, epochs, rate)
    return fit_supervised_baseline(
        recipe, seed, draw_styled_set(seed, n_images, many), TOLD_CLASSES
    )


# ---- testing in every style ------------------------------------------------------------------


def render_test_sets(n_images: int, name: str = "one_thing_seen") -> dict[str, CaptionDataset]:
    """Render the same scenes, which show one kind of thing each, in every style."""
    some_scenes = sample_scenes(n_images, name, keep=has_one_thing)
    size = STYLED_RECIPE.image_size
    return {style: render_dataset(some_scenes, size, [style]) for style in STYLES}


def score_words(name: str, words: Words, test_sets: dict[str, CaptionDataset]) -> Outcomes:
    """Tell for each test image whether words name its kind, as {"<name>: <style>": bool (N,)}.

    A kind is asked for in the singular and in the plural, because many images show several.
    """
    outcomes = {}
    for style, test_set in test_sets.items():
        kinds, truth = read_classes(test_set, "kind")
        features = encode_images(words.model, test_set.images)  # (N, D)
        cosines = score_sentences(words, features, ask_kinds(kinds)["both"])  # (N, 12)
        outcomes[f"{name}: {style}"] = cosines.argmax(axis=1) == truth
    return outcomes


def score_labels(
    name: str, baseline: SupervisedBaseline, test_sets: dict[str, CaptionDataset]
) -> Outcomes:
    """Tell for each test image whether a supervised model names its kind, as `score_words`."""
    outcomes = {}
    for style, test_set in test_sets.items():
        _, truth = read_classes(test_set, "kind")
        logits = predict_supervised(baseline, test_set.images, "kind")  # (N, 12)
        outcomes[f"{name}: {style}"] = logits.argmax(dim=1).numpy() == truth
    return outcomes


def score_line(
    seed: int, sizes: Sequence[int], epochs: int, test_sets: dict[str, CaptionDataset]
) -> Outcomes:
    """Score supervised models of painted scenes alone, which draw the line, as "line <size>".

    A smaller training set means fewer steps as well, so they range from poor to good. The largest
    of them is also the model "labels, one style".
    """
    outcomes = {}
    for size in sizes:
        outcomes |= score_labels(f"line {size}", fit_labels(seed, False, size, epochs), test_sets)
    return outcomes


# ---- tuning ----------------------------------------------------------------------------------


def tune_styled() -> dict[str, dict[str, float]]:
    """Return {model: {learning rate: percent of kinds right on dev}}, for smaller training sets.

    A model is judged in the styles that it is trained on.
    """
    dev_sets = render_test_sets(DEV_IMAGES, "styles_dev")
    scores = {name: {} for name in BEST_RATES}
    for many in (False, True):
        own_styles = TRAINING_STYLES if many else ("painted",)
        own_sets = {style: dev_sets[style] for style in own_styles}
        for rate in TRIED_RATES:
            settings = (TUNING_SEED, many, TUNING_IMAGES, TUNING_EPOCHS, rate)
            right = {
                "words": score_words("tuned", fit_words(*settings), own_sets),
                "labels": score_labels("tuned", fit_labels(*settings), own_sets),
            }
            for target, own in right.items():
                score = 100 * float(np.mean(list(own.values())))
                scores[name_styles(target, many)][f"{rate:g}"] = round(score, 1)
    return scores


# ---- effective robustness --------------------------------------------------------------------


def logit(share: float | np.ndarray) -> float | np.ndarray:
    """Return the log odds of shares. Shares below 1 or above 99 percent are clipped."""
    share = np.clip(share, 0.01, 0.99)
    return np.log(share / (1 - share))


def mean_accuracy(outcomes: dict[str, Any], name: str, styles: Sequence[str]) -> float:
    """Return a model's accuracy as a share, averaged over styles."""
    return float(np.mean([outcomes[f"{name}: {style}"].mean() for style in styles]))


def fit_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Fit a line by least squares. Returns its slope and intercept."""
    spread = x - x.mean()
    if np.ptp(x) <= 1e-6:  # equally good models draw no line: their mean stands for it
        return 0.0, float(y.mean())
    slope = float(spread @ y / (spread @ spread))
    return slope, float(y.mean() - slope * x.mean())


def find_robustness(
    outcomes: dict[str, Any], name: str, styles: Sequence[str] = SHIFTED_STYLES
) -> float:
    """Return by how many points a model is above the line on some styles (Taori et al. 2020).

    The line predicts the accuracy on these styles from the accuracy on painted images, both as log
    odds. The models "line <size>" draw it, for the sizes in outcomes["sizes"].
    """
    line = [f"line {size}" for size in outcomes["sizes"]]
    painted = logit(np.array([mean_accuracy(outcomes, each, ["painted"]) for each in line]))
    shifted = logit(np.array([mean_accuracy(outcomes, each, styles) for each in line]))
    slope, intercept = fit_line(painted, shifted)
    log_odds = intercept + slope * logit(mean_accuracy(outcomes, name, ["painted"]))
    predicted = 1 / (1 + np.exp(-log_odds))
    return float(100 * (mean_accuracy(outcomes, name, styles) - predicted))
