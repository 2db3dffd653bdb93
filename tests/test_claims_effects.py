"""The effects of the second sitting by hand-worked cases: scales, units, added seeds."""

import numpy as np
import pytest
from scipy import stats

from clipnb.claims.effects import (
    check_values,
    estimate_effect,
    find_freedom,
    from_scale,
    mean_interval,
    measure_shift,
    median_interval,
    merge_summaries,
    resample_images,
    share_interval,
    summarize,
    summarize_condition,
    to_scale,
)
from clipnb.claims.experiment import Effect

INF = float("inf")


def effect_of(over="images", scale="linear", compute=lambda outcomes: outcomes["x"].mean()):
    return Effect(compute=compute, unit="points", scale=scale, over=over)


def test_one_seed_has_the_interval_of_its_images():
    x = np.array([0.0, 0.0, 1.0, 1.0])
    summary = estimate_effect(effect_of(), [({"x": x}, {})], n_resamples=4000)
    error = 0.5 / np.sqrt(4)
    assert summary["image_spread"] == pytest.approx(error, rel=0.05)
    low, high = summary["interval"]
    assert (high - low) / 2 == pytest.approx(1.96 * summary["image_spread"], rel=1e-3)
    assert (summary["mean"], summary["std"], summary["freedom"]) == (0.5, None, None)


def test_seeds_alone_give_students_interval():
    mean, low, high, freedom = mean_interval(np.array([1.0, 2.0, 3.0]))
    half = stats.t.ppf(0.975, 2) * 1 / np.sqrt(3)
    assert (mean, low, high) == pytest.approx((2, 2 - half, 2 + half))
    assert freedom == 2


def test_seeds_and_images_together_follow_welch_and_satterthwaite():
    values, spread = np.array([1.0, 2.0, 3.0]), 0.5
    _, low, high, freedom = mean_interval(values, spread)
    seeds, images = 1 / 3, 0.25
    by_hand = (seeds + images) ** 2 / (seeds**2 / 2)
    assert (
        freedom == pytest.approx(by_hand) == pytest.approx(find_freedom([seeds, images], [2, INF]))
    )
    half = stats.t.ppf(0.975, by_hand) * np.sqrt(seeds + images)
    assert high - low == pytest.approx(2 * half)


def test_units_and_seeds_are_both_samples():
    values = np.array([[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]])  # two seeds, three classes
    mean, low, high, freedom = mean_interval(values)
    units, seeds = 4 / 3, 2 / 2  # the variances of 1, 3, 5 and of 2, 4, over their numbers
    by_hand = (units + seeds) ** 2 / (units**2 / 2 + seeds**2 / 1)
    assert mean == 3
    assert freedom == pytest.approx(by_hand)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, by_hand) * np.sqrt(units + seeds))


def test_a_ratio_is_averaged_and_bounded_on_the_log_scale():
    summary = summarize([2.0, 8.0], 0.0, effect_of(scale="log"))
    half = stats.t.ppf(0.975, 1) * np.std(np.log([2, 8]), ddof=1) / np.sqrt(2)
    assert summary["mean"] == pytest.approx(4)
    assert summary["interval"] == pytest.approx([4 / np.exp(half), 4 * np.exp(half)])
    assert summary["interval"][0] > 0


def test_a_correlation_is_bounded_on_fishers_scale():
    summary = summarize([0.9, 0.95, 0.8], 0.1, effect_of(scale="fisher z"))
    low, high = summary["interval"]
    assert -1 < low < summary["mean"] < high < 1
    assert summary["mean"] == pytest.approx(np.tanh(np.arctanh([0.9, 0.95, 0.8]).mean()))


@pytest.mark.parametrize("scale, value", [("linear", -3.0), ("log", 1.7), ("fisher z", 0.4)])
def test_a_scale_leads_there_and_back(scale, value):
    assert float(from_scale(to_scale(value, scale), scale)) == pytest.approx(value)


def test_the_median_knows_the_rank_of_what_lies_beyond():
    values = np.array([[1.0, 2, 3, 4, 5, 6, 7, 8, INF, INF]])
    median, low, high = median_interval(values, "linear")
    assert (median, low, high) == (5.5, 2, INF)  # ranks 2 and 9 of ten: 97.9 %
    assert 1 - 2 * stats.binom.cdf(1, 10, 0.5) == pytest.approx(0.9785, abs=1e-4)
    assert 1 - 2 * stats.binom.cdf(2, 10, 0.5) < 0.95, "the next ranks would promise too much"
    summary = summarize(values.tolist(), 0.0, effect_of("median"))
    assert summary["interval"] == [2, None]
    assert summary["values"][0][-1] is None


def test_few_classes_bound_no_median():
    assert median_interval(np.array([[1.0, 2, 3, 4, 5]]), "log")[1:] == (0, INF)


