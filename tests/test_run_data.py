"""A run knows what it was trained on: changed data are told, and empty datasets are refused."""

import shutil
import warnings

import pytest

from clipnb import load_or_train, train
from clipnb.datasets import load_dataset
from clipnb.run_data import read_data
from clipnb.runs import load_run_dataset

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 8 dev images")


def test_a_run_knows_what_it_was_trained_on(tiny_recipe, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path))
    shutil.copytree(tiny_root / "own", tmp_path / "own")
    run = train(tiny_recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for split in ("train", "dev", "test"):
            load_run_dataset(run, split)
        load_or_train(tiny_recipe)
    lists = tmp_path / "own" / "splits"
    moved = read_data(run.folder)["train"]["image_ids"][0]
    train_list = (lists / "train.txt").read_text()
    (lists / "train.txt").write_text(train_list.replace(f"{moved}\n", ""))
    with open(lists / "test.txt", "a") as file:
        file.write(f"{moved}\n")
    with pytest.warns(UserWarning, match=f"1 of the 9 images of test were trained on .{moved}"):
        load_run_dataset(run, "test")
    with pytest.warns(UserWarning, match=rf"train had 32 images and has 31: 1 gone \({moved}\)"):
        load_or_train(tiny_recipe)
    (run.folder / "metrics.json").unlink()
    with pytest.raises(ValueError, match=f"begun on other data: train had 32.*{moved}"):
        train(tiny_recipe, resume=True)


def test_changed_captions_are_noticed_too(tiny_recipe, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path))
    shutil.copytree(tiny_root / "own", tmp_path / "own")
    run = train(tiny_recipe)
    path = tmp_path / "own" / "captions.txt"
    lines = path.read_text().splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("dev_00000"))
    lines[row] += " indeed"
    path.write_text("\n".join(lines))
    with pytest.warns(UserWarning, match="the captions of dev have changed"):
        load_run_dataset(run, "dev")


def test_empty_datasets_are_refused_and_not_replaced(tiny_recipe, tiny_root, tmp_path):
    sets = {
        "train_set": load_dataset("own", "train", 16),
        "dev_set": load_dataset("own", "dev", 16),
    }
    for name, words in {
        "train_set": "has 0 training images; at least 2",
        "dev_set": "holds no images",
    }.items():
        with pytest.raises(ValueError, match=words):
            train(tiny_recipe, folder=tmp_path / "run", **sets | {name: sets[name].subset([])})
    with pytest.raises(ValueError, match="has 1 training images; at least 2"):
        train(tiny_recipe, folder=tmp_path / "run", train_set=sets["train_set"].subset([0]))
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_found_is_compared_with_the_captions_of_now(
    tiny_recipe, tiny_root, tmp_path, monkeypatch
):
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path))
    shutil.copytree(tiny_root / "own", tmp_path / "own")
    train(tiny_recipe)
    path = tmp_path / "own" / "captions.txt"
    path.write_text(path.read_text().replace("train_00003.jpg,", "train_00003.jpg,by a sea "))
    message = "the captions of train have changed. To train on that of now: `python -m clipnb train"
    for find in (load_or_train, lambda recipe: train(recipe, resume=True)):
        with pytest.warns(UserWarning, match=message):
            find(tiny_recipe)


def test_a_run_that_is_found_is_compared_with_the_images_that_are_given(tiny_recipe):
    images = load_dataset("own", "train", 16)
    load_or_train(tiny_recipe, train_set=images.subset(range(20)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_or_train(tiny_recipe, train_set=images.subset(range(20)))
    with pytest.warns(UserWarning, match="train had 20 images and has 32: 12 new"):
        load_or_train(tiny_recipe, train_set=images)
