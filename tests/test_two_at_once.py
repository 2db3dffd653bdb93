"""Two processes that add to one record, write the same shards or download the same, at once.

The other process does its part while this one measures, or while this one waits for the lock.
"""

import contextlib
import json
import os
from functools import partial

import pytest
from claim_parts import make_toy
from download_parts import WHOLE, list_files

from clipnb.claims import protocols, running
from clipnb.datasets import download, shard_files
from clipnb.experiments import abstention
from clipnb.run_lock import lock_path
from clipnb.runs import Run


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The folder of the results, with a cache beside it."""
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "results"


def do_first(module, name, act, monkeypatch):
    """Let another process act once, when a function of a module is called for the first time."""
    real, waiting = getattr(module, name), [act]

    def act_first(*arguments, **options):
        if waiting:
            waiting.pop()()
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, act_first)


def refused():
    return pytest.raises(RuntimeError, match=f"process {os.getpid()} on .* is busy")


def test_two_seeds_at_once_are_both_on_record(results, monkeypatch):
    protocols.write_protocol(make_toy())
    running.record_experiment(make_toy(), [0])
    add_six = partial(running.record_experiment, make_toy(), [6])
    do_first(running, "run_experiment", add_six, monkeypatch)
    running.record_experiment(make_toy(), [5])
    record = json.loads((results / "claims" / "toy.json").read_text(encoding="utf-8"))
    assert record["seeds"] == [0, 6, 5]
    assert len(record["values"]) == 3


def test_one_seed_twice_at_once_is_once_on_record(results, monkeypatch):
    protocols.write_protocol(make_toy())
    add_five = partial(running.record_experiment, make_toy(), [5])
    do_first(running, "run_experiment", add_five, monkeypatch)
    running.record_experiment(make_toy(), [5])
    record = json.loads((results / "claims" / "toy.json").read_text(encoding="utf-8"))
    assert record["seeds"] == [5]


def test_two_entries_at_once_are_both_written(results, recipe, tmp_path, monkeypatch):
    first, second = (Run(None, None, recipe, seed, tmp_path) for seed in (1, 2))
    add_second = partial(abstention.add_entry, "toy", second, {})
    do_first(abstention, "list_versions", add_second, monkeypatch)
    abstention.add_entry("toy", first, {})
    entries = json.loads((results / "search" / "toy.json").read_text(encoding="utf-8"))
    assert sorted(entry["seed"] for entry in entries.values()) == [1, 2]


def test_shards_are_locked_while_they_are_written(numbered, tmp_path, monkeypatch):
    def try_to_lock():
        with refused(), lock_path(tmp_path / "out", "busy", wait=False):
            pass

    do_first(shard_files, "write_shard", try_to_lock, monkeypatch)
    shard_files.write_shards(numbered, tmp_path / "out", pairs_per_shard=50)


def test_shards_that_another_process_has_just_written_stay(numbered, tmp_path, monkeypatch):
    real, written = shard_files.lock_path, []

    def write():
        monkeypatch.setattr(shard_files, "lock_path", real)
        written.append(shard_files.write_shards(numbered, tmp_path / "out", pairs_per_shard=50))
        monkeypatch.setattr(shard_files, "write_shard", None)  # it must not be needed again

    do_first(shard_files, "lock_path", write, monkeypatch)
    index = shard_files.write_shards(numbered, tmp_path / "out", pairs_per_shard=50)
    assert [index] == written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_two_downloads_at_once_fetch_each_archive_once(archive_server, tmp_path, monkeypatch):
    real = download.lock_path

    @contextlib.contextmanager
    def wait_for_the_other(path, doing):
        monkeypatch.setattr(download, "lock_path", real)
        download.download_flickr8k(tmp_path / "data", archive_server.url)
        yield

    monkeypatch.setattr(download, "lock_path", wait_for_the_other)
    download.download_flickr8k(tmp_path / "data", archive_server.url)
    assert list_files(tmp_path / "data") == WHOLE
    assert len(archive_server.requests) == 2


def test_an_archive_is_locked_while_it_is_fetched(archive_server, tmp_path, monkeypatch):
    def try_to_lock():
        with refused(), lock_path(tmp_path / "Flickr8k_Dataset.zip", "busy", wait=False):
            pass

    do_first(download, "fetch", try_to_lock, monkeypatch)
    download.download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE
