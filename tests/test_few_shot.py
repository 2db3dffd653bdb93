"""Few-shot and probes: shots, crossings and quantities with known answers, verdicts at borders."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import RECIPES
from clipnb.experiments import few_shot, few_shot_photos, probes, representations
from clipnb.experiments.experiment import VERDICTS
from clipnb.experiments.probes import Split, Splits, sample_shots

EXPERIMENTS = few_shot.EXPERIMENTS + representations.EXPERIMENTS + few_shot_photos.EXPERIMENTS
BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}


def evaluate_quantities(name, outcomes):
    """Return the quantities of an experiment as {name: value}."""
    quantities = BY_NAME[name].quantities
    return {quantity: function(outcomes) for quantity, function in quantities.items()}


# ---- shots and probes ------------------------------------------------------------------------


def test_shots_are_k_different_examples_of_every_class():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = sample_shots(labels, 5, np.random.default_rng(1))
    assert len(set(rows)) == 15
    assert np.bincount(labels[rows]).tolist() == [5, 5, 5]
    assert (rows == sample_shots(labels, 5, np.random.default_rng(1))).all()
    assert set(rows) != set(sample_shots(labels, 5, np.random.default_rng(2)))


def test_a_class_with_too_few_examples_gives_all_of_them_and_a_warning_with_its_name():
    labels = np.array([0, 0, 0, 0, 1, 1])
    with pytest.warns(UserWarning, match="class 'cat' has 2 examples, not 4") as caught:
        rows = sample_shots(labels, 4, np.random.default_rng(0), ["dog", "cat"])
    assert sorted(rows) == [0, 1, 2, 3, 4, 5]
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="class 'fish' has 0 examples"):
        rows = sample_shots(labels, 1, np.random.default_rng(0), ["dog", "cat", "fish"])
    assert len(rows) == 2


def make_splits(noise, n=60):
    """Make three classes around the corners of a triangle, n examples in each split."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    features = [np.eye(3)[labels] + noise * rng.normal(size=(n, 3)) for _ in range(3)]
    return Splits(*(Split(some, labels) for some in features))


def test_probes_learn_what_is_easy():
    splits = make_splits(noise=0.02)
    assert probes.probe_with_all_labels(splits).all()
    right = probes.probe_with_shots(splits, "abc", 2, 0)
    assert right.shape == (60, len(probes.SHOTS))
    assert (right == 1).all()


def test_probes_learn_more_from_more_examples_and_the_same_every_time():
    splits = make_splits(noise=0.6)
    right = probes.probe_with_shots(splits, "abc", 3, 0)
    again = probes.probe_with_shots(splits, "abc", 3, 0)
    curve = right.mean(axis=0)
    assert curve[-1] > curve[0] + 0.1
    assert (right == again).all()
    of_two_draws = probes.probe_with_shots(splits, "abc", 2, 0)
    assert set(np.unique(of_two_draws)) <= {0, 0.5, 1}


def test_c_is_the_best_on_validation_and_the_smallest_of_equals():
    easy = make_splits(noise=0.02)
    assert probes.choose_C(easy.pool, easy.validation) == probes.C_GRID[0]
    hard = make_splits(noise=0.6)
    accuracies = [probes.check_probe(hard.pool, C, hard.validation).mean() for C in probes.C_GRID]
    chosen = probes.choose_C(hard.pool, hard.validation)
    assert accuracies[list(probes.C_GRID).index(chosen)] == max(accuracies)


def test_features_are_brought_to_one_scale(monkeypatch):
    def encode_images(model, images, projected):
        return F.normalize(torch.tensor(images), dim=1)

    monkeypatch.setattr(probes, "encode_images", encode_images)
    raw = np.random.default_rng(0).normal(size=(3, 40, 5)) + 3
    sets = [type("Set", (), {"images": images}) for images in raw]
    pool, *others = probes.encode_for_probes(None, sets)
    assert np.allclose(pool.mean(axis=0), 0)
    assert np.square(pool).sum(axis=1).mean() == pytest.approx(1)
    assert len(others) == 2
    assert not np.allclose(others[0].mean(axis=0), 0)


def test_towers_are_trained_for_the_epochs_that_are_asked_for(monkeypatch, small):
    loaded = []

    def fit(recipe, seed, train_set):
        loaded.append((recipe.name, recipe.epochs, seed, len(train_set)))

    tiny = dataclasses.replace(RECIPES["quick"], image_encoder="tiny_cnn")
    monkeypatch.setattr(probes, "QUICK", tiny)
    monkeypatch.setattr(probes, "load_dataset", lambda name, split, size: small(split))
    monkeypatch.setattr(probes, "fit_supervised_baseline", fit)
    monkeypatch.setattr(probes, "fit_word_predictor", fit)
    probes.load_tower("supervised", 3)
    probes.load_tower("predictive", 3, epochs=2)
    assert loaded == [
        ("quick_supervised", RECIPES["quick"].epochs, 3, 48),
        ("quick_bow_prediction", 2, 3, 48),
    ]
    first, again = (probes.load_tower("random", seed=3) for _ in range(2))
    assert torch.equal(first.image_projection.weight, again.image_projection.weight)
    with pytest.raises(ValueError, match="no tower 'best'"):
        probes.load_tower("best", 3)


