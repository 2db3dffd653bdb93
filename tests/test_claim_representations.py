"""The experiments on representations, by hand-worked cases."""

import json

import numpy as np
import pytest

from clipnb.claims.probes import representations, representations_photos
from clipnb.experiments import exams
from clipnb.runtime import results_dir
from clipnb.scenes import HOMES, layout


@pytest.fixture(scope="module")
def some_scenes():
    return exams.sample_scenes(60, "claim_test", keep=exams.has_one_thing)


def test_what_nothing_tells_is_measured_from_the_scene(some_scenes):
    for scene in some_scenes[:10]:
        measured = representations.measure_untold(scene)
        members = layout(scene)
        assert set(measured) == set(representations.UNTOLD_TASKS)
        assert measured["across"] == pytest.approx(sum(each.x for each in members) / len(members))
        assert measured["at home"] == (scene.place in HOMES[scene.things[0].kind])
        assert 0.82 <= measured["brightness"] <= 1.10 and abs(measured["warmth"]) <= 0.05


def test_measured_values_are_cut_into_classes_that_are_equally_frequent(some_scenes):
    labels = representations.label_tasks([some_scenes, some_scenes[:7]])
    assert list(labels) == list(representations.TASKS)
    for task in ("across", "height", "brightness", "warmth"):
        assert np.bincount(labels[task][0]).tolist() == [20, 20, 20]
    assert np.bincount(labels["turn"][0]).tolist() == [30, 30]
    for task, (first, second) in labels.items():
        assert first[:7].tolist() == second.tolist(), task
    at_home = [scene.place in HOMES[scene.things[0].kind] for scene in some_scenes]
    assert labels["at home"][0].tolist() == [int(each) for each in at_home]


def test_told_classes_are_those_of_the_exams(some_scenes):
    labels = representations.label_tasks([some_scenes])
    rendered = exams.render_dataset(some_scenes, 16)
    for task in representations.TOLD_TASKS:
        assert labels[task][0].tolist() == exams.read_classes(rendered, task)[1].tolist()


def test_a_lead_is_the_difference_of_shares_task_by_task():
    outcomes = {
        "CLIP, kind": np.array([1, 1, 1, 0], bool),
        "CLIP, place": np.array([1, 0, 0, 0], bool),
        "three heads, kind": np.array([1, 0, 0, 0], bool),
        "three heads, place": np.array([1, 1, 0, 0], bool),
    }
    lead = representations.lead_by_task("CLIP", "three heads", ["kind", "place"])
    assert lead(outcomes) == pytest.approx([50, -25])


def test_a_lead_on_photos_is_the_difference_of_precisions_noun_by_noun():
    truth = np.array([[True, False], [False, True]])
    outcomes = {"_truth": truth, "_CLIP": 1.0 * truth, "_own nouns": 1.0 - truth}
    lead = representations_photos.lead_by_noun("CLIP", "own nouns")
    assert lead(outcomes) == pytest.approx([50, 50])


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("representations", representations.BEST_RATES),
        ("representations_flickr8k", representations_photos.BEST_MUON_RATES),
    ],
)
def test_the_rates_are_the_best_on_dev(name, constants):
    path = results_dir() / "tuning" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no rates were compared yet: clipnb experiment {name} --tune")
    scores = json.loads(path.read_text())["scores"]
    best = {arm: float(max(own, key=own.get)) for arm, own in scores.items()}
    assert constants == best
    assert {len(own) for own in scores.values()} == {5}
