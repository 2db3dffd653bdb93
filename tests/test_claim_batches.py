"""The experiments on batch sizes, by hand-worked cases."""

import dataclasses

import numpy as np
import pytest
import torch
from claim_parts import read_best

from clipnb.claims.scale import batches, siglip, siglip_photos
from clipnb.claims.scale.small_models import SMALL, fit_clip, make_objective
from clipnb.encoders import normalize_images
from clipnb.experiments.exams import render_dataset, sample_scenes
from clipnb.experiments.fitting import make_clip_objective
from clipnb.loop import make_tokenizer
from clipnb.model import create_model
from clipnb.runtime import seed_everything

GRID = {4: {16: 0.5, 64: 0.4, 256: 0.3, 1024: 0.2}, 64: {16: 0.6, 64: 0.6, 256: 0.8, 1024: 0.7}}


def make_outcomes():
    outcomes = {"batch_sizes": [16, 64, 256, 1024], "budgets": [4, 64]}
    for epochs, row in GRID.items():
        for N, share in row.items():
            outcomes[batches.name_condition(N, epochs)] = np.full(4, share)
    return outcomes


def test_large_minus_small_batches_at_both_budgets():
    outcomes = make_outcomes()
    assert batches.gain_at(min)(outcomes) == pytest.approx(25 - 45)
    assert batches.gain_at(max)(outcomes) == pytest.approx(75 - 60)
    assert batches.measure_trend(outcomes) == pytest.approx(35)


def test_best_batch_size_moves_from_16_to_256():
    outcomes = make_outcomes()
    assert batches.count_doublings(outcomes) == 4
    assert batches.find_best_score(outcomes) == pytest.approx(67.5)


def test_explanations_bear_effects_without_a_bound():
    effects = {name: {"mean": 1.0, "interval": [None, None]} for name in batches.TREND_EFFECTS}
    assert "+1.0 doublings" in batches.explain_trend(effects)
    effects = {name: {"mean": 1.0, "interval": [None, None]} for name in siglip.SIGLIP_EFFECTS}
    assert "+1.0 points" in siglip.explain_siglip(effects)
    effects = {
        name: {"mean": float(i), "interval": [None, None]}
        for i, name in enumerate(siglip_photos.SIGLIP_PHOTO_EFFECTS)
    }
    told = siglip_photos.explain_siglip_photos(effects)
    assert "+0.0 points from the softmax in batches of 32" in told
    assert "+1.0 in batches of 128 and +2.0 in batches of 512" in told
    assert "changes by -3.0 points" in told


def test_the_gain_of_a_sigmoid_fades_from_the_smallest_to_the_largest_batches():
    shares = {"softmax": {32: 0.4, 128: 0.5, 512: 0.5}, "sigmoid": {32: 0.6, 128: 0.5, 512: 0.45}}
    outcomes = {
        siglip_photos.name_loss(loss, N): np.full(4, share)
        for loss, row in shares.items()
        for N, share in row.items()
    }
    gains = [siglip_photos.gain_of(N)(outcomes) for N in (32, 128, 512)]
    assert gains == pytest.approx([20, 0, -5])
    assert siglip_photos.measure_fading(outcomes) == pytest.approx(25)


def test_softmax_runs_on_photos_are_those_of_the_experiment_on_batches():
    for N, rate in batches.PHOTO_RATES.items():
        own = siglip_photos.make_loss_recipe("softmax", N, epochs=16, n_photos=6000)
        assert own == batches.make_photo_recipe(6000, N, 16, rate)
        assert siglip_photos.make_loss_recipe("sigmoid", N, 16, 6000).loss == "siglip"


@pytest.fixture
def tiny_set(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    return render_dataset(sample_scenes(16), SMALL.stored_size)


def test_objective_is_that_of_the_other_experiments(tiny_set):
    tokenizer = make_tokenizer(SMALL, tiny_set.captions)
    model = create_model(SMALL).train()
    rows, images = torch.arange(16), normalize_images(tiny_set.images)
    losses = []
    for make in (make_objective, make_clip_objective):
        seed_everything(1)
        losses.append(make(tokenizer, tiny_set, SMALL)(model, images, rows).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_sigmoid_is_trained_too(tiny_set):
    recipe = batches.make_recipe(16, batch_size=8, epochs=1, rate=1e-3)
    recipe = dataclasses.replace(recipe, loss="siglip")
    model = fit_clip(recipe, 201, tiny_set, make_tokenizer(SMALL, tiny_set.captions))
    assert model.logit_bias.item() != pytest.approx(-np.log(7), abs=1e-6)


def test_learning_rates_are_the_best_on_file():
    assert read_best("batches") == {f"N = {N}": rate for N, rate in batches.BEST_RATES.items()}
    softmax = {f"softmax, N = {N}": batches.BEST_RATES[N] for N in siglip.SIGMOID_RATES}
    sigmoid = {f"sigmoid, N = {N}": rate for N, rate in siglip.SIGMOID_RATES.items()}
    assert read_best("siglip") == softmax | sigmoid


def test_learning_rates_on_photos_are_the_best_on_file():
    best = {f"N = {N}": rate for N, rate in batches.PHOTO_RATES.items()}
    assert read_best("batches_flickr8k") == best
    best = {
        siglip_photos.name_loss(loss, N): rate
        for loss, row in siglip_photos.BEST_RATES.items()
        for N, rate in row.items()
    }
    assert read_best("siglip_flickr8k") == best