# ---- numbers from outcomes -------------------------------------------------------------------


@pytest.mark.parametrize(
    "level, k",
    [(0.3, 0.5), (0.4, 1), (0.5, 2), (0.55, 2 * 2**0.5), (0.6, 4), (0.8, 16), (0.81, 32)],
)
def test_a_crossing_is_interpolated_on_a_log2_axis(level, k):
    assert probes.find_crossing([0.4, 0.5, 0.6, 0.7, 0.8], level) == pytest.approx(k)


def test_a_crossing_is_the_first_time_that_a_level_is_reached():
    assert probes.find_crossing([0.2, 0.6, 0.4, 0.5, 0.9], 0.6) == 2


def test_few_shot_crosses_at_four_and_leads_the_towers():
    few = np.repeat([[0.1, 0.2, 0.5, 0.6, 0.7]], 10, axis=0)
    outcomes = {
        "zero-shot": np.arange(10) < 5,
        "zero-shot, ensemble": np.arange(10) < 2,
        "contrastive probe": few,
        "supervised probe": few - 0.1,
        "random probe": few - 0.6,
    }
    expected = {
        "examples a class": 4,
        "examples a class, ensemble": 2,
        "zero-shot": 50,
        "zero-shot minus 16 examples on its own tower": -20,
        "zero-shot minus 16 examples on the twin": -10,
        "zero-shot minus 16 examples on an untrained tower": 40,
    }
    assert evaluate_quantities("few_shot", outcomes) == pytest.approx(expected)


def make_outcomes():
    """Make two classes of each attribute with two images each.

    Words are always right in the first class, and half of the time in the second.
    """
    curve = np.array([[0.25, 0.5, 0.75, 1, 1]] * 4)
    outcomes = {}
    for task in probes.TAUGHT_TASKS:
        outcomes[task] = np.array([0, 0, 1, 1])
        outcomes[f"zero-shot, {task}"] = np.array([1, 1, 1, 0], bool)
        outcomes[f"probe, {task}"] = curve
    return outcomes


def test_labels_are_worth_what_the_curves_say_class_by_class():
    outcomes = make_outcomes()
    assert few_shot.examples_by_class(outcomes) == pytest.approx([8, 2] * 3)
    values = evaluate_quantities("label_worth", outcomes).values()
    assert list(values) == pytest.approx([5, 5, 0, 0])
    # A resample may lose a class.
    resampled = {condition: array[[0, 1, 1]] for condition, array in outcomes.items()}
    assert few_shot.examples_by_class(resampled) == pytest.approx([8] * 3)


