"""Experiment of notebook 09: retrieval with spoiled photos or spoiled captions (paper §3.3)."""

import dataclasses
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities, Quantity
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.quantities import average
from clipnb.features import encode_dataset
from clipnb.metrics import retrieval_ranks
from clipnb.recipes import TWO_MINUTES

if TYPE_CHECKING:
    from PIL import Image

CORRUPTIONS = ("grey", "blurred", "edges", "zoomed", "noisy")
SPOILED_WORDS = ("dropped", "shuffled")


# ---- spoiling photos and captions ------------------------------------------------------------


def corrupt_images(images: np.ndarray, corruption: str) -> np.ndarray:
    """Corrupt images uint8 (N, 3, S, S) in one of the ways of `CORRUPTIONS`. The size stays."""
    from PIL import Image

    corrupted = []
    for i, array in enumerate(images):
        image = Image.fromarray(array.transpose(1, 2, 0))
        image = corrupt_image(image, corruption, random.Random(i))
        corrupted.append(np.asarray(image).transpose(2, 0, 1))
    return np.stack(corrupted)


def corrupt_image(image: "Image.Image", corruption: str, rng: random.Random) -> "Image.Image":
    """Corrupt one image in one of the ways of `CORRUPTIONS`. Raises ValueError for another way."""
    from PIL import Image, ImageFilter, ImageOps

    if corruption == "grey":
        return ImageOps.grayscale(image).convert("RGB")
    if corruption == "blurred":
        return image.filter(ImageFilter.GaussianBlur(image.width / 40))
    if corruption == "edges":
        edges = ImageOps.grayscale(image).filter(ImageFilter.FIND_EDGES)
        return ImageOps.invert(edges).convert("RGB")
    if corruption == "zoomed":  # the middle half of the area
        margin = round(image.width * (1 - 0.5**0.5) / 2)
        middle = (margin, margin, image.width - margin, image.height - margin)
        return image.crop(middle).resize(image.size, Image.Resampling.BICUBIC)
    if corruption == "noisy":
        noise = rng.randbytes(3 * image.width * image.height)
        return Image.blend(image, Image.frombytes("RGB", image.size, noise), 0.25)
    raise ValueError(f"no corruption {corruption!r}; there are {', '.join(CORRUPTIONS)}.")


def spoil_words(caption: str, way: str, rng: random.Random) -> str:
    """Leave out about half of a caption's words ("dropped"), or put them in random order.

    way: "dropped" or "shuffled". At least one word is left.
    """
    words = caption.split()
    if way == "shuffled":
        return " ".join(rng.sample(words, len(words)))
    kept = [word for word in words if rng.random() < 0.5]
    return " ".join(kept or words[:1])


def make_variants(test_set: CaptionDataset) -> dict[str, CaptionDataset]:
    """Make the test set's variants: plain, and with photos or captions spoiled in every way."""
    variants = {"plain": test_set}
    for corruption in CORRUPTIONS:
        images = corrupt_images(test_set.images, corruption)
        variants[corruption] = dataclasses.replace(test_set, images=images)
    rng = random.Random(0)
    for way in SPOILED_WORDS:
        captions = [[spoil_words(each, way, rng) for each in own] for own in test_set.captions]
        variants[f"words {way}"] = dataclasses.replace(test_set, captions=captions)
    return variants


# ---- the experiment --------------------------------------------------------------------------


def measure_corruptions(seed: int) -> tuple[Outcomes, dict]:
    """Measure R@1 and R@10 both ways on the test photos and on their spoiled variants."""
    run = load_or_train_timed(TWO_MINUTES, seed)
    test_set = load_dataset("flickr8k", "test", TWO_MINUTES.image_size)
    outcomes = {}
    for name, variant in make_variants(test_set).items():
        features = encode_dataset(run.model, run.tokenizer, variant)
        image_to_text, text_to_image = retrieval_ranks(*features)  # (N,) and (N*K,)
        by_caption = text_to_image.view(len(test_set), -1)  # (N, K)
        for k in (1, 10):
            hits = (by_caption <= k).double()
            outcomes[f"{name}, image to text R@{k}"] = (image_to_text <= k).numpy()
            outcomes[f"{name}, text to image R@{k}"] = hits.mean(dim=1).numpy()
    return outcomes, {}


def kept_quantity(name: str) -> Quantity:
    """Make the quantity "percent of text to image R@10 that a variant of the test set keeps"."""

    def quantity(outcomes: dict[str, Any]) -> float:
        left = np.mean(outcomes[f"{name}, text to image R@10"])
        return 100 * left / np.mean(outcomes["plain, text to image R@10"])

    return quantity


QUANTITIES = {
    "mean over the corruptions": average([kept_quantity(name) for name in CORRUPTIONS]),
    **{name: kept_quantity(name) for name in CORRUPTIONS},
    **{f"words {way}": kept_quantity(f"words {way}") for way in SPOILED_WORDS},
}


def judge_corruptions(quantities: Quantities) -> tuple[str, str]:
    """Judge by the corruptions that leave less than half of R@10, by the whole interval.

    Replicated: none does. Partly: some do. Contradicted: all do.
    """
    worst = min(CORRUPTIONS, key=lambda name: quantities[name]["mean"])
    reason = (
        f"of R@10, grey photos keep {quantities['grey']['mean']:.0f} %, zoomed "
        f"{quantities['zoomed']['mean']:.0f} %, {worst} ones only "
        f"{quantities[worst]['mean']:.0f} %; half of the words "
        f"{quantities['words dropped']['mean']:.0f} %."
    )
    too_low = [quantities[name]["interval"][1] < 50 for name in CORRUPTIONS]
    if all(too_low):
        return "contradicted", reason
    if any(too_low):
        return "partly", reason
    return "replicated", reason


EXPERIMENTS = [
    Experiment(
        name="corruptions",
        claim="C10",
        title="Retrieval survives corrupted photos",
        where="§3.3",
        paper={"such a test": "none"},
        dataset="flickr8k",
        measure=measure_corruptions,
        quantities=QUANTITIES,
        unit="percent of R@10 left",
        rule=(
            "replicated: every corruption leaves at least half of R@10, or its interval does not "
            "exclude it; partly: some do; contradicted: none does"
        ),
        judge=judge_corruptions,
        notebook="09_robustness",
    ),
]
