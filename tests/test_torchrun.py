"""`clipnb train` under torchrun: one run of two processes, which survives a kill and a NaN."""

import dataclasses
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torchrun_parts import (
    DRAWING,
    SETTINGS,
    check_refused,
    find_folder,
    read_columns,
    read_history,
    start_torchrun,
)

from clipnb import RECIPES, load_run, train
from clipnb.datasets import load_dataset
from clipnb.divergence import find_image_ids

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* has only 20 dev images"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed"),
]


@pytest.fixture(scope="module")
def run_of_two(small_folder, tmp_path_factory):
    """A cache with a run of two processes, and what they printed."""
    cache = tmp_path_factory.mktemp("cache")
    launcher = start_torchrun(cache)
    printed, said = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, said
    return cache, printed


def test_a_run_of_two_processes_is_that_of_one(run_of_two, monkeypatch, tmp_path):
    cache, printed = run_of_two
    assert printed.count("kept in") == printed.count("mean recall") == 1, "one of them prints"
    monkeypatch.setenv("CLIPNB_DEVICE", "cpu")
    monkeypatch.setenv("CLIPNB_PRECISION", "float32")
    recipe = dataclasses.replace(RECIPES["quick"], dataset="small", **SETTINGS)
    one = train(recipe, folder=tmp_path / "one")
    two = load_run(find_folder(cache), recipe)
    ours, theirs = ([row["loss"] for row in run.history] for run in (two, one))
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours == pytest.approx(theirs, rel=2e-2)  # in float32 roundings grow from step to step
    assert two.metrics["images_seen"] == one.metrics["images_seen"]
    assert not list(Path(cache).rglob(".*.lock")), "nothing is left behind"


def test_a_killed_process_starts_again_from_the_last_epoch(run_of_two, tmp_path):
    """The first process, which writes, is killed in the midst of training."""
    launcher = start_torchrun(tmp_path, "--max-restarts=1")
    while len(read_history(tmp_path)) < 2 and launcher.poll() is None:
        time.sleep(0.005)
    (lock,) = tmp_path.glob("runs/.*.lock")
    owner = int(lock.read_text().split()[1])
    os.kill(owner, signal.SIGKILL)
    at_the_kill = len(read_history(tmp_path))
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, said
    assert at_the_kill < SETTINGS["epochs"]
    assert str(owner) in said, "torchrun tells which process has failed"
    assert read_history(tmp_path) == read_history(run_of_two[0])
    metrics = [load_run(find_folder(cache)).metrics for cache in (tmp_path, run_of_two[0])]
    assert metrics[0]["dev"] == metrics[1]["dev"]


# The end of a program: it trains, and tells how many steps this process has taken.
COUNTING = """
if __name__ == "__main__":  # a worker may import this
    try:
        main()
    except SystemExit as end:
        if not end.code:
            print(f"steps: {len(steps)}\\n", end="")  # in one piece
        raise
"""
LOST_ONCE = """
import os
import signal
import clipnb.loop
import clipnb.runs
import clipnb.training
from clipnb.cli import main

train_step, steps = clipnb.loop.train_step, []
module, name = PLACE
action = getattr(module, name)


def take_step(*arguments):
    steps.append(1)
    return train_step(*arguments)


def act_or_die(*arguments):
    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return action(*arguments)


clipnb.loop.train_step = take_step
setattr(module, name, act_or_die)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(
    "place, steps",
    [("clipnb.training, 'load_split'", 14 * 3), ("clipnb.runs, 'load_run'", 0)],
    ids=["before it begins", "when it is finished"],
)
def test_a_finished_run_that_is_trained_anew_is_trained_once_whenever_a_process_is_killed(
    run_of_two, tmp_path, place, steps
):
    """A restart goes on with what its own launch has begun. Before, it took the old run for it."""
    cache = tmp_path / "cache"
    shutil.copytree(run_of_two[0], cache)
    before = (find_folder(cache) / "history.csv").read_bytes()
    program = tmp_path / "lost_once.py"
    program.write_text(LOST_ONCE.replace("PLACE", place) + COUNTING)
    launcher = start_torchrun(cache, "--max-restarts=1", program=[str(program)])
    printed, said = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, said
    assert "exitcode: -9" in said, said
    assert printed.count(f"steps: {steps}\n") == 2, "of the processes after the restart"
    assert (find_folder(cache) / "history.csv").read_bytes() != before, "its seconds are others"
    assert read_history(cache) == read_history(run_of_two[0])


DIVERGING = """
import clipnb.steps
from clipnb.cli import main
from clipnb.distributed import rank

