"""Every write of a small cycle fails once in turn: nothing is lost, and the command finishes."""

import builtins
import dataclasses
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

import pytest
import torch
from run_parts import flatten_weights

from clipnb import RECIPES, load_or_train, load_run, run_folder, train
from clipnb.datasets import load_dataset
from clipnb.disk import check_space, checksum_file, is_alive, replace_when_done, write_file
from clipnb.records import load_trials, record_errors, record_run, record_trial
from clipnb.run_folders import FILES, install_next, is_finished
from clipnb.scenes import write_scenes

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


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_scenes(root / "own", {"train": 32, "dev": 8, "test": 8}, size=16, workers=1)
    return root


@pytest.fixture
def tiny(small_data, tmp_path, monkeypatch):
    """A recipe that trains in a moment, with a cache of the test's own."""
    monkeypatch.setenv("CLIPNB_DATA", str(small_data))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    return dataclasses.replace(
        RECIPES["quick"], name="tiny", dataset="own", image_encoder="tiny_cnn", image_size=16,
        stored_size=16, vocab_size=200, embed_dim=16, epochs=1, batch_size=16,
    )  # fmt: skip


def list_leftovers(folder):
    return [path.name for path in folder.rglob(".*")]


def test_every_write_of_a_first_training_fails_once(tiny, tmp_path, monkeypatch, record_property):
    cache = tmp_path / "cache"
    expected = flatten_weights(train(tiny))
    faults = Faults(monkeypatch, cache)
    shutil.rmtree(cache)
    faults.start()
    train(tiny)
    n_writes = faults.count
    assert n_writes >= 20
    for failing in range(1, n_writes + 1):
        shutil.rmtree(cache)
        faults.start(failing)
        with pytest.raises(OSError, match="the disk is full.* CLIPNB_CACHE"):
            train(tiny)
        assert list_leftovers(cache) == [], f"after write {failing}"
        run = train(tiny, resume=True)  # the disk has space again
        assert torch.equal(flatten_weights(run), expected), f"after write {failing}"
    record_property("failed writes", n_writes)


def test_every_write_of_a_second_training_fails_once(tiny, tmp_path, monkeypatch, record_property):
    """The finished run stays, with metrics that belong to its weights, until the new one is."""
    cache = tmp_path / "cache"
    first = train(tiny)
    expected, metrics = flatten_weights(first), first.metrics["dev"]
    faults = Faults(monkeypatch, cache)
    faults.start()
    train(tiny)
    n_writes = faults.count
    assert n_writes >= 18
    for failing in range(1, n_writes + 1):
        faults.start(failing)
        with pytest.raises(OSError):
            train(tiny)
        faults.start()
        kept = load_run(run_folder(tiny))
        assert torch.equal(flatten_weights(kept), expected), f"after write {failing}"
        assert kept.metrics["dev"] == metrics
        train(tiny, resume=True)
        assert list_leftovers(cache) == [], f"after write {failing}"
    record_property("failed writes", n_writes)


def test_another_training_is_put_in_place_as_a_whole(tiny, monkeypatch):
    """After a kill between two files of the swap, the next call finishes it."""
    folder = run_folder(tiny)
    old = train(tiny)
    other = train(tiny, folder=folder.parent / "other")
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


def test_what_does_not_belong_to_clipnb_stays_in_a_run(tiny):
    folder = run_folder(tiny)
    train(tiny)
    (folder / "notes.txt").write_text("mine")
    train(tiny)
    assert (folder / "notes.txt").read_text() == "mine"


