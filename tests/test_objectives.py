"""The objectives of notebook 07: targets and masks against loops, ratios with known answers."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import RECIPES, train_tokenizer
from clipnb.datasets import CaptionDataset
from clipnb.encoders import TinyCNN
from clipnb.experiments import objectives
from clipnb.experiments.fitting import make_caption_sampler
from clipnb.experiments.objectives import (
    CONDITIONS,
    choose_moments,
    class_scores,
    efficiency_quantity,
    images_to_reach,
    make_condition,
)
from clipnb.experiments.predictive import Captioner, WordPredictor, fit_word_predictor

CAPTIONS = [
    ["a red dog on the grass", "red dog", "a dog", "the dog .", "grass"],
    ["a blue cat at sea", "cat", "a cat", "the sea", "two cats"],
] * 4


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([caption for own in CAPTIONS for caption in own], 300)


@pytest.fixture(scope="module")
def dataset():
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    return CaptionDataset("d", "train", images, CAPTIONS, [str(i) for i in range(8)])


@pytest.fixture
def captioner(tokenizer):
    torch.manual_seed(0)
    return Captioner(TinyCNN(), tokenizer.vocab_size).eval()


# ---- the two predictive models ---------------------------------------------------------------


def test_a_bag_of_words_is_what_loops_make_of_it(tokenizer):
    torch.manual_seed(0)
    model = WordPredictor(TinyCNN(), tokenizer.vocab_size)
    images = torch.randn(3, 3, 32, 32)
    tokens = tokenizer(["a red dog and a cat", "dog", "a blue cat at sea"])
    logs, losses = model(images).log_softmax(dim=1), []
    for row, ids in enumerate(tokens.tolist()):
        words = {token for token in ids if token not in (0, tokenizer.sos, tokenizer.eos)}
        losses.append(-sum(logs[row, token] for token in words) / len(words))
    torch.testing.assert_close(model.loss(images, tokens), sum(losses) / 3)


def test_no_position_sees_the_word_it_guesses(tokenizer, captioner):
    features = torch.randn(1, 128)
    tokens = tokenizer(["a red dog on the grass"])
    before = captioner(features, tokens)
    for position in range(1, tokens.shape[1] - 1):
        changed = tokens.clone()
        changed[0, position] = (tokens[0, position] + 1) % tokenizer.vocab_size
        moved = (before - captioner(features, changed)).abs().amax(dim=2)[0] > 1e-6
        assert moved.tolist() == [i >= position for i in range(len(moved))]
    by_image = (before - captioner(features + 1, tokens)).abs().amax(dim=2)[0]
    assert (by_image > 1e-4).all()  # every position sees the image


def test_padding_changes_neither_loss_nor_likelihood(tokenizer, captioner):
    images = torch.randn(2, 3, 32, 32)
    short = tokenizer(["a dog", "red cat"])
    padded = F.pad(short, (0, 5))
    torch.testing.assert_close(captioner.loss(images, short), captioner.loss(images, padded))
    features = captioner.image_encoder(images)
    expected = captioner.log_likelihood(features, short)
    torch.testing.assert_close(captioner.log_likelihood(features, padded), expected)


def test_likelihood_of_a_text_is_the_sum_over_its_words(tokenizer, captioner):
    features = torch.randn(3, 128)
    texts = ["a red dog", "cat"]
    tokens = tokenizer(texts)
    likelihoods = captioner.log_likelihood(features, tokens)
    for column, text in enumerate(texts):
        logs = captioner(features, tokens[column].expand(3, -1)).log_softmax(dim=-1)
        by_hand = sum(logs[:, t, token] for t, token in enumerate(tokenizer.encode(text)))
        torch.testing.assert_close(likelihoods[:, column], by_hand)


def test_sampled_captions_belong_to_their_images(tokenizer, dataset):
    images = [1, 0, 3]
    sampled = make_caption_sampler(tokenizer, dataset)(torch.tensor(images))
    for tokens, image in zip(sampled, images, strict=True):
        own = [tokenizer.decode(tokenizer([caption])[0]) for caption in CAPTIONS[image]]
        assert tokenizer.decode(tokens) in own


def test_a_fitted_word_predictor_is_found_again(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    recipe = dataclasses.replace(
        RECIPES["quick"],
        name="tiny_bow_prediction",
        image_encoder="tiny_cnn",
        stored_size=32,
        image_size=32,
        vocab_size=300,
        batch_size=4,
        epochs=1,
    )
    first, again = (fit_word_predictor(recipe, 1, dataset) for _ in range(2))
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


# ---- the four conditions ---------------------------------------------------------------------


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_teaches_its_image_encoder_and_scores_classes(
    condition, tokenizer, dataset
):
    torch.manual_seed(0)
    model, loss = make_condition(condition, objectives.OBJECTIVES_RECIPE, tokenizer, dataset)
    loss(model, torch.randn(8, 3, 48, 48), torch.arange(8)).backward()
    gradients = [parameter.grad for parameter in model.image_encoder.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    names, templates = ["dog", "cat", "grass"], ["a {}", "the {}"]
    scores = class_scores(model, tokenizer, dataset.images, names, templates)
    assert scores.shape == (8, 3)
    assert torch.isfinite(scores).all()


def test_an_unknown_condition_is_refused(tokenizer, dataset):
    with pytest.raises(ValueError, match="no condition 'guessing'; choose one of 'caption lang"):
        make_condition("guessing", objectives.OBJECTIVES_RECIPE, tokenizer, dataset)


def test_moments_end_with_the_last_step_and_grow_by_the_root_of_two():
    assert choose_moments(96, 5) == [24, 34, 48, 68, 96]
    assert choose_moments(3, 5) == [1, 2, 3]  # equal ones count once


def test_all_conditions_are_evaluated_at_the_same_moments(dataset, monkeypatch):
    recipe = dataclasses.replace(
        objectives.OBJECTIVES_RECIPE, image_encoder="tiny_cnn", batch_size=4, vocab_size=300
    )
    monkeypatch.setattr(objectives, "OBJECTIVES_RECIPE", recipe)

    def evaluate(model, tokenizer):
        return np.ones((5, 2), dtype=bool)

    curves = objectives.train_conditions(0, dataset, epochs=2, n_points=3, evaluate=evaluate)
    assert list(curves) == list(CONDITIONS)
    for curve in curves.values():
        assert curve.images == [8, 12, 16]
        assert curve.outcomes.shape == (5, 3, 2)
        assert curve.seconds_per_image > 0


# ---- quantities and verdicts -----------------------------------------------------------------


def test_images_to_reach_a_level():
    curve, images = np.array([10.0, 20.0, 40.0]), [1000, 2000, 4000]
    assert images_to_reach(curve, images, 30) == pytest.approx(2000 * 2**0.5)
    assert images_to_reach(curve, images, 5) == 1000  # before the first point: not less than that
    assert images_to_reach(curve, images, 50) == 4000  # never


def test_efficiency_is_taken_where_both_arrive():
    def make_curve(*shares):  # (N, T)
        return np.stack([np.arange(100) < 100 * share for share in shares], axis=1)

    outcomes = {
        "fast": make_curve(0.2, 0.4, 0.8),
        "slow": make_curve(0.1, 0.2, 0.4),
        "images": [1000, 2000, 4000],
    }
    assert efficiency_quantity("fast", "slow")(outcomes) == pytest.approx(2.0)
    assert efficiency_quantity("slow", "fast")(outcomes) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "contrast, bag, both, verdict",
    [
        (4, 3, 12, "replicated"),
        (1.0, 3, 3, "partly"),
        (0.5, 0.6, 0.3, "contradicted"),
        (1.1, 1.0, 1.1, "not at this scale"),
    ],
)
def test_the_judge_goes_by_intervals(contrast, bag, both, verdict):
    names = objectives.ratio_quantities(objectives.accuracy_curve)
    means = (contrast, bag, both, 1, 1)
    quantities = {
        name: {"mean": mean, "interval": [0.8 * mean, 1.2 * mean]}
        for name, mean in zip(names, means, strict=True)
    }
    assert objectives.judge_objectives(quantities)[0] == verdict
