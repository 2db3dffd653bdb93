"""Whole runs: they can be interrupted, they keep the best epoch, and they are read with care."""

import contextlib
import dataclasses
import itertools
import json
import math

import pytest
import safetensors.torch
import torch

import clipnb.training
from clipnb import (
    RECIPES,
    chance,
    evaluate,
    load_or_train,
    load_run,
    run_folder,
    runs,
    seed_everything,
    train,
)
from clipnb.training import learning_rate_at, train_step

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


@pytest.fixture
def train_small(small):
    """A function that trains a recipe on `small`, three steps an epoch, and returns the run."""

    def train_on_small(recipe, folder, seed=0, **options):
        datasets = {"train_set": small("train", 40), "dev_set": small("dev")}
        return train(recipe, seed, folder, **(datasets | options))

    return train_on_small


@pytest.fixture
def short_run(train_small, recipe, tmp_path):
    """A finished run of one epoch."""
    return train_small(dataclasses.replace(recipe, epochs=1), tmp_path / "short")


@contextlib.contextmanager
def interrupt_at_step(number):
    """Interrupt training as Ctrl-C does, when it takes its step of that number in the block."""
    numbers = itertools.count(1)

    def step_or_stop(*arguments):
        if next(numbers) == number:
            raise KeyboardInterrupt
        return train_step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clipnb.training, "train_step", step_or_stop)
        with pytest.raises(KeyboardInterrupt):
            yield


def flatten_weights(run):
    tensors = run.model.state_dict().values()
    return torch.cat([tensor.flatten() for tensor in tensors if tensor.is_floating_point()])


def list_losses(run):
    return [row["loss"] for row in run.history]


# ---- training --------------------------------------------------------------------------------


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

    monkeypatch.setattr(clipnb.training, "train_step", remember_rate)
    train_small(recipe, tmp_path / "run")
    assert rates == pytest.approx([learning_rate_at(step, 9, recipe) for step in range(9)])


def test_the_best_epoch_is_kept(train_small, recipe, tmp_path, monkeypatch):
    states = []
    recalls = iter([10.0, 30.0, 20.0])

    def evaluate_as_planned(model, tokenizer, dataset):
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"mean_recall": next(recalls)}

    monkeypatch.setattr(clipnb.training, "evaluate", evaluate_as_planned)
    monkeypatch.setattr(runs, "FEW_DEV_IMAGES", 20)  # the 20 images of `small` are enough
    run = train_small(recipe, tmp_path / "run")
    assert run.metrics["best_epoch"] == 2
    assert run.metrics["dev"] == {"mean_recall": 30.0}
    assert set(run.metrics) == {"dev", "best_epoch", "train_seconds", "images_seen"}
    assert not run.model.training
    best_state = states[1]
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor.cpu(), best_state[name].cpu())


def test_with_few_dev_images_the_last_epoch_is_kept_and_its_interval_told(
    train_small, small, recipe, tmp_path, monkeypatch
):
    evaluate_truly, recalls = clipnb.training.evaluate, iter([90.0, 60.0, 30.0])

    def evaluate_worse_each_time(model, tokenizer, dataset):
        return evaluate_truly(model, tokenizer, dataset) | {"mean_recall": next(recalls)}

    monkeypatch.setattr(clipnb.training, "evaluate", evaluate_worse_each_time)
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


# ---- interruptions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "muon", "ema": 0.5, "text_loss": 1.0, "captions_per_image": 2}],
    ids=["plain", "muon and an average"],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    train_small, recipe, tmp_path, changes
):
    recipe = dataclasses.replace(recipe, **changes)
    whole = train_small(recipe, tmp_path / "whole", seed=3)
    with interrupt_at_step(5):  # in the second epoch
        train_small(recipe, tmp_path / "broken", seed=3)
    with pytest.raises(FileNotFoundError, match=r"unfinished.*resume=True"):
        load_run(tmp_path / "broken")
    seed_everything(99)  # whatever happened in between must not matter
    resumed = train_small(recipe, tmp_path / "broken", seed=3, resume=True)
    assert torch.equal(flatten_weights(whole), flatten_weights(resumed))
    assert list_losses(whole) == list_losses(resumed)


def test_a_run_that_is_begun_anew_forgets_the_old_one(train_small, small, recipe, tmp_path):
    """A run is finished, begun anew with other captions, and stopped at once.

    Then resuming must not find the old state, and `load_run` must not find the old weights.
    """
    recipe = dataclasses.replace(recipe, epochs=1)
    train_small(recipe, tmp_path / "run")
    other_captions = [[f"number {i}"] * 5 for i in range(48)]
    other = dataclasses.replace(small("train", 40), captions=other_captions)
    with interrupt_at_step(1):
        train_small(recipe, tmp_path / "run", train_set=other)
    with pytest.raises(FileNotFoundError, match="unfinished"):
        load_run(tmp_path / "run")
    resumed = train_small(recipe, tmp_path / "run", train_set=other, resume=True)
    fresh = train_small(recipe, tmp_path / "fresh", train_set=other)
    assert torch.equal(flatten_weights(resumed), flatten_weights(fresh))
    assert resumed.tokenizer.encode("number") == fresh.tokenizer.encode("number")


