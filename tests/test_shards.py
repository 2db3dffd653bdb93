"""Shards: written whole, read once each epoch, split among processes, and damaged."""

import dataclasses
import itertools
import json
import os
import sys
import warnings

import numpy as np
import pytest
import torch

from clipnb import cli
from clipnb.datasets import shard_files
from clipnb.datasets.shard_files import write_shards
from clipnb.datasets.shards import ShardFolder

webdataset = pytest.importorskip("webdataset")


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


def test_the_library_reads_what_is_written(shards, numbered):
    paths = [str(path) for path in sorted(shards.glob("*.tar"))]
    seen = {}
    for sample in webdataset.WebDataset(paths, shardshuffle=False).decode():
        about = sample["json"]
        for image, name, own in zip(
            sample["npy"], about["image_ids"], about["captions"], strict=True
        ):
            seen[name] = (image, own)
    assert sorted(seen) == sorted(numbered.image_ids)
    for i, name in enumerate(numbered.image_ids):
        assert np.array_equal(seen[name][0], numbered.images[i])
        assert seen[name][1] == numbered.captions[i]  # the captions of an image stay together


def test_the_help_tells_how_many_pairs_a_shard_has(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["clipnb", "shards", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"(default: {shard_files.PAIRS_PER_SHARD:,})" in capsys.readouterr().out


def test_the_index_tells_names_pairs_and_bytes(shards):
    index = json.loads((shards / "shards.json").read_text())
    assert {path.name for path in shards.iterdir()} == {
        "shards.json",
        *(each["name"] for each in index["shards"]),
    }
    assert [each["pairs"] for each in index["shards"]] == [50] * 6
    for each in index["shards"]:
        path = shards / each["name"]
        assert each["bytes"] == path.stat().st_size
        assert each["sha256"] == shard_files.compute_digest(path)
    assert (index["dataset"], index["image_size"], index["pairs"]) == ("tiny", 4, 300)


def test_interrupted_writing_goes_on_after_the_last_whole_shard(
    numbered, shards, tmp_path, monkeypatch
):
    write_shard, numbers = shard_files.write_shard, itertools.count(1)

    def write_or_stop(*arguments, **options):
        write_shard(*arguments, **options)
        if next(numbers) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(shard_files, "write_shard", write_or_stop)
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        write_shards(numbered, other, pairs_per_shard=50)
    whole = ["shard-000000.tar", "shard-000001.tar"]
    assert sorted(path.name for path in other.iterdir()) == [*whole, "unfinished.json"]
    with pytest.raises(FileNotFoundError, match="not all written yet; run `clipnb shards"):
        ShardFolder(other)
    write_shards(numbered, other, pairs_per_shard=50)
    assert next(numbers) == 8  # four more were written: 3 to 6
    for path in shards.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_a_finished_folder_is_left_as_it_is_and_a_broken_shard_is_mended(numbered, shards):
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in shards.iterdir()}
    write_shards(numbered, shards, pairs_per_shard=50)
    assert {path.name: path.stat().st_mtime_ns for path in shards.iterdir()} == times
    (shards / "shard-000004.tar").write_bytes(b"broken")
    write_shards(numbered, shards, pairs_per_shard=50)
    assert {path.name: path.read_bytes() for path in shards.iterdir()} == before


def test_nothing_else_in_a_folder_is_touched(numbered, shards, tmp_path):
    with pytest.raises(ValueError, match="holds shards of tiny at 4 px, made otherwise"):
        write_shards(numbered, shards, pairs_per_shard=60)
    other = dataclasses.replace(numbered, images=numbered.images[::-1])
    with pytest.raises(ValueError, match="before its images or captions changed"):
        write_shards(other, shards, pairs_per_shard=50)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "me.jpg").write_bytes(b"photo")
    with pytest.raises(ValueError, match="holds other files; choose an empty folder"):
        write_shards(numbered, photos)
    assert [path.name for path in photos.iterdir()] == ["me.jpg"]


def test_a_folder_that_finder_looked_at_is_empty(numbered, tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"\xff")
    assert write_shards(numbered, tmp_path)["pairs"] == 300
    assert (tmp_path / ".DS_Store").read_bytes() == b"\xff"


