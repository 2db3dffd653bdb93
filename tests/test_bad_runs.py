"""Bad files of a run: each is refused in one line that names it, and no other run is lost."""

import builtins
import csv
import dataclasses
import errno
import io
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import warnings

import pytest
import safetensors.torch
import torch
from bad_parts import DAMAGES, check_message, flip_byte

from clipnb import (
    RECIPES,
    cli,
    load_or_train,
    load_run,
    run_checks,
    run_folder,
    train,
)
from clipnb.commands.runs import find_latest_run, summarize_run
from clipnb.datasets.folders import read_labels
from clipnb.run_data import read_data
from clipnb.run_folders import find_run, list_runs
from clipnb.starts import open_start

QUICK = RECIPES["quick"]


RUN_FILES = ["model.safetensors", "tokenizer.json", "recipe.json", "history.csv", "metrics.json"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_damaged_file_of_a_run_is_named(name, damage, damaged):
    folder, _ = damaged
    path = folder / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError) as error:
        load_run(folder)
    check_message(error, name, folder.name)
    assert "train" in str(error.value), "it says how to go on"
    assert "pickle" not in str(error.value)
    assert "set_int_max_str_digits" not in str(error.value)


METRICS = {  # {case: how the metrics of a finished run are changed}
    "no dev": lambda metrics: metrics.pop("dev"),
    "an empty dev": lambda metrics: metrics["dev"].clear(),
    "dev is a list": lambda metrics: metrics.update(dev=[1]),
    "dev is none": lambda metrics: metrics.update(dev=None),
    "dev lacks the mean": lambda metrics: metrics["dev"].pop("mean_recall"),
    "dev lacks a recall": lambda metrics: metrics["dev"].pop("text_to_image_R@5"),
    "a recall is a text": lambda metrics: metrics["dev"].update(mean_recall="50"),
    "a recall is true": lambda metrics: metrics["dev"].update(mean_recall=True),
    "a recall is NaN": lambda metrics: metrics["dev"].update({"image_to_text_R@1": math.nan}),
    "no best epoch": lambda metrics: metrics.pop("best_epoch"),
    "the seconds are a text": lambda metrics: metrics.update(train_seconds="many"),
    "the images are infinite": lambda metrics: metrics.update(images_seen=math.inf),
}
HISTORY = {  # {case: how the rows of a history are changed}
    "a text": lambda rows: rows[0].update(loss="much"),
    "an empty cell": lambda rows: rows[0].update(dev_mean_recall=""),
    "no epoch": lambda rows: rows[0].pop("epoch"),
    "no loss": lambda rows: rows[0].pop("loss"),
    "NaN": lambda rows: rows[0].update(seconds=math.nan),
}


@pytest.mark.parametrize("case", METRICS)
def test_metrics_of_another_form_are_refused_everywhere(case, damaged, monkeypatch, capsys):
    folder, recipe = damaged
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())
    METRICS[case](metrics)
    path.write_text(json.dumps(metrics))
    for use in (
        load_run,
        lambda folder: train(recipe, resume=True),
        lambda folder: load_or_train(recipe),
    ):
        with pytest.raises(ValueError) as error:
            use(folder)
        check_message(error, "metrics.json is damaged", "Train it again")
    check_list(folder, "metrics.json is damaged", monkeypatch, capsys)


