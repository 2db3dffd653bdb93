"""Image-text pairs: a folder of pictures and captions becomes one uint8 array and a list of captions.

Every picture is decoded once, squashed to a square and kept in a memory-mapped array in the cache; decoding JPEGs
again each epoch is what makes most small CLIP implementations slow.
"""

import contextlib
import hashlib
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from clipnb.runtime import cache_dir, data_dir, progress, replace_when_done


@dataclass
class CaptionDataset:
    """Pictures with K captions each.

    images: uint8 (N, 3, S, S), memory-mapped, not to be written to. captions: N lists of K strings. image_ids: N names.
    labels: N dicts with the truth about each picture (scenes), or None. skipped: names of pictures that could not be read.
    """

    name: str
    split: str
    images: np.ndarray
    captions: list
    image_ids: list
    labels: list | None = None
    split_source: str = ""
    skipped: list = field(default_factory=list)

    def __len__(self):
        return len(self.image_ids)

    def subset(self, indices):
        """The pictures at `indices` (any sequence of ints), in that order, as a dataset of its own."""
        pick = lambda values: [values[i] for i in indices]
        return replace(self, images=self.images[list(indices)], captions=pick(self.captions), image_ids=pick(self.image_ids),
                       labels=self.labels and pick(self.labels))

    def __repr__(self):
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"CaptionDataset({self.name}, {self.split}: {len(self)} pictures of {self.images.shape[-1]} px, {len(self.captions[0])} captions each{skipped})"


def normalize_images(images):
    """uint8 pictures (B, 3, S, S), array or tensor -> float32 in [-1, 1]: mean and standard deviation 0.5, as the baseline has it."""
    images = images if torch.is_tensor(images) else torch.tensor(images)  # copied: the array on disk is read-only
    return images.float() / 127.5 - 1


def dataset_folder(name, root=None):
    """The folder of a dataset. The scenes are drawn into the cache on first use; any other name is looked for in `root` (default: `data_dir()`)."""
    if name != "scenes":
        return Path(root or data_dir()) / name
    from clipnb import scenes

    folder = cache_dir() / f"scenes-v{scenes.VERSION}"
    if not folder.exists():
        scenes.write_scenes(folder)
    return folder


def load_dataset(name, split, image_size=64, root=None):
    """One split of a dataset as a `CaptionDataset`, its pictures squashed to `image_size` x `image_size`.

    name: "scenes", "flickr8k", or the name of your own folder in `root` (layouts: data/README.md).
    Raises FileNotFoundError if the dataset is not there, ValueError for an unknown or empty split or a malformed caption line.
    """
    from clipnb.flickr8k import read_dataset_folder

    folder = read_dataset_folder(dataset_folder(name, root))
    if split not in folder.splits:
        raise ValueError(f"{name} has no split {split!r}; it has {', '.join(folder.splits)}.")
    names = folder.splits[split]
    if not names:
        raise ValueError(f"the split {split!r} of {name} is empty; without split lists it takes three pictures to have all three.")
    kept, images = decoded(name, split, names, [folder.image_paths[n] for n in names], image_size)
    return CaptionDataset(
        name, split, images, [folder.captions[n] for n in kept], kept,
        labels=folder.labels and [folder.labels[n] for n in kept],
        split_source=folder.split_source, skipped=sorted(set(names) - set(kept)),
    )


def decoded(name, split, names, paths, image_size):
    """The readable pictures as names and one memory-mapped uint8 array (N, 3, S, S), from the cache or decoded into it now.

    The cache's name holds a digest of every file's path, size and date: changed pictures are decoded anew.
    """
    stats = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
    digest = hashlib.sha256(repr(stats).encode()).hexdigest()[:12]
    target = cache_dir() / "decoded" / f"{Path(name).name}-{split}-{image_size}-{digest}"
    if not target.exists():
        with replace_when_done(target) as folder:
            folder.mkdir()
            decode_into(folder, names, paths, image_size, f"{name} {split}: decoding")
    kept = json.loads((target / "names.json").read_text(encoding="utf-8"))
    return kept, np.load(target / "images.npy", mmap_mode="r")[: len(kept)]


def decode_into(folder, names, paths, image_size, title):
    """Decode every picture into `folder/images.npy`, names of the readable ones into `names.json`; warn of the others by name."""
    warn_of_small_pictures(paths, image_size, title)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (len(paths), 3, image_size, image_size))
    kept = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
        pictures = pool.map(lambda path: read_picture(path, image_size), paths)
        for name, picture in progress(zip(names, pictures), total=len(names), desc=title):
            if isinstance(picture, Exception):
                warnings.warn(f"skipped unreadable picture {name}: {picture}", stacklevel=2)
            else:
                images[len(kept)] = picture.transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
                kept.append(name)
    if not kept:
        raise ValueError(f"none of the {len(names)} pictures could be read; the first is {paths[0]}.")
    images.flush()
    (folder / "names.json").write_text(json.dumps(kept), encoding="utf-8")


def warn_of_small_pictures(paths, image_size, title):
    """Warn if the first readable picture is smaller than asked for: enlarging it costs time and adds no detail."""
    from PIL import Image

    for path in paths:
        with contextlib.suppress(Exception), Image.open(path) as picture:
            if max(picture.size) < image_size:
                warnings.warn(f"{title} to {image_size} pixels a side, but {Path(path).name} has only {' x '.join(map(str, picture.size))}: "
                              "the pictures are enlarged, which adds no detail.", stacklevel=2)
            return


def read_picture(path, image_size):
    """One picture as uint8 (S, S, 3), squashed to a square; an exception is returned rather than raised if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (image_size, image_size))  # lets the JPEG decoder shrink while decoding
            ImageOps.exif_transpose(picture, in_place=True)  # phones store pictures lying on their side
            return np.asarray(picture.convert("RGB").resize((image_size, image_size), Image.Resampling.BICUBIC))
    except Exception as error:  # a broken file must cost one picture, never the run
        return error
