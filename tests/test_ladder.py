"""The ladder leads from the baseline to improved, one change at a time, and is read back from the arms on record."""

import dataclasses

import pytest

from clipnb import RECIPES
from clipnb.experiments import ladder


def fields(recipe):
    return {key: value for key, value in dataclasses.asdict(recipe).items() if key != "name"}


def test_the_ladder_leads_over_two_minutes_to_improved_and_no_step_is_empty():
    recipes = [recipe for _, recipe in ladder.ladder_recipes()]
    assert RECIPES["two_minutes"] in recipes and recipes[-1] == RECIPES["improved"], (
        "the same recipes, not copies under another name"
    )
    rungs = [fields(recipe) for recipe in recipes]
    assert all(below != above for below, above in zip(rungs, rungs[1:]))
    bottom = fields(RECIPES["baseline"])
    assert {key for key in bottom if rungs[0][key] != bottom[key]} <= {
        "image_size",
        "stored_size",
        "epochs",
    }
    assert (
        len({rung["epochs"] for rung in rungs[:-3]})
        == len({rung["batch_size"] for rung in rungs})
        == 1
    ), "as many images for all but the last three"


def arm(recipe, seed, value):
    return {
        "recipe": dataclasses.asdict(dataclasses.replace(recipe, name="other")),
        "seed": seed,
        "dev": {"mean_recall": value},
        "train_seconds": 60.0,
    }


def test_rungs_are_found_among_the_arms_by_what_they_are():
    (_, first), (_, second), *_ = ladder.ladder_recipes()
    old = arm(first, 0, 3.0)
    del old["recipe"]["ema"]  # written before there was such a field
    found = ladder.summarize_ladder([arm(second, 0, 9.0), old, arm(first, 1, 5.0)])
    assert "gain" not in found[0] and found[1]["gain"] == 5.0
    assert found[1]["margin"] == pytest.approx(
        2 * 2**0.5 * (1 + 1 / 2) ** 0.5
    )  # the first rung's spread is all the noise we know
    assert [(rung["what"], rung["mean"], rung["std"]) for rung in found] == [
        (ladder.STEPS[0][0], 4.0, pytest.approx(2**0.5)),
        (ladder.STEPS[1][0], 9.0, None),
    ]


def test_climbing_goes_on_where_it_stopped(monkeypatch):
    trained, recorded = [], [arm(recipe, 0, 1.0) for _, recipe in ladder.ladder_recipes()[:-1]]
    monkeypatch.setattr(ladder.records, "load_trials", lambda dataset: recorded)
    monkeypatch.setattr(ladder, "load_or_train", lambda recipe, seed: (recipe, seed))
    monkeypatch.setattr(ladder.records, "record_trial", trained.append)
    ladder.train_ladder(seeds=1)
    assert trained == [(ladder.ladder_recipes()[-1][1], 0)]
