"""Nothing is ever half written, and the device can be chosen."""

import os
import subprocess
import sys

import pytest
import torch

from clipnb.runtime import get_device, has_bf16, keep_freed_memory, replace_when_done


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


def test_two_processes_may_make_the_same_folder_at_once(tmp_path, monkeypatch):
    replace, run, calls = os.replace, tmp_path / "run", []

    def another_was_quicker(source, target):
        calls.append(target)
        if len(calls) == 1:
            folder_with(run, "theirs")  # between our look and our move
        replace(source, target)

    monkeypatch.setattr(os, "replace", another_was_quicker)
    with replace_when_done(run) as temporary:
        folder_with(temporary, "ours")
    assert (run / "file").read_text() == "ours" and os.listdir(tmp_path) == ["run"]


@pytest.mark.skipif(sys.platform != "linux", reason="a habit of Linux's C library")
def test_freed_memory_is_kept_for_the_next_tensor():
    count = """
import resource, torch
from clipnb.runtime import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(2**24)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory(False)
usual = page_faults()
keep_freed_memory()
for _ in range(5):
    page_faults()  # the first ones still have to ask
print(usual, page_faults())
"""  # in a process of its own: what other tests have freed would serve the usual way as well
    usual, kept = map(
        int,
        subprocess.run(
            [sys.executable, "-c", count], check=True, capture_output=True, text=True
        ).stdout.split(),
    )
    assert kept < usual / 4


def test_the_device_can_be_chosen(monkeypatch):
    monkeypatch.setenv("CLIPNB_DEVICE", "cpu")
    assert get_device() == torch.device("cpu")


@pytest.mark.parametrize(
    "feature, pays", [("amx_bf16", True), ("avx512_bf16", False), ("avx2", False)]
)
def test_bfloat16_is_used_on_a_cpu_only_where_it_is_faster(monkeypatch, feature, pays):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True})
    assert has_bf16(torch.device("cpu")) == pays
