"""C7a: do words rival a linear probe on features that were taught something else?

The paper's opponent is a ResNet-50 that was taught ImageNet and is probed on 27 other tasks. In the
first sitting the opponent was taught the very tasks of the test. Here it is taught some labels and
probed on others, so that every task is a transfer. Each label is a task, and the tasks are what the
claim ranges over.
"""

import numpy as np
from torch import nn

from clipnb.claims.drawn import DRAWN, N_TRAINING, TRIED_RATES, TUNING_SEED
from clipnb.claims.experiment import Effect, Experiment, Outcomes, Protocol
from clipnb.claims.probes.best_epochs import load_best_labels
from clipnb.claims.probes.counting import COUNTING
from clipnb.claims.probes.counting_all_tasks import COUNTING_ALL_TASKS
from clipnb.claims.probes.rival_effects import COMMON, explain_rivals, lead_over, make_effects
from clipnb.claims.probes.rivals_photos import RIVALS_FLICKR8K
from clipnb.claims.probes.twins import (
    BEST_RATES,
    TUNING,
    TUNING_SETS,
    TWINS,
    is_taught,
    load_clip,
    load_untrained,
)
from clipnb.datasets import CaptionDataset
from clipnb.experiments.asking import score_sentences
from clipnb.experiments.exams import ATTRIBUTES
from clipnb.experiments.nouns import average_precisions
from clipnb.experiments.probes import encode_for_probes, render_probe_sets
from clipnb.experiments.tagging import (
    SCENE_TAGS,
    describe_tag,
    probe_tags,
    probe_untaught,
    tag_truth,
)
from clipnb.features import encode_images
from clipnb.runs import Run


def measure_rivals(
    seed: int,
    n_images: int,
    pool: int,
    epochs: int = DRAWN.epochs,
    n_training: int = N_TRAINING,
) -> tuple[Outcomes, dict]:
    """Score 33 tags with words, and with probes on two sorts of twins that were not taught them."""
    sets = render_probe_sets(n_images, pool)
    truths = [tag_truth(dataset) for dataset in sets]
    run = load_clip(seed, BEST_RATES["words"], epochs, n_training)
    outcomes = {"_truth": truths[-1], "_words": score_words(run, sets[-1])}
    kept = [run.metrics["best_epoch"]]
    for sort, twins in TWINS.items():
        towers = []
        for twin in twins:
            model, epoch = load_best_twin(twin, seed, BEST_RATES[sort], epochs, n_training)
            towers.append((encode_for_probes(model, sets, projected=False), is_taught(twin)))
            kept.append(epoch)
        outcomes[f"_{sort}"] = probe_untaught(towers, truths[:2])
    untrained = encode_for_probes(load_untrained(DRAWN, seed), sets, projected=False)
    outcomes["_untrained"], _ = probe_tags(untrained, truths[:2])
    tasks = [f"{attribute} {value}" for attribute, value in SCENE_TAGS]
    return outcomes, {"tasks": tasks, "kept epochs": kept}


def load_best_twin(
    twin: str, seed: int, rate: float, epochs: int, n_training: int
) -> tuple[nn.Module, int]:
    """Train a twin on the tags that it is taught, or load it: its best epoch, and which one."""

    def find_truth(dataset: CaptionDataset) -> np.ndarray:
        return tag_truth(dataset)[:, is_taught(twin)]

    return load_best_labels(twin, find_truth, seed, rate, epochs, n_training)


def score_words(run: Run, dataset: CaptionDataset) -> np.ndarray:
    """Score images of scenes by the words for the 33 tags, float (N, 33)."""
    features = encode_images(run.model, dataset.images)
    return score_sentences(run, features, [describe_tag(tag) for tag in SCENE_TAGS])


def tune_rivals() -> dict[str, dict[str, float]]:
    """Measure five learning rates for CLIP and for the first twin of each sort, on dev."""
    sets = render_probe_sets(**TUNING_SETS)
    truths = [tag_truth(dataset) for dataset in sets]
    scores = {"words": {}, "near": {}, "far": {}}
    for rate in TRIED_RATES:
        run = load_clip(TUNING_SEED, rate, **TUNING)
        precision = average_precisions(score_words(run, sets[1]), truths[1])
        scores["words"][f"{rate:g}"] = float(np.nanmean(precision))
        for sort, (twin, _) in TWINS.items():
            model, _ = load_best_twin(twin, TUNING_SEED, rate, **TUNING)
            features = encode_for_probes(model, sets, projected=False)
            columns = ~is_taught(twin)
            _, precision = probe_tags(features, [own[:, columns] for own in truths[:2]])
            scores[sort][f"{rate:g}"] = precision
    return scores


