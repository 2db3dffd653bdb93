"""From a folder to arrays: what is decoded, kept, skipped, and never written."""

import dataclasses
import os

import numpy as np
import pytest
import torch
from PIL import Image

import clipnb.datasets
from clipnb import load_dataset, normalize_images, padding_mask, train_tokenizer
from clipnb.batches import iterate_batches


def test_shapes_and_labels(small):
    dataset = small("train")
    assert dataset.images.shape == (48, 3, 32, 32)
    assert dataset.images.dtype == np.uint8
    assert len(dataset.captions) == len(dataset.labels) == 48
    assert {len(own) for own in dataset.captions} == {5}


def test_a_subset_keeps_the_order_of_its_indices(small):
    dataset = small("train")
    subset = dataset.subset([3, 1])
    assert (subset.images == dataset.images[[3, 1]]).all()
    assert subset.image_ids == [dataset.image_ids[3], dataset.image_ids[1]]
    assert subset.labels == [dataset.labels[3], dataset.labels[1]]
    assert subset.captions == [dataset.captions[3], dataset.captions[1]]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_a_subset_may_be_chosen_by_a_mask(small, kind):
    dataset = small("train")
    mask = [i in (1, 3) for i in range(48)]
    subset = dataset.subset(kind(mask))
    assert (subset.images == dataset.images[[1, 3]]).all()
    assert subset.image_ids == [dataset.image_ids[1], dataset.image_ids[3]]
    assert subset.captions == [dataset.captions[1], dataset.captions[3]]


def test_pixels_are_the_image_squashed(small, small_root):
    dataset = small("dev", image_size=48)  # the size at which it was drawn: nothing to resize
    with Image.open(small_root / "small" / "Images" / dataset.image_ids[0]) as image:
        pixels = np.asarray(image.convert("RGB"))  # (48, 48, 3)
    assert (dataset.images[0].transpose(1, 2, 0) == pixels).all()


def test_the_cache_is_used_until_an_image_changes(small, small_root, monkeypatch):
    decoded = []

    def count_and_read(path, image_size, crop):
        decoded.append(path)
        return np.zeros((image_size, image_size, 3), np.uint8)

    before = small("dev")
    monkeypatch.setattr(clipnb.datasets.decoded, "read_image", count_and_read)
    assert (small("dev").images == before.images).all()
    assert decoded == []

    image = small_root / "small" / "Images" / before.image_ids[0]
    stat = image.stat()
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    small("dev")
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(decoded) == 20, "one image has another date, so the split is decoded anew"


def test_two_folders_with_one_relative_path_have_caches_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    found = []
    for project, grey in (("one", 40), ("two", 200)):
        folder = tmp_path / project / "data" / "own"
        folder.mkdir(parents=True)
        Image.new("L", (8, 8), grey).save(folder / "a.bmp")
        os.utime(folder / "a.bmp", ns=(10**18, 10**18))  # as an archive may have set it
        (folder / "a.txt").write_text("a grey square")
        monkeypatch.chdir(tmp_path / project)
        found.append(load_dataset("own", "train", 8, root="data").images[0, 0, 0, 0])
    assert found == [40, 200]


def make_own_folder(root, n=10):
    """Make a reader's own folder `holiday` with `n` images and one caption each."""
    images = root / "holiday" / "Images"
    images.mkdir(parents=True)
    rows = ["image,caption"]
    for i in range(n):
        Image.new("RGB", (30, 20), (25 * i, 0, 0)).save(images / f"p{i}.jpg")
        rows.append(f"p{i}.jpg,image number {i}, with a comma")
    (root / "holiday" / "captions.txt").write_text("\n".join(rows))


