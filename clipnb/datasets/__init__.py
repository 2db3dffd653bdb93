"""Image-text pairs: a folder of images and captions becomes one array and a list of captions.

What a folder holds is read in folders.py, its pixels in decoded.py.
"""

import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipnb.datasets.decoded import load_decoded_images, read_image
from clipnb.datasets.drawn import draw_once
from clipnb.datasets.pixels import convert_to_rgb
from clipnb.datasets.shard_files import INDEX, holds_shards, read_index
from clipnb.places import check_path, display_value, short_name
from clipnb.preprocess import check_uint8_images
from clipnb.runtime import cache_dir, data_dir

if TYPE_CHECKING:
    from clipnb.datasets.folders import DatasetFolder

# fmt: off
__all__ = [
    "CaptionDataset", "convert_to_rgb", "dataset_folder", "find_shards", "load_dataset",
    "load_decoded_images", "read_image", "versioned_name", "warn_of_left_out",
]
# fmt: on
MOST_PIXELS = 10_000  # a side


@dataclass
class CaptionDataset:
    """N images with K captions each.

    name, split: as given to `load_dataset`. images: uint8 (N, 3, S, S), memory-mapped and read-only
    as loaded. captions: N lists of K strings. image_ids: N names; a name comes more than once where
    an image does. labels: N dicts with the truth about each image (scenes), or None. split_source:
    where the split comes from, in words. skipped: the names of images that could not be read.
    paths: the N image files, or none: `dataclasses.replace` with other images leaves them out.
    Raises ValueError if the other parts do not fit together.
    """

    name: str
    split: str
    images: np.ndarray
    captions: list[list[str]]
    image_ids: list[str]
    labels: list[dict] | None = None
    split_source: str = ""
    skipped: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.paths) != len(self.image_ids):
            self.paths = []  # of the images that were here before
        check_parts(self)

    def __len__(self) -> int:
        return len(self.image_ids)

    def subset(self, indices: Sequence[int]) -> "CaptionDataset":
        """Return the images at `indices`, in that order, as a dataset of its own.

        A mask of N booleans chooses images too. Raises IndexError for anything else.
        """
        try:
            rows = [operator.index(row) for row in np.arange(len(self))[list(indices)]]
        except (IndexError, TypeError, ValueError):
            raise IndexError(
                f"a subset of {len(self):,} images cannot be {display_value(indices)}; give a list "
                f"of whole numbers below {len(self):,}, or a mask of {len(self):,} booleans."
            ) from None
        return replace(
            self,
            images=self.images[rows],
            captions=[self.captions[i] for i in rows],
            image_ids=[self.image_ids[i] for i in rows],
            labels=self.labels and [self.labels[i] for i in rows],
            paths=self.paths and [self.paths[i] for i in rows],
        )

    def __repr__(self) -> str:
        size = f"{len(self)} images of {self.images.shape[-1]} px"
        captions = f"{len(self.captions[0]) if len(self) else 0} captions each"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"CaptionDataset({self.name}, {self.split}: {size}, {captions}{skipped})"


def check_parts(dataset: CaptionDataset) -> None:
    """Raise ValueError, in words, if the parts of a dataset are not what `CaptionDataset` says."""
    captions = dataset.captions
    check_uint8_images(dataset.images)
    counts = {"images": len(dataset.images)} if hasattr(dataset.images, "__len__") else {}
    counts |= {"captions": len(captions), "image_ids": len(dataset.image_ids)}
    counts |= {"labels": len(dataset.labels)} if dataset.labels else {}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count:,} {part}" for part, count in counts.items())
        raise ValueError(f"there are {listed}; give one of each for every image.")
    for image_id, own in zip(dataset.image_ids, captions, strict=True):
        if not isinstance(image_id, str):
            raise ValueError(
                f"image_ids hold {display_value(image_id)}; give a string for each image."
            )
        if isinstance(own, str) or len(own) != len(captions[0]) or not len(own):
            raise ValueError(
                f"the captions of {display_value(image_id)} are {display_value(own)}; give a list "
                "of strings for each image, as many as for every other one."
            )


def versioned_name(name: str) -> str:
    """Return the name that caches give a dataset: its short name, with a version for the scenes."""
    if name != "scenes":
        return short_name(name)
    from clipnb.scenes import VERSION

    return f"scenes-v{VERSION}"


