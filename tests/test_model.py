"""CLIP as a whole: any pair of encoders, its features, its scale, and how a recipe makes it."""

import dataclasses
import math
from functools import partial

import pytest
import torch
from torch import nn

from clipnb import (
    CLIP,
    IMAGE_ENCODERS,
    RECIPES,
    TEXT_ENCODERS,
    BagOfWords,
    ResidualCNN,
    TextTransformer,
    TinyCNN,
    ViT,
    create_model,
    load_run,
    seed_everything,
    train,
)


@pytest.mark.parametrize("make_image_encoder", [TinyCNN, ResidualCNN, partial(ViT, 32, layers=1)])
@pytest.mark.parametrize("make_text_encoder", [partial(TextTransformer, layers=1), BagOfWords])
def test_any_pair_of_encoders_makes_a_clip(make_image_encoder, make_text_encoder):
    model = CLIP(make_image_encoder(), make_text_encoder(vocab_size=100), embed_dim=24)
    images = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    tokens = torch.tensor([[1, 5, 2], [1, 2, 0], [1, 7, 2]])
    image_features, text_features, scale = model(images, tokens)
    for features in image_features, text_features:
        assert features.shape == (3, 24)
        torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    assert scale.item() == pytest.approx(1 / 0.07)


def test_images_have_the_size_that_the_encoder_takes():
    assert CLIP(ViT(32, layers=1), BagOfWords(100)).preprocess.size == 32
    assert CLIP(TinyCNN(), BagOfWords(100)).preprocess.size == 64  # it takes any


def test_red_is_the_first_channel_and_uint8_is_scaled():
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)
    image = red.view(1, 3, 1, 1).expand(1, 3, 8, 8)
    seen = []

    def remember_images(encoder, inputs):
        seen.append(inputs[0])

    encoder = TinyCNN()
    encoder.register_forward_pre_hook(remember_images)
    CLIP(encoder, BagOfWords(9)).encode_image(image)
    assert seen[0][0, :, 0, 0].tolist() == [1.0, -1.0, -1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_model_takes_uint8_images(dtype):
    model = CLIP(TinyCNN(), BagOfWords(100), embed_dim=24)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    expected = model.encode_image(images, normalize=True)
    features = model.to(dtype).encode_image(images, normalize=True)
    assert features.dtype == dtype
    torch.testing.assert_close(features.float(), expected, atol=0.02, rtol=0)


def test_the_scale_starts_at_the_papers_value():
    model = CLIP(TinyCNN(), BagOfWords(9))
    assert model.logit_scale.item() == pytest.approx(math.log(1 / 0.07))


@pytest.mark.parametrize("pushed, kept", [(9.0, math.log(100)), (-3.0, 0.0), (3.0, 3.0)])
def test_the_scale_is_kept_between_1_and_100(pushed, kept):
    model = CLIP(TinyCNN(), BagOfWords(9))
    model.logit_scale.data.fill_(pushed)
    model.clamp_logit_scale()
    assert model.logit_scale.item() == pytest.approx(kept)


def test_the_dropout_of_a_recipe_is_that_of_the_model():
    model = create_model(dataclasses.replace(RECIPES["baseline"], dropout=0.3))
    rates = {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    assert rates == {0.3}


def test_an_unknown_encoder_is_refused_with_the_choices():
    recipe = dataclasses.replace(RECIPES["quick"], image_encoder="resnet")
    with pytest.raises(ValueError, match="'resnet' is unknown.*tiny_cnn, residual_cnn, vit"):
        create_model(recipe)
    recipe = dataclasses.replace(RECIPES["quick"], text_encoder="gpt")
    with pytest.raises(ValueError, match=r"transformer, bag_of_words.*TEXT_ENCODERS\['gpt'\] ="):
        create_model(recipe)


# ---- encoders of your own --------------------------------------------------------------------


class MeanColour(nn.Module):
    """An image encoder that sees the mean colour alone."""

    width = 3

    def forward(self, images):
        return images.mean(dim=(2, 3))  # (B, 3)


class FirstToken(nn.Module):
    """A text encoder that sees the first word alone, with a frozen layer."""

    def __init__(self, vocab_size, width):
        super().__init__()
        self.width = width
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.frozen = nn.Linear(width, width).requires_grad_(False)

    def forward(self, tokens):
        return self.frozen(self.token_embedding(tokens[:, 1]))  # (B, width)


def make_mean_colour(recipe):
    return MeanColour()


def make_first_token(recipe):
    return FirstToken(recipe.vocab_size, width=8)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_encoders_of_your_own_are_trained_and_loaded(
    small, recipe, tmp_path, monkeypatch, optimizer
):
    monkeypatch.setitem(IMAGE_ENCODERS, "mean_colour", make_mean_colour)
    monkeypatch.setitem(TEXT_ENCODERS, "first_token", make_first_token)
    recipe = dataclasses.replace(
        recipe,
        image_encoder="mean_colour",
        text_encoder="first_token",
        optimizer=optimizer,
        epochs=1,
    )
    seed_everything(0)
    start = create_model(recipe).state_dict()
    sets = {"train_set": small("train", 40), "dev_set": small("dev")}
    with pytest.warns(UserWarning, match="only 20 dev images"):
        trained = train(recipe, 0, tmp_path / "run", **sets).model.state_dict()
    for name in ("text_encoder.token_embedding.weight", "image_projection.weight"):
        assert not torch.equal(trained[name].cpu(), start[name])
    frozen = "text_encoder.frozen.weight"
    assert torch.equal(trained[frozen].cpu(), start[frozen])

    monkeypatch.delitem(IMAGE_ENCODERS, "mean_colour")
    with pytest.raises(
        ValueError, match=r"'mean_colour' is unknown.*IMAGE_ENCODERS\['mean_colour'"
    ):
        load_run(tmp_path / "run")


def test_an_encoder_without_a_width_is_refused(recipe, monkeypatch):
    def make_identity(recipe):
        return nn.Identity()

    monkeypatch.setitem(IMAGE_ENCODERS, "identity", make_identity)
    with pytest.raises(ValueError, match="'identity' is a Identity without a `width`"):
        create_model(dataclasses.replace(recipe, image_encoder="identity"))
