"""C14 on photos: what test photos in the training set do to the figure that is reported.

The first sitting had five such photos of 1,000. They could not move the figure by more than 0.47
points, and the margin was 0.6, so that no model could contradict the claim. Now leaks are planted:
as many as the paper's median, and ten times as many. The recipe on trial is an ordinary one, with
augmentation and the weights of its best epoch, as the paper's model is nearest to it. A second
recipe trains long and learns photos by heart: it shows what harm the test can see.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.small_clip import load_or_fit_clip
from clipnb.features import encode_dataset
from clipnb.metrics import retrieval_ranks
from clipnb.model import CLIP
from clipnb.recipes import QUICK, TWO_MINUTES
from clipnb.tokenizer import Tokenizer
from clipnb.training import make_tokenizer

Compute = Callable[[dict[str, Any]], float]

# The ordinary recipe, with fewer pixels and channels than `two_minutes`.
ORDINARY = dataclasses.replace(
    TWO_MINUTES,
    name="leak",
    image_width=96,
    image_size=64,
    stored_size=64,
    crop_size=48,
    captions_per_image=4,
)
# No augmentation, and the weights of the last step: nothing keeps it from learning by heart.
LONG = dataclasses.replace(
    QUICK,
    name="leak_long",
    dataset="flickr8k",
    image_width=96,
    image_size=48,
    stored_size=48,
    captions_per_image=4,
)
OTHER_CAPTIONS = slice(0, 4)  # four captions train, and the fifth one asks
SAME_CAPTIONS = slice(1, 5)  # of a leaked photo: the fifth one trains, too
TEST_CAPTION = slice(4, 5)
N_DEV = 500  # dev photos that choose the best epoch

MEDIAN_OVERLAP = 0.022  # of the paper's 35 datasets
LARGE_OVERLAP = 0.2  # about the largest one in the paper, 21.5 % (Country211)


class Leak(NamedTuple):
    """How many of the test photos leak, with which captions they train, and who learns them."""

    share: float
    captions: slice = OTHER_CAPTIONS
    is_long: bool = False


LEAKS = {
    "honest": Leak(0.0),
    "median": Leak(MEDIAN_OVERLAP),
    "large": Leak(LARGE_OVERLAP),
    "long, honest": Leak(0.0, is_long=True),
    "long, median": Leak(MEDIAN_OVERLAP, is_long=True),
    "long, same captions": Leak(MEDIAN_OVERLAP, SAME_CAPTIONS, is_long=True),
}


# ---- planting and training -------------------------------------------------------------------


def keep_captions(dataset: CaptionDataset, which: slice) -> CaptionDataset:
    """Return the dataset with some of each image's captions only."""
    return dataclasses.replace(dataset, captions=[own[which] for own in dataset.captions])


def plant(train_set: CaptionDataset, leaked: CaptionDataset) -> CaptionDataset:
    """Return the training set with its first images replaced by leaked ones."""
    rest = train_set.subset(range(len(leaked), len(train_set)))
    return dataclasses.replace(
        rest,
        images=np.concatenate([leaked.images, rest.images]),
        captions=[*leaked.captions, *rest.captions],
        image_ids=[*leaked.image_ids, *rest.image_ids],
    )


def choose_leaked(n_test: int, share: float, seed: int) -> np.ndarray:
    """Return the rows of the test photos that leak, drawn by the seed.

    A smaller leak is part of a larger one.
    """
    return np.random.default_rng(seed).permutation(n_test)[: round(share * n_test)]


def fit_ordinary(
    name: str, seed: int, train_set: CaptionDataset, epochs: int
) -> tuple[CLIP, Tokenizer]:
    """Train (or load) the ordinary recipe; its weights are those of the best epoch on dev."""
    recipe = dataclasses.replace(ORDINARY, name=f"{ORDINARY.name}_{name}", epochs=epochs)
    dev_set = load_dataset("flickr8k", "dev", ORDINARY.image_size).subset(range(N_DEV))
    run = load_or_train_timed(recipe, seed, train_set=train_set, dev_set=dev_set)
    return run.model, run.tokenizer


def fit_long(
    name: str, seed: int, train_set: CaptionDataset, epochs: int
) -> tuple[CLIP, Tokenizer]:
    """Train (or load) the recipe that learns photos by heart, to its last step."""
    recipe = dataclasses.replace(LONG, name=f"{LONG.name}_{name}", epochs=epochs)
    tokenizer = make_tokenizer(recipe, train_set.captions)
    return load_or_fit_clip(recipe, seed, train_set, tokenizer), tokenizer