# ---- starting from another run ---------------------------------------------------------------


def test_a_run_starts_from_the_weights_and_the_words_of_another(
    train_small, small, recipe, short_run, tmp_path
):
    still = dataclasses.replace(recipe, epochs=1, learning_rate=0.0)
    other_captions = [[f"number {i}"] * 5 for i in range(48)]
    other = dataclasses.replace(small("train", 40), captions=other_captions)
    run = train_small(still, tmp_path / "still", seed=7, init=short_run.folder, train_set=other)
    assert torch.equal(flatten_weights(run), flatten_weights(short_run)), "nothing was learned"
    assert run.tokenizer.encode("a red dog") == short_run.tokenizer.encode("a red dog")


def test_a_run_that_started_from_another_has_a_folder_and_a_name_of_its_own(
    train_small, recipe, short_run, tmp_path
):
    recipe = dataclasses.replace(recipe, epochs=1)
    fresh, started = run_folder(recipe), run_folder(recipe, 0, short_run.folder)
    assert fresh != started
    assert started.name.startswith(f"{fresh.name}-from-")
    run = train_small(recipe, tmp_path / "started", init=short_run.folder)
    assert run.init == runs.describe_init(short_run.folder)
    assert run.init["run"] == "short"
    assert repr(run) == "Run(small, tiny, seed 0, 1 epochs, from short)"
    assert json.loads((run.folder / "recipe.json").read_text())["init"] == run.init
    assert "init" not in json.loads((short_run.folder / "recipe.json").read_text())
    with pytest.raises(ValueError, match=r"init: \{'run': 'short'.*\} there, None asked for"):
        train_small(recipe, run.folder, resume=True)
    with pytest.raises(ValueError, match="init: None there"):
        load_run(short_run.folder, recipe, 0, init=short_run.folder)
    assert load_run(run.folder, recipe, 0, init=short_run.folder).init == run.init


def test_a_resumed_run_that_started_from_another_is_the_same_bit_for_bit(
    train_small, recipe, short_run, tmp_path
):
    recipe = dataclasses.replace(recipe, ema=0.5)
    options = {"seed": 3, "init": short_run.folder}
    whole = train_small(recipe, tmp_path / "whole", **options)
    fresh = train_small(recipe, tmp_path / "fresh", seed=3)
    with interrupt_at_step(5):
        train_small(recipe, tmp_path / "broken", **options)
    seed_everything(99)
    resumed = train_small(recipe, tmp_path / "broken", resume=True, **options)
    assert torch.equal(flatten_weights(whole), flatten_weights(resumed))
    assert list_losses(whole) == list_losses(resumed) != list_losses(fresh)


def test_weights_of_another_shape_are_refused_by_name(train_small, recipe, short_run, tmp_path):
    message = (
        r"weights of short do not fit the recipe: image_projection.weight is \(512, 128\) there "
        r"and \(64, 128\) here; .*the recipe of that run here too: tiny"
    )
    with pytest.raises(ValueError, match=message):
        train_small(
            dataclasses.replace(recipe, embed_dim=64), tmp_path / "run", init=short_run.folder
        )
    with pytest.raises(ValueError, match="set tokenizer='captions'"):
        train_small(
            dataclasses.replace(recipe, tokenizer="clip", vocab_size=49408),
            tmp_path / "run",
            init=short_run.folder,
        )
    assert not (tmp_path / "run").exists(), "nothing was written"


def test_a_run_to_start_from_is_found_by_name(small, recipe, monkeypatch):
    recipe = dataclasses.replace(recipe, epochs=1)
    with pytest.raises(FileNotFoundError, match="no finished run 'tiny'. No run is finished yet"):
        runs.find_run("tiny")
    first = load_or_train(recipe)
    for name in ("tiny", "small", "small-tiny-0", first.folder.name, str(first.folder)):
        assert runs.find_run(name) == first.folder
    started = load_or_train(recipe, seed=1, init="small-tiny-0")
    assert load_or_train(recipe, seed=1, init="small-tiny-0").history == started.history
    with pytest.raises(ValueError, match="'tiny' may mean several runs; name one: small-tiny-0-"):
        runs.find_run("tiny")
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    assert runs.find_run("tiny") == first.folder
    with pytest.raises(FileNotFoundError, match="no finished run 'big'.*small-tiny-0"):
        runs.find_run("big")


# ---- folders ---------------------------------------------------------------------------------


