"""Retrieval of photos when the photos or the words are spoiled (paper §3.3)."""

import dataclasses
import random

import numpy as np

from clipnb.datasets import load_dataset
from clipnb.experiments.experiment import Experiment
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.zero_shot import PHOTOS
from clipnb.features import encode_dataset
from clipnb.metrics import retrieval_ranks

CORRUPTIONS = ("plain", "grey", "blurred", "edges", "zoomed", "noisy")


def corrupted(images, how):
    """Images uint8 (N, 3, S, S) spoiled in one of CORRUPTIONS' ways, the same size."""
    from PIL import Image, ImageFilter, ImageOps

    def spoil(image, i):
        if how == "grey":
            return ImageOps.grayscale(image).convert("RGB")
        if how == "blurred":
            return image.filter(ImageFilter.GaussianBlur(image.width / 40))
        if how == "edges":
            return ImageOps.invert(
                ImageOps.grayscale(image).filter(ImageFilter.FIND_EDGES)
            ).convert("RGB")
        if how == "zoomed":  # the middle half of the area
            margin = round(image.width * (1 - 0.5**0.5) / 2)
            return image.crop((margin, margin, image.width - margin, image.height - margin)).resize(
                image.size, Image.Resampling.BICUBIC
            )
        noise = Image.frombytes(
            "RGB", image.size, random.Random(i).randbytes(3 * image.width * image.height)
        )
        return Image.blend(image, noise, 0.25) if how == "noisy" else image

    return np.stack(
        [
            np.asarray(spoil(Image.fromarray(image.transpose(1, 2, 0)), i)).transpose(2, 0, 1)
            for i, image in enumerate(images)
        ]
    )


def spoiled_words(caption, how, rng):
    """A caption with half of its words left out ("dropped"), or in random order ("shuffled")."""
    words = caption.split()
    if how == "dropped":
        return " ".join([word for word in words if rng.random() < 0.5] or words[:1])
    return " ".join(rng.sample(words, len(words)))


def measure_corruptions(seed):
    """R@1 and R@10 both ways on the official test photos, the photos or the captions spoiled."""
    run, test = (
        load_or_train_timed(PHOTOS, seed),
        load_dataset("flickr8k", "test", PHOTOS.image_size),
    )
    rng, outcomes = random.Random(0), {}
    variants = {
        how: dataclasses.replace(test, images=corrupted(test.images, how)) for how in CORRUPTIONS
    }
    variants |= {
        f"words {how}": dataclasses.replace(
            test,
            captions=[
                [spoiled_words(caption, how, rng) for caption in own] for own in test.captions
            ],
        )
        for how in ("dropped", "shuffled")
    }
    for how, variant in variants.items():
        to_text, to_image = retrieval_ranks(*encode_dataset(run.model, run.tokenizer, variant))
        for k in (1, 10):
            outcomes[f"{how}, image to text R@{k}"] = (to_text <= k).numpy()
            outcomes[f"{how}, text to image R@{k}"] = (
                (to_image.view(len(test), -1) <= k).double().mean(dim=1).numpy()
            )
    return outcomes, {}


def kept(how):
    """Share of text to image R@10 that is left when something is spoiled, in percent."""
    return lambda o: (
        100 * np.mean(o[f"{how}, text to image R@10"]) / np.mean(o["plain, text to image R@10"])
    )


def judge_corruptions(found):
    worst = min(CORRUPTIONS[1:], key=lambda how: found[how]["mean"])
    said = f"of R@10, grey photos keep {found['grey']['mean']:.0f} %, zoomed {found['zoomed']['mean']:.0f} %, {worst} ones only {found[worst]['mean']:.0f} %; half of the words {found['words dropped']['mean']:.0f} %."
    low = [found[how]["interval"][1] < 50 for how in CORRUPTIONS[1:]]
    return ("contradicted" if all(low) else "partly" if any(low) else "replicated"), said


EXPERIMENTS = [
    Experiment(
        name="corruptions",
        claim="C10",
        title="Retrieval survives corrupted photos",
        where="§3.3",
        paper={"such a test": "none"},
        dataset="flickr8k",
        measure=measure_corruptions,
        quantities={
            "mean over the corruptions": lambda o: np.mean(
                [kept(how)(o) for how in CORRUPTIONS[1:]]
            ),
            **{how: kept(how) for how in (*CORRUPTIONS[1:], "words dropped", "words shuffled")},
        },
        unit="percent of R@10 left",
        rule="replicated: every corruption leaves at least half of R@10, or its interval does not exclude it; partly: some do; contradicted: none does",
        judge=judge_corruptions,
        notebook="09_robustness",
    ),
]
