"""The baseline at its original's budget: the split by caption rows, losses and their floor."""

import math

import numpy as np
import pytest
import torch

from clipnb import CaptionDataset, Run
from clipnb.experiments import full_budget
from clipnb.recipes import BASELINE_FULL, BASELINE_FULL_IMAGES


@pytest.fixture
def photos():
    """A hundred images that tell their number, with five captions that tell both numbers."""
    images = np.arange(100, dtype=np.uint8)[:, None, None, None].repeat(3, axis=1)
    captions = [[f"{i} {k}" for k in range(5)] for i in range(100)]
    return CaptionDataset("flickr8k", "all", images, captions, [f"{i}.jpg" for i in range(100)])


def test_rows_are_split_and_keep_their_images(photos):
    train, rest = full_budget.split_caption_rows(photos, seed=0)
    assert (len(train), len(rest)) == (400, 100)
    assert not set(train.image_ids) & set(rest.image_ids)
    for part in (train, rest):
        shown = part.images[np.arange(len(part))][:, 0, 0, 0]
        told = [int(own[0].split()[0]) for own in part.captions]
        assert shown.tolist() == told
        assert part.images.shape == (len(part), 3, 1, 1)
        assert part.images[2:4].shape == (2, 3, 1, 1)


def test_nearly_every_held_out_row_shows_a_training_image(photos):
    shares = []
    for seed in range(20):
        train, rest = full_budget.split_caption_rows(photos, seed)
        seen = set(train.images.rows.tolist())
        shares.append(np.mean([i in seen for i in rest.images.rows]))
    assert np.mean(shares) == pytest.approx(1 - 0.2**4, abs=0.003)


def test_a_gallery_shows_no_image_twice(photos):
    _, rest = full_budget.split_caption_rows(photos, seed=0)
    gallery = full_budget.keep_distinct(rest, n=40)
    assert len(gallery) == len(set(gallery.images.rows.tolist())) == 40
    assert set(gallery.image_ids) <= set(rest.image_ids)


def test_the_floor_by_hand():
    assert full_budget.estimate_floor(1, 2, 2) == pytest.approx(math.log(2))  # always both
    assert full_budget.estimate_floor(5, 1, 3) == 0  # no two captions of one image
    # Two of four rows: the second is the first one's sibling in one of three cases.
    assert full_budget.estimate_floor(2, 2, 2) == pytest.approx(math.log(2) / 3, abs=0.03)
    # 12.96 % of the rows have a sibling at the original's batch size, most of them one.
    floor = full_budget.estimate_floor(6000, 5, 1024)
    assert floor == pytest.approx(0.1296 * math.log(2), rel=0.05)


class Fake(torch.nn.Module):
    """A model that knows the numbers of images and captions: a perfect one."""

    def __init__(self, n, perfect):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.tensor(math.log(100.0)))
        self.features, self.perfect = torch.eye(n), perfect

    def encode_image(self, images, normalize=False):
        return self.features[images[:, 0, 0, 0].long()]

    def encode_text(self, tokens, normalize=False):
        return self.features[tokens[:, 0]] if self.perfect else torch.ones(len(tokens), 100)


def read_number(texts):
    return torch.tensor([[int(text.split()[0])] for text in texts])


@pytest.mark.parametrize("perfect", [True, False])
def test_a_perfect_model_and_one_that_knows_nothing(photos, perfect):
    run = Run(Fake(100, perfect), read_number, BASELINE_FULL, 0, folder=None)
    gallery = full_budget.keep_distinct(full_budget.take_rows(photos, [(i, 0) for i in range(50)]))
    judged = full_budget.judge_pairs(run, gallery)
    assert judged["n_pairs"] == 50
    expected = 0 if perfect else judged["chance_loss"]
    assert judged["loss"] == pytest.approx(expected, abs=1e-4)
    assert judged["metrics"]["image_to_text_R@1"] == (100 if perfect else 0)


def test_the_loss_of_rows_is_that_of_whole_batches(photos):
    recipe = full_budget.dataclasses.replace(BASELINE_FULL, batch_size=4)
    run = Run(Fake(100, True), read_number, recipe, 0, folder=None)
    siblings = full_budget.take_rows(photos, [(0, 0), (0, 1), (1, 0), (2, 0), (3, 0)])
    # Two of the four rows of the one whole batch are siblings, each with the loss ln 2.
    loss = full_budget.find_batch_loss(run, siblings)
    assert loss == pytest.approx(math.log(2) / 2, abs=1e-4)


def test_all_ways_take_about_as_many_steps():
    rows = BASELINE_FULL.epochs * (30_000 // 1024)
    images = BASELINE_FULL_IMAGES.epochs * (6000 // 1024)
    assert images == pytest.approx(rows, rel=0.01)
    assert BASELINE_FULL.batch_size * rows == pytest.approx(1e6, rel=0.06)
