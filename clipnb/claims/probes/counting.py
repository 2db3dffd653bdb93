"""C7b: are words weak in counting, more than they are in naming kinds?

In the first sitting words were asked "a", "two" and "three" without a noun, though no caption says
a number alone. Here they are asked as well as can be: with the noun of the thing and with all the
words that captions have for a number. Words lose against a probe on their own features in every
task that is not solved. So what is on trial is how much more they lose in counting than in kinds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from clipnb.claims.drawn import DRAWN, N_TRAINING
from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.probes.twins import BEST_RATES, load_clip, load_twin
from clipnb.experiments.asking import score_sentences
from clipnb.experiments.exams import ATTRIBUTES
from clipnb.experiments.probes import (
    TAUGHT_TASKS,
    encode_for_probes,
    label_splits,
    probe_with_all_labels,
    render_probe_sets,
)
from clipnb.experiments.tagging import COUNTS, describe_tag
from clipnb.features import encode_images
from clipnb.scenes import KINDS
from clipnb.scenes.words import NOUN_FORMS

# All words that captions have for a number. They say one of the last three for three.
NUMBERS = {
    1: ("a", "one"),
    2: ("two", "a pair of"),
    3: ("three", "some", "several", "a few"),
}
BARE_NUMBERS = [["a"], ["two"], ["three"]]  # as the first sitting asked
CHANCE = 100 / len(COUNTS)  # percent
CHANCE_OF_KINDS = 100 / len(KINDS)


def tell_number(kind: str, count: int) -> list[str]:
    """Return all ways to say how many of a kind there are, such as "two dogs"."""
    noun = NOUN_FORMS[kind].plain[0][count > 1]
    return [f"{number} {noun}" for number in NUMBERS[count]]


def measure_counting(
    seed: int,
    n_images: int,
    pool: int,
    epochs: int = DRAWN.epochs,
    n_training: int = N_TRAINING,
) -> tuple[Outcomes, dict]:
    """Count one to three things of a kind with words and with probes, and name what they are.

    The words know the kind, or they are summed over all kinds. The probes are on CLIP's own
    features, and on those of a twin that was taught kinds alone.
    """
    sets = render_probe_sets(n_images, pool)
    run = load_clip(seed, BEST_RATES["words"], epochs, n_training)
    unit = encode_images(run.model, sets[-1].images)  # (N, D)
    own = encode_for_probes(run.model, sets)
    twin = load_twin("kinds", seed, BEST_RATES["far"], epochs, n_training)
    transferred = encode_for_probes(twin, sets, projected=False)
    splits = {task: label_splits(own, sets, task) for task in ("count", *TAUGHT_TASKS)}
    counts, kinds = (splits[task].test.labels for task in ("count", "kind"))

    cosines = score_sentences(run, unit, [tell_number(kind, n) for kind in KINDS for n in COUNTS])
    by_kind = cosines.reshape(len(cosines), len(KINDS), len(COUNTS))
    of_true_kind = by_kind[np.arange(len(kinds)), kinds]  # (N, 3)
    scale = run.model.logit_scale.exp().item()
    of_all_kinds = torch.logsumexp(scale * torch.from_numpy(by_kind), dim=1).numpy()  # (N, 3)
    outcomes = {
        "words": of_true_kind.argmax(axis=1) == counts,
        "words, any kind": of_all_kinds.argmax(axis=1) == counts,
        "words, number alone": score_sentences(run, unit, BARE_NUMBERS).argmax(axis=1) == counts,
        "probe": probe_with_all_labels(splits["count"]),
        "transferred probe": probe_with_all_labels(label_splits(transferred, sets, "count")),
    }
    for task in TAUGHT_TASKS:
        sentences = [describe_tag((task, value)) for value in ATTRIBUTES[task]]
        named = score_sentences(run, unit, sentences).argmax(axis=1)
        outcomes[f"words, {task}"] = named == splits[task].test.labels
        outcomes[f"probe, {task}"] = probe_with_all_labels(splits[task])
    return outcomes, {}


def points_above(condition: str, other: str) -> Callable[[dict[str, Any]], float]:
    """Make the effect "points by which a condition is above another"."""
    return lambda outcomes: 100 * float(outcomes[condition].mean() - outcomes[other].mean())


def percent_right(condition: str) -> Callable[[dict[str, Any]], float]:
    """Make the effect "percent right under a condition"."""
    return lambda outcomes: 100 * float(outcomes[condition].mean())


def lose_more_than_in(*tasks: str) -> Callable[[dict[str, Any]], float]:
    """Make the effect "points that words lose in counting, less the mean loss in naming tasks"."""

    def loss(outcomes: dict[str, Any]) -> float:
        named = [points_above(f"probe, {task}", f"words, {task}")(outcomes) for task in tasks]
        return points_above("probe", "words")(outcomes) - float(np.mean(named))

    return loss


COUNTING_EFFECTS = {
    "more lost in counts than in kinds": Effect(compute=lose_more_than_in("kind"), unit="points"),
    "more lost in counts than in kinds, colours and places": Effect(
        compute=lose_more_than_in(*TAUGHT_TASKS), unit="points"
    ),
    "probe minus words": Effect(compute=points_above("probe", "words"), unit="points"),
    "the same, any kind": Effect(compute=points_above("probe", "words, any kind"), unit="points"),
    "transferred probe minus words": Effect(
        compute=points_above("transferred probe", "words"), unit="points"
    ),
    "probe minus words in kinds": Effect(
        compute=points_above("probe, kind", "words, kind"), unit="points"
    ),
    "probe in counting": Effect(compute=percent_right("probe"), unit="percent"),
    "words in kinds": Effect(compute=percent_right("words, kind"), unit="percent"),
    "probe in kinds": Effect(compute=percent_right("probe, kind"), unit="percent"),
}


def explain_counting(effects: dict[str, dict]) -> str:
    """Tell how far words stay below the probe in counting and in naming kinds."""
    return (
        f"words count {effects['probe minus words']['mean']:.1f} points worse than a probe on the "
        f"same features, which counts {effects['probe in counting']['mean']:.0f} % rightly; in "
        f"naming kinds they are {effects['probe minus words in kinds']['mean']:.1f} points worse, "
        f"at {effects['words in kinds']['mean']:.0f} %."
    )


COUNTING = Experiment(
    name="counting",
    claim="C7b",
    title="What words lose against a probe in counting, beside kinds",
    dataset="scenes",
    measure=measure_counting,
    effects=COUNTING_EFFECTS,
    explain=explain_counting,
    notebook="08_linear_probe_and_few_shot",
    small={"n_images": 400, "pool": 400, "epochs": 3, "n_training": 1500},
    full={"n_images": 2000, "pool": 2000},
    protocol=Protocol(
        quote=(
            "Looking at where zero-shot CLIP notably underperforms, we see that zero-shot CLIP is "
            "quite weak on several specialized, complex, or abstract tasks such as satellite image "
            "classification (EuroSAT and RESISC45), lymph node tumor detection (PatchCamelyon), "
            "counting objects in synthetic scenes (CLEVRCounts), self-driving related tasks such "
            "as German traffic sign recognition (GTSRB), recognizing distance to the nearest car "
            "(KITTI Distance)."
        ),
        source="Radford et al. 2021, §3.1.5, page 9; Figure 5",
        match="proxy",
        match_reason=(
            "The scenes hold one to three things, and those of CLEVR more. The paper compares "
            "words with a probe on a ResNet-50 that was taught ImageNet. Here the probe is on "
            "CLIP's own features, so that a loss comes from the words and not from the features; a "
            "probe on a twin that was taught kinds stands beside it."
        ),
        hypothesis=(
            "Words lose more points against a probe on the same features in counting than they "
            "lose in naming kinds."
        ),
        conditions={
            "words": (
                "CLIP, zero-shot. The question holds the noun of the thing, and a number is the "
                "mean of all words that captions have for it, such as “two” and “a pair of”."
            ),
            "words, any kind": "The same, summed over all kinds: the kind is not told.",
            "words, number alone": "“a”, “two”, “three”, as the first sitting asked.",
            "probe": "A probe with 2,000 labels on the features that the words are compared with.",
            "transferred probe": "The same on a supervised twin that was taught kinds alone.",
            "words, kind": "CLIP, zero-shot, naming kinds in every number.",
            "probe, kind": "A probe on CLIP's features naming kinds.",
            "colour and place": (
                "The same for colours and places, beside the trial: they are nearly solved, so "
                "that words can hardly lose in them."
            ),
        },
        equal=(
            "The model, the features and the test images of words and probe. The probe alone sees "
            "2,000 labelled images, and 1,000 more to choose C, for counts and kinds alike."
        ),
        tuning=(
            "The rates of CLIP and of the twin are those of the experiment `rivals`, the best of "
            "three each on dev. The probe's C is the best of six on images of validation."
        ),
        power=(
            "In a pilot the 2,000 images gave a standard error of 1.6 points. Five seeds with a "
            "standard deviation of 3 points would add 1.3, so that a difference of 5 points is "
            "told from none, and one of 9 from the margin. In the same pilot, with seed 200, words "
            "lost 11.5 points in counting and 10.4 in kinds, and 0.1 in counting against the "
            "transferred probe. An earlier draft had the loss in counting alone on trial. It was "
            "changed after that look, because a loss that is as large in kinds is not one of "
            "counting."
        ),
        margin=4.2,
        margin_reason=(
            "A quarter of the paper's effect: in Figure 5 words lose 18.2 points in CLEVRCounts, "
            "and 1.3 on average in the 26 other datasets."
        ),
        paper_effect=16.9,
        gates=(
            Gate(
                effect="words in kinds",
                above=4 * CHANCE_OF_KINDS,
                why="the words name nothing, so that being weak in counting means nothing",
            ),
            Gate(
                effect="probe in counting",
                above=1.5 * CHANCE,
                why="the features do not hold the number, and nothing could be lost by asking",
            ),
            Gate(
                effect="probe in kinds",
                below=95.0,
                why="kinds are solved, and words can hardly lose in them",
            ),
        ),
        opposite="Words lose less in counting than in naming kinds: the interval lies below 0.",
    ),
)
