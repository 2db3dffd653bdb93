"""The figures of the replication report, and what it computes from records."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from claim_parts import make_record

from clipnb.claims import CLAIMS, load_claims, method_figures, verdict_figures
from clipnb.claims import report_numbers as numbers
from clipnb.claims.first_sitting import load_first_sitting
from clipnb.claims.forest import COLOURS
from clipnb.claims.scale import full_budget_figures
from clipnb.claims.verdicts import DIRECTION, INCONCLUSIVE, OPPOSITE, SUPPORTED, VERDICTS


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def by_hand():
    """Three claims: one in both worlds, one that is doubtful, and one without a test."""
    far = make_record("far", "C2", 8.0, (7.0, 9.0))
    photos = make_record("photos", "C2", 6.0, (5.0, 7.0), dataset="flickr8k")
    doubtful = make_record("doubtful", "C4", 1.0, (-3.0, 5.0))
    return {"C2": [far, photos], "C4": [doubtful], "C15": []}


def read_texts(ax):
    return [text.get_text() for text in ax.texts]


# ---- figures ---------------------------------------------------------------------------------


def test_every_outcome_of_the_rule_is_drawn_with_its_verdict():
    texts = read_texts(verdict_figures.plot_rule())
    assert len(texts) == len(verdict_figures.EXAMPLES)
    assert texts[0].endswith(SUPPORTED) and texts[1].endswith(DIRECTION)
    assert texts[4].endswith(OPPOSITE) and texts[5].endswith(SUPPORTED)


def test_each_tested_claim_has_a_row_with_its_verdict(by_hand):
    ax = verdict_figures.plot_claims(by_hand)
    rows = [label.get_text().split()[0] for label in ax.get_yticklabels()]
    assert rows == ["C2", "C4"]
    assert [text[2:] for text in read_texts(ax)] == [SUPPORTED, INCONCLUSIVE]
    (point,) = [line for line in ax.lines if line.get_marker() == "D"][:1]
    assert point.get_xdata() == pytest.approx([3.5])  # the mean of 8 and 6 points, in margins of 2


def test_all_claims_on_record_are_drawn():
    groups = load_claims()
    ax = verdict_figures.plot_claims(groups)
    assert len(ax.get_yticklabels()) == sum(bool(own) for own in groups.values()) >= 31
    told = {text.removesuffix(" *") for text in read_texts(ax)}
    assert told <= {verdict_figures.format_verdict(verdict) for verdict in VERDICTS}


def test_a_claim_in_one_world_alone_is_not_compared(by_hand):
    ax = verdict_figures.plot_worlds(by_hand)
    assert [label.get_text().split()[0] for label in ax.get_yticklabels()] == ["C2"]
    drawn = {line.get_marker(): line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 1}
    assert drawn["o"] == pytest.approx([4]) and drawn["s"] == pytest.approx([3])


def test_larger_margins_weaken_a_verdict(by_hand):
    ax = verdict_figures.plot_margins(by_hand, factors=(1.0, 4.0))
    faces = [patch.get_facecolor()[:3] for patch in ax.patches]
    assert len(faces) == 4  # two claims, two margins
    assert faces[0] == plt.matplotlib.colors.to_rgb(COLOURS[SUPPORTED])
    assert faces[2] != faces[0]


def test_a_record_has_an_interval_for_each_number_of_seeds(by_hand):
    (record,) = by_hand["C4"]
    (ax,) = verdict_figures.plot_more_seeds([record])
    assert list(ax.get_xticks()) == [1, 2, 3, 4, 5]
    assert ax.get_title() == "C4 · doubtful"


def test_a_claim_moves_from_its_first_verdict_to_its_second():
    pairs = {"C2": ("replicated", SUPPORTED), "C9": ("replicated", INCONCLUSIVE)}
    ax = verdict_figures.plot_transitions(pairs)
    places = {text.get_text(): text.get_position() for text in ax.texts if text.get_text()}
    columns = list(VERDICTS)
    assert places["C2"] == (columns.index(SUPPORTED), 0)
    assert places["C9"] == (columns.index(INCONCLUSIVE), 0)
    assert numbers.list_fallen(pairs) == ["C9"]


def test_the_best_rate_of_each_condition_has_a_ring():
    (ax,) = method_figures.plot_tuning({"toy": {"a": {0.001: 3.0, 0.01: 5.0}}})
    ring = ax.lines[-1]
    assert (ring.get_xdata(), ring.get_ydata()) == ([0.01], [5.0])


def test_the_fastest_experiments_are_put_together():
    ax = method_figures.plot_times({"a": 60.0, "b": 300.0, "c": 60.0}, n=1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "the other 2 together"]
    assert [bar.get_width() for bar in ax.patches] == [5, 2]


def test_the_noise_is_sorted_by_its_share_of_seeds():
    ax = method_figures.plot_noise({"much": 90.0, "little": 10.0})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["little", "much"]


def test_simulated_cases_stand_together_by_their_kind():
    record = {"nominal": 0.95, "required": 0.93, "first sitting: t": 0.8}
    record["coverage"] = {
        "mean of 4 classes, 3 seeds": 0.94,
        "mean of 8 classes, 5 seeds": 0.95,
        "claim with experiments on a, b, 3 seeds": 0.96,
    }
    ax = method_figures.plot_coverage(record)
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows[:2] == ["mean of classes", "several experiments on a claim"]
    assert ax.lines[0].get_xdata() == pytest.approx([94, 95])


def test_the_baselines_three_ways_are_drawn():
    def make(recall, loss):
        own = {"n_pairs": 100, "chance_loss": 4.6, "loss": loss}
        return {
            "best epoch": own | {"metrics": {"mean_recall": recall}},
            "last epoch": own | {"metrics": {"mean_recall": recall - 1}},
        }

    official = {"baseline_full": [make(5, 3)], "baseline_full_images": [make(6, 2.9)]}
    record = {"official": official, "leaky": [make(20, 1), make(22, 1.1)]}
    ways = full_budget_figures.summarize_full_budget(record)
    label, _ = full_budget_figures.WAYS[full_budget_figures.LEAKY]
    assert ways[label]["best epoch"] == [20, 22]
    left, right = full_budget_figures.plot_full_budget(record)
    assert [tick.get_text() for tick in left.get_yticklabels()] == list(ways)
    assert right.lines[2].get_xdata() == pytest.approx([1, 1.1])


# ---- numbers ---------------------------------------------------------------------------------


def test_a_margin_is_rescaled_on_its_own_scale():
    assert numbers.rescale_margin(2.0, "linear", 0.5) == 1
    assert numbers.rescale_margin(4.0, "log", 0.5) == pytest.approx(2)
    assert numbers.rescale_margin(0.25, "log", 2.0) == pytest.approx(1 / 16)


def test_margins_as_they_are_change_nothing():
    from clipnb.claims.pooling import pool_claims

    groups = load_claims()
    assert numbers.rescale_margins(groups, 1.0) == pool_claims(groups)


def test_an_interval_grows_to_that_of_the_record():
    checked = 0
    for record in numbers.list_records(load_claims()):
        effect = record["effects"][record["effect"]]
        mean, low, high = numbers.grow_interval(effect)[-1]
        if effect["mean"] is None or None in effect["interval"]:
            continue
        assert [mean, low, high] == pytest.approx([effect["mean"], *effect["interval"]], rel=1e-3)
        checked += 1
    assert checked > 40


def test_the_variance_is_split_between_images_and_seeds():
    effect = make_record(values=[1.0, 2.0, 3.0])["effects"]["gain"]
    assert numbers.split_variance(effect) == pytest.approx((1.0, 1 / 3))
    by_class = effect | {"over": "units", "values": [[1.0, 3.0], [2.0, 4.0]], "image_spread": 0.0}
    assert numbers.split_variance(by_class) == pytest.approx((1.0, 0.25))
    assert numbers.split_variance(effect | {"values": [1.0]}) is None
    assert numbers.split_variance(effect | {"over": "median"}) is None


def test_the_newest_times_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="clipnb bench experiments"):
        numbers.load_times()
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "experiments-begun.json").write_text('{"small": {}}')
    for place, date in enumerate(("2026-01-02", "2026-01-03", "2026-01-01")):
        path = tmp_path / "bench" / f"experiments-{place}.json"
        path.write_text(json.dumps({"full": {"toy": place}, "date": date}))
    assert numbers.load_times()["full"] == {"toy": 1}


def test_every_record_names_its_protocol():
    records = numbers.list_records(load_claims())
    assert len(records) > 50
    assert all(numbers.has_its_protocol(record) for record in records)
    done, asked = numbers.count_seeds(records)
    assert done > 0 and asked >= 3 * len(records)


@pytest.mark.parametrize(
    "bounds, told",
    [
        (
            (20.0, 24.0),
            "its interval, 20.0 to 24.0, does not lie above 25: it is blind",
        ),
        ((22.0, 35.0), "its interval, 22.0 to 35.0, is not shown to lie above 25"),
        ((26.0, 35.0), None),
    ],
)
def test_a_gate_that_fails_is_told_from_one_that_is_not_shown_to_be_open(bounds, told, monkeypatch):
    record = make_record()
    record["effects"]["accuracy"] = {"interval": list(bounds)}
    gate = {"effect": "accuracy", "above": 25.0, "below": None, "why": "it is blind"}
    monkeypatch.setattr(numbers, "read_protocol", lambda record: {"gates": [gate]})
    closed = numbers.list_closed_gates(record)
    assert closed == ([("accuracy", told)] if told else [])


def test_a_gate_can_have_an_upper_bound(monkeypatch):
    record = make_record()
    gate = {"effect": "loss", "above": None, "below": 97.0, "why": "the tasks are solved"}
    monkeypatch.setattr(numbers, "read_protocol", lambda record: {"gates": [gate]})
    for interval, told in (
        ([98.0, 99.0], "its interval, 98.0 to 99.0, does not lie below 97: the tasks are solved"),
        ([96.0, None], "its interval, 96.0 to ∞, is not shown to lie below 97"),
    ):
        record["effects"]["loss"] = {"interval": interval}
        assert numbers.list_closed_gates(record) == [("loss", told)]


def test_closed_gates_of_records_are_those_of_their_verdicts():
    from clipnb.claims.so_far import judge_so_far

    for record in numbers.list_records(judge_so_far(load_claims())):
        assert bool(numbers.list_closed_gates(record)) == (record["verdict"] == "not reached here")


def test_a_bound_beyond_what_is_possible_is_found():
    record = make_record("reading", mean=99.9, interval=(99.8, 100.06), unit="percent")
    assert numbers.list_beyond([record]) == [
        ["`reading`", "gain", "99.8 to 100.06", "at most 100 percent"]
    ]
    assert numbers.list_beyond([make_record(interval=(90.0, 120.0), unit="times")]) == []


def test_seeds_are_counted_where_they_were_made():
    old = make_record(seeds=[0, 1, 2])
    gpu = {"gpu": "a GPU", "cores": 16}
    origins = [{"seeds": [0, 1], "machine": gpu}]
    new = make_record(seeds=[0, 1], origins=origins)
    fields = {"versions": {}, "commit": None}
    counted = numbers.count_places([old | fields, new | fields])
    assert counted == {
        "a GPU and 16 CPU cores": 2,
        "a machine that no record names": 2,
        "2 CPU cores": 1,
    }


def test_intervals_beyond_what_is_possible_are_listed():
    quantity = {"photos of a noun": {"interval": [1.0, 160.0]}}
    ((name, _, interval, why),) = numbers.list_impossible(
        {"few_shot_flickr8k": {"quantities": quantity}}
    )
    assert (name, interval) == ("`few_shot_flickr8k`", "1 to 160")
    assert why == "at most 128 photos were tried"


def test_the_verdicts_of_both_sittings_are_paired():
    pairs = numbers.pair_verdicts(load_claims(), load_first_sitting())
    assert pairs["C2"][0] == "replicated" and pairs["C17c"][0] == "partly"
    assert set(pairs) < set(CLAIMS) and "L1" not in pairs


def test_the_same_seeds_are_found_on_several_machines():
    found = numbers.list_same_seeds(load_claims(), load_first_sitting())
    assert [each.source for each in found] == ["runs on record", "first sitting", "second sitting"]
    assert all(set(each.recalls) == set(numbers.RECALLS) for each in found)
    axes = method_figures.plot_same_seeds(found)
    assert [ax.get_title() for ax in axes] == list(numbers.RECALLS)


def test_experiments_that_were_run_again_with_the_same_seeds_are_shown_beside_the_first_run():
    repeated = numbers.load_repeated(numbers.list_records(load_claims()))
    assert "zero_shot" in repeated
    assert "robustness" not in repeated  # its second version has another effect and other seeds
    assert "rivals" not in repeated  # its second version keeps other weights of the twins
    assert "limits_flickr8k" not in repeated  # other learning rates
    for first, again in repeated.values():
        assert first["protocol"] != again["protocol"]
        assert sorted(first["seeds"]) == sorted(again["seeds"])
    ax = method_figures.plot_repeated(repeated)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(repeated)
    heights = [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 1]
    assert heights[0] > heights[1] > heights[2]  # the first run above, and the rows go down


def test_tuning_is_loaded_by_rate():
    scores = numbers.load_tuning("rivals")
    assert all(len(own) == 5 for own in scores.values())
    assert all(isinstance(rate, float) for own in scores.values() for rate in own)
    assert np.isfinite([score for own in scores.values() for score in own.values()]).all()
