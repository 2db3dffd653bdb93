"""The photo index: what it holds of each image, and its thumbnails."""

import contextlib
import io
import os
import shutil
import sqlite3
import stat
import sys
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from messy_folder import draw_scene
from PIL import Image
from store_parts import Means, damage_header, update

from clipnb.runtime import cache_dir
from clipnb.search.store import find_database

pytestmark = pytest.mark.usefixtures("own_cache")


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
