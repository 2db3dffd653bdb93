"""The experiments on rivals and counting, by hand-worked cases."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb import scenes
from clipnb.claims.probes import (
    counting,
    counting_all_tasks,
    rival_effects,
    rivals,
    rivals_photos,
    twins,
)
from clipnb.datasets import CaptionDataset
from clipnb.experiments import exams, fitting, tagging, twin
from clipnb.recipes import QUICK
from clipnb.runtime import results_dir
from clipnb.scenes import drawing

TAGS = list(tagging.SCENE_TAGS)


def make_dataset(label):
    images = np.zeros((1, 3, 8, 8), np.uint8)
    return CaptionDataset("scenes", "drawn", images, [["a"]], ["one"], [label])


# ---- tags ------------------------------------------------------------------------------------


def test_a_tag_is_told_in_every_number():
    assert tagging.describe_tag(("kind", "dog")) == ["a dog", "two dogs", "three dogs"]
    assert "an orange cat" in tagging.describe_tag(("colour", "orange"))
    assert "two big cars" in tagging.describe_tag(("size", "big"))
    assert "three birds at night" in tagging.describe_tag(("place", "night"))
    counted = tagging.describe_tag(("count", 2))
    assert len(counted) == 12 and all(text.startswith("two ") for text in counted)


def test_the_tags_of_an_image_are_those_of_all_its_things():
    things = [
        {"kind": "dog", "colour": "red", "size": "big", "count": 2},
        {"kind": "cat", "colour": "blue", "size": "big", "count": 1},
    ]
    dataset = make_dataset({"place": "sea", "objects": things, "relation": "above"})
    told = {tag for tag, shown in zip(TAGS, tagging.tag_truth(dataset)[0], strict=True) if shown}
    assert told == {
        *(("kind", "dog"), ("kind", "cat"), ("colour", "red"), ("colour", "blue")),
        *(("size", "big"), ("count", 1), ("count", 2), ("place", "sea")),
    }


def test_what_one_twin_is_taught_the_other_is_not():
    open_tags = [attribute in ("count", "size") for attribute, _ in TAGS]
    for first, second in twins.TWINS.values():
        taught = [twins.is_taught(name).astype(int) for name in (first, second)]
        assert (sum(taught) == 1 - np.array(open_tags)).all()
    assert twins.is_taught("even").sum() == twins.is_taught("odd").sum() == 14
    nouns = [twins.is_taught_noun(half).sum() for half in ("odd", "even")]
    assert nouns == [12, 13]


def make_features(truth, knows, rng):
    """Return features of a tower that knows some tags exactly and nothing about the others."""
    noise = rng.normal(size=truth.shape)
    return np.where(knows, 4.0 * truth, noise)


def test_each_tag_is_probed_on_the_tower_that_was_not_taught_it():
    rng = np.random.default_rng(0)
    truths = [rng.random((n, 4)) < 0.5 for n in (30, 20, 20)]
    taught = np.array([True, True, False, False])
    # Each tower knows just what it was not taught. So wrong pairs would score at chance.
    towers = [
        ([make_features(truth, ~own, rng) for truth in truths], own) for own in (taught, ~taught)
    ]
    scores = tagging.probe_untaught(towers, truths[:2])
    assert rivals.average_precisions(scores, truths[-1]) == pytest.approx([100] * 4)
    with pytest.raises(ValueError, match="2 tags were taught to every tower"):
        tagging.probe_untaught(towers[:1] * 2, truths[:2])


def test_probes_choose_one_c_for_all_tags_and_tell_their_precision_on_dev():
    rng = np.random.default_rng(1)
    truths = [rng.random((n, 2)) < 0.5 for n in (60, 40, 30)]
    features = [make_features(truth, True, rng) for truth in truths]
    scores, precision = tagging.probe_tags(features, truths[:2])
    assert scores.shape == (30, 2) and precision == pytest.approx(100)


# ---- effects ---------------------------------------------------------------------------------


@pytest.fixture
def outcomes():
    """Two images and two tags: words know the first tag, the near probe the second one."""
    truth = np.array([[True, False], [False, True]])
    right, wrong = np.where(truth, 1.0, 0.0), np.where(truth, 0.0, 1.0)
    return {
        "_truth": truth,
        "_words": np.stack([right[:, 0], wrong[:, 1]], axis=1),
        "_near": np.stack([wrong[:, 0], right[:, 1]], axis=1),
        "_far": right,
        "_untrained": wrong,
        "tasks": ["kind dog", "place sea"],
    }


def test_a_lead_is_the_difference_of_precisions_task_by_task(outcomes):
    # The one image with a tag has rank 1 (100 %) or rank 2 (50 %).
    assert rival_effects.lead_over("near")(outcomes) == pytest.approx([50, -50])
    assert rival_effects.lead_over("near", "far")(outcomes) == pytest.approx([25, -50])
    assert rival_effects.lead_over("near", group=["place"])(outcomes) == pytest.approx([-50])
    assert list(rival_effects.wins_over("near")(outcomes)) == [True, False]
    assert list(rival_effects.wins_beyond("near")(outcomes)) == [0.75, -0.25]
    assert rival_effects.lead_over_chance("words")(outcomes) == pytest.approx([50, 0])
    assert rival_effects.gain_of_teaching("near", "far")(outcomes) == pytest.approx([25, 50])
    assert rival_effects.lead_over_chance("words", group=["kind"])(outcomes) == pytest.approx([50])
    effects = rival_effects.make_effects("near", group=["kind"])
    assert next(iter(effects.values())).compute(outcomes) == pytest.approx([0.75])


def test_a_quarter_and_the_paper_make_the_effect_that_is_expected():
    for experiment in (rivals.RIVALS, rivals_photos.RIVALS_FLICKR8K):
        assert experiment.protocol.paper_effect == pytest.approx(16 / 27 - 1 / 4, abs=0.005)


# ---- counting --------------------------------------------------------------------------------


def test_numbers_are_asked_with_all_words_of_the_captions():
    assert counting.tell_number("dog", 1) == ["a dog", "one dog"]
    assert counting.tell_number("fish", 2) == ["two fish", "a pair of fish"]
    assert counting.tell_number("bird", 3) == [
        *("three birds", "some birds", "several birds", "a few birds")
    ]


def test_the_loss_in_counting_is_set_beside_that_in_kinds():
    shares = {"probe": 0.9, "words": 0.6, "probe, kind": 0.8, "words, kind": 0.7}
    outcomes = {name: np.arange(100) < 100 * share for name, share in shares.items()}
    assert counting.points_above("probe", "words")(outcomes) == pytest.approx(30)
    assert counting.lose_more_than_in("kind")(outcomes) == pytest.approx(20)
    outcomes |= {"probe, place": outcomes["probe"], "words, place": outcomes["probe"]}
    assert counting.lose_more_than_in("kind", "place")(outcomes) == pytest.approx(25)


def test_the_loss_in_counting_is_set_beside_that_in_all_other_tasks():
    shares = {"probe": 0.9, "words": 0.6, "probe, kind": 0.8, "words, kind": 0.7}
    shares |= {"probe, size": 0.95, "words, size": 0.65}
    outcomes = {name: np.arange(1000) < 1000 * share for name, share in shares.items()}
    for task in ("colour", "place"):
        outcomes |= {f"{asked}, {task}": np.ones(1000, bool) for asked in ("probe", "words")}
    effects = {
        name: effect.compute(outcomes)
        for name, effect in counting_all_tasks.COUNTING_ALL_TASKS_EFFECTS.items()
        if name.startswith(("more", "larger", "kept"))
    }
    # 30 points are lost in counting, 10 in kinds, 30 in sizes, none in colours and places.
    assert effects["more lost in counts than in all other tasks"] == pytest.approx(20)
    assert effects["more lost in counts than in kinds and sizes"] == pytest.approx(10)
    kept = {"count": 80 / 170, "kind": 740 / 860, "size": 15 / 45, "colour": 1, "place": 1}
    for task, share in kept.items():
        assert effects[f"kept in {task}s"] == pytest.approx(100 * share)
    others = np.mean([share for task, share in kept.items() if task != "count"])
    share = effects["larger share lost in counts than in all other tasks"]
    assert share == pytest.approx(100 * (others - kept["count"]))


# ---- tools that were added -------------------------------------------------------------------


def test_the_light_is_what_changes_an_image():
    brightness, warmth = drawing.find_light(7)
    lit = drawing._light(Image.new("RGB", (1, 1), (100, 100, 100)), 7).getpixel((0, 0))
    expected = (100 * brightness * (1 + warmth), 100 * brightness, 100 * brightness * (1 - warmth))
    assert lit == tuple(round(value) for value in expected)


def test_an_average_of_the_weights_can_be_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    small = {"image_encoder": "tiny_cnn", "image_size": 32, "stored_size": 32, "batch_size": 8}
    recipe = dataclasses.replace(QUICK, name="averaged_supervised", epochs=2, ema=0.9, **small)
    dataset = exams.render_dataset(exams.sample_scenes(16), 32)
    truth = tagging.tag_truth(dataset)
    averaged = twin.fit_labels(recipe, 0, dataset, truth, average=True)
    loaded = twin.fit_labels(recipe, 0, dataset, truth, average=True)
    last = twin.fit_labels(dataclasses.replace(recipe, name="last_supervised"), 0, dataset, truth)
    assert averaged.head.out_features == len(TAGS)
    assert torch.equal(averaged.head.weight, loaded.head.weight)
    assert not torch.allclose(averaged.head.weight, last.head.weight)
    assert len(fitting.TRAINING_SECONDS) >= 2


def test_the_relation_of_two_things_can_be_taught():
    scene = scenes.Scene("sea", (scenes.Thing("dog", "red", "big", 1),), None, 0)
    dataset = make_dataset(scenes.labels(scene))
    target = twin.label_targets(dataset, {"relation": (*scenes.RELATIONS, None)})["relation"]
    assert target.tolist() == [[0, 0, 0, 0, 1]]


# ---- tuning ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "constants"),
    [("rivals", twins.BEST_RATES), ("rivals_flickr8k", twins.BEST_MUON_RATES)],
)
def test_the_rates_are_the_best_on_dev(name, constants):
    path = results_dir() / "tuning" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no rates were compared yet: clipnb experiment {name} --tune")
    scores = json.loads(path.read_text())["scores"]
    best = {arm: float(max(own, key=own.get)) for arm, own in scores.items()}
    assert constants == best
    assert {len(own) for own in scores.values()} == {5}
