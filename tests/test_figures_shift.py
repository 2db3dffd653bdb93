"""The figures of notebook 09: what they draw of the records, and of records made by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clipnb.claims import load_claim
from clipnb.claims.shift import figures
from clipnb.claims.shift.overlap import MEDIAN_OVERLAP
from clipnb.claims.shift.sources import SOURCES, TASKS
from clipnb.claims.shift.sources_photos import TASK_WORDS
from clipnb.claims.shift.styled import logit


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def find_points(ax, marker="o"):
    """Return the places of all markers of a kind, as rows (x, y)."""
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return np.concatenate([np.column_stack(line.get_data()) for line in lines])


def make_conditions(percent):
    """Make the conditions of a record from {name: percent}, with intervals of two points."""
    return {
        name: {"mean": mean, "interval": [mean - 2, mean + 2]} for name, mean in percent.items()
    }


def make_effect(values, mean=None):
    """Make an effect of a record: values by seed, or a list for each seed."""
    mean = float(np.mean(values)) if mean is None else mean
    return {"values": values, "mean": mean, "interval": [mean - 1, mean + 1]}


# ---- records made by hand --------------------------------------------------------------------


def test_a_strip_has_a_dot_for_each_seed_or_unit(ax):
    effects = {"seeds": make_effect([1.0, 3.0]), "units": make_effect([[0, 4, 8], [2, 6, 10]])}
    record = {"effects": effects, "margin": 5.0, "unit": "points"}
    figures.plot_strip(record, {"by seed": "seeds", "by word": "units"}, ax, "A strip")
    assert find_points(ax).T[0].tolist() == [1, 3, 1, 5, 9]  # units are averaged over the seeds
    assert find_points(ax, "D").tolist() == [[2, 0], [5, 1]]
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-5, 5))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["by seed", "by word"]


def test_the_stem_of_a_model_starts_on_the_line(ax):
    """By hand: the line halves the odds, and a model stands ten points above it."""
    accuracies = {"line 1": (1 / 5, 1 / 9), "line 2": (4 / 5, 2 / 3)}  # odds 1/4 to 1/8, 4 to 2
    accuracies |= dict.fromkeys(figures.MODEL_COLOURS, (0.5, 1 / 3 + 0.1))
    percent = {}
    for name, (painted, sketch) in accuracies.items():
        percent |= {f"{name}: painted": 100 * painted, f"{name}: sketch": 100 * sketch}
    record = {"conditions": make_conditions(percent), "numbers": {"sizes": [[1, 2]]}}
    figures.plot_line(record, ax, ["sketch"])
    stems = [line.get_ydata() for line in ax.lines if line.get_linestyle() == ":"]
    assert len(stems) == 3
    for stem in stems:
        assert stem == pytest.approx([logit(1 / 3), logit(1 / 3 + 0.1)])


def make_adapted():
    """Make a record in which each way of adapting gains what its name says, in each style."""
    gains = {"zero-shot": 0, "4 shots": 2, "16 shots": 7, "many styles": 5, "fine-tuned": -3}
    percent = {
        f"{name}: {style}": 40 + gain
        for name, gain in gains.items()
        for style in figures.STYLE_COLOURS
    }
    return {"conditions": make_conditions(percent), "numbers": {"shots": [[4, 16]]}}


def test_shots_start_with_zero_shot(ax):
    figures.plot_shots(make_adapted(), ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["zero-shot", "4", "16"]
    assert [list(line.get_ydata()) for line in ax.lines] == [[40, 42, 47]] * 5


def test_gains_are_those_of_the_probe_with_the_most_shots(ax):
    figures.plot_gains(make_adapted(), ax)
    heights = find_points(ax).T[1].reshape(3, 5)
    assert heights.tolist() == [[7] * 5, [5] * 5, [-3] * 5]


def test_leaks_stand_at_their_share_and_shift(ax):
    shifts = {name: float(i) for i, (name, *_) in enumerate(figures.LEAK_POINTS)}
    effects = {name: make_effect([shift]) for name, shift in shifts.items()}
    figures.plot_leaks({"effects": effects, "margin": 0.6}, ax)
    points = find_points(ax)
    assert points.T[1].tolist() == list(shifts.values())
    assert points.T[0] == pytest.approx([2.2, 20, 2.2, 2.2], rel=0.15)
    # On the lines of equal gain, the share times the gain is the shift.
    guides = [np.column_stack(line.get_data())[0] for line in ax.lines if len(line.get_xdata()) > 1]
    for gain in figures.GAIN_LINES:
        assert any(y == pytest.approx(gain * x / 100) for x, y in guides if x > 0)
    assert 100 * figures.FIRST_SITTING < 0.6 < 100 * MEDIAN_OVERLAP  # what could have been found


def test_a_task_stands_in_the_row_of_its_kind_and_the_column_of_its_place(ax):
    values = np.zeros((2, len(TASKS)))
    values[:, TASKS.index(("car", "sea"))] = [-10, -30]
    record = {"effects": {"nature minus town": make_effect(values.tolist())}}
    figures.plot_tasks(record, ax)
    table = ax.images[0].get_array()
    row = len(SOURCES["nature"].kinds) + SOURCES["town"].kinds.index("car")
    column = SOURCES["nature"].places.index("sea")
    assert table[row, column] == -20 and np.abs(table).sum() == 20
    assert ax.get_yticklabels()[row].get_text() == "car"
    assert ax.get_xticklabels()[column].get_text() == "sea"


def test_a_table_needs_all_tasks(ax):
    record = {"effects": {"nature minus town": make_effect([[1.0, 2.0]])}}
    with pytest.raises(ValueError, match="has 2 tasks; a table needs all 96"):
        figures.plot_tasks(record, ax)


def test_words_are_sorted(ax):
    values = np.arange(len(TASK_WORDS), 0.0, -1) - 10
    record = {"effects": {"people minus dogs": make_effect([values.tolist()])}, "mean": 3.0}
    figures.plot_words(record, ax)
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == sorted(heights) and len(heights) == len(TASK_WORDS)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == list(TASK_WORDS)[::-1]


# ---- the records -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, draw",
    [
        ("robustness", figures.plot_line),
        ("adaptation", figures.plot_shots),
        ("adaptation", figures.plot_gains),
        ("overlap", figures.plot_leaks),
        ("sources", figures.plot_tasks),
        ("sources_flickr8k", figures.plot_words),
    ],
)
def test_a_record_is_drawn_within_the_axes(ax, name, draw):
    draw(load_claim(name), ax)
    ax.figure.canvas.draw()
    points = [np.column_stack(line.get_data()) for line in ax.lines if line.get_marker() == "o"]
    for x, y in np.concatenate([*points, np.zeros((0, 2))]):
        assert ax.get_xlim()[0] <= x <= ax.get_xlim()[1]
        assert min(ax.get_ylim()) <= y <= max(ax.get_ylim())
    assert ax.get_xlabel() and ax.get_ylabel()


def test_every_effect_of_every_record_fits_a_strip(ax):
    for name in ("robustness", "robustness_flickr8k", "diversity", "diversity_flickr8k", "sources"):
        record = load_claim(name)
        rows = {effect: effect for effect in record["effects"]}
        figures.plot_strip(record, rows, ax)
        assert len(ax.get_yticks()) == len(rows)
