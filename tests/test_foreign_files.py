"""Files that do not belong to clipnb stay as they are, wherever a run would lie."""

import dataclasses
import os
import shutil

import pytest

from clipnb import load_run, run_folder, train
from clipnb.records import load_trials, record_errors, record_run, record_trial
from clipnb.run_folders import FILES

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 8 dev images")


def test_what_does_not_belong_to_clipnb_stays_in_a_run(tiny_recipe):
    folder = run_folder(tiny_recipe)
    train(tiny_recipe)
    (folder / "notes.txt").write_text("mine")
    train(tiny_recipe)
    assert (folder / "notes.txt").read_text() == "mine"


FOREIGN = {
    "other files": {"thoughts.txt": "mine"},
    "a photo and metrics": {"photo.jpg": "mine", "metrics.json": '{"dev": {}}'},
    "metrics of something else": {"metrics.json": '{"accuracy": 1}'},
    "a recipe for a cake": {"recipe.json": '{"eggs": 2}'},
    "a list": {"metrics.json": "[1]"},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_folder_with_the_name_of_a_successor_is_left_alone(case, tiny_recipe):
    folder = run_folder(tiny_recipe)
    train(tiny_recipe)
    before = (folder / "metrics.json").read_bytes()
    (folder / "next").mkdir()
    for name, content in FOREIGN[case].items():
        (folder / "next" / name).write_text(content)
    load_run(folder)
    for resume in (False, True):
        with pytest.raises(FileExistsError, match="next is not of clipnb.* move it elsewhere"):
            train(tiny_recipe, resume=resume)
    found = {path.name: path.read_text() for path in (folder / "next").iterdir()}
    assert found == FOREIGN[case]
    assert (folder / "metrics.json").read_bytes() == before


LITTER = [".DS_Store", "Thumbs.db", "desktop.ini", "Desktop.ini", "._metrics.json"]


@pytest.mark.parametrize("name", LITTER)
def test_what_finder_and_explorer_leave_in_a_successor_is_no_obstacle(name, tiny_recipe):
    folder = run_folder(tiny_recipe)
    first = train(tiny_recipe)
    (folder / "next").mkdir()
    (folder / "next" / name).write_bytes(b"\0")
    assert train(tiny_recipe).metrics["dev"] == first.metrics["dev"]
    assert not (folder / "next").exists()
    shutil.copytree(folder, folder / "next")  # a successor that is finished
    (folder / "next" / name).write_bytes(b"\0")
    assert load_run(folder).metrics["dev"] == first.metrics["dev"]
    assert not (folder / "next").exists()


def test_beside_a_file_of_the_reader_they_stay(tiny_recipe):
    folder = run_folder(tiny_recipe)
    train(tiny_recipe)
    (folder / "next").mkdir()
    for name in (*LITTER, "thoughts.txt"):
        (folder / "next" / name).write_text("mine")
    with pytest.raises(FileExistsError, match="next is not of clipnb"):
        train(tiny_recipe)
    assert {path.name for path in (folder / "next").iterdir()} == {*LITTER, "thoughts.txt"}


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_or_a_link_with_the_name_of_a_successor_is_left_alone(kind, tiny_recipe, tmp_path):
    folder = run_folder(tiny_recipe)
    train(tiny_recipe)
    successor = folder / "next"
    if kind == "file":
        successor.write_text("mine")
    else:
        successor.symlink_to(train(tiny_recipe, folder=tmp_path / "other").folder)
    load_run(folder)
    with pytest.raises(FileExistsError, match="is not of clipnb"):
        train(tiny_recipe)
    assert os.path.lexists(successor)


@pytest.mark.parametrize("name", sorted(FILES - {"recipe.json"}))
def test_files_that_a_run_would_write_over_are_refused_by_name(name, tiny_recipe, tmp_path):
    """A folder from elsewhere may hold a tokenizer.json and a model.safetensors too."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"other holds no run, but {name}"):
        train(tiny_recipe, folder=tmp_path / "other")
    assert [path.read_text() for path in (tmp_path / "other").iterdir()] == ["mine"]


def test_a_run_into_a_file_is_refused(tiny_recipe, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="file is no folder"):
        train(tiny_recipe, folder=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_records_of_a_dataset_that_is_named_by_its_path_lie_in_results(
    tiny_recipe, tiny_root, tmp_path, monkeypatch
):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    own = tmp_path / "data" / "own"
    shutil.copytree(tiny_root / "own", own)
    captions = own.with_name("own.jsonl")  # the reader's own file
    captions.write_text("the only copy")
    run = train(dataclasses.replace(tiny_recipe, dataset=str(own)))
    record_run(run)
    record_errors(run)
    record_trial(run)
    assert captions.read_text() == "the only copy"
    assert sorted(path.name for path in own.parent.iterdir()) == ["own", "own.jsonl"]
    written = [path.relative_to(tmp_path / "results") for path in tmp_path.rglob("results/*/*")]
    names = ["errors/own-tiny.json", "runs/own-tiny-0.json", "trials/own.jsonl"]
    assert sorted(path.as_posix() for path in written) == names
    assert len(load_trials(str(own))) == 1
