"""What is written to disk: leftovers are cleared, refusals are told, changes are noticed."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from clipnb.disk import (
    check_space,
    checksum_file,
    errors_of_the_system,
    is_alive,
    list_entries,
    replace_when_done,
    write_file,
)
from clipnb.places import ROOT

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
        (errno.EBUSY, "a disk is connected at this very place"),
        (errno.EFBIG, "so large"),
        (errno.EIO, "reports an error"),
        (errno.ESTALE, "network drive"),
        (errno.ENODEV, "is gone"),
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


def test_folders_above_that_cannot_be_made_are_told_too(tmp_path, monkeypatch):
    def refuse(path, *_):
        is_below = os.path.exists(os.path.dirname(path))
        number = errno.EROFS if is_below else errno.ENOENT  # as the system does
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "a"))
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(OSError, match=r"c.json cannot be written: .*read-only.*CLIPNB_RESULTS"):
        write_file(tmp_path / "a" / "b" / "c.json", "x")


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


@pytest.mark.parametrize(
    "code",
    [
        "from clipnb.scenes import write_scenes\n"
        "if __name__ == '__main__': write_scenes('drawn', {'train': 5000}, workers=2)",
        "from clipnb.experiments.exams import render_dataset, sample_scenes\n"
        "if __name__ == '__main__': render_dataset(sample_scenes(3000))",
        "import time; from clipnb import RECIPES; from clipnb.bench.scale import Workers\n"
        "if __name__ == '__main__': all = Workers(RECIPES['quick'], 1, 1, '.'), time.sleep(600)",
    ],
    ids=["of the dataset", "of an experiment", "of a benchmark"],
)
def test_workers_end_with_the_process_that_started_them(code, tmp_path):
    environment = os.environ | {"CLIPNB_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
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


LITTER = {".DS_Store", "Thumbs.db", "desktop.ini", "._a"}


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("replace_folder", [False, True])
def test_what_finder_and_explorer_left_is_no_obstacle_and_stays(tmp_path, replace_folder, fails):
    folder = tmp_path / "new"
    folder.mkdir()
    for name in LITTER:
        (folder / name).write_text("a view")
    with (
        contextlib.suppress(ZeroDivisionError),
        replace_when_done(folder, replace_folder) as temporary,
    ):
        temporary.mkdir()
        (temporary / "model").write_text("ours")
        (temporary / "desktop.ini").write_text("a newer view")
        _ = 1 / 0 if fails else 1
    assert {path.name for path in folder.iterdir()} == (LITTER if fails else LITTER | {"model"})
    assert (folder / ".DS_Store").read_text() == "a view"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_a_reader_left_beside_it_is_an_obstacle(tmp_path):
    for name in (".DS_Store", ".gitignore"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match="something in it"), replace_when_done(tmp_path):
        pass
    assert list_entries(tmp_path) == {".gitignore"}
    assert (tmp_path / ".DS_Store").exists()


@pytest.mark.parametrize(
    "told",
    [
        "Error while serializing: I/O error: No space left on device (os error 28)",
        'Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "No space" })',
    ],
)
def test_an_error_of_a_rust_library_becomes_that_of_the_system(told):
    with pytest.raises(OSError) as error, errors_of_the_system():
        raise RuntimeError(told)
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(RuntimeError, match="a header"), errors_of_the_system():
        raise RuntimeError("a header is too large")
