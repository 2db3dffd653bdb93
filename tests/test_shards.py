"""Shards: written whole, read once each epoch, split among processes, resumed, and damaged."""

import dataclasses
import itertools
import json
import sys
import warnings

import numpy as np
import pytest
import torch
from run_parts import flatten_weights, interrupt_at_step, list_losses

import clipnb.loop
from clipnb import load_run, run_data, seed_everything, train
from clipnb.batches import iterate_batches
from clipnb.bench.streaming import compare_shards_with_memory, measure_mapped_memory
from clipnb.datasets import CaptionDataset, shard_files
from clipnb.datasets.shard_files import write_shards
from clipnb.datasets.shards import ShardFolder
from clipnb.features import tokenize
from clipnb.loop import make_tokenizer
from clipnb.runs import load_run_dataset
from clipnb.steps import train_step
from clipnb.streaming import ShardBatches
from clipnb.tokenizer import train_tokenizer

webdataset = pytest.importorskip("webdataset")
few_dev_images = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


@pytest.fixture
def dataset():
    """300 tiny images, each of which holds its number, with five captions that name it."""
    numbers = np.arange(300)
    images = np.zeros((300, 3, 4, 4), np.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = numbers // 256, numbers % 256
    captions = [[f"image {i} caption {k}" for k in range(5)] for i in numbers]
    return CaptionDataset("tiny", "train", images, captions, [f"{i}.jpg" for i in numbers])


@pytest.fixture
def folder(dataset, tmp_path):
    """The images as six shards of 50."""
    write_shards(dataset, tmp_path / "shards", pairs_per_shard=50)
    return tmp_path / "shards"


def read_number(image):
    return 256 * int(image[0, 0, 0]) + int(image[1, 0, 0])


def list_epoch(folder, epoch=0, batch_size=20, first_step=0, **place):
    """The batches of an epoch: of each the numbers of its images, and its captions."""
    source = ShardFolder(folder, **place)
    batches = source.iterate_epoch(batch_size, 2, seed=7, epoch=epoch, first_step=first_step)
    return [([read_number(image) for image in images], captions) for images, captions in batches]


def flatten(batches):
    return [number for numbers, _ in batches for number in numbers]


# ---- writing ---------------------------------------------------------------------------------


def test_the_library_reads_what_is_written(folder, dataset):
    paths = [str(path) for path in sorted(folder.glob("*.tar"))]
    seen = {}
    for sample in webdataset.WebDataset(paths, shardshuffle=False).decode():
        about = sample["json"]
        for image, name, own in zip(
            sample["npy"], about["image_ids"], about["captions"], strict=True
        ):
            seen[name] = (image, own)
    assert sorted(seen) == sorted(dataset.image_ids)
    for i, name in enumerate(dataset.image_ids):
        assert np.array_equal(seen[name][0], dataset.images[i])
        assert seen[name][1] == dataset.captions[i]  # the captions of an image stay together


def test_the_index_tells_names_pairs_and_bytes(folder):
    index = json.loads((folder / "shards.json").read_text())
    assert {path.name for path in folder.iterdir()} == {
        "shards.json",
        *(each["name"] for each in index["shards"]),
    }
    assert [each["pairs"] for each in index["shards"]] == [50] * 6
    for each in index["shards"]:
        path = folder / each["name"]
        assert each["bytes"] == path.stat().st_size
        assert each["sha256"] == shard_files.compute_digest(path)
    assert (index["dataset"], index["image_size"], index["pairs"]) == ("tiny", 4, 300)


def test_interrupted_writing_goes_on_after_the_last_whole_shard(
    dataset, folder, tmp_path, monkeypatch
):
    write_shard, numbers = shard_files.write_shard, itertools.count(1)

    def write_or_stop(*arguments, **options):
        write_shard(*arguments, **options)
        if next(numbers) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(shard_files, "write_shard", write_or_stop)
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        write_shards(dataset, other, pairs_per_shard=50)
    whole = ["shard-000000.tar", "shard-000001.tar"]
    assert sorted(path.name for path in other.iterdir()) == [*whole, "unfinished.json"]
    with pytest.raises(FileNotFoundError, match="not all written yet; run `clipnb shards"):
        ShardFolder(other)
    write_shards(dataset, other, pairs_per_shard=50)
    assert next(numbers) == 8  # four more were written: 3 to 6
    for path in folder.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


@pytest.mark.parametrize("moment", ["write_shard", "compute_digest"])
def test_writing_goes_on_however_little_was_written(dataset, folder, tmp_path, monkeypatch, moment):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    other = tmp_path / "other"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shard_files, moment, stop)
        write_shards(dataset, other, pairs_per_shard=50)
    write_shards(dataset, other, pairs_per_shard=50)
    for path in folder.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "clipnb shards, version 1"}'])
