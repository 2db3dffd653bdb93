"""The four objectives of notebook 07: targets and masks against loops, likelihoods by hand, and efficiency ratios on curves with known answers."""

import numpy as np
import pytest
import torch

from clipnb import train_tokenizer
from clipnb.datasets import CaptionDataset
from clipnb.encoders import TinyCNN
from clipnb.experiments import objectives
from clipnb.experiments.fitting import make_caption_sampler
from clipnb.experiments.objectives import (
    ARMS,
    Captioner,
    WordPredictor,
    class_scores,
    efficiency,
    images_to_reach,
    make_condition,
)

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


def test_a_bag_of_words_is_what_loops_make_of_it(tokenizer):
    torch.manual_seed(0)
    model, images = WordPredictor(TinyCNN(), tokenizer.vocab_size), torch.randn(3, 3, 32, 32)
    tokens = tokenizer(["a red dog and a cat", "dog", "a blue cat at sea"])
    logs, losses = model(images).log_softmax(dim=1), []
    for row, ids in enumerate(tokens.tolist()):
        words = {token for token in ids if token not in (0, tokenizer.sos, tokenizer.eos)}
        losses.append(-sum(logs[row, token] for token in words) / len(words))
    torch.testing.assert_close(model.loss(images, tokens), sum(losses) / 3)


def test_no_position_sees_the_word_it_guesses(tokenizer):
    torch.manual_seed(0)
    model, features = Captioner(TinyCNN(), tokenizer.vocab_size).eval(), torch.randn(1, 128)
    tokens = tokenizer(["a red dog on the grass"])
    for position in range(1, tokens.shape[1] - 1):
        changed = tokens.clone()
        changed[0, position] = (tokens[0, position] + 1) % tokenizer.vocab_size
        moved = (model(features, tokens) - model(features, changed)).abs().amax(dim=2)[0] > 1e-6
        assert moved.tolist() == [i >= position for i in range(len(moved))]
    other = (model(features, tokens) - model(features + 1, tokens)).abs().amax(dim=2)[0]
    assert (other > 1e-4).all()  # every position sees the image


def test_padding_changes_neither_loss_nor_likelihood(tokenizer):
    torch.manual_seed(0)
    model, images = Captioner(TinyCNN(), tokenizer.vocab_size).eval(), torch.randn(2, 3, 32, 32)
    short, longer = (
        tokenizer(["a dog", "red cat"]),
        torch.nn.functional.pad(tokenizer(["a dog", "red cat"]), (0, 5)),
    )
    torch.testing.assert_close(model.loss(images, short), model.loss(images, longer))
    features = model.image_encoder(images)
    torch.testing.assert_close(
        model.log_likelihood(features, short), model.log_likelihood(features, longer)
    )


def test_likelihood_of_a_text_is_the_sum_over_its_words(tokenizer):
    torch.manual_seed(0)
    model, features = Captioner(TinyCNN(), tokenizer.vocab_size).eval(), torch.randn(3, 128)
    tokens = tokenizer(["a red dog", "cat"])
    found = model.log_likelihood(features, tokens)
    for m, text in enumerate(["a red dog", "cat"]):
        ids = tokenizer.encode(text)
        logs = model(features, tokens[m].expand(3, -1)).log_softmax(dim=-1)
        torch.testing.assert_close(
            found[:, m], sum(logs[:, t, token] for t, token in enumerate(ids))
        )


def test_every_arm_teaches_its_image_tower_and_scores_classes(tokenizer, dataset):
    for arm in ARMS:
        torch.manual_seed(0)
        model, loss = make_condition(arm, objectives.RACE, tokenizer, dataset)
        loss(model, torch.randn(8, 3, 48, 48), torch.arange(8)).backward()
        assert all(
            p.grad is not None and p.grad.abs().sum() > 0 for p in model.image_encoder.parameters()
        ), arm
        scores = class_scores(
            model, tokenizer, dataset.images, ["dog", "cat", "grass"], ["a {}", "the {}"]
        )
        assert scores.shape == (8, 3) and torch.isfinite(scores).all()


def test_drawn_captions_belong_to_their_images(tokenizer, dataset):
    drawn = make_caption_sampler(tokenizer, dataset)(torch.tensor([1, 0, 3]))
    for row, i in zip(drawn, (1, 0, 3)):
        assert tokenizer.decode(row) in [
            tokenizer.decode(tokenizer([caption])[0]) for caption in CAPTIONS[i]
        ]


def test_images_to_reach_a_level():
    curve, images = np.array([10.0, 20.0, 40.0]), [1000, 2000, 4000]
    assert images_to_reach(curve, images, 30) == pytest.approx(2000 * 2**0.5)
    assert (
        images_to_reach(curve, images, 5) == 1000
    )  # reached before the first point: no earlier than that
    assert images_to_reach(curve, images, 50) == 4000  # never


def test_efficiency_is_taken_where_both_arrive():
    n_images = lambda *shares: np.stack(
        [np.arange(100) < 100 * share for share in shares], axis=1
    )  # (N, T)
    o = {
        "fast": n_images(0.2, 0.4, 0.8),
        "slow": n_images(0.1, 0.2, 0.4),
        "images": [1000, 2000, 4000],
    }
    assert efficiency("fast", "slow")(o) == pytest.approx(2.0)
    assert efficiency("slow", "fast")(o) == pytest.approx(0.5)


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
    given = {
        name: {"mean": mean, "interval": [0.8 * mean, 1.2 * mean]}
        for name, mean in zip(objectives.ratios(None), (contrast, bag, both, 1, 1))
    }
    assert objectives.judge_objectives(given)[0] == verdict
