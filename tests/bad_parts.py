"""What the tests of bad inputs share: runs and folders to damage, and a look at messages."""

import dataclasses
import shutil

import pytest
from PIL import Image

from clipnb import RECIPES, train
from clipnb.scenes import write_scenes

QUICK = RECIPES["quick"]
LONG_NUMBER = "1" * 5000  # Python reads no integer of so many digits, unless a setting is changed
DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"hello",
    "a list": lambda content: b"[]",
    "not UTF-8": lambda content: b"\xff\xfe\xfa" + content,
    "a pickle": lambda content: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "5,000 digits": lambda content: f'{{"dev": {LONG_NUMBER}}}'.encode(),
}


def check_message(error, *parts):
    """Check that an error is told in one line that holds all parts."""
    message = str(error.value)
    assert "\n" not in message and len(message) > 20
    for part in parts:
        assert part in message, message


def make_folder(root, files):
    """Make a folder `own` with six pictures and some files. Return the folder."""
    folder = root / "own"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", (12, 8), (40 * i, 0, 0)).save(folder / f"{i}.png")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def flip_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A finished run of one epoch, its data and its cache. Nothing of it may be changed."""
    root = tmp_path_factory.mktemp("whole")
    write_scenes(root / "data" / "own", {"train": 32, "dev": 8, "test": 8}, size=16, workers=1)
    recipe = dataclasses.replace(
        QUICK, name="tiny", dataset="own", image_encoder="tiny_cnn", image_size=16,
        stored_size=16, vocab_size=200, embed_dim=16, epochs=1, batch_size=16,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPNB_DATA", str(root / "data"))
        patch.setenv("CLIPNB_CACHE", str(root / "cache"))
        with pytest.warns(UserWarning, match="only 8 dev images"):
            run = train(recipe)
    return root, recipe, run.folder.name


@pytest.fixture
def damaged(whole_run, tmp_path, monkeypatch):
    """A copy of the run, whose files a test damages: (its folder, its recipe)."""
    root, recipe, name = whole_run
    shutil.copytree(root / "cache" / "runs", tmp_path / "cache" / "runs")
    monkeypatch.setenv("CLIPNB_DATA", str(root / "data"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "runs" / name, recipe
