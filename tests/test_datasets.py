"""From a folder to arrays: what is decoded, kept, skipped, and never written."""

import dataclasses
import os

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb import load_dataset, normalize_images, padding_mask, train_tokenizer
from clipnb.training import iterate_batches


def test_shapes_and_labels(small):
    dataset = small("train")
    assert dataset.images.shape == (48, 3, 32, 32) and dataset.images.dtype == np.uint8
    assert len(dataset.captions) == len(dataset.labels) == 48 and {
        len(c) for c in dataset.captions
    } == {5}
    first = dataset.subset([3, 1])
    assert (
        first.image_ids == [dataset.image_ids[3], dataset.image_ids[1]]
        and (first.images[0] == dataset.images[3]).all()
    )
    assert first.labels == [dataset.labels[3], dataset.labels[1]] and first.captions == [
        dataset.captions[3],
        dataset.captions[1],
    ]


def test_pixels_are_the_image_squashed(small, small_root):
    dataset = small("dev", image_size=48)  # as drawn: nothing to resize
    with Image.open(small_root / "small" / "Images" / dataset.image_ids[0]) as image:
        assert (dataset.images[0].transpose(1, 2, 0) == np.asarray(image.convert("RGB"))).all()


def test_second_time_comes_from_the_cache_and_changed_images_do_not(small, small_root, monkeypatch):
    import clipnb.datasets

    once, read = small("dev"), []
    monkeypatch.setattr(
        clipnb.datasets,
        "read_image",
        lambda path, size: read.append(path) or np.zeros((size, size, 3), np.uint8),
    )
    assert (small("dev").images == once.images).all() and not read
    image = small_root / "small" / "Images" / once.image_ids[0]
    stat = image.stat()
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    small("dev")
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(read) == 20, "one of them has another date: decoded anew"


def own_folder(root, n=10):
    (root / "holiday" / "Images").mkdir(parents=True)
    rows = ["image,caption"]
    for i in range(n):
        Image.new("RGB", (30, 20), (25 * i, 0, 0)).save(root / "holiday" / "Images" / f"p{i}.jpg")
        rows.append(f"p{i}.jpg,image number {i}, with a comma")
    (root / "holiday" / "captions.txt").write_text("\n".join(rows))


def test_your_own_folder_and_a_broken_image_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    own_folder(tmp_path)
    before = sorted(p for p in (tmp_path / "holiday").rglob("*"))
    names = load_dataset("holiday", "train", 16, root=tmp_path).image_ids
    broken = tmp_path / "holiday" / "Images" / names[2]
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.warns(UserWarning, match=f"skipped unreadable image {names[2]}"):
        dataset = load_dataset("holiday", "train", 16, root=tmp_path)
    assert dataset.skipped == [names[2]] and dataset.image_ids == [
        n for n in names if n != names[2]
    ]
    assert len(dataset.images) == len(dataset.captions) == len(dataset) == len(
        names
    ) - 1 and ", 1 skipped)" in repr(dataset)
    assert sorted(p for p in (tmp_path / "holiday").rglob("*")) == before, (
        "a dataset folder is never written to"
    )


def test_missing_dataset_and_unknown_split_say_what_to_do(small, tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m clipnb download flickr8k") as error:
        load_dataset("flickr8k", "train", root=tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(ValueError, match="no split 'validation'.*dev, test, train"):
        small("validation")


def test_normalize():
    values = normalize_images(np.array([0, 255], dtype=np.uint8).reshape(1, 1, 1, 2))
    assert values.flatten().tolist() == [-1.0, 1.0]


def test_an_epoch_holds_no_image_twice(small, recipe):
    dataset, recipe = (
        small("train").subset(range(40)),
        dataclasses.replace(
            recipe, stored_size=32, min_crop_area=1.0, flip=False, colour=0.0, token_dropout=0.0
        ),
    )
    tokenizer = train_tokenizer([c for five in dataset.captions for c in five], 300)
    tokens = tokenizer([c for five in dataset.captions for c in five]).view(40, 5, -1)
    seen = []
    for images, rows in iterate_batches(dataset, tokens, recipe, torch.device("cpu")):
        assert images.shape == (16, 3, 32, 32) and rows.shape[:2] == (2, 16)
        assert padding_mask(rows.flatten(0, 1)).sum(1).max() == rows.shape[2], (
            "padded to the longest caption, no further"
        )
        for i, image in enumerate(images):
            number = next(
                n for n in range(40) if torch.equal(normalize_images(dataset.images[n]), image)
            )
            own = {tuple(tokens[number, k][tokens[number, k] > 0].tolist()) for k in range(5)}
            assert all(tuple(row[i][row[i] > 0].tolist()) in own for row in rows), (
                "an image goes with its own captions"
            )
            seen.append(number)
    assert len(seen) == len(set(seen)) == 32, "two batches of 16; a third would be too small"


def test_turned_and_colourless_images_of_your_own(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    own_folder(tmp_path)
    images, wide = tmp_path / "holiday" / "Images", np.zeros((16, 16, 3), np.uint8)
    wide[:8] = 255  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me a quarter clockwise": what was up is on the right
    Image.fromarray(wide).save(images / "p0.jpg", exif=exif)
    for name, mode in ("p1.jpg", "L"), ("p2.jpg", "CMYK"):
        Image.new(mode, (16, 16), 128 if mode == "L" else (255, 0, 0, 0)).save(images / name)
    (tmp_path / "holiday" / "splits").mkdir()
    (tmp_path / "holiday" / "splits" / "train.txt").write_text("p0.jpg\np1.jpg\np2.jpg\n")
    turned, grey, cyan = load_dataset("holiday", "train", 16, root=tmp_path).images.astype(int)
    assert turned[:, :, 10:].min() > 200 and turned[:, :, :6].max() < 60
    assert abs(grey - 128).max() < 4 and cyan[0].max() < 60 < cyan[2].min()


def test_too_few_images_for_a_split(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    own_folder(tmp_path, 2)
    with pytest.raises(ValueError, match="the split 'dev' of holiday is empty; .*three images"):
        load_dataset("holiday", "dev", 16, root=tmp_path)


def test_rows_visit_every_caption_once_beside_its_own_siblings(small, recipe):
    dataset = small("train").subset(range(20))
    recipe = dataclasses.replace(
        recipe,
        stored_size=32,
        min_crop_area=1.0,
        flip=False,
        colour=0.0,
        token_dropout=0.0,
        sampling="rows",
        batch_size=50,
    )
    tokens = torch.arange(1, 101).view(20, 5, 1)  # every caption a number of its own
    seen, siblings = [], 0
    for images, rows in iterate_batches(dataset, tokens, recipe, torch.device("cpu")):
        owners = (rows[0, :, 0] - 1) // 5
        torch.testing.assert_close(images, normalize_images(dataset.images[owners.numpy()]))
        seen += rows.flatten().tolist()
        siblings += len(owners) - len(owners.unique())
    assert sorted(seen) == list(range(1, 101)) and siblings > 0, (
        "20 images cannot fill 50 rows without siblings"
    )


def test_images_smaller_than_asked_for_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    own_folder(tmp_path)
    with pytest.warns(UserWarning, match=r"64 pixels a side, but p\d.jpg has only 30 x 20"):
        load_dataset("holiday", "train", 64, root=tmp_path)