OPPONENTS = ("near", "far")
# Places are left out of the trial: a probe on an untrained tower names them too (99 %), so that
# they would make any two models look alike.
TRIED = ("kind", "colour", "size", "count")
RIVALS_EFFECTS = make_effects(*OPPONENTS, group=TRIED) | {
    f"words minus the {name}": Effect(compute=compute, unit="points", over="units")
    for name, compute in {
        "near probe": lead_over("near", group=TRIED),
        "far probe": lead_over("far", group=TRIED),
        **{f"probe, {own}": lead_over(*OPPONENTS, group=[own]) for own in ATTRIBUTES},
    }.items()
}
RIVALS = Experiment(
    name="rivals",
    claim="C7a",
    title="Words against probes on transferred features",
    dataset="scenes",
    measure=measure_rivals,
    effects=RIVALS_EFFECTS,
    explain=explain_rivals,
    tune=tune_rivals,
    notebook="08_linear_probe_and_few_shot",
    small={"n_images": 400, "pool": 400, "epochs": 3, "n_training": 1500},
    full={"n_images": 2000, "pool": 2000},
    protocol=Protocol(
        **COMMON,
        match_reason=(
            "The tasks are 25 yes-or-no questions about one drawn world and not 27 datasets, the "
            "opponent was taught other labels of that world and not ImageNet, and the score is "
            "average precision instead of accuracy. The 25 tasks belong to four attributes, so "
            "they differ less than datasets. As in the paper, CLIP has read about every "
            "task, and the opponent has not."
        ),
        hypothesis=(
            "Words win clearly more than a quarter of the tasks against a probe with all labels on "
            "a tower that was taught other labels, and the paper's win 16 of 27."
        ),
        conditions={
            "words": (
                "CLIP, zero-shot. A tag is the mean of sentences in every number, such as “a red "
                "dog” and “two red dogs”, over all kinds and counts that the tag leaves open."
            ),
            "near": (
                "Probes on two supervised twins, each taught every other kind, colour and place. A "
                "tag is probed on the twin that was not taught it."
            ),
            "far": (
                "Probes on two supervised twins, one taught the kinds, the other colours and "
                "places. No twin is taught counts and sizes."
            ),
            "untrained": (
                "Probes on the untrained image encoder, for a gate. They name the eight places at "
                "99 %, so these are no tasks on trial; kinds, colours, sizes and counts are. "
                "Places were left out after a pilot in which words lost least in them."
            ),
        },
        equal=(
            "The 6,000 training scenes of a seed, the image encoder, the number of steps, batch "
            "size and optimizer. The probes alone see 2,000 labelled images, each with one kind of "
            "thing, and 1,000 more to choose C. CLIP alone sees captions. All keep their "
            "best epoch on the 1,000 dev scenes, which no probe sees: CLIP by mean recall, a twin "
            "by the mean average precision of the labels that it is taught. The effect is the mean "
            "over near and far."
        ),
        tuning=(
            "Five learning rates for CLIP, for one near and for one far twin, each on 3,000 "
            "images for four epochs with seed 100, by mean average precision on images of "
            "validation. One C of four for all tags of a tower, on validation."
        ),
        power=(
            "With 25 tasks the interval of the share reaches 0.2 either way. So words that win 14 "
            "of them are above the margin, and words that win one are below a quarter. If words "
            "win each task with the paper's chance, that happens in about seven of ten "
            "replications. Five seeds add little noise to that."
        ),
        version=2,
        changed=(
            "In version 1 CLIP kept its best epoch on dev, and a twin its last one. Now the twins "
            "keep their best epoch too. They are trained anew; CLIP's recipe and rate are the "
            "same, and so are the seeds, the margin and the rule. The result of version 1 was "
            "known: words won 18 to 20 of the 25 tasks with each seed, and the share beyond a "
            "quarter was 0.50 (0.33 to 0.68). What was known as well: the best epoch of CLIP was "
            "its last one with all five seeds, and so it was for every twin in the tuning. So "
            "little can change by this. The learning rates were tuned anew, and the best ones are "
            "the same."
        ),
    ),
)
EXPERIMENTS = [RIVALS, RIVALS_FLICKR8K, COUNTING, COUNTING_ALL_TASKS]
