"""The ladder leads from the baseline to improved, one change at a time, and is read from trials."""

import dataclasses

import pytest

from clipnb import RECIPES
from clipnb.experiments import ladder


def fields_without_name(recipe):
    fields = dataclasses.asdict(recipe)
    del fields["name"]
    return fields


def make_trial(recipe, seed, recall):
    return {
        "recipe": dataclasses.asdict(dataclasses.replace(recipe, name="other")),
        "seed": seed,
        "dev": {"mean_recall": recall},
        "train_seconds": 60.0,
    }


def test_the_ladder_leads_over_two_minutes_to_improved():
    recipes = [recipe for _, recipe in ladder.ladder_recipes()]
    # These are the same recipes, not copies under another name.
    assert RECIPES["two_minutes"] in recipes
    assert recipes[-1] == RECIPES["improved"]


def test_no_step_is_empty():
    rungs = [fields_without_name(recipe) for _, recipe in ladder.ladder_recipes()]
    for below, above in zip(rungs, rungs[1:], strict=False):
        assert below != above


def test_the_lowest_rung_is_the_baseline_but_for_size_and_epochs():
    baseline = fields_without_name(RECIPES["baseline"])
    lowest = fields_without_name(ladder.ladder_recipes()[0][1])
    changed = {field for field in baseline if lowest[field] != baseline[field]}
    assert changed <= {"image_size", "stored_size", "epochs"}


def test_all_rungs_but_the_last_three_see_the_same_number_of_images():
    recipes = [recipe for _, recipe in ladder.ladder_recipes()]
    assert len({recipe.epochs for recipe in recipes[:-3]}) == 1
    assert len({recipe.batch_size for recipe in recipes}) == 1


def test_rungs_are_found_among_the_trials_by_their_fields():
    (_, first), (_, second), *_ = ladder.ladder_recipes()
    old = make_trial(first, 0, 3.0)
    del old["recipe"]["ema"]  # written before there was such a field
    trials = [make_trial(second, 0, 9.0), old, make_trial(first, 1, 5.0)]
    lower, upper = ladder.summarize_ladder(trials)
    assert (lower["what"], lower["mean"]) == (ladder.STEPS[0].what, 4.0)
    assert (upper["what"], upper["mean"]) == (ladder.STEPS[1].what, 9.0)
    assert lower["std"] == pytest.approx(2**0.5)
    assert upper["std"] is None
    assert "gain" not in lower
    assert upper["gain"] == 5.0
    # The two seeds of the first rung are all that is known of the noise.
    assert upper["margin"] == pytest.approx(2 * 2**0.5 * (1 + 1 / 2) ** 0.5)


def test_training_goes_on_where_it_stopped(monkeypatch):
    *done, (_, last) = ladder.ladder_recipes()
    recorded = [make_trial(recipe, 0, 1.0) for _, recipe in done]
    trained = []
    monkeypatch.setattr(ladder.records, "load_trials", lambda dataset: recorded)
    monkeypatch.setattr(ladder, "load_or_train", lambda recipe, seed: (recipe, seed))
    monkeypatch.setattr(ladder.records, "record_trial", trained.append)
    ladder.train_ladder(seeds=1)
    assert trained == [(last, 0)]
