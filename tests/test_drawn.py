"""The scenes in the cache: any damage to them is found, told in one line, and mended."""

import os
import shutil

import pytest

from clipnb import scenes
from clipnb.datasets import dataset_folder
from clipnb.datasets import drawn as drawn_scenes
from clipnb.datasets.drawn import CHECKSUMS, compute_checksums


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A cache with few scenes, to copy."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPNB_CACHE", str(cache))
        patch.setattr(scenes, "COUNTS", {"train": 3, "dev": 2, "test": 2})
        dataset_folder("scenes")
    return cache


@pytest.fixture
def folder(drawn, tmp_path, monkeypatch):
    """The folder of scenes in a cache of one test, which no check has seen yet."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    monkeypatch.setattr(scenes, "COUNTS", {"train": 3, "dev": 2, "test": 2})
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    return next(tmp_path.glob("scenes-*"))


def read_files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def swap_two(folder):
    """Move an image of test to train, and one of train to test."""
    train, test = folder / "splits" / "train.txt", folder / "splits" / "test.txt"
    one, other = train.read_text(), test.read_text()
    train.write_text(one.replace("train_00000", "test_00000"))
    test.write_text(other.replace("test_00000", "train_00000"))


def change(name, edit):
    """Make a function that edits the bytes of a file in a folder."""

    def damage(folder):
        path = folder / name
        path.write_bytes(edit(path.read_bytes()))

    return damage


DAMAGES = {
    "other captions": change("captions.txt", lambda content: content.replace(b"the", b"teh")),
    "captions cut": change("captions.txt", lambda content: content[: len(content) // 2]),
    "no captions": change("captions.txt", lambda content: b""),
    "zeros": change("captions.txt", lambda content: bytes(len(content))),
    "other labels": change("labels.json", lambda content: content.replace(b'"s', b'"S')),
    "an image cut": change("Images/dev_00001.jpg", lambda content: content[:500]),
    "checksums cut": change(CHECKSUMS, lambda content: content[:9]),
    "two images swapped": swap_two,
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_scenes_are_drawn_anew(folder, case):
    whole = read_files(folder)
    DAMAGES[case](folder)
    assert read_files(folder) != whole
    with pytest.warns(UserWarning, match="is damaged; the scenes are drawn anew") as told:
        dataset_folder("scenes")
    # Since 3.12 Python warns also of each fork, which it does for the workers on Linux.
    assert len([each for each in told if each.category is UserWarning]) == 1
    assert read_files(folder) == whole


@pytest.mark.parametrize("kind", ["file", "link to nowhere", "link to an album"])
def test_what_stands_in_the_place_of_the_scenes_is_replaced(folder, tmp_path, kind):
    whole = read_files(folder)
    shutil.rmtree(folder)
    album = tmp_path / "album"
    album.mkdir()
    (album / "photo.jpg").write_bytes(b"the only copy")
    if kind == "file":
        folder.write_text("x")
    else:
        os.symlink(album if kind == "link to an album" else tmp_path / "nowhere", folder)
    with pytest.warns(UserWarning, match="is damaged; the scenes are drawn anew"):
        dataset_folder("scenes")
    assert read_files(folder) == whole
    assert os.listdir(album) == ["photo.jpg"]


def test_scenes_without_checksums_get_them(folder, recwarn):
    whole = read_files(folder)
    (folder / CHECKSUMS).unlink()  # as in earlier versions, or after a kill
    dataset_folder("scenes")
    assert read_files(folder) == whole
    assert not recwarn


def test_checksums_are_compared_once_in_a_process(folder, monkeypatch):
    compared = []

    def count(folder):
        compared.append(folder)
        return compute_checksums(folder)

    monkeypatch.setattr(drawn_scenes, "compute_checksums", count)
    for _ in range(3):
        dataset_folder("scenes")
    assert compared == [folder]
