"""C10a and L6 on photos: styles made from photos, named with words or by a supervised model.

The first sitting measured how much retrieval was left on spoiled photos, and a model that had
learned nothing passed, because half of nothing is easily kept. Now words and labels learn from the
same photos, once as they are and once in four styles. What counts is the share of the precision
above chance that a model keeps, and a gate asks for models that have learned something.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.shift.styled import (
    DIVERSITY_QUOTE,
    DIVERSITY_SOURCE,
    ROBUSTNESS_QUOTE,
    ROBUSTNESS_SOURCE,
    name_styles,
)
from clipnb.claims.shift.styled_photos import (
    NEW_STYLES,
    PHOTO_RECIPE,
    SHIFTED_STYLES,
    TRAINING_STYLES,
    restyle,
    score_photos,
    tune_photos,
)
from clipnb.datasets import load_dataset
from clipnb.experiments.nouns import average_precisions, noun_truth

Compute = Callable[[dict[str, Any]], np.ndarray]

WORDS_MANY, LABELS_MANY = name_styles("words", True), name_styles("labels", True)
WORDS_ONE, LABELS_ONE = name_styles("words", False), name_styles("labels", False)


def measure_photos(seed: int, n_images: int, epochs: int, n_test: int) -> tuple[Outcomes, dict]:
    """Measure who finds the nouns in photos of six styles: words or labels, of one style or many.

    Returns scores as "_<model>: <style>" (N, 25) and "_truth", bool (N, 25).
    """
    test_set = load_dataset("flickr8k", "test", PHOTO_RECIPE.image_size)
    test_set = test_set.subset(range(min(n_test, len(test_set))))
    test_sets = {s: restyle(test_set.images, s) for s in (*TRAINING_STYLES, *NEW_STYLES)}
    outcomes = {"_truth": noun_truth(test_set)}
    for target in ("words", "labels"):
        for many in (False, True):
            scores = score_photos(target, many, seed, n_images, epochs, test_sets)
            name = name_styles(target, many)
            outcomes |= {f"_{name}: {style}": own for style, own in scores.items()}
    return outcomes, {}


# ---- effects: a value for each noun ----------------------------------------------------------


def find_learned(outcomes: dict[str, Any], model: str, style: str) -> np.ndarray:
    """Return the points of average precision above chance of each noun, (25,)."""
    truth = outcomes["_truth"]
    chance = 100 * truth.mean(axis=0)  # the precision of guessing, (25,)
    return average_precisions(outcomes[f"_{model}: {style}"], truth) - chance


def find_kept(
    outcomes: dict[str, Any], model: str, styles: Sequence[str] = SHIFTED_STYLES
) -> np.ndarray:
    """Return each noun's part of the percentage that a model keeps on other styles, (25,).

    The mean over the nouns is 100 times the precision above chance on these styles, divided by
    that on plain photos. The divisor is at least 1 point, so that a model without any keeps
    nothing.
    """
    learned = max(1.0, find_learned(outcomes, model, "photo").mean())
    on_styles = np.mean([find_learned(outcomes, model, style) for style in styles], axis=0)
    return 100 * on_styles / learned


def make_kept_gap(model: str, other: str, styles: Sequence[str] = SHIFTED_STYLES) -> Compute:
    """Make the effect "percent kept by a model minus percent kept by another"."""

    def compute(outcomes: dict[str, Any]) -> np.ndarray:
        return find_kept(outcomes, model, styles) - find_kept(outcomes, other, styles)

    return compute


def make_learned(model: str) -> Compute:
    """Make the effect "points of average precision above chance on plain photos"."""

    def compute(outcomes: dict[str, Any]) -> np.ndarray:
        return find_learned(outcomes, model, "photo")

    return compute


def lost_by_labels(outcomes: dict[str, Any]) -> np.ndarray:
    """Return what the one-style supervised model loses on other styles, in percent."""
    on_photos = find_kept(outcomes, LABELS_ONE, ["photo"])
    return on_photos - find_kept(outcomes, LABELS_ONE)


def share_of_styles(outcomes: dict[str, Any], styles: Sequence[str] = SHIFTED_STYLES) -> np.ndarray:
    """Return what training on many styles adds to the percentage kept, for words and labels."""
    kept = [find_kept(outcomes, model, styles) for model in (WORDS_MANY, LABELS_MANY)]
    before = [find_kept(outcomes, model, styles) for model in (WORDS_ONE, LABELS_ONE)]
    return np.mean(kept, axis=0) - np.mean(before, axis=0)


def share_of_words(outcomes: dict[str, Any], styles: Sequence[str] = SHIFTED_STYLES) -> np.ndarray:
    """Return what words instead of labels add to the percentage kept, for one style and many."""
    kept = [find_kept(outcomes, model, styles) for model in (WORDS_MANY, WORDS_ONE)]
    before = [find_kept(outcomes, model, styles) for model in (LABELS_MANY, LABELS_ONE)]
    return np.mean(kept, axis=0) - np.mean(before, axis=0)


def share_of_styles_never_shown(outcomes: dict[str, Any]) -> np.ndarray:
    """Return what `share_of_styles` does, on the styles that are in no training set."""
    return share_of_styles(outcomes, NEW_STYLES)


def share_of_words_on_styles_never_shown(outcomes: dict[str, Any]) -> np.ndarray:
    """Return what `share_of_words` does, on the styles that are in no training set."""
    return share_of_words(outcomes, NEW_STYLES)


def styles_over_words(outcomes: dict[str, Any]) -> np.ndarray:
    """Return by how much styles add more than words change, in either direction on average."""
    words = share_of_words(outcomes)
    return share_of_styles(outcomes) - np.sign(words.mean()) * words


KEPT = "percent of the precision above chance"
COMPETENCE = {
    "words, many styles, learned": Effect(
        compute=make_learned(WORDS_MANY), unit="points", over="units"
    ),
    "labels, many styles, learned": Effect(
        compute=make_learned(LABELS_MANY), unit="points", over="units"
    ),
    "lost by labels, one style": Effect(compute=lost_by_labels, unit=KEPT, over="units"),
}
GATES = (
    Gate(
        effect="words, many styles, learned",
        above=4.0,
        why="a model that finds no noun in plain photos has nothing to keep",
    ),
    Gate(
        effect="labels, many styles, learned",
        above=4.0,
        why="a model that finds no noun in plain photos has nothing to keep",
    ),
    Gate(
        effect="lost by labels, one style",
        above=10.0,
        why="without a loss of the one-style model there is no robustness to gain",
    ),
)
ROBUSTNESS_EFFECTS = {
    "words minus labels, many styles": Effect(
        compute=make_kept_gap(WORDS_MANY, LABELS_MANY), unit=KEPT, over="units"
    ),
    "words minus labels, one style": Effect(
        compute=make_kept_gap(WORDS_ONE, LABELS_ONE), unit=KEPT, over="units"
    ),
    "words, many styles, minus labels, one style": Effect(
        compute=make_kept_gap(WORDS_MANY, LABELS_ONE), unit=KEPT, over="units"
    ),
    "words minus labels, styles never shown": Effect(
        compute=make_kept_gap(WORDS_MANY, LABELS_MANY, NEW_STYLES), unit=KEPT, over="units"
    ),
    **COMPETENCE,
}
DIVERSITY_EFFECTS = {
    "styles over words": Effect(compute=styles_over_words, unit=KEPT, over="units"),
    "what styles bring": Effect(compute=share_of_styles, unit=KEPT, over="units"),
    "what words bring": Effect(compute=share_of_words, unit=KEPT, over="units"),
    "what styles bring, styles never shown": Effect(
        compute=share_of_styles_never_shown, unit=KEPT, over="units"
    ),
    "what words bring, styles never shown": Effect(
        compute=share_of_words_on_styles_never_shown, unit=KEPT, over="units"
    ),
    **COMPETENCE,
}


def explain_robustness(effects: dict[str, dict]) -> str:
    """Say what words keep beyond labels with the same photos, and in the paper's own contrast."""
    fair, paper = (
        effects[name]["mean"]
        for name in (
            "words minus labels, many styles",
            "words, many styles, minus labels, one style",
        )
    )
    return (
        f"Trained on the same photos in four styles, words keep {fair:+.0f} % more of their "
        f"precision above chance than labels. The paper's own contrast, words of many styles "
        f"against labels of one, gives {paper:+.0f} % (the paper: about +54)."
    )


