"""Experiment of notebook 09: what adapting to one style costs in the others (paper Fig 14, 15)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.probes import sample_shots
from clipnb.experiments.quantities import difference, surplus
from clipnb.experiments.robustness import (
    SHIFTED_STYLES,
    STYLED_RECIPE,
    effective_robustness,
    effective_robustness_quantity,
    fit_line_baselines,
    fit_styled_clip,
    render_test_sets,
    score_baselines,
    score_clip,
)
from clipnb.features import encode_images
from clipnb.model import CLIP

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


def measure_adaptation(
    seed: int, sizes: Sequence[int], epochs: int, n_images: int, shots: Sequence[int]
) -> tuple[Outcomes, dict]:
    """Measure who names the kinds in five styles: CLIP of many styles, before and after adapting.

    Adapting means a logistic regression on its features of k painted images of each kind, for every
    k in `shots`. The line is that of `measure_robustness`.
    """
    test_sets = render_test_sets(n_images)
    outcomes = score_baselines(fit_line_baselines(seed, sizes, epochs), test_sets)
    model, tokenizer = fit_styled_clip(seed, max(sizes), True, epochs)
    outcomes |= score_clip("zero-shot", model, tokenizer, test_sets)
    classifiers = adapt_to_painted(model, seed, shots)
    for style, test_set in test_sets.items():
        _, truth = read_classes(test_set, "kind")
        features = encode_images(model, test_set.images).numpy()  # (N, D)
        for k, classifier in classifiers.items():
            outcomes[f"{k} shots: {style}"] = classifier.predict(features) == truth
    return outcomes, {"shots": list(shots), "sizes": list(sizes)}


def adapt_to_painted(
    model: CLIP, seed: int, shots: Sequence[int]
) -> dict[int, "LogisticRegression"]:
    """Fit a classifier on CLIP's features to k painted images of each kind, for every k."""
    from sklearn.linear_model import LogisticRegression

    some_scenes = sample_scenes(24 * max(shots), "adapting", keep=has_one_thing)
    pool = render_dataset(some_scenes, STYLED_RECIPE.image_size)
    features = encode_images(model, pool.images).numpy()  # (N, D)
    kinds, labels = read_classes(pool, "kind")
    rng = np.random.default_rng(seed)
    classifiers = {}
    for k in shots:
        rows = sample_shots(labels, k, rng, kinds)
        classifier = LogisticRegression(C=100.0, max_iter=1000)
        classifiers[k] = classifier.fit(features[rows], labels[rows])
    return classifiers


def change_quantity(styles: Sequence[str]) -> Quantity:
    """Make the quantity "points that adapting with the most shots adds on some styles"."""

    def quantity(outcomes: dict[str, Any]) -> float:
        shots = max(outcomes["shots"])
        changes = []
        for style in styles:
            change = difference(f"{shots} shots: {style}", f"zero-shot: {style}")
            changes.append(change(outcomes))
        return np.mean(changes)

    return quantity


def adapted_robustness_quantity(choose: Callable[[Sequence[int]], int]) -> Quantity:
    """Make the quantity "effective robustness on the shifted styles after adapting".

    choose: which of the numbers of shots, `min` or `max`.
    """

    def quantity(outcomes: dict[str, Any]) -> float:
        return effective_robustness(outcomes, f"{choose(outcomes['shots'])} shots", SHIFTED_STYLES)

    return quantity


change_on_painted = change_quantity(["painted"])
change_on_shifted = change_quantity(SHIFTED_STYLES)
QUANTITIES = {
    "gained minus gained": surplus(change_on_painted, change_on_shifted),
    "gained on painted": change_on_painted,
    "gained on the shifted styles": change_on_shifted,
    "gained on the style never shown": change_quantity(["negative"]),
    "effective robustness, zero-shot": effective_robustness_quantity("zero-shot", SHIFTED_STYLES),
    "effective robustness, fewest shots": adapted_robustness_quantity(min),
    "effective robustness, most shots": adapted_robustness_quantity(max),
}


def judge_adaptation(quantities: Quantities) -> tuple[str, str]:
    """Judge by what adapting with the most shots adds.

    Replicated: painted images gain and the shifted styles lose, by the intervals. Partly: painted
    images gain more. Contradicted: they gain less. Not at this scale: the interval of that
    difference holds 0.
    """
    painted = quantities["gained on painted"]
    shifted = quantities["gained on the shifted styles"]
    reason = (
        f"fitting to painted images brings {painted['mean']:+.1f} points on them and "
        f"{shifted['mean']:+.1f} on the other styles (the paper: +9.2 and -4.7 to -2.8)."
    )
    low, high = quantities["gained minus gained"]["interval"]
    if painted["interval"][0] > 0 and shifted["interval"][1] < 0:
        return "replicated", reason
    if low > 0:
        return "partly", reason
    if high < 0:
        return "contradicted", reason
    return "not at this scale", reason


EXPERIMENTS = [
    Experiment(
        name="adaptation",
        claim="C10",
        title="Adapting to one style costs robustness",
        where="Fig 14, 15",
        paper={"ImageNet": 9.2, "ImageNet-R": -4.7, "Sketch": -2.8},
        dataset="scenes",
        measure=measure_adaptation,
        quantities=QUANTITIES,
        unit="points",
        rule=(
            "replicated: it gains on painted images and loses on the other styles, by the "
            "intervals; partly: it gains more on painted than on the others"
        ),
        judge=judge_adaptation,
        notebook="09_robustness",
        small={"sizes": [800, 1600], "epochs": 5, "n_images": 300, "shots": [4, 32]},
        full={
            "sizes": [1000, 2000, 4000, 6000],
            "epochs": 6,
            "n_images": 1000,
            "shots": [1, 4, 16, 64],
        },
    ),
]
