"""Training: it learns, it can be interrupted, and runs on disk are what they say they are."""

import dataclasses
import json
import math

import pytest
import torch

import clipnb.training
from clipnb import RECIPES, create_model, evaluate, load_or_train, load_run, run_folder, seed_everything, train
from clipnb.training import learning_rate_at, make_optimizer, train_step


def weights(run):
    return torch.cat([p.flatten() for p in run.model.state_dict().values() if p.is_floating_point()])


def test_starts_at_ln_n_and_overfits_eight_pairs(small):
    dataset = small("train").subset(range(8))
    recipe = dataclasses.replace(RECIPES["quick"], image_encoder="tiny_cnn", learning_rate=2e-3, vocab_size=300)
    seed_everything(0)
    tokenizer, model = clipnb.training.make_tokenizer(recipe, dataset.captions), create_model(recipe)
    images, tokens = torch.tensor(dataset.images), tokenizer([c[0] for c in dataset.captions])[None]
    optimizer = make_optimizer(model, recipe)
    losses = [train_step(model, optimizer, images, tokens, recipe).item() for _ in range(150)]
    assert losses[0] == pytest.approx(math.log(8), abs=0.5)
    image_features, text_features, _ = model.eval()(images, tokens[0])
    assert losses[-1] < 0.1 and (image_features @ text_features.T).argmax(1).tolist() == list(range(8))


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(small, recipe, tmp_path, monkeypatch):
    whole = train(recipe, 3, tmp_path / "whole", train_set=small("train", 40), dev_set=small("dev"))
    steps = 0

    def stop_in_the_second_epoch(*arguments):
        nonlocal steps
        steps += 1
        if steps == 5:  # three steps an epoch
            raise KeyboardInterrupt
        return train_step(*arguments)

    monkeypatch.setattr(clipnb.training, "train_step", stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, 3, tmp_path / "broken", train_set=small("train", 40), dev_set=small("dev"))
    monkeypatch.setattr(clipnb.training, "train_step", train_step)
    with pytest.raises(FileNotFoundError, match="unfinished.*--resume"):
        load_run(tmp_path / "broken")
    seed_everything(99)  # whatever happened in between must not matter
    resumed = train(recipe, 3, tmp_path / "broken", resume=True, train_set=small("train", 40), dev_set=small("dev"))
    assert torch.equal(weights(whole), weights(resumed))
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in resumed.history]


def test_other_seeds_give_other_runs(small, recipe, tmp_path):
    short = dataclasses.replace(recipe, epochs=1)
    runs = [train(short, seed, tmp_path / str(seed), train_set=small("train", 40), dev_set=small("dev")) for seed in (0, 1)]
    assert not torch.equal(weights(runs[0]), weights(runs[1]))


def test_a_run_on_disk(small, recipe):
    recipe = dataclasses.replace(recipe, epochs=2)
    run = load_or_train(recipe, seed=5)
    assert {p.name for p in run.folder.iterdir()} == {"model.safetensors", "recipe.json", "history.csv", "metrics.json", "state.pt", "tokenizer.json"}
    again = load_or_train(recipe, seed=5)
    assert torch.equal(weights(run), weights(again)) and again.history == run.history and again.recipe == recipe
    assert again.metrics["dev"] == evaluate(again.model, again.tokenizer, small("dev")), "the weights kept are those the metrics speak of"
    assert again.metrics["images_seen"] == 2 * 48 and 1 <= again.metrics["best_epoch"] <= 2


def test_another_recipe_is_refused_and_both_are_named(small, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, epochs=1)
    run = train(recipe, 0, tmp_path / "run", train_set=small("train", 40), dev_set=small("dev"))
    other = dataclasses.replace(recipe, name="other", epochs=7)
    for attempt in (lambda: train(other, 0, run.folder, resume=True), lambda: load_run(run.folder, other)):
        with pytest.raises(ValueError, match=r"'tiny', not 'other'.*epochs: 1 there, 7 asked for"):
            attempt()
    assert json.loads((run.folder / "recipe.json").read_text())["recipe"]["name"] == "tiny"


def test_run_folder_changes_with_every_field_and_the_seed():
    recipe = RECIPES["quick"]
    folders = {run_folder(recipe, 0), run_folder(recipe, 1), run_folder(dataclasses.replace(recipe, weight_decay=0.06), 0)}
    assert len(folders) == 3


def test_no_run_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m clipnb train"):
        load_run(tmp_path / "nothing")


def test_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate_at(step, 100, RECIPES["baseline"]) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == pytest.approx(1e-3) and rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 1e-6 and rates[10:] == sorted(rates[10:], reverse=True)
