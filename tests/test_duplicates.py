import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from messy_folder import draw_scene
from PIL import Image

from clipnb.search import duplicates
from clipnb.search.duplicates import find_near_duplicates, group_rows, hash_images


def to_pixels(image, size=64):
    """Return an image as the store reads it: uint8 (3, S, S)."""
    squashed = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(squashed).transpose(2, 0, 1)


def save_and_open(image, form="JPEG", quality=90):
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return Image.open(buffer)


def crop(image, share):
    """Cut a share of the width and of the height away, three quarters of it at the upper left."""
    width, height = image.size
    left, top = width * share * 0.75, height * share * 0.75
    box = (left, top, left + width * (1 - share), top + height * (1 - share))
    return image.crop([round(edge) for edge in box])


VERSIONS = {
    "re-encoded": lambda image: save_and_open(image, quality=40),
    "as WebP": lambda image: save_and_open(image, "WEBP", 60),
    "half as large": lambda image: save_and_open(image.resize((64, 64))),
    "larger": lambda image: save_and_open(image.resize((220, 220))),
    "cropped by 3 %": lambda image: save_and_open(crop(image, 0.03)),
    "cropped by 6 %": lambda image: save_and_open(crop(image, 0.06)),
}


# ---- the hash --------------------------------------------------------------------------------


def test_the_hash_of_images_whose_cells_are_known():
    ramp = np.broadcast_to(np.arange(72, dtype=np.uint8) * 3, (3, 72, 72))
    step = np.zeros((3, 72, 72), np.uint8)
    step[:, :36, 16:] = 200  # brighter from the third of nine columns on, in the upper half
    images = np.stack([ramp, ramp[:, :, ::-1], np.full_like(ramp, 9), step])
    bits = np.unpackbits(hash_images(images)[:, None].view(np.uint8), axis=1).reshape(4, 8, 8)
    assert bits[0].all()
    assert not bits[1].any() and not bits[2].any()
    expected = np.zeros((8, 8))
    expected[:4, 1] = 1
    assert (bits[3] == expected).all()


def test_the_hash_hardly_depends_on_brightness_and_size():
    image = draw_scene(3, size=128)
    brighter = np.minimum(to_pixels(image) * 0.8 + 20, 255).astype(np.uint8)
    one, two, three = hash_images(np.stack([to_pixels(image), brighter, to_pixels(image)]))
    assert one == three
    assert np.bitwise_count(one ^ two) <= 3
    (large,) = hash_images(to_pixels(image, 128)[None])
    assert np.bitwise_count(one ^ large) <= 3


def test_many_images_are_hashed_part_by_part():
    images = np.random.default_rng(0).integers(0, 256, (1500, 3, 9, 9), dtype=np.uint8)
    alone = [hash_images(images[i : i + 1])[0] for i in (0, 999, 1000, 1499)]
    assert hash_images(torch.from_numpy(images))[[0, 999, 1000, 1499]].tolist() == alone


# ---- found, and not found --------------------------------------------------------------------


@pytest.fixture(scope="module")
def different():
    """The hashes of 120 different scenes."""
    return hash_images(np.stack([to_pixels(draw_scene(i, size=128)) for i in range(120)]))


@pytest.mark.parametrize("name", VERSIONS)
def test_other_versions_of_an_image_are_found(different, name):
    images = [VERSIONS[name](draw_scene(i, size=128)) for i in range(120)]
    hashes = hash_images(np.stack([to_pixels(image) for image in images]))
    found = np.bitwise_count(hashes ^ different) <= duplicates.MOST_BITS
    assert found.mean() >= (0.75 if "6 %" in name else 0.98)


def test_different_images_are_not_confused(different):
    bits = np.bitwise_count(different[:, None] ^ different)
    n_pairs = (bits[np.triu_indices(120, 1)] <= duplicates.MOST_BITS).sum()
    assert n_pairs <= 1  # of 7,140; the features then tell such a pair apart


def test_the_features_must_agree_too():
    hashes = np.array([7, 7, 7], np.uint64)
    features = F.normalize(torch.tensor([[1.0, 0.0], [0.95, 0.2], [0.0, 1.0]]), dim=1)
    assert find_near_duplicates(["a", "b", "c"], features, hashes) == [["a", "b"]]


def test_groups_are_those_of_comparing_all_pairs(monkeypatch):
    """Against a loop over all pairs, in blocks that do not divide the number of rows."""
    monkeypatch.setattr(duplicates, "PAIRS_AT_ONCE", 7 * 200)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 200).astype(np.uint64)
    features = torch.from_numpy(rng.normal(size=(200, 8)).astype(np.float32))
    for i in range(0, 150, 3):  # chains: each is near the one 40 rows on
        hashes[i + 40] = hashes[i] ^ np.uint64(1 << (i % 60))
        features[i + 40] = features[i] + 0.02
    features = F.normalize(features, dim=1)
    group_of = list(range(200))
    for i in range(200):
        for j in range(i):
            bits = bin(int(hashes[i]) ^ int(hashes[j])).count("1")
            if bits <= duplicates.MOST_BITS and features[i] @ features[j] >= 0.9:
                old, new = group_of[i], group_of[j]
                group_of = [new if group == old else group for group in group_of]
    expected = [[i for i in range(200) if group_of[i] == group] for group in sorted(set(group_of))]
    expected = sorted(group for group in expected if len(group) > 1)
    assert group_rows(hashes, features) == expected
    assert len(expected) > 20


def test_ten_thousand_images():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 10_000).astype(np.uint64)
    features = F.normalize(torch.from_numpy(rng.normal(size=(10_000, 16))).float(), dim=1)
    hashes[7000:8000] = hashes[:1000]
    features[7000:8000] = features[:1000]
    assert group_rows(hashes, features) == [[i, i + 7000] for i in range(1000)]


def test_a_thousand_copies_are_one_group():
    hashes = np.full(1000, 5, np.uint64)
    assert group_rows(hashes, torch.ones(1000, 1)) == [list(range(1000))]


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_for_a_pair(n):
    assert group_rows(np.zeros(n, np.uint64), torch.ones(n, 4)) == []
