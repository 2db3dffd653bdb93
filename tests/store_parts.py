"""What the tests of the photo index share: a model without training, and a whole index."""

import shutil
import warnings

import torch
from torch import nn

from clipnb.datasets.photos import PhotoFolder
from clipnb.runtime import cache_dir
from clipnb.search.store import update_store


class Means(nn.Module):
    """An image encoder without training: the mean colours of 4 x 4 cells, times a weight."""

    image_size = 32

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.n_encoded = 0

    def encode_image(self, images, normalize=False):
        self.n_encoded += len(images)
        cells = nn.functional.adaptive_avg_pool2d(images.float() / 255 - 0.5, 4).flatten(1)
        features = cells + self.weight
        return nn.functional.normalize(features, dim=1) if normalize else features


def update(folder, model=None):
    with warnings.catch_warnings(action="error"):  # a warning is asked for where it is expected
        return update_store(PhotoFolder(folder), model or Means())


def check_is_whole(store, folder, model=None):
    """Check a store against one that is made from nothing."""
    shutil.rmtree(cache_dir() / "photos")
    fresh = update(folder, model)
    assert store.image_ids == fresh.image_ids
    assert store.paths == fresh.paths and all(path.exists() for path in store.paths)
    assert store.digests == fresh.digests
    assert store.taken == fresh.taken
    assert (store.hashes == fresh.hashes).all()
    assert store.unreadable == fresh.unreadable
    torch.testing.assert_close(store.image_features, fresh.image_features)


def damage_header(path):
    path.write_bytes(b"no database" * 1000)
