"""A training that diverges says where, names the images, and keeps the epochs before."""

import dataclasses

import pytest
import torch
from run_parts import flatten_weights

import clipnb.loop
from clipnb import train
from clipnb.datasets import load_dataset

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 8 dev images")


def test_a_diverged_training_says_where_and_keeps_the_last_good_epoch(tiny_recipe, monkeypatch):
    recipe = dataclasses.replace(tiny_recipe, epochs=3)
    real, steps = clipnb.loop.train_step, []

    def poison(model, *rest):
        steps.append(1)
        if len(steps) == 5:  # of 6, two in each epoch
            model.image_projection.weight.data[0, 0] = torch.nan
        return real(model, *rest)

    monkeypatch.setattr(clipnb.loop, "train_step", poison)
    with pytest.raises(RuntimeError) as error:
        train(recipe)
    said = str(error.value)
    for part in ("step 5 (epoch 3)", "nan", "train_0", "2 epochs before are kept", "--set"):
        assert part in said
    monkeypatch.setattr(clipnb.loop, "train_step", real)
    resumed = train(recipe, resume=True)
    whole = train(recipe, folder=resumed.folder.parent / "whole")
    assert torch.equal(flatten_weights(resumed), flatten_weights(whole))


def test_the_images_of_a_diverged_step_are_those_of_its_batch(tiny_recipe, monkeypatch):
    seen = []

    def note(model, optimizer, images, tokens, recipe):
        seen.append(images)
        return torch.tensor(torch.inf if len(seen) == 2 else 1.0)

    monkeypatch.setattr(clipnb.loop, "train_step", note)
    with pytest.raises(RuntimeError) as error:
        train(tiny_recipe)
    dataset = load_dataset("own", "train", 16)
    named = str(error.value).split("the images ")[1].split(", …")[0].split(", ")
    for name, image in zip(named, seen[1], strict=False):
        stored = torch.tensor(dataset.images[dataset.image_ids.index(name)]) / 127.5 - 1
        assert torch.allclose(image, stored, atol=1e-5)
