"""What depends on the machine: whole files, memory, device, precision, folders, progress bars."""

import os
import subprocess
import sys

import pytest
import torch

from clipnb import places, progress, runtime
from clipnb.runtime import ROOT, display_path, get_device, has_bf16, replace_when_done

# ---- files are written whole or not at all ---------------------------------------------------


def write_folder(path, text):
    """Make a folder with one file in it."""
    path.mkdir()
    (path / "file").write_text(text)


def test_a_folder_takes_the_place_of_another(tmp_path):
    run = tmp_path / "run"
    write_folder(run, "old")
    with replace_when_done(run, replace_folder=True) as temporary:
        write_folder(temporary, "new")
        assert (run / "file").read_text() == "old", "until the block ends"
    assert (run / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_in_the_block_changes_nothing(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error), replace_when_done(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_while_replacing_brings_the_old_folder_back(tmp_path):
    run = tmp_path / "run"
    write_folder(run, "old")
    with pytest.raises(FileNotFoundError), replace_when_done(run, replace_folder=True):
        pass  # nothing was written: there is nothing to put in its place
    assert (run / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["run"]


def test_two_processes_may_make_the_same_folder_at_once(tmp_path, monkeypatch):
    run = tmp_path / "run"
    replace = os.replace
    targets = []

    def replace_too_late(source, target):
        targets.append(target)
        if len(targets) == 1:
            write_folder(run, "theirs")  # another process is faster
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_too_late)
    with replace_when_done(run) as temporary:
        write_folder(temporary, "ours")
    assert (run / "file").read_text() == "ours"
    assert os.listdir(tmp_path) == ["run"]


# ---- memory, device and precision ------------------------------------------------------------

# It runs in a process of its own. Otherwise memory that other tests have freed would help too.
COUNT_PAGE_FAULTS = """
import resource, torch
from clipnb.runtime import keep_freed_memory

def count_page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(2**24)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory(False)
by_default = count_page_faults()
keep_freed_memory()
for _ in range(5):
    count_page_faults()  # the first tensors still need new memory
print(by_default, count_page_faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="keep_freed_memory has no effect elsewhere")
def test_freed_memory_is_kept_for_the_next_tensor():
    command = [sys.executable, "-c", COUNT_PAGE_FAULTS]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    by_default, kept = (int(number) for number in result.stdout.split())
    assert kept < by_default / 4


def test_the_device_can_be_chosen(monkeypatch):
    monkeypatch.setenv("CLIPNB_DEVICE", "cpu")
    assert get_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda", "cuda:1", "mps", "cpu 0"])
def test_a_device_that_is_not_here_is_told(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("CLIPNB_DEVICE", name)
    with pytest.raises(ValueError, match=f"CLIPNB_DEVICE={name} is no device here; .* cpu"):
        get_device()


@pytest.mark.parametrize(
    "feature, is_faster", [("amx_bf16", True), ("avx512_bf16", False), ("avx2", False)]
)
def test_bfloat16_is_used_on_a_cpu_only_where_it_is_faster(monkeypatch, feature, is_faster):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True})
    assert has_bf16(torch.device("cpu")) == is_faster


@pytest.mark.parametrize("precision, expected", [(None, True), ("float32", False)])
def test_a_variable_turns_bfloat16_off(monkeypatch, precision, expected):
    monkeypatch.setattr(runtime, "has_bf16", lambda device: True)
    monkeypatch.delenv("CLIPNB_PRECISION", raising=False)
    if precision:
        monkeypatch.setenv("CLIPNB_PRECISION", precision)
    assert runtime.may_use_bf16(torch.device("cpu")) == expected
    with runtime.autocast(torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu") == expected


# ---- folders ---------------------------------------------------------------------------------

FOLDERS = {
    "CLIPNB_DATA": (runtime.data_dir, "data"),
    "CLIPNB_CACHE": (runtime.cache_dir, "data/cache"),
    "CLIPNB_RESULTS": (runtime.results_dir, "results"),
}


@pytest.mark.parametrize("variable", FOLDERS)
def test_a_folder_is_in_the_repository_by_default(variable, monkeypatch):
    find_folder, in_repository = FOLDERS[variable]
    monkeypatch.delenv(variable, raising=False)
    assert find_folder() == ROOT / in_repository


@pytest.mark.parametrize("variable", FOLDERS)
def test_a_folder_is_where_its_variable_says(variable, tmp_path, monkeypatch):
    find_folder, _ = FOLDERS[variable]
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert find_folder() == tmp_path / "elsewhere"


def test_an_installed_copy_uses_the_users_own_folders(tmp_path, monkeypatch):
    for variable in FOLDERS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(places, "ROOT", tmp_path / "site-packages")
    monkeypatch.setattr("platformdirs.user_data_path", lambda name, **_: tmp_path / "data" / name)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **_: tmp_path / "cache" / name)
    assert runtime.data_dir() == tmp_path / "data" / "clipnb"
    assert runtime.cache_dir() == tmp_path / "cache" / "clipnb"
    assert runtime.results_dir() == tmp_path / "data" / "clipnb" / "results"


def test_a_path_is_shown_relative_to_the_repository(tmp_path):
    assert display_path(ROOT / "results" / "claims") == "results/claims"
    assert display_path(tmp_path) == str(tmp_path.resolve())


# ---- progress bars ---------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["tqdm.std", "tqdm.notebook"])
def test_the_variable_of_tqdm_silences_every_bar(module, monkeypatch, capsys):
    monkeypatch.setattr("tqdm.auto.tqdm", pytest.importorskip(module).tqdm)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(progress(range(3))) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_bar_is_shown_without_the_variable(monkeypatch, capsys):
    monkeypatch.setattr("tqdm.auto.tqdm", pytest.importorskip("tqdm.std").tqdm)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert list(progress(range(3))) == [0, 1, 2]
    assert "3/3" in capsys.readouterr().err
