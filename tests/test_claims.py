"""Claims on trial: intervals worked out by hand, seeds measured once, records, cards and tables."""

import dataclasses
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from clipnb.experiments import (
    EXPERIMENTS,
    find_experiment,
    load_claim,
    load_claims,
    record_experiment,
    run_experiment,
    verdicts,
)
from clipnb.experiments.experiment import Experiment
from clipnb.experiments.intervals import (
    estimate_quantity,
    minimum_detectable_difference,
    summarize_condition,
    summarize_seeds,
)
from clipnb.experiments.quantities import accuracy, difference

MEASURED_SEEDS = []


def measure_toy(seed, n_images, level):
    """Measure a model that is right in the first `level` images, and in one more for each seed."""
    MEASURED_SEEDS.append(seed)
    images = np.arange(n_images)
    outcomes = {
        "a": images < level + seed,
        "b": images < level - 10,
        "_raw": np.zeros((n_images, 3)),
        "label": np.zeros(n_images, int),
    }
    return outcomes, {"scale": [1.0, 2.0]}


def judge_toy(quantities):
    if quantities["gain"]["interval"][0] > 0:
        return "replicated", "so it is."
    return "contradicted", "so it is."


TOY = Experiment(
    name="toy",
    claim="C2",
    title="A toy",
    where="Fig 0",
    paper={"accuracy": 76.2},
    dataset="scenes",
    measure=measure_toy,
    quantities={
        "gain": difference("a", "b"),
        "scale": lambda outcomes: outcomes["scale"][1],
    },
    unit="points",
    rule="replicated: the interval lies above 0",
    judge=judge_toy,
    notebook="06_zero_shot_and_prompts",
    small={"n_images": 40, "level": 20},
    full={"n_images": 100, "level": 50},
)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Put the toy among the experiments, with cache and results in a temporary folder."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setitem(EXPERIMENTS, "toy", TOY)
    MEASURED_SEEDS.clear()
    return TOY


# ---- intervals -------------------------------------------------------------------------------


def test_seeds_alone_give_students_interval():
    values = [3.0, 4.5, 3.9]
    summary = summarize_seeds(values, 0.0)
    expected = stats.t.interval(0.95, df=2, loc=np.mean(values), scale=stats.sem(values))
    assert summary["interval"] == pytest.approx(expected)
    assert summary["std"] == pytest.approx(np.std(values, ddof=1))


def test_images_alone_give_the_normal_interval():
    expected = stats.norm.interval(0.95, loc=2.0, scale=0.5)
    assert summarize_seeds([2.0, 2.0, 2.0], 0.25)["interval"] == pytest.approx(expected)
    one_seed = summarize_seeds([2.0], 0.25)
    assert one_seed["interval"] == pytest.approx(expected)
    assert one_seed["std"] is None


def test_an_interval_holds_both_sources_of_noise():
    values = [3.0, 4.5, 3.9]
    seed_variance = np.var(values, ddof=1) / 3
    for image_variance in (0.0, 0.2, 1.0):
        total = seed_variance + image_variance
        degrees = total**2 * 2 / seed_variance**2
        low, high = summarize_seeds(values, image_variance)["interval"]
        expected = stats.t.ppf(0.975, degrees) * np.sqrt(total)
        assert (high - low) / 2 == pytest.approx(expected)


def test_much_noise_of_the_images_makes_an_interval_wider():
    # A little noise makes it narrower: it also brings more degrees of freedom.
    widths = []
    for image_variance in (0.0, 0.2, 1.0):
        low, high = summarize_seeds([3.0, 4.5, 3.9], image_variance)["interval"]
        widths.append(high - low)
    assert widths[1] < widths[0] < widths[2]


def test_bootstrap_redraws_images_and_agrees_with_the_formula_for_a_mean():
    rng = np.random.default_rng(1)
    by_seed = [rng.random(400) < 0.7 for _ in range(3)]
    runs = [({"right": right}, {}) for right in by_seed]
    by_bootstrap = estimate_quantity(accuracy("right"), runs)
    by_formula = summarize_condition(by_seed)
    assert by_bootstrap["values"] == by_formula["values"]
    assert by_bootstrap["interval"] == pytest.approx(by_formula["interval"], abs=0.3)
    low, high = by_bootstrap["images_interval"]
    assert low < by_bootstrap["mean"] < high


