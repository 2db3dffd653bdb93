"""Experiments of notebook 08 with few examples: what a class's name is worth (paper Fig 6, 7)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clipnb.experiments.exams import read_classes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.probes import (
    SHOTS,
    Splits,
    average_by_all_classes,
    check_words,
    compare_words_and_probes,
    encode_for_probes,
    find_crossing,
    grade_crossing,
    label_splits,
    load_tower,
    probe_with_shots,
    render_probe_sets,
)
from clipnb.experiments.prompts import SCENE_TEMPLATES
from clipnb.experiments.quantities import accuracy
from clipnb.features import encode_images
from clipnb.recipes import QUICK

# ---- kinds, on three towers ------------------------------------------------------------------


def measure_few_shot(seed: int, n_images: int, pool: int, draws: int) -> tuple[Outcomes, dict]:
    """Name kinds with words, and with probes of 1 to 16 examples a class on three towers."""
    sets = render_probe_sets(n_images, pool)
    test_set = sets[-1]
    names, labels = read_classes(test_set, "kind")
    run = load_or_train_timed(QUICK, seed)
    unit_features = encode_images(run.model, test_set.images)
    outcomes = {
        "zero-shot": check_words(run, unit_features, labels, "kind"),
        "zero-shot, ensemble": check_words(run, unit_features, labels, "kind", SCENE_TEMPLATES),
    }
    for tower in ("contrastive", "supervised", "random"):
        projected = tower != "supervised"  # the supervised baseline has no projection
        features = encode_for_probes(load_tower(tower, seed), sets, projected)
        splits = label_splits(features, sets, "kind")
        outcomes[f"{tower} probe"] = probe_with_shots(splits, names, draws, seed)
    return outcomes, {"shots": list(SHOTS)}


def crossing_quantity(zero_shot: str) -> Quantity:
    """Make the quantity "examples a class with which a probe on CLIP's tower equals words".

    zero_shot: the condition of the words.
    """

    def quantity(outcomes: dict[str, Any]) -> float:
        curve = outcomes["contrastive probe"].mean(axis=0)
        return find_crossing(curve, outcomes[zero_shot].mean())

    return quantity


def words_lead_quantity(tower: str) -> Quantity:
    """Make the quantity "points by which words are above probes with 16 examples on a tower"."""

    def quantity(outcomes: dict[str, Any]) -> float:
        with_most_shots = outcomes[f"{tower} probe"][:, -1]
        return 100 * (outcomes["zero-shot"].mean() - with_most_shots.mean())

    return quantity


def judge_few_shot(quantities: Quantities) -> tuple[str, str]:
    """Judge where probes on CLIP's own tower reach zero-shot: the paper says at four examples.

    replicated: the interval of the crossing lies above 2. partly: above 1. contradicted: not above
    1 anywhere.
    """
    examples = quantities["examples a class"]
    lead = quantities["zero-shot minus 16 examples on the twin"]
    because = (
        f"words are worth {examples['mean']:.1f} examples a class (0.5: less than one, 32: more "
        f"than sixteen), and stand {lead['mean']:+.1f} points from 16 examples on the supervised "
        "twin's features."
    )
    return grade_crossing(examples["interval"], enough=2), because


# ---- class by class --------------------------------------------------------------------------


def measure_label_worth(seed: int, n_images: int, pool: int, draws: int) -> tuple[Outcomes, dict]:
    """Name kinds, colours and places with words, and with probes of 1 to 16 examples a class."""

    def probe(splits: Splits, names: Sequence[str]) -> np.ndarray:
        return probe_with_shots(splits, names, draws, seed)

    outcomes, classes = compare_words_and_probes(seed, n_images, pool, probe)
    worth = examples_by_class(outcomes).tolist()
    return outcomes, {"shots": list(SHOTS), "classes": classes, "worth": worth}


def examples_by_class(outcomes: dict[str, Any]) -> np.ndarray:
    """Return for each class the number of examples that its name is worth, float (C,)."""
    curves = average_by_all_classes(outcomes, "probe")  # (C, K)
    levels = average_by_all_classes(outcomes, "zero-shot")  # (C,)
    return np.array(list(map(find_crossing, curves, levels)))


def median_worth(outcomes: dict[str, Any]) -> float:
    """Return the examples that words are worth to the median class."""
    return float(np.median(examples_by_class(outcomes)))


def mean_worth(outcomes: dict[str, Any]) -> float:
    """Return the examples that words are worth to a class on average."""
    return examples_by_class(outcomes).mean()


def share_below_one(outcomes: dict[str, Any]) -> float:
    """Return the percentage of classes to which words are worth less than one example."""
    return 100 * np.mean(examples_by_class(outcomes) < 1)


def share_above_sixteen(outcomes: dict[str, Any]) -> float:
    """Return the percentage of classes to which words are worth more than sixteen examples."""
    return 100 * np.mean(examples_by_class(outcomes) > 16)


def judge_label_worth(quantities: Quantities) -> tuple[str, str]:
    """Judge what words are worth to the median class: the paper says 5.4 examples.

    replicated: the interval of the median lies above 2.7. partly: above 1. contradicted: not above
    1 anywhere.
    """
    median = quantities["median examples a class"]
    mean = quantities["mean examples a class"]
    because = (
        f"to the median class, words are worth {median['mean']:.1f} examples, on average "
        f"{mean['mean']:.1f} (counting 0.5 for less than one and 32 for more than sixteen)."
    )
    return grade_crossing(median["interval"], enough=2.7), because


EXPERIMENTS = [
    Experiment(
        name="few_shot",
        claim="C4",
        title="Zero-shot equals a probe with four examples a class",
        where="Fig 6",
        paper={"examples a class": 4},
        dataset="scenes",
        measure=measure_few_shot,
        quantities={
            "examples a class": crossing_quantity("zero-shot"),
            "examples a class, ensemble": crossing_quantity("zero-shot, ensemble"),
            "zero-shot": accuracy("zero-shot"),
            "zero-shot minus 16 examples on its own tower": words_lead_quantity("contrastive"),
            "zero-shot minus 16 examples on the twin": words_lead_quantity("supervised"),
            "zero-shot minus 16 examples on an untrained tower": words_lead_quantity("random"),
        },
        unit="examples",
        rule=(
            "replicated: the interval of the crossing lies above 2, half the paper's four; "
            "partly: above 1; contradicted: not above 1 anywhere"
        ),
        judge=judge_few_shot,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400, "draws": 3},
        full={"n_images": 2000, "pool": 2000, "draws": 10},
    ),
    Experiment(
        name="label_worth",
        claim="C5",
        title="How many labels words are worth",
        where="Fig 7",
        paper={"median": 5.4, "mean": 20.8},
        dataset="scenes",
        measure=measure_label_worth,
        quantities={
            "median examples a class": median_worth,
            "mean examples a class": mean_worth,
            "classes worth less than one": share_below_one,
            "classes worth more than sixteen": share_above_sixteen,
        },
        unit="examples",
        rule=(
            "replicated: the interval of the median lies above 2.7, half the paper's 5.4; "
            "partly: above 1; contradicted: not above 1 anywhere"
        ),
        judge=judge_label_worth,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400, "draws": 3},
        full={"n_images": 2000, "pool": 2000, "draws": 10},
    ),
]
