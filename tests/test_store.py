import contextlib
import io
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import types
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from messy_folder import draw_scene, write_messy_folder
from PIL import Image
from torch import nn

import clipnb.search.database as database
import clipnb.search.reading as reading
import clipnb.search.store as store_module
import clipnb.search.updates as updates
import clipnb.search.vectors as vectors
from clipnb.datasets import image_files, photos
from clipnb.datasets.photos import PhotoFolder
from clipnb.preprocess import Preprocess
from clipnb.runtime import ROOT, cache_dir
from clipnb.search.store import find_database, update_store


class Means(nn.Module):
    """An image encoder without training: the mean colours of 4 x 4 cells, times a weight."""

    image_size = 32

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.n_encoded = 0

    def encode_image(self, images, normalize=False):
        self.n_encoded += len(images)
        cells = nn.functional.adaptive_avg_pool2d(images.float() / 255 - 0.5, 4).flatten(1)
        features = cells + self.weight
        return nn.functional.normalize(features, dim=1) if normalize else features


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """A folder with twelve images in three sub-folders."""
    for i in range(12):
        path = tmp_path / f"photos/{i % 3}/{i:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_scene(i).save(path)
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, in a list that grows."""
    names = []

    def read_photo(file, *sizes, read_photo=reading.read_photo, **options):
        names.append(os.path.basename(file.name))
        return read_photo(file, *sizes, **options)

    monkeypatch.setattr(reading, "read_photo", read_photo)
    return names


def update(folder, model=None):
    with warnings.catch_warnings(action="error"):  # a warning is asked for where it is expected
        return update_store(PhotoFolder(folder), model or Means())


def check_is_whole(store, folder, model=None):
    """Check a store against one that is made from nothing."""
    shutil.rmtree(cache_dir() / "photos")
    fresh = update(folder, model)
    assert store.image_ids == fresh.image_ids
    assert store.paths == fresh.paths and all(path.exists() for path in store.paths)
    assert store.digests == fresh.digests
    assert store.taken == fresh.taken
    assert (store.hashes == fresh.hashes).all()
    assert store.unreadable == fresh.unreadable
    torch.testing.assert_close(store.image_features, fresh.image_features)


# ---- what is in it ---------------------------------------------------------------------------


def test_a_folder_gets_one_vector_an_image(folder):
    model = Means()
    store = update(folder, model)
    assert store.image_ids == sorted(f"{i % 3}/{i:02d}.jpg" for i in range(12))
    assert store.paths[0] == folder / store.image_ids[0]
    for image_id, path, feature in zip(
        store.image_ids, store.paths, store.image_features, strict=True
    ):
        image = Image.open(path).resize((32, 32), Image.Resampling.BICUBIC)
        pixels = torch.tensor(np.asarray(image)).permute(2, 0, 1)[None]
        expected = model.encode_image(pixels, normalize=True)[0]
        assert expected @ feature > 0.9999, image_id
    assert str(store.report) == "12 images (12 added)."
    assert len(store.image_ids) == store.report.encoded == 12


def test_the_vectors_are_mapped_into_memory(folder):
    store = update(folder)
    (array,) = store.database.parent.glob("vectors-*.npy")
    assert store.image_features.dtype == torch.float32
    assert np.load(array).shape == store.image_features.shape
    if sys.platform == "linux":
        assert str(array) in Path("/proc/self/maps").read_text()
    before = array.read_bytes()
    store.image_features[0] = 0  # writes stay in memory
    assert array.read_bytes() == before


def test_nothing_is_written_into_the_folder(folder):
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    store = update(folder)
    store.get_thumbnail(store.image_ids[0])
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before
    assert cache_dir() in store.database.parents


@pytest.mark.skipif(sys.platform == "win32", reason="permissions differ")
def test_a_folder_that_is_read_only(folder):
    for path in [*folder.rglob("*"), folder]:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR if path.is_dir() else stat.S_IRUSR)
    try:
        assert len(update(folder).image_ids) == 12
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(stat.S_IRWXU)


def test_dates_come_from_the_camera_or_the_file(folder):
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2011:02:03 04:05:06"}
    draw_scene(0).save(folder / "0/00.jpg", exif=exif)
    os.utime(folder / "0/03.jpg", (1e9, 1e9))
    store = update(folder)
    assert store.taken[:2] == [datetime(2011, 2, 3, 4, 5, 6), datetime.fromtimestamp(1e9)]


def test_other_folders_of_the_same_name_have_an_index_of_their_own(tmp_path):
    paths = {find_database(tmp_path / name) for name in ("a/x", "b/x", "b/\N{BEACH WITH UMBRELLA}")}
    assert len(paths) == 3
    assert find_database(tmp_path / "b/../a/x") == find_database(tmp_path / "a/x")
    assert len(find_database(tmp_path / ("x" * 250)).parent.name) < 100


# ---- bringing it up to date ------------------------------------------------------------------


def test_a_second_update_reads_nothing(folder, decoded, monkeypatch):
    model = Means()
    update(folder, model)
    assert len(decoded) == model.n_encoded == 12
    monkeypatch.setattr(updates, "read_file", None)  # to call it would be an error
    store = update(folder, model)
    assert len(decoded) == model.n_encoded == 12
    assert str(store.report) == "12 images (nothing has changed)."


def test_only_what_is_new_or_has_changed_is_read(folder, decoded):
    update(folder)
    decoded.clear()
    draw_scene(20).save(folder / "new.jpg")
    draw_scene(21).save(folder / "1/01.jpg")
    store = update(folder)
    assert sorted(decoded) == ["01.jpg", "new.jpg"]
    assert (store.report.added, store.report.changed, store.report.encoded) == (1, 1, 2)
    check_is_whole(store, folder)


def test_files_that_were_moved_or_copied_are_known_by_their_content(folder, decoded):
    model = Means()
    update(folder, model)
    decoded.clear()
    (folder / "0/00.jpg").rename(folder / "moved.jpg")
    shutil.copy(folder / "0/03.jpg", folder / "copied.jpg")
    (folder / "2").rename(folder / "two")
    store = update(folder, model)
    assert not decoded and model.n_encoded == 12
    assert str(store.report) == "13 images (1 added, 5 moved)."
    check_is_whole(store, folder)


def test_a_file_that_is_only_touched_is_not_decoded(folder, decoded):
    update(folder)
    decoded.clear()
    os.utime(folder / "0/00.jpg", (1, 1))
    store = update(folder)
    assert not decoded
    assert str(store.report) == "12 images (nothing has changed)."
    assert store.taken[0] == datetime.fromtimestamp(1)


def test_what_is_gone_is_forgotten(folder):
    store = update(folder)
    store.get_thumbnail("0/00.jpg")
    (folder / "0/00.jpg").unlink()
    shutil.rmtree(folder / "1")
    store = update(folder)
    assert str(store.report) == "7 images (5 removed)."
    with contextlib.closing(sqlite3.connect(store.database)) as connection:
        for table, expected in {"files": 7, "contents": 7, "vectors": 7, "thumbnails": 0}.items():
            (n,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()  # noqa: S608
            assert n == expected, table
    check_is_whole(store, folder)


def test_two_images_that_swap_their_names(folder, decoded):
    update(folder)
    decoded.clear()
    (folder / "0/00.jpg").rename(folder / "x.jpg")
    (folder / "0/03.jpg").rename(folder / "0/00.jpg")
    (folder / "x.jpg").rename(folder / "0/03.jpg")
    store = update(folder)
    assert not decoded
    check_is_whole(store, folder)


def test_another_model_needs_only_vectors(folder):
    first = update(folder, Means(1.0))
    second = update(folder, Means(2.0))
    assert second.report.encoded == 12 and second.report.added == 0
    assert not torch.allclose(first.image_features, second.image_features)
    model = Means(1.0)
    again = update(folder, model)  # both are kept
    assert model.n_encoded == 0
    assert torch.equal(again.image_features, first.image_features)


def test_another_image_size_makes_other_vectors(folder):
    model = Means()
    model.preprocess = Preprocess(16)
    first, second = update(folder), update(folder, model)
    assert second.report.encoded == 12
    assert not torch.equal(first.image_features, second.image_features)
    assert update(folder).report.encoded == 0


def test_hundreds_of_files_with_every_fault(tmp_path):
    readable, bad = write_messy_folder(tmp_path / "photos", n=100, seed=1)
    store = update(tmp_path / "photos")
    assert store.image_ids == readable
    assert list(store.unreadable) == bad
    assert max(map(len, store.unreadable.values())) < 120
    again = update(tmp_path / "photos")
    assert str(again.report) == f"{len(readable)} images ({len(bad)} unreadable)."
    assert again.report.encoded == 0


def count_rows(store, table):
    with contextlib.closing(sqlite3.connect(store.database)) as connection:
        return connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608


def test_only_the_last_three_models_are_kept(folder):
    for weight in (1.0, 2.0, 3.0, 1.0, 4.0):  # the second is the one used longest ago
        store = update(folder, Means(weight))
    assert count_rows(store, "vectors") == 36
    assert count_rows(store, "models") == 3
    assert [update(folder, Means(weight)).report.encoded for weight in (1.0, 3.0, 4.0)] == [0, 0, 0]
    arrays = list(store.database.parent.glob("vectors-*.npy"))
    assert len(arrays) == 4  # another process may be about to map the one that is not needed
    for array in arrays:
        os.utime(array, (1e9, 1e9))
    assert update(folder, Means(5.0)).report.encoded == 12
    names = {array.name for array in store.database.parent.glob("vectors-*.npy")}
    assert len(names) == 3
    assert count_rows(store, "vectors") == 36


def test_a_model_that_was_used_last_writes_nothing(folder):
    store = update(folder)
    with contextlib.closing(sqlite3.connect(store.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert update(folder).report.encoded == 0


def test_an_index_of_before_models_were_counted_stays_valid(folder):
    store = update(folder)
    with contextlib.closing(sqlite3.connect(store.database)) as connection, connection:
        connection.execute("DROP TABLE models")
    assert update(folder).report.encoded == 0


# ---- interruptions ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_update_goes_on(folder, decoded, monkeypatch, error):
    monkeypatch.setattr(updates, "BATCH_SIZE", 4)
    model = Means()
    encode_image = model.encode_image

    def fail_at_the_third_batch(images, normalize):
        if model.n_encoded == 8:
            raise error
        return encode_image(images, normalize)

    model.encode_image = fail_at_the_third_batch
    with pytest.raises(error):
        update(folder, model)
    decoded.clear()
    model = Means()
    store = update(folder, model)
    assert model.n_encoded == len(decoded) == 4  # one batch was lost, no more
    check_is_whole(store, folder)


KILLED = """
import sys
import time
sys.path += [{tests!r}]
import clipnb.search.updates as updates
from test_store import Means, PhotoFolder, update_store

