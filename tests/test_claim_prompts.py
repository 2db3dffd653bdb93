"""Prompts: mined templates, sentences of the ensemble, folded captions, balls that move."""

import numpy as np
import pytest

from clipnb.claims.words import asking, mined_prompts, prompts
from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import sample_scenes
from clipnb.scenes import HOMES, KINDS, PLACES


def test_the_ensemble_varies_number_and_size():
    sentences = prompts.word_ensemble("boat")
    assert len(set(sentences)) == 18
    assert {"a boat", "one small boat", "two boats", "several big boats"} <= set(sentences)
    assert len(prompts.word_colours_and_places("boat")) == 16


def test_templates_are_runs_of_three_to_six_words_without_another_noun():
    words = ["a", "dog", "and", "a", "ball", "in", "the", "grass"]
    windows = mined_prompts.list_windows(words, 1, {"dog", "ball", "grass"})
    assert windows == ["a {} and", "a {} and a", "{} and a"]
    windows = mined_prompts.list_windows(words, 4, {"ball"})
    assert "a dog and a {} in" in windows and "and a {} in the grass" in windows
    assert {len(window.split()) for window in windows} == {3, 4, 5, 6}


def test_templates_around_the_most_different_nouns_come_first():
    captions = [
        ["a dog runs", "a cat runs", "a dog sleeps"],
        ["a dog sleeps", "a dog sleeps", "the cat on top"],
    ]
    mined = mined_prompts.mine_templates(captions, ["dog", "cat"], 3)
    assert mined == ["a {} runs", "a {} sleeps", "the {} on"]


def test_the_precision_of_templates_one_at_a_time_is_their_mean():
    truth = np.array([[True], [False]])
    right, wrong = np.array([[2.0], [1.0]]), np.array([[1.0], [2.0]])
    outcomes = {"_truth": truth, "_each template": np.stack([right, wrong], axis=1)}
    assert mined_prompts.find_precisions(outcomes, "each template") == pytest.approx([75])
    outcomes["_bare name"] = wrong
    effect = mined_prompts.compare_nouns("each template", "bare name")
    assert effect.compute(outcomes) == pytest.approx([25])


def test_plurals_are_folded_and_nothing_else():
    caption = "Two red dogs and a pair of puppies stand near rubber balls."
    assert asking.fold_plurals(caption) == "Two red dog and a pair of puppy stand near rubber ball."
    assert asking.fold_plurals("birdies fly, aircraft") == "birdie fly, aircraft"


def test_balls_move_to_places_where_dogs_are_not_at_home():
    scenes = sample_scenes(4000, "a_test_of_balls", keep=lambda s: s.things[0].kind == "ball")
    moved = [asking.move_ball(scene) for scene in scenes if len(scene.things) == 1]
    counts = {place: sum(scene.place == place for scene in moved) for place in PLACES}
    homes = [counts[place] for place in asking.OTHER_HOMES]
    others = [counts[place] for place in PLACES if place not in asking.OTHER_HOMES]
    assert min(homes) > 2 * max(others)
    assert not set(asking.OTHER_HOMES) & set(HOMES["dog"])


def test_a_scene_without_a_ball_stays_as_it_is():
    for scene in sample_scenes(50, "a_test_of_balls", keep=lambda s: s.things[0].kind == "cat"):
        if all(thing.kind != "ball" for thing in scene.things):
            assert asking.move_ball(scene) is scene


def test_dogs_called_balls_are_counted_among_dogs():
    dog, ball, cat = (KINDS.index(kind) for kind in ("dog", "ball", "cat"))
    outcomes = {
        "_kind": np.array([dog, dog, dog, dog, cat]),
        "_answers, both": np.array([dog, ball, ball, cat, ball]),
    }
    assert asking.measure_naming("both", ball).compute(outcomes) == 50
    assert asking.measure_naming("both", dog).compute(outcomes) == 25


def test_the_numbers_of_a_seed_hide_no_outcome(monkeypatch):
    images = np.zeros((24, 3, 8, 8), np.uint8)
    labels = [{"place": "sea", "objects": [{"kind": kind}]} for kind in KINDS * 2]
    exam = CaptionDataset("toy", "drawn", images, [["a"]] * 24, ["x"] * 24, labels)
    monkeypatch.setattr(prompts, "load_exam", lambda *_: exam)
    monkeypatch.setattr(prompts, "load_reader", lambda *_: type("Run", (), {"model": None}))
    monkeypatch.setattr(prompts, "encode_images", lambda *_: None)
    monkeypatch.setattr(
        prompts, "score_sentences", lambda *_: np.eye(12)[np.arange(24) % 12]
    )  # all right
    outcomes, numbers = prompts.measure_prompts(0, 24, 6000)
    assert not set(outcomes) & set(numbers)
    for name, effect in prompts.SCENE_EFFECTS.items():
        assert effect.compute(outcomes | numbers) == (100 if name.startswith("kinds") else 0)
