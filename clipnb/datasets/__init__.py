"""Image-text pairs: a folder of images and captions becomes one array and a list of captions.

Every image is decoded once, squashed to a square and kept in a memory-mapped array in the cache.
Decoding JPEGs again in each epoch would take longer than training.
"""

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from clipnb.runtime import cache_dir, data_dir, progress, replace_when_done


@dataclass
class CaptionDataset:
    """N images with K captions each.

    name, split: as given to `load_dataset`. images: uint8 (N, 3, S, S), memory-mapped and read-only
    as loaded. captions: N lists of K strings. image_ids: N names. labels: N dicts with the truth
    about each image (scenes), or None. split_source: where the split comes from, in words. skipped:
    the names of images that could not be read.
    """

    name: str
    split: str
    images: np.ndarray
    captions: list[list[str]]
    image_ids: list[str]
    labels: list[dict] | None = None
    split_source: str = ""
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.image_ids)

    def subset(self, indices: Sequence[int]) -> "CaptionDataset":
        """Return the images at `indices`, in that order, as a dataset of its own."""
        return replace(
            self,
            images=self.images[list(indices)],
            captions=[self.captions[i] for i in indices],
            image_ids=[self.image_ids[i] for i in indices],
            labels=self.labels and [self.labels[i] for i in indices],
        )

    def __repr__(self) -> str:
        size = f"{len(self)} images of {self.images.shape[-1]} px"
        captions = f"{len(self.captions[0])} captions each"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"CaptionDataset({self.name}, {self.split}: {size}, {captions}{skipped})"


def versioned_name(name: str) -> str:
    """Return a dataset's name, with a version for the scenes: caches are named after it."""
    if name != "scenes":
        return name
    from clipnb.scenes import VERSION

    return f"scenes-v{VERSION}"


def dataset_folder(name: str, root: str | Path | None = None) -> Path:
    """Return the folder of a dataset.

    The scenes are drawn into the cache on first use. Any other name is looked for in `root`
    (default: `data_dir()`).
    """
    if name != "scenes":
        return Path(root or data_dir()) / name
    folder = cache_dir() / versioned_name(name)
    if not folder.exists():
        from clipnb.scenes import write_scenes

        write_scenes(folder)
    return folder


def load_dataset(
    name: str, split: str, image_size: int = 64, root: str | Path | None = None
) -> CaptionDataset:
    """Load one split of a dataset, its images squashed to `image_size` x `image_size`.

    name: "scenes", "flickr8k", or the name of your own folder in `root` (data/README.md shows the
    layouts). Raises FileNotFoundError if the dataset is not there, ValueError for an unknown or
    empty split or a malformed caption line.
    """
    from clipnb.datasets.folders import read_dataset_folder

    folder = read_dataset_folder(dataset_folder(name, root))
    if split not in folder.splits:
        raise ValueError(f"{name} has no split {split!r}; it has {', '.join(folder.splits)}.")
    names = folder.splits[split]
    if not names:
        raise ValueError(
            f"the split {split!r} of {name} is empty; without split lists a dataset needs three "
            "images to have all three splits."
        )
    paths = [folder.image_paths[image_id] for image_id in names]
    kept, images = load_decoded_images(name, split, names, paths, image_size)
    return CaptionDataset(
        name,
        split,
        images,
        captions=[folder.captions[image_id] for image_id in kept],
        image_ids=kept,
        labels=folder.labels and [folder.labels[image_id] for image_id in kept],
        split_source=folder.split_source,
        skipped=sorted(set(names) - set(kept)),
    )


def load_decoded_images(
    name: str, split: str, names: list[str], paths: list[Path], image_size: int
) -> tuple[list[str], np.ndarray]:
    """Load images from the cache, or decode them into it now.

    Returns the names of the readable ones, and a memory-mapped array uint8 (N, 3, S, S). The
    cache's name holds a digest of every file's path, size and date, so changed images are decoded
    anew.
    """
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    digest = hashlib.sha256(repr(stats).encode()).hexdigest()[:12]
    target = cache_dir() / "decoded" / f"{Path(name).name}-{split}-{image_size}-{digest}"
    if not target.exists():
        with replace_when_done(target) as folder:
            folder.mkdir()
            decode_into(folder, names, paths, image_size, f"{name} {split}: decoding")
    kept = json.loads((target / "names.json").read_text(encoding="utf-8"))
    images = np.load(target / "images.npy", mmap_mode="r")
    return kept, images[: len(kept)]


def decode_into(
    folder: Path, names: list[str], paths: list[Path], image_size: int, title: str
) -> None:
    """Decode images into `folder`: `images.npy`, and the names of the readable ones.

    Warns of each unreadable image by name. Raises ValueError if none can be read.
    """
    warn_of_small_images(paths, image_size, title)
    shape = (len(paths), 3, image_size, image_size)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    kept = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
        decoded = pool.map(lambda path: read_image(path, image_size), paths)
        pairs = zip(names, decoded, strict=True)
        for name, image in progress(pairs, total=len(names), desc=title):
            if isinstance(image, Exception):
                warnings.warn(f"skipped unreadable image {name}: {image}", stacklevel=2)
            else:
                images[len(kept)] = image.transpose(2, 0, 1)  # (S, S, 3) to (3, S, S)
                kept.append(name)
    if not kept:
        raise ValueError(f"none of the {len(names)} images could be read; the first is {paths[0]}.")
    images.flush()
    (folder / "names.json").write_text(json.dumps(kept), encoding="utf-8")


def warn_of_small_images(paths: list[Path], image_size: int, title: str) -> None:
    """Warn if the first readable image is smaller than asked for."""
    from PIL import Image

    for path in paths:
        with contextlib.suppress(Exception), Image.open(path) as image:
            if max(image.size) < image_size:
                size = " x ".join(map(str, image.size))
                warnings.warn(
                    f"{title} to {image_size} pixels a side, but {Path(path).name} has only "
                    f"{size}: the images are enlarged, which costs time and adds no detail.",
                    stacklevel=2,
                )
            return


def read_image(path: Path, image_size: int) -> np.ndarray | Exception:
    """Read an image as uint8 (S, S, 3), squashed to a square.

    Returns the exception instead of raising it if the file cannot be read: a broken file must cost
    one image, never the run.
    """
    from PIL import Image, ImageOps

    size = (image_size, image_size)
    try:
        with Image.open(path) as image:
            image.draft("RGB", size)  # lets the JPEG decoder shrink while decoding
            ImageOps.exif_transpose(image, in_place=True)  # phones store images on their side
            return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    except Exception as error:
        return error
