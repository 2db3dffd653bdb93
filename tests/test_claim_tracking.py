"""C6: the correlation within tasks, its jackknife and how often its interval holds the truth."""

import numpy as np
import pytest
from planted_tracking import SIMULATIONS, R, draw_correlated

from clipnb.claims.effects import estimate_effect
from clipnb.claims.experiment import Effect
from clipnb.claims.probes import tracking
from clipnb.claims.probes.correlation import correlate_without_each, jackknife, tell_correlation
from clipnb.claims.probes.tracking_photos import measure_areas

GROUPS = np.repeat([0, 1, 2], [12, 8, 8])  # kinds, colours and places
OVER_CLASSES = Effect(compute=lambda outcomes: outcomes["values"], unit="z", over="units")


def test_a_correlation_without_each_unit_is_that_of_the_others():
    x, y = np.random.default_rng(0).normal(size=(2, 6))
    z, without = correlate_without_each(x, y)
    assert z == pytest.approx(np.arctanh(np.corrcoef(x, y)[0, 1]))
    assert without[2] == pytest.approx(
        np.arctanh(np.corrcoef(np.delete(x, 2), np.delete(y, 2))[0, 1])
    )


def test_a_correlation_within_groups_ignores_the_differences_between_them():
    x = np.array([1.0, 2, 3, 4, 5, 101, 102, 103, 104, 105])
    y = np.array([5.0, 3, 4, 2, 1.5, 204, 203, 202, 200, 201.5])  # falls in each group
    assert jackknife(x, y, np.zeros(10, int)).mean() > 2
    assert jackknife(x, y, np.repeat([0, 1], 5)).mean() < -0.5


def test_a_group_that_never_changes_counts_as_no_correlation():
    x, y = np.arange(6.0), np.full(6, 0.1)
    z, without = correlate_without_each(x, y)
    assert z == 0
    assert without.tolist() == [0.0] * 6


def test_the_mean_of_the_jackknife_is_the_correlation():
    x, y = draw_correlated(200, 5)
    assert np.corrcoef(x, y)[0, 1] == pytest.approx(R)
    values = jackknife(x, y, np.zeros(200, int))
    assert values.mean() == pytest.approx(np.arctanh(R), abs=0.02)


@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_the_interval_holds_the_truth_often_enough(shape):
    rng = np.random.default_rng(0)
    truth, hits, n = np.arctanh(R), 0, 200
    for _ in range(n):
        draws = rng.normal(size=(2, 28)) if shape == "normal" else rng.gumbel(size=(2, 28))
        x = draws[0]
        y = R * x + np.sqrt(1 - R**2) * draws[1]
        runs = [({}, {"values": jackknife(x, y, GROUPS)})]
        low, high = estimate_effect(OVER_CLASSES, runs)["interval"]
        hits += low <= truth <= high
    assert hits / n >= 0.93


def test_the_area_is_how_often_a_photo_of_the_noun_scores_higher():
    scores = np.array([[4.0], [3.0], [2.0], [1.0]])
    truth = np.array([[True], [False], [True], [False]])
    assert measure_areas(scores, truth).tolist() == [75.0]
    assert measure_areas(-scores, truth).tolist() == [25.0]


def test_guessing_has_the_same_area_for_rare_and_for_frequent_nouns():
    rng = np.random.default_rng(0)
    truth = rng.random((20000, 2)) < [0.02, 0.5]
    areas = measure_areas(rng.normal(size=truth.shape), truth)
    np.testing.assert_allclose(areas, 50, atol=2)


def test_effects_are_over_all_classes_of_the_tasks():
    outcomes, _ = SIMULATIONS["tracks_supervised"]("planted", 0)
    assert tracking.correlate_within(outcomes).shape == (28,)
    assert tracking.correlate_kinds(outcomes).shape == (12,)
    assert tracking.find_tasks().tolist() == GROUPS.tolist()
    assert 5 < tracking.lead_of_probe(outcomes).mean() < 25


def test_the_reason_tells_the_correlation_itself():
    effects = {
        "within tasks": {"mean": np.arctanh(0.5), "interval": [0.0, None]},
        "probe minus words": {"mean": 12.3, "unit": "points"},
    }
    told = tell_correlation(effects)
    assert "r = 0.50 (0.00 to 1.00)" in told
    assert "12.3 points" in told
