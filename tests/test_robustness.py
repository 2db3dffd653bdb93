"""Notebook 09's experiments on outcomes with known answers: styles, sources, overlap, a leak."""

import random

import numpy as np
import pytest

from clipnb.datasets import CaptionDataset
from clipnb.experiments import (
    adaptation,
    corruptions,
    data_source,
    leaky_split,
    overlap,
    robustness,
)


def right(share, n=1000):
    """A model that is right in that share of its images."""
    return np.arange(n) < round(share * n)


def estimate(low, high):
    """A quantity with that interval, as a judge gets it."""
    return {"mean": (low + high) / 2, "interval": [low, high]}


# ---- other styles ----------------------------------------------------------------------------


@pytest.fixture
def line_outcomes():
    """Three baselines that draw a line, a model on it, and one above it."""
    return {
        "sizes": [1, 2, 3],
        "line 1: painted": right(0.2),
        "line 1: sketch": right(0.1),
        "line 2: painted": right(0.4),
        "line 2: sketch": right(0.2),
        "line 3: painted": right(0.8),
        "line 3: sketch": right(0.5),
        "on it: painted": right(0.4),
        "on it: sketch": right(0.2),
        "above: painted": right(0.4),
        "above: sketch": right(0.5),
    }


def test_effective_robustness_is_the_distance_above_the_line(line_outcomes):
    painted, sketch = np.array([0.2, 0.4, 0.8]), np.array([0.1, 0.2, 0.5])
    slope, intercept = np.polyfit(robustness.logit(painted), robustness.logit(sketch), 1)
    predicted = 100 / (1 + np.exp(-(intercept + slope * robustness.logit(0.4))))
    above = robustness.effective_robustness(line_outcomes, "above", ["sketch"])
    on_it = robustness.effective_robustness(line_outcomes, "on it", ["sketch"])
    assert above == pytest.approx(50 - predicted)
    assert abs(on_it) < 3


def test_equally_good_baselines_draw_a_level_line(line_outcomes):
    for size in line_outcomes["sizes"]:
        line_outcomes[f"line {size}: painted"] = right(0.4)
    mean_log_odds = robustness.logit(np.array([0.1, 0.2, 0.5])).mean()
    above = robustness.effective_robustness(line_outcomes, "above", ["sketch"])
    assert above == pytest.approx(50 - 100 / (1 + np.exp(-mean_log_odds)))


@pytest.mark.parametrize(
    ("words_many", "words_one", "verdict"),
    [
        ((5, 9), (1, 4), "replicated"),
        ((5, 9), (-3, 4), "partly"),
        ((-2, 4), (-3, 4), "not at this scale"),
        ((-9, -2), (-3, 4), "contradicted"),
    ],
)
def test_words_alone_must_help_for_a_replication(words_many, words_one, verdict):
    quantities = {
        "words, many styles": estimate(*words_many),
        "words, one style": estimate(*words_one),
        "labels, many styles": estimate(0, 1),
        "words, many styles, never shown": estimate(0, 1),
    }
    assert robustness.judge_robustness(quantities)[0] == verdict


def test_no_training_set_shows_negatives():
    assert "negative" not in robustness.TRAINING_STYLES
    assert set(robustness.SHIFTED_STYLES) == set(robustness.TRAINING_STYLES) - {"painted"}


# ---- adapting to one style -------------------------------------------------------------------


def test_what_adapting_adds_is_told_for_the_most_shots():
    outcomes = {"shots": [1, 16]}
    for style, shares in {"painted": (0.4, 0.3, 0.6), "negative": (0.2, 0.2, 0.1)}.items():
        names = ("zero-shot", "1 shots", "16 shots")
        for name, share in zip(names, shares, strict=True):
            outcomes[f"{name}: {style}"] = right(share)
    both = adaptation.change_quantity(["painted", "negative"])(outcomes)
    assert adaptation.change_quantity(["painted"])(outcomes) == pytest.approx(20)
    assert adaptation.change_quantity(["negative"])(outcomes) == pytest.approx(-10)
    assert both == pytest.approx((20 - 10) / 2)


@pytest.mark.parametrize(
    ("painted", "shifted", "surplus", "verdict"),
    [
        ((5, 9), (-4, -1), (6, 9), "replicated"),
        ((5, 9), (1, 4), (2, 5), "partly"),
        ((5, 9), (5, 9), (-2, 2), "not at this scale"),
        ((1, 2), (5, 9), (-6, -2), "contradicted"),
    ],
)
def test_adapting_must_cost_the_other_styles_for_a_replication(painted, shifted, surplus, verdict):
    quantities = {
        "gained minus gained": estimate(*surplus),
        "gained on painted": estimate(*painted),
        "gained on the shifted styles": estimate(*shifted),
    }
    assert adaptation.judge_adaptation(quantities)[0] == verdict