updates.BATCH_SIZE = 2
model = Means()
encode_image = model.encode_image

def encode_slowly(images, normalize):
    print(model.n_encoded, flush=True)
    time.sleep(0.05)
    return encode_image(images, normalize)

model.encode_image = encode_slowly
update_store(PhotoFolder({folder!r}), model)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_an_update_that_is_killed_goes_on(folder):
    code = KILLED.format(tests=str(ROOT / "tests"), folder=str(folder))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if int(line) >= 6:
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    model = Means()
    store = update(folder, model)
    assert 0 < model.n_encoded <= 6
    check_is_whole(store, folder)


def test_a_crash_before_the_array_is_written(folder, monkeypatch):
    monkeypatch.setattr("clipnb.search.store.load_features", None)
    with pytest.raises(TypeError):
        update(folder)
    monkeypatch.undo()
    monkeypatch.setenv("CLIPNB_CACHE", str(folder.parent / "cache"))
    model = Means()
    store = update(folder, model)
    assert model.n_encoded == 0
    check_is_whole(store, folder)


def test_two_updates_at_once(folder, monkeypatch):
    monkeypatch.setattr(updates, "BATCH_SIZE", 1)
    stores = []

    def run():
        stores.append(update_store(PhotoFolder(folder), Means()))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 3
    for store in stores[1:]:
        assert torch.equal(store.image_features, stores[0].image_features)
    check_is_whole(stores[0], folder)


