"""Every kind of interval holds the truth as often as it promises; and this check can fail."""

import numpy as np
import pytest

from clipnb.claims import coverage
from clipnb.claims.effects import estimate_effect
from clipnb.claims.experiment import RECORDS
from clipnb.records import read_json
from clipnb.runtime import results_dir

REPETITIONS = 200
SLOW = {"crossing": 25}  # the bootstrap takes its time
CASES = coverage.list_cases()


def allow_for_chance(required, n_repetitions):
    """Return the lowest share that a coverage of `required` still gives, three errors below."""
    return required - 3 * np.sqrt(required * (1 - required) / n_repetitions)


@pytest.mark.parametrize("name", CASES)
def test_an_interval_holds_the_truth_as_often_as_it_says(name):
    n = SLOW.get(name.split()[0], REPETITIONS)
    held = coverage.estimate_coverage(CASES[name], n, seed=1)
    assert held >= allow_for_chance(coverage.REQUIRED, n)


def test_this_check_can_fail():
    held = coverage.estimate_coverage(coverage.simulate_first_sitting, 1000)
    assert held < allow_for_chance(coverage.REQUIRED, 1000)


def test_the_bootstrap_of_a_mean_is_the_formula_that_the_simulation_uses():
    rng = np.random.default_rng(0)
    scores = coverage.draw_scores(rng, 3, 400, np.array([0.6, 0.4]), 0.1)
    runs = [({"a": own[0], "b": own[1]}, {}) for own in scores]

    def compute(outcomes):
        return 100 * (outcomes["a"].mean() - outcomes["b"].mean())

    effect = coverage.Effect(compute=compute, unit="points")
    differences = 100 * (scores[:, 0].astype(float) - scores[:, 1])
    by_formula = differences.mean(axis=0).std() / np.sqrt(400)
    spread = estimate_effect(effect, runs, 2000)["image_spread"]
    assert spread == pytest.approx(by_formula, rel=0.06)


def test_the_truths_of_the_simulations_are_their_means():
    rng = np.random.default_rng(0)
    scores = coverage.draw_scores(rng, 200, 4000, np.array([0.5]), 0.2)
    assert scores.mean() == pytest.approx(coverage.find_share(0.5, 0.2), abs=0.01)
    curve = np.log(coverage.SHOTS) / 10
    assert coverage.find_crossing(curve, np.log(8) / 10) == pytest.approx(8)


def test_no_record_has_fewer_seeds_than_the_simulations():
    counts = {name: len(record["seeds"]) for name, record in list_records().items()}
    assert {name: n for name, n in counts.items() if n < coverage.SEEDS} == {}


def list_records():
    return {path.stem: read_json(path) for path in (results_dir() / RECORDS).glob("*.json")}


def test_the_record_shows_at_least_what_is_required():
    path = results_dir() / "coverage.json"
    if not path.exists():
        pytest.skip("results/coverage.json is not there: run `clipnb experiment coverage`")
    record = read_json(path)
    assert set(record["coverage"]) == set(coverage.list_cases())
    assert min(record["coverage"].values()) >= record["required"] == coverage.REQUIRED
    assert record["first sitting: Student's t on crossings that are cut off"] < record["required"]