# ---- two sources of captions -----------------------------------------------------------------


def test_opposite_swings_of_tasks_cancel_in_the_average():
    outcomes = {}
    for task in data_source.SOURCE_TASKS:
        outcomes[f"terse and detailed: {task}"] = right(0.5)
        outcomes[f"wordy and vague: {task}"] = right(0.5)
    outcomes["terse and detailed: kind"] = right(0.6)
    outcomes["wordy and vague: retrieval"] = right(0.62)
    values = {name: quantity(outcomes) for name, quantity in data_source.QUANTITIES.items()}
    assert values["swing, kind"] == pytest.approx(10)
    assert values["swing, retrieval"] == pytest.approx(-12)
    assert values["largest swing of a task"] == pytest.approx(12)
    assert values["difference of the averages"] == pytest.approx((10 - 12) / 4)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((-1, 2), "replicated"),
        ((-1, 4), "not at this scale"),
        ((4, 6), "contradicted"),
        ((-6, -4), "contradicted"),
    ],
)
def test_the_averages_must_be_equal_for_a_replication(interval, verdict):
    quantities = {
        "difference of the averages": estimate(*interval),
        "largest swing of a task": estimate(8, 12),
    }
    assert data_source.judge_data_source(quantities)[0] == verdict


# ---- corruptions -----------------------------------------------------------------------------


@pytest.mark.parametrize("corruption", corruptions.CORRUPTIONS)
def test_a_corruption_changes_images_keeps_their_size_and_is_the_same_every_time(corruption):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), dtype=np.uint8)
    corrupted = corruptions.corrupt_images(images, corruption)
    assert corrupted.shape == images.shape and corrupted.dtype == np.uint8
    assert (corrupted != images).any()
    assert (corrupted == corruptions.corrupt_images(images, corruption)).all()


def test_grey_images_have_three_equal_channels():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), dtype=np.uint8)
    grey = corruptions.corrupt_images(images, "grey")
    assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 1] == grey[:, 2]).all()


def test_an_unknown_corruption_gets_the_list_of_them():
    with pytest.raises(ValueError, match="no corruption 'rain'; there are grey, blurred"):
        corruptions.corrupt_images(np.zeros((1, 3, 8, 8), dtype=np.uint8), "rain")


def test_a_spoiled_caption_keeps_its_words_in_another_order_or_some_of_them():
    caption, rng = "a red dog runs on the green grass", random.Random(0)
    shuffled = corruptions.spoil_words(caption, "shuffled", rng)
    assert shuffled != caption and sorted(shuffled.split()) == sorted(caption.split())
    dropped = corruptions.spoil_words(caption, "dropped", rng).split()
    assert 0 < len(dropped) < 8 and set(dropped) <= set(caption.split())
    # A caption never loses all of its words.
    assert all(
        corruptions.spoil_words("dog", "dropped", random.Random(seed)) == "dog"
        for seed in range(10)
    )


def test_variants_spoil_either_the_photos_or_the_captions():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 40, 40), dtype=np.uint8)
    captions = [["a red dog runs on the green grass", "two birds fly over the sea"]] * 4
    test_set = CaptionDataset("d", "test", images, captions, list("abcd"))
    variants = corruptions.make_variants(test_set)
    assert list(variants) == ["plain", *corruptions.CORRUPTIONS, "words dropped", "words shuffled"]
    for name, variant in variants.items():
        spoils_images = name in corruptions.CORRUPTIONS
        assert (variant.images != images).any() == spoils_images
        assert (variant.captions != captions) == name.startswith("words")


@pytest.mark.parametrize(
    ("edges", "others", "verdict"),
    [(90, 90, "replicated"), (20, 90, "partly"), (20, 30, "contradicted")],
)
def test_every_corruption_must_leave_half_for_a_replication(edges, others, verdict):
    names = (*corruptions.CORRUPTIONS, "words dropped")
    quantities = {name: estimate(others - 2, others + 2) for name in names}
    quantities["edges"] = estimate(edges - 2, edges + 2)
    given, reason = corruptions.judge_corruptions(quantities)
    assert given == verdict
    assert verdict == "replicated" or f"edges ones only {edges} %" in reason


# ---- overlap ---------------------------------------------------------------------------------


def test_the_hash_by_hand():
    image = np.zeros((1, 3, 8, 9), dtype=np.uint8)
    # Dark on the left and bright on the right, so one column of cells is brighter than its left
    # neighbour.
    image[0, :, :, 4:] = 200
    bits = overlap.difference_hash(image)[0].reshape(8, 8)
    assert bits[:, 3].all() and bits.sum() == 8


