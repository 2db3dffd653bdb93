"""Decoded images in the cache: one memory-mapped array for each split and size.

Every image is decoded once. Decoding JPEGs again in each epoch would take longer than training.
"""

import contextlib
import hashlib
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from clipnb.datasets.photos import open_file, read_photo
from clipnb.disk import check_space, checksum_file, parse_json, replace_when_done
from clipnb.places import cache_dir, display_path, short_name
from clipnb.preprocess import Preprocess
from clipnb.runtime import progress

FILES = ("images.npy", "names.json")
MOST_TRIED = 20  # of the images that could not be read, so many are tried again


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
    anew. So are all if the cache is damaged, which a warning tells. crop: as in `load_dataset`.
    """
    # Absolute, because two folders may have the same relative path, seen from different places.
    stats = [
        (os.path.abspath(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths
    ]
    digest = hashlib.sha256(repr(stats).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    shape = f"{image_size}-crop" if crop else str(image_size)
    target = cache_dir() / "decoded" / f"{short_name(name)}-{split}-{shape}-{digest}"
    if not is_usable(target, names, paths, image_size):
        if not target.is_dir():  # a folder cannot take the place of a file or a link
            with contextlib.suppress(OSError):
                target.unlink()
        with replace_when_done(target, replace_folder=True) as folder:
            check_space(target, len(paths) * 3 * image_size**2)
            folder.mkdir()
            decode_into(folder, names, paths, image_size, f"{name} {split}: decoding", crop)
    kept = read_names(target)
    images = np.load(target / "images.npy", mmap_mode="r")
    return kept, images[: len(kept)]


def is_usable(folder: Path, names: list[str], paths: list[Path], image_size: int) -> bool:
    """Tell whether a folder of the cache holds these images whole.

    If it is damaged, a warning says so. An image that could not be read, and can be now, such as
    one whose permissions were changed, makes the folder useless too.
    """
    if not os.path.lexists(folder):
        return False
    try:
        kept = set(read_names(folder))
        check_files(folder, (len(names), 3, image_size, image_size))
    except (ValueError, OSError) as error:
        warnings.warn(
            f"{display_path(folder)} is damaged ({describe_damage(error)}); the images are decoded "
            "anew.",
            stacklevel=4,
        )
        return False
    path_of = dict(zip(names, paths, strict=True))
    skipped = [path for name, path in path_of.items() if name not in kept]
    tried = [read_image(path, 8) for path in skipped[:MOST_TRIED]]
    return kept <= set(names) and all(isinstance(image, Exception) for image in tried)


def describe_damage(error: ValueError | OSError) -> str:
    """Say in a few words what is wrong with a folder of the cache."""
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name}: {error.strerror}"
    return " ".join(str(error).split())[:100]


def check_files(folder: Path, shape: tuple[int, ...]) -> None:
    """Raise ValueError if the files of a folder are not those that `decode_into` wrote.

    Folders of earlier versions have no checksums; of these the shape alone is compared.
    """
    try:
        images = np.lib.format.open_memmap(folder / "images.npy", mode="r")
    except OSError:
        raise
    except Exception:  # NumPy's own words for a bad header are about pickles and syntax
        raise ValueError("images.npy is no array of pixels") from None
    if images.shape != shape or images.dtype != np.uint8:
        raise ValueError(f"images.npy has the shape {images.shape}")
    if not os.path.lexists(folder / "checksums.json"):
        return
    noted = parse_json((folder / "checksums.json").read_text(encoding="utf-8"))
    if not isinstance(noted, dict):
        raise ValueError("checksums.json holds no dictionary")
    for name in FILES:
        if dict(noted).get(name) != checksum_file(folder / name):
            raise ValueError(f"the bytes of {name} have changed")


def read_names(folder: Path) -> list[str]:
    """Read the names of the images that `decode_into` could read. Raises ValueError."""
    names = parse_json((folder / "names.json").read_text(encoding="utf-8"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("names.json is no list of names")
    return names


def decode_into(
    folder: Path,
    names: list[str],
    paths: list[Path],
    image_size: int,
    title: str,
    crop: bool = False,
) -> None:
    """Decode images into `folder`: `images.npy`, the names of the readable ones, and checksums.

    The array is written piece by piece. Writing through a memory map would end the process without
    a word if the disk were full. Raises ValueError if none can be read, and FileNotFoundError if
    all of them vanish meanwhile.
    """
    warn_of_small_images(paths, image_size, title, crop)
    shape = (len(paths), 3, image_size, image_size)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    kept = []
    with (
        open(folder / "images.npy", "wb") as file,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        # Pillow decodes outside Python's lock.
        decoded = pool.map(lambda path: read_image(path, image_size, crop), paths)
        pairs = zip(names, decoded, strict=True)
        for name, image in progress(pairs, total=len(names), desc=title):
            if not isinstance(image, Exception):
                file.write(image.transpose(2, 0, 1).tobytes())  # (S, S, 3) to (3, S, S)
                kept.append(name)
        for _ in range(len(paths) - len(kept)):  # the header promises a row for every path
            file.write(bytes(3 * image_size**2))
    # A drive may be taken out at any moment. Half of a dataset must not pass for the whole.
    if len(kept) < len(paths) and not any(map(os.path.exists, paths)):
        raise FileNotFoundError(
            f"{Path(paths[0]).parent} vanished while its images were read, and nothing of them was "
            "kept. Connect the drive again, or put the folder back."
        )
    if not kept:
        problem = read_image(paths[0], image_size)  # the exception
        raise ValueError(
            f"none of the {len(names)} images could be read; the first, {paths[0]}: {problem}."
        )
    (folder / "names.json").write_text(json.dumps(kept), encoding="utf-8")
    checksums = {name: checksum_file(folder / name) for name in FILES}
    (folder / "checksums.json").write_text(json.dumps(checksums), encoding="utf-8")


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
    preprocess = Preprocess(image_size, crop=crop)
    try:
        with open_file(path) as file:
            photo = read_photo(file, preprocess.least_side, exact=crop)
            return np.asarray(preprocess.resize(photo.image))
    except Exception as error:
        return error
