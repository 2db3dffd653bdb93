"""Augmentation changes each image and caption by itself, and no more than the recipe asks."""

import dataclasses

import pytest
import torch

from clipnb import normalize_images, padding_mask, train_tokenizer
from clipnb.augment import augment, drop_tokens, random_crop
from clipnb.batches import iterate_batches
from clipnb.features import tokenize


@pytest.fixture
def plain_recipe(recipe):
    """A recipe that changes nothing in images of 40 px."""
    return dataclasses.replace(recipe, image_size=40, min_crop_area=1.0, flip=False, colour=0.0)


def make_images(n):
    """Return n different images of noise, uint8 (n, 3, 40, 40)."""
    return torch.randint(0, 256, (n, 3, 40, 40), dtype=torch.uint8)


def repeat_image(n):
    """Return the same image of noise n times, uint8 (n, 3, 40, 40)."""
    return make_images(1).repeat(n, 1, 1, 1)


def test_a_recipe_that_asks_for_no_change_gets_none(plain_recipe):
    images = make_images(6)
    torch.testing.assert_close(augment(images, plain_recipe), normalize_images(images))


def test_a_crop_of_the_whole_image_is_the_image():
    images = normalize_images(make_images(6))
    cropped = random_crop(images, 40, 1.0, flip=False)
    torch.testing.assert_close(cropped, images, atol=1e-4, rtol=0)


def test_changes_differ_within_a_batch(recipe):
    changed = augment(repeat_image(6), recipe)
    assert changed.shape == (6, 3, 32, 32)
    for other in changed[1:]:
        assert (changed[0] - other).abs().max() > 0.05


def test_training_crops_may_be_smaller_than_what_evaluation_sees(recipe):
    recipe = dataclasses.replace(recipe, crop_size=24)
    assert augment(make_images(2), recipe).shape == (2, 3, 24, 24)


def test_a_smaller_crop_size_scales_the_image_down(plain_recipe):
    images = make_images(2)
    scaled = augment(images, dataclasses.replace(plain_recipe, crop_size=20))
    # Half the size is sampled in the middle of four pixels.
    blocks = images.float().view(2, 3, 20, 2, 20, 2)
    halved = blocks.mean(dim=(3, 5)) / 127.5 - 1
    torch.testing.assert_close(scaled, halved, atol=1e-4, rtol=0)


def test_each_image_is_flipped_on_its_own_and_sideways():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 8, 8)
    mirrored_images = images.flip(-1)
    n_mirrored = 0
    results = random_crop(images, 8, 1.0, flip=True)
    for result, image, mirrored in zip(results, images, mirrored_images, strict=True):
        is_same = torch.allclose(result, image, atol=1e-4)
        is_mirrored = torch.allclose(result, mirrored, atol=1e-4)
        assert is_same != is_mirrored
        n_mirrored += is_mirrored
    assert 16 < n_mirrored < 48


def test_crops_keep_their_share_of_the_area():
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 64).expand(64, 64)
    image = torch.stack([ramp, ramp.T, ramp])
    crops = random_crop(image[None].repeat(200, 1, 1, 1), 64, 0.25, flip=False)
    # The ramps tell where a crop begins and ends, from left to right and from top to bottom.
    width = crops[:, 0, 0, -1] - crops[:, 0, 0, 0]
    height = crops[:, 1, -1, 0] - crops[:, 1, 0, 0]
    share = width * height / 4
    assert 0.22 < share.min() < 0.35
    assert 0.85 < share.max() < 1.02


def test_colour_changes_brightness_and_contrast(plain_recipe):
    torch.manual_seed(0)
    changed = augment(repeat_image(50), dataclasses.replace(plain_recipe, colour=0.3))
    brightness = changed.mean(dim=(1, 2, 3))
    contrast = changed.std(dim=(1, 2, 3))
    assert brightness.std() > 0.1
    assert contrast.std() > 0.05


def test_dropping_tokens_keeps_both_ends_and_the_order():
    tokens = torch.tensor([[1, 5, 6, 0, 7, 2, 0, 0]]).repeat(200, 1)
    dropped = drop_tokens(tokens, 0.5)
    lengths = padding_mask(dropped).sum(dim=1)
    last_tokens = dropped.gather(1, lengths[:, None] - 1)
    assert lengths.min() < 6
    assert (dropped[:, 0] == 1).all()
    assert (last_tokens == 2).all()
    n_kept = 0
    for row in dropped.tolist():
        inner = [token for token in row if token in (5, 6, 7)]
        assert inner == sorted(inner)
        n_kept += len(inner)
    assert 0.4 < n_kept / 600 < 0.6


def test_batches_have_augmented_images_and_dropped_words(small, recipe):
    dataset = small("train")
    recipe = dataclasses.replace(recipe, stored_size=32)
    object.__setattr__(recipe, "token_dropout", 1.0)  # more than a recipe allows: nothing is left
    tokenizer = train_tokenizer([caption for own in dataset.captions for caption in own], 300)
    tokens = tokenize(tokenizer, dataset.captions)
    images, rows = next(iterate_batches(dataset, tokens, recipe, torch.device("cpu")))
    assert rows.shape == (2, 16, 2), "only [SOS] and [EOS] are left"
    for stored in normalize_images(dataset.images):
        for image in images:
            assert not torch.equal(stored, image)