def test_the_nearest_hash_by_loops():
    rng = np.random.default_rng(0)
    hashes, others = rng.random((20, 64)) < 0.5, rng.random((30, 64)) < 0.5
    others[7] = hashes[3]
    distances, rows = overlap.find_nearest(hashes, others)
    assert distances.tolist() == [min((a != b).sum() for b in others) for a in hashes]
    assert distances[3] == 0 and rows[3] == 7


def test_photos_with_close_numbers_were_uploaded_together():
    assert overlap.read_flickr_number("191003285_edd8d0cf58.jpg") == 191003285
    gaps = overlap.measure_number_gaps(["100_a.jpg", "907_b.jpg"], ["90_c.jpg", "1000_d.jpg"])
    assert gaps.tolist() == [10, 93]


@pytest.fixture
def overlap_outcomes():
    """Four photos: a near-duplicate, one uploaded together with a training photo, and two clean."""
    return {
        "R@1": np.array([1.0, 1, 0, 0]),
        "distance": np.array([0, 20, 20, 20]),
        "same_scene": np.array([0, 0, 0, 0]),
        "gap": np.array([9999, 3, 9999, 9999]),
    }


def test_harm_is_what_the_photos_seen_in_training_add(overlap_outcomes):
    # Two of four photos are hits, and without the near-duplicate one of three.
    assert overlap.harm_quantity(1)(overlap_outcomes) == pytest.approx(50 - 100 / 3)
    # Without those that were uploaded together, none of two.
    assert overlap.harm_quantity(1, wide=True)(overlap_outcomes) == pytest.approx(50)


def test_a_scene_found_by_eye_counts_like_a_near_hash(overlap_outcomes):
    overlap_outcomes["same_scene"] = np.array([0, 0, 0, 1])
    assert overlap.find_overlap(overlap_outcomes).tolist() == [True, False, False, True]
    assert overlap.overlap_quantity()(overlap_outcomes) == 50
    assert overlap.overlap_quantity(wide=True)(overlap_outcomes) == 75
    assert overlap.near_hashes(overlap_outcomes) == 25


@pytest.mark.parametrize(
    ("interval", "percent_seen", "verdict"),
    [
        ((0.0, 0.0), 0.0, "not at this scale"),
        ((-0.2, 0.4), 2.0, "replicated"),
        ((-0.2, 0.9), 2.0, "not at this scale"),
        ((1.0, 3.0), 2.0, "contradicted"),
    ],
)
def test_overlap_is_judged_by_what_it_adds(interval, percent_seen, verdict):
    quantities = {
        "all minus clean, R@1": estimate(*interval),
        "all minus clean, R@1, uploaded together": estimate(*interval),
        "test photos seen in training, percent": estimate(percent_seen, percent_seen),
    }
    assert overlap.judge_overlap(quantities)[0] == verdict


# ---- a leaky split ---------------------------------------------------------------------------


def make_dataset(n, value, split):
    images = np.full((n, 3, 4, 4), value, dtype=np.uint8)
    captions = [[f"{split} {i} {k}" for k in range(5)] for i in range(n)]
    return CaptionDataset("d", split, images, captions, [f"{split}_{i}" for i in range(n)])


def test_the_leak_replaces_the_first_training_images_by_the_test_images():
    leaky = leaky_split.put_inside(make_dataset(6, 1, "train"), make_dataset(2, 2, "test"))
    assert leaky.images[:, 0, 0, 0].tolist() == [2, 2, 1, 1, 1, 1]
    assert leaky.image_ids == ["test_0", "test_1", "train_2", "train_3", "train_4", "train_5"]


def test_no_caption_is_in_training_and_in_the_test():
    dataset = make_dataset(2, 1, "test")
    for_training = leaky_split.keep_captions(dataset, leaky_split.TRAINING_CAPTIONS)
    for_test = leaky_split.keep_captions(dataset, leaky_split.TEST_CAPTIONS)
    assert for_training.captions[1] == ["test 1 0", "test 1 1", "test 1 2", "test 1 3"]
    assert for_test.captions == [["test 0 4"], ["test 1 4"]]


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.1, 0.3), "replicated"),
        ((0.1, 0.9), "not at this scale"),
        ((0.8, 1.2), "contradicted"),
    ],
)
def test_a_small_leak_must_add_little_for_a_replication(interval, verdict):
    quantities = {
        "harm of 2.2 % overlap, R@1": estimate(*interval),
        "leaky minus honest, R@1": estimate(4, 6),
        "honest, R@10": estimate(24, 26),
        "leaky, R@10": estimate(38, 42),
    }
    assert leaky_split.judge_leaky_split(quantities)[0] == verdict
