"""Few-shot and probes: shots, crossings and quantities whose answers are known, verdicts at their borders."""

import warnings

import numpy as np
import pytest
import torch

from clipnb.experiments import few_shot as fs
from clipnb.experiments.experiment import VERDICTS

BY_NAME = {experiment.name: experiment for experiment in fs.EXPERIMENTS}


def test_shots_are_k_different_examples_of_every_class():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = fs.sample_shots(labels, 5, np.random.default_rng(1))
    assert len(set(rows)) == 15 and np.bincount(labels[rows]).tolist() == [5, 5, 5]
    assert (rows == fs.sample_shots(labels, 5, np.random.default_rng(1))).all()
    assert set(rows) != set(fs.sample_shots(labels, 5, np.random.default_rng(2)))


def test_too_few_examples_are_all_used_and_said_by_name():
    labels = np.array([0, 0, 0, 0, 1, 1])
    with pytest.warns(UserWarning, match="class 'cat' has 2 examples, not 4") as told:
        rows = fs.sample_shots(labels, 4, np.random.default_rng(0), ["dog", "cat"])
    assert sorted(rows) == [0, 1, 2, 3, 4, 5] and len(told) == 1
    with pytest.warns(UserWarning, match="class 'fish' has 0 examples"):
        assert (
            len(fs.sample_shots(labels, 1, np.random.default_rng(0), ["dog", "cat", "fish"])) == 2
        )


@pytest.mark.parametrize(
    "level, k",
    [(0.3, 0.5), (0.4, 1), (0.5, 2), (0.55, 2 * 2**0.5), (0.6, 4), (0.8, 16), (0.81, 32)],
)
def test_crossing_is_straight_in_log2(level, k):
    assert fs.crossing([0.4, 0.5, 0.6, 0.7, 0.8], level) == pytest.approx(k)


def test_crossing_takes_the_first_time_that_a_level_is_reached():
    assert fs.crossing([0.2, 0.6, 0.4, 0.5, 0.9], 0.6) == 2


def easy(spread, n=24):
    """(features of pool, validation and test, labels of each) of three classes around the corners of a triangle."""
    rng, labels = np.random.default_rng(0), np.arange(n) % 3
    return [np.eye(3)[labels] + spread * rng.normal(size=(n, 3)) for _ in range(3)], [labels] * 3


def test_probes_learn_what_is_easy_and_more_with_more_examples():
    features, truths = easy(0.02, n=60)
    assert fs.full_probe(features, truths).all()
    right = fs.few_shot(features, truths, "abc", 2, 0)
    assert right.shape == (60, len(fs.SHOTS)) and (right == 1).all()
    hard = fs.few_shot(*easy(0.6, n=60), "abc", 3, 0).mean(axis=0)
    assert (
        hard[-1] > hard[0] + 0.1
        and (fs.few_shot(*easy(0.6, n=60), "abc", 3, 0).mean(axis=0) == hard).all()
    )
    assert set(np.unique(fs.few_shot(*easy(0.6, n=60), "abc", 2, 0))) <= {0, 0.5, 1}


def test_features_are_brought_to_one_scale(monkeypatch):
    unit = np.random.default_rng(0).normal(size=(3, 40, 5)) + 3
    monkeypatch.setattr(
        fs,
        "encode_images",
        lambda model, images, projected: fs.F.normalize(torch.tensor(images), dim=1),
    )
    sets = [type("Set", (), {"images": images}) for images in unit]
    pool, *others = fs.features_for_probes(None, sets)
    assert (
        np.allclose(pool.mean(axis=0), 0)
        and np.square(pool).sum(axis=1).mean() == pytest.approx(1)
        and len(others) == 2
    )
    assert not np.allclose(others[0].mean(axis=0), 0)


def test_few_shot_crosses_at_four_and_leads_the_towers():
    few = np.repeat([[0.1, 0.2, 0.5, 0.6, 0.7]], 10, axis=0)
    right = np.arange(10) < 5
    o = {"zero-shot": right, "zero-shot, ensemble": np.arange(10) < 2}
    o |= {"contrastive probe": few, "supervised probe": few - 0.1, "random probe": few - 0.6}
    found = {name: quantity(o) for name, quantity in BY_NAME["few_shot"].quantities.items()}
    assert found == pytest.approx(
        {
            "examples a class": 4,
            "examples a class, ensemble": 2,
            "zero-shot": 50,
            "zero-shot minus 16 examples on its own tower": -20,
            "zero-shot minus 16 examples on the twin": -10,
            "zero-shot minus 16 examples on an untrained tower": 40,
        }
    )


def by_hand():
    """Two classes of each attribute, two images of each; words are right always in the first and half the time in the second."""
    labels, o = np.array([0, 0, 1, 1]), {}
    curve = np.array([[0.25, 0.5, 0.75, 1, 1]] * 4)
    for task in fs.TAUGHT:
        o |= {
            task: labels,
            f"zero-shot, {task}": np.array([1, 1, 1, 0], bool),
            f"probe, {task}": curve,
        }
    return o


def test_labels_are_worth_what_the_curves_say_class_by_class():
    assert fs.worth(by_hand()) == pytest.approx([8, 2] * 3)
    found = {
        name: quantity(by_hand()) for name, quantity in BY_NAME["label_worth"].quantities.items()
    }
    assert list(found.values()) == pytest.approx([5, 5, 0, 0])
    some = {
        key: value[[0, 1, 1]] for key, value in by_hand().items()
    }  # a class that a resample has lost
    assert fs.worth(some) == pytest.approx([8] * 3)


