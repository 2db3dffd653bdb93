"""The figures of scale draw what their records hold."""

import math
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clipnb.claims import load_claim
from clipnb.claims.scale import figures, full_budget_figures, law_figures
from clipnb.experiments import full_budget
from clipnb.recipes import BASELINE_FULL, BASELINE_FULL_IMAGES
from clipnb.records import round_floats, write_record


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.fixture
def two_axes():
    fig, axes = plt.subplots(1, 2)
    yield axes
    plt.close(fig)


def read_labels(ax):
    """Return {label in the legend: its line}."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


# ---- laws ------------------------------------------------------------------------------------


@pytest.fixture
def grid():
    """A grid whose narrow runs lie on error = 50 * (cost)**-0.5 and whose wide ones are worse."""
    compute = {"32 x 10": 1.0, "32 x 40": 4.0, "64 x 10": 5.0, "32 x 160": 16.0, "64 x 640": 256.0}
    errors = {name: 50 * cost**-0.5 for name, cost in compute.items()}
    errors["64 x 10"] = 45.0
    conditions = {name: {"mean": 100 - error} for name, error in errors.items()}
    return {
        "dataset": "toy",
        "seeds": [0],
        "numbers": {"compute": [compute]},
        "conditions": conditions,
    }


def test_runs_are_read_by_cost(grid):
    read = law_figures.read_grid(grid)
    assert read.compute.tolist() == [1, 4, 5, 16, 256]
    assert read.width.tolist() == [32, 32, 64, 32, 64]
    assert read.error == pytest.approx([50, 25, 45, 12.5, 3.125])


def test_the_best_runs_are_those_that_no_cheaper_one_beats():
    best = law_figures.find_best_runs(np.array([50.0, 25, 45, 25, 12.5]))
    assert best.tolist() == [True, True, False, False, True]  # an equal one is no better


def test_a_perfect_law_foretells_and_a_straight_line_does_not(grid):
    lines = law_figures.fit_lines(grid)
    assert lines.compute.tolist() == [1, 4, 16]
    assert lines.exponent == pytest.approx(0.5)
    assert lines.r_squared == pytest.approx(1)
    assert lines.power_law == pytest.approx(lines.held_out_error) == pytest.approx(3.125)
    assert lines.straight_line < 0
    told = law_figures.describe_forecast(grid)
    assert "exponent 0.50" in told
    assert "straight line     0.0 % error" in told


def test_a_forecast_draws_the_fitted_runs_and_the_one_held_out(grid, ax):
    law_figures.plot_forecast(grid, ax)
    drawn = read_labels(ax)
    assert drawn["fitted: the cheap frontier"].get_xdata().tolist() == [1, 4, 16]
    assert drawn["held out: measured"].get_ydata() == pytest.approx([3.125])
    assert drawn["power law"].get_ydata()[-1] == pytest.approx(3.125)
    assert drawn["straight line"].get_ydata().min() > 1


def test_all_runs_are_drawn_and_the_best_have_rings(grid, ax):
    law_figures.plot_runs(grid, ax)
    drawn = read_labels(ax)
    assert drawn["width 32"].get_xdata().tolist() == [1, 4, 16]
    assert drawn["no cheaper run is better"].get_xdata().tolist() == [1, 4, 16, 256]


@pytest.mark.parametrize("name", ["scaling", "scaling_flickr8k"])
def test_the_records_of_scaling_are_drawn(name, two_axes):
    record = load_claim(name)
    law_figures.plot_runs(record, two_axes[0])
    law_figures.plot_forecast(record, two_axes[1])
    settings = record["settings"]
    n_runs = len(settings["widths"]) * len(settings["sizes"])
    assert len(read_labels(two_axes[1])["other runs"].get_xdata()) == n_runs
    assert len(read_labels(two_axes[0])) == len(settings["widths"]) + 2


# ---- the other records -----------------------------------------------------------------------


@pytest.fixture
def batches():
    """Two budgets; the larger batch is behind by 20 points first, then ahead by 2."""
    values = {"N = 8, 1 epochs": [40.0, 42.0], "N = 32, 1 epochs": [20.0, 22.0]}
    values |= {"N = 8, 4 epochs": [60.0, 62.0], "N = 32, 4 epochs": [62.0, 64.0]}
    return {
        "dataset": "toy",
        "seeds": [0, 1],
        "settings": {"n_scenes": 100},
        "numbers": {"batch_sizes": [[8, 32]] * 2, "budgets": [[1, 4]] * 2},
        "conditions": {name: {"values": own} for name, own in values.items()},
    }


def test_batches_are_drawn_by_budget(batches, ax):
    figures.plot_batches(batches, ax)
    drawn = read_labels(ax)
    assert drawn["1 epochs"].get_ydata() == pytest.approx([41, 21])
    assert drawn["4 epochs"].get_ydata() == pytest.approx([61, 63])
    assert [text.get_text() for text in ax.texts] == ["3 steps", "12 steps"]


def test_the_gain_from_large_batches_is_drawn(batches, ax):
    figures.plot_gains([batches], ax)
    assert read_labels(ax)["toy, 2 seeds"].get_ydata() == pytest.approx([-20, 2])


def test_the_records_of_batches_are_drawn(ax):
    records = [load_claim("batches"), load_claim("batches_flickr8k")]
    figures.plot_gains(records, ax)
    gains = read_labels(ax)[figures.describe_seeds(records[0])].get_ydata()
    effects = records[0]["effects"]
    assert gains[0] == pytest.approx(effects["large minus small batches, shortest"]["mean"], 1e-3)
    assert gains[-1] == pytest.approx(effects["large minus small batches, longest"]["mean"], 1e-3)


def test_two_losses_are_drawn_as_pairs(ax):
    record = load_claim("siglip")
    figures.plot_losses(record, ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["N = 16", "N = 1,024"]


def test_the_learned_temperature_is_drawn_where_it_ends(ax):
    record = load_claim("temperature")
    figures.plot_temperatures(record, ax)
    drawn = read_labels(ax)
    assert drawn["fixed"].get_xdata().tolist() == record["settings"]["temperatures"]
    end = drawn["learned from 0.07, where it ends"].get_xdata()
    assert end == pytest.approx([1 / np.mean(record["numbers"]["scale"])])


def test_the_clamp_is_drawn_beside_the_highest_scales(two_axes):
    record = load_claim("clamp")
    figures.plot_highest_scales(record, two_axes[0])
    figures.plot_clamp(record, two_axes[1])
    widths = [bar.get_width() for bar in two_axes[0].patches]
    by_seed = record["numbers"]["highest"]
    assert widths[0] == pytest.approx(np.mean([own["usual, clamp off"] for own in by_seed]))
    assert widths[2] == pytest.approx(1000)
    control = record["effects"]["clamp on minus off, start at 1000"]["mean"]
    assert two_axes[1].texts[2].get_text() == f"{control:+.1f}".replace("-", "−")


def test_three_starts_are_drawn(ax):
    record = load_claim("locked")
    figures.plot_locked(record, ax)
    drawn = read_labels(ax)
    assert set(drawn) == {"from labels, locked", "from labels, learning on", "from random weights"}
    mean = record["conditions"]["locked, 100 pairs"]["mean"]
    assert drawn["from labels, locked"].get_ydata()[0] == pytest.approx(mean, abs=1e-3)


# ---- the full budget -------------------------------------------------------------------------


def make_run(losses, held_out, found):
    """Make a run of the record by hand: losses in training, two losses and two recalls held out."""
    recalls = [1.0, 3.0, 2.0]  # the second of three epochs is the best on dev
    history = [
        {"epoch": i, "loss": loss, "dev_mean_recall": recall}
        for i, (loss, recall) in enumerate(zip(losses, recalls, strict=True), 1)
    ]
    moments = zip(("best epoch", "last epoch"), held_out, found, strict=True)
    judged = {
        when: {
            "n_pairs": 1000,
            "chance_loss": math.log(1000),
            "loss": loss,
            "metrics": {"text_to_image_R@10": recall, "image_to_text_R@10": recall / 2},
            "intervals": {
                "text_to_image_R@10": [recall - 1.96, recall + 1.96],
                "image_to_text_R@10": [0.0, recall],
            },
        }
        for when, loss, recall in moments
    }
    return {"history": history, **judged}


@pytest.fixture
def full():
    """A record of the structure that `record_full_budget` writes, with invented numbers."""
    rows = [make_run([6.9, 5.0, 3.0 + i], [6.0, 6.6], [8.0 + i, 7.0 + i]) for i in range(3)]
    images = [make_run([6.9, 5.5, 4.0], [6.1, 6.5], [9.0, 8.0]) for _ in range(3)]
    leaky = [make_run([6.9, 4.0, 2.0], [4.0, 4.5], [30.0, 28.0]) for _ in range(3)]
    shares = {"share of images seen in training": 0.998, "loss in batches of 1,024": 4.6}
    return {
        "dataset": "flickr8k",
        "seeds": [0, 1, 2],
        "chance_loss": math.log(1024),
        "floor": 0.09,
        "official": {BASELINE_FULL.name: rows, BASELINE_FULL_IMAGES.name: images},
        "leaky": [own | shares for own in leaky],
    }


def test_the_hand_made_record_has_the_structure_of_a_real_one(full, monkeypatch):
    """The study writes its record with stand-ins for what takes hours."""
    own = full["leaky"][0]
    official = {key: own[key] for key in ("history", "best epoch", "last epoch")}
    monkeypatch.setattr(full_budget, "estimate_floor", lambda *sizes: 0.09)
    monkeypatch.setattr(full_budget, "run_leaky", lambda seed: own)
    monkeypatch.setattr(full_budget, "run_official", lambda name, seed: official)
    monkeypatch.setattr(full_budget, "write_record", lambda path, record, indent: record)
    record = full_budget.record_full_budget(3)
    assert set(full) <= set(record)
    assert set(record["official"]) == set(full["official"])
    assert len(record["leaky"]) == len(full["leaky"])
    assert record["chance_loss"] == pytest.approx(full["chance_loss"])


def test_losses_and_found_images_of_the_full_budget_are_drawn(full, two_axes):
    full_budget_figures.plot_loss_curves(full, two_axes[0])
    full_budget_figures.plot_found_images(full, two_axes[1])
    drawn = read_labels(two_axes[0])
    assert drawn["ln N: 6.93"].get_ydata()[0] == pytest.approx(math.log(1024))
    assert drawn["floor of batches of rows: 0.09"].get_ydata()[0] == 0.09
    assert drawn["official split, batches of images"].get_ydata().tolist() == [6.9, 5.5, 4.0]
    labels = [label.get_text() for label in two_axes[1].get_yticklabels()]
    assert "a seed" in read_labels(two_axes[1])
    assert labels == [
        *full_budget_figures.FEWER.values(),
        *(label for label, _ in full_budget_figures.WAYS.values()),
    ]


def test_the_full_budget_as_tables(full):
    losses = full_budget_figures.loss_table(full)
    assert "| official split, batches of rows | 3 | 4.00 | 6.00 / 6.60 |" in losses
    assert "| the original's split, by rows | 3 | 2.00 | 4.00 / 4.50 |" in losses
    found = full_budget_figures.found_table(full)
    assert "small budget, batches of images, best epoch | 3 |" in found
    # The seeds agree, so the interval is that of the images.
    row = "| the original's split, by rows, best epoch | 3 | 30.0 % (28.0 to 32.0) |"
    assert row in found
    assert "| after 67 to 67 % of the training |" in found
    # Three seeds 1 apart: Student's t with 2 degrees would give 2.5 either way for them alone.
    (own,) = [each for each in found.splitlines() if "batches of rows, best epoch | 3 | 9." in each]
    low, high = map(float, re.search(r"\((\S+) to (\S+)\)", own).groups())
    assert 9 + np.hypot(1.96, 1.96 / np.sqrt(3)) < high < 9 + 2.5 + 1.96
    assert low == pytest.approx(18 - high, abs=0.11)


def test_the_record_of_the_full_budget_is_found_or_its_making_told(
    full, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    assert full_budget_figures.load_full_budget() is None
    assert "`clipnb experiment full_budget`" in capsys.readouterr().out
    write_record(tmp_path / "full_budget" / "flickr8k.json", full)
    assert full_budget_figures.load_full_budget() == round_floats(full)
    assert capsys.readouterr().out == ""