def check_list(folder, problem, monkeypatch, capsys):
    """Check that `clipnb runs` lists another run too, and names the damaged file of this one."""
    shutil.copytree(folder, folder.parent / "unfinished")
    (folder.parent / "unfinished" / "metrics.json").unlink()
    assert summarize_run(folder)["state"] == "damaged or of another version"
    monkeypatch.setattr(sys, "argv", ["clipnb", "runs"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    printed, said = capsys.readouterr()
    assert "damaged" in printed and "unfinished" in printed
    told = [line for line in said.splitlines() if problem in line]
    assert len(told) == 1 and folder.name in told[0] and "Train it again" in told[0]


@pytest.mark.parametrize("case", HISTORY)
def test_a_history_of_another_form_is_refused(case, damaged, monkeypatch, capsys):
    folder, _ = damaged
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    HISTORY[case](rows)
    with open(folder / "history.csv", "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    with pytest.raises(ValueError) as error:
        load_run(folder)
    check_message(error, "history.csv is damaged", "Train it again")
    check_list(folder, "history.csv is damaged", monkeypatch, capsys)


@pytest.mark.parametrize("case", [*METRICS, *HISTORY, "a history of numbers", "no history"])
def test_a_state_of_another_form_is_refused(case, damaged):
    folder, recipe = damaged
    (folder / "metrics.json").unlink()  # the run is unfinished
    state = torch.load(folder / "state.pt", weights_only=True)
    if case in METRICS:
        METRICS[case](state["metrics"])
    elif case in HISTORY:
        HISTORY[case](state["history"])
    else:
        state["history"] = [1] if case == "a history of numbers" else None
    torch.save(state, folder / "state.pt")
    with pytest.raises(ValueError) as error:
        train(recipe, resume=True)
    check_message(error, "state.pt is damaged", "without resume")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_no_dead_end(damage, damaged):
    folder, recipe = damaged
    path = folder / "state.pt"
    (folder / "metrics.json").unlink()  # the run is unfinished
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError) as error:
        train(recipe, resume=True)
    check_message(error, "state.pt", folder.name, "without resume")
    with pytest.warns(UserWarning, match="only 8 dev images"):
        assert train(recipe).metrics["best_epoch"] == 1


def test_a_hostile_state_runs_nothing(damaged, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {shlex.quote(str(tmp_path / 'ran'))}",)

    folder, recipe = damaged
    (folder / "metrics.json").unlink()
    torch.save({"model": Hostile()}, folder / "state.pt")
    with pytest.raises(ValueError) as error:
        train(recipe, resume=True)
    check_message(error, "state.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_recipe_does_not_hide_the_other_runs(damage, damaged):
    folder, _ = damaged
    broken = folder.parent / "broken"
    shutil.copytree(folder, broken)
    content = (folder / "recipe.json").read_bytes()
    (broken / "recipe.json").write_bytes(DAMAGES[damage](content))
    assert len(list_runs()) == 2
    assert find_run("tiny") == folder


def test_a_folder_of_runs_that_may_not_be_read_is_not_an_empty_one(damaged, monkeypatch):
    folder, _ = damaged
    listdir = os.listdir

    def refuse(place="."):
        if os.fspath(place) == str(folder.parent):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return listdir(place)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(PermissionError, match="runs cannot be read: there is no permission"):
        find_run("no such run")
    with pytest.raises(PermissionError, match="Change who may read it"):
        find_latest_run()


FIELDS = {
    "a seed that is a path": lambda stored: stored | {"seed": "../x"},
    "no seed": lambda stored: {"recipe": stored["recipe"]},
    "no recipe": lambda stored: {"seed": 0},
    "a name that is a path": lambda stored: change_recipe(stored, name="../x"),
    "no epochs": lambda stored: change_recipe(stored, epochs=0),
    "NaN": lambda stored: change_recipe(stored, learning_rate=math.nan),
    "text for a number": lambda stored: change_recipe(stored, batch_size="many"),
    "a field of the future": lambda stored: change_recipe(stored, quantum=True),
    "an unknown loss": lambda stored: change_recipe(stored, loss="hinge"),
    "a seed of 200 digits": lambda stored: stored | {"seed": 10**200},
    "epochs of 200 digits": lambda stored: change_recipe(stored, epochs=10**200),
    "a name of Windows": lambda stored: change_recipe(stored, name="NUL"),
}


def change_recipe(stored, **changes):
    return stored | {"recipe": stored["recipe"] | changes}


@pytest.mark.parametrize("case", FIELDS)
def test_a_recipe_that_was_edited_is_refused(case, damaged):
    folder, _ = damaged
    path = folder / "recipe.json"
    path.write_text(json.dumps(FIELDS[case](json.loads(path.read_text()))))
    with pytest.raises(ValueError) as error:
        load_run(folder)
    check_message(error, "recipe.json", folder.name)


def test_weights_that_are_not_finite_are_refused_by_name(damaged):
    folder, _ = damaged
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["image_projection.weight"][0, 0] = math.nan
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError) as error:
        load_run(folder)
    check_message(error, "model.safetensors", "image_projection.weight holds NaN", "Train it again")


def test_a_flipped_bit_in_the_weights_is_noticed(damaged):
    folder, _ = damaged
    flip_byte(folder / "model.safetensors", -7)
    with pytest.raises(ValueError) as error:
        load_run(folder)
    check_message(error, "model.safetensors", "not those of this run", "Train it again")


def exchange_words(path):
    """Let two words of a tokenizer have each other's id."""
    stored = json.loads(path.read_text())
    ids = stored["model"]["vocab"]
    *_, first, second = ids
    ids[first], ids[second] = ids[second], ids[first]
    path.write_text(json.dumps(stored))


def test_a_tokenizer_of_another_run_is_noticed(damaged):
    """With as many ids, the same words would silently mean other rows of the embedding."""
    folder, recipe = damaged
    exchange_words(folder / "tokenizer.json")
    for use in (load_run, open_start):
        with pytest.raises(ValueError) as error:
            use(folder)
        check_message(error, "tokenizer.json is damaged", "not those of this run", "rain")
    (folder / "metrics.json").unlink()  # the run is unfinished
    with pytest.raises(ValueError) as error:
        train(recipe, resume=True)
    check_message(error, "tokenizer.json is damaged", "not those of this run", "without resume")


def test_a_run_of_an_earlier_version_has_no_checksums(damaged):
    folder, _ = damaged
    metrics = json.loads((folder / "metrics.json").read_text())
    for key in run_checks.CHECKSUMS:
        del metrics[key]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    flip_byte(folder / "model.safetensors", -7)
    assert load_run(folder).metrics == metrics
    assert open_start(folder).recipe.name == "tiny"


START_DAMAGES = {
    "a flipped bit": lambda folder: flip_byte(folder / "model.safetensors", -7),
    "cut weights": lambda folder: cut(folder / "model.safetensors"),
    "no weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "cut metrics": lambda folder: cut(folder / "metrics.json"),
    "cut tokenizer": lambda folder: cut(folder / "tokenizer.json"),
}


def cut(path):
    path.write_bytes(DAMAGES["cut"](path.read_bytes()))


@pytest.mark.parametrize("case", START_DAMAGES)
def test_nothing_starts_from_a_damaged_run(case, damaged):
    folder, recipe = damaged
    START_DAMAGES[case](folder)
    with pytest.raises(ValueError) as error:
        train(dataclasses.replace(recipe, name="new"), init=folder)
    check_message(error, "is damaged", folder.name, "rain")
    assert list_runs() == [folder], "nothing was begun"


def test_json_that_is_nested_too_deeply_is_damaged_json(damaged):
    folder, _ = damaged
    nested = "[" * 100_000
    (folder / "data.json").write_text(nested)
    assert read_data(folder) == {}
    (folder / "labels.json").write_text(nested)
    with pytest.raises(ValueError, match=r"labels\.json is not valid JSON"):
        read_labels(folder, [])


def test_the_console_of_windows_shows_what_it_can(whole_run, tmp_path):
    """Code page 1252 has no Chinese letters: they are escaped, and nothing fails."""
    root, _, _ = whole_run
    shutil.copytree(root / "data" / "own", tmp_path / "data" / "own")
    environment = os.environ | {
        "CLIPNB_DATA": str(root / "data"),
        "CLIPNB_CACHE": str(root / "cache"),
        "PYTHONIOENCODING": "cp1252",
    }
    command = [sys.executable, "-m", "clipnb", "search", "nowhere/\u72d7", "a dog"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 2
    assert b"\\u72d7" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("name", ["recipe.json", "history.csv", "metrics.json"])
def test_what_the_system_refuses_to_read_is_not_told_as_damaged(name, number, damaged, monkeypatch):
    folder, _ = damaged
    refuse_to_read(folder / name, number, monkeypatch)
    with pytest.raises(OSError, match=rf"{name} cannot be read: .*\.$") as error:
        load_run(folder)
    assert "train" not in str(error.value) and "elete" not in str(error.value)


def test_a_recipe_that_may_not_be_read_does_not_hide_the_other_runs(damaged, monkeypatch, capsys):
    folder, _ = damaged
    shutil.copytree(folder, folder.parent / "closed")
    refuse_to_read(folder.parent / "closed" / "recipe.json", errno.EACCES, monkeypatch)
    assert find_run("tiny") == folder
    monkeypatch.setattr(sys, "argv", ["clipnb", "runs"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed, said = capsys.readouterr()
    assert stop.value.code == 0
    assert folder.name in printed
    assert "closed/recipe.json cannot be read: there is no permission" in said


def refuse_to_read(refused, number, monkeypatch):
    """Let the system refuse to open a file."""
    real = builtins.open

    def open_or_fail(path, *arguments, **options):
        if path == refused:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", open_or_fail)
    monkeypatch.setattr(io, "open", open_or_fail)  # what pathlib calls


def test_a_run_is_kept_where_its_warning_is_an_error(tiny_recipe):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="only 8 dev images"):
            train(tiny_recipe)
    assert load_run(run_folder(tiny_recipe)).metrics["warning"]
