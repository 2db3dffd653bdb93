"""Probes on frozen features: shots, the choice of C, one scale, towers, crossings by hand."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import RECIPES
from clipnb.experiments import probes
from clipnb.experiments.probes import Split, Splits, sample_shots

# ---- shots and probes ------------------------------------------------------------------------


def test_shots_are_k_different_examples_of_every_class():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = sample_shots(labels, 5, np.random.default_rng(1))
    assert len(set(rows)) == 15
    assert np.bincount(labels[rows]).tolist() == [5, 5, 5]
    assert (rows == sample_shots(labels, 5, np.random.default_rng(1))).all()
    assert set(rows) != set(sample_shots(labels, 5, np.random.default_rng(2)))


def test_a_class_with_too_few_examples_gives_all_of_them_and_a_warning_with_its_name():
    labels = np.array([0, 0, 0, 0, 1, 1])
    with pytest.warns(UserWarning, match="class 'cat' has 2 examples, not 4") as caught:
        rows = sample_shots(labels, 4, np.random.default_rng(0), ["dog", "cat"])
    assert sorted(rows) == [0, 1, 2, 3, 4, 5]
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="class 'fish' has 0 examples"):
        rows = sample_shots(labels, 1, np.random.default_rng(0), ["dog", "cat", "fish"])
    assert len(rows) == 2


def make_splits(noise, n=60):
    """Make three classes around the corners of a triangle, n examples in each split."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    features = [np.eye(3)[labels] + noise * rng.normal(size=(n, 3)) for _ in range(3)]
    return Splits(*(Split(some, labels) for some in features))


def test_probes_learn_what_is_easy():
    splits = make_splits(noise=0.02)
    assert probes.probe_with_all_labels(splits).all()
    right = probes.probe_with_shots(splits, "abc", 2, 0)
    assert right.shape == (60, len(probes.SHOTS))
    assert (right == 1).all()


def test_probes_learn_more_from_more_examples_and_the_same_every_time():
    splits = make_splits(noise=0.6)
    right = probes.probe_with_shots(splits, "abc", 3, 0)
    again = probes.probe_with_shots(splits, "abc", 3, 0)
    curve = right.mean(axis=0)
    assert curve[-1] > curve[0] + 0.1
    assert (right == again).all()
    of_two_draws = probes.probe_with_shots(splits, "abc", 2, 0)
    assert set(np.unique(of_two_draws)) <= {0, 0.5, 1}


def test_c_is_the_best_on_validation_and_the_smallest_of_equals():
    easy = make_splits(noise=0.02)
    assert probes.choose_C(easy.pool, easy.validation) == probes.C_GRID[0]
    hard = make_splits(noise=0.6)
    accuracies = [probes.check_probe(hard.pool, C, hard.validation).mean() for C in probes.C_GRID]
    chosen = probes.choose_C(hard.pool, hard.validation)
    assert accuracies[list(probes.C_GRID).index(chosen)] == max(accuracies)


def test_features_are_brought_to_one_scale(monkeypatch):
    def encode_images(model, images, projected):
        return F.normalize(torch.tensor(images), dim=1)

    monkeypatch.setattr(probes, "encode_images", encode_images)
    raw = np.random.default_rng(0).normal(size=(3, 40, 5)) + 3
    sets = [type("Set", (), {"images": images}) for images in raw]
    pool, *others = probes.encode_for_probes(None, sets)
    assert np.allclose(pool.mean(axis=0), 0)
    assert np.square(pool).sum(axis=1).mean() == pytest.approx(1)
    assert len(others) == 2
    assert not np.allclose(others[0].mean(axis=0), 0)


def test_towers_are_trained_for_the_epochs_that_are_asked_for(monkeypatch, small):
    loaded = []

    def fit(recipe, seed, train_set):
        loaded.append((recipe.name, recipe.epochs, seed, len(train_set)))

    tiny = dataclasses.replace(RECIPES["quick"], image_encoder="tiny_cnn")
    monkeypatch.setattr(probes, "QUICK", tiny)
    monkeypatch.setattr(probes, "load_dataset", lambda name, split, size: small(split))
    monkeypatch.setattr(probes, "fit_supervised_baseline", fit)
    monkeypatch.setattr(probes, "fit_word_predictor", fit)
    probes.load_tower("supervised", 3)
    probes.load_tower("predictive", 3, epochs=2)
    assert loaded == [
        ("quick_supervised", RECIPES["quick"].epochs, 3, 48),
        ("quick_bow_prediction", 2, 3, 48),
    ]
    first, again = (probes.load_tower("random", seed=3) for _ in range(2))
    assert torch.equal(first.image_projection.weight, again.image_projection.weight)
    with pytest.raises(ValueError, match="no tower 'best'"):
        probes.load_tower("best", 3)


# ---- crossings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "level, k",
    [(0.3, 0.5), (0.4, 1), (0.5, 2), (0.55, 2 * 2**0.5), (0.6, 4), (0.8, 16), (0.81, 32)],
)
def test_a_crossing_is_interpolated_on_a_log2_axis(level, k):
    assert probes.find_crossing([0.4, 0.5, 0.6, 0.7, 0.8], level) == pytest.approx(k)


def test_a_crossing_is_the_first_time_that_a_level_is_reached():
    assert probes.find_crossing([0.2, 0.6, 0.4, 0.5, 0.9], 0.6) == 2
