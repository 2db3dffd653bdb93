"""The photo index is brought up to date: only what is new or has changed is read."""

import contextlib
import os
import shutil
import sqlite3
import time
from datetime import datetime

import pytest
import torch
from messy_folder import draw_scene, write_messy_folder
from store_parts import Means, check_is_whole, update

import clipnb.search.reading as reading
import clipnb.search.updates as updates
from clipnb.preprocess import Preprocess

pytestmark = pytest.mark.usefixtures("own_cache")


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


# ---- reading ahead ---------------------------------------------------------------------------


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
