"""JPEG files as large as Flickr8k's, drawn for the benchmark: the same on every machine."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from clipnb import scenes

PHOTO_SIZE = (500, 375)  # width and height, in pixels


@contextlib.contextmanager
def temporary_photos(n_images: int = 1000, distinct: int = 100) -> Iterator[Path]:
    """Make a dataset "photos" in a temporary data folder, with a cache of its own.

    Yields the dataset's folder (see `write_photos`). It is removed at the end of the block.
    """
    with tempfile.TemporaryDirectory() as root:
        folders = {"CLIPNB_DATA": root, "CLIPNB_CACHE": f"{root}/cache"}
        with patch.dict(os.environ, folders):
            photos = Path(root) / "photos"
            write_photos(photos, n_images, distinct)
            yield photos


def write_photos(folder: Path, n_images: int, distinct: int) -> None:
    """Write a dataset folder with one split, "train", of `n_images` JPEG files.

    The first `distinct` files are drawn. The others are copies of these.
    """
    images = folder / "Images"
    images.mkdir(parents=True)
    names = [f"{i:05d}.jpg" for i in range(n_images)]
    lines = ["image,caption"]
    rng = np.random.default_rng(0)
    for i, name in enumerate(names):
        scene = scenes.dataset_scene("train", i)
        lines += [f"{name},{caption}" for caption in scenes.captions(scene)]
        if i < distinct:
            make_photo(scene, rng).save(images / name, quality=95)
        else:
            shutil.copyfile(images / names[i % distinct], images / name)
    (folder / "captions.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "splits").mkdir()
    (folder / "splits" / "train.txt").write_text("\n".join(names), encoding="utf-8")


def make_photo(scene: scenes.Scene, rng: np.random.Generator) -> Image.Image:
    """Draw a scene of PHOTO_SIZE with noise.

    Without noise its JPEG file would be smaller than a photo's, and decoding takes its time for
    the bytes. With it a file has as many bytes as one of Flickr8k: 1.1 GB in 8,091 files is 136 kB
    each.
    """
    image = scenes.render(scene, 125).resize(PHOTO_SIZE, Image.Resampling.BICUBIC)
    width, height = PHOTO_SIZE
    pixels = np.asarray(image) + rng.normal(0, 20, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
