"""Of two launches into one folder the second is told, waits, or goes on after a kill."""

import os
import subprocess
import sys

import pytest

from clipnb import train
from clipnb.run_lock import lock_folder

HOLD = """
import sys, time
from clipnb.run_lock import lock_folder
with lock_folder(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other_process(tmp_path):
    """Another process that holds the lock of the folder `run`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_launch_is_told_who_is_training(other_process, small, recipe, tmp_path):
    with pytest.raises(RuntimeError, match=f"process {other_process.pid} on .* is training"):
        train(recipe, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_lock_whose_owner_was_killed_is_no_obstacle(other_process, tmp_path):
    other_process.kill()
    other_process.wait()
    lock = tmp_path / ".run.lock"
    assert str(other_process.pid) in lock.read_text()
    with lock_folder(tmp_path / "run"):
        assert f"process {os.getpid()} " in lock.read_text()
    assert not lock.exists()


def test_a_lock_is_waited_for(other_process, tmp_path, capsys):
    def kill_soon(seconds):
        other_process.kill()
        other_process.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipnb.run_lock.time.sleep", kill_soon)
        with lock_folder(tmp_path / "run", wait=True):
            pass
    assert f"process {other_process.pid} on" in capsys.readouterr().err


def test_a_lock_is_free_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lock_folder(tmp_path / "run"):
            _ = 1 / 0
