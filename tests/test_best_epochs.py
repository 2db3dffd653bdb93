"""Twins that keep their best epoch on dev: by given scores, and beside the ordinary twins."""

import dataclasses

import numpy as np
import pytest
import torch

from clipnb.claims.probes import best_epochs
from clipnb.experiments import exams, fitting, tagging, twin
from clipnb.recipes import QUICK

SMALL = {"image_encoder": "tiny_cnn", "image_size": 32, "stored_size": 32, "batch_size": 8}
RECIPE = dataclasses.replace(QUICK, name="best_supervised", epochs=3, **SMALL)
ATTRIBUTES = {"kind": twin.LABEL_CLASSES["kind"], "count": (1, 2, 3)}


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Sixteen scenes, which stand for the training and the dev scenes of every twin."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    drawn = exams.render_dataset(exams.sample_scenes(16), 32)
    monkeypatch.setattr(best_epochs, "prepare_twin", lambda *_: (RECIPE, drawn, drawn))
    return drawn


def load_with_scores(monkeypatch, scores):
    """Load a twin whose epochs get these scores. Returns it, its epoch and all weights on the way.

    The weights are those of its head, for each epoch.
    """
    waiting, seen = list(scores), []

    def score(model):
        seen.append(model.head.weight.detach().clone())
        return waiting.pop(0)

    monkeypatch.setattr(best_epochs, "score_ranks", lambda *_: score)
    return *best_epochs.load_best_labels("all", tagging.tag_truth, 0, 3e-3, 3, 16), seen


@pytest.mark.parametrize(
    ("scores", "best"), [((1, 2, 3), 3), ((1, 3, 2), 2), ((3, 3, 1), 1), ((1, 2, 2), 2)]
)
def test_the_weights_of_the_best_epoch_are_kept_and_of_equal_ones_the_first(
    dataset, monkeypatch, scores, best
):
    model, epoch, seen = load_with_scores(monkeypatch, scores)
    assert (epoch, len(seen)) == (best, 3)
    assert torch.equal(model.head.weight, seen[best - 1])
    assert not model.training
    assert not torch.equal(seen[0], seen[1])
    again, same_epoch, none = load_with_scores(monkeypatch, ())  # from disk: nothing is scored
    assert (same_epoch, none) == (best, [])
    assert torch.equal(again.head.weight, model.head.weight)
    assert any(name.startswith("scenes") for name in fitting.TRAINING_SECONDS)


def test_a_twin_whose_last_epoch_is_the_best_is_the_ordinary_twin(dataset, monkeypatch):
    model, _, _ = load_with_scores(monkeypatch, (1, 2, 3))
    last = dataclasses.replace(RECIPE, name="last_supervised")
    ordinary = twin.fit_labels(last, 0, dataset, tagging.tag_truth(dataset))
    for own, other in zip(model.parameters(), ordinary.parameters(), strict=True):
        assert torch.equal(own, other)
    heads_recipe = dataclasses.replace(RECIPE, name="heads_supervised")
    monkeypatch.setattr(best_epochs, "prepare_twin", lambda *_: (heads_recipe, dataset, dataset))
    rising = iter((1, 2, 3))
    monkeypatch.setattr(best_epochs, "score_ranks", lambda *_: lambda model: next(rising))
    heads, epoch = best_epochs.load_best_heads("two", ATTRIBUTES, 0, 3e-3, 3, 16)
    last = dataclasses.replace(RECIPE, name="last_heads_supervised")
    ordinary = twin.fit_supervised_baseline(last, 0, dataset, ATTRIBUTES)
    assert epoch == 3
    for own, other in zip(heads.parameters(), ordinary.parameters(), strict=True):
        assert torch.equal(own, other)


def test_the_score_is_the_mean_average_precision_of_the_labels(dataset):
    truth = tagging.tag_truth(dataset)
    model = twin.MultiLabelBaseline(RECIPE, truth.shape[1])
    logits = twin.predict_nouns(model, dataset.images).numpy()
    expected = best_epochs.mean_average_precision(logits, truth)
    assert best_epochs.score_ranks(dataset, truth)(model) == pytest.approx(expected)
    heads = twin.SupervisedBaseline(RECIPE, ATTRIBUTES)
    parts = [twin.predict_supervised(heads, dataset.images, name) for name in ATTRIBUTES]
    scores = torch.cat([own.log_softmax(dim=1) for own in parts], dim=1).numpy()
    truth = np.concatenate(
        [own > 0 for own in twin.label_targets(dataset, ATTRIBUTES).values()], axis=1
    )
    expected = best_epochs.mean_average_precision(scores, truth)
    assert best_epochs.score_ranks(dataset, truth)(heads) == pytest.approx(expected)


def test_a_twin_is_named_by_what_it_is_taught_and_that_its_best_epoch_is_kept(monkeypatch):
    monkeypatch.setattr(best_epochs, "load_dataset", lambda *arguments: arguments)
    monkeypatch.setattr(best_epochs, "draw_training_set", lambda *arguments: arguments)
    recipe, train_set, dev_set = best_epochs.prepare_twin("told everything", 4, 1e-2, 3, 1500)
    assert recipe.name == "quick_drawn_told_everything_best_supervised_1500"
    assert (recipe.learning_rate, recipe.epochs) == (1e-2, 3)
    assert train_set == (4, 1500)
    assert dev_set == ("scenes", "dev", recipe.stored_size)
