"""Bad caches, indexes and queries: healed, refused or answered in one line."""

import math

import numpy as np
import pytest
from bad_parts import DAMAGES, check_message, flip_byte

from clipnb import (
    ImageIndex,
    load_dataset,
    load_run,
)

CACHE_DAMAGES = {
    **{
        f"{name} {damage}": (name, damage)
        for name in ("images.npy", "names.json")
        for damage in DAMAGES
    },
    "images.npy with a byte flipped": ("images.npy", -7),
    "images.npy with its first byte flipped": ("images.npy", 0),
    "names.json with a byte flipped": ("names.json", 4),
    "images.npy gone": ("images.npy", None),
    "names.json gone": ("names.json", None),
    "checksums.json cut": ("checksums.json", "cut"),
    "checksums.json a list": ("checksums.json", "a list"),
}


@pytest.mark.parametrize("case", CACHE_DAMAGES)
def test_a_damaged_cache_heals_itself_with_one_line(case, whole_run, tmp_path, monkeypatch):
    root, _, _ = whole_run
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    before = load_dataset("own", "dev", 16, root=root / "data")
    pixels = np.array(before.images)
    (entry,) = (tmp_path / "decoded").iterdir()
    name, damage = CACHE_DAMAGES[case]
    path = entry / name
    if damage is None:
        path.unlink()
    elif isinstance(damage, int):
        flip_byte(path, damage)
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.warns(UserWarning, match="is damaged .*decoded anew") as caught:
        healed = load_dataset("own", "dev", 16, root=root / "data")
    assert len(caught) == 1 and entry.name in str(caught[0].message)
    assert (healed.images == pixels).all()
    assert healed.image_ids == before.image_ids


@pytest.fixture(scope="module")
def small_index(whole_run):
    """The index of eight images, and the run that made it."""
    root, _, name = whole_run
    run = load_run(root / "cache" / "runs" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPNB_CACHE", str(root / "cache"))
        dataset = load_dataset("own", "dev", 16, root=root / "data")
    return ImageIndex.build(run.model, run.tokenizer, dataset), run


@pytest.mark.parametrize("damage", [*DAMAGES, "another npz", "an npy", "an array short"])
def test_a_damaged_index_is_refused_in_one_line(damage, small_index, tmp_path):
    index, run = small_index
    path = tmp_path / "index.npz"
    index.save(path)
    if damage == "another npz":
        np.savez(path, a=np.zeros(3))
    elif damage == "an npy":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    elif damage == "an array short":
        with np.load(path) as data:
            parts = dict(data)
        np.savez(path, **(parts | {"images": parts["images"][:3]}))
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError) as error:
        ImageIndex.load(path, run.model, run.tokenizer)
    check_message(error, "index.npz", "make it anew")
    assert "pickle" not in str(error.value)


def test_an_index_is_saved_over_an_index_and_over_nothing_else(small_index, tmp_path):
    index, run = small_index
    album = tmp_path / "album"
    album.mkdir()
    (album / "photo.jpg").write_bytes(b"the only copy")
    thesis = tmp_path / "thesis.npz"
    np.savez(thesis, results=np.arange(9))
    content = thesis.read_bytes()
    (tmp_path / "empty").touch()
    for target in (album, thesis, album / "photo.jpg", tmp_path / "empty"):
        with pytest.raises(FileExistsError) as error:
            index.save(target)
        check_message(error, target.name)
    assert (album / "photo.jpg").read_bytes() == b"the only copy"
    assert thesis.read_bytes() == content
    for _ in range(2):
        index.save(tmp_path / "index.npz")
    assert ImageIndex.load(tmp_path / "index.npz", run.model, run.tokenizer).captions


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_search_refuses_features_that_are_not_finite(bad, small_index):
    index, run = small_index
    features = index.image_features.clone()
    features[3, 0] = bad
    broken = ImageIndex(run.model, run.tokenizer, features, image_ids=index.image_ids)
    query = features[0].clone()
    query[0] = 1.0
    with pytest.raises(ValueError) as error:
        for sign in (1, -1):  # minus infinity is never among the first, unless the sign turns it
            broken.search(sign * query, len(index))
    check_message(error, "feature 3 holds NaN or infinity")
    query[0] = bad
    with pytest.raises(ValueError) as error:
        index.search(query, 3)
    check_message(error, "query holds NaN or infinity")


@pytest.mark.parametrize(
    "query", ["", " ", "\ud83d", "caf\udce9", "\0", "\U0001f436", "a" * 100_000, "\u202e", "​"]
)
def test_odd_queries_are_answered(query, small_index):
    index, _ = small_index
    assert len(index.search(query, 3)) in (0, 3)