def find_hits(model: CLIP, tokenizer: Tokenizer, test_set: CaptionDataset) -> np.ndarray:
    """Tell for each photo whether its fifth caption finds it among all photos, bool (N,)."""
    asked = keep_captions(test_set, TEST_CAPTION)
    _, text_to_image = retrieval_ranks(*encode_dataset(model, tokenizer, asked))  # (N,)
    return (text_to_image == 1).numpy()


def measure_overlap(
    seed: int, n_images: int, epochs: int, n_long: int, long_epochs: int, n_test: int
) -> tuple[Outcomes, dict]:
    """Measure whether the fifth caption of each test photo finds it, for each of the `LEAKS`.

    n_images, n_long: the training photos of the ordinary recipe and of the long one. Returns the
    hits of each condition, bool (N,), and which photos have leaked, as "_leaked: <condition>".
    """
    outcomes = {}
    for condition, leak in LEAKS.items():
        size = LONG.image_size if leak.is_long else ORDINARY.image_size
        test_set = load_dataset("flickr8k", "test", size).subset(range(n_test))
        clean_set = load_dataset("flickr8k", "train", size)
        clean_set = clean_set.subset(range(n_long if leak.is_long else n_images))
        rows = choose_leaked(n_test, leak.share, seed)
        leaked = keep_captions(test_set.subset(rows), leak.captions)
        train_set = plant(keep_captions(clean_set, OTHER_CAPTIONS), leaked)
        # The captions that leak are told by the condition, and the photos by the seed.
        name = f"{condition.replace(', ', '_').replace(' ', '_')}_{len(train_set)}_of_{n_test}"
        if leak.is_long:
            fitted = fit_long(name, seed, train_set, long_epochs)
        else:
            fitted = fit_ordinary(name, seed, train_set, epochs)
        outcomes[condition] = find_hits(*fitted, test_set)
        outcomes[f"_leaked: {condition}"] = np.isin(np.arange(n_test), rows)
    return outcomes, {}


# ---- effects ---------------------------------------------------------------------------------


def all_minus_clean(hits: np.ndarray, leaked: np.ndarray) -> float:
    """Return the points by which all photos are above those that have not leaked."""
    return 100 * float(hits.mean() - hits[~leaked].mean())


def make_shift(condition: str, honest: str = "honest") -> Compute:
    """Make the effect "points that a leak adds to the figure of all test photos".

    It is all minus clean, as in the paper, less what the honest model shows for the same photos: by
    chance they are easier or harder than the others.
    """

    def compute(outcomes: dict[str, Any]) -> float:
        leaked = outcomes[f"_leaked: {condition}"]
        if leaked.all() or not leaked.any():  # in a draw of the bootstrap
            return 0.0
        without = all_minus_clean(outcomes[honest], leaked)
        return all_minus_clean(outcomes[condition], leaked) - without

    return compute


def make_gain(condition: str, honest: str = "honest") -> Compute:
    """Make the effect "points that a leak adds on the leaked photos themselves"."""

    def compute(outcomes: dict[str, Any]) -> float:
        leaked = outcomes[f"_leaked: {condition}"]
        if not leaked.any():  # in a draw of the bootstrap
            return 0.0
        gained = outcomes[condition][leaked].mean() - outcomes[honest][leaked].mean()
        return 100 * float(gained)

    return compute


def honest_recall(outcomes: dict[str, Any]) -> float:
    """Return the percentage of photos that their caption finds without any leak."""
    return 100 * float(outcomes["honest"].mean())


CONTROL = "long-trained: shift by 2.2 %, same captions"
EFFECTS = {
    "shift by an overlap of 2.2 %": Effect(compute=make_shift("median"), unit="points"),
    "shift by an overlap of 20 %": Effect(compute=make_shift("large"), unit="points"),
    "gain of a leaked photo": Effect(compute=make_gain("large"), unit="points"),
    "long-trained: shift by 2.2 %": Effect(
        compute=make_shift("long, median", "long, honest"), unit="points"
    ),
    "long-trained: gain of a leaked photo": Effect(
        compute=make_gain("long, median", "long, honest"), unit="points"
    ),
    CONTROL: Effect(compute=make_shift("long, same captions", "long, honest"), unit="points"),
    "honest R@1": Effect(compute=honest_recall, unit="percent"),
}


