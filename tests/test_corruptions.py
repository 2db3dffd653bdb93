"""Spoiled photos and captions: changed, of the same size, the same every time."""

import random

import numpy as np
import pytest

from clipnb.datasets import CaptionDataset
from clipnb.experiments import corruptions


@pytest.mark.parametrize("corruption", corruptions.CORRUPTIONS)
def test_a_corruption_changes_images_keeps_their_size_and_is_the_same_every_time(corruption):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), dtype=np.uint8)
    corrupted = corruptions.corrupt_images(images, corruption)
    assert corrupted.shape == images.shape and corrupted.dtype == np.uint8
    assert (corrupted != images).any()
    assert (corrupted == corruptions.corrupt_images(images, corruption)).all()


def test_grey_images_have_three_equal_channels():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), dtype=np.uint8)
    grey = corruptions.corrupt_images(images, "grey")
    assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 1] == grey[:, 2]).all()


def test_an_unknown_corruption_gets_the_list_of_them():
    with pytest.raises(ValueError, match="no corruption 'rain'; there are grey, blurred"):
        corruptions.corrupt_images(np.zeros((1, 3, 8, 8), dtype=np.uint8), "rain")


def test_a_spoiled_caption_keeps_its_words_in_another_order_or_some_of_them():
    caption, rng = "a red dog runs on the green grass", random.Random(0)
    shuffled = corruptions.spoil_words(caption, "shuffled", rng)
    assert shuffled != caption and sorted(shuffled.split()) == sorted(caption.split())
    dropped = corruptions.spoil_words(caption, "dropped", rng).split()
    assert 0 < len(dropped) < 8 and set(dropped) <= set(caption.split())
    # A caption never loses all of its words.
    assert all(
        corruptions.spoil_words("dog", "dropped", random.Random(seed)) == "dog"
        for seed in range(10)
    )


def test_variants_spoil_either_the_photos_or_the_captions():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 40, 40), dtype=np.uint8)
    captions = [["a red dog runs on the green grass", "two birds fly over the sea"]] * 4
    test_set = CaptionDataset("d", "test", images, captions, list("abcd"))
    variants = corruptions.make_variants(test_set)
    assert list(variants) == ["plain", *corruptions.CORRUPTIONS, "words dropped", "words shuffled"]
    for name, variant in variants.items():
        spoils_images = name in corruptions.CORRUPTIONS
        assert (variant.images != images).any() == spoils_images
        assert (variant.captions != captions) == name.startswith("words")
