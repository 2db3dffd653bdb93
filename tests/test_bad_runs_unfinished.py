"""Runs that lose or change a file while they are unfinished: told, mended, or refused at once."""

import dataclasses
import json
import os
import shutil
import zipfile

import pytest
import torch
from bad_parts import check_message, flip_byte
from run_parts import flatten_weights

import clipnb.epochs
from clipnb import load_run, runs, train
from clipnb.run_data import check_same_data, find_differences
from clipnb.run_folders import FILES

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 8 dev images")


@pytest.fixture
def unfinished(damaged):
    """The run, all of whose epochs are done, as if it had been killed before its end."""
    folder, recipe = damaged
    (folder / "metrics.json").unlink()
    return folder, recipe


def test_a_folder_that_is_emptied_meanwhile_is_written_whole(tiny_recipe, tmp_path, monkeypatch):
    recipe = dataclasses.replace(tiny_recipe, epochs=2)
    whole = train(recipe, folder=tmp_path / "whole")
    folder, end_epoch = tmp_path / "run", clipnb.epochs.end_epoch

    def empty_and_end(run, *rest):
        if run.history:
            shutil.rmtree(folder)
        end_epoch(run, *rest)

    monkeypatch.setattr(clipnb.epochs, "end_epoch", empty_and_end)
    run = train(recipe, folder=folder)
    assert {path.name for path in folder.iterdir()} == FILES
    assert torch.equal(flatten_weights(run), flatten_weights(whole))
    for name in ("recipe.json", "tokenizer.json", "data.json"):
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_what_is_left_of_a_run_in_the_cache_says_how_to_go_on(unfinished):
    folder, recipe = unfinished
    (folder / "recipe.json").unlink()
    for resume in (False, True):
        with pytest.raises(FileExistsError) as error:
            train(recipe, resume=resume)
        check_message(error, "holds no run, but", "delete the folder and train again")
    shutil.rmtree(folder)
    assert train(recipe).history


@pytest.mark.parametrize("name", ["history.csv", "recipe.json", "tokenizer.json"])
def test_what_the_state_knows_is_written_again(name, unfinished, monkeypatch):
    """Such as a file that is lost after the last epoch."""
    folder, recipe = unfinished
    before, load_state = (folder / name).read_bytes(), runs.load_state

    def lose_and_load(*arguments):
        loaded = load_state(*arguments)
        (folder / name).unlink()
        return loaded

    monkeypatch.setattr(runs, "load_state", lose_and_load)
    assert train(recipe, resume=True).history
    assert (folder / name).read_bytes() == before


def lose_weights(path):
    path.unlink()


def damage_weights(path):
    flip_byte(path, -7)


@pytest.mark.parametrize("change, told", [(lose_weights, "missing"), (damage_weights, "damaged")])
def test_weights_that_are_not_those_of_the_best_epoch_end_no_run(change, told, unfinished):
    folder, recipe = unfinished
    change(folder / "model.safetensors")
    for _ in range(2):
        with pytest.raises(ValueError) as error:
            train(recipe, resume=True)
        check_message(error, f"model.safetensors is {told}", "without resume (--resume)")
    assert train(recipe).history, "and that is how to go on"


def test_a_state_of_an_earlier_version_notes_no_checksum(unfinished):
    folder, recipe = unfinished
    state = torch.load(folder / "state.pt", weights_only=True)
    del state["metrics"]["weights_checksum"]
    torch.save(state, folder / "state.pt")
    resumed = train(recipe, resume=True)
    assert resumed.metrics["weights_checksum"] == load_run(folder).metrics["weights_checksum"]
    (folder / "metrics.json").unlink()
    lose_weights(folder / "model.safetensors")
    with pytest.raises(ValueError) as error:
        train(recipe, resume=True)
    check_message(error, "model.safetensors is missing", "without resume (--resume)")


def test_a_flipped_bit_in_a_tensor_of_the_state_is_noticed(unfinished):
    folder, recipe = unfinished
    with zipfile.ZipFile(folder / "state.pt") as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    flip_byte(folder / "state.pt", largest.header_offset + largest.file_size // 2)
    with pytest.raises(ValueError) as error:
        train(recipe, resume=True)
    check_message(error, "state.pt is damaged", "have changed", "without resume (--resume)")


# ---- what it was trained on --------------------------------------------------------------------


def test_a_damaged_note_of_the_data_is_told(unfinished, small):
    folder, recipe = unfinished
    (folder / "data.json").write_text("{")
    differences = find_differences(folder, small("dev"))
    assert differences.startswith("its data.json is damaged") and "earlier" not in differences
    with pytest.warns(UserWarning, match=r"data\.json is damaged, so nobody can tell"):
        assert not check_same_data(folder, small("train"), small("dev"))


def test_a_run_that_does_not_say_what_it_was_begun_on_is_not_made_to(unfinished):
    folder, recipe = unfinished
    (folder / "data.json").unlink()
    train(recipe, resume=True)
    assert not (folder / "data.json").exists()


# ---- no files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("kind", ["folder", "link to itself"])
def test_a_run_is_not_begun_where_it_cannot_write(kind, name, damaged):
    folder, recipe = damaged
    (folder / name).unlink()
    if kind == "folder":
        (folder / name).mkdir()
    else:
        os.symlink(name, folder / name)
    before = {path.name for path in folder.iterdir()}
    for resume in (False, True):
        with pytest.raises(FileExistsError) as error:
            train(recipe, resume=resume)
        check_message(error, folder.name, f"{name} is no file", "move it elsewhere")
    assert {path.name for path in folder.iterdir()} == before


# ---- finished runs -----------------------------------------------------------------------------


CHANGES = {  # {case: (file, text in it, other text)}
    "the context length": ("recipe.json", '"context_length": 77', '"context_length": 7'),
    "the size of images": ("recipe.json", '"image_size": 16', '"image_size": 17'),
    "the seed": ("recipe.json", '"seed": 0', '"seed": 1'),
    "an epoch": ("history.csv", "\n1,", "\n7,"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_digit_is_noticed(case, damaged):
    folder, _ = damaged
    name, old, new = CHANGES[case]
    content = (folder / name).read_bytes()
    assert old.encode() in content
    (folder / name).write_bytes(content.replace(old.encode(), new.encode(), 1))
    with pytest.raises(ValueError) as error:
        load_run(folder)
    check_message(error, f"{name} is damaged", "rain")
    if name == "recipe.json":
        check_message(error, "delete it and train again")


def test_a_changed_recall_is_noticed(damaged):
    folder, _ = damaged
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["dev"]["mean_recall"] += 1
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError) as error:
        load_run(folder)
    check_message(error, "metrics.json is damaged", "in history.csv another one", "Train it again")


def test_a_history_that_lacks_an_epoch_is_noticed_also_without_its_checksum(tiny_recipe, tmp_path):
    run = train(dataclasses.replace(tiny_recipe, epochs=2), folder=tmp_path / "run")
    history, metrics = run.folder / "history.csv", dict(run.metrics)
    history.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:2]))
    del metrics["history_checksum"]
    (run.folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError) as error:
        load_run(run.folder)
    check_message(error, "history.csv is damaged", "it holds 1 epochs of 2", "Train it again")
