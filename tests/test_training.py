"""One step of training: the learning rate, the loss, the gradient and the average of weights."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from clipnb import (
    RECIPES,
    clip_loss,
    create_model,
    normalize_images,
    seed_everything,
    siglip_loss,
)
from clipnb.features import tokenize
from clipnb.loop import make_tokenizer
from clipnb.optimizers import make_optimizer
from clipnb.steps import learning_rate_at, train_step, update_average


@pytest.fixture
def eight_images(small):
    """Eight images of the training split, with their captions."""
    return small("train").subset(range(8))


@pytest.fixture
def step_recipe(recipe):
    """A recipe without dropout, so that a step can be repeated, and with short gradients."""
    return dataclasses.replace(recipe, dropout=0.0, clip_norm=0.01, label_smoothing=0.2)


@pytest.fixture
def batch(eight_images, recipe):
    """Images float32 (8, 3, 32, 32), and two captions of each, int64 (2, 8, T)."""
    tokenizer = make_tokenizer(recipe, eight_images.captions)
    tokens = tokenize(tokenizer, eight_images.captions)  # (8, 5, T)
    return normalize_images(eight_images.images), tokens.transpose(0, 1)[:2]


def flatten_weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# ---- the schedule ----------------------------------------------------------------------------


def test_the_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate_at(step, 100, RECIPES["baseline"]) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-6


# ---- a step ----------------------------------------------------------------------------------


def test_training_starts_at_ln_n_and_overfits_eight_pairs(eight_images):
    recipe = dataclasses.replace(
        RECIPES["quick"], image_encoder="tiny_cnn", learning_rate=2e-3, vocab_size=300
    )
    seed_everything(0)
    tokenizer = make_tokenizer(recipe, eight_images.captions)
    model = create_model(recipe)
    optimizer = make_optimizer(model, recipe)
    images = torch.tensor(eight_images.images)
    tokens = tokenizer([own[0] for own in eight_images.captions])  # (8, T)
    losses = []
    for _ in range(150):
        losses.append(train_step(model, optimizer, images, tokens[None], recipe).item())
    assert losses[0] == pytest.approx(math.log(8), abs=0.5)
    assert losses[-1] < 0.1
    image_features, text_features, _ = model.eval()(images, tokens)
    nearest = (image_features @ text_features.T).argmax(dim=1)
    assert nearest.tolist() == list(range(8))


def test_the_loss_of_a_step_is_the_mean_over_the_captions_of_an_image(batch, step_recipe):
    images, tokens = batch
    model = create_model(step_recipe)
    losses = [clip_loss(*model(images, captions), 0.2).item() for captions in tokens]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    loss = train_step(model, optimizer, images, tokens, step_recipe)
    assert loss.item() == pytest.approx(sum(losses) / 2, rel=1e-4)


def test_a_step_shortens_the_gradient_to_clip_norm(batch, step_recipe):
    model = create_model(step_recipe)
    before = flatten_weights(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train_step(model, optimizer, *batch, step_recipe)
    change = flatten_weights(model) - before
    assert change.norm().item() == pytest.approx(0.01, rel=0.05)


def test_a_step_keeps_the_scale_at_100_or_below(batch, step_recipe):
    model = create_model(step_recipe)
    model.logit_scale.data.fill_(9.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train_step(model, optimizer, *batch, step_recipe)
    assert model.logit_scale.item() == pytest.approx(math.log(100))


def test_the_text_loss_pulls_each_caption_to_the_next_of_its_image(eight_images, recipe):
    recipe = dataclasses.replace(recipe, captions_per_image=3, label_smoothing=0.1, text_loss=0.5)
    model = create_model(recipe).eval()
    images = torch.tensor(eight_images.images)
    tokens = torch.randint(1, 200, (3, 8, 6))
    scale = model.logit_scale.exp()
    image_features = model.encode_image(images, normalize=True)
    first, second, third = (model.encode_text(texts, normalize=True) for texts in tokens)

    image_losses = [
        clip_loss(image_features, features, scale, 0.1) for features in (first, second, third)
    ]
    text_losses = [
        clip_loss(first, second, scale, 0.1),
        clip_loss(second, third, scale, 0.1),
        clip_loss(third, first, scale, 0.1),
    ]
    expected = sum(image_losses) / 3 + 0.5 * sum(text_losses) / 3
    loss = train_step(model, make_optimizer(model, recipe), images, tokens, recipe)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_step_with_siglip_uses_the_bias(batch, recipe):
    recipe = dataclasses.replace(recipe, loss="siglip")
    images, tokens = batch
    model = create_model(recipe).eval()
    assert model.logit_bias.item() == pytest.approx(-math.log(15)), "one pair in sixteen is right"
    expected = siglip_loss(*model(images, tokens[0]), model.logit_bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    loss = train_step(model, optimizer, images, tokens[:1], recipe)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


# ---- the average -----------------------------------------------------------------------------


@pytest.fixture
def model_and_average():
    """A batch norm after some steps, and its average from before them."""
    model = nn.BatchNorm1d(1)
    average = copy.deepcopy(model)
    with torch.no_grad():
        model.weight.fill_(11.0)
        model.running_mean.fill_(2.0)
        model.num_batches_tracked.fill_(7)
    return model, average


def test_the_average_moves_by_its_decay(model_and_average):
    model, average = model_and_average
    update_average(average, model, 0.9, step=10**6)
    assert average.weight.item() == pytest.approx(0.9 * 1 + 0.1 * 11)
    assert average.running_mean.item() == pytest.approx(0.2)
    assert average.num_batches_tracked.item() == 7


def test_the_average_moves_faster_in_the_first_steps(model_and_average):
    model, average = model_and_average
    with torch.no_grad():
        average.weight.fill_(2.0)
    update_average(average, model, 0.9, step=0)  # keeps (1 + 0) / (10 + 0) of itself
    assert average.weight.item() == pytest.approx(0.1 * 2 + 0.9 * 11)
