"""Pixels, features and sizes that a function cannot take: each is told in one line."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bad_parts import check_message

from clipnb import (
    CaptionDataset,
    clip_loss,
    clip_tokenizer,
    encode_images,
    evaluate,
    load_dataset,
    retrieval_metrics,
    siglip_loss,
    train,
    train_tokenizer,
    zero_shot_scores,
)
from clipnb.features import encode_texts
from clipnb.metrics import bootstrap_intervals, chance
from clipnb.tokenizer import load_tokenizer

# ---- pixels ------------------------------------------------------------------------------------

PIXELS = torch.arange(0, 192, dtype=torch.uint8).reshape(1, 3, 8, 8)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
@pytest.mark.parametrize("projected", [True, False])
def test_pixels_are_uint8_or_as_the_model_wants_them(kind, projected, index):
    model = index.model
    expected = encode_images(model, PIXELS, projected=projected)
    normalized = model.preprocess.normalize(PIXELS).to(kind)
    for images in (normalized, normalized.numpy()):
        features = encode_images(model, images, projected=projected)
        torch.testing.assert_close(features, expected, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (PIXELS.float(), "the pixels are float32 from 0 to 191"),
        (PIXELS.numpy().astype(np.float32), "the pixels are float32 from 0 to 191"),
        (torch.full((1, 3, 8, 8), math.nan), "the pixels are float32 from nan to nan"),
        (torch.full((1, 3, 8, 8), -3.0), "the pixels are float32 from -3 to -3"),
        *[(PIXELS.to(kind), "the pixels are") for kind in (torch.float64, torch.int64, torch.bool)],
        (PIXELS.numpy().astype(np.uint16), "the pixels are uint16"),
    ],
)
def test_other_pixels_are_refused(images, told, index):
    with pytest.raises(ValueError) as error:
        encode_images(index.model, images)
    check_message(error, told, "give uint8 from 0 to 255")


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_something(size, index):
    for encode, inputs in ((encode_images, PIXELS), (encode_texts, torch.ones(2, 3).long())):
        with pytest.raises(ValueError) as error:
            encode(index.model, inputs, size)
        check_message(error, f"batch_size is {size}; set it to 1 or more")


def test_what_is_no_model_no_dataset_and_no_array_is_told(index):
    model, tokenizer = index.model, index.tokenizer
    for use, told in (
        (lambda: encode_images(None, PIXELS), "a model is a CLIP, such as run.model, not None"),
        (lambda: evaluate(model, tokenizer, "own"), "'own' is no dataset; give load_dataset("),
        (lambda: zero_shot_scores(model, tokenizer, [1], ["dog"]), "images are an array"),
    ):
        with pytest.raises(TypeError) as error:
            use()
        check_message(error, told)


# ---- losses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "texts"),
    [((1, 3), (5, 3)), ((5, 3), (1, 3)), ((4, 3), (4, 2)), ((0, 3), (0, 3)), ((4,), (4,))],
)
@pytest.mark.parametrize("loss", [clip_loss, lambda *batch: siglip_loss(*batch, -2.0)])
def test_a_loss_compares_pairs(loss, images, texts):
    with pytest.raises(ValueError) as error:
        loss(torch.ones(images), torch.ones(texts), 10.0)
    check_message(error, f"image features are {images} and text features {texts}", "(N, D)")


@pytest.mark.parametrize("scale", [torch.ones(2), torch.ones(2, 1), torch.ones(0)])
@pytest.mark.parametrize("loss", [clip_loss, lambda *batch: siglip_loss(*batch, -2.0)])
def test_a_scale_is_a_single_number(loss, scale):
    with pytest.raises(ValueError) as error:
        loss(torch.ones(2, 2), torch.ones(2, 2), scale)
    check_message(error, f"logit_scale is {tuple(scale.shape)}; give a single number")


@pytest.mark.parametrize("smoothing", [-1, 1.5, math.nan])
def test_smoothing_is_a_share(smoothing):
    with pytest.raises(ValueError) as error:
        clip_loss(torch.ones(2, 2), torch.ones(2, 2), 10.0, smoothing)
    check_message(error, f"label_smoothing is {smoothing}; give a share from 0 to 1")


# ---- tokenizers --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [-5, 0, 1, 2, 10**6, "77", 7.5, True, None])
def test_a_text_has_room_in_its_context(length, tmp_path):
    for make in (
        clip_tokenizer,
        lambda length: train_tokenizer(["a dog"], 60, length),
        lambda length: load_tokenizer(tmp_path / "tokenizer.json", length),
    ):
        with pytest.raises(ValueError) as error:
            make(length)
        check_message(error, f"context_length is {length!r}; set it to a whole number from 3 to")


@pytest.mark.parametrize("size", [10**12, -1, 0, "60", 60.0])
def test_a_vocabulary_has_a_size_that_fits_into_memory(size):
    with pytest.raises(ValueError) as error:
        train_tokenizer(["a dog"], size)
    check_message(error, f"vocab_size is {size!r}; set it to a whole number from 2 to 1,000,000")


def test_a_length_of_numpy_is_the_number_that_it_is():
    tokenizer = train_tokenizer(["a dog"], np.int64(60), np.int64(3))
    assert tokenizer(["a dog"]).shape == (1, 3)


# ---- metrics -----------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(3.5,), ("3",), (3, 2.5), (None,), (-1,)])
def test_chance_counts_images_and_captions(counts):
    with pytest.raises(ValueError) as error:
        chance(*counts)
    check_message(error, f"there are {counts[0]} images", "give whole numbers")


@pytest.mark.parametrize(
    ("images", "captions"), [((4,), (7,)), ((0,), (0,)), ((4, 1), (8,)), ((4,), (0,))]
)
def test_ranks_are_of_images_and_their_captions(images, captions):
    with pytest.raises(ValueError) as error:
        bootstrap_intervals(torch.ones(images), torch.ones(captions))
    check_message(error, f"there are ranks {images} of images and {captions}", "(N,) and (N*K,)")


def test_something_is_resampled():
    with pytest.raises(ValueError) as error:
        bootstrap_intervals(torch.ones(4), torch.ones(8), 0)
    check_message(error, "n_resamples is 0; set it to 1 or more")


@pytest.mark.parametrize("kinds", [("int64", "int64"), ("float32", "float64"), ("bool", "bool")])
def test_features_are_floating_point_of_one_type(kinds):
    images, texts = (torch.eye(3).to(getattr(torch, kind)) for kind in kinds)
    with pytest.raises(ValueError) as error:
        retrieval_metrics(images, texts[:, None])
    check_message(error, f"image features are torch.{kinds[0]}", "floating point")


def test_features_of_half_precision_have_metrics():
    rows = F.normalize(torch.randn(6, 8, generator=torch.manual_seed(0)), dim=-1).half()
    assert retrieval_metrics(rows, rows[:, None])["mean_recall"] == 100


# ---- the size of images ------------------------------------------------------------------------


def test_a_dev_set_that_the_model_cannot_take_is_refused_before_training(tiny_recipe, tmp_path):
    texts = {"image_encoder": "vit", "text_encoder": "bag_of_words"}
    with pytest.raises(ValueError) as error:
        train(
            dataclasses.replace(tiny_recipe, **texts),
            folder=tmp_path / "run",
            dev_set=load_dataset("own", "dev", 32),
        )
    check_message(error, "dev set have 32 x 32 pixels", "'vit' takes 16 x 16", "image_size=16")
    assert not (tmp_path / "run").exists(), "nothing was written"


@pytest.mark.filterwarnings("ignore:.* has only 8 dev images")
def test_sizes_that_a_model_can_take_are_trained(tiny_recipe, tmp_path):
    """A convolution takes any, and training images are scaled to the recipe's."""
    large: dict[str, CaptionDataset] = {
        f"{split}_set": load_dataset("own", split, 32) for split in ("train", "dev")
    }
    assert train(tiny_recipe, folder=tmp_path / "any", **large).history
    texts = {"image_encoder": "vit", "text_encoder": "bag_of_words"}
    vit = dataclasses.replace(tiny_recipe, **texts)
    assert train(vit, folder=tmp_path / "vit", train_set=large["train_set"]).history
