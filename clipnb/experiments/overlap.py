"""Experiment of notebook 09: test photos that training has seen (paper §5, Fig 17)."""

from typing import Any

import numpy as np

from clipnb.datasets import load_dataset
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.features import encode_dataset
from clipnb.metrics import retrieval_ranks
from clipnb.recipes import TWO_MINUTES

# Hashes of 64 bits that differ in so many bits or fewer are near. It was chosen by looking at pairs
# and not at recall: from 6 bits on, the nearest photos show different things.
NEAR_BITS = 5
# Photos whose Flickr numbers are that close were uploaded together, often from the same occasion.
NEAR_NUMBERS = 1000
# Test photos that show a scene of a training photo, moments apart. A hash cannot see them. They
# were found by eye among 145 candidate pairs, so there are at least these.
SAME_SCENE = (
    "191003285_edd8d0cf58",
    "3323988406_e3c8fce690",
    "309687244_4bdf3b591f",
    "745880539_cd3f948837",
    "583174725_6b522b621f",
)


# ---- signs of an overlap ---------------------------------------------------------------------


def difference_hash(images: np.ndarray) -> np.ndarray:
    """Compute a perceptual hash of images uint8 (N, 3, S, S). Returns bool (N, 64).

    Each bit tells whether one of 8 x 8 cells is brighter than its neighbour on the left. Changes of
    size, brightness and compression leave nearly all bits as they are.
    """
    from PIL import Image

    hashes = []
    for array in images:
        grey = Image.fromarray(array.transpose(1, 2, 0)).convert("L")
        cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=int)  # (8, 9)
        hashes.append((cells[:, 1:] > cells[:, :-1]).flatten())
    return np.stack(hashes)


def find_nearest(hashes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest of other hashes (M, 64) for each hash (N, 64).

    Returns the number of bits that differ, int (N,), and the row of the nearest, int (N,).
    """
    a, b = hashes.astype(np.float32), others.astype(np.float32)
    distances = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - 2 * a @ b.T  # (N, M)
    return distances.min(axis=1).astype(int), distances.argmin(axis=1)


def read_flickr_number(image_id: str) -> int:
    """Return Flickr's number of a photo, the first part of its file name."""
    return int(image_id.split("_")[0])


def measure_number_gaps(image_ids: list[str], others: list[str]) -> np.ndarray:
    """Return how far each photo's Flickr number is from the nearest of the others', int (N,)."""
    numbers = np.array([read_flickr_number(image_id) for image_id in others])
    return np.array(
        [np.abs(numbers - read_flickr_number(image_id)).min() for image_id in image_ids]
    )


# ---- the experiment --------------------------------------------------------------------------


def measure_overlap(seed: int) -> tuple[Outcomes, dict]:
    """Measure text to image R@1 and R@10 of each test photo, and three signs of an overlap.

    "distance": the bits by which its hash differs from the nearest training photo's. "same_scene":
    whether our eyes found its scene in training, 0 or 1. "gap": how far its Flickr number is from
    the nearest training photo's.
    """
    run = load_or_train_timed(TWO_MINUTES, seed)
    test_set = load_dataset("flickr8k", "test", TWO_MINUTES.image_size)
    train_set = load_dataset("flickr8k", "train", TWO_MINUTES.stored_size)
    test_hashes, train_hashes = difference_hash(test_set.images), difference_hash(train_set.images)
    distances, _ = find_nearest(test_hashes, train_hashes)
    same_scene = [int(image_id.split(".")[0] in SAME_SCENE) for image_id in test_set.image_ids]
    features = encode_dataset(run.model, run.tokenizer, test_set)
    _, text_to_image = retrieval_ranks(*features)  # (N*K,)
    by_caption = text_to_image.view(len(test_set), -1)  # (N, K)
    return {
        "R@1": (by_caption <= 1).double().mean(dim=1).numpy(),
        "R@10": (by_caption <= 10).double().mean(dim=1).numpy(),
        "distance": distances,
        "same_scene": np.array(same_scene),
        "gap": measure_number_gaps(test_set.image_ids, train_set.image_ids),
    }, {}


def find_overlap(outcomes: dict[str, Any], wide: bool = False) -> np.ndarray:
    """Tell which test photos training has seen, by their hash or by eye. Returns bool (N,).

    wide: count also the photos that were uploaded together with a training photo.
    """
    seen = (outcomes["distance"] <= NEAR_BITS) | (outcomes["same_scene"] == 1)
    if wide:
        seen |= outcomes["gap"] <= NEAR_NUMBERS
    return seen


def harm_quantity(k: int, wide: bool = False) -> Quantity:
    """Make the quantity "points by which R@k of all photos is above R@k of the clean ones"."""

    def quantity(outcomes: dict[str, Any]) -> float:
        hits = outcomes[f"R@{k}"]
        return 100 * (np.mean(hits) - np.mean(hits[~find_overlap(outcomes, wide)]))

    return quantity


def overlap_quantity(wide: bool = False) -> Quantity:
    """Make the quantity "percent of the test photos that training has seen"."""

    def quantity(outcomes: dict[str, Any]) -> float:
        return 100 * np.mean(find_overlap(outcomes, wide))

    return quantity


def near_hashes(outcomes: dict[str, Any]) -> float:
    """Return the percentage of test photos whose hash is near that of a training photo."""
    return 100 * np.mean(outcomes["distance"] <= NEAR_BITS)


QUANTITIES = {
    "all minus clean, R@1": harm_quantity(1),
    "all minus clean, R@1, uploaded together": harm_quantity(1, wide=True),
    "all minus clean, R@10": harm_quantity(10),
    "test photos seen in training, percent": overlap_quantity(),
    "uploaded together, percent": overlap_quantity(wide=True),
    "near by their hash, percent": near_hashes,
}


def judge_overlap(quantities: Quantities) -> tuple[str, str]:
    """Judge by what the test photos that training has seen add to R@1.

    Not at this scale: there are no such photos. Replicated: the interval lies within 0.6 points
    either way. Contradicted: it lies above. Not at this scale, too, if it does neither.
    """
    narrow = quantities["all minus clean, R@1"]
    wide = quantities["all minus clean, R@1, uploaded together"]
    share = quantities["test photos seen in training, percent"]
    if share["mean"] == 0:
        reason = (
            "no test photo is known to have been seen in training, so there is no overlap to do "
            "harm."
        )
        return "not at this scale", reason
    reason = (
        f"{share['mean']:.1f} % of the test photos show a scene of training, at least; leaving "
        f"them out moves R@1 by {-narrow['mean']:+.2f} points, and leaving out all that were "
        f"uploaded together with a training photo by {-wide['mean']:+.2f} (the paper: at most 0.6)."
    )
    low, high = narrow["interval"]
    if max(abs(low), abs(high)) < 0.6:
        return "replicated", reason
    if low > 0.6:
        return "contradicted", reason
    return "not at this scale", reason


EXPERIMENTS = [
    Experiment(
        name="overlap",
        claim="C14",
        title="Near-duplicates do little harm",
        where="§5, Fig 17",
        paper={"median overlap": "2.2 %", "largest shift, points": 0.6},
        dataset="flickr8k",
        measure=measure_overlap,
        quantities=QUANTITIES,
        unit="points",
        rule=(
            "replicated: the interval of what near-duplicates add to R@1 lies within 0.6 points "
            "either way; contradicted: above; not at this scale: there are none"
        ),
        judge=judge_overlap,
        rule_settled="after a first look",
        notebook="09_robustness",
    ),
]
