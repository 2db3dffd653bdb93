"""Scale as evidence: an effect at three budgets, how it moves, and how that is shown."""

import json

import numpy as np
import pytest
from claim_parts import MEASURED, make_record, make_toy

from clipnb import claims
from clipnb.claims import budgets, protocols, running
from clipnb.claims.budget_figures import budgets_table, plot_budgets
from clipnb.claims.experiment import RECORDS

pytestmark = pytest.mark.usefixtures("parsed_once")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy, with two smaller budgets, at which its effect is smaller."""
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    MEASURED.clear()
    own = make_toy()
    monkeypatch.setattr(claims, "load_experiments", lambda: {"toy": own})
    monkeypatch.setattr(budgets, "BUDGETS", {"toy": ({"gain": -0.5}, {"gain": 0.0})})
    return own


def make_budgets(
    effects, paper_effect=None, freedom=None, scale="linear", margin=2.0, reached=True
):
    """Return a record with effects (mean, low, high) at three budgets.

    reached: whether the gates were open at the smallest one.
    """
    record = make_record(paper_effect=paper_effect, scale=scale, margin=margin)
    own = [
        {"mean": mean, "interval": [low, high], "freedom": freedom, "values": [mean]}
        for mean, low, high in effects
    ]
    record["budgets"] = [
        {
            "share": share,
            "changed": {},
            "seeds": [0, 1, 2],
            "reached": reached or share != "a quarter",
            **each,
        }
        for share, each in zip(budgets.SHARES, own, strict=True)
    ]
    return record


def test_an_effect_is_measured_at_three_budgets(toy, tmp_path):
    protocols.write_protocol(toy)
    running.record_experiment(toy, [0, 1, 2])
    MEASURED.clear()
    path = budgets.record_budgets("toy", 2)
    assert MEASURED == [0, 1, 0, 1]  # two seeds of each smaller budget; the full one is on record
    assert path.endswith("toy.json")
    quarter, half, full = budgets.load_budgets()["toy"]["budgets"]
    assert quarter["changed"] == {"gain": -0.5}
    assert quarter["mean"] < half["mean"] < full["mean"]
    on_record = json.loads((tmp_path / "results" / RECORDS / "toy.json").read_text())
    assert full["mean"] == on_record["mean"]
    assert full["seeds"] == [0, 1, 2]
    budgets.record_budgets("toy", 2)
    assert MEASURED == [0, 1, 0, 1]  # the cache knows them


def test_the_full_budget_has_all_seeds_that_its_record_has(toy):
    protocols.write_protocol(toy)
    running.record_experiment(toy, [0])
    budgets.record_budgets("toy", 2)
    running.record_experiment(toy, [1, 2])
    assert budgets.load_budgets()["toy"]["budgets"][-1]["seeds"] == [0, 1, 2]


def test_budgets_need_a_full_record_and_a_known_name(toy, capsys):
    with pytest.raises(ValueError, match="toy has no full record: run `clipnb experiment toy`"):
        budgets.record_budgets("toy")
    with pytest.raises(ValueError, match="other has no smaller budgets; these have: toy"):
        budgets.record_budgets("other")


def test_the_settings_of_every_budget_are_those_of_its_experiment():
    for name, changes in budgets.BUDGETS.items():
        known = claims.find_experiment(name).full
        if name in ("rivals", "counting", "representations"):
            known = known | {"n_training": 6000}  # the default of their measures
        for changed in changes:
            assert changed.keys() <= known.keys(), name
            assert all(np.max(changed[key]) < np.max(known[key]) for key in changed), name


def test_the_change_is_told_in_margins_with_its_noise():
    record = make_budgets([(2.0, 1.0, 3.0), (3.0, 2.0, 4.0), (6.0, 5.0, 7.0)])
    half = np.hypot(0.5, 0.5)  # two intervals of half a margin either way
    assert budgets.measure_change(record) == pytest.approx((2, 2 - half, 2 + half), rel=1e-6)
    ratio = make_budgets([(1.1, 1.0, 1.21)] * 2 + [(1.21, 1.1, 1.331)], scale="log", margin=1.1)
    assert budgets.measure_change(ratio)[0] == pytest.approx(1)


def test_few_degrees_of_freedom_are_not_taken_twice():
    effects = [(2.0, 1.0, 3.0), (3.0, 2.0, 4.0), (6.0, 5.0, 7.0)]
    known, few = make_budgets(effects), make_budgets(effects, freedom=2)
    widths = [np.diff(budgets.measure_change(record)[1:]).item() for record in (known, few)]
    # Two seeds' worth of noise each is four degrees together, so the interval is shorter.
    assert widths[1] < widths[0]


def test_an_infinite_bound_shows_no_change():
    record = make_budgets([(2.0, 1.0, None), (3.0, 2.0, 4.0), (6.0, 5.0, 7.0)])
    assert budgets.measure_change(record)[1:] == (-np.inf, np.inf)
    assert budgets.describe_change(record) == "no change shown"


@pytest.mark.parametrize(
    "last, paper, words",
    [
        ((6.0, 5.0, 7.0), 20.0, "grows, towards the paper's figure"),
        ((6.0, 5.0, 7.0), 1.0, "grows, away from the paper's figure"),
        ((6.0, 5.0, 7.0), None, "grows"),
        ((-6.0, -7.0, -5.0), -4.0, "falls, towards the paper's figure"),
        ((2.5, 1.5, 3.5), 20.0, "no change shown"),
    ],
)
def test_the_change_in_words(last, paper, words):
    record = make_budgets([(2.0, 1.0, 3.0), (3.0, 2.0, 4.0), last], paper_effect=paper)
    assert budgets.describe_change(record) == words


def test_models_that_reach_nothing_show_no_change():
    effects = [(2.0, 1.0, 3.0), (3.0, 2.0, 4.0), (6.0, 5.0, 7.0)]
    record = make_budgets(effects, paper_effect=20.0, reached=False)
    assert budgets.describe_change(record) == "a quarter of the budget reaches nothing"


def test_the_figure_has_a_panel_for_each_and_hollow_points_for_closed_gates():
    effects = [(2.0, 1.0, 3.0), (3.0, 2.0, 4.0), (6.0, 5.0, 7.0)]
    record = make_budgets(effects, paper_effect=20.0, reached=False)
    figure = plot_budgets({"one": record, "two": record})
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == 2
    fills = [line.get_markerfacecolor() for line in panels[0].lines if line.get_marker() == "o"]
    assert [fill == "white" for fill in fills] == [True, False, False]


def test_the_table_tells_effects_as_a_reader_sees_them():
    effects = [(2.0, 1.0, 3.0), (3.0, 2.0, 4.0), (6.0, 5.0, 7.0)]
    record = make_budgets(effects, paper_effect=20.0, reached=False)
    row = budgets_table({"one": record}).splitlines()[-1]
    assert "2.00 (1.00 to 3.00) ○ | 3.00 (2.00 to 4.00) | 6.00 (5.00 to 7.00)" in row
    assert "| 20.0 |" in row
    assert row.endswith("a quarter of the budget reaches nothing |")
