"""Image-text pairs: a folder of images and captions becomes one array and a list of captions.

Every image is decoded once, made square and kept in a memory-mapped array in the cache.
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
from typing import TYPE_CHECKING

import numpy as np

from clipnb.datasets.shard_files import holds_shards, read_index
from clipnb.preprocess import Preprocess
from clipnb.runtime import cache_dir, data_dir, progress, replace_when_done

if TYPE_CHECKING:
    from PIL import Image

    from clipnb.datasets.folders import DatasetFolder


@dataclass
class CaptionDataset:
    """N images with K captions each.

    name, split: as given to `load_dataset`. images: uint8 (N, 3, S, S), memory-mapped and read-only
    as loaded. captions: N lists of K strings. image_ids: N names. labels: N dicts with the truth
    about each image (scenes), or None. split_source: where the split comes from, in words. skipped:
    the names of images that could not be read. paths: the N image files, if there are any.
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
            paths=self.paths and [self.paths[i] for i in indices],
        )

    def __repr__(self) -> str:
        size = f"{len(self)} images of {self.images.shape[-1]} px"
        captions = f"{len(self.captions[0])} captions each"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"CaptionDataset({self.name}, {self.split}: {size}, {captions}{skipped})"


def versioned_name(name: str) -> str:
    """Return the name that caches give a dataset: with a version for the scenes.

    Of a path it is the last part.
    """
    if name != "scenes":
        return Path(name).name
    from clipnb.scenes import VERSION

    return f"scenes-v{VERSION}"


def dataset_folder(name: str, root: str | Path | None = None) -> Path:
    """Return the folder of a dataset.

    The scenes are drawn into the cache on first use. Any other name is looked for in `root`
    (default: `data_dir()`). A folder of shards stands for the dataset that they were written from.
    """
    if name != "scenes":
        folder = find_shards(name, root)
        if folder is None:
            return Path(root or data_dir()) / name
        return dataset_folder(read_index(folder)["dataset"], root)
    folder = cache_dir() / versioned_name(name)
    if not folder.exists():
        from clipnb.scenes import write_scenes

        write_scenes(folder)
    return folder


def find_shards(name: str, root: str | Path | None = None) -> Path | None:
    """Return the folder of shards that a name means, or None if it means a dataset of images.

    name, root: as in `load_dataset`. See `clipnb.datasets.shards`.
    """
    folder = Path(root or data_dir()) / name
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


def warn_of_left_out(name: str, folder: "DatasetFolder", skipped: list[str]) -> None:
    """Say in one warning what a dataset leaves out, if anything: how many, and the first names."""
    from clipnb.datasets.folders import describe_left_out, describe_names

    phrases = describe_left_out(folder.dropped)
    if skipped:
        reason = read_image(folder.image_paths[skipped[0]], 8)  # the exception
        phrases.append(describe_names(skipped, "unreadable image file", str(reason)))
    if phrases:  # the same warning comes once, whatever number of splits is loaded
        warnings.warn(f"{name} leaves out {'; '.join(phrases)}.", stacklevel=1)


def load_decoded_images(
    name: str,
    split: str,
    names: list[str],
    paths: list[Path],
    image_size: int,
    crop: bool = False,
) -> tuple[list[str], np.ndarray]:
    """Load images from the cache, or decode them into it now.

    Returns the names of the readable ones, and a memory-mapped array uint8 (N, 3, S, S). The
    cache's name holds a digest of every file's path, size and date, so changed images are decoded
    anew. crop: as in `load_dataset`.
    """
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    digest = hashlib.sha256(repr(stats).encode()).hexdigest()[:12]
    shape = f"{image_size}-crop" if crop else str(image_size)
    target = cache_dir() / "decoded" / f"{Path(name).name}-{split}-{shape}-{digest}"
    if not target.exists() or not set(read_names(target)) <= set(names):  # or named otherwise
        with replace_when_done(target) as folder:
            folder.mkdir()
            decode_into(folder, names, paths, image_size, f"{name} {split}: decoding", crop)
    kept = read_names(target)
    images = np.load(target / "images.npy", mmap_mode="r")
    return kept, images[: len(kept)]


def read_names(folder: Path) -> list[str]:
    """Read the names of the images that `decode_into` could read."""
    return json.loads((folder / "names.json").read_text(encoding="utf-8"))


