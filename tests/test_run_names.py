"""What a run is called: a folder, a recipe, a published model, or a file of weights."""

import dataclasses
from pathlib import Path

import pytest
import torch
from pretrained_parts import make_theirs

from clipnb import RECIPES, load_or_train, pretrained, run_folders, starts
from clipnb.pretrained import Pretrained, open_run
from clipnb.runs import Run, save_start
from clipnb.selection import split_published_name

pytestmark = [
    pytest.mark.usefixtures("tiny_architectures", "own_home"),
    pytest.mark.filterwarnings("ignore:.* has only 20 dev images"),
]


def test_a_run_to_start_from_is_found_by_name(small, recipe, monkeypatch):
    recipe = dataclasses.replace(recipe, epochs=1)
    with pytest.raises(FileNotFoundError, match="no finished run 'tiny'. No run is finished yet"):
        run_folders.find_run("tiny")
    first = load_or_train(recipe)
    for name in ("tiny", "small", "small-tiny-0", first.folder.name, str(first.folder)):
        assert run_folders.find_run(name) == first.folder
    started = load_or_train(recipe, seed=1, init="small-tiny-0")
    assert load_or_train(recipe, seed=1, init="small-tiny-0").history == started.history
    with pytest.raises(ValueError, match="'tiny' may mean several runs; name one: small-tiny-0-"):
        run_folders.find_run("tiny")
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    assert run_folders.find_run("tiny") == first.folder
    with pytest.raises(FileNotFoundError, match="no finished run 'big'.*small-tiny-0"):
        run_folders.find_run("big")


def test_open_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(make_theirs("Tiny-16").state_dict(), "weights.bin")
    for name in ("Tiny-16/weights.bin", f"Tiny-16/{tmp_path}/weights.bin"):
        assert isinstance(open_run(name), Pretrained)
    with pytest.raises(FileNotFoundError, match=r"Name its weights too.*: Tiny-16/openai\."):
        open_run("Tiny-16")
    with pytest.raises(ValueError, match="open_clip has no model 'Tiny-61'.* are Tiny-16"):
        open_run("Tiny-61/openai")
    with pytest.raises(FileNotFoundError, match="there is no finished run 'quick/openai'"):
        open_run("quick/openai")


def test_a_run_of_ones_own_comes_first(recipe, tmp_path, monkeypatch):
    folder = tmp_path / "Tiny-16" / "weights.bin"
    save_start(
        Run(None, None, dataclasses.replace(recipe, tokenizer="clip", vocab_size=49408), 0, folder)
    )
    for name in ("metrics.json", "model.safetensors"):
        (folder / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "load_run", lambda folder: folder)
    assert open_run("Tiny-16/weights.bin") == Path("Tiny-16/weights.bin")


def test_a_name_means_the_same_to_train_and_to_search(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    assert split_published_name("ViT-B/32/openai") == ("ViT-B-32", "openai")
    assert split_published_name("ViT-B/32//a/b.pt") == ("ViT-B-32", "/a/b.pt")
    described = run_folders.describe_init("ViT-B-32/openai")
    assert run_folders.describe_init("ViT-B/32/openai") == described
    (tmp_path / "openai").mkdir()
    assert run_folders.describe_init("ViT-B-32/openai") == described, "the tag, not the folder"
    for open_one in (open_run, starts.open_start):
        with pytest.raises(ValueError, match="open_clip has no model 'ViT-B-33'.* ViT-B-32"):
            open_one("ViT-B-33/openai")
        for name in ("ViT-B-32", "ViT-B/32"):
            with pytest.raises(FileNotFoundError, match="Name its weights too.*: ViT-B-32/openai"):
                open_one(name)
    with pytest.raises(ValueError, match="is an image encoder alone"):
        open_run("torchvision/resnet18")
