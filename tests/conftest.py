"""A small drawn dataset for the tests, in a folder of its own: no test writes into data/."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from clipnb import RECIPES, load_dataset, scenes
from clipnb.datasets.image_files import enable_heic
from clipnb.runtime import cache_dir


@pytest.fixture(scope="session")
def small_root(tmp_path_factory):
    """A data folder with one dataset, `small`: scenes in the layout of a reader's own folder."""
    root = tmp_path_factory.mktemp("data")
    counts = {"train": 48, "dev": 20, "test": 20}
    scenes.write_scenes(root / "small", counts, size=48, workers=1)
    return root


@pytest.fixture
def small(small_root, tmp_path, monkeypatch):
    """A function that loads a split of `small` at 32 px; data folder and cache are temporary."""
    monkeypatch.setenv("CLIPNB_DATA", str(small_root))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))

    def load(split, image_size=32):
        return load_dataset("small", split, image_size)

    return load


@pytest.fixture
def recipe():
    """A recipe that trains in a second.

    Every random part of a recipe is on, so that a resumed run has to repeat all of them.
    """
    return dataclasses.replace(
        RECIPES["quick"],
        name="tiny",
        dataset="small",
        image_encoder="tiny_cnn",
        text_encoder="transformer",
        image_size=32,
        stored_size=40,
        vocab_size=300,
        epochs=3,
        batch_size=16,
        captions_per_image=2,
        min_crop_area=0.5,
        flip=True,
        colour=0.3,
        token_dropout=0.2,
    )


@pytest.fixture
def no_heic(monkeypatch):
    """Pretend that pillow-heif is not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    enable_heic.cache_clear()
    yield
    enable_heic.cache_clear()


@pytest.fixture(scope="module")
def axe():
    """The path of axe-core, which .ci/run installs by npm; `AXE_PATH` may name another one."""
    installed = cache_dir() / "node" / "node_modules" / "axe-core" / "axe.min.js"
    path = Path(os.environ.get("AXE_PATH", installed))
    if not path.exists():
        pytest.skip("no axe-core here: npm install --no-save --prefix data/cache/node axe-core")
    return path