def decode_into(
    folder: Path,
    names: list[str],
    paths: list[Path],
    image_size: int,
    title: str,
    crop: bool = False,
) -> None:
    """Decode images into `folder`: `images.npy`, and the names of the readable ones.

    Raises ValueError if none can be read.
    """
    warn_of_small_images(paths, image_size, title, crop)
    shape = (len(paths), 3, image_size, image_size)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    kept = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
        decoded = pool.map(lambda path: read_image(path, image_size, crop), paths)
        pairs = zip(names, decoded, strict=True)
        for name, image in progress(pairs, total=len(names), desc=title):
            if not isinstance(image, Exception):
                images[len(kept)] = image.transpose(2, 0, 1)  # (S, S, 3) to (3, S, S)
                kept.append(name)
    if not kept:
        problem = read_image(paths[0], image_size)  # the exception
        raise ValueError(f"none of the {len(names)} images could be read; the first: {problem}.")
    images.flush()
    (folder / "names.json").write_text(json.dumps(kept), encoding="utf-8")


def warn_of_small_images(
    paths: list[Path], image_size: int, title: str, crop: bool = False
) -> None:
    """Warn if the first readable image is smaller than asked for."""
    from PIL import Image

    for path in paths:
        with contextlib.suppress(Exception), Image.open(path) as image:
            side = min(image.size) if crop else max(image.size)
            if side < image_size:
                size = " x ".join(map(str, image.size))
                warnings.warn(
                    f"{title} to {image_size} pixels a side, but {Path(path).name} has only "
                    f"{size}: the images are enlarged, which costs time and adds no detail.",
                    stacklevel=2,
                )
            return


def read_image(path: Path, image_size: int, crop: bool = False) -> np.ndarray | Exception:
    """Read an image as uint8 (S, S, 3), upright, and white where it is transparent.

    crop: as in `load_dataset`. Returns the exception instead of raising it if the file cannot be
    read: a broken file must cost one image, never the run.
    """
    from PIL import Image, ImageOps

    from clipnb.datasets.image_files import enable_heic

    enable_heic()
    preprocess = Preprocess(image_size, crop=crop)
    try:
        with Image.open(path) as image:
            shrink_while_decoding(image, preprocess.least_side, exact=crop)
            ImageOps.exif_transpose(image, in_place=True)  # phones store images on their side
            return np.asarray(preprocess.resize(convert_to_rgb(image)))
    except Exception as error:
        return error


def shrink_while_decoding(image: "Image.Image", least_side: int, exact: bool = False) -> None:
    """Let the JPEG decoder shrink an opened image by 2, 4 or 8, no side below `least_side`.

    Other decoders cannot. exact: only by a number that divides both sides. The decoder rounds up
    otherwise, which stretches an image by up to 7 pixels of the file.
    """
    width, height = image.size
    size = (least_side, least_side)
    if exact:
        factors = [by for by in (2, 4, 8) if width % by == height % by == 0]
        factors = [by for by in factors if min(width, height) // by >= least_side]
        factor = max(factors, default=1)
        size = (width // factor, height // factor)
    image.draft("RGB", size)


def convert_to_rgb(image: "Image.Image") -> "Image.Image":
    """Convert an image of any kind to RGB.

    What is transparent becomes white: Pillow alone would show the colours that were hidden. 16 bits
    of grey become 8: Pillow alone would make all but the darkest of them white. So do 32 bits and
    fractions. Of an animation this is the first frame.
    """
    from PIL import Image

    if image.mode.startswith("I;16"):
        return image.point(lambda value: value / 256).convert("L").convert("RGB")
    if image.mode in ("I", "F"):
        return scale_grey(image).convert("RGB")
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        return page.convert("RGB")
    return image.convert("RGB")


def scale_grey(image: "Image.Image") -> "Image.Image":
    """Scale an image of 32-bit integers or of fractions to 8 bits of grey.

    White is the end of the smallest usual range that holds all values: 1 for fractions, 255, or
    65,535. Values outside of these ranges are stretched from the lowest to the highest.
    """
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    ranges = [255, 65535] if image.mode == "I" else [1, 255, 65535]
    white = next((end for end in ranges if low >= 0 and high <= end), None)
    if white is None:
        values, white = values - low, high - low
    return Image.fromarray((values * (255 / white)).astype(np.uint8))