def explain_overlap(effects: dict[str, dict]) -> str:
    """Say by how much leaks move the figure, for the ordinary recipe and the long one."""
    names = (
        "shift by an overlap of 2.2 %",
        "shift by an overlap of 20 %",
        "long-trained: shift by 2.2 %",
        "long-trained: gain of a leaked photo",
    )
    median, large, long, gain = (effects[name]["mean"] for name in names)
    return (
        f"With 2.2 % of the test photos in training, under other captions, R@1 of all moves by "
        f"{median:+.2f} points (the paper: rarely more than 0.1, at most 0.6), with 20 % by "
        f"{large:+.2f}. A recipe that learns by heart is moved by {long:+.2f}: its leaked photos "
        f"gain {gain:+.0f} points."
    )


# ---- the experiment --------------------------------------------------------------------------

FULL = {"n_images": 6000, "epochs": 8, "n_long": 3000, "long_epochs": 20, "n_test": 1000}
SMALL = {"n_images": 1200, "epochs": 4, "n_long": 600, "long_epochs": 10, "n_test": 300}

EXPERIMENTS = [
    Experiment(
        name="overlap",
        claim="C14",
        title="Planted leaks: what they do to the reported figure",
        dataset="flickr8k",
        measure=measure_overlap,
        effects=EFFECTS,
        explain=explain_overlap,
        notebook="09_robustness",
        small=SMALL,
        full=FULL,
        protocol=Protocol(
            quote=(
                "There is a median overlap of 2.2% and an average overlap of 3.2%. Due to this "
                "small amount of overlap, overall accuracy is rarely shifted by more than 0.1% "
                "with only 7 datasets above this threshold."
            ),
            source="§5, Figure 17",
            match="proxy",
            match_reason=(
                "the overlap is planted, and not found, so that its size and its captions are "
                "known; the figure is text-to-image R@1 among 1,000 photos, and not the accuracy "
                "of a classifier"
            ),
            hypothesis=(
                "If 2.2 % of the test photos are in the training set with other captions than "
                "those of the test, R@1 of all test photos moves by less than 0.6 points, for an "
                "ordinary recipe."
            ),
            conditions={
                "honest": "6,000 training photos with four captions each, no test photo among them",
                "median": "22 of the 1,000 test photos among them, with four other captions",
                "large": "200 of them, with four other captions",
                "long, honest": "3,000 photos, 20 epochs without augmentation, the last weights",
                "long, median": "the same with 22 of the test photos, with four other captions",
                "long, same captions": "the same, the test's own caption among the four",
            },
            equal=(
                "number of training photos, captions, epochs and the weights at the start, within "
                "each of the two recipes"
            ),
            tuning=(
                "none: the ordinary recipe has the settings of `two_minutes`, which were chosen on "
                "dev before, with fewer pixels, channels and epochs, and the weights of the best "
                "epoch on 500 dev photos; within a recipe the conditions differ in the leaked "
                "photos alone. Which recipe is on trial was chosen after two trial runs with seed "
                "200: photos that leak gained 39 points where they were learned by heart, which "
                "would move R@1 by 0.86 with an overlap of 2.2 %, beyond the margin, and 2.5 "
                "points with the ordinary recipe. The ordinary one is on trial because the paper's "
                "model has random crops too and saw each image 32 times; the other one is a "
                "control and is reported beside it"
            ),
            power=(
                "22 leaked photos in each of 5 seeds, other ones each time; the seeds draw them, "
                "the weights and the order, because the official training split is given. If a "
                "leaked photo gains 10 points, the shift is 0.22 with an interval of 0.25 to "
                "either side; a shift of 0.95 points, of photos that gain 43, is found beyond 0.6"
            ),
            kind="equivalence",
            margin=0.6,
            margin_reason=(
                "the largest improvement that the paper detects on any of its 35 datasets "
                "(Birdsnap)"
            ),
            paper_effect=0.1,
            gates=(
                Gate(
                    effect="honest R@1",
                    above=1.0,
                    why="a model that finds nothing cannot gain by what it has seen; chance is 0.1",
                ),
                Gate(
                    effect=CONTROL,
                    above=0.6,
                    why="a test that sees no harm of photos learned by heart sees no harm at all",
                ),
            ),
            opposite="the interval of the shift lies above 0.6 points",
        ),
    ),
]