def dataset_folder(name: str, root: str | Path | None = None) -> Path:
    """Return the folder of a dataset.

    The scenes are drawn into the cache on first use. Any other name is looked for in `root`
    (default: `data_dir()`). A folder of shards stands for the dataset that they were written from.
    Raises an error, in words, for a name that no folder can have (see `check_path`).
    """
    if name != "scenes":
        folder = find_shards(name, root)
        if folder is None:
            return check_path(root or data_dir(), name)
        source = read_index(folder)["dataset"]
        if find_shards(source, root) == folder:
            raise ValueError(
                f"{folder / INDEX} is damaged: it says that the shards were written from "
                "themselves. Delete the folder and write it again."
            )
        return dataset_folder(source, root)
    folder = cache_dir() / versioned_name(name)
    draw_once(folder)
    return folder


def find_shards(name: str, root: str | Path | None = None) -> Path | None:
    """Return the folder of shards that a name means, or None if it means a dataset of images.

    name, root: as in `load_dataset`. See `clipnb.datasets.shards`.
    """
    folder = check_path(root or data_dir(), name)
    return folder if name != "scenes" and holds_shards(folder) else None


def load_dataset(
    name: str,
    split: str,
    image_size: int = 64,
    root: str | Path | None = None,
    crop: bool = False,
) -> CaptionDataset:
    """Load one split of a dataset, its images `image_size` x `image_size`.

    name: "scenes", "flickr8k", or the name of your own folder in `root` (data/README.md shows the
    layouts). crop=False: images are squashed to a square, as the models of this course take them.
    crop=True: the square in the middle is kept, as a published model takes them (see `Preprocess`).
    `clipnb.runs.load_run_dataset` loads what a run's own model takes.

    Raises FileNotFoundError if the dataset is not there, ValueError for an unknown or empty split
    or a malformed caption line.
    """
    from clipnb.datasets.folders import read_dataset_folder

    image_size = check_size(image_size)
    folder = read_dataset_folder(dataset_folder(name, root))
    if not isinstance(split, str) or split not in folder.splits:
        raise ValueError(
            f"{name} has no split {display_value(split)}; it has {', '.join(folder.splits)}."
        )
    names = folder.splits[split]
    if not names:
        if folder.split_source == "splits/ folder":
            raise ValueError(
                f"the split {split!r} of {name} is empty: splits/{split}.txt lists no image that "
                "is here with a caption. Write their names into it, one a line."
            )
        raise ValueError(
            f"the split {split!r} of {name} is empty; without split lists a dataset needs three "
            "images to have all three splits."
        )
    paths = [folder.image_paths[image_id] for image_id in names]
    kept, images = load_decoded_images(name, split, names, paths, image_size, crop)
    skipped = sorted(set(names) - set(kept))
    warn_of_left_out(name, folder, skipped)
    return CaptionDataset(
        name,
        split,
        images,
        captions=[folder.captions[image_id] for image_id in kept],
        image_ids=kept,
        labels=folder.labels and [folder.labels[image_id] for image_id in kept],
        split_source=folder.split_source,
        skipped=skipped,
        paths=[folder.image_paths[image_id] for image_id in kept],
    )


def check_size(image_size: int) -> int:
    """Return a number of pixels as an int of Python; raise ValueError if it is none."""
    try:
        pixels = operator.index(image_size)
    except TypeError:
        pixels = 0
    if isinstance(image_size, bool) or not 1 <= pixels <= MOST_PIXELS:
        raise ValueError(
            f"image_size is {display_value(image_size)}; set it to a whole number of pixels, at "
            f"most {MOST_PIXELS:,}."
        )
    return pixels


def warn_of_left_out(name: str, folder: "DatasetFolder", skipped: list[str]) -> None:
    """Say in one warning what a dataset leaves out, if anything: how many, and the first names."""
    from clipnb.datasets.folders import describe_left_out, describe_names

    phrases = describe_left_out(folder.dropped)
    if skipped:
        reason = read_image(folder.image_paths[skipped[0]], 8)  # the exception
        phrases.append(describe_names(skipped, "unreadable image file", str(reason)))
    if phrases:  # the same warning comes once, whatever number of splits is loaded
        warnings.warn(f"{name} leaves out {'; '.join(phrases)}.", stacklevel=1)
