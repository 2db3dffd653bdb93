"""Experiments of notebook 08 with all labels: words and towers beside full probes.

They test the paper's Fig 5, 8, 10 and 11.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clipnb.experiments.exams import read_classes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.probes import (
    PROBE_TASKS,
    TAUGHT_TASKS,
    UNTAUGHT_TASKS,
    Splits,
    average_by_all_classes,
    average_by_class,
    check_words,
    compare_words_and_probes,
    encode_for_probes,
    label_splits,
    lead_quantity,
    load_tower,
    probe_with_all_labels,
    render_probe_sets,
)
from clipnb.features import encode_images
from clipnb.recipes import QUICK

# ---- words and probes, class by class --------------------------------------------------------


def measure_tracks_supervised(seed: int, n_images: int, pool: int) -> tuple[Outcomes, dict]:
    """Name kinds, colours and places with words, and with probes that have seen all labels."""

    def probe(splits: Splits, names: Sequence[str]) -> np.ndarray:
        return probe_with_all_labels(splits)

    outcomes, classes = compare_words_and_probes(seed, n_images, pool, probe)
    numbers = {"classes": classes}
    for condition in ("zero-shot", "probe"):
        by_class = 100 * average_by_all_classes(outcomes, condition)
        numbers[f"{condition}, by class"] = by_class.tolist()
    return outcomes, numbers


def correlate(x: Sequence[float], y: Sequence[float]) -> float:
    """Return Pearson's r, or 0 if one of the two never changes."""
    if np.std(x) == 0 or np.std(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def correlation_over_classes(outcomes: dict[str, Any]) -> float:
    """Return Pearson's r of zero-shot's and the probe's accuracy over all classes."""
    zero_shot = average_by_all_classes(outcomes, "zero-shot")
    probe = average_by_all_classes(outcomes, "probe")
    return correlate(zero_shot, probe)


def correlation_over_kinds(outcomes: dict[str, Any]) -> float:
    """Return Pearson's r of zero-shot's and the probe's accuracy over the kinds."""
    zero_shot = average_by_class(outcomes["zero-shot, kind"], outcomes["kind"])
    probe = average_by_class(outcomes["probe, kind"], outcomes["kind"])
    return correlate(zero_shot, probe)


def lead_over_words(outcomes: dict[str, Any]) -> float:
    """Return the points by which the probe is above zero-shot, on average over classes."""
    zero_shot = average_by_all_classes(outcomes, "zero-shot")
    probe = average_by_all_classes(outcomes, "probe")
    return 100 * np.mean(probe - zero_shot)


def judge_tracks_supervised(quantities: Quantities) -> tuple[str, str]:
    """Judge the correlation over classes with `judge_correlation`."""
    return judge_correlation(quantities["r over classes"], quantities["the probe's lead"])


def judge_correlation(correlation: dict, lead: dict) -> tuple[str, str]:
    """Judge whether zero-shot goes along with a full probe, from r and the probe's lead.

    replicated: the interval of r lies above 0.5. partly: above 0. contradicted: below 0.
    """
    because = (
        "zero-shot and a probe with all labels go together, "
        f"r = {correlation['mean']:.2f} over classes; the probe leads by {lead['mean']:.1f} points."
    )
    low, high = correlation["interval"]
    if low > 0.5:
        return "replicated", because
    if low > 0:
        return "partly", because
    if high < 0:
        return "contradicted", because
    return "not at this scale", because


# ---- words against the supervised baseline ---------------------------------------------------


def measure_supervised_probe(seed: int, n_images: int, pool: int) -> tuple[Outcomes, dict]:
    """Set words against probes with all labels on the supervised baseline's tower, five tasks."""
    sets = render_probe_sets(n_images, pool)
    test_set = sets[-1]
    run = load_or_train_timed(QUICK, seed)
    features = encode_for_probes(load_tower("supervised", seed), sets, projected=False)
    unit_features = encode_images(run.model, test_set.images)
    outcomes = {}
    for task in PROBE_TASKS:
        _, labels = read_classes(test_set, task)
        splits = label_splits(features, sets, task)
        outcomes[f"zero-shot, {task}"] = check_words(run, unit_features, labels, task)
        outcomes[f"supervised, {task}"] = probe_with_all_labels(splits)
    return outcomes, {}


def task_lead_quantity(task: str) -> Quantity:
    """Make the quantity "points by which words are above the supervised probe in a task"."""
    return lead_quantity("zero-shot", "supervised", [task])


def count_wins(outcomes: dict[str, Any]) -> float:
    """Return the number of tasks that words win against the supervised probe."""
    return float(sum(task_lead_quantity(task)(outcomes) > 0 for task in PROBE_TASKS))


def judge_supervised_probe(quantities: Quantities) -> tuple[str, str]:
    """Judge the tasks that words win, and counting, in which the paper's words lose.

    replicated: more than half of the tasks are won, and counting is lost by its interval. partly:
    at least one is won, and counting is lost. contradicted: counting is won by its interval.
    """
    wins = quantities["tasks won of five"]
    count = quantities["lead in count"]
    because = (
        f"zero-shot wins {wins['mean']:.1f} of five tasks against a probe with all labels on the "
        f"supervised twin; it stands at {count['mean']:+.1f} points in counting."
    )
    count_low, count_high = count["interval"]
    if count_low > 0:
        return "contradicted", because
    if wins["mean"] > 2.5 and count_high < 0:
        return "replicated", because
    if wins["mean"] >= 1 and count_high < 0:
        return "partly", because
    return "not at this scale", because


# ---- four towers -----------------------------------------------------------------------------


def measure_representations(
    seed: int, n_images: int, pool: int, epochs: int = QUICK.epochs
) -> tuple[Outcomes, dict]:
    """Name five tasks with probes with all labels on four towers.

    The features are taken before the projection, and after it too where the tower has one. epochs:
    how long each tower is trained.
    """
    sets = render_probe_sets(n_images, pool)
    outcomes = {}
    for tower in ("contrastive", "supervised", "predictive", "random"):
        model = load_tower(tower, seed, epochs)
        has_projection = tower in ("contrastive", "random")
        for place in ("before", "after") if has_projection else ("before",):
            features = encode_for_probes(model, sets, projected=place == "after")
            for task in PROBE_TASKS:
                splits = label_splits(features, sets, task)
                outcomes[f"{tower} {place}, {task}"] = probe_with_all_labels(splits)
    return outcomes, {}


def judge_representations(quantities: Quantities) -> tuple[str, str]:
    """Judge the lead of CLIP's tower over the supervised baseline's.

    replicated: the interval of the lead over five tasks lies above 0. partly: that of the lead over
    the two tasks that the baseline was not taught. contradicted: neither, and the interval of the
    lead over five tasks lies below 0.
    """
    lead = quantities["contrastive minus supervised"]
    untaught = quantities["contrastive minus supervised, count and size"]
    over_random = quantities["contrastive minus random"]
    because = (
        f"probes on CLIP's tower stand {lead['mean']:+.1f} points from those on its supervised "
        f"twin over five tasks, {untaught['mean']:+.1f} on the two that the twin was not taught, "
        f"and {over_random['mean']:+.1f} from those on an untrained tower."
    )
    low, high = lead["interval"]
    if low > 0:
        return "replicated", because
    if untaught["interval"][0] > 0:
        return "partly", because
    if high < 0:
        return "contradicted", because
    return "not at this scale", because


def tower_lead_quantity(other: str, tasks: Sequence[str] = PROBE_TASKS) -> Quantity:
    """Make the quantity "points by which CLIP's tower is above another, before the projection"."""
    return lead_quantity("contrastive before", f"{other} before", tasks)


EXPERIMENTS = [
    Experiment(
        name="tracks_supervised",
        claim="C6",
        title="Zero-shot goes with supervised accuracy",
        where="Fig 8",
        paper={"r": 0.82, "the probe's lead": "10 to 25 points"},
        dataset="scenes",
        measure=measure_tracks_supervised,
        quantities={
            "r over classes": correlation_over_classes,
            "r over kinds": correlation_over_kinds,
            "the probe's lead": lead_over_words,
        },
        unit="correlation",
        rule="replicated: the interval of r lies above 0.5; partly: above 0; contradicted: below 0",
        judge=judge_tracks_supervised,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400},
        full={"n_images": 2000, "pool": 2000},
    ),
    Experiment(
        name="supervised_probe",
        claim="C7",
        title="Zero-shot rivals a supervised probe, but not in counting",
        where="Fig 5",
        paper={"datasets won": "16 of 27", "CLEVRCounts": -18.2, "Food101": 22.5},
        dataset="scenes",
        measure=measure_supervised_probe,
        quantities={
            "tasks won of five": count_wins,
            "lead over five tasks": lead_quantity("zero-shot", "supervised"),
            **{f"lead in {task}": task_lead_quantity(task) for task in PROBE_TASKS},
        },
        unit="tasks",
        rule=(
            "replicated: more than half of the tasks won, and counting lost by its interval; "
            "partly: at least one won, and counting lost; contradicted: counting won by its "
            "interval"
        ),
        judge=judge_supervised_probe,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400},
        full={"n_images": 2000, "pool": 2000},
    ),
    Experiment(
        name="representations",
        claim="C9",
        title="Its features are the better ones for linear probes",
        where="Fig 10, 11",
        paper={"12 datasets": 2.6, "27 datasets": 5},
        dataset="scenes",
        measure=measure_representations,
        quantities={
            "contrastive minus supervised": tower_lead_quantity("supervised"),
            "contrastive minus supervised, count and size": tower_lead_quantity(
                "supervised", UNTAUGHT_TASKS
            ),
            "contrastive minus supervised, taught tasks": tower_lead_quantity(
                "supervised", TAUGHT_TASKS
            ),
            "contrastive minus predictive": tower_lead_quantity("predictive"),
            "contrastive minus random": tower_lead_quantity("random"),
            "after minus before the projection": lead_quantity(
                "contrastive after", "contrastive before"
            ),
        },
        unit="points",
        rule=(
            "replicated: the interval of the lead over the supervised twin's tower, on five tasks, "
            "lies above 0; partly: on the two tasks that the twin was not taught; contradicted: "
            "neither, and the lead's interval lies below 0"
        ),
        judge=judge_representations,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400, "epochs": 1},
        full={"n_images": 2000, "pool": 2000},
    ),
]
