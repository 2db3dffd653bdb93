"""Two sources of pairs over many tasks: populations, tasks and differences worked out by hand."""

import dataclasses

import numpy as np
import planted_sources
import pytest

from clipnb.claims.effects import estimate_effect
from clipnb.claims.shift import sources, sources_photos
from clipnb.claims.verdicts import OPPOSITE, reach_verdict
from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import sample_scenes


def test_a_source_has_its_own_places_and_kinds_more_often():
    some_scenes = sample_scenes(600, "any")
    for source in sources.SOURCES.values():
        kept = np.array([sources.is_in_source(scene, source) for scene in some_scenes])
        has_place = np.array([scene.place in source.places for scene in some_scenes])
        has_kind = np.array([scene.things[0].kind in source.kinds for scene in some_scenes])
        assert has_place[kept].mean() > has_place.mean() + 0.1
        assert has_kind[kept].mean() > has_kind.mean() + 0.1


def test_the_sources_share_no_place_kind_or_annotator():
    nature, town = sources.SOURCES.values()
    for field in ("places", "kinds", "annotators"):
        assert not set(getattr(nature, field)) & set(getattr(town, field))


def test_a_source_depends_on_the_seed_and_has_two_captions():
    first, again, other = (sources.draw_source("town", seed, 8) for seed in (200, 200, 201))
    assert first.captions == again.captions != other.captions
    assert {len(own) for own in first.captions} == {2}


def test_half_of_the_captions_go_to_other_images():
    dataset = sources.draw_source("nature", 200, 12)
    spoiled = sources_photos.shuffle_half(dataset, 200)
    moved = [a != b for a, b in zip(dataset.captions, spoiled.captions, strict=True)]
    assert sum(moved) == 6
    assert sorted(map(tuple, spoiled.captions)) == sorted(map(tuple, dataset.captions))


def test_each_image_answers_the_task_of_its_kind_and_place():
    dataset = sources.render_test_set(10)
    truth = sources.find_truth(dataset)
    assert (truth.sum(axis=1) == 1).all()
    for row, own in enumerate(dataset.labels):
        kind, place = sources.TASKS[int(truth[row].argmax())]
        assert (kind, place) == (own["objects"][0]["kind"], own["place"])
    assert sources.ask_tasks()[0] == ["a dog beach", "dogs beach"]


def test_the_difference_is_one_of_precisions_by_task():
    n_tasks = len(sources.TASKS)
    truth = np.zeros((4, n_tasks), bool)
    truth[[0, 1], [0, 1]] = True  # the other tasks have no image and are left out
    good = np.tile(np.array([[4.0], [3.0], [2.0], [1.0]]), (1, n_tasks))  # precisions 100, 50
    outcomes = {"_truth": truth, "_nature": good, "_town": good[[1, 0, 2, 3]]}  # 50, 100
    assert sources.difference(outcomes) == pytest.approx([50, -50])
    assert sources.is_large_swing(outcomes).tolist() == [True, True]
    assert sources.find_average(outcomes) == pytest.approx([75, 75])


def test_a_better_source_is_the_opposite():
    experiment = sources.EXPERIMENTS[0]
    seeds = range(experiment.protocol.seeds)
    runs = [planted_sources.simulate_sources("planted", seed, lead=0.3) for seed in seeds]
    effects = {n: estimate_effect(each, runs, 50) for n, each in experiment.effects.items()}
    assert reach_verdict(effects, experiment.protocol, len(runs)) == OPPOSITE


def test_measuring_scores_each_source(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    tiny = dataclasses.replace(sources.STYLED_RECIPE, image_width=24, batch_size=16)
    monkeypatch.setattr(sources, "STYLED_RECIPE", tiny)
    outcomes, _ = sources.measure_sources(200, 32, 1, 12)
    assert set(outcomes) == {
        "_truth",
        *(f"_{name}" for name in (*sources.SOURCES, sources.SPOILED)),
    }
    assert all(array.shape == (12, len(sources.TASKS)) for array in outcomes.values())


# ---- photos ----------------------------------------------------------------------------------


def test_photos_are_of_dogs_or_of_people_and_drawn_by_the_seed(monkeypatch):
    told = ["a dog", "a man", "two men and dogs", "a lake", "women", "dogs"]
    size = sources_photos.PHOTO_RECIPE.stored_size
    photos = CaptionDataset(
        "flickr8k",
        "train",
        np.zeros((6, 3, size, size), np.uint8),
        captions=[[text] * 5 for text in told],
        image_ids=told,
    )
    monkeypatch.setattr(sources_photos, "load_dataset", lambda *settings: photos)
    assert set(sources_photos.load_source("dogs", 200, 9).image_ids) == {"a dog", "dogs"}
    people = [sources_photos.load_source("people", seed, 9).image_ids for seed in range(6)]
    assert all(set(own) == {"a man", "women"} for own in people)
    assert len(set(map(tuple, people))) == 2  # in another order
    assert len(sources_photos.load_source("people", 200, 1)) == 1


def test_sources_are_compared_by_what_they_teach_above_chance():
    n_words = len(sources_photos.TASK_WORDS)
    truth = np.zeros((4, n_words), bool)
    truth[0, :2] = True  # chance is 25 %, and the other words have no photo
    best = np.tile(np.array([[4.0], [3.0], [2.0], [1.0]]), (1, n_words))  # precision 100
    second = best[[1, 0, 2, 3]]  # precision 50
    outcomes = {"_truth": truth, "_people": best, "_dogs": second}
    assert sources_photos.find_learned(outcomes, "people") == pytest.approx([75, 75])
    difference = sources_photos.make_difference("people", "dogs")
    assert difference(outcomes) == pytest.approx([100, 100])  # 50 points of 50


def test_no_task_word_stands_twice():
    assert len(set(sources_photos.TASK_WORDS)) == len(sources_photos.TASK_WORDS) == 58


def test_explanations_survive_a_missing_bound():
    for experiment in sources.EXPERIMENTS:
        effects = dict.fromkeys(experiment.effects, {"mean": 1.0, "interval": [None, None]})
        assert experiment.explain(effects).endswith(".")
