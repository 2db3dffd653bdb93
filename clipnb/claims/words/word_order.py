"""L3: does a model lose anything when the words of its captions are shuffled?

The claim came after the paper and was not in the first sitting. A bag of words cannot lose anything
by construction, so the models here have a transformer, which can tell word orders apart. The loss
is a share of all that the model has above chance, and captions in which every third word is a wrong
one show that the measurement can see a loss.
"""

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from clipnb.claims.drawn import N_TRAINING
from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.words.gap import recall_by_image
from clipnb.claims.words.hard_negatives import (
    DRAWN_EPOCHS,
    DRAWN_RATES,
    PHOTO_EPOCHS,
    PLAIN,
    TAUGHT,
    fit_drawn_arm,
    fit_photo_arm,
)
from clipnb.claims.words.word_swaps import PHOTO_RATES
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.exams import render_dataset, sample_scenes
from clipnb.experiments.small_clip import SMALL_RECIPE
from clipnb.features import encode_dataset
from clipnb.metrics import chance
from clipnb.model import CLIP
from clipnb.tokenizer import Tokenizer

PHOTO_SIZE = 64
N_PHOTOS = 1000  # of the test split
LEAST = 0.005  # a model with less recall above chance than that has nothing to lose


# ---- captions --------------------------------------------------------------------------------


def shuffle_caption(caption: str, other: str) -> str:
    """Shuffle the words of a caption, the same way every time. other: not used."""
    words = caption.rstrip(" .").split()
    random.Random(f"shuffle-{caption}").shuffle(words)
    return " ".join(words)


def replace_thirds(caption: str, other: str) -> str:
    """Replace every third word of a caption by a word of another caption."""
    words, others = caption.rstrip(" .").split(), other.rstrip(" .").split()
    rng = random.Random(f"replace-{caption}")
    for i in range(0, len(words), 3):
        words[i] = rng.choice(others)
    return " ".join(words)


def edit_captions(dataset: CaptionDataset, edit: Callable[[str, str], str]) -> CaptionDataset:
    """Return a dataset with all captions edited. edit: (caption, the next image's) -> caption."""
    following = [*dataset.captions[1:], dataset.captions[0]]
    captions = [
        [edit(caption, other) for caption, other in zip(own, others, strict=True)]
        for own, others in zip(dataset.captions, following, strict=True)
    ]
    return dataclasses.replace(dataset, captions=captions)


# ---- measuring -------------------------------------------------------------------------------


def measure_captions(
    model: CLIP, tokenizer: Tokenizer, dataset: CaptionDataset
) -> dict[str, np.ndarray]:
    """Return the mean recall of each image, float (N,) in [0, 1], with each kind of captions."""
    variants = {
        "as written": dataset,
        "shuffled": edit_captions(dataset, shuffle_caption),
        "a third replaced": edit_captions(dataset, replace_thirds),
    }
    recalls = {}
    for name, variant in variants.items():
        both_ways = recall_by_image(*encode_dataset(model, tokenizer, variant))
        recalls[name] = np.mean(list(both_ways.values()), axis=0)
    return recalls


def measure_order(seed: int, n_scenes: int, n_images: int, epochs: int) -> tuple[Outcomes, dict]:
    """Measure retrieval of scenes, by the two models of the experiment `limits`."""
    test_set = render_dataset(sample_scenes(n_images, "order_test"), SMALL_RECIPE.image_size)
    outcomes = {}
    for arm, rate in DRAWN_RATES.items():
        fitted = fit_drawn_arm(arm, seed, n_scenes, epochs, rate)
        for name, recall in measure_captions(*fitted, test_set).items():
            outcomes[f"{arm}, {name}"] = recall
    return outcomes, {"chance": chance(n_images)["mean_recall"]}


def measure_order_photos(seed: int, n_photos: int | None, epochs: int) -> tuple[Outcomes, dict]:
    """Measure retrieval of photos, by the two models of the experiment `limits_flickr8k`."""
    test_set = load_dataset("flickr8k", "test", PHOTO_SIZE)
    outcomes = {}
    for arm, rate in PHOTO_RATES.items():
        fitted = fit_photo_arm(arm, seed, n_photos, epochs, rate)
        for name, recall in measure_captions(*fitted, test_set).items():
            outcomes[f"{arm}, {name}"] = recall
    return outcomes, {"chance": chance(len(test_set))["mean_recall"]}


# ---- effects ---------------------------------------------------------------------------------


def share_lost(arm: str, variant: str) -> Callable[[dict[str, Any]], float]:
    """Make the effect "share of the recall above chance that is lost", in percent."""

    def compute(outcomes: dict[str, Any]) -> float:
        written = outcomes[f"{arm}, as written"].mean()
        lost = written - outcomes[f"{arm}, {variant}"].mean()
        return 100 * float(lost / max(written - outcomes["chance"] / 100, LEAST))

    return compute


