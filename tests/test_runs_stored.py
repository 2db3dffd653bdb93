"""The folders of runs: what is stored, what is read back, and what is refused."""

import dataclasses
import json
import shutil

import pytest
import safetensors.torch
import torch
from run_parts import flatten_weights

from clipnb import RECIPES, evaluate, load_or_train, load_run, run_folder, run_folders, runs, train
from clipnb.disk import checksum_file

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


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
        "data.json",
    }
    again = load_or_train(recipe, seed=5)
    assert torch.equal(flatten_weights(run), flatten_weights(again))
    assert again.history == run.history
    assert again.recipe == recipe
    evaluated = evaluate(again.model, again.tokenizer, small("dev"))
    assert again.metrics["dev"] == evaluated, "the metrics are those of the weights that are kept"
    assert again.metrics["images_seen"] == 2 * 48
    assert 1 <= again.metrics["best_epoch"] <= 2


def test_a_run_whose_successor_comes_while_it_is_loaded_is_loaded_whole(
    train_small, recipe, tmp_path, monkeypatch
):
    recipe = dataclasses.replace(recipe, epochs=1)
    run = train_small(recipe, tmp_path / "run", seed=1)
    other = train_small(recipe, tmp_path / "other", seed=2)
    real, waiting = runs.read_metrics, [other.folder]

    def read_before_the_swap(*arguments):
        metrics = real(*arguments)
        if waiting:
            shutil.copytree(waiting.pop(), run.folder / run_folders.NEXT)
            run_folders.install_next(run.folder)
        return metrics

    monkeypatch.setattr(runs, "read_metrics", read_before_the_swap)
    loaded = load_run(run.folder)
    assert loaded.seed == 2
    assert torch.equal(flatten_weights(loaded), flatten_weights(other))


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
    assert run_folders.is_finished(short_run.folder)
    (short_run.folder / "model.safetensors").unlink()
    assert not run_folders.is_finished(short_run.folder)


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


# ---- runs of other versions ------------------------------------------------------------------


def replace_stored_fields(run, fields):
    """Write other recipe fields into the `recipe.json` of a run."""
    path = run.folder / "recipe.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"recipe": fields}))


def test_weights_of_another_version_are_refused(short_run):
    weights = short_run.folder / "model.safetensors"
    weights.write_bytes(safetensors.torch.save({"other": torch.zeros(1)}))
    path = short_run.folder / "metrics.json"
    metrics = json.loads(path.read_text()) | {"weights_checksum": checksum_file(weights)}
    path.write_text(json.dumps(metrics))
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