@pytest.mark.parametrize("name", ["shards.json", "unfinished.json"])
def test_a_damaged_index_of_shards_says_what_to_delete(dataset, folder, name, content):
    (folder / "shards.json").rename(folder / name)
    (folder / name).write_text(content)
    with pytest.raises(ValueError) as error:
        write_shards(dataset, folder, pairs_per_shard=50)
    assert str(error.value).startswith(f"{folder / name} is damaged; delete {folder}, then run ")


def test_a_shard_of_no_pairs_is_refused(dataset, tmp_path):
    for n in (0, -1):
        with pytest.raises(ValueError, match=f"cannot hold {n} pairs"):
            write_shards(dataset, tmp_path / "none", pairs_per_shard=n)
    assert not (tmp_path / "none").exists()


def test_a_finished_folder_is_left_as_it_is_and_a_broken_shard_is_mended(dataset, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_shards(dataset, folder, pairs_per_shard=50)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    (folder / "shard-000004.tar").write_bytes(b"broken")
    write_shards(dataset, folder, pairs_per_shard=50)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_else_in_a_folder_is_touched(dataset, folder, tmp_path):
    with pytest.raises(ValueError, match="holds shards of tiny at 4 px, made otherwise"):
        write_shards(dataset, folder, pairs_per_shard=60)
    other = dataclasses.replace(dataset, images=dataset.images[::-1])
    with pytest.raises(ValueError, match="before its images or captions changed"):
        write_shards(other, folder, pairs_per_shard=50)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "me.jpg").write_bytes(b"photo")
    with pytest.raises(ValueError, match="holds other files; choose an empty folder"):
        write_shards(dataset, photos)
    assert [path.name for path in photos.iterdir()] == ["me.jpg"]


# ---- reading ---------------------------------------------------------------------------------


def test_an_epoch_visits_every_pair_once_with_captions_of_its_own(folder):
    batches = list_epoch(folder)
    assert [len(numbers) for numbers, _ in batches] == [20] * 15
    assert sorted(flatten(batches)) == list(range(300))
    for numbers, captions in batches:
        assert len(captions) == 2
        first, second = captions
        for number, one, other in zip(numbers, first, second, strict=True):
            assert one.startswith(f"image {number} ") and other.startswith(f"image {number} ")
            assert one != other