def recall_written(outcomes: dict[str, Any]) -> float:
    """Return the mean recall of the plain model with the captions as written, in percent."""
    return 100 * float(outcomes[f"{PLAIN}, as written"].mean())


LOST = "recall lost by shuffling"
ORDER_EFFECTS = {
    LOST: Effect(compute=share_lost(PLAIN, "shuffled"), unit="percent"),
    "mean recall": Effect(compute=recall_written, unit="percent"),
    "recall lost by wrong words": Effect(
        compute=share_lost(PLAIN, "a third replaced"), unit="percent"
    ),
    "recall lost by shuffling, hard negatives": Effect(
        compute=share_lost(TAUGHT, "shuffled"), unit="percent"
    ),
}


def explain_order(effects: dict[str, dict]) -> str:
    """Say which share of its recall a model loses with shuffled captions and with wrong words."""
    means = {name: effect["mean"] for name, effect in effects.items()}
    return (
        f"Of a mean recall of {means['mean recall']:.0f} % the plain model loses "
        f"{means[LOST]:.0f} % with shuffled words, "
        f"{means['recall lost by wrong words']:.0f} % where every third word is a wrong one; the "
        f"model with hard negatives loses "
        f"{means['recall lost by shuffling, hard negatives']:.0f} % with shuffled words."
    )


# ---- the experiments -------------------------------------------------------------------------

ORDER_TEXT = {
    "quote": (
        "We demonstrate that it is possible to perform well on image-text retrieval over existing "
        "datasets without using the composition and order information."
    ),
    "source": "Yuksekgonul et al. 2023 (arXiv 2210.01936), abstract, page 1",
    "match": "proxy",
    "match_reason": (
        "The paper shuffles the captions of COCO and Flickr30k for large published models; the "
        "models here are small and trained on the same kind of captions."
    ),
    "kind": "equivalence",
    "hypothesis": "Retrieval with shuffled captions is about as good as with captions as written.",
    "conditions": {
        "as written": "the captions of the test images",
        "shuffled": "the same words in another order, without the full stop at the end",
        "a third replaced": "every third word taken from a caption of another image",
    },
    "equal": "All conditions are the same model, the same test images and captions as long.",
    "margin": 25.0,
    "margin_reason": (
        "A model that loses less than a quarter of its recall above chance still performs well, "
        "which is what the claim says; the paper names no size."
    ),
    "opposite": "A quarter of the recall above chance, or more, would be lost by shuffling.",
}
WRONG_WORDS_GATE = Gate(
    effect="recall lost by wrong words",
    above=25.0,
    why="the measurement may see no loss at all",
)
SCENES_FULL = {"n_scenes": N_TRAINING, "n_images": 500, "epochs": DRAWN_EPOCHS}

EXPERIMENTS = [
    Experiment(
        name="word_order",
        claim="L3",
        title="Shuffled captions retrieve scenes as well",
        dataset="scenes",
        protocol=Protocol(
            **ORDER_TEXT,
            tuning=(
                "The models are those of the experiment `limits`, each with the best of five "
                "learning rates on dev."
            ),
            power=(
                "5 seeds and 500 test images: the images give a standard error of about 3 % of the "
                "recall, seeds are taken to differ by about 4 %, so a loss of 18 % or less is told "
                "from one of 25 %."
            ),
            gates=(
                Gate(
                    effect="mean recall",
                    above=10 * chance(SCENES_FULL["n_images"])["mean_recall"],
                    why="the model may not retrieve at all",
                ),
                WRONG_WORDS_GATE,
            ),
        ),
        measure=measure_order,
        effects=ORDER_EFFECTS,
        explain=explain_order,
        notebook="06_zero_shot_and_prompts",
        small={"n_scenes": 1000, "n_images": 100, "epochs": 2},
        full=SCENES_FULL,
    ),
    Experiment(
        name="word_order_flickr8k",
        claim="L3",
        title="Shuffled captions retrieve photos as well",
        dataset="flickr8k",
        protocol=Protocol(
            **ORDER_TEXT,
            tuning=(
                "The models are those of the experiment `limits_flickr8k`, each with the best of "
                "five learning rates on dev."
            ),
            power=(
                "3 seeds and the 1,000 test photos: the photos give a standard error of about 4 % "
                "of the recall, so a loss of 12 % or less is told from one of 25 %. The training "
                "photos are the official ones, so a seed draws weights and order alone."
            ),
            gates=(
                Gate(
                    effect="mean recall",
                    above=5 * chance(N_PHOTOS)["mean_recall"],
                    why="the model may not retrieve at all",
                ),
                WRONG_WORDS_GATE,
            ),
            seeds=3,
        ),
        measure=measure_order_photos,
        effects=ORDER_EFFECTS,
        explain=explain_order,
        notebook="06_zero_shot_and_prompts",
        small={"n_photos": 640, "epochs": 1},
        full={"n_photos": None, "epochs": PHOTO_EPOCHS},
    ),
]
