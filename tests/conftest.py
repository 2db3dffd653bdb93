"""Fixtures of several test files. What they write lies in folders of their own, not in data/.

An import that nothing here uses brings in a fixture, which pytest finds in this file.
"""

import dataclasses
import os
import random
import socket
import sys
from itertools import groupby
from pathlib import Path

import pytest
from bad_parts import damaged, whole_run  # noqa: F401
from claim_parts import parsed_once  # noqa: F401
from command_parts import clipnb, photos, trained_root, trained_run  # noqa: F401
from download_parts import archive_server  # noqa: F401
from lab import find_chromium, launch
from messy_folder import draw_scene
from published_file import here, pretrained, published_root, wide_photos  # noqa: F401
from quiz_parts import drawn_once, quiz_run  # noqa: F401
from run_parts import (  # noqa: F401
    base,
    first,
    short_run,
    tiny_recipe,
    tiny_root,
    train_small,
    tuned,
)
from shard_parts import numbered, shards  # noqa: F401
from torchrun_parts import sharded, small_folder  # noqa: F401
from widget_parts import build_index

from clipnb import (
    RECIPES,
    RetrievalWidget,
    load_dataset,
    scenes,
)
from clipnb.datasets.image_files import enable_heic
from clipnb.runtime import cache_dir
from clipnb.search import reading
from clipnb.towers import published

# These modules are no test files. Without this line a failed assert in them would show no values.
pytest.register_assert_rewrite("browser_parts", "page_visit", "pretrained_parts", "store_parts")


def pytest_collection_modifyitems(items):
    """With CLIPNB_TEST_ORDER=SEED the files come in a random order, and so do the tests of each."""
    if seed := os.environ.get("CLIPNB_TEST_ORDER"):
        rng = random.Random(seed)
        files = [list(tests) for _, tests in groupby(items, lambda item: item.path)]
        rng.shuffle(files)
        for tests in files:
            rng.shuffle(tests)
        items[:] = [item for tests in files for item in tests]


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


@pytest.fixture(scope="session")
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


# ---- published models ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_architectures(tmp_path_factory):
    """Tiny architectures, known to open_clip and to us as the published ones are."""
    from pretrained_parts import write_size_files  # here, because open_clip loads for seconds

    files = write_size_files(tmp_path_factory.mktemp("sizes"))
    for name in ("ViT-B-32", "ViT-B-32-quickgelu"):
        files[name] = published.find_size_files()[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "find_size_files", lambda: files)
        yield
    published.read_architecture.cache_clear()


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A home and caches of the test's own, and no network."""
    from huggingface_hub import constants

    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPNB_DEVICE", "cpu")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    find_address = socket.getaddrinfo

    def block(host, *arguments, **options):
        if host != "127.0.0.1":
            raise socket.gaierror(-2, "Name or service not known")
        return find_address(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", block)


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A folder as CLIPModel.save_pretrained writes it, whole and in parts, and the model."""
    from pretrained_parts import save_hugging_face_model

    folder = tmp_path_factory.mktemp("hugging_face")
    return folder, save_hugging_face_model(folder)


# ---- the photo index -------------------------------------------------------------------------


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Put the cache into a temporary folder."""
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


# ---- the retrieval widget --------------------------------------------------------------------


@pytest.fixture(scope="module")
def index():
    """Eight plain coloured images with three captions each, encoded by an untrained model."""
    return build_index()


@pytest.fixture
def widget(index):
    """The retrieval widget with the three best images of a query."""
    return RetrievalWidget(index, "a red dog", k=3)


# ---- the browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    """A Chromium without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            pytest.skip(
                "no Chromium here: install one, run `playwright install chromium`, or set "
                "CHROMIUM_PATH"
            )
        browser = launch(playwright, path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe():
    """The path of axe-core, which .ci/run installs by npm; `AXE_PATH` may name another one."""
    installed = cache_dir() / "node" / "node_modules" / "axe-core" / "axe.min.js"
    path = Path(os.environ.get("AXE_PATH", installed))
    if not path.exists():
        pytest.skip("no axe-core here: npm install --no-save --prefix data/cache/node axe-core")
    return path