def test_the_order_comes_from_seed_and_epoch(folder):
    first, again, next_epoch = list_epoch(folder), list_epoch(folder), list_epoch(folder, epoch=1)
    assert first == again
    assert flatten(first) != flatten(next_epoch)
    assert sorted(flatten(next_epoch)) == list(range(300))
    shards_of_first_batch = {number // 50 for number in first[0][0]}
    assert len(shards_of_first_batch) > 2  # several shards are mixed


def test_an_epoch_goes_on_where_it_stopped(folder):
    whole = list_epoch(folder)
    for first_step in (1, 7, 14, 15):
        assert list_epoch(folder, first_step=first_step) == whole[first_step:]


def test_processes_share_an_epoch_without_a_pair_in_common(folder):
    parts = [list_epoch(folder, batch_size=15, rank=rank, world_size=3) for rank in range(3)]
    assert [[len(numbers) for numbers, _ in part] for part in parts] == [[5] * 20] * 3
    assert sorted(flatten(itertools.chain(*parts))) == list(range(300))


def test_workers_share_the_part_of_their_process(folder):
    places = [{"rank": rank, "world_size": 2, "workers": 2} for rank in range(2)]
    # A part has one shard of six at least, and 50 pairs are five batches of 10.
    parts = [list_epoch(folder, **place) for place in places]
    assert [len(part) for part in parts] == [10, 10]
    seen = flatten(itertools.chain(*parts))
    assert len(set(seen)) == len(seen) == 200
    assert list_epoch(folder, first_step=3, **places[1]) == parts[1][3:]


def test_a_split_that_cannot_be_is_refused_in_one_line(folder):
    with pytest.raises(ValueError, match=r"6 shards cannot be split among 8 .*--pairs 9`\.$"):
        ShardFolder(folder, rank=0, world_size=8)
    with pytest.raises(ValueError, match="4 processes cannot share a batch of 30 pairs evenly"):
        ShardFolder(folder, rank=0, world_size=4).count_steps(30)
    with pytest.raises(ValueError, match="a batch of 400 pairs is larger than"):
        ShardFolder(folder).count_steps(400)


# ---- damage ----------------------------------------------------------------------------------


def test_a_shard_cut_short_is_named_and_the_epoch_goes_on(folder, dataset):
    path = folder / "shard-000002.tar"
    whole = path.read_bytes()
    lost = {}
    # Of 50 pairs the blocks have 16, 16, 16 and 2.
    for share in (0.6, 0.3, 0):
        path.write_bytes(whole[: int(len(whole) * share)])
        kept = shard_files.count_pairs(path)
        message = f"^shard-000002.tar in .* was cut short: {50 - kept} of its 50 pairs are skipped"
        with pytest.warns(UserWarning, match=message):
            seen = flatten(list_epoch(folder, batch_size=1))
        assert len(set(seen)) == len(seen) == 250 + kept
        lost[share] = 50 - kept
    assert lost[0] == 50 and 0 < lost[0.6] < 50


def test_a_missing_a_changed_and_no_shard_are_told_in_one_line(folder, tmp_path):
    path = folder / "shard-000001.tar"
    content = path.read_bytes()
    path.write_bytes(content[:2000] + b"x" + content[2001:])
    with pytest.raises(ValueError, match=r"shard-000001.tar has changed since it was written"):
        ShardFolder(folder)
    path.unlink()
    command = f"clipnb shards tiny {folder} --image-size 4 --pairs 50"
    with pytest.raises(FileNotFoundError) as caught:
        ShardFolder(folder)
    assert str(caught.value) == (
        f"{folder}: 1 of 6 shards are missing, the first is shard-000001.tar; put them back, or "
        f"run `{command}`."
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="it holds no shards; run `clipnb shards DATASET"):
        ShardFolder(tmp_path / "empty")
    (folder / "shards.json").write_text("{")
    with pytest.raises(ValueError, match="shards.json is damaged"):
        ShardFolder(folder)


def test_a_shard_that_is_cut_while_an_epoch_runs_ends_it_in_one_line(folder):
    source = ShardFolder(folder)
    (folder / "shard-000003.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="has lost pairs since training began.*--resume"):
        list(source.iterate_epoch(20, 1, seed=0, epoch=0))


# ---- training --------------------------------------------------------------------------------


def test_a_batch_of_all_pairs_is_the_one_in_memory(small, recipe, tmp_path):
    """The batch in memory and the one of the shards hold the same pairs in another order."""
    plain = dataclasses.replace(
        recipe,
        batch_size=48,
        stored_size=32,
        captions_per_image=5,
        min_crop_area=1.0,
        flip=False,
        colour=0.0,
        token_dropout=0.0,
    )
    dataset, cpu = small("train"), torch.device("cpu")
    write_shards(dataset, tmp_path / "shards", pairs_per_shard=10)
    tokenizer = make_tokenizer(plain, dataset.captions)
    tokens = tokenize(tokenizer, dataset.captions)
    batches = ShardBatches(ShardFolder(tmp_path / "shards"), tokenizer, seed=0)
    ours = next(batches.open_epoch(plain, cpu))
    theirs = next(iterate_batches(dataset, tokens, plain, cpu))
    assert [part.shape for part in ours] == [part.shape for part in theirs]
    assert [part.dtype for part in ours] == [part.dtype for part in theirs]

    def list_pairs(images, texts):
        return sorted(
            (image.sum().item(), sorted(tuple(own) for own in captions.tolist()))
            for image, captions in zip(images, texts.transpose(0, 1), strict=True)
        )

    assert list_pairs(*ours) == list_pairs(*theirs)


def test_remembered_captions_have_the_tokens_of_the_tokenizer(dataset, folder, monkeypatch):
    monkeypatch.setattr("clipnb.streaming.MOST_REMEMBERED", 4)
    captions = [caption for own in dataset.captions for caption in own]
    tokenizer = train_tokenizer(captions, 300)
    batches = ShardBatches(ShardFolder(folder), tokenizer, seed=0)
    texts = ["image 3", "image 255 caption 4", "image 3", "sea"]
    for _ in range(3):
        assert torch.equal(batches.tokenize(texts), tokenizer(texts))
        assert torch.equal(batches.tokenize(captions[:9]), tokenizer(captions[:9]))
    assert len(batches.remembered) == 3 + 9  # nothing is added to four or more


@pytest.fixture
def sharded(small, small_root, tmp_path, monkeypatch):
    """The dataset `small` as shards of 10 pairs at 40 px; its name as a dataset is their path."""
    folder = tmp_path / "small_shards"
    write_shards(small("train", 40), folder, pairs_per_shard=10)
    return folder


@few_dev_images
@pytest.mark.parametrize("stop", [3, 6, 9])  # of six steps an epoch
def test_a_run_that_stops_in_an_epoch_goes_on_bit_for_bit(
    sharded, recipe, tmp_path, monkeypatch, stop
):
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 2)
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, epochs=2, ema=0.5)
    whole = train(recipe, 3, tmp_path / "whole")
    with interrupt_at_step(stop):
        train(recipe, 3, tmp_path / "broken")
    seed_everything(99)  # whatever happened in between must not matter
    taken = []

    def count_step(*arguments):
        taken.append(1)
        return train_step(*arguments)

    monkeypatch.setattr(clipnb.loop, "train_step", count_step)
    resumed = train(recipe, 3, tmp_path / "broken", resume=True)
    assert len(taken) == 12 - (stop - 1) // 2 * 2  # only what was not saved is done again
    assert torch.equal(flatten_weights(whole), flatten_weights(resumed))
    assert list_losses(whole) == list_losses(resumed)


