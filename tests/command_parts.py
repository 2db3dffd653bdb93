"""What the tests of the command line share: a trained run, photos, and a command that is run."""

import dataclasses
import os
import shlex
import shutil
import sys

import pytest

from clipnb import RECIPES, ImageIndex, cli, train


@pytest.fixture
def clipnb(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(command):
        monkeypatch.setattr(sys, "argv", ["clipnb", *shlex.split(command)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def trained_root(small_root, tmp_path_factory):
    """Data, cache and a trained run `small-tiny-0`, made once for each test file."""
    root = tmp_path_factory.mktemp("search")
    shutil.copytree(small_root, root / "data")  # some tests add to it
    recipe = dataclasses.replace(
        RECIPES["quick"],
        name="tiny",
        dataset="small",
        image_encoder="tiny_cnn",
        image_size=32,
        stored_size=32,
        vocab_size=300,
        epochs=1,
        batch_size=16,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPNB_DATA", str(root / "data"))
        patch.setenv("CLIPNB_CACHE", str(root / "cache"))
        patch.setitem(RECIPES, "tiny", recipe)
        train(recipe)
        yield root


@pytest.fixture
def trained_run(trained_root, monkeypatch):
    """The run in `trained_root`, for which any query of words alone has a match."""
    monkeypatch.setattr(ImageIndex, "has_match", lambda self, query: query.text and True)


@pytest.fixture
def photos(trained_root, tmp_path):
    """A folder `Pictures` with twelve photos, two of them the same, and a broken one."""
    names = sorted((trained_root / "data" / "small" / "Images").iterdir())[:11]
    folder = tmp_path / "Pictures"
    (folder / "2024").mkdir(parents=True)
    for i, path in enumerate(names):
        copy = folder / ("2024" if i < 4 else "") / f"photo {i}.jpg"
        shutil.copy(path, copy)
        os.utime(copy, (1.7e9, 1.7e9) if i < 4 else (1.75e9, 1.75e9))  # 2023, 2025
    shutil.copy2(folder / "photo 5.jpg", folder / "again.jpg")
    (folder / "broken.jpg").write_text("no image")
    return folder
