"""The images of a batch: on a card where they fit, and the same rows from array and tensor."""

import dataclasses

import numpy as np
import pytest
import torch

from clipnb.batches import keep_on_card, take_images
from clipnb.datasets import CaptionDataset


class FakeCard:
    """A device of the kind "cuda" for a machine without one."""

    type = "cuda"


def make_images(n=6):
    images = np.arange(n * 3 * 4, dtype=np.uint8).reshape(n, 3, 2, 2)
    names = [str(i) for i in range(n)]
    return CaptionDataset("noise", "train", images, [[name] for name in names], names)


class OnDisk:
    """Images that are no array in memory."""

    shape = (6, 3, 2, 2)

    def __len__(self):
        return 6


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
    mapped = dataclasses.replace(dataset, images=OnDisk())  # anything else than an array
    assert keep_on_card(mapped, card(free=10**9)) is mapped


def test_rows_are_taken_alike_from_an_array_and_from_a_tensor():
    images, rows = make_images().images, torch.tensor([4, 0, 4])
    expected = images[[4, 0, 4]]
    for source in (images, torch.from_numpy(images)):
        taken = take_images(source, rows)
        assert torch.is_tensor(taken)
        assert taken.dtype == torch.uint8
        assert (taken.numpy() == expected).all()
