"""What stands at a path is never lost while something new takes its place."""

import os
import signal
import threading

import pytest

from clipnb.disk import hold_ctrl_c, replace_when_done, write_file


def replace_folder(folder):
    with replace_when_done(folder, replace_folder=True) as new:
        new.mkdir()
        (new / "file").write_text("new")


@pytest.fixture
def old(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("old")
    return tmp_path / "folder"


@pytest.mark.parametrize("number, content", [(1, "old"), (2, "new")])
def test_ctrl_c_after_a_rename_leaves_one_of_the_two_folders(old, number, content, monkeypatch):
    real, moves = os.replace, []

    def interrupt(source, target):
        real(source, target)
        moves.append(target)
        if len(moves) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(old)
    assert (old / "file").read_text() == content
    assert os.listdir(old.parent) == ["folder"]


def test_an_old_folder_that_cannot_be_put_back_is_kept_for_the_next_start(old, monkeypatch):
    real, moves = os.replace, []

    def fail(source, target):
        moves.append(target)
        if len(moves) > 1:
            raise OSError("the disk is gone")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="gone"):
        replace_folder(old)
    kept = {path.read_text() for path in old.parent.rglob("file")}
    assert kept == {"old", "new"}


def test_a_signal_between_the_renames_comes_after_the_swap(old, monkeypatch):
    real = os.replace

    def replace_and_signal(source, target):
        real(source, target)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "replace", replace_and_signal)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            replace_folder(old)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert (old / "file").read_text() == "new"
    assert os.listdir(old.parent) == ["folder"]


def test_another_thread_writes_as_well(old):
    thread = threading.Thread(target=replace_folder, args=[old])
    thread.start()
    thread.join()
    assert (old / "file").read_text() == "new"


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with hold_ctrl_c():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_is_refused_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="pipe is no ordinary file"):
        write_file(tmp_path / "pipe", "x")
    assert (tmp_path / "pipe").is_fifo() and os.listdir(tmp_path) == ["pipe"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(old, tmp_path):
    (tmp_path / "target").write_text("old")
    for link, target in {"link": "target", "to nothing": "new", "link to folder": "folder"}.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    write_file(tmp_path / "link", "new")
    write_file(tmp_path / "to nothing", "new")
    replace_folder(tmp_path / "link to folder")
    assert (tmp_path / "target").read_text() == (tmp_path / "new").read_text() == "new"
    assert (old / "file").read_text() == "new"
    assert sum(path.is_symlink() for path in tmp_path.iterdir()) == 3
