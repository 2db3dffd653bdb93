"""The experiment on the modality gap: recalls by image, distances, and what centring does."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb.claims.words import gap
from clipnb.metrics import retrieval_metrics


def make_features(n_images=40, n_captions=5, dimensions=16, noise=0.6):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n_images, dimensions, generator=generator)
    texts = images[:, None] + noise * torch.randn(
        n_images, n_captions, dimensions, generator=generator
    )
    return F.normalize(images, dim=-1), F.normalize(texts, dim=-1)


def test_the_recalls_of_images_have_the_recalls_as_their_means():
    images, texts = make_features()
    recalls = gap.recall_by_image(images, texts)
    metrics = retrieval_metrics(images, texts)
    for way, name in zip(gap.WAYS, ("image_to_text", "text_to_image"), strict=True):
        expected = np.mean([metrics[f"{name}_R@{k}"] for k in (1, 5, 10)])
        assert recalls[way].shape == (40,)
        assert 100 * recalls[way].mean() == pytest.approx(expected)


def test_the_gap_is_the_distance_of_the_means():
    images = torch.tensor([[3.0, 0.0], [3.0, 2.0]])
    texts = torch.tensor([[[0.0, 5.0], [0.0, 5.0]], [[0.0, 5.0], [0.0, 5.0]]])
    assert gap.measure_distance(images, texts) == pytest.approx(5.0)


def test_centred_features_have_unit_length_and_no_gap():
    images, texts = make_features()
    shifted = images + torch.full((16,), 0.5)
    centred = gap.centre(shifted, shifted.mean(dim=0))
    assert torch.allclose(centred.norm(dim=1), torch.ones(40))
    own = gap.centre(texts, texts.mean(dim=(0, 1)))
    assert gap.measure_distance(centred, own) < gap.measure_distance(shifted, texts) / 3


def test_gains_are_paired_and_told_both_ways():
    outcomes = {
        "as they are, image to text": np.array([0.5, 0.5]),
        "centred, image to text": np.array([0.5, 0.7]),
        "as they are, text to image": np.array([0.2, 0.2]),
        "centred, text to image": np.array([0.2, 0.2]),
        "gap, trained": 0.25,
    }
    assert gap.gained_by_images(outcomes) == pytest.approx(10.0)
    assert gap.gained_by_texts(outcomes) == 0.0
    assert gap.gained_by_centring(outcomes) == pytest.approx(5.0)
    assert gap.recall_as_it_is(outcomes) == pytest.approx(35.0)
    assert gap.read_number("gap, trained")(outcomes) == 0.25