def test_conditions_compared_on_the_same_images_are_paired():
    right = np.random.default_rng(2).random(500) < 0.5
    sometimes_worse = right & (np.arange(500) >= 25)  # errs where `right` errs, and some more
    outcomes = {"a": right, "b": sometimes_worse}
    gain = estimate_quantity(difference("a", "b"), [(outcomes, {})])
    alone = summarize_condition([right])
    assert gain["images_interval"][0] > 0
    assert np.diff(gain["interval"]) < np.diff(alone["interval"]) / 2


def test_curves_are_conditions_too():
    curves = np.array([[0, 1], [0, 1], [1, 1]], dtype=float)  # three images, two points each
    summary = summarize_condition([curves])
    assert summary["values"] == [[pytest.approx(100 / 3), 100.0]]
    assert np.shape(summary["interval"]) == (2, 2)


def test_the_detectable_difference_is_that_of_two_proportions():
    # The quantiles 1.96 and 0.84 make 2.8 standard errors, here in points.
    found = minimum_detectable_difference(1000, accuracy=0.5, seed_std=0)
    assert found == pytest.approx(280.16 * np.sqrt(2 * 0.25 / 1000), rel=1e-3)


def test_more_images_and_more_seeds_detect_smaller_differences():
    half = minimum_detectable_difference(1000, seed_std=0) / 2
    assert minimum_detectable_difference(4000, seed_std=0) == pytest.approx(half)
    one_seed = minimum_detectable_difference(1000, seeds=1)
    assert minimum_detectable_difference(1000, seeds=3) < one_seed


# ---- runs and records ------------------------------------------------------------------------


def test_a_run_gives_the_record(toy):
    record = run_experiment("toy", range(3))
    assert (record["values"], record["mean"], record["std"]) == ([10.0, 11.0, 12.0], 11.0, 1.0)
    assert record["interval"][0] < 11 < record["interval"][1]
    assert (record["verdict"], record["because"]) == ("replicated", "so it is.")
    assert set(record["conditions"]) == {"a", "b"}
    assert record["conditions"]["a"]["values"] == [50.0, 51.0, 52.0]
    assert record["numbers"] == {"scale": [[1.0, 2.0]] * 3}
    assert (record["n_images"], record["settings"], record["small"]) == (100, toy.full, False)
    assert run_experiment("toy", small=True)["settings"] == toy.small
    json.dumps(record, allow_nan=False)


def test_a_seed_is_measured_once_and_an_interrupted_run_goes_on(toy, monkeypatch):
    def interrupted(seed, **settings):
        if seed == 2:
            raise KeyboardInterrupt
        return measure_toy(seed, **settings)

    monkeypatch.setattr(interrupted, "__module__", measure_toy.__module__)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(dataclasses.replace(toy, measure=interrupted), range(3))
    assert MEASURED_SEEDS == [0, 1]
    run_experiment(toy, range(3))
    assert MEASURED_SEEDS == [0, 1, 2]
    run_experiment(toy, range(3))
    assert MEASURED_SEEDS == [0, 1, 2]
    # Other settings are another measurement.
    run_experiment(dataclasses.replace(toy, full={"n_images": 100, "level": 40}), range(1))
    assert MEASURED_SEEDS == [0, 1, 2, 0]


def test_recording_writes_the_file_that_load_claim_reads(toy, capsys):
    assert load_claim("toy") is None
    told = capsys.readouterr().out
    assert "not on record" in told
    assert "python -m clipnb experiment toy --seeds 3" in told
    assert verdicts.render_card("toy").startswith("*No full run")
    record_experiment("toy", 3)
    assert load_claim("toy")["mean"] == 11.0
    assert [record["experiment"] for record in load_claims()] == ["toy"]


def test_without_records_load_claims_says_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match="in the repository of clipnb, in results/"):
        load_claims()


def test_conditions_of_different_length_are_refused(toy):
    def measure_unequal(seed, **settings):
        return {"a": np.ones(3), "b": np.ones(4)}, {}

    with pytest.raises(ValueError, match="a row for each test image.*'a': 3, 'b': 4"):
        run_experiment(dataclasses.replace(toy, measure=measure_unequal))


def test_a_verdict_is_one_of_four(toy):
    def judge_fine(quantities):
        return "fine", ""

    four = "replicated, partly, not at this scale, contradicted, not 'fine'"
    with pytest.raises(ValueError, match=four):
        run_experiment(dataclasses.replace(toy, judge=judge_fine), small=True)