def test_a_run_on_disk_is_loaded_as_it_was(small, recipe):
    recipe = dataclasses.replace(recipe, epochs=2)
    run = load_or_train(recipe, seed=5)
    assert {path.name for path in run.folder.iterdir()} == {
        "model.safetensors",
        "recipe.json",
        "history.csv",
        "metrics.json",
        "state.pt",
        "tokenizer.json",
    }
    again = load_or_train(recipe, seed=5)
    assert torch.equal(flatten_weights(run), flatten_weights(again))
    assert again.history == run.history
    assert again.recipe == recipe
    evaluated = evaluate(again.model, again.tokenizer, small("dev"))
    assert again.metrics["dev"] == evaluated, "the metrics are those of the weights that are kept"
    assert again.metrics["images_seen"] == 2 * 48
    assert 1 <= again.metrics["best_epoch"] <= 2


def test_another_recipe_gets_another_folder_and_so_does_another_seed():
    recipe = RECIPES["quick"]
    other = dataclasses.replace(recipe, weight_decay=0.06)
    folders = {run_folder(recipe, 0), run_folder(recipe, 1), run_folder(other, 0)}
    assert len(folders) == 3


def test_another_recipe_is_refused_and_both_are_named(short_run):
    other = dataclasses.replace(short_run.recipe, name="other", epochs=7)
    message = r"'tiny', not 'other'.*epochs: 1 there, 7 asked for"
    with pytest.raises(ValueError, match=message):
        train(other, 0, short_run.folder, resume=True)
    with pytest.raises(ValueError, match=message):
        load_run(short_run.folder, other)
    stored = json.loads((short_run.folder / "recipe.json").read_text())
    assert stored["recipe"]["name"] == "tiny"


def test_another_seed_is_refused_and_both_are_named(short_run):
    with pytest.raises(ValueError, match="seed: 0 there, 1 asked for"):
        load_run(short_run.folder, short_run.recipe, seed=1)


def test_a_folder_without_a_run_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match="python -m clipnb train.*No run is finished yet"):
        load_run(tmp_path / "nothing")


def test_a_run_without_weights_is_not_finished(short_run):
    assert runs.is_finished(short_run.folder)
    (short_run.folder / "model.safetensors").unlink()
    assert not runs.is_finished(short_run.folder)


def test_an_unfinished_run_says_how_to_go_on(train_small, recipe, short_run, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    options = {"epochs": 1, "freeze": "text", "flip": False}
    changed = dataclasses.replace(recipe, **options)
    run = train_small(changed, None, init=short_run.folder)
    (run.folder / "metrics.json").unlink()
    moved = run.folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"train\(recipe, 0, folder='.*moved', resume=True"):
        load_run(moved)
    moved.rename(run.folder)
    with pytest.raises(FileNotFoundError) as caught:
        load_run(run.folder)
    assert str(caught.value).endswith(
        "`python -m clipnb train --recipe tiny --dataset small --set epochs=1 --set flip=False "
        f"--freeze text --seed 0 --init {short_run.folder} --resume`."
    )


def test_the_path_of_a_start_is_not_compared(train_small, recipe, short_run, tmp_path):
    run = train_small(
        dataclasses.replace(recipe, epochs=1), tmp_path / "run", init=short_run.folder
    )
    stored = json.loads((run.folder / "recipe.json").read_text())
    assert stored["init"].pop("path") == str(short_run.folder)
    (run.folder / "recipe.json").write_text(json.dumps(stored))  # as an older version wrote it
    assert load_run(run.folder, run.recipe, 0, short_run.folder).init == stored["init"]
    assert runs.find_init(run.folder) == "short"


# ---- runs of other versions ------------------------------------------------------------------


def replace_stored_fields(run, fields):
    """Write other recipe fields into the `recipe.json` of a run."""
    path = run.folder / "recipe.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"recipe": fields}))


def test_weights_of_another_version_are_refused(short_run):
    weights = safetensors.torch.save({"other": torch.zeros(1)})
    (short_run.folder / "model.safetensors").write_bytes(weights)
    message = "do not fit the encoders of this version.*Nothing was loaded"
    with pytest.raises(ValueError, match=message):
        load_run(short_run.folder)


@pytest.mark.parametrize("old, new", [("colours", "colour"), ("min_crop", "min_crop_area")])
def test_a_recipe_with_a_field_of_another_version_is_refused(short_run, old, new):
    fields = dataclasses.asdict(short_run.recipe)
    fields[old] = fields.pop(new)
    replace_stored_fields(short_run, fields)
    message = f"another version of clipnb.*'{old}'.*Nothing was loaded"
    with pytest.raises(ValueError, match=message):
        load_run(short_run.folder)


def test_a_recipe_with_a_choice_of_another_version_is_refused(short_run):
    fields = dataclasses.asdict(short_run.recipe) | {"sampling": "pictures"}
    replace_stored_fields(short_run, fields)
    with pytest.raises(ValueError, match="another version of clipnb.*Nothing was loaded"):
        load_run(short_run.folder)


def test_an_unknown_recipe_name_gets_the_list_of_names():
    with pytest.raises(
        ValueError, match="no recipe 'quik'; there are quick, quick_words, baseline"
    ):
        load_or_train("quik")
