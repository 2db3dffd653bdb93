"""The loss against naive loops, against open_clip, and against what must be true of it."""

import math

import pytest
import torch
import torch.nn.functional as F

from clipnb import clip_loss, siglip_loss


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture
def features():
    return unit(12, 8, seed=1), unit(12, 8, seed=2)


def test_equals_naive_loops(features):
    images, texts = features
    N, total = len(images), 0.0
    for i in range(N):
        row = [math.exp(5 * float(images[i] @ texts[j])) for j in range(N)]
        column = [math.exp(5 * float(images[j] @ texts[i])) for j in range(N)]
        total -= math.log(row[i] / sum(row)) + math.log(column[i] / sum(column))
    assert clip_loss(images, texts, torch.tensor(5.0)).item() == pytest.approx(
        total / (2 * N), rel=1e-5
    )


def test_equals_open_clip(features):
    from open_clip.loss import ClipLoss

    torch.testing.assert_close(
        clip_loss(*features, torch.tensor(14.3)), ClipLoss()(*features, torch.tensor(14.3))
    )


def test_two_pairs_by_hand():
    x = torch.eye(2)  # the right cosine is 1, the wrong one 0
    assert clip_loss(x, x, torch.tensor(1.0)).item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_symmetric_and_permutation_invariant(features):
    images, texts = features
    loss, order = clip_loss(images, texts, 10.0), torch.randperm(12)
    torch.testing.assert_close(clip_loss(texts, images, 10.0), loss)
    torch.testing.assert_close(clip_loss(images[order], texts[order], 10.0), loss)


def test_scale_zero_gives_ln_n_and_identical_pairs_give_nothing(features):
    assert clip_loss(*features, 0.0).item() == pytest.approx(math.log(12), rel=1e-5)
    assert clip_loss(features[0], features[0], 100.0).item() < 1e-3


def test_random_features_start_above_ln_n():
    """ln N + s^2 / 2d: the spread of random cosines costs a little (reference: 4.54 to 4.56 for N = 64, d = 256)."""
    losses = [
        clip_loss(unit(64, 256, seed=s), unit(64, 256, seed=s + 100), 1 / 0.07).item()
        for s in range(20)
    ]
    assert sum(losses) / 20 == pytest.approx(math.log(64) + (1 / 0.07) ** 2 / 512, abs=0.05)


def test_floor_with_a_duplicate():
    """Two rows that share image and caption cannot be told apart: each of them costs ln 2, whatever the model does."""
    x = torch.eye(6)[[0, 0, 1, 2, 3, 4]]
    assert clip_loss(x, x, 100.0).item() == pytest.approx(2 * math.log(2) / 6, rel=1e-4)


def test_the_scale_gets_a_gradient(features):
    scale = torch.tensor(2.0, requires_grad=True)
    clip_loss(*features, scale.exp()).backward()
    assert torch.isfinite(scale.grad) and scale.grad != 0


def test_label_smoothing_is_pytorchs(features):
    logits = 7 * features[0] @ features[1].T
    labels = torch.arange(12)
    expected = (
        F.cross_entropy(logits, labels, label_smoothing=0.1)
        + F.cross_entropy(logits.T, labels, label_smoothing=0.1)
    ) / 2
    torch.testing.assert_close(clip_loss(*features, 7.0, label_smoothing=0.1), expected)


def test_siglip_equals_open_clip_and_starts_near_one_in_n(features):
    from open_clip.loss import SigLipLoss

    bias = torch.tensor(-math.log(11))
    torch.testing.assert_close(
        siglip_loss(*features, torch.tensor(10.0), bias),
        SigLipLoss()(*features, torch.tensor(10.0), bias),
    )
    assert torch.sigmoid(bias).item() == pytest.approx(1 / 12)
