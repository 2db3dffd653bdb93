"""Decoded images of which something is of the wrong kind: told in one line, and decoded anew."""

import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from clipnb import load_dataset
from clipnb.datasets import decoded

PARTS = ["images.npy", "names.json", "checksums.json"]


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """The entry of a split in a cache, which a test damages."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "own"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (8, 8), (60 * i, 0, 0)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text("a picture")
    load(tmp_path)
    (entry,) = (tmp_path / "cache" / "decoded").iterdir()
    return entry


def load(root):
    return load_dataset("own", "train", 8, root=root)


def check_healed(entry, root, *words):
    """Check that one line tells the damage, none tells it again, and the images are there."""
    with pytest.warns(UserWarning) as told:
        healed = load(root)
    (message,) = [str(each.message) for each in told]
    assert entry.name in message and message.endswith("; the images are decoded anew.")
    for word in words:
        assert word in message, message
    assert "Errno" not in message and "trust" not in message and "pickle" not in message
    assert sorted(healed.images[:, 0, 0, 0].tolist()) == [
        60 * int(name[0]) for name in healed.image_ids
    ]
    assert sorted(path.name for path in entry.iterdir()) == sorted(PARTS)


def make_folder(path):
    path.mkdir()


def make_loop(path):
    os.symlink(path.name, path)


def make_file(path):
    path.write_bytes(b"x")


@pytest.mark.filterwarnings("error::ResourceWarning")
@pytest.mark.parametrize("make", [make_folder, make_loop])
@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_the_wrong_kind(entry, tmp_path, name, make):
    (entry / name).unlink()
    make(entry / name)
    check_healed(entry, tmp_path, name)


@pytest.mark.parametrize("make", [make_file, make_loop])
def test_a_file_or_a_link_in_the_place_of_the_entry(entry, tmp_path, make):
    shutil.rmtree(entry)
    make(entry)
    check_healed(entry, tmp_path)


def save_objects(path):
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


def save_pickle(path):
    path.write_bytes(pickle.dumps([1]))


def save_archive(path):
    with open(path, "wb") as file:
        np.savez(file, images=np.zeros(3))


@pytest.mark.parametrize("save", [save_objects, save_pickle, save_archive])
def test_what_is_no_array_of_pixels(entry, tmp_path, save):
    save(entry / "images.npy")
    check_healed(entry, tmp_path, "images.npy is no array of pixels")


def test_a_drive_that_is_taken_out_while_it_is_read_leaves_no_half(tmp_path, entry, monkeypatch):
    names = [f"{i}.png" for i in range(4)]
    paths = [tmp_path / "own" / name for name in names]
    real = decoded.read_image

    def read(path, *arguments):
        if path == paths[2] and path.exists():
            (tmp_path / "own").rename(tmp_path / "elsewhere")
        return real(path, *arguments)

    monkeypatch.setattr(decoded, "read_image", read)
    with pytest.raises(FileNotFoundError, match="own vanished while its images were read"):
        decoded.load_decoded_images("own", "all", names, paths, 8)
    assert os.listdir(entry.parent) == [entry.name]
