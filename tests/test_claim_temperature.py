"""The experiments on the temperature and its clamp, by hand-worked cases."""

import dataclasses

import numpy as np
import pytest
import torch
from claim_parts import read_best

from clipnb.claims.scale import batches, clamp, siglip_photos, temperature, temperature_photos
from clipnb.claims.scale.small_models import SMALL, fit_clip
from clipnb.experiments.exams import render_dataset, sample_scenes
from clipnb.loop import make_tokenizer
from clipnb.model import create_model


def test_learned_is_compared_with_the_fixed_ones_that_dev_has_chosen():
    shares = {"learned": 0.6, "fixed at 0.07": 0.5, "fixed at 0.01": 0.7, "fixed at 1": 0.2}
    outcomes = {name: np.full(4, share) for name, share in shares.items()}
    outcomes |= {"best": 0.07, "worst": 1.0}  # not the best on the test images
    assert temperature.subtract_best(outcomes) == pytest.approx(10)
    assert temperature.subtract_worst(outcomes) == pytest.approx(40)
    assert temperature.measure_span(outcomes) == pytest.approx(30)


def test_a_fixed_scale_stays_and_a_started_one_moves():
    fixed, started = create_model(SMALL), create_model(SMALL)
    temperature.fix_scale(0.5)(fixed)
    temperature.start_scale(1000)(started)
    assert fixed.logit_scale.exp().item() == pytest.approx(2)
    assert not fixed.logit_scale.requires_grad
    assert started.logit_scale.exp().item() == pytest.approx(1000)
    assert started.logit_scale.requires_grad


def test_the_clamp_acts_and_the_highest_scale_is_kept_with_the_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    tiny_set = render_dataset(sample_scenes(16), SMALL.stored_size)
    tokenizer = make_tokenizer(SMALL, tiny_set.captions)
    highest = {}
    for is_on in (False, True, True):  # the last one is loaded
        recipe = batches.make_recipe(16, 8, epochs=1, rate=1e-3)
        recipe = dataclasses.replace(recipe, name=f"clamp_{is_on}")
        model = fit_clip(recipe, 201, tiny_set, tokenizer, temperature.start_scale(1000), is_on)
        highest[is_on] = model.highest_scale.item()
    assert highest[False] > 900
    assert highest[True] == pytest.approx(100)
    assert torch.isfinite(model.logit_scale)


def test_explanations_bear_effects_without_a_bound():
    names = temperature.TEMPERATURE_EFFECTS
    effects = {name: {"mean": 1.0, "interval": [None, None]} for name in names}
    assert "+1.0 points" in temperature.explain_temperature(effects)
    effects = {name: {"mean": 1.0, "interval": [None, None]} for name in clamp.CLAMP_EFFECTS}
    assert "+1.0 points" in clamp.explain_clamp(effects)


def test_learning_rates_are_the_best_on_file():
    rates = {f"fixed at {each:g}": rate for each, rate in temperature.FIXED_RATES.items()}
    learned = temperature.BEST_RATES[temperature.BATCH_SIZE]
    assert read_best("temperature") == rates | {"learned": learned}


def test_learning_rates_on_photos_are_the_best_on_file():
    rates = {f"fixed at {each:g}": rate for each, rate in temperature_photos.FIXED_RATES.items()}
    learned = siglip_photos.BEST_RATES["softmax"][temperature_photos.BATCH_SIZE]
    assert read_best("temperature_flickr8k") == rates | {"learned": learned}


def test_a_recipe_tells_its_fixed_temperature():
    usual = siglip_photos.make_loss_recipe("softmax", 128, epochs=8, n_photos=6000)
    for fixed, rate in temperature_photos.FIXED_RATES.items():
        own = temperature_photos.make_fixed_recipe(fixed, epochs=8, n_photos=6000)
        name = f"small_fixed_{fixed:g}_6000_photos"
        assert own == dataclasses.replace(usual, name=name, learning_rate=rate)
