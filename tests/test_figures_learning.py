"""The figures of notebook 07: what they draw from the records, and from curves made by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clipnb.claims import load_claim
from clipnb.claims.drawn import TRIED_RATES
from clipnb.claims.learning import figures
from clipnb.claims.learning.figures import COLOURS
from clipnb.claims.learning.learning_curves import ARMS, BAG_PREDICTION, CONTRAST, LANGUAGE_MODEL
from clipnb.claims.learning.objectives import PHOTOS_RATES, SCENES_RATES

NAMES = ("objectives", "objectives_bag", "objectives_flickr8k", "objectives_bag_flickr8k")
IMAGES = [1000, 2000, 4000, 8000]
# Contrast reaches 40 after 2,000 images, the predictor after 4,000, the language model at the end.
CURVES = {
    CONTRAST: [10.0, 40.0, 60.0, 70.0],
    BAG_PREDICTION: [10.0, 20.0, 40.0, 60.0],
    LANGUAGE_MODEL: [10.0, 10.0, 20.0, 40.0],
}


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def make_record(**changes):
    """Return a record of two equal seeds, in which only the machine was busier the second time."""
    numbers = {"images": [IMAGES] * 2, "chance": [0.1] * 2}
    for arm, cost in zip(ARMS, (3.0, 1.0, 1.5), strict=True):
        numbers[f"curve, {arm}"] = [CURVES[arm]] * 2
        numbers[f"seconds per image, {arm}"] = [0.001 * cost, 0.004 * cost]
    effects = {
        "images for b, over a": {"mean": 2.0, "interval": [1.5, 3.0]},
        "the same at three quarters of the way": {"mean": 1.5, "interval": [0.01, 4.0]},
        "the same half way": {"mean": 4.0, "interval": [2.0, None]},
        "a, above chance": {"mean": 30.0, "interval": [20.0, 40.0]},
    }
    record = {"numbers": numbers, "effects": effects, "margin": 1.4, "paper_effect": 4}
    return record | changes


def find_labelled(ax):
    """Return {label: its line} of what a legend names."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_a_star_marks_the_best_rate_of_each_arm(ax):
    scores = {CONTRAST: {0.001: 60.0, 0.003: 70.0}, LANGUAGE_MODEL: {0.001: 50.0, 0.003: 40.0}}
    figures.plot_rates(scores, ax, 0.003)
    stars = [line for line in ax.lines if line.get_marker() == "*"]
    places = {line.get_color(): (line.get_xdata()[0], line.get_ydata()[0]) for line in stars}
    assert places == {COLOURS[CONTRAST]: (0.003, 70.0), COLOURS[LANGUAGE_MODEL]: (0.001, 50.0)}


@pytest.mark.parametrize("part, rates", [("", SCENES_RATES), ("_flickr8k", PHOTOS_RATES)])
def test_all_arms_were_tried_with_the_same_rates(part, rates):
    scores = figures.load_tuning(f"objectives{part}", f"objectives_bag{part}")
    assert set(scores) == set(ARMS)
    for arm, by_rate in scores.items():
        assert tuple(by_rate) == TRIED_RATES
        assert max(by_rate, key=by_rate.get) == rates[arm]


def test_the_curves_have_a_thin_line_a_seed_and_a_thick_one(ax):
    figures.plot_curves(make_record(), ax)
    shown = find_labelled(ax)
    assert set(shown) == {*ARMS, "chance"}
    for arm in ARMS:
        np.testing.assert_allclose(shown[arm].get_ydata(), CURVES[arm])
    assert len(ax.lines) == 3 * (2 + 1) + 1
    assert shown["chance"].get_ydata()[0] == 10


def test_the_clock_stretches_the_axis_by_what_an_image_costs(ax):
    record = make_record()
    costs = figures.compare_costs(record)
    assert costs == pytest.approx({LANGUAGE_MODEL: 3.0, BAG_PREDICTION: 1.0, CONTRAST: 1.5})
    figures.plot_clock(record, ax)
    shown = find_labelled(ax)
    np.testing.assert_allclose(shown[LANGUAGE_MODEL].get_xdata(), [3000, 6000, 12000, 24000])


def test_the_need_is_read_where_the_weaker_arm_ends(ax):
    record = make_record()
    assert figures.find_level(record, BAG_PREDICTION, LANGUAGE_MODEL) == 40
    assert figures.find_level(record, BAG_PREDICTION, LANGUAGE_MODEL, share=0.5) == 25
    figures.plot_need(record, BAG_PREDICTION, LANGUAGE_MODEL, ax)
    assert ax.get_title() == f"2.00 times as many images for {LANGUAGE_MODEL}"
    assert set(find_labelled(ax)) == {f"{LANGUAGE_MODEL}: 8,000", f"{BAG_PREDICTION}: 4,000"}


def test_ratios_have_an_interval_each_and_the_paper_a_diamond(ax):
    figures.plot_ratios(make_record(), ax)
    points = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert points == [2.0, 1.5, 4.0]
    assert find_labelled(ax)["the paper"].get_xdata()[0] == 4
    bars = [list(line.get_xdata()) for line in ax.lines if line.get_color() == figures.BLUE]
    assert [1.5, 3.0] in bars and [0.2, 4.0] in bars and [2.0, 20.0] in bars
    assert {line.get_marker() for line in ax.lines} >= {"<", ">"}  # what lies beyond the borders


def test_the_ratio_is_two_at_every_level_where_one_curve_is_twice_as_late():
    late = [10.0, 10.0, 40.0, 70.0]
    early = [10.0, 40.0, 70.0, 80.0]
    levels, ratios = figures.list_ratios(early, late, IMAGES, 10.0)
    assert (levels[0], levels[-1]) == (30, 70)
    np.testing.assert_allclose(ratios, 2)


def test_the_levels_end_where_the_weaker_arm_does(ax):
    figures.plot_levels(make_record(), CONTRAST, BAG_PREDICTION, ax, figures.BLUE)
    line = find_labelled(ax)[f"{BAG_PREDICTION}, over {CONTRAST}"]
    assert line.get_xdata()[-1] == 60
    assert line.get_ydata()[-1] == pytest.approx(2)


@pytest.mark.parametrize("name", NAMES)
def test_the_records_ratios_can_be_read_from_their_curves(name):
    record = load_claim(name)
    slow, fast = record["effect"].removeprefix("images for ").split(", over ")
    for seed, value in enumerate(record["values"]):
        level = figures.find_level(record, fast, slow, seed)
        needs = [figures.count_images(record, arm, level, seed) for arm in (slow, fast)]
        assert needs[0] / needs[1] == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_can_be_drawn_from_a_record(name, ax):
    record = load_claim(name)
    slow, fast = record["effect"].removeprefix("images for ").split(", over ")
    figures.plot_curves(record, ax)
    figures.plot_clock(record, ax)
    figures.plot_need(record, fast, slow, ax)
    figures.plot_ratios(record, ax)
    figures.plot_levels(record, fast, slow, ax, figures.BLUE)
    assert ax.lines