def test_tracking_is_perfect_when_the_probe_is_ahead_by_the_same_everywhere():
    outcomes = make_outcomes()
    for task in probes.TAUGHT_TASKS:
        outcomes[f"probe, {task}"] = np.array([1, 1, 1, 0.5])
    values = evaluate_quantities("tracks_supervised", outcomes).values()
    assert list(values) == pytest.approx([1, 1, 12.5])
    assert representations.correlate([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert representations.correlate([1, 1], [0, 1]) == 0


def right_in(n):
    """Make the outcomes of ten images of which the first n are right."""
    return np.arange(10) < n


def test_wins_and_leads_by_task():
    outcomes = {}
    for task, words, probe in zip(
        probes.PROBE_TASKS, (9, 8, 7, 3, 5), (8, 8, 5, 9, 7), strict=True
    ):
        outcomes[f"zero-shot, {task}"] = right_in(words)
        outcomes[f"supervised, {task}"] = right_in(probe)
    values = evaluate_quantities("supervised_probe", outcomes)
    assert values["tasks won of five"] == 2
    assert values["lead in count"] == pytest.approx(-60)
    assert values["lead over five tasks"] == pytest.approx(-10)


def test_leads_of_the_contrastive_tower_over_the_others():
    outcomes = {}
    for task in probes.PROBE_TASKS:
        bonus = task in probes.UNTAUGHT_TASKS
        outcomes[f"contrastive before, {task}"] = right_in(7 + bonus)
        outcomes[f"contrastive after, {task}"] = right_in(6 + bonus)
        outcomes[f"supervised before, {task}"] = right_in(8)
        outcomes[f"predictive before, {task}"] = right_in(6)
        outcomes[f"random before, {task}"] = right_in(2)
    values = evaluate_quantities("representations", outcomes).values()
    assert list(values) == pytest.approx([-6, 0, -10, 14, 54, -10])


def test_photos_cross_where_the_probes_reach_the_words():
    rng = np.random.default_rng(0)
    truth = rng.random((200, 2)) < 0.3
    perfect, noise = truth.astype(float), rng.random((200, 2))
    curve = [noise] * 3 + [perfect] * 4  # perfect from the fourth number of photos on
    few = np.stack(curve, axis=1)[:, :, None]  # (N, K, draws, C)
    good = {"_clip": 0.5 * perfect + 0.6 * noise, "_few": few, "_truth": truth}
    poor = {"_clip": noise, "_few": few, "_truth": truth}
    assert few_shot_photos.photos_worth(good) > 4
    assert few_shot_photos.photos_worth(poor) <= 4


def test_classes_whose_precision_never_varies_have_no_correlation():
    truth = np.random.default_rng(0).random((200, 2)) < 0.3
    noise = np.random.default_rng(1).random((200, 2))
    outcomes = {"_clip": truth.astype(float), "_full": noise, "_truth": truth}
    assert few_shot_photos.correlation_over_nouns(outcomes) == 0


# ---- verdicts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, first, verdict",
    [
        ("few_shot", (4, 2.5, 6), "replicated"),
        ("few_shot", (4, 1.5, 6), "partly"),
        ("few_shot", (0.5, 0.5, 0.5), "contradicted"),
        ("few_shot", (2, 0.5, 3), "not at this scale"),
        ("few_shot_flickr8k", (4, 2.5, 6), "replicated"),
        ("few_shot_flickr8k", (4, 1.5, 6), "partly"),
        ("few_shot_flickr8k", (0.5, 0.5, 0.5), "contradicted"),
        ("few_shot_flickr8k", (2, 0.5, 3), "not at this scale"),
        ("label_worth", (5, 3, 7), "replicated"),
        ("label_worth", (2, 1.5, 3), "partly"),
        ("label_worth", (0.5, 0.5, 0.9), "contradicted"),
        ("tracks_supervised", (0.8, 0.6, 0.9), "replicated"),
        ("tracks_supervised", (0.6, 0.1, 0.9), "partly"),
        ("tracks_supervised", (-0.4, -0.6, -0.1), "contradicted"),
        ("tracks_supervised", (0.2, -0.2, 0.5), "not at this scale"),
        ("tracks_supervised_flickr8k", (0.8, 0.6, 0.9), "replicated"),
        ("tracks_supervised_flickr8k", (0.2, -0.2, 0.5), "not at this scale"),
    ],
)
def test_verdicts_on_the_first_quantity_at_their_borders(name, first, verdict):
    (on_trial, *_) = BY_NAME[name].quantities
    assert judge(name, {on_trial: first}) == verdict


@pytest.mark.parametrize(
    "wins, count, verdict",
    [
        ((3, 2, 4), (-20, -25, -15), "replicated"),
        ((1, 0, 2), (-20, -25, -15), "partly"),
        ((0, 0, 0), (-20, -25, -15), "not at this scale"),
        ((3, 2, 4), (20, 15, 25), "contradicted"),
        ((3, 2, 4), (-1, -5, 3), "not at this scale"),
    ],
)
def test_words_must_win_tasks_and_lose_in_counting(wins, count, verdict):
    estimates = {"tasks won of five": wins, "lead in count": count}
    assert judge("supervised_probe", estimates) == verdict


@pytest.mark.parametrize(
    "lead, untaught, verdict",
    [
        ((3, 1, 5), (0, -1, 1), "replicated"),
        ((-3, -5, -1), (4, 1, 7), "partly"),
        ((-3, -5, -1), (1, -1, 3), "contradicted"),
        ((0, -2, 2), (1, -1, 3), "not at this scale"),
    ],
)
def test_a_tower_leads_on_five_tasks_or_on_the_two_untaught_ones(lead, untaught, verdict):
    estimates = {
        "contrastive minus supervised": lead,
        "contrastive minus supervised, count and size": untaught,
    }
    assert judge("representations", estimates) == verdict


def judge(name, estimates):
    """Return the verdict on estimates {quantity: (mean, low, high)}; the others are near 0."""
    quantities = {}
    for quantity in BY_NAME[name].quantities:
        mean, *interval = estimates.get(quantity, (0, -1, 1))
        quantities[quantity] = {"mean": mean, "interval": interval}
    verdict, because = BY_NAME[name].judge(quantities)
    assert verdict in VERDICTS
    assert because.endswith(".")
    return verdict


def test_every_experiment_belongs_to_notebook_08():
    assert {experiment.claim for experiment in EXPERIMENTS} == {"C4", "C5", "C6", "C7", "C9"}
    notebooks = {experiment.notebook for experiment in EXPERIMENTS}
    assert notebooks == {"08_linear_probe_and_few_shot"}