compute_loss, steps = clipnb.steps.compute_loss, []


def diverge(*arguments):
    steps.append(1)
    loss = compute_loss(*arguments)
    return loss * float("nan") if rank() == 1 and len(steps) == NUMBER else loss


clipnb.steps.compute_loss = diverge
main()
"""


def test_a_loss_that_one_process_spoils_stops_both_and_the_finished_run_stays(
    run_of_two, small_root, tmp_path
):
    """A second training of a finished run diverges in the second process, and goes on later."""
    cache = tmp_path / "cache"
    shutil.copytree(run_of_two[0], cache)
    folder = find_folder(cache)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    per_epoch = 48 // SETTINGS["batch_size"]
    program = tmp_path / "diverging.py"
    program.write_text(DIVERGING.replace("NUMBER", str(per_epoch + 2)))
    launcher = start_torchrun(cache, program=[str(program)])
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    told = [line for line in said.splitlines() if "the training diverged" in line]
    assert len(told) == 1, f"one process says it for both: {said}"
    assert f"at step {per_epoch + 2} (epoch 2) the loss was nan" in told[0]
    recipe = dataclasses.replace(RECIPES["quick"], dataset="small", **SETTINGS)
    dataset = load_dataset("small", "train", recipe.stored_size, small_root)
    run = SimpleNamespace(recipe=recipe, seed=0, history=[{}])  # one epoch is over
    named = find_image_ids(run, dataset, len(dataset.captions[0]), step=1)
    assert f"the images {', '.join(named[:5])}, …" in told[0]
    assert len(read_columns(folder / "next" / "history.csv")) == 1
    for name, content in before.items():
        assert (folder / name).read_bytes() == content, "the finished run is as it was"

    launcher = start_torchrun(cache, then=["--resume"])
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, said
    assert not (folder / "next").exists()
    assert read_history(cache) == read_history(run_of_two[0])


FROM_SHARDS = """
import os
import signal
import clipnb.loop
import clipnb.streaming
from clipnb.cli import main
from clipnb.datasets.shards import ShardFolder
from clipnb.distributed import rank

ShardFolder.__init__.__defaults__ = (None, None, WORKERS)
clipnb.streaming.SAVE_EVERY = 2
train_step, steps = clipnb.loop.train_step, []


def take_step(*arguments):
    steps.append(1)
    if rank() == 0 and len(steps) == NUMBER:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_step(*arguments)


