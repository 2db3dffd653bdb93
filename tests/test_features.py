"""Features batch by batch are the same as all at once, and captions are sampled and cut right."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clipnb import create_model, features, padding_mask, runtime, train_tokenizer
from clipnb.encoders import QuickGELU
from clipnb.features import (
    apply_in_batches,
    digest_weights,
    encode_dataset,
    encode_images,
    encode_texts,
    sample_captions,
    tokenize,
)
from clipnb.recipes import RECIPES
from clipnb.tokenizer import trim_padding


def test_the_same_weights_with_another_activation_are_another_model():
    weights = nn.Linear(2, 2)
    quick, usual = nn.Sequential(weights, QuickGELU()), nn.Sequential(weights, nn.GELU())
    assert digest_weights(quick) != digest_weights(usual)
    assert digest_weights(usual) == digest_weights(nn.Sequential(weights, nn.Identity()))


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


def test_tokens_of_several_blocks_are_those_of_one(monkeypatch):
    captions = [["a dog", "sea"], ["two red cats and a kite", "sea"], ["a", "a kite and a dog"]]
    tokenizer = train_tokenizer([caption for own in captions for caption in own], 100)
    whole = tokenize(tokenizer, captions)
    monkeypatch.setattr("clipnb.features.CAPTIONS", 2)
    assert torch.equal(tokenize(tokenizer, captions), whole)


@pytest.mark.parametrize(
    "captions, error, words",
    [
        (["dog", "cat"], TypeError, "a list of strings for each image; one has 'dog' alone"),
        ([["a dog"], "cat"], TypeError, "one has 'cat' alone"),
        ([["a dog"], ["a cat", "a car"]], ValueError, r"equally many .* these have \[1, 2\]"),
        ([[], []], ValueError, r"at least one; these have \[0\]"),
        ([], ValueError, r"these have \[\]"),
        ([["a dog"], [None]], TypeError, "a text is a string, not None"),
    ],
)
def test_captions_are_equally_many_lists_of_strings(captions, error, words):
    with pytest.raises(error, match=words):
        tokenize(train_tokenizer(["a dog", "a cat"], 60), captions)


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


# ---- precision -------------------------------------------------------------------------------


@pytest.fixture
def bf16(monkeypatch):
    """A machine with bfloat16, on which a measurement gives what the test sets in "gain"."""
    measured = {"gain": 3.0, "calls": 0}

    def measure(model, encode, usual, inputs):
        measured["calls"] += 1
        assert len(inputs) == features.PROBE_SIZE
        return measured["gain"]

    monkeypatch.delenv("CLIPNB_PRECISION", raising=False)
    monkeypatch.setattr(runtime, "has_bf16", lambda device: True)
    monkeypatch.setattr(features, "faster_in_bf16", {})
    monkeypatch.setattr(features, "MIN_PARAMETERS", 1000)
    monkeypatch.setattr(features, "measure_gain", measure)
    return measured


def make_inputs(n):
    generator = torch.Generator().manual_seed(n)
    images = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.randint(1, 300, (n, 7), generator=generator)


def encode_plainly(model, images, tokens):
    """Encode all at once in float32, without any function of features.py."""
    model.eval()
    with torch.no_grad():
        return model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)


def test_large_models_encode_in_bfloat16_where_it_is_measured_to_be_faster(bf16, recipe):
    model = create_model(recipe)
    images, tokens = make_inputs(20)
    expected = encode_plainly(model, images, tokens)
    for _ in range(2):
        found = encode_images(model, images), encode_texts(model, tokens)
        for ours, plain in zip(found, expected, strict=True):
            assert not ours.equal(plain), "it was computed in bfloat16"
            assert ours.dtype == torch.float32
            torch.testing.assert_close(ours.norm(dim=1), torch.ones(20), rtol=0, atol=1e-6)
            assert (ours * plain).sum(dim=1).min() > 0.999
    assert bf16["calls"] == 2, "once for images and once for texts"


@pytest.mark.parametrize("reason", ["slower", "small", "few", "no hardware", "variable"])
def test_otherwise_features_are_those_of_float32_bit_for_bit(bf16, recipe, monkeypatch, reason):
    n = 15 if reason == "few" else 20
    if reason == "slower":
        bf16["gain"] = 1.19
    if reason == "small":
        monkeypatch.setattr(features, "MIN_PARAMETERS", 10**9)
    if reason == "no hardware":
        monkeypatch.setattr(runtime, "has_bf16", lambda device: False)
    if reason == "variable":
        monkeypatch.setenv("CLIPNB_PRECISION", "float32")
    model = create_model(recipe)
    images, tokens = make_inputs(n)
    expected = encode_plainly(model, images, tokens)
    assert encode_images(model, images).equal(expected[0])
    assert encode_texts(model, tokens).equal(expected[1])
    assert bf16["calls"] == (2 if reason == "slower" else 0)


def test_the_models_of_this_course_stay_in_float32():
    for name, recipe in RECIPES.items():
        if not recipe.image_encoder.startswith("clip/"):
            size = sum(p.numel() for p in create_model(recipe).parameters())
            assert size < features.MIN_PARAMETERS, name


def test_a_gain_is_the_ratio_of_the_best_times(recipe, monkeypatch):
    clock = iter([0, 2, 2, 12, 12, 13, 13, 17])  # ours 2 and 1 seconds, the usual way 10 and 4
    monkeypatch.setattr(features.time, "perf_counter", lambda: next(clock))
    model, calls = create_model(recipe), []

    def encode(batch):
        calls.append("ours")
        return batch

    def encode_as_usual(batch):
        calls.append("usual")
        return batch

    inputs = torch.zeros(16, 3)
    assert features.measure_gain(model, encode, encode_as_usual, inputs) == 4
    assert calls == ["ours", "usual"] * 2
