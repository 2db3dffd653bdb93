"""What the tests of shards share: images that hold their number, in memory and as shards."""

import numpy as np
import pytest

from clipnb.datasets import CaptionDataset
from clipnb.datasets.shard_files import write_shards


@pytest.fixture
def numbered():
    """300 tiny images, each of which holds its number, with five captions that name it."""
    numbers = np.arange(300)
    images = np.zeros((300, 3, 4, 4), np.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = numbers // 256, numbers % 256
    captions = [[f"image {i} caption {k}" for k in range(5)] for i in numbers]
    return CaptionDataset("tiny", "train", images, captions, [f"{i}.jpg" for i in numbers])


@pytest.fixture
def shards(numbered, tmp_path):
    """The images as six shards of 50."""
    write_shards(numbered, tmp_path / "shards", pairs_per_shard=50)
    return tmp_path / "shards"