def test_only_the_first_process_saves(folder, monkeypatch):
    saved = []
    monkeypatch.setattr("clipnb.streaming.save_state", lambda *arguments: saved.append(arguments))
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 2)
    for rank in (1, 0):
        batches = ShardBatches(ShardFolder(folder, rank, 2), None, seed=0)
        for n in range(1, 6):
            batches.save_now_and_then(None, None, None, [torch.tensor(1.0)] * n)
        assert len(saved) == (0 if rank else 2)
    assert [len(partial["losses"]) for *_, partial in saved] == [2, 4]


@few_dev_images
def test_an_epoch_of_other_shards_begins_anew(sharded, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 1)
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, epochs=1)
    with interrupt_at_step(3):
        train(recipe, 0, tmp_path / "run")
    path = sharded / "shard-000001.tar"
    path.write_bytes(path.read_bytes()[:1000])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = train(recipe, 0, tmp_path / "run", resume=True)
    told = [str(warning.message) for warning in caught]
    assert any("was cut short" in text for text in told)
    assert any("epoch 1 begins anew" in text for text in told)
    assert len(run.history) == 1


@few_dev_images
def test_a_successor_that_stops_in_an_epoch_goes_on_in_next(sharded, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 2)
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, epochs=1)
    first = train(recipe, 3, tmp_path / "run")
    with interrupt_at_step(4):
        train(recipe, 3, tmp_path / "run")
    assert (tmp_path / "run" / "next" / "state.pt").exists()
    assert torch.equal(flatten_weights(load_run(tmp_path / "run")), flatten_weights(first))
    taken = []

    def count_step(*arguments):
        taken.append(1)
        return train_step(*arguments)

    monkeypatch.setattr(clipnb.loop, "train_step", count_step)
    resumed = train(recipe, 3, tmp_path / "run", resume=True)
    assert len(taken) == 4  # of six, two of which were saved
    assert torch.equal(flatten_weights(resumed), flatten_weights(first))
    assert not (tmp_path / "run" / "next").exists()


