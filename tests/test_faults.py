"""Every write of a small cycle fails once in turn: nothing is lost, and the command finishes."""

import builtins
import errno
import io
import json
import os
import shutil
import warnings

import pytest
import torch
from run_parts import flatten_weights

from clipnb import load_run, run_folder, train
from clipnb.disk import checksum_file
from clipnb.records import load_trials, record_trial
from clipnb.run_folders import install_next, is_finished

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 8 dev images")


class Faults:
    """A shim over `open` and `os.replace`: below a folder, one write fails as on a full disk."""

    def __init__(self, patch, folder):
        self.folder = str(folder)
        self.count, self.failing = 0, None
        real_open, real_replace = builtins.open, os.replace

        def open_or_fail(path, mode="r", *arguments, **options):
            if set(mode) & set("wax+"):
                self.note(path)
            return real_open(path, mode, *arguments, **options)

        def replace_or_fail(source, target, **options):
            self.note(target)
            return real_replace(source, target, **options)

        patch.setattr(builtins, "open", open_or_fail)
        patch.setattr(io, "open", open_or_fail)  # what pathlib calls
        patch.setattr(os, "replace", replace_or_fail)

    def note(self, path):
        if not isinstance(path, int) and str(path).startswith(self.folder):
            self.count += 1
            if self.count == self.failing:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def start(self, failing=None):
        self.count, self.failing = 0, failing


def list_leftovers(folder):
    return [path.name for path in folder.rglob(".*")]


def test_every_write_of_a_first_training_fails_once(
    tiny_recipe, tmp_path, monkeypatch, record_property
):
    cache = tmp_path / "cache"
    expected = flatten_weights(train(tiny_recipe))
    faults = Faults(monkeypatch, cache)
    shutil.rmtree(cache)
    faults.start()
    train(tiny_recipe)
    n_writes = faults.count
    assert n_writes >= 20
    for failing in range(1, n_writes + 1):
        shutil.rmtree(cache)
        faults.start(failing)
        with pytest.raises(OSError, match="the disk is full.* CLIPNB_CACHE"):
            train(tiny_recipe)
        assert list_leftovers(cache) == [], f"after write {failing}"
        run = train(tiny_recipe, resume=True)  # the disk has space again
        assert torch.equal(flatten_weights(run), expected), f"after write {failing}"
    record_property("failed writes", n_writes)


def test_every_write_of_a_second_training_fails_once(
    tiny_recipe, tmp_path, monkeypatch, record_property
):
    """The finished run stays, with metrics that belong to its weights, until the new one is."""
    cache = tmp_path / "cache"
    first = train(tiny_recipe)
    expected, metrics = flatten_weights(first), first.metrics["dev"]
    faults = Faults(monkeypatch, cache)
    faults.start()
    train(tiny_recipe)
    n_writes = faults.count
    assert n_writes >= 18
    for failing in range(1, n_writes + 1):
        faults.start(failing)
        with pytest.raises(OSError):
            train(tiny_recipe)
        faults.start()
        kept = load_run(run_folder(tiny_recipe))
        assert torch.equal(flatten_weights(kept), expected), f"after write {failing}"
        assert kept.metrics["dev"] == metrics
        train(tiny_recipe, resume=True)
        assert list_leftovers(cache) == [], f"after write {failing}"
    record_property("failed writes", n_writes)


def test_another_training_is_put_in_place_as_a_whole(tiny_recipe, monkeypatch):
    """After a kill between two files of the swap, the next call finishes it."""
    folder = run_folder(tiny_recipe)
    old = train(tiny_recipe)
    other = train(tiny_recipe, folder=folder.parent / "other")
    weights = other.folder / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 64
    weights.write_bytes(bytes(changed))
    metrics = other.metrics | {"weights_checksum": checksum_file(weights)}
    (other.folder / "metrics.json").write_text(json.dumps(metrics))
    files = sorted(path.name for path in other.folder.iterdir())
    for n_moved in range(len(files)):
        shutil.copytree(other.folder, folder / "next")
        real, moved = os.replace, []

        def replace_some(source, target, real=real, moved=moved, n_moved=n_moved):
            if len(moved) == n_moved:
                raise KeyboardInterrupt
            moved.append(target)
            real(source, target)

        monkeypatch.setattr(os, "replace", replace_some)
        with pytest.raises(KeyboardInterrupt):
            install_next(folder)
        monkeypatch.setattr(os, "replace", real)
        assert is_finished(folder)
        found = load_run(folder)
        assert not torch.equal(flatten_weights(found), flatten_weights(old))
        assert not (folder / "next").exists()


def test_a_torn_line_of_the_trials_costs_no_other(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("clipnb.records.results_dir", lambda: tmp_path)
    run = train(tiny_recipe)
    path = tmp_path / "trials" / "own.jsonl"
    record_trial(run)
    whole = path.read_bytes()
    for torn in (whole[:-1], whole[: len(whole) // 2], whole[:1]):
        path.write_bytes(whole + torn)
        record_trial(run)
        lines = path.read_bytes().split(b"\n")
        assert lines[1] == torn.strip() and lines[0] == lines[2]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trials = load_trials("own")
        assert trials[0] == trials[-1] == json.loads(whole)
        is_whole = torn == whole[:-1]
        assert len(trials) == 2 + is_whole and len(caught) == 1 - is_whole
        if caught:
            assert "own.jsonl:2 is not a whole trial" in str(caught[0].message)


def test_a_trial_of_which_the_disk_takes_a_part_at_a_time_is_written_whole(
    tiny_recipe, tmp_path, monkeypatch
):
    class Slow(io.FileIO):
        def write(self, content):
            return super().write(content[:100])

    monkeypatch.setattr("clipnb.records.results_dir", lambda: tmp_path)
    run, real = train(tiny_recipe), builtins.open
    record_trial(run)
    monkeypatch.setattr(
        "clipnb.records.open",
        lambda path, mode, **options: Slow(path, "a") if "a" in mode else real(path, mode),
        raising=False,
    )
    record_trial(run)
    first, second = load_trials("own")
    assert first == second