@pytest.mark.parametrize("function", [find_experiment, load_claim, run_experiment])
def test_an_unknown_experiment_gets_the_list_of_names(function):
    with pytest.raises(ValueError, match="no experiment 'zeroshot'; there are zero_shot"):
        function("zeroshot")


# ---- how they are shown ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "combined"),
    [
        (["replicated", "replicated"], "replicated"),
        (["replicated", "contradicted"], "partly"),
        (["partly", "partly"], "partly"),
        (["not at this scale", "contradicted"], "contradicted"),
        (["not at this scale", "replicated", "contradicted"], "partly"),
        (["not at this scale"], "not at this scale"),
    ],
)
def test_a_claim_with_several_experiments_has_one_verdict(own, combined):
    assert verdicts.combine_verdicts(own) == combined


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (76.2, "76.2"),
        (81.0, "81.0"),
        (1234.5, "1,234"),
        (-0.4, "−0.40"),
        (0.0123, "0.012"),
        (-0.0001, "0.00"),
        (3, "3"),
        (32768, "32,768"),
        ("none", "none"),
    ],
)
def test_numbers_read_as_people_write_them(value, text):
    assert verdicts.format_number(value) == text


def test_a_card_tells_what_the_record_holds(toy):
    record_experiment("toy", 3)
    card = verdicts.render_card("toy")
    assert "C2 · A toy" in card
    assert "accuracy 76.2" in card
    assert "| **gain** | 11.0 (" in card
    assert "10.0, 11.0, 12.0" in card
    assert "Settled before the run: replicated: the interval lies above 0." in card
    assert "✔ replicated" in card
    assert "So it is." in card
    assert "results/claims/toy.json" in card
    assert "experiment toy --seeds 3" in card


def test_a_card_says_that_a_rule_was_settled_after_a_first_look(toy, monkeypatch):
    late = dataclasses.replace(toy, rule_settled="after a first look")
    monkeypatch.setitem(EXPERIMENTS, "toy", late)
    record_experiment("toy", 3)
    card = verdicts.render_card("toy")
    assert "Settled after a first look: replicated: the interval" in card
    assert "before the run" not in card


def test_tables_tell_what_the_record_holds(toy):
    record_experiment("toy", 3)
    table = verdicts.claims_table().splitlines()
    assert len(table) == 2 + 17  # every claim has a row, tested or not
    assert "no record" in table[2]
    assert "gain 11.0 (" in table[3]
    assert "[06](../notebooks/06_zero_shot_and_prompts.ipynb)" in table[3]
    assert "not tested" in table[16]
    assert len(verdicts.experiments_table().splitlines()) == 3


def test_the_plot_shows_small_and_full_runs(toy):
    small, full = run_experiment("toy", small=True), run_experiment("toy", range(3))
    conditions = [("first", "a"), ("second", "b")]
    for records, n_runs in (((small, full), 2), ((small, None), 1)):
        ax = verdicts.plot_conditions(conditions, *records, chance=25)
        assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
        assert len(ax.containers) == n_runs
        plt.close(ax.figure)


# ---- what is on record -----------------------------------------------------------------------

RECORDS = load_claims()


def name_record(record):
    return record["experiment"]


@pytest.mark.parametrize("record", RECORDS, ids=name_record)
def test_a_record_follows_from_its_experiment(record):
    experiment = EXPERIMENTS[record["experiment"]]
    assert record["claim"] in verdicts.CLAIMS
    assert not record["small"]
    assert len(record["seeds"]) >= 3
    assert record["settings"] == experiment.full, "run the experiment again"
    assert list(record["quantities"]) == list(experiment.quantities)
    assert record["rule"] == experiment.rule
    assert record["rule_settled"] == experiment.rule_settled
    judged = tuple(experiment.judge(record["quantities"]))
    told = (record["verdict"], record["because"])
    assert told == judged, "the judge changed: run the experiment again"
    assert record["interval"][0] <= record["mean"] <= record["interval"][1]


def test_four_rules_were_settled_after_a_first_look_and_their_cards_say_so():
    late = [each["experiment"] for each in RECORDS if each["rule_settled"] != "before"]
    assert sorted(late) == ["clamp", "data_source", "limits", "overlap"]
    for name in late:
        assert "Settled after a first look: " in verdicts.render_card(name)
