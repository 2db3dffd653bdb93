"""Planted leaks: which photos leak, and what they add, worked out by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import planted_overlap
import pytest

from clipnb.claims.effects import estimate_effect
from clipnb.claims.shift import overlap
from clipnb.claims.verdicts import NOT_REACHED, OPPOSITE, reach_verdict
from clipnb.datasets import CaptionDataset


def make_photos(n, split="train"):
    """Make random photos with five captions of two words each, and files as Flickr8k has them."""
    rng = np.random.default_rng(n)
    size = overlap.ORDINARY.image_size
    return CaptionDataset(
        "flickr8k",
        split,
        rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8),
        captions=[[f"{split}{i} word{k}" for k in range(5)] for i in range(n)],
        image_ids=[f"{split}_{i}" for i in range(n)],
        paths=[Path(f"{split}_{i}.jpg") for i in range(n)],
    )


def judge_kind(kind, **changes):
    experiment = overlap.EXPERIMENTS[0]
    seeds = range(experiment.protocol.seeds)
    runs = [planted_overlap.simulate_overlap(kind, seed) for seed in seeds]
    for outcomes, _ in runs:
        outcomes |= {name: outcomes[other] for name, other in changes.items()}
    effects = {n: estimate_effect(each, runs, 100) for n, each in experiment.effects.items()}
    return reach_verdict(effects, experiment.protocol, len(runs))


def test_a_harmful_leak_is_the_opposite():
    assert judge_kind("harmful") == OPPOSITE


def test_without_a_control_that_is_harmed_nothing_is_said():
    assert judge_kind("planted", **{"long, same captions": "long, honest"}) == NOT_REACHED


def test_a_small_leak_is_part_of_a_large_one_and_changes_with_the_seed():
    small = overlap.choose_leaked(1000, overlap.MEDIAN_OVERLAP, 3)
    large = overlap.choose_leaked(1000, overlap.LARGE_OVERLAP, 3)
    assert (len(small), len(large)) == (22, 200)
    assert set(small) < set(large)
    assert set(small) != set(overlap.choose_leaked(1000, overlap.MEDIAN_OVERLAP, 4))
    assert len(overlap.choose_leaked(1000, 0.0, 3)) == 0


def test_planting_replaces_the_first_photos():
    train_set, leaked = make_photos(5), make_photos(2, "test")
    planted = overlap.plant(train_set, leaked)
    assert planted.image_ids == ["test_0", "test_1", "train_2", "train_3", "train_4"]
    assert planted.captions[1] == leaked.captions[1]
    assert (planted.images[0] == leaked.images[0]).all()
    assert (planted.images[4] == train_set.images[4]).all()
    nothing = overlap.plant(train_set, leaked.subset([]))
    assert nothing.image_ids == train_set.image_ids


def test_the_shift_is_what_leaked_photos_gain_times_their_share():
    leaked = np.arange(100) < 10
    honest = np.arange(100) % 2 == 0  # 50 % of all, 5 of the 10
    after = honest | (np.arange(100) < 4)  # 2 more of the leaked ones
    outcomes = {"honest": honest, "median": after, "_leaked: median": leaked}
    assert overlap.make_gain("median")(outcomes) == pytest.approx(20)
    assert overlap.make_shift("median")(outcomes) == pytest.approx(100 * 0.1 * 0.2)


def test_what_the_clean_photos_do_moves_all_and_clean_alike():
    leaked = np.arange(100) < 10
    honest, after = np.zeros(100, bool), np.arange(100) >= 55  # every second clean photo
    outcomes = {"honest": honest, "median": after, "_leaked: median": leaked}
    # All minus clean compares within a model: 45 of 100 with 45 of 90.
    assert overlap.make_shift("median")(outcomes) == pytest.approx(45 - 50)
    assert overlap.make_gain("median")(outcomes) == 0


def test_a_draw_without_a_leaked_photo_has_no_shift():
    outcomes = {name: np.ones(3, bool) for name in ("honest", "median")}
    outcomes["_leaked: median"] = np.zeros(3, bool)
    assert overlap.make_shift("median")(outcomes) == overlap.make_gain("median")(outcomes) == 0


@pytest.mark.filterwarnings("ignore:flickr8k has only 10 dev images")
def test_measuring_asks_with_the_fifth_caption(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    small = {"batch_size": 8, "image_width": 16, "embed_dim": 16}
    monkeypatch.setattr(overlap, "ORDINARY", dataclasses.replace(overlap.ORDINARY, **small))
    monkeypatch.setattr(overlap, "LONG", dataclasses.replace(overlap.LONG, **small, image_size=64))
    monkeypatch.setattr(overlap, "N_DEV", 10)
    asked = []
    find_hits = overlap.find_hits

    def spy(model, tokenizer, test_set):
        asked.append(test_set.captions[0])
        return find_hits(model, tokenizer, test_set)

    monkeypatch.setattr(overlap, "find_hits", spy)
    monkeypatch.setattr(overlap, "load_dataset", lambda name, split, size: make_photos(40, split))
    outcomes, _ = overlap.measure_overlap(200, 24, 1, 16, 1, 40)
    assert len(asked) == len(overlap.LEAKS)
    for condition, leak in overlap.LEAKS.items():
        assert outcomes[condition].shape == (40,) and outcomes[condition].dtype == bool
        assert outcomes[f"_leaked: {condition}"].sum() == round(40 * leak.share)


def test_the_explanation_survives_a_missing_bound():
    effects = dict.fromkeys(overlap.EFFECTS, {"mean": 1.0, "interval": [None, None]})
    assert overlap.explain_overlap(effects).endswith(".")
