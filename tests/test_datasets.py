"""From a folder to arrays: what is decoded, kept, skipped, and never written."""

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb import load_dataset, normalize_images, padding_mask, train_tokenizer
from clipnb.augment import augment, drop_words, random_crop
from clipnb.training import batches


def test_shapes_and_labels(small):
    dataset = small("train")
    assert dataset.images.shape == (48, 3, 32, 32) and dataset.images.dtype == np.uint8
    assert len(dataset.captions) == len(dataset.labels) == 48 and {len(c) for c in dataset.captions} == {5}
    first = dataset.subset([3, 1])
    assert first.image_ids == [dataset.image_ids[3], dataset.image_ids[1]] and (first.images[0] == dataset.images[3]).all()


def test_pixels_are_the_picture_squashed(small, small_root):
    dataset = small("dev", image_size=48)  # as drawn: nothing to resize
    with Image.open(small_root / "small" / "Images" / dataset.image_ids[0]) as picture:
        assert (dataset.images[0].transpose(1, 2, 0) == np.asarray(picture.convert("RGB"))).all()


def test_second_time_comes_from_the_cache_and_changed_pictures_do_not(small, small_root, monkeypatch):
    import clipnb.datasets

    once = small("dev")
    monkeypatch.setattr(clipnb.datasets, "read_picture", lambda *_: pytest.fail("decoded twice"))
    assert (small("dev").images == once.images).all()
    monkeypatch.undo()


def own_folder(root, n=10):
    (root / "holiday" / "Images").mkdir(parents=True)
    rows = ["image,caption"]
    for i in range(n):
        Image.new("RGB", (30, 20), (25 * i, 0, 0)).save(root / "holiday" / "Images" / f"p{i}.jpg")
        rows.append(f"p{i}.jpg,picture number {i}, with a comma")
    (root / "holiday" / "captions.txt").write_text("\n".join(rows))


def test_your_own_folder_and_a_broken_picture_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    own_folder(tmp_path)
    before = sorted(p for p in (tmp_path / "holiday").rglob("*"))
    names = load_dataset("holiday", "train", 16, root=tmp_path).image_ids
    broken = tmp_path / "holiday" / "Images" / names[2]
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.warns(UserWarning, match=f"skipped unreadable picture {names[2]}"):
        dataset = load_dataset("holiday", "train", 16, root=tmp_path)
    assert dataset.skipped == [names[2]] and dataset.image_ids == [n for n in names if n != names[2]]
    assert len(dataset.images) == len(dataset.captions) == len(dataset) == len(names) - 1
    assert sorted(p for p in (tmp_path / "holiday").rglob("*")) == before, "a dataset folder is never written to"


def test_missing_dataset_and_unknown_split_say_what_to_do(small, tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m clipnb download flickr8k") as error:
        load_dataset("flickr8k", "train", root=tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(ValueError, match="no split 'validation'.*dev, test, train"):
        small("validation")


def test_normalize():
    values = normalize_images(np.array([0, 255], dtype=np.uint8).reshape(1, 1, 1, 2))
    assert values.flatten().tolist() == [-1.0, 1.0]


def test_a_batch_never_holds_a_picture_twice_and_an_epoch_holds_each_once(small, recipe):
    import dataclasses

    dataset, recipe = small("train"), dataclasses.replace(recipe, stored_size=32, min_crop=1.0, flip=False, colour=0.0, word_dropout=0.0)
    tokenizer = train_tokenizer([c for five in dataset.captions for c in five], 300)
    tokens = tokenizer([c for five in dataset.captions for c in five]).view(48, 5, -1)
    seen = []
    for images, rows in batches(dataset, tokens, recipe, torch.device("cpu")):
        assert images.shape == (16, 3, 32, 32) and rows.shape[:2] == (2, 16)
        assert padding_mask(rows.flatten(0, 1)).sum(1).max() == rows.shape[2], "padded to the longest caption, no further"
        for i, image in enumerate(images):
            number = next(n for n in range(48) if torch.equal(normalize_images(dataset.images[n]), image))
            own = {tuple(tokens[number, k][tokens[number, k] > 0].tolist()) for k in range(5)}
            assert all(tuple(row[i][row[i] > 0].tolist()) in own for row in rows), "a picture goes with its own captions"
            seen.append(number)
    assert sorted(seen) == list(range(48))


def test_crops_differ_within_a_batch_and_no_change_is_the_identity(recipe):
    import dataclasses

    plain = dataclasses.replace(recipe, image_size=40, min_crop=1.0, flip=False, colour=0.0)
    images = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8).repeat(6, 1, 1, 1)
    torch.testing.assert_close(augment(images, plain), normalize_images(images))
    torch.testing.assert_close(random_crop(normalize_images(images), 40, 1.0, flip=False), normalize_images(images), atol=1e-4, rtol=0)
    changed = augment(images, recipe)
    assert changed.shape == (6, 3, 32, 32)
    assert all((changed[0] - other).abs().max() > 0.05 for other in changed[1:])


def test_dropped_words_keep_order_and_both_ends():
    tokens = torch.tensor([[1, 5, 6, 0, 7, 2, 0, 0]]).repeat(200, 1)
    dropped = drop_words(tokens, 0.5)
    lengths = padding_mask(dropped).sum(1)
    assert lengths.min() < 6 and (dropped[:, 0] == 1).all() and (dropped.gather(1, lengths[:, None] - 1) == 2).all()
    inner = [[t for t in row.tolist() if t in (5, 6, 7)] for row in dropped]
    assert all(row == sorted(row) for row in inner) and 0.4 < sum(map(len, inner)) / 600 < 0.6
