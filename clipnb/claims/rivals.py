"""C7a: do words rival a linear probe on features that were taught something else?

The paper's opponent is a ResNet-50 that was taught ImageNet and is probed on 27 other tasks. In the
first sitting the opponent was taught the very tasks of the test. Here it is taught some labels and
probed on others, so that every task is a transfer. Each label is a task, and the tasks are what the
claim ranges over.
"""

import numpy as np

from clipnb.claims.drawn import DRAWN, N_TRAINING, TUNING_SEED
from clipnb.claims.experiment import Outcomes
from clipnb.claims.twins import (
    BEST_MUON_RATES,
    BEST_RATES,
    MUON_RATES,
    PHOTO_TUNING,
    RATES,
    TUNING,
    TUNING_SETS,
    TWINS,
    is_taught,
    is_taught_noun,
    load_clip,
    load_noun_twin,
    load_photo_clip,
    load_photos,
    load_twin,
)
from clipnb.datasets import CaptionDataset
from clipnb.experiments.asking import ask, ask_nouns, knows_word
from clipnb.experiments.nouns import NOUN_CLASSES, average_precisions, noun_truth
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

# ---- scenes ----------------------------------------------------------------------------------


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
    for sort, twins in TWINS.items():
        towers = []
        for twin in twins:
            model = load_twin(twin, seed, BEST_RATES[sort], epochs, n_training)
            towers.append((encode_for_probes(model, sets, projected=False), is_taught(twin)))
        outcomes[f"_{sort}"] = probe_untaught(towers, truths[:2])
    return outcomes, {"tasks": [f"{attribute} {value}" for attribute, value in SCENE_TAGS]}


def score_words(run: Run, dataset: CaptionDataset) -> np.ndarray:
    """Score images of scenes by the words for the 33 tags, float (N, 33)."""
    features = encode_images(run.model, dataset.images)
    return ask(run, features, [describe_tag(tag) for tag in SCENE_TAGS])


def tune_rivals() -> dict[str, dict[str, float]]:
    """Measure three learning rates for CLIP and for the first twin of each sort, on dev."""
    sets = render_probe_sets(**TUNING_SETS)
    truths = [tag_truth(dataset) for dataset in sets]
    scores = {"words": {}, "near": {}, "far": {}}
    for rate in RATES:
        run = load_clip(TUNING_SEED, rate, **TUNING)
        precision = average_precisions(score_words(run, sets[1]), truths[1])
        scores["words"][f"{rate:g}"] = float(np.nanmean(precision))
        for sort, (twin, _) in TWINS.items():
            model = load_twin(twin, TUNING_SEED, rate, **TUNING)
            features = encode_for_probes(model, sets, projected=False)
            columns = ~is_taught(twin)
            _, precision = probe_tags(features, [own[:, columns] for own in truths[:2]])
            scores[sort][f"{rate:g}"] = precision
    return scores


# ---- photos ----------------------------------------------------------------------------------


def measure_rivals_flickr8k(seed: int) -> tuple[Outcomes, dict]:
    """Score 25 nouns in the test photos with words, and with probes on twins not taught them."""
    sets = load_photos()
    truths = [noun_truth(dataset) for dataset in sets]
    run = load_photo_clip(seed, BEST_MUON_RATES["words"])
    towers = []
    for half in ("odd", "even"):
        model = load_noun_twin(half, seed, sets[0], BEST_MUON_RATES["probe"])
        towers.append((encode_for_probes(model, sets, projected=False), is_taught_noun(half)))
    outcomes = {
        "_truth": truths[-1],
        "_words": score_nouns(run, sets[-1]),
        "_probe": probe_untaught(towers, truths[:2]),
    }
    return outcomes, {"tasks": list(NOUN_CLASSES)}


def score_nouns(run: Run, dataset: CaptionDataset) -> np.ndarray:
    """Score photos by the words for the 25 nouns, in singular and plural, float (N, 25)."""
    features = encode_images(run.model, dataset.images)
    return ask(run, features, ask_nouns(NOUN_CLASSES, knows_word(run))["both"])


def tune_rivals_flickr8k() -> dict[str, dict[str, float]]:
    """Measure three learning rates for CLIP and for one twin, on dev, with half of the epochs."""
    sets = load_photos()
    truths = [noun_truth(dataset) for dataset in sets]
    columns = ~is_taught_noun("odd")
    scores = {"words": {}, "probe": {}}
    for rate in MUON_RATES:
        run = load_photo_clip(TUNING_SEED, rate, **PHOTO_TUNING)
        precision = average_precisions(score_nouns(run, sets[1]), truths[1])
        scores["words"][f"{rate:g}"] = float(np.nanmean(precision))
        twin = load_noun_twin("odd", TUNING_SEED, sets[0], rate, **PHOTO_TUNING)
        features = encode_for_probes(twin, sets, projected=False)
        _, precision = probe_tags(features, [own[:, columns] for own in truths[:2]])
        scores["probe"][f"{rate:g}"] = precision
    return scores
