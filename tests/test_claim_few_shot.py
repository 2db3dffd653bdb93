"""C4 and C5: crossings, scores by class and probes for nouns, by hand-worked cases."""

import numpy as np
import pytest
import torch
from claim_parts import judge_simulated
from planted_few_shot import SIMULATIONS

from clipnb.claims.probes import few_shot, few_shot_photos
from clipnb.claims.probes.worth import PAPER_MEDIAN, limit_worth, tell_crossing, tell_median
from clipnb.experiments.nouns import average_precisions
from clipnb.experiments.probes import Split
from clipnb.experiments.shots import (
    answer_with_shots,
    find_worth,
    fit_noun_probes,
    rank_scores,
    sample_noun_shots,
    score_classes,
)

EXPERIMENTS = {each.name: each for each in few_shot.EXPERIMENTS}


# ---- what words are worth --------------------------------------------------------------------


def test_the_crossing_is_found_on_a_log_axis():
    curve, shots = [10, 20, 30, 40], [1, 2, 4, 8]
    assert find_worth(curve, 20, shots) == pytest.approx(2)
    assert find_worth(curve, 25, shots) == pytest.approx(np.sqrt(8))
    assert find_worth(curve, 10, shots) == 1
    assert find_worth(curve, 9, shots) == 0.5  # less than one example
    assert find_worth(curve, 41, shots) == np.inf  # beyond what was tried


def test_noise_of_the_curve_does_not_cross_too_early():
    curve, shots = [10, 32, 20, 40], [1, 2, 4, 8]  # isotonic: 10, 26, 26, 40
    assert find_worth(curve, 31, shots) == pytest.approx(4 * 2 ** (5 / 14))
    assert find_worth(curve, 26, shots) == pytest.approx(2)


def test_a_crossing_is_limited_where_it_must_be_finite():
    assert limit_worth(np.inf, 64) == 128
    assert limit_worth(3.0, 64) == 3.0


def test_f1_punishes_an_answer_that_is_given_too_often():
    truth = np.array([0, 0, 1, 1, 2, 2])
    always_one = np.ones((6, 1), int)
    assert score_classes(always_one, truth, 3).tolist() == [[0.0], [0.5], [0.0]]
    assert score_classes(truth, truth, 3).tolist() == [1.0, 1.0, 1.0]


def test_worth_by_class_uses_words_of_another_class_with_a_shift():
    outcomes, numbers = SIMULATIONS["label_worth"]("planted", 0)
    own = few_shot.worth_by_class(outcomes | numbers)
    other = few_shot.worth_by_class(outcomes | numbers, shift=1)
    assert len(own) == 28
    assert np.median(own) > 2 > 1 > np.median(other)


def test_probes_with_few_examples_answer_for_every_number_and_draw():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = 0.3 * rng.normal(size=(60, 3)) + np.eye(3)[labels]
    split = Split(features, labels)
    answers = answer_with_shots((split, split, split), ("a", "b", "c"), [1, 8], 2, seed=0)
    assert answers.shape == (60, 2, 2)
    right = (answers == labels[:, None, None]).mean(axis=(0, 2))
    assert right[1] > 0.9
    assert right[1] >= right[0]


# ---- photos ----------------------------------------------------------------------------------


def test_a_noun_learns_from_its_own_photos_and_from_those_without_it():
    truth = np.zeros((40, 3), bool)
    truth[:20, 0], truth[10:25, 1], truth[25:28, 2] = True, True, True
    rows, used = sample_noun_shots(truth, 5, np.random.default_rng(0))
    shown = truth[rows]
    assert (shown & used).sum(axis=0).tolist() == [5, 5, 3]  # the third has three
    assert used[~shown].all()
    assert len(rows) <= 13


def test_probes_for_all_nouns_at_once_equal_those_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 6)) / np.sqrt(6)
    truth = features @ rng.normal(size=(6, 2)) + 0.5 * rng.normal(size=(120, 2)) > 0.3
    used = rng.random((120, 2)) < 0.8
    weights, bias = fit_noun_probes(Split(features, truth), used, C=2.0)
    scores = torch.tensor(features, dtype=torch.float32) @ weights + bias
    for noun in range(2):
        kept = used[:, noun]
        fitted = LogisticRegression(C=2.0, tol=1e-8).fit(features[kept], truth[kept, noun])
        expected = fitted.decision_function(features)
        np.testing.assert_allclose(scores[:, noun], expected, atol=0.02)


def test_ranks_keep_the_average_precision():
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(50, 4)), rng.random((50, 4)) < 0.3
    ranks = rank_scores(scores)
    assert ranks.dtype == np.int16
    assert average_precisions(ranks, truth).tolist() == average_precisions(scores, truth).tolist()


def test_all_photos_of_a_noun_are_its_last_number():
    outcomes = {"shots": [1, 4], "positives": [3, 100]}  # the first noun has fewer than 4
    assert few_shot_photos.list_photos(outcomes).tolist() == [[1, 1], [4, 4], [4, 100]]


# ---- records ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["few_shot", "label_worth", "label_worth_flickr8k"])
def test_the_simulated_effect_is_the_papers(name):
    _, effects = judge_simulated(EXPERIMENTS[name], SIMULATIONS[name], "planted", 20)
    on_trial = next(iter(effects.values()))
    assert on_trial["mean"] == pytest.approx(EXPERIMENTS[name].protocol.paper_effect, rel=0.25)


def test_the_reasons_hold_the_numbers():
    crossing = {"examples a class": {"mean": 8.04, "interval": [4.0, None]}}
    assert "8.0 examples a class (4.0 to beyond what was tried)" in tell_crossing(crossing)
    median = {"median": {"mean": 2.0, "interval": [1.0, 4.0]}}
    assert f"{2 * PAPER_MEDIAN:.1f} examples (5.4 to 21.6)" in tell_median(median)
    assert tell_median({"median": {"mean": None, "interval": [None, None]}})