def explain_diversity(effects: dict[str, dict]) -> str:
    """Say what styles bring and what words bring."""
    styles, words = (effects[f"what {name} bring"]["mean"] for name in ("styles", "words"))
    return (
        f"Training on four styles instead of one adds {styles:+.0f} % to the precision above "
        f"chance that is kept on other styles, and words instead of labels add {words:+.0f} %."
    )


# ---- the experiments -------------------------------------------------------------------------

FULL = {"n_images": 6000, "epochs": 10, "n_test": 1000}
SMALL = {"n_images": 1000, "epochs": 6, "n_test": 400}
CONDITIONS = {
    WORDS_ONE: "CLIP, trained on photos with their captions",
    WORDS_MANY: "CLIP, trained on the same photos, each plain, grey, as edges or inverted",
    LABELS_ONE: "the same image encoder, taught which of 25 nouns the captions hold",
    LABELS_MANY: "the same, on the photos in four styles",
}
EQUAL = (
    "the 6,000 training photos, the image encoder, optimizer, epochs, batch size and number of "
    "learning rates tried; the labels tell the 25 nouns that the test asks for, and the captions "
    "tell more"
)
TUNING = (
    "five learning rates for each of the four models, on the dev photos with seed 100 and 1,000 "
    "training photos, judged in the styles that the model is trained on"
)
POWER = (
    "25 nouns on 1,000 test photos and 5 seeds: with a standard deviation of 40 % between nouns "
    "and 4 % between seeds the interval reaches 17 % to either side, so that a measured effect of "
    "31 % is supported; a trial run with less training had a larger deviation between nouns; the "
    "seeds draw weights and order alone, because the photos of the official training split are "
    "given"
)
PROXY = (
    "photos that are made grey, inverted or into edges stand for ImageNet's natural distribution "
    "shifts, and models of half a minute for CLIP and the ImageNet models; the models of four "
    "styles have seen these styles in training, and two styles that none has seen are reported "
    "beside them"
)
MARGIN_REASON = (
    "a quarter of 54 %: the paper's CLIP keeps 97 % of its ImageNet accuracy on the five shifts of "
    "Figure 13, and a ResNet-101 of equal accuracy keeps 43 %"
)

