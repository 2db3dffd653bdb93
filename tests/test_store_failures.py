"""Folders, files and models of which the photo index gets no vector."""

import errno
import os
import sqlite3
import sys
import types
from pathlib import Path

import pytest
from messy_folder import draw_scene
from PIL import Image
from store_parts import Means, check_is_whole, update

import clipnb.search.reading as reading
import clipnb.search.updates as updates
from clipnb.datasets import image_files, photos
from clipnb.search.store import find_database

pytestmark = pytest.mark.usefixtures("own_cache")


def test_an_empty_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match=r"holds no image .*JPEG, PNG.*\): it is empty\.$"):
        update(tmp_path / "photos")
    (tmp_path / "photos/notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"JPEG, PNG.*\): only 1 other file\.$") as e:
        update(tmp_path / "photos")
    assert "\n" not in str(e.value)
    (tmp_path / "photos/a.svg").write_text("x")
    with pytest.raises(
        ValueError, match=r"1 other file and 1 image of .* a\.svg \(SVG is not read"
    ):
        update(tmp_path / "photos")


def test_a_folder_without_a_readable_image(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_text("text")
    with pytest.raises(
        ValueError, match=r"the only image in .*, a\.jpg, cannot be searched: it holds"
    ):
        update(tmp_path / "photos")
    (tmp_path / "photos/z.jpg").write_text("text")
    (tmp_path / "photos/a.jpg").rename(tmp_path / "photos/two\nlines.jpg")
    with pytest.raises(ValueError, match=r"the first, 'two\\nlines\.jpg': it holds no image\.$"):
        update(tmp_path / "photos")


def test_a_folder_that_vanishes_while_it_is_read(folder, monkeypatch):
    monkeypatch.setattr(updates, "BATCH_SIZE", 4)
    monkeypatch.setattr(reading, "FILES_PER_TASK", 1)
    monkeypatch.setattr(reading, "TASKS_AHEAD", 1)
    model = Means()
    encode_image = model.encode_image

    def encode_and_remove(images, normalize):
        if folder.exists():
            folder.rename(folder.with_name("away"))
        return encode_image(images, normalize)

    model.encode_image = encode_and_remove
    with pytest.raises(FileNotFoundError, match="vanished while it was read. What was read is"):
        update(folder, model)
    folder.with_name("away").rename(folder)
    model = Means()
    store = update(folder, model)
    assert 0 < model.n_encoded < 12
    check_is_whole(store, folder)


def test_a_drive_that_is_taken_out_is_not_forgotten(folder):
    update(folder)
    folder.rename(folder.with_name("away"))
    folder.mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        update(folder)
    folder.rmdir()
    folder.with_name("away").rename(folder)
    model = Means()
    assert len(update(folder, model).image_ids) == 12
    assert model.n_encoded == 0


def test_a_folder_that_vanishes_when_it_was_just_listed(folder, monkeypatch):
    update(folder)
    find_work = updates.Update.find_work

    def remove_and_find(self):
        folder.rename(folder.with_name("away"))
        return find_work(self)

    monkeypatch.setattr(updates.Update, "find_work", remove_and_find)
    with pytest.raises(FileNotFoundError, match="vanished while it was read"):
        update(folder)
    monkeypatch.setattr(updates.Update, "find_work", find_work)
    folder.with_name("away").rename(folder)
    assert update(folder).report.encoded == 0  # nothing was forgotten


@pytest.mark.parametrize("was_known", [True, False])
def test_a_file_that_vanishes_while_it_is_read(folder, monkeypatch, was_known):
    if was_known:
        update(folder)
        draw_scene(20).save(folder / "2/05.jpg")
    read_file = updates.read_file

    def remove_and_read(path, image_size, known):
        if path.name == "05.jpg":
            path.unlink()
        return read_file(path, image_size, known)

    monkeypatch.setattr(updates, "read_file", remove_and_read)
    store = update(folder)
    assert len(store.image_ids) == 11 and not store.unreadable
    check_is_whole(store, folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission_is_tried_again(folder):
    (folder / "0/00.jpg").chmod(0)
    store = update(folder)
    assert store.unreadable == {"0/00.jpg": "there is no permission to read it"}
    (folder / "0/00.jpg").chmod(0o600)
    assert len(update(folder).image_ids) == 12


def test_a_file_that_could_not_be_opened_is_tried_again(folder, monkeypatch):
    def refuse(path, open_file=reading.open_file):
        if path.name == "00.jpg":
            raise PermissionError
        return open_file(path)

    monkeypatch.setattr(reading, "open_file", refuse)
    store = update(folder)
    assert store.unreadable == {"0/00.jpg": "there is no permission to read it"}
    monkeypatch.undo()
    monkeypatch.setenv("CLIPNB_CACHE", str(folder.parent / "cache"))
    store = update(folder)
    assert store.report.encoded == 1 and not store.unreadable


def test_a_known_file_that_cannot_be_opened_for_now_is_not_decoded_again(folder, monkeypatch):
    update(folder)
    os.utime(folder / "0/00.jpg", (1, 1))

    def refuse(path):
        raise OSError("the network is down")

    with monkeypatch.context() as patch:
        patch.setattr(reading, "open_file", refuse)
        (folder / "1/01.jpg").unlink()  # so that something is forgotten
        assert update(folder).unreadable == {"0/00.jpg": "the network is down"}
    store = update(folder)
    assert store.report.encoded == 0 and len(store.image_ids) == 11


@pytest.mark.parametrize("place", ["read_photo", "resize", "encode_thumbnail"])
def test_a_file_that_needs_too_much_memory_is_tried_again(folder, monkeypatch, place):
    def fail(*arguments, **options):
        raise MemoryError

    draw_scene(0).resize((1600, 1300)).save(folder / "0/00.jpg")  # gets its thumbnail at once
    target = {"read_photo": photos, "resize": Image.Image, "encode_thumbnail": reading}[place]
    name = "_decode" if place == "read_photo" else place
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="more memory than there"):
        for path in folder.rglob("*.jpg"):
            if path.name != "00.jpg":
                path.unlink()
        patch.setattr(target, name, fail)
        update(folder)
    assert len(update(folder).image_ids) == 1


def forbid(monkeypatch, function, path):
    """Let a function of `os` refuse a path and what lies below it, as without permission."""
    real = getattr(os, function)

    def check(place, *arguments, **options):
        if isinstance(place, (str, os.PathLike)) and f"{os.fspath(place)}/".startswith(f"{path}/"):
            raise PermissionError(13, "Permission denied", os.fspath(place))
        return real(place, *arguments, **options)

    monkeypatch.setattr(os, function, check)


def test_a_folder_that_cannot_be_listed_is_named_and_not_forgotten(folder, monkeypatch):
    update(folder)
    draw_scene(20).save(folder / "new.jpg")
    with monkeypatch.context() as patch:
        forbid(patch, "scandir", folder / "1")
        store = update(folder)
    assert store.unreadable == {"1/": "the folder cannot be listed (Permission denied)"}
    assert str(store.report) == "9 images (1 added, 1 unreadable)."
    store = update(folder)
    assert str(store.report) == "13 images (nothing has changed)."
    check_is_whole(store, folder)


def test_files_that_may_not_be_looked_at_are_not_forgotten(folder, monkeypatch):
    update(folder)
    with monkeypatch.context() as patch:
        forbid(patch, "stat", folder / "1")
        store = update(folder)
    names = [f"1/{i:02d}.jpg" for i in (1, 4, 7, 10)]
    assert store.unreadable == dict.fromkeys(names, "there is no permission to read it")
    assert str(store.report) == "8 images (4 unreadable)."
    store = update(folder)
    assert store.report.encoded == 0
    check_is_whole(store, folder)


def test_folders_that_cannot_be_listed_and_nothing_else(folder, monkeypatch):
    update(folder)
    with monkeypatch.context() as patch:
        for name in "012":
            forbid(patch, "scandir", folder / name)
        with pytest.raises(ValueError, match=r"only 3 sub-folders that cannot be read, such as 0/"):
            update(folder)
        forbid(patch, "scandir", folder)
        with pytest.raises(OSError, match=r"photos: the folder cannot be listed \(Permission"):
            update(folder)
    assert update(folder).report.encoded == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_looked_at_once(folder, monkeypatch):
    os.mkfifo(folder / "a.jpg")
    assert update(folder).unreadable == {"a.jpg": "it is no ordinary file"}
    monkeypatch.setattr(updates, "read_file", None)  # to call it would be an error
    assert update(folder).unreadable == {"a.jpg": "it is no ordinary file"}


def test_heic_under_another_name_is_read_once_its_library_is_there(folder, no_heic, monkeypatch):
    (folder / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    expected = {"a.jpg": "HEIC needs pillow-heif: pip install pillow-heif"}
    assert update(folder).unreadable == expected
    with monkeypatch.context() as patch:
        patch.setattr(updates, "read_file", None)
        assert update(folder).unreadable == expected
    fake = types.SimpleNamespace(register_heif_opener=lambda: None)
    monkeypatch.setitem(sys.modules, "pillow_heif", fake)
    image_files.enable_heic.cache_clear()
    assert update(folder).unreadable == {"a.jpg": "it holds no image"}


def test_vectors_that_are_not_finite_are_refused_by_name(folder):
    model = Means()
    encode_image = model.encode_image

    def spoil_one(images, normalize):
        features = encode_image(images, normalize)
        features[2] = float("nan")
        return features

    model.encode_image = spoil_one
    store = update(folder, model)
    assert store.unreadable == {"0/06.jpg": "the model makes no finite vector of it"}
    assert len(store.image_ids) == 11 and store.image_features.isfinite().all()
    assert update(folder, model).report.encoded == 0


def test_a_model_of_nan_makes_no_index(folder):
    with pytest.raises(ValueError, match="none of the 12 images .* no finite vector"):
        update(folder, Means(float("nan")))


def test_a_file_from_beyond_what_the_database_can_note(folder):
    path = folder / "0" / "06.jpg"
    for seconds in (4 * 10**10, -(10**9)):  # in the year 3237, and before 1970
        os.utime(path, (seconds, seconds))
        assert len(update(folder).image_ids) == 12
    assert update(folder).report.changed == 0


def test_a_full_disk_is_told_before_the_first_file_too(folder, monkeypatch):
    place, mkdir = find_database(folder).parent, Path.mkdir

    def refuse(path, *arguments, **options):
        if path == place:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"cannot be written: the disk is full\. .*CLIPNB_CACHE"):
        update(folder)


def test_a_cache_that_cannot_be_written(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError):
        update(folder)
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    find_database(folder).mkdir(parents=True)  # a folder where the file should be
    with pytest.raises(OSError, match=r"^the index .* cannot be used: .*\.$"):
        update(folder)


@pytest.mark.parametrize(
    "number, words", [(errno.EROFS, "read-only"), (errno.EACCES, "permission")]
)
def test_a_cache_that_became_read_only_is_told_as_such(folder, monkeypatch, number, words):
    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number), str(find_database(folder).parent / "x"))

    def fail(path, **options):
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    update(folder)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr(sqlite3, "connect", fail)
    with pytest.raises(OSError, match=rf"cannot be written: .*{words}.*CLIPNB_CACHE") as error:
        update(folder)
    assert "elete" not in str(error.value)  # the index is whole
