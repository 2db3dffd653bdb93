"""The figures of notebook 08: they draw what the records say, unknown numbers too."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clipnb.claims import load_claim
from clipnb.claims.probes import figures
from clipnb.plots import BLUE, GREEN, ORANGE, RED
from clipnb.widgets.quiz_answers import Question, Quiz

GROUPS = {"kinds": ["dog", "cat"], "places": ["sea", "snow"]}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    _, own = plt.subplots(layout="constrained")
    return own


def read_labels(ax, axis="y"):
    ticks = ax.get_yticklabels() if axis == "y" else ax.get_xticklabels()
    return [tick.get_text() for tick in ticks]


def find_line(ax, label):
    (line,) = [each for each in ax.lines if each.get_label() == label]
    return line


# ---- records by hand -------------------------------------------------------------------------


def test_an_unknown_bound_is_infinite():
    effect = {"mean": None, "interval": [3.0, None], "values": [[1.0, None], [2.0, 3.0]]}
    assert figures.read_bounds(effect) == (np.inf, 3.0, np.inf)
    assert figures.read_values(effect).tolist() == [[1.0, np.inf], [2.0, 3.0]]


def test_seeds_are_counted_in_words():
    assert figures.count_seeds({"seeds": [0]}) == "1 seed"
    assert figures.count_seeds({"seeds": [0, 1, 2]}) == "3 seeds"


def test_effects_are_drawn_in_order_on_their_own_scale(ax):
    rows = [("z", {"mean": 1.0, "interval": [0.0, 2.0]}), ("y", {"mean": 0, "interval": [-1, 1]})]
    figures.plot_effects(rows, ax, (-0.3, 0.3), 0.8, transform=np.tanh)
    assert read_labels(ax) == ["z", "y"]
    paper, first, dot, *_ = ax.lines
    assert paper.get_xdata()[0] == 0.8
    assert first.get_xdata() == pytest.approx(np.tanh([0.0, 2.0]))
    assert dot.get_xdata() == pytest.approx(np.tanh([1.0]))


def test_classes_are_sorted_and_those_never_reached_get_a_triangle(ax):
    values = [[8.0, 2.0, None, 4.0], [8.0, 4.0, None, None], [16.0, 2.0, 32.0, 8.0]]
    record = {"effects": {"worth": {"values": values}, "few": {"values": [[1.0] * 4]}}}
    figures.plot_worth(record, "worth", GROUPS, ax, few="few")
    assert read_labels(ax, "x") == ["cat", "dog", "snow", "sea"]
    kinds, places = find_line(ax, "kinds"), find_line(ax, "places")
    assert dict(zip(kinds.get_xdata(), kinds.get_ydata(), strict=True)) == {1: 8.0, 0: 2.0}
    assert dict(zip(places.get_xdata(), places.get_ydata(), strict=True)) == {2: 8.0}
    assert (kinds.get_color(), places.get_color()) == (BLUE, GREEN)
    triangles = [line for line in ax.lines if line.get_marker() == "^" and len(line.get_xdata())]
    above = {x: y for line in triangles for x, y in zip(*line.get_data(), strict=True)}
    assert list(above) == [3]
    assert above[3] > 32.0
    assert find_line(ax, "models of 1,000 scenes").get_ydata().tolist() == [1.0] * 4


def test_tasks_that_words_win_are_blue_and_first(ax):
    record = {
        "effects": {"words minus the probe": {"values": [[-2.0, 4.0, 1.0], [-4.0, 2.0, -3.0]]}},
        "numbers": {"tasks": [["kind dog", "count 2", "colour red", "place sea"]] * 2},
    }
    figures.plot_rivals(record, ax)
    assert read_labels(ax) == ["2 (count)", "red", "dog"]
    assert [bar.get_width() for bar in ax.patches] == [3.0, -1.0, -3.0]
    colours = [plt.matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
    assert colours == [BLUE, RED, RED]


def test_words_are_drawn_over_the_probe_by_task(ax):
    words, probe = np.arange(28.0), np.arange(28.0) + 50
    figures.plot_tracking(words, probe, ax)
    places = find_line(ax, "places")
    assert places.get_color() == ORANGE
    assert places.get_xdata().tolist() == probe[20:].tolist()
    assert places.get_ydata().tolist() == words[20:].tolist()


def test_clip_is_counted_over_all_quizzes(monkeypatch):
    image = np.zeros((3, 2, 2), np.uint8)
    questions = [Question(image, shots, "bax") for shots in (0, 0, 1)]
    said = [{"CLIP": "bax"}, {"CLIP": "dolu"}, {"CLIP": "bax"}]
    monkeypatch.setattr(figures, "make_quiz", lambda seed: Quiz(seed, [], {}, questions))
    monkeypatch.setattr(figures, "answer_by_clip", lambda run, quiz: said)
    assert figures.tally_clip(None, seeds=(1, 2)) == {"CLIP": {0: (2, 4), 1: (2, 2)}}


# ---- the records of the course ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["rivals", "rivals_flickr8k"])
def test_all_25_tasks_of_a_record_have_a_bar(ax, name):
    record = load_claim(name)
    figures.plot_rivals(record, ax)
    assert len(set(read_labels(ax))) == len(ax.patches) == 25
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == sorted(widths, reverse=True)
    won = record["effects"]["tasks that words win"]
    if len(record["seeds"]) == 1:
        assert np.mean(np.array(widths) > 0) == pytest.approx(won["mean"])


@pytest.mark.parametrize(
    ("name", "effect", "groups"),
    [
        ("label_worth", "median, examples a class", figures.SCENE_GROUPS),
        ("label_worth_flickr8k", "median, photos of a noun", figures.PHOTO_GROUPS),
    ],
)
def test_the_groups_name_every_class_of_a_record(ax, name, effect, groups):
    record = load_claim(name)
    figures.plot_worth(record, effect, groups, ax)
    names = [each for own in groups.values() for each in own]
    values = figures.read_values(record["effects"][effect])
    assert values.shape[1] == len(names)
    least = names[np.argmin(np.median(values, axis=0))]
    assert read_labels(ax, "x")[0] == least


def test_every_tower_has_a_mark_for_every_task(ax):
    record = load_claim("representations")
    figures.plot_towers(record, ax)
    assert read_labels(ax) == record["numbers"]["tasks"][0]
    for tower, (label, *_) in figures.TOWER_STYLES.items():
        marks = find_line(ax, label).get_xdata()
        assert marks[0] == record["conditions"][f"{tower}, kind"]["mean"]
        assert len(marks) == 12


def test_the_pairs_are_conditions_of_the_record():
    conditions = load_claim("counting")["conditions"]
    assert {name for _, *own in figures.COUNTING_PAIRS for name in own} <= conditions.keys()


def test_crossings_lie_between_their_bounds(ax):
    record = load_claim("few_shot")
    rows = figures.list_leads(record, {"all": "examples a class"})
    figures.plot_crossings(rows, ax, record["margin"], record["paper_effect"])
    low, high = ax.get_xlim()
    bounds = rows[0][1]["interval"]
    assert low < bounds[0] < bounds[1] < high
    assert ax.get_xscale() == "log"