def test_tracking_is_perfect_when_the_probe_is_ahead_by_the_same_everywhere():
    o = by_hand() | {f"probe, {task}": np.array([1, 1, 1, 0.5]) for task in fs.TAUGHT}
    quantities = BY_NAME["tracks_supervised"].quantities
    assert [quantity(o) for quantity in quantities.values()] == pytest.approx([1, 1, 12.5])
    assert (
        fs.correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
        and fs.correlation([1, 1], [0, 1]) == 0
    )


def test_wins_and_leads_by_task():
    right = lambda n: np.arange(10) < n
    o = {f"zero-shot, {task}": right(n) for task, n in zip(fs.TASKS, (9, 8, 7, 3, 5))}
    o |= {f"supervised, {task}": right(n) for task, n in zip(fs.TASKS, (8, 8, 5, 9, 7))}
    found = {name: quantity(o) for name, quantity in BY_NAME["supervised_probe"].quantities.items()}
    assert (
        found["tasks won of five"] == 2
        and found["lead in count"] == pytest.approx(-60)
        and found["lead over five tasks"] == pytest.approx(-10)
    )
    o = {
        f"{name} {when}, {task}": right(n + (task in fs.UNTAUGHT) * (name == "contrastive"))
        for task in fs.TASKS
        for name, when, n in (
            ("contrastive", "before", 7),
            ("contrastive", "after", 6),
            ("supervised", "before", 8),
            ("predictive", "before", 6),
            ("random", "before", 2),
        )
    }
    found = [quantity(o) for quantity in BY_NAME["representations"].quantities.values()]
    assert found == pytest.approx([-6, 0, -10, 14, 54, -10])


def near(mean, low, high):
    return {"mean": mean, "interval": [low, high], "values": [mean], "std": None}


@pytest.mark.parametrize(
    "name, numbers, verdict",
    [
        ("few_shot", [(4, 2.5, 6)], "replicated"),
        ("few_shot", [(4, 1.5, 6)], "partly"),
        ("few_shot", [(0.5, 0.5, 0.5)], "contradicted"),
        ("few_shot", [(2, 0.5, 3)], "not at this scale"),
        ("label_worth", [(5, 3, 7)], "replicated"),
        ("label_worth", [(2, 1.5, 3)], "partly"),
        ("label_worth", [(0.5, 0.5, 0.9)], "contradicted"),
        ("tracks_supervised", [(0.8, 0.6, 0.9)], "replicated"),
        ("tracks_supervised", [(0.6, 0.1, 0.9)], "partly"),
        ("tracks_supervised", [(-0.4, -0.6, -0.1)], "contradicted"),
        ("tracks_supervised", [(0.2, -0.2, 0.5)], "not at this scale"),
        (
            "supervised_probe",
            [(3, 2, 4), (5, 1, 9), (1, 0, 2), (1, 0, 2), (1, 0, 2), (-20, -25, -15)],
            "replicated",
        ),
        (
            "supervised_probe",
            [(1, 0, 2), (5, 1, 9), (1, 0, 2), (1, 0, 2), (1, 0, 2), (-20, -25, -15)],
            "partly",
        ),
        (
            "supervised_probe",
            [(0, 0, 0), (5, 1, 9), (1, 0, 2), (1, 0, 2), (1, 0, 2), (-20, -25, -15)],
            "not at this scale",
        ),
        (
            "supervised_probe",
            [(3, 2, 4), (5, 1, 9), (1, 0, 2), (1, 0, 2), (1, 0, 2), (20, 15, 25)],
            "contradicted",
        ),
        ("representations", [(3, 1, 5)], "replicated"),
        ("representations", [(-3, -5, -1), (4, 1, 7)], "partly"),
        ("representations", [(-3, -5, -1), (1, -1, 3)], "contradicted"),
        ("representations", [(0, -2, 2), (1, -1, 3)], "not at this scale"),
    ],
)
def test_verdicts_at_their_borders(name, numbers, verdict):
    experiment = BY_NAME[name]
    found = {
        quantity: near(*(numbers[i] if i < len(numbers) else (0, -1, 1)))
        for i, quantity in enumerate(experiment.quantities)
    }
    said, because = experiment.judge(found)
    assert said == verdict in VERDICTS and because.endswith(".")


def test_photos_cross_where_the_probes_reach_the_words():
    rng = np.random.default_rng(0)
    truth = rng.random((200, 2)) < 0.3
    perfect, noise = truth + 0.0, rng.random((200, 2))
    few = np.stack([noise] * 3 + [perfect] * 4, axis=1)[
        :, :, None
    ]  # (N, K, draws, C): from the fourth number of photos on, perfect
    assert (
        fs.photo_crossing({"_clip": 0.5 * perfect + 0.6 * noise, "_few": few, "_truth": truth}) > 4
    )
    assert fs.photo_crossing({"_clip": noise, "_few": few, "_truth": truth}) <= 4
    assert (
        fs.photo_correlation({"_clip": perfect, "_full": noise, "_truth": truth}) == 0
    )  # a class that never varies has no correlation


def test_every_experiment_belongs_to_notebook_08():
    assert {experiment.claim for experiment in fs.EXPERIMENTS} == {"C4", "C5", "C6", "C7", "C9"}
    assert {experiment.notebook for experiment in fs.EXPERIMENTS} == {
        "08_linear_probe_and_few_shot"
    }