EXPERIMENTS = [
    Experiment(
        name="robustness_flickr8k",
        claim="C10a",
        title="Words against labels on photos in other styles, both trained on the same photos",
        dataset="flickr8k",
        measure=measure_photos,
        effects=ROBUSTNESS_EFFECTS,
        explain=explain_robustness,
        tune=tune_photos,
        notebook="09_robustness",
        small=SMALL,
        full=FULL,
        protocol=Protocol(
            quote=ROBUSTNESS_QUOTE,
            source=ROBUSTNESS_SOURCE,
            match="proxy",
            match_reason=PROXY
            + "; the paper's models differ in their training data as well, and it leaves open "
            "which of the two is the cause; here both sides learn from the same photos, so the "
            "verdict is about words alone, and the paper's own contrast is reported beside it",
            hypothesis=(
                "Trained on the same photos in four styles, words keep more of their precision "
                "above chance on the changed photos than labels do."
            ),
            conditions=CONDITIONS,
            equal=EQUAL,
            tuning=TUNING,
            power=POWER,
            margin=13.5,
            margin_reason=MARGIN_REASON + "; if words bring less, most of it has another cause",
            paper_effect=54.0,
            gates=GATES,
            opposite="labels of the same photos keep more than words",
        ),
    ),
    Experiment(
        name="diversity_flickr8k",
        claim="L6",
        title="What many styles bring on photos, against what words bring",
        dataset="flickr8k",
        measure=measure_photos,
        effects=DIVERSITY_EFFECTS,
        explain=explain_diversity,
        notebook="09_robustness",
        small=SMALL,
        full=FULL,
        protocol=Protocol(
            quote=DIVERSITY_QUOTE,
            source=DIVERSITY_SOURCE,
            match="proxy",
            match_reason=PROXY + "; the other factors are words and the contrastive loss together",
            hypothesis=(
                "Training on four styles adds more to what is kept than words instead of labels "
                "change it, in either direction."
            ),
            conditions=CONDITIONS,
            equal=EQUAL,
            tuning=TUNING + "; the runs are those of the experiment robustness_flickr8k",
            power=POWER,
            margin=13.5,
            margin_reason=MARGIN_REASON + "; these are the gains that Fang et al. explain",
            gates=GATES,
            opposite="words change what is kept by more than four styles add",
            version=2,
            changed=(
                "It reports what styles and words bring in two styles that no model has seen, as "
                "version 1 had promised and did not do. Nobody had looked at these two numbers "
                "before. The runs, what is on trial, the margin and the rule are those of version "
                "1, whose verdict was known."
            ),
        ),
    ),
]
