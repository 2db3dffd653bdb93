"""Updates of the photo index that are interrupted, or that run beside each other."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
import torch
from messy_folder import draw_scene
from store_parts import Means, check_is_whole, update

import clipnb.search.database as database
import clipnb.search.store as store_module
import clipnb.search.updates as updates
import clipnb.search.vectors as vectors
from clipnb.datasets.photos import PhotoFolder
from clipnb.runtime import ROOT
from clipnb.search.store import find_database, update_store

pytestmark = pytest.mark.usefixtures("own_cache")


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
from store_parts import Means, PhotoFolder, update_store

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
