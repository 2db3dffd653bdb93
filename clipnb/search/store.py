"""What is known about a folder of photos, kept on disk: made once, then brought up to date.

One SQLite file (see database.py) holds for each file of the folder the digest of its bytes, and
for each digest what was found in such a file: a perceptual hash, a thumbnail, and a vector for each
model. So a file that was moved or copied is known already, and another model needs only new
vectors. The vectors of one model are also written as one array, which a search maps into memory.
"""

import functools
import hashlib
import os
import re
import sqlite3
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from clipnb.datasets.photos import (
    FORMATS_READ,
    PhotoFolder,
    UnreadableImageError,
    open_file,
    read_photo,
)
from clipnb.features import digest_weights
from clipnb.preprocess import Preprocess, find_preprocess
from clipnb.runtime import cache_dir
from clipnb.search.database import (
    BusyIndexError,
    DamagedIndexError,
    SavedThumbnails,
    check_cells,
    one_state,
    open_database,
    remove_database,
)
from clipnb.search.reading import compute_digest
from clipnb.search.thumbnails import LONGER_SIDE, encode_thumbnail
from clipnb.search.updates import Report, Update, count
from clipnb.search.vectors import keep_last_models, load_features

HASH_BYTES = 8
NOT_FINITE = "the model makes no finite vector of it"


@dataclass(frozen=True)
class Store:
    """The images of a folder that can be searched with one model.

    image_ids, paths, taken, hashes, digests: of N images, sorted by id. taken: the date in the
    file, else the date of the file, in local time. image_features: float32 (N, D), of unit length,
    mapped into memory. hashes: uint64, perceptual (see `clipnb.search.duplicates`). unreadable: the
    reason for each file left out. report: what the update did.
    """

    image_ids: list[str]
    image_features: Tensor
    paths: list[Path]
    taken: list[datetime]
    hashes: np.ndarray
    digests: list[str]
    unreadable: dict[str, str]
    report: Report
    database: Path

    def get_thumbnail(self, image_id: str) -> bytes:
        """Return an image as WebP of at most 5 KB, its longer side at most 160 pixels.

        It is made when it is first asked for, and kept. Raises OSError, in words, if the file is
        gone.
        """
        row = self._row[image_id]
        digest = self.digests[row]
        if thumbnail := self._thumbnails.load(digest):
            return thumbnail
        try:
            quiet = warnings.catch_warnings(action="ignore")  # Pillow warns about single files
            with quiet, open_file(self.paths[row]) as file:
                read_digest = compute_digest(file)
                thumbnail = encode_thumbnail(read_photo(file, LONGER_SIDE).image)
        except (OSError, UnreadableImageError, MemoryError):
            raise OSError(
                f"{self.paths[row]} is gone or can no longer be read; run the same command again."
            ) from None
        if read_digest == digest:  # else the file has changed, and the database knows the old one
            self._thumbnails.save(digest, thumbnail)
        return thumbnail

    @functools.cached_property
    def _thumbnails(self) -> SavedThumbnails:
        return SavedThumbnails(self.database)

    @functools.cached_property
    def _row(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.image_ids)}


def update_store(photos: PhotoFolder, model: nn.Module) -> Store:
    """Bring what is known about a folder up to date, and return it.

    Only new and changed files are read, each once. What is gone is forgotten. It is saved batch by
    batch, so that an interrupted call goes on where it stopped. Vectors of the last three models
    are kept. Raises ValueError if there is no image or none can be read, FileNotFoundError if the
    folder vanishes, RuntimeError if another process keeps the index busy, OSError if it cannot be
    written.
    """
    photos.refresh()
    if not photos.paths:
        raise ValueError(describe_empty(photos))
    path = find_database(photos.path)
    update = functools.partial(_update, photos, model, path)
    try:
        try:
            return update()
        except DamagedIndexError as error:
            problem = f"the index of {photos.path} is damaged ({error}); it is made anew."
            warnings.warn(problem, stacklevel=2)
            remove_database(path)
            return update()
    except BusyIndexError:
        raise RuntimeError(
            f"another process is writing the index of {photos.path}; try again when it is done."
        ) from None


def make_key(model: nn.Module) -> str:
    """Return what the vectors of a model are kept under.

    It changes with the weights, and with how a photo becomes an image for the model: its size, the
    crop, mean and deviation.
    """
    preprocess = find_preprocess(model)
    key = f"{digest_weights(model)}-{preprocess.size}"
    if preprocess == Preprocess(preprocess.size):
        return key
    return f"{key}_{hashlib.sha256(repr(preprocess).encode()).hexdigest()[:8]}"