@pytest.fixture
def own_root(tmp_path, monkeypatch):
    """A data folder with the reader's own folder `holiday`; the cache is temporary."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    make_own_folder(tmp_path)
    return tmp_path


def test_a_broken_image_is_skipped_and_your_own_folder_is_not_written_to(own_root):
    before = sorted((own_root / "holiday").rglob("*"))
    names = load_dataset("holiday", "train", 16, root=own_root).image_ids
    broken = own_root / "holiday" / "Images" / names[2]
    broken.write_bytes(broken.read_bytes()[:200])
    message = rf"holiday leaves out 1 unreadable image file \({names[2]}: .*Truncated"
    for _ in ("decoded now", "from the cache"):
        with pytest.warns(UserWarning, match=message):
            dataset = load_dataset("holiday", "train", 16, root=own_root)
    assert dataset.skipped == [names[2]]
    assert dataset.image_ids == [name for name in names if name != names[2]]
    assert len(dataset) == len(dataset.images) == len(dataset.captions) == len(names) - 1
    assert ", 1 skipped)" in repr(dataset)
    assert sorted((own_root / "holiday").rglob("*")) == before


def test_missing_dataset_and_unknown_split_say_what_to_do(small, tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m clipnb download flickr8k") as error:
        load_dataset("flickr8k", "train", root=tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(ValueError, match="no split 'validation'.*dev, test, train"):
        small("validation")


def test_normalize():
    values = normalize_images(np.array([0, 255], dtype=np.uint8).reshape(1, 1, 1, 2))
    assert values.flatten().tolist() == [-1.0, 1.0]


def without_augmentation(recipe, **changes):
    """Return a recipe that changes no pixel and drops no token."""
    return dataclasses.replace(
        recipe,
        stored_size=32,
        min_crop_area=1.0,
        flip=False,
        colour=0.0,
        token_dropout=0.0,
        **changes,
    )


def find_image(image, dataset):
    """Return the number of a normalized image in a dataset."""
    for number in range(len(dataset)):
        if torch.equal(normalize_images(dataset.images[number]), image):
            return number
    raise AssertionError("the image is not in the dataset")


def strip_padding(tokens):
    return tuple(tokens[tokens > 0].tolist())


def test_an_epoch_holds_no_image_twice(small, recipe):
    dataset = small("train").subset(range(40))
    captions = [caption for own in dataset.captions for caption in own]
    tokenizer = train_tokenizer(captions, 300)
    tokens = tokenizer(captions).view(40, 5, -1)
    seen = []
    for images, rows in iterate_batches(
        dataset, tokens, without_augmentation(recipe), torch.device("cpu")
    ):
        assert images.shape == (16, 3, 32, 32)
        assert rows.shape[:2] == (2, 16)
        longest = padding_mask(rows.flatten(0, 1)).sum(1).max()
        assert longest == rows.shape[2], "padded to the longest caption, no further"
        for i, image in enumerate(images):
            number = find_image(image, dataset)
            own = {strip_padding(caption) for caption in tokens[number]}
            for row in rows:
                assert strip_padding(row[i]) in own, "an image goes with its own captions"
            seen.append(number)
    assert len(seen) == len(set(seen)) == 32, "two batches of 16; a third would be too small"


def test_rows_visit_every_caption_once_beside_its_own_siblings(small, recipe):
    dataset = small("train").subset(range(20))
    recipe = without_augmentation(recipe, sampling="rows", batch_size=50)
    tokens = torch.arange(1, 101).view(20, 5, 1)  # every caption a number of its own
    seen, siblings = [], 0
    for images, rows in iterate_batches(dataset, tokens, recipe, torch.device("cpu")):
        owners = (rows[0, :, 0] - 1) // 5
        torch.testing.assert_close(images, normalize_images(dataset.images[owners.numpy()]))
        seen += rows.flatten().tolist()
        siblings += len(owners) - len(owners.unique())
    assert sorted(seen) == list(range(1, 101))
    assert siblings > 0, "20 images cannot fill 50 rows without siblings"


def test_turned_and_colourless_images_of_your_own(own_root):
    images = own_root / "holiday" / "Images"
    upper_half_white = np.zeros((16, 16, 3), np.uint8)
    upper_half_white[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me a quarter clockwise": what was up is on the right
    Image.fromarray(upper_half_white).save(images / "p0.jpg", exif=exif)
    Image.new("L", (16, 16), 128).save(images / "p1.jpg")
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(images / "p2.jpg")
    splits = own_root / "holiday" / "splits"
    splits.mkdir()
    (splits / "train.txt").write_text("p0.jpg\np1.jpg\np2.jpg\n")

    dataset = load_dataset("holiday", "train", 16, root=own_root)
    turned, grey, cyan = dataset.images.astype(int)
    assert turned[:, :, 10:].min() > 200
    assert turned[:, :, :6].max() < 60
    assert abs(grey - 128).max() < 4
    assert cyan[0].max() < 60 < cyan[2].min()


def test_too_few_images_for_a_split(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    make_own_folder(tmp_path, 2)
    with pytest.raises(ValueError, match="the split 'dev' of holiday is empty; .*three images"):
        load_dataset("holiday", "dev", 16, root=tmp_path)


def test_images_smaller_than_asked_for_are_named(own_root):
    with pytest.warns(UserWarning, match=r"64 pixels a side, but p\d.jpg has only 30 x 20"):
        load_dataset("holiday", "train", 64, root=own_root)
