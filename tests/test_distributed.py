"""Several processes that share every batch: real ones, on gloo, against one process."""

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from distributed_parts import (
    CASES,
    TINY,
    K,
    compute_word_losses,
    draw_dropout,
    make_dataset,
    run_cases,
    take_three_steps,
)

from clipnb import RECIPES, load_run, train
from clipnb.batches import keep_on_card, take_images
from clipnb.bench import scale
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.distributed import check_batch_size, on_first, take_share, world_size
from clipnb.divergence import find_image_ids
from clipnb.run_lock import lock_folder
from clipnb.shared_norm import share_batch_norms

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* has only 20 dev images"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed"),
]

# ---- a step of two processes equals one of the whole batch ------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes has made of all cases."""
    folder = tmp_path_factory.mktemp("two")
    torch.multiprocessing.spawn(run_cases, (2, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_steps_of_one(two, case, monkeypatch):
    monkeypatch.setenv("CLIPNB_PRECISION", "float32")
    one = take_three_steps(CASES[case])
    assert one["gradients"].abs().max() > 1e-3, "gradients of zero would agree as well"
    for name, expected in one.items():
        for results in two:
            assert expected.dtype == torch.float64
            torch.testing.assert_close(results[case][name], expected, rtol=0, atol=1e-6)
        assert torch.equal(two[0][case][name], two[1][case][name]), "no process drifts away"
    if CASES[case].get("image_encoder") == "residual_cnn":
        assert len(one["statistics"]) > 100, "those of batch norm are compared too"


def test_captions_of_other_lengths_in_another_process_are_no_matter(two, monkeypatch):
    monkeypatch.setenv("CLIPNB_PRECISION", "float32")
    one = compute_word_losses()["losses"]
    for results in two:
        torch.testing.assert_close(results["lengths"]["losses"], one, rtol=0, atol=1e-6)


def test_dropout_is_a_process_s_own_and_changes_no_batch(two):
    seen = torch.cat([results["dropout"]["seen"] for results in two], dim=1)
    assert torch.equal(seen, draw_dropout()["seen"])
    first, second = (results["dropout"]["drawn"] for results in two)
    assert len(first.unique()) == len(first), "every step draws anew"
    assert not set(first.tolist()) & set(second.tolist())


def test_the_images_that_are_named_are_those_of_both_processes(two):
    """Of the steps of `draw_dropout`: a step's whole batch, as each process would name it."""
    recipe = dataclasses.replace(TINY, sampling="rows", captions_per_image=1)
    dataset, _ = make_dataset(32)
    sums = (torch.from_numpy(dataset.images).double() / 127.5 - 1).sum(dim=(1, 2, 3))  # (N,)
    run = SimpleNamespace(recipe=recipe, seed=1, history=[])
    seen = torch.cat([results["dropout"]["seen"] for results in two], dim=1)  # (steps, B)
    for step in range(len(seen)):
        named = [int(name) for name in find_image_ids(run, dataset, K, step)]
        torch.testing.assert_close(sums[named], seen[step].double(), rtol=0, atol=0.01)


def test_one_process_has_it_all():
    rows = torch.arange(6)
    assert world_size() == 1
    assert take_share(rows) is not None and torch.equal(take_share(rows), rows)
    assert on_first(lambda: 7) == 7
    norm = torch.nn.BatchNorm2d(2)
    share_batch_norms(norm)
    assert type(norm) is torch.nn.BatchNorm2d
    check_batch_size(TINY)


def test_a_batch_norm_of_another_library_is_refused(monkeypatch):
    class OtherNorm(torch.nn.BatchNorm2d):
        pass

    monkeypatch.setattr("clipnb.shared_norm.world_size", lambda: 2)
    with pytest.raises(ValueError, match="OtherNorm cannot be shared"):
        share_batch_norms(torch.nn.Sequential(OtherNorm(2)))


# ---- the command under torchrun --------------------------------------------------------------

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


def start_torchrun(cache, *options, processes=2, program=("-m", "clipnb"), then=(), **changes):
    """Start `clipnb train` on `small` in several processes, and return the launcher."""
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
        [*command, "--dataset=small", *settings],
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


def test_processes_that_do_not_divide_the_batch_are_refused(small_folder, tmp_path):
    launcher = start_torchrun(tmp_path, processes=2, batch_size=15)
    printed, said = launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    assert not printed
    lines = [line for line in said.splitlines() if line.startswith("clipnb:")]
    assert lines == [
        "clipnb: batch_size 15 cannot be shared evenly by 2 processes; choose another "
        "--nproc-per-node, or --set batch_size=14."
    ]
    assert find_folder(tmp_path) is None, "before anything is written"


# ---- two launches into one folder ------------------------------------------------------------

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


# ---- images on a card ------------------------------------------------------------------------


class FakeCard:
    """A device of the kind "cuda" for a machine without one."""

    type = "cuda"


def make_images(n=6):
    images = np.arange(n * 3 * 4, dtype=np.uint8).reshape(n, 3, 2, 2)
    names = [str(i) for i in range(n)]
    return CaptionDataset("noise", "train", images, [[name] for name in names], names)


@pytest.fixture
def card(monkeypatch):
    """A function that pretends that a card has so many bytes free."""

    def pretend(free):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
        move = torch.Tensor.to
        monkeypatch.setattr(
            torch.Tensor, "to", lambda t, d: t if isinstance(d, FakeCard) else move(t, d)
        )
        return FakeCard()

    return pretend


def test_images_that_fit_into_half_of_the_free_memory_move_to_the_card(card):
    dataset = make_images()
    kept = keep_on_card(dataset, card(free=2 * dataset.images.nbytes))
    assert torch.is_tensor(kept.images)
    assert kept.images.dtype == torch.uint8
    assert kept.images.numpy().tolist() == dataset.images.tolist()
    assert kept.captions is dataset.captions
    assert isinstance(dataset.images, np.ndarray), "the dataset itself is as it was"


def test_images_that_do_not_fit_stay_where_they_are(card):
    dataset = make_images()
    assert keep_on_card(dataset, card(free=2 * dataset.images.nbytes - 1)) is dataset


def test_images_stay_in_memory_without_a_card(card):
    dataset = make_images()
    assert keep_on_card(dataset, torch.device("cpu")) is dataset
    mapped = dataclasses.replace(dataset, images=[1, 2])  # anything else than an array
    assert keep_on_card(mapped, card(free=10**9)) is mapped


def test_rows_are_taken_alike_from_an_array_and_from_a_tensor():
    images, rows = make_images().images, torch.tensor([4, 0, 4])
    expected = images[[4, 0, 4]]
    for source in (images, torch.from_numpy(images)):
        taken = take_images(source, rows)
        assert torch.is_tensor(taken)
        assert taken.dtype == torch.uint8
        assert (taken.numpy() == expected).all()


# ---- the benchmark ---------------------------------------------------------------------------


def test_two_processes_are_compared_with_one(small):
    recipe = dataclasses.replace(TINY, dataset="small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "use_photos", lambda recipe: recipe)
        result = scale.compare_processes(recipe, seconds=0, rounds=2)
    assert result["rounds"] == 2
    assert 0 < result["lowest"] <= result["ratio"] <= result["highest"]
    assert result["ours"] > 0
    assert result["unit"] == "pairs per second"


def test_the_record_of_the_benchmark_holds_every_measurement(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    ratio = {"ratio": 0.95, "lowest": 0.9, "highest": 1.0}
    for name in ("compare_processes", "compare_shards_with_memory"):
        monkeypatch.setattr(scale, name, lambda *arguments: ratio)
    monkeypatch.setattr(scale, "measure_step_memory", lambda: {"at once": {256: 10**6}})
    monkeypatch.setattr(scale, "measure_mapped_memory", lambda: {"images": 100_000})
    record = json.loads(Path(scale.run_scale_benchmark()).read_text())
    assert record["two processes"] == {"quick": ratio, "baseline": ratio}
    assert record["shards"] == {"quick": ratio}
    assert record["memory of a step, bytes"] == {"at once": {"256": 10**6}}
    assert record["mapped images"] == ({"images": 100_000} if sys.platform == "linux" else None)
    assert capsys.readouterr().out.count("0.950") == 3
