"""The two predictive models: a bag of words and a language model, against loops."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import RECIPES, train_tokenizer
from clipnb.datasets import CaptionDataset
from clipnb.encoders import TinyCNN
from clipnb.experiments.fitting import make_caption_sampler
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
