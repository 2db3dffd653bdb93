"""What the tests under torchrun share: the command, a dataset, and shards of it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipnb.datasets import load_dataset
from clipnb.datasets.shard_files import write_shards

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
SETTINGS = {
    "image_encoder": "residual_cnn",
    "image_width": 16,
    "image_size": 32,
    "stored_size": 32,
    "embed_dim": 16,
    "vocab_size": 300,
    "batch_size": 16,
    "epochs": 14,
    "dropout": 0.0,
}
DRAWING = {"batch_size": 8, "epochs": 2, "dropout": 0.2, "token_dropout": 0.2}


def start_torchrun(
    cache, *options, processes=2, program=("-m", "clipnb"), then=(), dataset="small", **changes
):
    """Start `clipnb train` in several processes, and return the launcher."""
    settings = [f"--set={name}={value}" for name, value in (SETTINGS | changes).items()]
    command = [*TORCHRUN, f"--nproc-per-node={processes}", *options, *program, "train", *then]
    environment = {
        **os.environ,
        "CLIPNB_CACHE": str(cache),
        "CLIPNB_DEVICE": "cpu",
        "CLIPNB_PRECISION": "float32",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
    }
    return subprocess.Popen(
        [*command, f"--dataset={dataset}", *settings],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def find_folder(cache):
    """The folder of the one run in a cache, or None as long as there is none."""
    return next((path.parent for path in Path(cache).glob("runs/*/recipe.json")), None)


def read_history(cache):
    """The columns of the history of the one run in a cache that say what was learned."""
    folder = find_folder(cache)
    if folder is None or not (folder / "history.csv").exists():
        return []
    return read_columns(folder / "history.csv")


def read_columns(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("epoch", "loss", "logit_scale", "dev_mean_recall")
    return [[float(row[name]) for name in names] for row in rows]


@pytest.fixture(scope="module")
def small_folder(small_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPNB_DATA", str(small_root))
        yield


@pytest.fixture
def sharded(small_folder, tmp_path):
    """The 48 pairs of `small` as six shards: with two processes an epoch has six steps."""
    pytest.importorskip("webdataset")
    folder = tmp_path / "shards"
    write_shards(load_dataset("small", "train", 32), folder, pairs_per_shard=8)
    return folder


def check_refused(launcher, line):
    """Check that all processes end, and that one of them says why in one line."""
    printed, said = launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    assert not printed
    assert [each for each in said.splitlines() if each.startswith("clipnb:")] == [line]
