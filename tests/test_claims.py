"""Claims on trial: intervals that can be worked out by hand, seeds that are measured once, records that say what they should."""

import dataclasses
import json

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

CALLS = []


def measure(seed, n_images, level):
    """A model that is right in the first `level` of its images, and a little more with every seed."""
    CALLS.append(seed)
    return {
        "a": np.arange(n_images) < level + seed,
        "b": np.arange(n_images) < level - 10,
        "_raw": np.zeros((n_images, 3)),
        "label": np.zeros(n_images, int),
    }, {"scale": [1.0, 2.0]}


TOY = Experiment(
    name="toy",
    claim="C2",
    title="A toy",
    where="Fig 0",
    paper={"accuracy": 76.2},
    dataset="scenes",
    measure=measure,
    quantities={
        "gain": lambda o: 100 * (np.mean(o["a"]) - np.mean(o["b"])),
        "scale": lambda o: o["scale"][1],
    },
    unit="points",
    rule="replicated: the interval lies above 0",
    judge=lambda found: (
        "replicated" if found["gain"]["interval"][0] > 0 else "contradicted",
        "so it is.",
    ),
    notebook="06_zero_shot_and_prompts",
    small={"n_images": 40, "level": 20},
    full={"n_images": 100, "level": 50},
)


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """The toy among the experiments; cache and results in temporary folders."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setitem(EXPERIMENTS, "toy", TOY)
    CALLS.clear()
    return tmp_path


def test_seeds_alone_give_students_interval():
    values = [3.0, 4.5, 3.9]
    found = summarize_seeds(values, 0.0)
    assert found["interval"] == pytest.approx(
        stats.t.interval(0.95, df=2, loc=np.mean(values), scale=stats.sem(values))
    )
    assert found["std"] == pytest.approx(np.std(values, ddof=1))


def test_images_alone_give_the_normal_interval():
    assert summarize_seeds([2.0, 2.0, 2.0], 0.25)["interval"] == pytest.approx(
        stats.norm.interval(0.95, loc=2.0, scale=0.5)
    )
    assert summarize_seeds([2.0], 0.25)["interval"] == pytest.approx(
        stats.norm.interval(0.95, loc=2.0, scale=0.5)
    )
    assert summarize_seeds([2.0], 0.25)["std"] is None


def test_both_sources_of_noise_make_the_interval_wider():
    values, widths = [3.0, 4.5, 3.9], []
    for variance in (0.0, 0.2, 1.0):
        low, high = summarize_seeds(values, variance)["interval"]
        degrees = (
            (np.var(values, ddof=1) / 3 + variance) ** 2 * 2 / (np.var(values, ddof=1) / 3) ** 2
        )
        assert (high - low) / 2 == pytest.approx(
            stats.t.ppf(0.975, degrees) * np.sqrt(np.var(values, ddof=1) / 3 + variance)
        )
        widths.append(high - low)
    assert widths[1] < widths[0] < widths[2] or widths == sorted(
        widths
    )  # more images' noise also means more degrees of freedom


def test_bootstrap_redraws_images_and_agrees_with_the_formula_for_a_mean():
    rng = np.random.default_rng(1)
    outcomes = [{"right": rng.random(400) < 0.7} for _ in range(3)]
    by_bootstrap = estimate_quantity(
        lambda o: 100 * np.mean(o["right"]), [(o, {}) for o in outcomes]
    )
    by_formula = summarize_condition([o["right"] for o in outcomes])
    assert by_bootstrap["values"] == by_formula["values"]
    assert by_bootstrap["interval"] == pytest.approx(by_formula["interval"], abs=0.3)
    low, high = by_bootstrap["images_interval"]
    assert low < by_bootstrap["mean"] < high


def test_arms_compared_on_the_same_images_are_paired():
    right = np.random.default_rng(2).random(500) < 0.5
    always_better = {
        "a": right,
        "b": right & (np.arange(500) >= 25),
    }  # b errs where a errs, and on some more
    found = estimate_quantity(
        lambda o: 100 * (np.mean(o["a"]) - np.mean(o["b"])), [(always_better, {})]
    )
    assert found["images_interval"][0] > 0
    alone = summarize_condition([always_better["a"]])["interval"]
    assert found["interval"][1] - found["interval"][0] < (alone[1] - alone[0]) / 2


def test_curves_are_arms_too():
    found = summarize_condition([np.array([[0, 1], [0, 1], [1, 1]], dtype=float)])
    assert found["values"] == [[pytest.approx(100 / 3), 100.0]] and np.shape(found["interval"]) == (
        2,
        2,
    )


def test_detectable_difference():
    # 1.96 + 0.84 standard errors of a difference of two proportions; four times the images, half the difference
    assert minimum_detectable_difference(1000, accuracy=0.5, seed_std=0) == pytest.approx(
        280.16 * np.sqrt(2 * 0.25 / 1000), rel=1e-3
    )
    assert minimum_detectable_difference(4000, seed_std=0) == pytest.approx(
        minimum_detectable_difference(1000, seed_std=0) / 2
    )
    assert minimum_detectable_difference(1000, seeds=3) < minimum_detectable_difference(
        1000, seeds=1
    )


def test_a_run_gives_the_record(trial):
    record = run_experiment("toy", range(3))
    assert (
        record["values"] == [10.0, 11.0, 12.0] and record["mean"] == 11.0 and record["std"] == 1.0
    )
    assert record["interval"][0] < 11 < record["interval"][1]
    assert (record["verdict"], record["because"]) == ("replicated", "so it is.")
    assert set(record["conditions"]) == {"a", "b"} and record["conditions"]["a"]["values"] == [
        50.0,
        51.0,
        52.0,
    ]
    assert record["numbers"] == {"scale": [[1.0, 2.0]] * 3}
    assert (record["n_images"], record["settings"], record["small"]) == (100, TOY.full, False)
    assert run_experiment("toy", small=True)["settings"] == TOY.small
    json.dumps(record, allow_nan=False)


def test_a_seed_is_measured_once_and_an_interrupted_run_goes_on(trial, monkeypatch):
    def interrupted(seed, **settings):
        if seed == 2:
            raise KeyboardInterrupt
        return measure(seed, **settings)

    monkeypatch.setattr(interrupted, "__module__", measure.__module__)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(dataclasses.replace(TOY, measure=interrupted), range(3))
    assert CALLS == [0, 1]
    run_experiment(TOY, range(3))
    assert CALLS == [0, 1, 2]
    run_experiment(TOY, range(3))
    assert CALLS == [0, 1, 2]
    run_experiment(dataclasses.replace(TOY, full={"n_images": 100, "level": 40}), range(1))
    assert CALLS == [0, 1, 2, 0]  # other settings, another measurement


def test_recording_writes_the_file_that_load_claim_reads(trial, capsys):
    assert load_claim("toy") is None
    told = capsys.readouterr().out
    assert "python -m clipnb experiment toy --seeds 3" in told and "not on record" in told
    assert verdicts.render_card("toy").startswith("*No full run")
    record_experiment("toy", 3)
    assert load_claim("toy")["mean"] == 11.0
    assert [record["experiment"] for record in load_claims()] == ["toy"]


def test_arms_of_different_length_are_refused(trial):
    crooked = dataclasses.replace(
        TOY, measure=lambda seed, **settings: ({"a": np.ones(3), "b": np.ones(4)}, {})
    )
    with pytest.raises(ValueError, match="a row for each test image.*'a': 3, 'b': 4"):
        run_experiment(crooked)


def test_a_verdict_is_one_of_four(trial):
    with pytest.raises(
        ValueError, match="replicated, partly, not at this scale, contradicted, not 'fine'"
    ):
        run_experiment(dataclasses.replace(TOY, judge=lambda found: ("fine", "")), small=True)


def test_an_unknown_experiment_gets_the_list_of_names():
    for ask in find_experiment, load_claim, run_experiment:
        with pytest.raises(ValueError, match="no experiment 'zeroshot'; there are zero_shot"):
            ask("zeroshot")


# ---- how they are shown ------------------------------------------------------------------------------------------------


def test_a_claim_with_several_experiments_has_one_verdict():
    assert verdicts.combine_verdicts(["replicated", "replicated"]) == "replicated"
    assert verdicts.combine_verdicts(["replicated", "contradicted"]) == "partly"
    assert verdicts.combine_verdicts(["partly", "partly"]) == "partly"
    assert (
        verdicts.combine_verdicts(["not at this scale", "contradicted"]) == "contradicted"
    )  # one that could see nothing has no vote
    assert (
        verdicts.combine_verdicts(["not at this scale", "replicated", "contradicted"]) == "partly"
    )
    assert verdicts.combine_verdicts(["not at this scale"]) == "not at this scale"


def test_numbers_as_people_write_them():
    assert [verdicts.format_number(v) for v in (76.2, 81.0, 1234.5, -0.4, 0.0123, 3, "none")] == [
        "76.2",
        "81.0",
        "1,234",
        "−0.40",
        "0.012",
        "3",
        "none",
    ]


def test_card_and_tables_tell_what_the_record_holds(trial):
    record_experiment("toy", 3)
    card = verdicts.render_card("toy")
    for words in (
        "C2 · A toy",
        "accuracy 76.2",
        "| **gain** | 11.0 (",
        "10.0, 11.0, 12.0",
        "✔ replicated",
        "So it is.",
        "results/claims/toy.json",
        "experiment toy --seeds 3",
    ):
        assert words in card
    table = verdicts.claims_table().splitlines()
    assert len(table) == 2 + 17  # every claim has a row, tested or not
    assert (
        "gain 11.0 (" in table[3] and "[06](notebooks/06_zero_shot_and_prompts.ipynb)" in table[3]
    )
    assert "not tested" in table[16] and "no record" in table[2]
    assert len(verdicts.experiments_table().splitlines()) == 3


def test_plot_arms_draws_small_and_full(trial):
    import matplotlib.pyplot as plt

    small, full = run_experiment("toy", small=True), run_experiment("toy", range(3))
    for records in (small, full), (small, None):
        ax = verdicts.plot_conditions([("first", "a"), ("second", "b")], *records, chance=25)
        assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
        assert len(ax.containers) == 1 + (records[1] is not None)
        plt.close(ax.figure)


# ---- what is on record -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", load_claims(), ids=lambda record: record["experiment"])
def test_a_record_follows_from_its_experiment(record):
    experiment = EXPERIMENTS[record["experiment"]]
    assert record["claim"] in verdicts.CLAIMS
    assert (
        not record["small"] and len(record["seeds"]) >= 3 and record["settings"] == experiment.full
    ), "run the experiment again"
    assert (
        list(record["quantities"]) == list(experiment.quantities)
        and record["rule"] == experiment.rule
    )
    assert (record["verdict"], record["because"]) == tuple(
        experiment.judge(record["quantities"])
    ), "the judge changed: run the experiment again"
    assert record["interval"][0] <= record["mean"] <= record["interval"][1]