@few_dev_images
def test_a_run_knows_the_shards_that_it_was_trained_on(sharded, small, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, epochs=2)
    with interrupt_at_step(8):
        train(recipe, 0, tmp_path / "run")
    for path in sharded.iterdir():
        path.unlink()
    dataset = small("train", 40)
    write_shards(dataset, sharded, pairs_per_shard=12)  # the same pairs
    run = train(recipe, 0, tmp_path / "run", resume=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_run_dataset(run, "train")
        load_run_dataset(run, "dev")
    # An image that was moved from train to test since the shards were written.
    test_set = dataclasses.replace(dataset.subset([3]), name=str(sharded), split="test")
    found = run_data.find_differences(run.folder, test_set)
    assert f"1 of the 1 images of test were trained on ({dataset.image_ids[3]})" in found
    with interrupt_at_step(8):
        train(recipe, 0, tmp_path / "run")
    for path in sharded.iterdir():
        path.unlink()
    changed = [["something else"] * 5, *dataset.captions[1:]]
    write_shards(dataclasses.replace(dataset, captions=changed), sharded, pairs_per_shard=10)
    with pytest.raises(ValueError, match="the images or captions of train have changed"):
        train(recipe, 0, tmp_path / "run", resume=True)


def test_the_images_of_a_diverged_step_are_those_of_its_batch(sharded, small, recipe, tmp_path):
    dataset = small("train", 40)
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, stored_size=40)
    seen = []

    def note(model, optimizer, images, tokens, recipe):
        seen.append(images)
        return torch.tensor(torch.inf if len(seen) == 4 else 1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clipnb.loop, "train_step", note)
        with pytest.raises(RuntimeError, match=r"at step 4 \(epoch 1\)") as error:
            train(recipe, 0, tmp_path / "run")
    named = str(error.value).split("the images ")[1].split(", …")[0].split(", ")
    found = ShardFolder(sharded).find_image_ids(8, 0, 0, step=3)
    assert named == found[:5]
    batches = list(ShardFolder(sharded).iterate_epoch(8, 1, 0, 0))
    for image_id, image in zip(found, batches[3][0], strict=True):
        assert (image.numpy() == dataset.images[dataset.image_ids.index(image_id)]).all()


def test_the_images_of_a_batch_are_found_in_the_parts_of_all_processes(folder, dataset):
    parts = [ShardFolder(folder, rank, 2, workers=2) for rank in (0, 1)]
    epochs = [list(part.iterate_epoch(8, 1, 5, 1)) for part in parts]
    for step in range(len(epochs[0])):
        found = parts[1].find_image_ids(8, 5, 1, step)
        images = torch.cat([epoch[step][0] for epoch in epochs])
        for image_id, image in zip(found, images, strict=True):
            assert (image.numpy() == dataset.images[dataset.image_ids.index(image_id)]).all()


def test_a_recipe_that_shards_cannot_feed_is_refused(sharded, recipe, tmp_path):
    sized = dataclasses.replace(recipe, dataset=str(sharded), stored_size=64)
    with pytest.raises(ValueError, match=r"holds images of 40 px.*--image-size 64`\.$"):
        train(sized, 0, tmp_path / "run")
    rows = dataclasses.replace(recipe, dataset=str(sharded), sampling="rows", captions_per_image=1)
    with pytest.raises(ValueError, match="sampling='rows' needs all images in memory"):
        train(rows, 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_line_writes_shards_and_trains_from_them(clipnb, small, small_root, tmp_path):
    options = "--set epochs=1 --set batch_size=16 --set image_encoder=tiny_cnn --set vocab_size=300"
    status, out, err = clipnb("shards small out/shards --image-size 48 --pairs 20")
    folder = tmp_path / "out" / "shards"
    assert (status, out) == (0, f"{folder}\n")
    assert err == (
        f"3 shards with 48 pairs of 48 px. Train from them: clipnb train --dataset {folder}\n"
    )
    sizes = "--set stored_size=48 --set image_size=48"
    status, out, err = clipnb(f"train --dataset {folder} {options} {sizes}")
    assert status == 0, err
    assert "mean recall" in out
    (folder / "shard-000000.tar").unlink()
    status, _, err = clipnb(f"train --dataset {folder} {options} {sizes} --seed 1")
    assert status == 2
    assert err.count("\n") == 1 and "1 of 3 shards are missing" in err


def test_without_the_library_one_line_says_what_to_install(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'clipnb\[shards\]'"):
        write_shards(dataset, tmp_path / "shards")
    assert not list((tmp_path / "shards").glob("*.tar"))


# ---- measuring -------------------------------------------------------------------------------


def test_shards_are_compared_with_memory(small, recipe):
    result = compare_shards_with_memory(recipe, seconds=0.01, rounds=2)
    assert result["rounds"] == 2
    assert 0 < result["lowest"] <= result["ratio"] <= result["highest"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_images_that_are_mapped_take_no_memory_of_the_process(recipe):
    recipe = dataclasses.replace(recipe, stored_size=448, batch_size=16)
    result = measure_mapped_memory(recipe, n_images=300, steps=1)
    assert result["array, bytes"] == 300 * 3 * 448 * 448
    # An image has 602,112 bytes. What each costs beyond is its captions and their tokens. Two runs
    # of the same program differ by 10 MB, which is 40,000 bytes for each of the 270 images.
    assert result["own memory for each further image, bytes"] < 200_000
