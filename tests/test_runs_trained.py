"""Whole runs: the schedule, the epoch that is kept, and what is learned."""

import dataclasses
import json
import math

import pytest
import torch
from run_parts import flatten_weights, list_losses

import clipnb.epochs
import clipnb.loop
from clipnb import chance, evaluate, run_checks, runs
from clipnb.steps import learning_rate_at, train_step

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


def test_other_seeds_give_other_runs(train_small, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, epochs=1)
    first = train_small(recipe, tmp_path / "0", seed=0)
    second = train_small(recipe, tmp_path / "1", seed=1)
    assert not torch.equal(flatten_weights(first), flatten_weights(second))


def test_the_schedule_runs_over_all_epochs(train_small, recipe, tmp_path, monkeypatch):
    rates = []

    def remember_rate(model, optimizer, *rest):
        rates.append(optimizer.param_groups[0]["lr"])
        return train_step(model, optimizer, *rest)

    monkeypatch.setattr(clipnb.loop, "train_step", remember_rate)
    train_small(recipe, tmp_path / "run")
    assert rates == pytest.approx([learning_rate_at(step, 9, recipe) for step in range(9)])


def test_the_best_epoch_is_kept(train_small, recipe, tmp_path, monkeypatch):
    states = []
    recalls = iter([10.0, 30.0, 20.0])

    def evaluate_as_planned(model, tokenizer, dataset):
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return dict.fromkeys(chance(1), next(recalls))

    monkeypatch.setattr(clipnb.epochs, "evaluate", evaluate_as_planned)
    monkeypatch.setattr(runs, "FEW_DEV_IMAGES", 20)  # the 20 images of `small` are enough
    run = train_small(recipe, tmp_path / "run")
    assert run.metrics["best_epoch"] == 2
    assert run.metrics["dev"]["mean_recall"] == 30.0
    others = {"train_seconds", "images_seen", *run_checks.CHECKSUMS}
    assert set(run.metrics) == {"dev", "best_epoch"} | others
    assert not run.model.training
    best_state = states[1]
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor.cpu(), best_state[name].cpu())


def test_with_few_dev_images_the_last_epoch_is_kept_and_its_interval_told(
    train_small, small, recipe, tmp_path, monkeypatch
):
    evaluate_truly, recalls = clipnb.epochs.evaluate, iter([90.0, 60.0, 30.0])

    def evaluate_worse_each_time(model, tokenizer, dataset):
        return evaluate_truly(model, tokenizer, dataset) | {"mean_recall": next(recalls)}

    monkeypatch.setattr(clipnb.epochs, "evaluate", evaluate_worse_each_time)
    message = "small has only 20 dev images: .* the last weights are kept.* on dev is 30.0"
    with pytest.warns(UserWarning, match=message) as caught:
        run = train_small(recipe, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor.cpu(), state["model"][name].cpu())
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert stored == run.metrics
    assert stored["best_epoch"] == 3
    assert stored["n_dev"] == 20
    assert stored["warning"] == str(caught[0].message)
    truth = evaluate_truly(run.model, run.tokenizer, small("dev"))
    assert set(stored["dev_intervals"]) == set(truth)
    low, high = stored["dev_intervals"]["mean_recall"]
    assert low < truth["mean_recall"] < high
    assert f"from {low:.1f} to {high:.1f}" in stored["warning"]
    assert f"gives {chance(20)['mean_recall']:.1f}" in stored["warning"]


def test_the_average_is_evaluated_and_kept(train_small, small, recipe, tmp_path):
    last = train_small(recipe, tmp_path / "last")
    almost_last = train_small(dataclasses.replace(recipe, ema=1e-6), tmp_path / "almost_last")
    average = train_small(dataclasses.replace(recipe, ema=0.999), tmp_path / "average")
    assert list_losses(average) == list_losses(last), "the steps are the same"
    state = torch.load(tmp_path / "average" / "state.pt", weights_only=True)
    averaged = state["average"]["image_projection.weight"]
    stepped = state["model"]["image_projection.weight"]
    assert not torch.allclose(averaged, stepped, rtol=1e-2)
    if last.metrics["best_epoch"] == almost_last.metrics["best_epoch"]:
        # An average without memory is the model itself.
        assert torch.allclose(flatten_weights(last), flatten_weights(almost_last), atol=1e-4)
    assert average.metrics["dev"] == evaluate(average.model, average.tokenizer, small("dev"))


def test_the_bias_of_siglip_is_learned(train_small, recipe, tmp_path):
    run = train_small(dataclasses.replace(recipe, loss="siglip", epochs=1), tmp_path / "run")
    assert run.model.logit_bias.item() != pytest.approx(-math.log(15), abs=1e-4)
