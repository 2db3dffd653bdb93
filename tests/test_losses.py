"""The losses against naive loops, against open_clip, and on batches whose loss is known."""

import math

import pytest
import torch
import torch.nn.functional as F

from clipnb import clip_loss, siglip_loss
from clipnb.losses import shared_text_loss


def random_features(*shape, seed):
    """Return random vectors of unit length."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


@pytest.fixture
def features():
    """Features of twelve images and of twelve texts, each (12, 8)."""
    return random_features(12, 8, seed=1), random_features(12, 8, seed=2)


# ---- against other code ----------------------------------------------------------------------


def test_the_loss_equals_naive_loops(features):
    images, texts = features
    N = len(images)
    total = 0.0
    for i in range(N):
        row = [math.exp(5 * float(images[i] @ texts[j])) for j in range(N)]
        column = [math.exp(5 * float(images[j] @ texts[i])) for j in range(N)]
        total -= math.log(row[i] / sum(row))
        total -= math.log(column[i] / sum(column))
    loss = clip_loss(images, texts, torch.tensor(5.0))
    assert loss.item() == pytest.approx(total / (2 * N), rel=1e-5)


def test_the_loss_equals_open_clips(features):
    from open_clip.loss import ClipLoss

    scale = torch.tensor(14.3)
    torch.testing.assert_close(clip_loss(*features, scale), ClipLoss()(*features, scale))


def test_label_smoothing_equals_pytorchs(features):
    images, texts = features
    logits = 7 * images @ texts.T
    labels = torch.arange(12)
    image_loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
    text_loss = F.cross_entropy(logits.T, labels, label_smoothing=0.1)
    loss = clip_loss(images, texts, 7.0, label_smoothing=0.1)
    torch.testing.assert_close(loss, (image_loss + text_loss) / 2)


def test_the_sigmoid_loss_equals_open_clips(features):
    from open_clip.loss import SigLipLoss

    scale = torch.tensor(10.0)
    bias = torch.tensor(-math.log(11))
    expected = SigLipLoss()(*features, scale, bias)
    torch.testing.assert_close(siglip_loss(*features, scale, bias), expected)


def test_the_start_of_the_bias_is_a_probability_of_one_in_n():
    bias = torch.tensor(-math.log(11))
    assert torch.sigmoid(bias).item() == pytest.approx(1 / 12)


# ---- known values ----------------------------------------------------------------------------


def test_the_loss_of_two_pairs_equals_that_by_hand():
    x = torch.eye(2)  # the right cosine is 1, the wrong one 0
    loss = clip_loss(x, x, torch.tensor(1.0))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_a_scale_of_zero_gives_ln_n(features):
    assert clip_loss(*features, 0.0).item() == pytest.approx(math.log(12), rel=1e-5)


def test_identical_pairs_cost_nothing(features):
    images, _ = features
    assert clip_loss(images, images, 100.0).item() < 1e-3


def test_random_features_start_above_ln_n():
    """The spread of random cosines costs a little: the loss is about ln N + s^2 / 2d.

    For N = 64 and d = 256 that is 4.54 to 4.56.
    """
    losses = []
    for seed in range(20):
        images = random_features(64, 256, seed=seed)
        texts = random_features(64, 256, seed=seed + 100)
        losses.append(clip_loss(images, texts, 1 / 0.07).item())
    expected = math.log(64) + (1 / 0.07) ** 2 / 512
    assert sum(losses) / 20 == pytest.approx(expected, abs=0.05)


def test_a_duplicate_costs_ln_2_for_each_of_its_two_rows():
    """Two rows that share image and caption cannot be told apart, whatever the model does."""
    x = torch.eye(6)[[0, 0, 1, 2, 3, 4]]
    assert clip_loss(x, x, 100.0).item() == pytest.approx(2 * math.log(2) / 6, rel=1e-4)


# ---- properties ------------------------------------------------------------------------------


def test_the_loss_does_not_change_when_images_and_texts_change_places(features):
    images, texts = features
    torch.testing.assert_close(clip_loss(texts, images, 10.0), clip_loss(images, texts, 10.0))


def test_the_loss_does_not_depend_on_the_order_of_the_pairs(features):
    images, texts = features
    order = torch.randperm(12)
    shuffled = clip_loss(images[order], texts[order], 10.0)
    torch.testing.assert_close(shuffled, clip_loss(images, texts, 10.0))


def test_the_scale_gets_a_gradient(features):
    scale = torch.tensor(2.0, requires_grad=True)
    clip_loss(*features, scale.exp()).backward()
    assert torch.isfinite(scale.grad)
    assert scale.grad != 0


# ---- texts that are right for several images -------------------------------------------------


def test_a_shared_text_by_hand():
    images = torch.eye(3)
    texts = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    is_right = torch.tensor([[True, True], [False, True], [False, False]])
    loss = shared_text_loss(images, texts, is_right, logit_scale=2.0)
    own, other = math.exp(2), 1
    first = -math.log(own / (own + 2))  # one right image
    second = -(math.log(other / (own + 2)) + math.log(own / (own + 2))) / 2  # two right images
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-6)


def test_with_one_right_image_each_it_is_the_text_side_of_clip_loss():
    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(6, 4), dim=-1) for _ in range(2))
    loss = shared_text_loss(images, texts, torch.eye(6).bool(), logit_scale=7.0)
    expected = F.cross_entropy(7 * texts @ images.T, torch.arange(6))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_without_a_text_it_is_zero_and_has_a_gradient():
    images = torch.randn(3, 4, requires_grad=True)
    loss = shared_text_loss(images, torch.zeros(0, 4), torch.zeros(3, 0).bool(), 5.0)
    assert loss.item() == 0
    loss.backward()
    assert (images.grad == 0).all()


def test_accumulated_gradients_are_not_those_of_a_large_batch():
    torch.manual_seed(0)
    images, texts = torch.randn(8, 4, requires_grad=True), torch.randn(8, 4)
    scale = torch.tensor(5.0)
    (whole,) = torch.autograd.grad(clip_loss(images, texts, scale), images)
    halves = [clip_loss(images[rows], texts[rows], scale) for rows in torch.arange(8).chunk(2)]
    (accumulated,) = torch.autograd.grad(sum(halves) / 2, images)
    assert not torch.allclose(whole, accumulated, atol=1e-2)