def find_database(folder: Path) -> Path:
    """Return where the index of a folder lies: in the cache, never in the folder itself."""
    folder = folder.resolve()
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    name = re.sub(r"[^\w.-]+", "_", folder.name)[:40]
    return cache_dir() / "photos" / f"{name}-{digest}" / "index.sqlite"


def describe_empty(photos: PhotoFolder) -> str:
    """Say that a folder holds no image, which formats are read, and what it holds instead."""
    found = []
    if photos.n_other_files:
        found.append(count(photos.n_other_files, "other file"))
    if photos.unsupported:
        images = count(len(photos.unsupported), "image")
        found.append(f"{images} of other formats, such as {give_example(photos.unsupported)}")
    if photos.unlisted:
        folders = count(len(photos.unlisted), "sub-folder")
        found.append(f"{folders} that cannot be read, such as {give_example(photos.unlisted)}")
    held = f"only {' and '.join(found)}" if found else "it is empty"
    return f"{photos.path} holds no image that can be read ({FORMATS_READ}): {held}."


def give_example(reasons: dict[str, str]) -> str:
    """Return the first of some names with its reason."""
    name, reason = min(reasons.items())
    return f"{quote(name)} ({reason})"


def quote(name: str) -> str:
    """Return a name for a message of one line: in quotes if it holds a line break, for example."""
    return name if name.isprintable() else repr(name)


def _update(photos: PhotoFolder, model: nn.Module, path: Path) -> Store:
    """Bring a database up to date, and load all images of the folder that have a vector."""
    key = make_key(model)
    with open_database(path) as database:
        keep_last_models(database, key)
        counts = Update(database, photos, model, key).run()
        with one_state(database):
            rows, unreadable = load_rows(database, photos, key)
            image_ids, digests, mtimes, dates, hashes, checksums = zip(*rows, strict=True)
            image_features = load_features(database, path.parent, key, digests, checksums)
        return Store(
            image_ids=list(image_ids),
            image_features=image_features,
            paths=[photos.paths[image_id] for image_id in image_ids],
            taken=[find_date(*pair) for pair in zip(dates, mtimes, strict=True)],
            hashes=np.frombuffer(b"".join(hashes), np.uint64),
            digests=list(digests),
            unreadable=unreadable,
            report=Report(len(image_ids), unreadable=len(unreadable), **counts),
            database=path,
        )


def load_rows(
    database: sqlite3.Connection, photos: PhotoFolder, key: str
) -> tuple[list[tuple], dict[str, str]]:
    """Load the images of a folder that have a vector, and the reasons for all others.

    Each row is (image_id, digest, mtime, taken, hash, checksum of the vector). Raises ValueError if
    there is none, BusyIndexError if another process deleted them just now, and DamagedIndexError.
    """
    command = """
        SELECT image_id, files.digest, mtime, taken, hash, checksum, vector IS NOT NULL
        FROM files JOIN contents USING (digest) JOIN vectors USING (digest)
        WHERE weights = ? AND error IS NULL ORDER BY image_id"""
    found = database.execute(command, [key]).fetchall()
    errors = database.execute("SELECT image_id, error FROM files WHERE error IS NOT NULL")
    reasons = photos.unsupported | photos.unlisted | dict(errors.fetchall())
    reasons |= {row[0]: NOT_FINITE for row in found if not row[-1]}
    rows = [row[:-1] for row in found if row[-1] and row[0] in photos.paths]
    check_cells(rows, str, str, int, str | None, bytes, int)
    if any(len(row[4]) != HASH_BYTES for row in rows):
        raise DamagedIndexError("a hash is too short or too long")
    if not rows and not reasons:
        raise BusyIndexError("another process deleted what was just written")
    if not rows:
        raise ValueError(describe_unreadable(photos.path, reasons))
    return rows, dict(sorted(reasons.items()))


def describe_unreadable(folder: Path, reasons: dict[str, str]) -> str:
    """Say that no image of a folder can be searched, and why the first one cannot."""
    name, reason = min(reasons.items())
    if len(reasons) == 1:
        return f"the only image in {folder}, {quote(name)}, cannot be searched: {reason}."
    return (
        f"none of the {len(reasons):,} images in {folder} can be searched; the first, "
        f"{quote(name)}: {reason}."
    )


def find_date(taken: str | None, mtime: int) -> datetime:
    """Return the date that a camera wrote, else the date of the file, in local time."""
    try:
        if taken:
            return datetime.fromisoformat(taken).replace(tzinfo=None)
        return datetime.fromtimestamp(mtime / 1e9)
    except (ValueError, OverflowError, OSError):
        return datetime(1970, 1, 1)
