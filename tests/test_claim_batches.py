"""The experiments on batch sizes, by hand-worked cases."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from clipnb.claims.scale import batches, siglip
from clipnb.claims.scale.small_models import SMALL, fit_clip, make_objective
from clipnb.encoders import normalize_images
from clipnb.experiments.exams import render_dataset, sample_scenes
from clipnb.experiments.fitting import make_clip_objective
from clipnb.loop import make_tokenizer
from clipnb.model import create_model
from clipnb.runtime import results_dir, seed_everything

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


def read_best(name):
    path = results_dir() / "tuning" / f"{name}.json"
    scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return {condition: float(max(own, key=own.get)) for condition, own in scores.items()}


def test_learning_rates_are_the_best_on_file():
    assert read_best("batches") == {f"N = {N}": rate for N, rate in batches.BEST_RATES.items()}
    softmax = {f"softmax, N = {N}": batches.BEST_RATES[N] for N in siglip.SIGMOID_RATES}
    sigmoid = {f"sigmoid, N = {N}": rate for N, rate in siglip.SIGMOID_RATES.items()}
    assert read_best("siglip") == softmax | sigmoid


def test_learning_rates_on_photos_are_the_best_on_file():
    best = {f"N = {N}": rate for N, rate in batches.PHOTO_RATES.items()}
    assert read_best("batches_flickr8k") == best
