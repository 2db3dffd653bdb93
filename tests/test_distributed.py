"""Several processes that share every batch take the steps of one process with the whole batch."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from distributed_parts import (
    CASES,
    IN_RING,
    TINY,
    K,
    compute_word_losses,
    draw_dropout,
    make_dataset,
    run_cases,
    take_steps,
)

from clipnb.distributed import agree_on_start, on_first, share_batch_size, take_share, world_size
from clipnb.divergence import find_image_ids
from clipnb.shared_norm import share_batch_norms

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes has made of all cases."""
    return run_processes(2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """What each of three processes has made of the cases that send texts round a ring."""
    return run_processes(3, tmp_path_factory.mktemp("three"))


def run_processes(n, folder):
    """What each of n processes has made of its cases."""
    torch.multiprocessing.spawn(run_cases, (n, str(folder)), nprocs=n)
    return [torch.load(folder / f"{rank}.pt") for rank in range(n)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_steps_of_one(two, case, monkeypatch):
    monkeypatch.setenv("CLIPNB_PRECISION", "float32")
    one = take_steps(CASES[case])
    check_same([results[case] for results in two], one)
    if CASES[case].get("image_encoder") == "residual_cnn":
        assert len(one["statistics"]) > 100, "those of batch norm are compared too"


@pytest.mark.parametrize("case", IN_RING)
def test_three_processes_in_a_ring_take_the_steps_of_one(three, case, monkeypatch):
    monkeypatch.setenv("CLIPNB_PRECISION", "float32")
    check_same([results[case] for results in three], take_steps(IN_RING[case]))


def check_same(processes, one):
    """Check that all processes have the numbers of one process with the whole batch."""
    assert one["gradients"].abs().max() > 1e-3, "gradients of zero would agree as well"
    for name, expected in one.items():
        assert expected.dtype == torch.float64
        for results in processes:
            torch.testing.assert_close(results[name], expected, rtol=0, atol=1e-6)
            assert torch.equal(results[name], processes[0][name]), "no process drifts away"


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


def test_processes_agree_on_a_start_whatever_an_earlier_one_has_left():
    store = torch.distributed.HashStore()
    starts = []
    for _ in range(2):  # the second time the store holds the questions of the first
        with ThreadPoolExecutor() as pool:
            first = pool.submit(agree_on_start, store, 0, 3)
            time.sleep(0.1)  # it has answered what an earlier start has asked
            others = [pool.submit(agree_on_start, store, rank, 3) for rank in (1, 2)]
            (start,) = {each.result(timeout=60) for each in (first, *others)}
        starts.append(start)
    assert starts[0] != starts[1]


def test_one_process_has_it_all():
    rows = torch.arange(6)
    assert world_size() == 1
    assert take_share(rows) is not None and torch.equal(take_share(rows), rows)
    assert on_first(lambda: 7) == 7
    norm = torch.nn.BatchNorm2d(2)
    share_batch_norms(norm)
    assert type(norm) is torch.nn.BatchNorm2d
    assert share_batch_size(15, 1) == 15


def test_a_batch_is_shared_evenly_or_refused():
    assert share_batch_size(15, 3) == 5
    for size, n, even in ((15, 2, 14), (1, 2, 2)):
        with pytest.raises(ValueError, match=rf"by {n} processes; .*batch_size={even}\.$"):
            share_batch_size(size, n)


def test_a_batch_norm_of_another_library_is_refused(monkeypatch):
    class OtherNorm(torch.nn.BatchNorm2d):
        pass

    monkeypatch.setattr("clipnb.shared_norm.world_size", lambda: 2)
    with pytest.raises(ValueError, match="OtherNorm cannot be shared"):
        share_batch_norms(torch.nn.Sequential(OtherNorm(2)))
