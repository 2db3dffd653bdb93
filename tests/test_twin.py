"""Supervised twins, and training with any loss: targets, training step by step, found again."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from clipnb import RECIPES
from clipnb.experiments import exams, fitting, twin


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


def test_targets_tell_the_truth():
    rendered = exams.render_dataset(exams.sample_scenes(12), 32)
    for name, target in twin.label_targets(rendered).items():
        words = twin.LABEL_CLASSES[name]
        assert torch.allclose(target.sum(dim=1), torch.ones(12))
        for label, row in zip(rendered.labels, target, strict=True):
            told = {words[i] for i in row.nonzero().flatten().tolist()}
            if name == "place":
                assert told == {label["place"]}
            else:
                assert told == {thing[name] for thing in label["objects"]}


@pytest.fixture
def small_recipe():
    return dataclasses.replace(
        RECIPES["quick"],
        name="small_supervised",
        image_encoder="tiny_cnn",
        image_size=32,
        stored_size=32,
        batch_size=8,
        epochs=12,
    )


def test_any_loss_can_be_trained_step_by_step(small_recipe):
    rendered = exams.render_dataset(exams.sample_scenes(32), 32)
    place = twin.label_targets(rendered)["place"]

    def loss(model, images, rows):
        return F.cross_entropy(model(images)["place"], place[rows])

    torch.manual_seed(0)
    model = twin.SupervisedBaseline(small_recipe)
    seen = list(fitting.iterate_fitting(model, loss, rendered, small_recipe, seed=0))
    assert seen == list(range(8, 12 * 32 + 1, 8))
    predicted = twin.predict_supervised(model, rendered.images, "place").argmax(dim=1)
    right = (predicted == place.argmax(dim=1)).float().mean()
    assert right > 0.6  # chance: 1 in 8


def test_a_fitted_model_is_loaded_again_and_its_seconds_are_noted(small_recipe):
    rendered = exams.render_dataset(exams.sample_scenes(32), 32)
    recipe = dataclasses.replace(small_recipe, epochs=1)
    fitting.TRAINING_SECONDS.clear()
    trained = twin.fit_supervised_baseline(recipe, 1, rendered).state_dict()
    loaded = twin.fit_supervised_baseline(recipe, 1, rendered).state_dict()
    assert all(torch.equal(trained[name], loaded[name]) for name in trained)
    ((name, seconds),) = fitting.TRAINING_SECONDS.items()
    assert "small_supervised-1" in name and seconds > 0