FOREIGN = {
    "other files": {"thoughts.txt": "mine"},
    "a photo and metrics": {"photo.jpg": "mine", "metrics.json": '{"dev": {}}'},
    "metrics of something else": {"metrics.json": '{"accuracy": 1}'},
    "a recipe for a cake": {"recipe.json": '{"eggs": 2}'},
    "a list": {"metrics.json": "[1]"},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_folder_with_the_name_of_a_successor_is_left_alone(case, tiny):
    folder = run_folder(tiny)
    train(tiny)
    before = (folder / "metrics.json").read_bytes()
    (folder / "next").mkdir()
    for name, content in FOREIGN[case].items():
        (folder / "next" / name).write_text(content)
    load_run(folder)
    for resume in (False, True):
        with pytest.raises(FileExistsError, match="next is not of clipnb.* move it elsewhere"):
            train(tiny, resume=resume)
    found = {path.name: path.read_text() for path in (folder / "next").iterdir()}
    assert found == FOREIGN[case]
    assert (folder / "metrics.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_or_a_link_with_the_name_of_a_successor_is_left_alone(kind, tiny, tmp_path):
    folder = run_folder(tiny)
    train(tiny)
    successor = folder / "next"
    if kind == "file":
        successor.write_text("mine")
    else:
        successor.symlink_to(train(tiny, folder=tmp_path / "other").folder)
    load_run(folder)
    with pytest.raises(FileExistsError, match="is not of clipnb"):
        train(tiny)
    assert os.path.lexists(successor)


@pytest.mark.parametrize("name", sorted(FILES - {"recipe.json"}))
def test_files_that_a_run_would_write_over_are_refused_by_name(name, tiny, tmp_path):
    """A folder from elsewhere may hold a tokenizer.json and a model.safetensors too."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"other holds no run, but {name}"):
        train(tiny, folder=tmp_path / "other")
    assert [path.read_text() for path in (tmp_path / "other").iterdir()] == ["mine"]


def test_a_run_into_a_file_is_refused(tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="file is no folder"):
        train(tiny, folder=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_empty_datasets_are_refused_and_not_replaced(tiny, small_data, tmp_path):
    sets = {
        "train_set": load_dataset("own", "train", 16),
        "dev_set": load_dataset("own", "dev", 16),
    }
    for name, words in {
        "train_set": "has 0 training images; at least 2",
        "dev_set": "holds no images",
    }.items():
        with pytest.raises(ValueError, match=words):
            train(tiny, folder=tmp_path / "run", **sets | {name: sets[name].subset([])})
    with pytest.raises(ValueError, match="has 1 training images; at least 2"):
        train(tiny, folder=tmp_path / "run", train_set=sets["train_set"].subset([0]))
    assert not (tmp_path / "run").exists()


def test_the_records_of_a_dataset_that_is_named_by_its_path_lie_in_results(
    tiny, small_data, tmp_path, monkeypatch
):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    own = tmp_path / "data" / "own"
    shutil.copytree(small_data / "own", own)
    captions = own.with_name("own.jsonl")  # the reader's own file
    captions.write_text("the only copy")
    run = train(dataclasses.replace(tiny, dataset=str(own)))
    record_run(run)
    record_errors(run)
    record_trial(run)
    assert captions.read_text() == "the only copy"
    assert sorted(path.name for path in own.parent.iterdir()) == ["own", "own.jsonl"]
    written = [path.relative_to(tmp_path / "results") for path in tmp_path.rglob("results/*/*")]
    names = ["errors/own-tiny.json", "runs/own-tiny-0.json", "trials/own.jsonl"]
    assert sorted(path.as_posix() for path in written) == names
    assert len(load_trials(str(own))) == 1


def test_a_torn_line_of_the_trials_costs_no_other(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("clipnb.records.results_dir", lambda: tmp_path)
    run = train(tiny)
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


def test_a_diverged_training_says_where_and_keeps_the_last_good_epoch(tiny, monkeypatch):
    import clipnb.loop

    recipe = dataclasses.replace(tiny, epochs=3)
    real, steps = clipnb.loop.train_step, []

    def poison(model, *rest):
        steps.append(1)
        if len(steps) == 5:  # of 6, two in each epoch
            model.image_projection.weight.data[0, 0] = torch.nan
        return real(model, *rest)

    monkeypatch.setattr(clipnb.loop, "train_step", poison)
    with pytest.raises(RuntimeError) as error:
        train(recipe)
    said = str(error.value)
    for part in ("step 5 (epoch 3)", "nan", "train_0", "2 epochs before are kept", "--set"):
        assert part in said
    monkeypatch.setattr(clipnb.loop, "train_step", real)
    resumed = train(recipe, resume=True)
    whole = train(recipe, folder=resumed.folder.parent / "whole")
    assert torch.equal(flatten_weights(resumed), flatten_weights(whole))


def test_the_images_of_a_diverged_step_are_those_of_its_batch(tiny, monkeypatch):
    import clipnb.loop

    seen = []

    def note(model, optimizer, images, tokens, recipe):
        seen.append(images)
        return torch.tensor(torch.inf if len(seen) == 2 else 1.0)

    monkeypatch.setattr(clipnb.loop, "train_step", note)
    with pytest.raises(RuntimeError) as error:
        train(tiny)
    dataset = load_dataset("own", "train", 16)
    named = str(error.value).split("the images ")[1].split(", …")[0].split(", ")
    for name, image in zip(named, seen[1], strict=False):
        stored = torch.tensor(dataset.images[dataset.image_ids.index(name)]) / 127.5 - 1
        assert torch.allclose(image, stored, atol=1e-5)


# ---- other data ------------------------------------------------------------------------------


def test_a_run_knows_what_it_was_trained_on(tiny, small_data, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path))
    shutil.copytree(small_data / "own", tmp_path / "own")
    run = train(tiny)
    from clipnb.runs import load_run_dataset

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for split in ("train", "dev", "test"):
            load_run_dataset(run, split)
        load_or_train(tiny)
    lists = tmp_path / "own" / "splits"
    moved = run_data_ids(run)[0]
    train_list = (lists / "train.txt").read_text()
    (lists / "train.txt").write_text(train_list.replace(f"{moved}\n", ""))
    with open(lists / "test.txt", "a") as file:
        file.write(f"{moved}\n")
    with pytest.warns(UserWarning, match=f"1 of the 9 images of test were trained on .{moved}"):
        load_run_dataset(run, "test")
    with pytest.warns(UserWarning, match=rf"train had 32 images and has 31: 1 gone \({moved}\)"):
        load_or_train(tiny)
    (run.folder / "metrics.json").unlink()
    with pytest.raises(ValueError, match=f"begun on other data: train had 32.*{moved}"):
        train(tiny, resume=True)


def run_data_ids(run):
    from clipnb.run_data import read_data

    return read_data(run.folder)["train"]["image_ids"]


def test_changed_captions_are_noticed_too(tiny, small_data, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path))
    shutil.copytree(small_data / "own", tmp_path / "own")
    run = train(tiny)
    from clipnb.runs import load_run_dataset

    path = tmp_path / "own" / "captions.txt"
    lines = path.read_text().splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("dev_00000"))
    lines[row] += " indeed"
    path.write_text("\n".join(lines))
    with pytest.warns(UserWarning, match="the captions of dev have changed"):
        load_run_dataset(run, "dev")


def test_a_run_that_is_found_is_compared_with_the_captions_of_now(
    tiny, small_data, tmp_path, monkeypatch
):
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path))
    shutil.copytree(small_data / "own", tmp_path / "own")
    train(tiny)
    path = tmp_path / "own" / "captions.txt"
    path.write_text(path.read_text().replace("train_00003.jpg,", "train_00003.jpg,by a sea "))
    message = "the captions of train have changed. To train on that of now: `python -m clipnb train"
    for find in (load_or_train, lambda recipe: train(recipe, resume=True)):
        with pytest.warns(UserWarning, match=message):
            find(tiny)


def test_a_run_that_is_found_is_compared_with_the_images_that_are_given(tiny):
    images = load_dataset("own", "train", 16)
    load_or_train(tiny, train_set=images.subset(range(20)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_or_train(tiny, train_set=images.subset(range(20)))
    with pytest.warns(UserWarning, match="train had 20 images and has 32: 12 new"):
        load_or_train(tiny, train_set=images)


# ---- leftovers and space ---------------------------------------------------------------------

WRITE_AND_WAIT = """
import sys, time
from clipnb.disk import replace_when_done
with replace_when_done(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_cleared_and_what_a_living_one_writes_is_not(tmp_path):
    command = [sys.executable, "-c", WRITE_AND_WAIT]
    living, killed = (
        subprocess.Popen([*command, str(tmp_path / name)], stdout=subprocess.PIPE, text=True)
        for name in ("living", "killed")
    )
    try:
        for process in (living, killed):
            assert process.stdout.readline() == "ready\n"
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        (tmp_path / ".somebody_elses").mkdir()
        write_file(tmp_path / "another", "whole")
        names = sorted(os.listdir(tmp_path))
        assert [name for name in names if "killed" in name] == []
        assert [name for name in names if "living" in name] != []
        assert ".somebody_elses" in names
    finally:
        living.kill()
        living.wait()


def test_a_folder_that_a_killed_process_had_moved_away_comes_back_new(tmp_path):
    with replace_when_done(tmp_path / "cache") as temporary:
        temporary.mkdir()
    (tmp_path / "cache" / "file").write_text("old")
    with replace_when_done(tmp_path / "x") as temporary:
        holder = temporary.parent.name
        temporary.write_text("x")
    pid = str(os.getpid())
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert is_alive(os.getpid()) and not is_alive(dead.pid)
    left = tmp_path / holder.replace(".x~", ".cache~").replace(pid, str(dead.pid))
    left.mkdir()
    os.replace(tmp_path / "cache", left / ".old")  # the process was killed at this very moment
    (left / "cache").mkdir()
    (left / "cache" / "file").write_text("new")
    write_file(tmp_path / "y", "y")
    assert (tmp_path / "cache" / "file").read_text() == "new"
    assert not left.exists()


def test_space_is_checked_before_a_large_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="too little space .* are free.*CLIPNB_CACHE"):
        check_space(tmp_path / "a" / "b", 10**18)
    check_space(tmp_path / "a" / "b", 10)


@pytest.mark.parametrize(
    "number, words",
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no permission"),
    ],
)
def test_the_system_s_refusals_are_told_with_the_variable(number, words, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    (tmp_path / "file").write_text("before")
    with pytest.raises(OSError) as error, replace_when_done(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number), str(temporary))
    for part in (words, str(tmp_path / "file"), "CLIPNB_CACHE"):
        assert part in str(error.value)
    assert "Errno" not in str(error.value)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "before"


def test_a_flipped_byte_changes_the_checksum_of_a_small_and_of_a_cut_the_one_of_a_large_file(
    tmp_path, monkeypatch
):
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * 2**20 + 5))
    whole = checksum_file(path)
    for place in (0, 2**20, 3 * 2**20 + 4):
        content = bytearray(path.read_bytes())
        content[place] = 1
        (tmp_path / "other").write_bytes(bytes(content))
        assert checksum_file(tmp_path / "other") != whole
    monkeypatch.setattr("clipnb.disk.MOST_CHECKED", 2 * 2**20)
    sampled = checksum_file(path)
    os.truncate(path, 3 * 2**20)
    assert checksum_file(path) != sampled


def test_workers_that_draw_end_with_the_process_that_started_them(tmp_path):
    code = (
        "import sys; from clipnb.scenes import write_scenes\n"
        "if __name__ == '__main__': write_scenes(sys.argv[1], {'train': 5000}, workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "drawn")])
    try:
        workers = wait_for(lambda: len(find_children(process.pid)) >= 2, process.pid)
    finally:
        process.kill()
        process.wait()
    assert workers
    deadline = time.time() + 30
    while any(is_running(pid) for pid in workers) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(is_running(pid) for pid in workers)


def wait_for(condition, pid):
    deadline = time.time() + 60
    while not condition() and time.time() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    return find_children(pid)


def find_children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        pytest.skip("this system does not list the children of a process")


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
