"""Features batch by batch are the same as all at once, and captions are sampled and cut right."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import create_model, padding_mask, train_tokenizer
from clipnb.features import (
    apply_in_batches,
    encode_dataset,
    encode_images,
    sample_captions,
    tokenize,
)
from clipnb.recipes import RECIPES
from clipnb.tokenizer import trim_padding


def test_batches_give_the_same_features_as_all_at_once(small):
    dataset = small("test")
    tokenizer = train_tokenizer([caption for own in dataset.captions for caption in own], 300)
    model = create_model(RECIPES["quick"]).train()
    image_features, text_features = encode_dataset(model, tokenizer, dataset, batch_size=3)
    assert model.training, "the model is in its former mode again"
    assert text_features.shape == (20, 5, 512)
    model.eval()
    with torch.no_grad():
        expected_images = model.encode_image(torch.tensor(dataset.images), normalize=True)
        tokens = tokenizer([own[4] for own in dataset.captions])
        expected_texts = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(image_features, expected_images, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(text_features[:, 4], expected_texts, rtol=1e-4, atol=1e-5)


def test_features_before_the_projection_are_the_encoders_own(small):
    images = small("test").images[:6]
    model = create_model(RECIPES["quick"]).eval()
    features = encode_images(model, images, projected=False)
    projected = F.normalize(model.image_projection(features), dim=-1)
    torch.testing.assert_close(projected, encode_images(model, images), rtol=1e-4, atol=1e-5)


def test_the_mode_comes_back_after_an_error():
    model = create_model(RECIPES["quick"]).train()

    def fail(batch):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        apply_in_batches(model, fail, np.zeros((4, 3, 8, 8), np.uint8))
    assert model.training


def test_tokens_keep_images_and_captions_apart():
    tokenizer = train_tokenizer(["a dog", "two cats", "a red kite", "sea"], 100)
    tokens = tokenize(tokenizer, [["a dog", "two cats"], ["a red kite", "sea"]])
    assert tokens.shape[:2] == (2, 2)
    assert tokenizer.decode(tokens[1, 0]) == "a red kite"


def test_sampled_captions_are_an_images_own_and_all_different():
    torch.manual_seed(0)
    tokens = torch.arange(4 * 5).view(4, 5, 1)  # the token tells image and caption
    images = torch.tensor([2, 0, 2])
    seen = set()
    for _ in range(50):
        sampled = sample_captions(tokens, images, 3)[..., 0]  # (3, 3)
        assert (sampled // 5 == images[:, None]).all()
        for row in sampled.tolist():
            assert len(set(row)) == 3
        seen |= set(sampled[0].tolist())
    assert seen == set(range(10, 15)), "every caption has its turn"


def test_trimming_cuts_off_nothing_but_padding():
    tokens = torch.tensor([[[1, 0, 2, 0, 0]], [[1, 2, 0, 0, 0]]])
    trimmed = trim_padding(tokens)
    assert trimmed.tolist() == [[[1, 0, 2]], [[1, 2, 0]]]
    assert padding_mask(trimmed).sum() == padding_mask(tokens).sum()


def test_features_before_the_projection_work_in_half_precision(small):
    model = create_model(RECIPES["quick"]).to(torch.bfloat16)
    features = encode_images(model, small("test").images[:2], projected=False)
    assert features.dtype == torch.float32
    assert features.isfinite().all()


@pytest.mark.parametrize(
    "shape, words",
    [
        ((2, 32, 32, 3), "Put the colours first"),
        ((32, 32, 3), "Put the colours first"),
        ((3, 32, 32), "give images?.None"),
        ((2, 1, 32, 32), "this one is .2, 1, 32, 32.\\.$"),
        ((0, 3, 32, 32), "no images to encode"),
    ],
)
def test_arrays_of_another_shape_are_refused_in_words(shape, words):
    model = create_model(RECIPES["quick"])
    with pytest.raises(ValueError, match=words):
        encode_images(model, np.zeros(shape, np.uint8))


@pytest.mark.parametrize("image_encoder", ["tiny_cnn", "residual_cnn", "vit"])
def test_uint8_images_work_in_half_precision(image_encoder):
    recipe = dataclasses.replace(RECIPES["quick"], image_encoder=image_encoder)
    model = create_model(recipe).to(torch.bfloat16).eval()
    images = np.zeros((2, 3, recipe.image_size, recipe.image_size), np.uint8)
    features = encode_images(model, images)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2), atol=0.02, rtol=0)
