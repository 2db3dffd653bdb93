"""Nothing is ever half written, and the device can be chosen."""

import os

import pytest
import torch

from clipnb.runtime import get_device, replace_when_done


def folder_with(path, text):
    path.mkdir()
    (path / "file").write_text(text)


def test_a_folder_takes_the_place_of_another(tmp_path):
    folder_with(tmp_path / "run", "old")
    with replace_when_done(tmp_path / "run") as temporary:
        folder_with(temporary, "new")
        assert (tmp_path / "run" / "file").read_text() == "old", "until the block ends"
    assert (tmp_path / "run" / "file").read_text() == "new" and os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_in_the_block_changes_nothing(tmp_path, error):
    (tmp_path / "file").write_text("old")
    with pytest.raises(error):
        with replace_when_done(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise error
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_an_error_while_replacing_brings_the_old_folder_back(tmp_path):
    folder_with(tmp_path / "run", "old")
    with pytest.raises(FileNotFoundError):
        with replace_when_done(tmp_path / "run"):
            pass  # nothing was written: there is nothing to put in its place
    assert (tmp_path / "run" / "file").read_text() == "old" and os.listdir(tmp_path) == ["run"]


def test_the_device_can_be_chosen(monkeypatch):
    monkeypatch.setenv("CLIPNB_DEVICE", "cpu")
    assert get_device() == torch.device("cpu")
