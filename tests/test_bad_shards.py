"""Shards whose index is wrong, and datasets that no shards can hold: one line says what to do."""

import dataclasses
import errno
import gc
import io
import json
import os
import sys

import pytest

from clipnb.datasets import dataset_folder, shard_files
from clipnb.datasets.shard_files import read_blocks, read_index, write_shards

pytest.importorskip("webdataset")

INDEX_KEYS = [
    "format", "dataset", "split", "image_size", "crop", "pairs", "pairs_per_shard", "content",
    "shards",
]  # fmt: skip
SHARD_KEYS = ["name", "pairs", "bytes", "sha256"]
VALUES = {
    **{f"index without {key}": (key, None) for key in INDEX_KEYS},
    "a dataset that is a number": ("dataset", 3),
    "a size that is a text": ("image_size", "16"),
    "a size below 1": ("image_size", 0),
    "a crop that is a text": ("crop", "x"),
    "fewer pairs than the shards hold": ("pairs", 5),
    "no shard": ("shards", []),
    "shards that are a dictionary": ("shards", {}),
    "shards that are texts": ("shards", ["shard-000000.tar"]),
}
SHARD_VALUES = {
    **{f"shard without {key}": (key, None) for key in SHARD_KEYS},
    "a name outside of the folder": ("name", "../x.tar"),
    "a name that is a number": ("name", 3),
    "one shard twice": ("name", "shard-000000.tar"),
    "pairs below 0": ("pairs", -5),
    "too many pairs": ("pairs", 10**9),
    "pairs that are a text": ("pairs", "x"),
    "bytes that are a fraction": ("bytes", 1.5),
    "a list as a checksum": ("sha256", []),
}


def check_refused(shards):
    with pytest.raises(ValueError) as error:
        read_index(shards)
    message = str(error.value)
    assert message.startswith(f"{shards / 'shards.json'} is damaged; delete {shards}, then run ")
    assert "\n" not in message


def edit(record, key, value):
    """Change a value of a record, or leave it out."""
    if value is None:
        del record[key]
    else:
        record[key] = value


@pytest.mark.parametrize("case", VALUES)
def test_a_wrong_value_in_the_index_is_damage(shards, case):
    index = read_index(shards)
    edit(index, *VALUES[case])
    (shards / "shards.json").write_text(json.dumps(index))
    check_refused(shards)


@pytest.mark.parametrize("case", SHARD_VALUES)
def test_a_wrong_value_of_a_shard_is_damage(shards, case):
    index = read_index(shards)
    edit(index["shards"][1], *SHARD_VALUES[case])
    (shards / "shards.json").write_text(json.dumps(index))
    check_refused(shards)


def test_an_index_of_earlier_versions_says_nothing_of_the_pixels(shards):
    index = read_index(shards)
    del index["pixels"]
    (shards / "shards.json").write_text(json.dumps(index))
    assert read_index(shards) == index


def test_shards_that_name_themselves_as_their_source_are_refused(shards):
    index = read_index(shards) | {"dataset": "shards"}
    (shards / "shards.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="shards.json is damaged: .* from themselves"):
        dataset_folder("shards", shards.parent)


def test_an_empty_dataset_is_refused_before_anything_is_written(numbered, tmp_path):
    with pytest.raises(ValueError, match="tiny train holds no image"):
        write_shards(numbered.subset([]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("n", [2.5, "50", None])
def test_the_pairs_of_a_shard_are_a_whole_number(numbered, tmp_path, n):
    with pytest.raises(ValueError, match=f"cannot hold {n!r} pairs; give it a whole number"):
        write_shards(numbered, tmp_path / "none", pairs_per_shard=n)
    assert not (tmp_path / "none").exists()


def test_names_and_captions_that_are_no_unicode_come_back(numbered, tmp_path):
    few = numbered.subset(range(20))
    names = [os.fsdecode(b"caf\xe9%d.jpg" % i) for i in range(20)]
    odd = dataclasses.replace(few, image_ids=names, captions=[["a dog \ud83d"]] * 20)
    write_shards(odd, tmp_path / "odd")
    blocks = [about for _, about in read_blocks(tmp_path / "odd" / "shard-000000.tar")]
    assert sorted(name for about in blocks for name in about["image_ids"]) == sorted(names)
    assert blocks[0]["captions"][0] == ["a dog \ud83d"]


def test_a_full_disk_is_told_once_and_not_again_when_the_writer_is_forgotten(
    numbered, tmp_path, monkeypatch
):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    monkeypatch.setattr(shard_files, "open", lambda path, mode: Full(), raising=False)
    with pytest.raises(OSError, match="No space"):
        shard_files.write_shard(numbered, list(range(300)), tmp_path / "a.tar", 0)
    gc.collect()
    assert not told


def test_a_file_in_the_place_of_the_folder_is_told(numbered, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="file is a file; name a folder for the shards"):
        write_shards(numbered, tmp_path / "file")
