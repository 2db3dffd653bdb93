"""The figures of notebook 06 show what the records say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clipnb.claims import load_claim
from clipnb.claims.words import figures
from clipnb.claims.words.transfer import TASKS
from clipnb.experiments.nouns import NOUN_CLASSES


@pytest.fixture
def ax():
    """Axes that are closed after the test."""
    fig, axes = plt.subplots()
    yield axes
    plt.close(fig)


def summary(mean, low=None, high=None, values=()):
    return {"mean": mean, "interval": [low, high], "values": list(values), "unit": "points"}


def read_lines(ax):
    """Return {label: y values} of the labelled lines."""
    return {line.get_label(): list(line.get_ydata()) for line in ax.lines}


def read_dots(ax, row):
    """Return where the dots of a row stand, rounded, from left to right."""
    lines = [line for line in ax.lines if len(line.get_xdata()) == 1]
    return sorted(round(float(x.get_xdata()[0]), 1) for x in lines if x.get_ydata()[0] == row)


# ---- by hand ---------------------------------------------------------------------------------


def test_a_bound_that_is_none_lies_at_the_border():
    assert figures.read_bounds(summary(50.0, None, 120.0), (0, 100)) == [50, 0, 100]
    assert figures.read_bounds(summary(None, 3.0, None))[0] == np.inf


def test_levels_show_every_record_that_is_there(ax):
    record = {"conditions": {"a": summary(20.0, 10.0, 30.0), "b": summary(70.0, 60.0, 80.0)}}
    rows = {"first": "a", "second": "b"}
    figures.plot_levels(rows, {"full run": record, "small run": None}, "Levels", 50, ax)
    assert [read_dots(ax, row) for row in (0, 1)] == [[20.0], [70.0]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["first", "second"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["full run", "chance"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row is on top"


def test_effects_show_the_margin_and_the_one_on_trial(ax):
    effects = {"gain": summary(5.0, 3.0, 7.0), "other": summary(-2.0, -4.0, 0.0)}
    record = {"margin": 1.5, "effects": effects}
    figures.plot_effects({"an effect": "other", "the gain": "gain"}, record, "Effects", ax=ax)
    assert [read_dots(ax, row) for row in (0, 1)] == [[-2.0], [5.0]]
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-1.5, 1.5))
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["too small to count: 1.5", "on trial"]


def test_effects_without_a_margin_have_no_band(ax):
    record = {"margin": 1.5, "effects": {"gain": summary(5.0, 3.0, 7.0)}}
    figures.plot_effects({"the gain": "gain"}, record, "Effects", margin=0, ax=ax)
    assert not ax.patches


def test_classes_are_sorted_by_their_mean(ax):
    record = {"effects": {"above": summary(3.0, values=[[1.0, 6.0, 2.0], [3.0, 8.0, 0.0]])}}
    figures.plot_classes(["dog", "snow", "road"], record, "above", "Nouns", "precision", ax)
    assert [bar.get_height() for bar in ax.patches] == [7.0, 2.0, 1.0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["snow", "dog", "road"]
    assert ax.get_ylabel() == "precision\n(points)"
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[6.0, 1.0, 2.0], [8.0, 3.0, 0.0]]


# ---- from records ----------------------------------------------------------------------------


def test_the_shares_of_the_dogs_add_up(ax):
    record = load_claim("asking_in_number")
    figures.plot_dogs(record, ax)
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(len(figures.ASKED), 3)
    assert widths.sum(axis=1) == pytest.approx(100)
    found = [record["effects"][f"dogs called dogs, {name}"]["mean"] for name in figures.ASKED]
    assert widths[:, 0] == pytest.approx(found)


def test_recalls_lie_above_those_of_a_guess(ax):
    figures.plot_recalls({"photos": load_claim("retrieval")}, ax)
    lines = read_lines(ax)
    assert lines["a guess among 1,000"] == pytest.approx([0.1, 0.5, 1.0])
    assert len(lines) == 3
    assert all(a > b for a, b in zip(lines["photos, image to text"], (0.1, 0.5, 1), strict=True))


def test_every_skill_has_a_dot_for_each_model(ax):
    record = load_claim("limits")
    figures.plot_skills(record, ax)
    for row, skill in enumerate(figures.SKILLS):
        means = [record["conditions"][f"{arm}, {skill}: choice"]["mean"] for arm in figures.ARMS]
        places = [read_dots(ax, row + offset) for offset in (-0.27, -0.09, 0.09, 0.27)]
        assert places == [[round(mean, 1)] for mean in means]


def test_scores_stand_beside_their_chance(ax):
    record = load_claim("limits")
    figures.plot_scores(record, "binding", ax)
    assert len(ax.patches) == len(figures.ARMS) * len(figures.SCORES)
    group = record["conditions"]["labels, binding: group"]["mean"]
    assert ax.patches[-1].get_height() == pytest.approx(group)
    with pytest.raises(ValueError, match="no exam"):
        figures.plot_scores(record, "spelling", ax)


def test_what_shuffling_costs_is_drawn_for_both_worlds(ax):
    records = {"scenes": load_claim("word_order"), "photos": load_claim("word_order_flickr8k")}
    figures.plot_lost(records, ax)
    lost = [record["effects"]["recall lost by shuffling"]["mean"] for record in records.values()]
    assert [read_dots(ax, place)[0] for place in (-0.14, 0.14)] == [round(x, 1) for x in lost]


def test_doses_are_drawn_in_their_order(ax):
    record = load_claim("reading")
    figures.plot_doses(record, ax)
    lines = read_lines(ax)
    told = ("no caption", "one in sixteen", "one in five", "every caption", "the card alone")
    means = [record["conditions"][f"{dose}: reads"]["mean"] for dose in told]
    assert lines["reads the card"] == pytest.approx(means)
    assert len(lines["names the thing beside it"]) == 4, "the card alone names no thing"


def test_exposure_shows_every_class_once(ax):
    record = load_claim("transfer")
    figures.plot_exposure(record, ax)
    names = [name for own in TASKS.values() for name in own]
    assert sorted(text.get_text() for text in ax.texts) == sorted(names)
    assert sum(map(len, (ys for label, ys in read_lines(ax).items() if label != "chance"))) == 28


def test_nouns_of_photos_are_those_of_the_experiment(ax):
    record = load_claim("zero_shot_flickr8k")
    figures.plot_classes(NOUN_CLASSES, record, "nouns above prevalence", "Nouns", "precision", ax)
    assert len(ax.patches) == len(NOUN_CLASSES)