def test_a_lower_bound_beyond_what_was_tried_is_the_largest_value_found():
    values = [[4.0, 8.0, *[INF] * 8]]
    summary = summarize(values, 0.0, effect_of("median", "log"))
    assert summary["mean"] is None
    assert summary["interval"] == [pytest.approx(8), None]
    nothing = summarize([[INF] * 8], 0.0, effect_of("median", "log"))
    assert nothing["interval"] == [0, None]


def test_what_a_seed_does_to_all_classes_widens_the_interval_of_the_median():
    classes = np.arange(1.0, 11.0)
    same = np.stack([classes] * 3)
    shifted = np.stack([classes - 1, classes, classes + 1])
    assert measure_shift(same) == 0
    assert measure_shift(shifted) == pytest.approx(np.sqrt(np.pi / 2 / 3))
    assert median_interval(same, "linear") == (5.5, 2, 9)
    median, low, high = median_interval(shifted, "linear")
    by_hand = np.hypot(3.5, stats.t.ppf(0.975, 2) * np.sqrt(np.pi / 2 / 3))
    assert (median, low, high) == pytest.approx((5.5, 5.5 - by_hand, 5.5 + by_hand))
    beyond = np.full((3, 10), INF)
    beyond[:, :4] = shifted[:, :4]
    median, low, high = median_interval(beyond, "linear")
    assert median == high == INF and np.isfinite(low)


def test_a_count_has_an_exact_interval():
    won = np.array([[True] * 7 + [False] * 3])
    share, low, high = share_interval(won)
    exact = stats.beta.ppf(0.025, 7, 4), stats.beta.ppf(0.975, 8, 3)
    assert (share, low, high) == pytest.approx((0.7, *exact))
    assert share_interval(np.repeat(won, 3, axis=0)) == pytest.approx((0.7, *exact))


def test_most_seeds_decide_a_task_and_a_tie_is_lost():
    won = np.array([[True, True, False], [True, False, False]])
    assert share_interval(won)[0] == pytest.approx(1 / 3)
    several = np.array([[True] * 8, [False] * 8, [True] * 8])
    share, low, high = share_interval(several)
    assert (share, low, high) == (1, 0, 1), "a seed that loses all tasks makes the share unsure"


def test_values_that_cannot_be_summarized_are_refused():
    def refuse(values, match, over="images", scale="linear"):
        with pytest.raises(ValueError, match=match):
            check_values(np.array(values), effect_of(over, scale))

    refuse([1.0, np.nan], "each must be a number")
    refuse([1.0, INF], "finite")
    refuse([1.0, 0.0], "finite on its scale", scale="log")
    refuse([1.0, -1.0], "finite on its scale", scale="log")
    refuse([0.5, 1.0], "finite on its scale", scale="fisher z")
    refuse([[1.0, INF]], "finite", over="units")
    refuse([[1.0, -INF]], "finite", over="median")
    refuse([1.0, 2.0], "there must be 2 axes", over="units")
    refuse([[1.0, 2.0]], "there must be 1 axes")
    refuse([[1.0]], "needs 2 classes", over="units")
    refuse(np.ones((1, 3, 2)), "there must be 2 axes", over="units")
    check_values(np.array([[1.0, INF]]), effect_of("median"))


def test_an_effect_without_a_standard_error_is_refused():
    rare = np.zeros(30)
    rare[0] = 1
    effect = effect_of(scale="log", compute=lambda outcomes: outcomes["x"].mean())
    with pytest.raises(ValueError, match="with a median"):
        resample_images(effect, [({"x": rare}, {})], 200)


def test_the_images_are_drawn_alike_for_all_conditions_and_seeds():
    x = np.random.default_rng(1).normal(size=50)
    effect = effect_of(compute=lambda outcomes: outcomes["x"].mean() - outcomes["y"].mean())
    runs = [({"x": x, "y": x - 1}, {}), ({"x": x, "y": x - 3}, {})]
    assert resample_images(effect, runs, 100) == pytest.approx(0, abs=1e-12)


def test_merged_summaries_hold_all_seeds_and_the_spread_of_the_images():
    first = summarize([1.0, 2.0, 3.0], 0.3, effect_of())
    second = summarize([5.0], 0.5, effect_of())
    merged = merge_summaries(first, second)
    spread = np.sqrt((3 * 0.09 + 0.25) / 4)
    assert merged["values"] == [1, 2, 3, 5]
    assert merged["image_spread"] == pytest.approx(spread)
    assert merged["interval"] == pytest.approx(
        list(mean_interval(np.array([1, 2, 3, 5.0]), spread)[1:3])
    )
    beyond = summarize([[1.0, 2.0, INF]], 0.0, effect_of("median", "log"))
    assert merge_summaries(beyond, beyond)["values"] == [[1, 2, None]] * 2


def test_a_condition_is_told_in_percent():
    summary = summarize_condition([np.array([True, False, True, True]), np.ones(4)])
    assert summary["values"] == [75, 100]
    assert summary["mean"] == 87.5 and summary["unit"] == "percent"