def test_an_index_that_stays_busy(folder, monkeypatch):
    monkeypatch.setattr(database, "SECONDS_TO_WAIT", 0.1)
    store = update(folder)
    draw_scene(20).save(folder / "new.jpg")
    with contextlib.closing(sqlite3.connect(store.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RuntimeError, match="another process is writing the index") as error:
            update(folder)
        assert "\n" not in str(error.value)
    assert update(folder).report.added == 1


def delete_vectors(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM vectors")


def test_an_update_reads_one_state_while_another_process_deletes(folder, monkeypatch):
    def delete_and_load(connection, place, *arguments):
        delete_vectors(place / "index.sqlite")
        return vectors.load_features(connection, place, *arguments)

    monkeypatch.setattr(store_module, "load_features", delete_and_load)
    store = update(folder)
    monkeypatch.setattr(store_module, "load_features", vectors.load_features)
    check_is_whole(store, folder)


def test_vectors_that_another_process_just_deleted(folder, monkeypatch):
    def delete_and_load(connection, photos, key):
        delete_vectors(find_database(photos.path))
        return load_rows(connection, photos, key)

    load_rows = store_module.load_rows
    monkeypatch.setattr(store_module, "load_rows", delete_and_load)
    monkeypatch.setattr(store_module, "one_state", lambda _: contextlib.nullcontext())
    with pytest.raises(RuntimeError, match="another process is writing the index"):
        update(folder)


# ---- damage ----------------------------------------------------------------------------------


def damage_header(path):
    path.write_bytes(b"no database" * 1000)


def damage_middle(path):
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def change_version(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")


def drop_a_table(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE vectors")


def damage_vectors(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE vectors SET vector = randomblob(192)")
    for array in path.parent.glob("vectors-*"):
        array.unlink()


def cut_a_vector(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE vectors SET vector = x'0000' WHERE rowid = 3")
    for array in path.parent.glob("vectors-*"):
        array.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        damage_header,
        damage_middle,
        cut,
        change_version,
        drop_a_table,
        damage_vectors,
        cut_a_vector,
    ],
)
def test_a_damaged_database_is_made_anew(folder, damage):
    damage(update(folder).database)
    with pytest.warns(UserWarning, match=r"^the index of .* is damaged .*; it is made anew\.$"):
        store = update_store(PhotoFolder(folder), Means())
    assert store.report.encoded == 12
    check_is_whole(store, folder)


def test_an_empty_database_is_filled(folder):
    update(folder).database.write_bytes(b"")
    assert update(folder).report.added == 12


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_a_damaged_array_is_made_anew(folder, content):
    store = update(folder)
    (array,) = store.database.parent.glob("vectors-*.npy")
    if content is None:  # the right shape, but wrong numbers
        content = bytearray(array.read_bytes())
        content[-400:-200] = bytes(200)
    replace(array, bytes(content))
    with pytest.warns(UserWarning, match=r"^vectors-.* is damaged; it is made anew\.$"):
        store = update_store(PhotoFolder(folder), Means())
    assert store.report.encoded == 0
    check_is_whole(store, folder)


@pytest.mark.parametrize("is_one_left", [True, False])
def test_a_missing_vector_is_noticed_and_nothing_damaged_stays(folder, is_one_left):
    store = update(folder)
    (array,) = store.database.parent.glob("vectors-*.npy")
    key = array.name.removeprefix("vectors-").rsplit("-", 1)[0]
    replace(array, b"damaged")
    with database.open_database(store.database) as connection:
        if is_one_left:
            connection.execute("DELETE FROM vectors WHERE digest != ?", [store.digests[5]])
        else:
            connection.execute("DELETE FROM vectors")
        with (
            pytest.warns(UserWarning, match="is damaged"),
            pytest.raises(database.DamagedIndexError, match="a vector is missing"),
        ):
            vectors.load_features(connection, array.parent, key, store.digests)
    assert not list(array.parent.glob("*vectors-*"))


def test_damage_that_cannot_be_healed_is_an_error_in_words(folder, monkeypatch):
    """A command prints a RuntimeError in one line, and anything else as a traceback."""

    def fail(*arguments):
        raise database.DamagedIndexError("no such column: x")

    monkeypatch.setattr(store_module, "load_rows", fail)
    with pytest.warns(UserWarning, match="made anew"), pytest.raises(RuntimeError, match="column"):
        update_store(PhotoFolder(folder), Means())


def replace(path, content):
    """Write a file anew. An array that is still mapped stays as it was."""
    path.unlink()
    path.write_bytes(content)


def test_arrays_of_earlier_are_deleted_after_an_hour(folder):
    store = update(folder)
    (old,) = store.database.parent.glob("vectors-*.npy")
    draw_scene(20).save(folder / "new.jpg")
    update(folder)
    assert old.exists()
    hour_ago = time.time() - 3700
    os.utime(old, (hour_ago, hour_ago))
    draw_scene(21).save(folder / "newer.jpg")
    update(folder)
    assert not old.exists()


# ---- what has no answer ----------------------------------------------------------------------


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


def test_a_cache_that_cannot_be_written(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError):
        update(folder)
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    find_database(folder).mkdir(parents=True)  # a folder where the file should be
    with pytest.raises(OSError, match=r"^the index .* cannot be used: .*\.$"):
        update(folder)


@pytest.mark.parametrize("n_cores, expected", [(2, 2), (64, 16), (None, 1)])
def test_threads_are_as_many_as_cores_but_few(monkeypatch, n_cores, expected):
    """Each of them may hold an image of 40 million pixels."""
    numbers = []

    def make_pool(n_threads, make_pool=reading.ThreadPoolExecutor):
        numbers.append(n_threads)
        return make_pool(n_threads)

    monkeypatch.setattr(reading, "ThreadPoolExecutor", make_pool)
    monkeypatch.setattr(os, "cpu_count", lambda: n_cores)
    list(reading.read_ahead(lambda file: reading.Reading(), range(3)))
    assert numbers == [expected]


def test_memory_stays_bounded(folder, monkeypatch):
    """The threads read ahead, but only so far."""
    alive = []
    monkeypatch.setattr(reading, "FILES_PER_TASK", 1)
    monkeypatch.setattr(reading, "TASKS_AHEAD", 3)
    started = []

    def read(file):
        started.append(file)
        return reading.Reading()

    for n_taken, _ in enumerate(reading.read_ahead(read, range(50)), start=1):
        time.sleep(0.001)
        alive.append(len(started) - n_taken)
    assert len(started) == 50
    assert max(alive) <= 3


# ---- thumbnails ------------------------------------------------------------------------------


def open_webp(content):
    assert len(content) <= 5000
    image = Image.open(io.BytesIO(content))
    assert image.format == "WEBP"
    return image


def test_thumbnails_keep_the_aspect_ratio(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    sizes = {"a.png": (400, 300), "b.png": (90, 60), "c.png": (3000, 60), "d.png": (20, 900)}
    for name, size in sizes.items():
        draw_scene(0).resize(size).save(folder / name)
    store = update(folder)
    got = [open_webp(store.get_thumbnail(name)).size for name in sizes]
    assert got == [(160, 120), (90, 60), (160, 3), (4, 160)]


def test_a_thumbnail_of_noise_is_small_enough(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    image = open_webp(update(folder).get_thumbnail("a.png"))
    assert image.width / image.height == pytest.approx(4 / 3, abs=0.05)


def test_a_thumbnail_is_made_once(folder, monkeypatch):
    store = update(folder)
    first = store.get_thumbnail("0/00.jpg")
    monkeypatch.setattr("clipnb.search.store.read_photo", None)
    assert store.get_thumbnail("0/00.jpg") == first
    (folder / "0/00.jpg").rename(folder / "moved.jpg")
    assert update(folder).get_thumbnail("moved.jpg") == first
    shutil.rmtree(folder)
    assert store.get_thumbnail("0/00.jpg") == first


def test_a_slow_image_gets_its_thumbnail_while_it_is_decoded(folder):
    draw_scene(0).resize((1600, 1300)).save(folder / "large.jpg")
    store = update(folder)
    shutil.rmtree(folder)
    assert max(open_webp(store.get_thumbnail("large.jpg")).size) == 160


def test_a_thumbnail_of_a_file_that_is_gone_or_has_changed(folder):
    store = update(folder)
    (folder / "0/00.jpg").unlink()
    with pytest.raises(
        OSError, match=r"00\.jpg is gone or can no longer be read; run the same"
    ) as error:
        store.get_thumbnail("0/00.jpg")
    assert "\n" not in str(error.value)
    old = store.digests[store.image_ids.index("0/03.jpg")]
    draw_scene(30).save(folder / "0/03.jpg")
    assert store.get_thumbnail("0/03.jpg")  # the new one is shown, but not kept under the old name
    with contextlib.closing(sqlite3.connect(store.database)) as connection:
        found = connection.execute("SELECT * FROM thumbnails WHERE digest = ?", [old])
        assert not found.fetchall()


def test_thumbnails_do_not_need_the_database(folder):
    store = update(folder)
    first = store.get_thumbnail("0/00.jpg")
    store = update(folder)
    damage_header(store.database)
    assert store.get_thumbnail("0/00.jpg") == first


def test_threads_may_share_a_store(folder):
    store = update(folder)
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append([*map(store.get_thumbnail, store.image_ids)])
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(result == results[0] for result in results)
