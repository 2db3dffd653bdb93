"""The experiments on scaling, by hand-worked cases."""

import json

import numpy as np
import pytest

from clipnb.claims.scale import frontier, scaling
from clipnb.claims.scale.small_models import share_of_galleries
from clipnb.runtime import results_dir

SPENT = (1, 2, 4, 8, 16, 128)  # multiply-adds of six runs
N_IMAGES = 4000


def make_outcomes(errors):
    """Return runs with these errors on both halves of the test images."""
    outcomes = {"_half": np.arange(N_IMAGES) % 2, "compute": {}}
    for spent, error in zip(SPENT, errors, strict=True):
        outcomes[f"{spent}"] = np.full(N_IMAGES, 1 - error)
        outcomes["compute"][f"{spent}"] = spent
    return outcomes


def make_power_law(exponent):
    return make_outcomes([0.8 * spent**-exponent for spent in SPENT])


def test_frontier_leaves_out_what_a_cheaper_run_beats_and_what_costs_too_much():
    outcomes = make_outcomes([0.8, 0.9, 0.5, 0.6, 0.4, 0.2])
    found = frontier.find_frontier(outcomes, half=0)
    assert list(found.compute) == [1, 4, 16]
    assert found.error == pytest.approx([0.8, 0.5, 0.4])
    assert (found.held_out_compute, found.held_out_error) == (128, pytest.approx(0.2))


def test_frontier_is_chosen_on_one_half_and_read_on_the_other():
    outcomes = make_outcomes([0.8, 0.7, 0.6, 0.5, 0.4, 0.2])
    outcomes["1"] = np.where(outcomes["_half"] == 0, 1.0, 0.2)  # no error where half 0 chooses
    found = frontier.find_frontier(outcomes, half=0)
    assert list(found.compute) == [1]
    assert found.error == pytest.approx([0.8])


def test_a_power_law_foretells_a_power_law():
    outcomes = make_power_law(0.3)
    seen = frontier.forecast(outcomes, half=1)
    assert seen.power_law == pytest.approx(seen.measured)
    assert seen.exponent == pytest.approx(0.3)
    assert seen.r_squared == pytest.approx(1)
    assert frontier.divide_forecast(outcomes) == pytest.approx(1)
    assert frontier.divide_last(outcomes) == pytest.approx(8**0.3)
    assert frontier.average_halves(frontier.compare_with_line)(outcomes) > 3


def test_a_straight_line_foretells_a_straight_line():
    outcomes = make_outcomes([0.8 - 0.1 * np.log2(spent) for spent in SPENT])
    seen = frontier.forecast(outcomes, half=0)
    assert seen.straight_line == pytest.approx(seen.measured)
    assert frontier.compare_with_line(seen) < -3


def test_errors_that_do_not_change_are_foretold_by_all_alike():
    outcomes = make_outcomes([0.9] * 6)
    seen = frontier.forecast(outcomes, half=0)
    assert seen[:4] == pytest.approx([0.9] * 4)
    assert frontier.compare_with_line(seen) == pytest.approx(0)


def test_a_straight_line_never_foretells_a_negative_error():
    seen = frontier.forecast(make_outcomes([0.8, 0.6, 0.4, 0.2, 0.1, 0.05]), half=0)
    assert seen.straight_line == 0


def test_share_of_galleries_in_which_an_image_is_first():
    shares = share_of_galleries(np.array([1, 2, 12]), n_images=12)
    assert shares == pytest.approx([1, 2 / 11, 0])  # the better one of 11 others is not drawn


def test_explanations_bear_effects_without_a_bound():
    effects = {name: {"mean": 1.0, "interval": [None, None]} for name in scaling.SHAPE_EFFECTS}
    assert "+1.0 points" in scaling.explain_shape(effects)
    effects = {name: {"mean": 1.0, "interval": [None, None]} for name in scaling.FORECAST_EFFECTS}
    assert "1.00 times" in scaling.explain_forecast(effects)


@pytest.mark.parametrize(
    "name, rates", [("scaling", scaling.BEST_RATES), ("scaling_flickr8k", scaling.PHOTO_RATES)]
)
def test_learning_rates_are_the_best_on_file(name, rates):
    path = results_dir() / "tuning" / f"{name}.json"
    scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
    best = {condition: float(max(own, key=own.get)) for condition, own in scores.items()}
    assert best == {f"width {width}": rate for width, rate in rates.items()}
