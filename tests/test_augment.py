"""What a training batch goes through: each image and caption by itself, and no more than the recipe asks."""

import dataclasses

import torch

from clipnb import normalize_images, padding_mask, train_tokenizer
from clipnb.augment import augment, drop_tokens, random_crop
from clipnb.features import tokenize
from clipnb.training import iterate_batches


def test_crops_differ_within_a_batch_and_no_change_is_the_identity(recipe):
    plain = dataclasses.replace(recipe, image_size=40, min_crop_area=1.0, flip=False, colour=0.0)
    images = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8).repeat(6, 1, 1, 1)
    torch.testing.assert_close(augment(images, plain), normalize_images(images))
    torch.testing.assert_close(
        random_crop(normalize_images(images), 40, 1.0, flip=False),
        normalize_images(images),
        atol=1e-4,
        rtol=0,
    )
    changed = augment(images, recipe)
    assert changed.shape == (6, 3, 32, 32)
    assert all((changed[0] - other).abs().max() > 0.05 for other in changed[1:])


def test_training_crops_may_be_smaller_than_what_evaluation_sees(recipe):
    images = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)
    assert augment(images, dataclasses.replace(recipe, crop_size=24)).shape == (2, 3, 24, 24)
    scaled = dataclasses.replace(
        recipe, image_size=40, crop_size=20, min_crop_area=1.0, flip=False, colour=0.0
    )
    halved = (
        images.float().view(2, 3, 20, 2, 20, 2).mean(dim=(3, 5)) / 127.5 - 1
    )  # sampled in the middle of four pixels
    torch.testing.assert_close(augment(images, scaled), halved, atol=1e-4, rtol=0)


def test_each_image_is_flipped_on_its_own_and_sideways():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 8, 8)
    out = random_crop(images, 8, 1.0, flip=True)
    same, mirrored = (
        [torch.allclose(a, b, atol=1e-4) for a, b in zip(out, other)]
        for other in (images, images.flip(-1))
    )
    assert all(a != b for a, b in zip(same, mirrored)) and 16 < sum(mirrored) < 48


def test_crops_keep_their_share_of_the_area():
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 64).expand(64, 64)
    out = random_crop(
        torch.stack([ramp, ramp.T, ramp])[None].repeat(200, 1, 1, 1), 64, 0.25, flip=False
    )
    # the ramps tell where a crop begins and ends, from left to right and from top to bottom
    area = (out[:, 0, 0, -1] - out[:, 0, 0, 0]) * (out[:, 1, -1, 0] - out[:, 1, 0, 0]) / 4
    assert 0.22 < area.min() < 0.35 and 0.85 < area.max() < 1.02


def test_colour_changes_brightness_and_contrast(recipe):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8).repeat(50, 1, 1, 1)
    out = augment(
        images,
        dataclasses.replace(recipe, image_size=40, min_crop_area=1.0, flip=False, colour=0.3),
    )
    assert out.mean((1, 2, 3)).std() > 0.1 and out.std((1, 2, 3)).std() > 0.05


def test_dropped_words_keep_order_and_both_ends():
    tokens = torch.tensor([[1, 5, 6, 0, 7, 2, 0, 0]]).repeat(200, 1)
    dropped = drop_tokens(tokens, 0.5)
    lengths = padding_mask(dropped).sum(1)
    assert (
        lengths.min() < 6
        and (dropped[:, 0] == 1).all()
        and (dropped.gather(1, lengths[:, None] - 1) == 2).all()
    )
    inner = [[t for t in row.tolist() if t in (5, 6, 7)] for row in dropped]
    assert all(row == sorted(row) for row in inner) and 0.4 < sum(map(len, inner)) / 600 < 0.6


def test_batches_augment_images_and_drop_words(small, recipe):
    dataset, recipe = small("train"), dataclasses.replace(recipe, stored_size=32, token_dropout=1.0)
    tokens = tokenize(
        train_tokenizer([c for five in dataset.captions for c in five], 300), dataset.captions
    )
    images, rows = next(iterate_batches(dataset, tokens, recipe, torch.device("cpu")))
    assert rows.shape == (2, 16, 2), "nothing but [SOS] and [EOS] is left"
    assert not any(
        torch.equal(normalize_images(own), image) for own in dataset.images for image in images
    )