clipnb.loop.train_step = take_step
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("workers, n_steps", [(0, 12), (2, 8)])
def test_a_process_that_is_killed_in_an_epoch_of_shards_goes_on_in_it(
    sharded, tmp_path, workers, n_steps
):
    """The first process is killed in the third step of the second of two epochs.

    With workers each process starts two of its own, which read ahead. Then four parts of the six
    shards are read, and less fits into an epoch.
    """
    histories, steps = [], []
    killed_at = n_steps // 2 + 3
    for number in (0, killed_at):
        program = tmp_path / f"killed_at_{number}.py"
        settled = FROM_SHARDS.replace("NUMBER", str(number)).replace("WORKERS", str(workers))
        program.write_text(settled + COUNTING)
        options = {"dataset": sharded, "program": [str(program)], **DRAWING}
        cache = tmp_path / f"cache_{number}"
        launcher = start_torchrun(cache, "--max-restarts=1", **options)
        printed, said = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, said
        histories.append(read_history(cache))
        steps.append(re.findall(r"steps: \d+(?=\n)", printed))  # others print in between
    left = n_steps - (n_steps // 2 + 2)  # those that were saved are not repeated
    assert steps == [[f"steps: {n_steps}"] * 2, [f"steps: {left}"] * 2]
    assert len(histories[0]) == DRAWING["epochs"]
    assert histories[0] == histories[1]


ALONE_WRITES = """
import os
import signal
import clipnb.disk
import clipnb.loop
from clipnb.cli import main
from clipnb.distributed import rank

train_step, steps = clipnb.loop.train_step, []
make_folder = clipnb.disk.tempfile.mkdtemp


def take_step(*arguments):
    steps.append(1)
    if rank() == 1 and len(steps) == NUMBER:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_step(*arguments)


def refuse(*arguments, **options):
    assert rank() == 0, "another process than the first writes a file"
    return make_folder(*arguments, **options)


clipnb.loop.train_step = take_step
clipnb.disk.tempfile.mkdtemp = refuse
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_muon_an_average_and_dropout_survive_a_kill_and_the_first_process_alone_writes(
    small_folder, tmp_path
):
    """The second process is killed in the last of three epochs. Not a bit differs."""
    changes = {"optimizer": "muon", "ema": 0.9, "token_dropout": 0.3, "dropout": 0.1, "epochs": 3}
    histories, weights = [], []
    for number in (0, 2 * 48 // SETTINGS["batch_size"] + 2):
        program = tmp_path / f"killed_at_{number}.py"
        program.write_text(ALONE_WRITES.replace("NUMBER", str(number)))
        cache = tmp_path / f"cache_{number}"
        launcher = start_torchrun(cache, "--max-restarts=1", program=[str(program)], **changes)
        _, said = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, said
        assert ("exitcode: -9" in said) == bool(number), said
        histories.append(read_history(cache))
        weights.append((find_folder(cache) / "model.safetensors").read_bytes())
    assert len(histories[0]) == 3
    assert histories[0] == histories[1]
    assert weights[0] == weights[1]


FULL_DISK = """
import errno
import os
import clipnb.runs
import clipnb.streaming
from clipnb.cli import main

save, saved = clipnb.runs.torch.save, []


def save_until_full(*arguments):
    saved.append(1)
    if len(saved) == 4:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return save(*arguments)


clipnb.streaming.SAVE_EVERY = 2
clipnb.runs.torch.save = save_until_full
main()
"""


def test_a_disk_that_is_full_in_an_epoch_of_shards_is_told_once_and_training_goes_on_later(
    sharded, tmp_path
):
    """The fourth state is the first one of the second epoch. Both processes end."""
    program = tmp_path / "full.py"
    program.write_text(FULL_DISK)
    cache = tmp_path / "cache"
    launcher = start_torchrun(cache, dataset=sharded, program=[str(program)], **DRAWING)
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    (line,) = (each for each in said.splitlines() if each.startswith("clipnb:"))
    assert "state.pt cannot be written: the disk is full. Free some space" in line
    assert len(read_history(cache)) == 1, "the whole epoch is kept"
    for folder, then in ((cache, ["--resume"]), (tmp_path / "whole", [])):
        launcher = start_torchrun(folder, dataset=sharded, then=then, **DRAWING)
        _, said = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, said
    assert read_history(cache) == read_history(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_process_ends_the_others_with_a_line_that_says_how_to_go_on(sharded, tmp_path):
    program = tmp_path / "killed.py"
    killed = FROM_SHARDS.replace("rank() == 0", "rank() == 1").replace("NUMBER", "9")
    program.write_text(killed.replace("WORKERS", "0") + COUNTING)
    launcher = start_torchrun(
        tmp_path / "cache", dataset=sharded, program=[str(program)], **DRAWING
    )
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    (line,) = (each for each in said.splitlines() if each.startswith("clipnb: another"))
    assert "add --resume to the same command" in line
    assert len(read_history(tmp_path / "cache")) == 1, "the whole epoch is kept"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_a_second_launch_into_the_same_folder_is_refused_and_the_first_goes_on(
    small_folder, run_of_two, tmp_path
):
    first = start_torchrun(tmp_path)
    while not read_history(tmp_path) and first.poll() is None:
        time.sleep(0.005)
    (lock,) = tmp_path.glob("runs/.*.lock")
    owner = lock.read_text()
    os.kill(int(owner.split()[1]), signal.SIGSTOP)  # it waits, while the second one starts
    try:
        second = start_torchrun(tmp_path)
        folder = find_folder(tmp_path)
        line = f"{owner} is training the run in {folder}. Wait until it has finished, or end it"
        check_refused(second, f"clipnb: {line} first.")
    finally:
        os.kill(int(owner.split()[1]), signal.SIGCONT)
    _, said = first.communicate(timeout=300)
    assert first.returncode == 0, said
    assert read_history(tmp_path) == read_history(run_of_two[0])