def test_without_the_library_one_line_says_what_to_install(numbered, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'clipnb\[shards\]'"):
        write_shards(numbered, tmp_path / "shards")
    assert not list((tmp_path / "shards").glob("*.tar"))


# ---- reading ---------------------------------------------------------------------------------


def test_an_epoch_visits_every_pair_once_with_captions_of_its_own(shards):
    batches = list_epoch(shards)
    assert [len(numbers) for numbers, _ in batches] == [20] * 15
    assert sorted(flatten(batches)) == list(range(300))
    for numbers, captions in batches:
        assert len(captions) == 2
        first, second = captions
        for number, one, other in zip(numbers, first, second, strict=True):
            assert one.startswith(f"image {number} ") and other.startswith(f"image {number} ")
            assert one != other


def test_the_order_comes_from_seed_and_epoch(shards):
    first, again, next_epoch = list_epoch(shards), list_epoch(shards), list_epoch(shards, epoch=1)
    assert first == again
    assert flatten(first) != flatten(next_epoch)
    assert sorted(flatten(next_epoch)) == list(range(300))
    shards_of_first_batch = {number // 50 for number in first[0][0]}
    assert len(shards_of_first_batch) > 2  # several shards are mixed


def test_an_epoch_goes_on_where_it_stopped(shards):
    whole = list_epoch(shards)
    for first_step in (1, 7, 14, 15):
        assert list_epoch(shards, first_step=first_step) == whole[first_step:]


def test_processes_share_an_epoch_without_a_pair_in_common(shards):
    parts = [list_epoch(shards, batch_size=15, rank=rank, world_size=3) for rank in range(3)]
    assert [[len(numbers) for numbers, _ in part] for part in parts] == [[5] * 20] * 3
    assert sorted(flatten(itertools.chain(*parts))) == list(range(300))


def test_workers_share_the_part_of_their_process(shards):
    places = [{"rank": rank, "world_size": 2, "workers": 2} for rank in range(2)]
    # A part has one shard of six at least, and 50 pairs are five batches of 10.
    parts = [list_epoch(shards, **place) for place in places]
    assert [len(part) for part in parts] == [10, 10]
    seen = flatten(itertools.chain(*parts))
    assert len(set(seen)) == len(seen) == 200
    assert list_epoch(shards, first_step=3, **places[1]) == parts[1][3:]


@pytest.mark.parametrize("place", [{"rank": 1}, {"world_size": 2}, {"rank": 2, "world_size": 2}])
def test_a_place_that_is_none_is_refused(shards, place):
    """Before, one of the two alone was passed over, and every process read all shards."""
    with pytest.raises(ValueError, match="there is no process .* give rank and world_size"):
        ShardFolder(shards, **place)


def test_a_split_that_cannot_be_is_refused_in_one_line(shards):
    with pytest.raises(ValueError, match=r"6 shards cannot be split among 8 .*--pairs 9`\.$"):
        ShardFolder(shards, rank=0, world_size=8)
    with pytest.raises(ValueError, match="batch_size 30 cannot be shared evenly by 4 processes"):
        ShardFolder(shards, rank=0, world_size=4).count_steps(30)
    with pytest.raises(ValueError, match="a batch of 400 pairs is larger than"):
        ShardFolder(shards).count_steps(400)


def test_the_images_of_a_batch_are_found_in_the_parts_of_all_processes(shards, numbered):
    parts = [ShardFolder(shards, rank, 2, workers=2) for rank in (0, 1)]
    epochs = [list(part.iterate_epoch(8, 1, 5, 1)) for part in parts]
    for step in range(len(epochs[0])):
        found = parts[1].find_image_ids(8, 5, 1, step)
        images = torch.cat([epoch[step][0] for epoch in epochs])
        for image_id, image in zip(found, images, strict=True):
            assert (image.numpy() == numbered.images[numbered.image_ids.index(image_id)]).all()


# ---- damage ----------------------------------------------------------------------------------


def test_a_shard_cut_short_is_named_and_the_epoch_goes_on(shards, numbered):
    path = shards / "shard-000002.tar"
    whole = path.read_bytes()
    lost = {}
    # Of 50 pairs the blocks have 16, 16, 16 and 2.
    for share in (0.6, 0.3, 0):
        path.write_bytes(whole[: int(len(whole) * share)])
        kept = shard_files.count_pairs(path, first_block=100)
        message = f"^shard-000002.tar in .* was cut short: {50 - kept} of its 50 pairs are skipped"
        with pytest.warns(UserWarning, match=message):
            seen = flatten(list_epoch(shards, batch_size=1))
        assert len(set(seen)) == len(seen) == 250 + kept
        lost[share] = 50 - kept
    assert lost[0] == 50 and 0 < lost[0.6] < 50


def test_only_the_first_process_tells_of_a_shard_cut_short(shards):
    (shards / "shard-000002.tar").write_bytes(b"")
    told = []
    for rank in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert len(ShardFolder(shards, rank, 2)) == 250
        told.append(len(caught))
    assert told == [1, 0]


def test_a_missing_a_changed_and_no_shard_are_told_in_one_line(shards, tmp_path):
    path = shards / "shard-000001.tar"
    content = path.read_bytes()
    path.write_bytes(content[:2000] + b"x" + content[2001:])
    with pytest.raises(ValueError, match=r"shard-000001.tar has changed since it was written"):
        ShardFolder(shards)
    path.unlink()
    command = f"clipnb shards tiny {shards} --image-size 4 --pairs 50"
    with pytest.raises(FileNotFoundError) as caught:
        ShardFolder(shards)
    assert str(caught.value) == (
        f"{shards}: 1 of 6 shards are missing, the first is shard-000001.tar; put them back, or "
        f"run `{command}`."
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="it holds no shards; run `clipnb shards DATASET"):
        ShardFolder(tmp_path / "empty")
    (shards / "shards.json").write_text("{")
    with pytest.raises(ValueError, match="shards.json is damaged"):
        ShardFolder(shards)


@pytest.mark.parametrize("damaged", [b"\x93NUMPY", b'{"image_ids'])
def test_a_shard_cut_short_with_damage_before_the_cut_is_told_in_one_line(shards, damaged):
    path = shards / "shard-000001.tar"
    content = path.read_bytes()
    path.write_bytes(content.replace(damaged, b"x" * len(damaged), 1)[:-3000])
    with pytest.raises(ValueError, match=r"shard-000001.tar has changed since it was written"):
        ShardFolder(shards)


def test_another_shard_that_is_shorter_is_not_taken_for_one_cut_short(shards):
    other = (shards / "shard-000002.tar").read_bytes()
    (shards / "shard-000001.tar").write_bytes(other[:-1])
    with pytest.raises(ValueError, match=r"shard-000001.tar has changed since it was written"):
        ShardFolder(shards)


def test_a_shard_that_is_cut_while_an_epoch_runs_ends_it_in_one_line(shards):
    source = ShardFolder(shards)
    (shards / "shard-000003.tar").write_bytes(b"")
    with pytest.raises(
        ValueError, match="shard-000003.tar has changed since training began.*--resume"
    ):
        list(source.iterate_epoch(20, 1, seed=0, epoch=0))


def test_shards_that_are_written_again_while_training_reads_them_end_it(numbered, shards):
    source = ShardFolder(shards)
    first = list(source.iterate_epoch(20, 1, seed=0, epoch=0))
    for path in shards.glob("*.tar"):  # as a copy does: another time, the same bytes
        path.write_bytes(path.read_bytes())
        os.utime(path, (1, 1))
    again = list(source.iterate_epoch(20, 1, seed=0, epoch=0))
    assert [captions for _, captions in again] == [captions for _, captions in first]
    for path in shards.iterdir():
        path.unlink()
    others = dataclasses.replace(numbered, images=255 - numbered.images)
    write_shards(others, shards, pairs_per_shard=50)
    with pytest.raises(ValueError, match="has changed since training began. Put the former file"):
        next(source.iterate_epoch(20, 1, seed=0, epoch=1))


@pytest.mark.parametrize("moment", ["write_shard", "compute_digest"])
def test_writing_goes_on_however_little_was_written(
    numbered, shards, tmp_path, monkeypatch, moment
):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    other = tmp_path / "other"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shard_files, moment, stop)
        write_shards(numbered, other, pairs_per_shard=50)
    write_shards(numbered, other, pairs_per_shard=50)
    for path in shards.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "clipnb shards, version 1"}'])
@pytest.mark.parametrize("name", ["shards.json", "unfinished.json"])
def test_a_damaged_index_of_shards_says_what_to_delete(numbered, shards, name, content):
    (shards / "shards.json").rename(shards / name)
    (shards / name).write_text(content)
    with pytest.raises(ValueError) as error:
        write_shards(numbered, shards, pairs_per_shard=50)
    assert str(error.value).startswith(f"{shards / name} is damaged; delete {shards}, then run ")


def test_a_shard_of_no_pairs_is_refused(numbered, tmp_path):
    for n in (0, -1):
        with pytest.raises(ValueError, match=f"cannot hold {n} pairs"):
            write_shards(numbered, tmp_path / "none", pairs_per_shard=n)
    assert not (tmp_path / "none").exists()
