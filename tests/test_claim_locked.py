"""The experiment on locked image towers: what learns, what is measured, and effects."""

import dataclasses

import numpy as np
import pytest
import torch

from clipnb.claims.scale import locked
from clipnb.experiments.twin import SupervisedBaseline
from clipnb.records import read_json
from clipnb.runtime import ROOT


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(locked, "N_STEPS", 2)
    tiny = dataclasses.replace(locked.SMALL_RECIPE, image_encoder="tiny_cnn", embed_dim=32)
    monkeypatch.setattr(locked, "SMALL_RECIPE", tiny)


@pytest.mark.parametrize("way", locked.WAYS)
def test_only_an_unlocked_tower_changes_and_only_scratch_starts_anew(way):
    torch.manual_seed(7)
    tower = SupervisedBaseline(locked.SMALL_RECIPE)
    before = tower.image_encoder.conv1.weight.detach().clone()
    pairs = locked.draw_pairs(0, 24)
    model, tokenizer = locked.learn_pairs(way, tower, pairs, 1e-2, seed=0)
    after = model.image_encoder.conv1.weight.detach()
    assert torch.equal(tower.image_encoder.conv1.weight, before)  # the tower itself stays
    assert torch.equal(after, before) == (way == locked.LOCKED)
    near = (after - before).abs().max() < 0.1
    assert near == (way != locked.SCRATCH)
    assert len(tokenizer(["a red dog"])) == 1


def test_no_pair_is_a_labelled_scene_and_more_pairs_hold_the_fewer():
    some, more = locked.draw_pairs(0, 12), locked.draw_pairs(0, 24)
    assert (some.images == more.images[:12]).all()
    labelled = locked.draw_training_set(0, 12, locked.SMALL_RECIPE.stored_size)
    assert some.labels != labelled.labels


def test_measuring_gives_every_way_a_row_for_each_image(monkeypatch):
    monkeypatch.setattr(locked, "BEST_RATES", {f"{way}, 24 pairs": 1e-3 for way in locked.WAYS})
    outcomes, numbers = locked.measure_locked(0, (24,), 128, n_images=6, epochs=1)
    assert {array.shape for array in outcomes.values()} == {(6,)}
    assert len(outcomes) == 2 * len(locked.WAYS)
    assert np.isfinite(locked.locked_lead([24])(outcomes)) and numbers["chance"] > 0


def test_leads_are_paired_means_over_numbers_of_pairs():
    outcomes = {"chance": 2.0}
    for size, own in ((100, 0.5), (500, 0.3)):
        outcomes[f"{locked.SCRATCH}, {size} pairs"] = np.array([0.2, 0.2])
        outcomes[f"{locked.LOCKED}, {size} pairs"] = np.array([own, own])
    assert locked.locked_lead([100, 500])(outcomes) == pytest.approx(20.0)
    assert locked.locked_lead([500])(outcomes) == pytest.approx(10.0)
    assert locked.times_chance(outcomes) == pytest.approx(20.0)


def test_rates_are_the_best_of_the_tuning():
    scores = read_json(ROOT / "results" / "tuning" / "locked.json")["scores"]
    best = {arm: float(max(own, key=own.get)) for arm, own in scores.items()}
    assert best == locked.BEST_RATES
