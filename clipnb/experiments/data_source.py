"""Experiment of notebook 09: the same images with captions of two sources (paper Table 12)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.quantities import average, difference
from clipnb.experiments.robustness import STYLED_RECIPE
from clipnb.experiments.small_clip import load_or_fit_clip
from clipnb.features import encode_dataset
from clipnb.metrics import retrieval_ranks
from clipnb.training import make_tokenizer
from clipnb.zero_shot import zero_shot_scores

SOURCES = {"terse and detailed": (0, 1), "wordy and vague": (2, 4)}  # numbers of the annotators
ATTRIBUTE_TASKS = ("kind", "colour", "place")
SOURCE_TASKS = (*ATTRIBUTE_TASKS, "retrieval")


def measure_data_source(seed: int, size: int, epochs: int, n_images: int) -> tuple[Outcomes, dict]:
    """Measure four tasks after training on the same images with captions of either source.

    The tasks are zero-shot accuracy of kind, colour and place, and text to image R@10 with the
    captions of all five annotators. size: the training images.
    """
    train_set = load_dataset("scenes", "train", STYLED_RECIPE.stored_size).subset(range(size))
    some_scenes = sample_scenes(n_images, "one_thing_seen", keep=has_one_thing)
    test_set = render_dataset(some_scenes, STYLED_RECIPE.image_size)
    outcomes = {}
    for source, annotators in SOURCES.items():
        own_set = keep_annotators(train_set, annotators)
        recipe = dataclasses.replace(
            STYLED_RECIPE,
            name=f"source_{annotators[0]}_{size}",
            captions_per_image=len(annotators),
            epochs=epochs,
        )
        tokenizer = make_tokenizer(recipe, own_set.captions)
        model = load_or_fit_clip(recipe, seed, own_set, tokenizer)
        for task in ATTRIBUTE_TASKS:
            names, truth = read_classes(test_set, task)
            cosines = zero_shot_scores(model, tokenizer, test_set.images, names)  # (N, C)
            outcomes[f"{source}: {task}"] = cosines.argmax(dim=1).numpy() == truth
        _, text_to_image = retrieval_ranks(*encode_dataset(model, tokenizer, test_set))
        hits = (text_to_image.view(n_images, -1) <= 10).double()  # (N, 5)
        outcomes[f"{source}: retrieval"] = hits.mean(dim=1).numpy()
    return outcomes, {}


def keep_annotators(dataset: CaptionDataset, annotators: Sequence[int]) -> CaptionDataset:
    """Return the dataset with the captions of some annotators only, given by their numbers."""
    captions = [[own[i] for i in annotators] for own in dataset.captions]
    return dataclasses.replace(dataset, captions=captions)


def swing_quantity(task: str) -> Quantity:
    """Make the quantity "points by which the first source is above the second in a task"."""
    return difference(f"terse and detailed: {task}", f"wordy and vague: {task}")


SWINGS = {task: swing_quantity(task) for task in SOURCE_TASKS}


def largest_swing(outcomes: dict[str, Any]) -> float:
    """Return the largest difference of the sources in a task, in points, without its sign."""
    return max(abs(swing(outcomes)) for swing in SWINGS.values())


QUANTITIES = {
    "difference of the averages": average(list(SWINGS.values())),
    "largest swing of a task": largest_swing,
    **{f"swing, {task}": swing for task, swing in SWINGS.items()},
}


def judge_data_source(quantities: Quantities) -> tuple[str, str]:
    """Judge by the difference of the two averages over the tasks.

    Replicated: its interval lies within 3 points either way. Contradicted: it lies outside. Not at
    this scale: it does neither.
    """
    averages = quantities["difference of the averages"]
    largest = quantities["largest swing of a task"]
    reason = (
        f"the averages differ by {averages['mean']:+.1f} points, the largest swing of a single "
        f"task is {largest['mean']:.0f} (the paper: 0.4, and more than 10)."
    )
    low, high = averages["interval"]
    if max(abs(low), abs(high)) < 3:
        return "replicated", reason
    if low > 3 or high < -3:
        return "contradicted", reason
    return "not at this scale", reason


EXPERIMENTS = [
    Experiment(
        name="data_source",
        claim="C13",
        title="The source of the captions matters little",
        where="Table 12",
        paper={"averages": "29.6 and 30.0", "largest swings": "> 10"},
        dataset="scenes",
        measure=measure_data_source,
        quantities=QUANTITIES,
        unit="points",
        rule=(
            "replicated: the interval of the difference of the averages lies within 3 points; "
            "contradicted: outside"
        ),
        judge=judge_data_source,
        rule_settled="after a first look",
        notebook="09_robustness",
        small={"size": 1600, "epochs": 5, "n_images": 300},
        full={"size": 6000, "epochs": 6, "n_images": 1000},
    ),
]
