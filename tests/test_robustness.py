"""Other styles, corruptions and overlap: the line and the distance above it on outcomes with known answers, the hash, the leak."""

import random

import numpy as np
import pytest

from clipnb.datasets import CaptionDataset
from clipnb.experiments import corruptions, overlap, robustness


def right(share, n=1000):
    return np.arange(n) < round(share * n)


def test_effective_robustness_is_the_distance_above_the_line():
    o = {"sizes": [1, 2, 3]}
    for n, (painted, other) in zip(o["sizes"], ((0.2, 0.1), (0.4, 0.2), (0.8, 0.5))):
        o |= {f"line {n}: painted": right(painted), f"line {n}: sketch": right(other)}
    o |= {
        "on it: painted": right(0.4),
        "on it: sketch": right(0.2),
        "above: painted": right(0.4),
        "above: sketch": right(0.5),
    }
    logits = robustness.logit
    slope, intercept = np.polyfit(
        logits(np.array([0.2, 0.4, 0.8])), logits(np.array([0.1, 0.2, 0.5])), 1
    )
    predicted = 100 / (1 + np.exp(-(intercept + slope * logits(0.4))))
    assert robustness.above_the_line("above", ["sketch"])(o) == pytest.approx(50 - predicted)
    assert abs(robustness.above_the_line("on it", ["sketch"])(o)) < 3
    same = o | {
        f"line {n}: painted": right(0.4) for n in o["sizes"]
    }  # equally good nets draw no line: their mean stands for it
    assert np.isfinite(robustness.above_the_line("above", ["sketch"])(same))


@pytest.mark.parametrize(
    "both, words, verdict",
    [
        ((5, 9), (1, 4), "replicated"),
        ((5, 9), (-3, 4), "partly"),
        ((-2, 4), (-3, 4), "not at this scale"),
        ((-9, -2), (-3, 4), "contradicted"),
    ],
)
def test_words_alone_must_help_for_a_replication(both, words, verdict):
    arm = lambda low, high: {"mean": (low + high) / 2, "interval": [low, high]}
    given = {
        "words, many styles": arm(*both),
        "words, one style": arm(*words),
        "labels, many styles": arm(0, 1),
        "words, many styles, never shown": arm(0, 1),
    }
    assert robustness.judge_robustness(given)[0] == verdict


def test_corruptions_change_the_image_and_keep_its_size():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), dtype=np.uint8)
    for how in corruptions.CORRUPTIONS:
        spoiled = corruptions.corrupted(images, how)
        assert spoiled.shape == images.shape and spoiled.dtype == np.uint8
        assert (spoiled == images).all() == (how == "plain")
    grey = corruptions.corrupted(images, "grey")
    assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 1] == grey[:, 2]).all()
    assert (corruptions.corrupted(images, "noisy") == corruptions.corrupted(images, "noisy")).all()


def test_spoiled_words():
    caption, rng = "a red dog runs on the green grass", random.Random(0)
    assert sorted(corruptions.spoiled_words(caption, "shuffled", rng).split()) == sorted(
        caption.split()
    )
    dropped = corruptions.spoiled_words(caption, "dropped", rng).split()
    assert 0 < len(dropped) < 8 and all(word in caption.split() for word in dropped)
    assert (
        corruptions.spoiled_words("dog", "dropped", random.Random(1)) == "dog"
    )  # never nothing at all


def test_the_hash_by_hand():
    image = np.zeros((1, 3, 8, 9), dtype=np.uint8)
    image[0, :, :, 4:] = (
        200  # dark on the left, bright on the right: brighter than the left neighbour in one column of cells
    )
    bits = overlap.difference_hash(image)[0].reshape(8, 8)
    assert bits[:, 3].all() and bits.sum() == 8


def test_the_nearest_hash_by_loops():
    rng = np.random.default_rng(0)
    a, b = rng.random((20, 64)) < 0.5, rng.random((30, 64)) < 0.5
    b[7] = a[3]
    distances, whose = overlap.nearest(a, b)
    assert distances.tolist() == [min((x != y).sum() for y in b) for x in a]
    assert distances[3] == 0 and whose[3] == 7


def test_overlap_is_judged_by_what_it_adds():
    assert overlap.number_of("191003285_edd8d0cf58.jpg") == 191003285
    o = {
        "R@1": np.array([1.0, 1, 0, 0]),
        "distance": np.array([0, 20, 20, 20]),
        "same_scene": np.zeros(4, int),
        "gap": np.array([9999, 3, 9999, 9999]),
    }
    assert overlap.harm(1)(o) == pytest.approx(
        50 - 100 / 3
    )  # without the near-duplicate one of three is a hit
    assert overlap.harm(1, wide=True)(o) == pytest.approx(
        50
    )  # nor without the one that was uploaded together with a training photo
    assert overlap.overlapping(o | {"same_scene": np.array([0, 0, 0, 1])}).tolist() == [
        True,
        False,
        False,
        True,
    ]
    names = (
        "all minus clean, R@1",
        "all minus clean, R@1, uploaded together",
        "test photos seen in training, percent",
    )
    found = lambda mean, low, high, share: {
        name: {"mean": share if "percent" in name else mean, "interval": [low, high]}
        for name in names
    }
    assert overlap.judge_overlap(found(0.0, 0.0, 0.0, 0.0))[0] == "not at this scale"
    assert overlap.judge_overlap(found(0.1, -0.2, 0.4, 2.0))[0] == "replicated"
    assert overlap.judge_overlap(found(2.0, 1.0, 3.0, 2.0))[0] == "contradicted"


def test_the_leak_puts_the_test_images_in_with_four_captions():
    def some(n, value, split):
        images = np.full((n, 3, 4, 4), value, dtype=np.uint8)
        return CaptionDataset(
            "d",
            split,
            images,
            [[f"{split} {i} {k}" for k in range(5)] for i in range(n)],
            [f"{split}_{i}" for i in range(n)],
        )

    leaky = overlap.with_test_inside(some(6, 1, "train"), some(2, 2, "test"))
    assert len(leaky) == 6 and leaky.images[:2].min() == 2 and leaky.images[2:].max() == 1
    assert leaky.image_ids == ["test_0", "test_1", "train_2", "train_3", "train_4", "train_5"]
    assert all(len(own) == 4 for own in leaky.captions) and "test 0 4" not in leaky.captions[0]
