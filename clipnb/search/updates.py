"""One update of a folder's index: read what is new, encode it, forget what is gone."""

import contextlib
import itertools
import sqlite3
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from clipnb.datasets.image_files import enable_heic, is_there
from clipnb.datasets.photos import NEEDS_HEIC, PhotoFolder
from clipnb.features import encode_images
from clipnb.preprocess import find_preprocess
from clipnb.runtime import progress
from clipnb.search.database import check_cells
from clipnb.search.duplicates import hash_images
from clipnb.search.reading import Reading, read_ahead, read_file
from clipnb.search.vectors import checksum_vector, is_unit

LATEST = 2**63 - 1  # ns, in the year 2262: the largest number in a database
BATCH_SIZE = 64  # images encoded and committed together: an interruption loses at most these


@dataclass(frozen=True)
class Report:
    """What an update found, in numbers of files. As a text it is one sentence.

    images: those that can be searched now. encoded: those that the model had to encode.
    """

    images: int
    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unreadable: int = 0
    encoded: int = 0

    def __str__(self) -> str:
        names = ["added", "changed", "moved", "removed", "unreadable"]
        counts = [f"{getattr(self, name):,} {name}" for name in names if getattr(self, name)]
        return f"{count(self.images, 'image')} ({', '.join(counts) or 'nothing has changed'})."


def count(n: int, noun: str) -> str:
    """Say how many there are: "1 image" or "2,000 images"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


class File(NamedTuple):
    """One file of the folder, as the database knows it. `error` is why it cannot be read."""

    image_id: str
    size: int
    mtime: int  # ns
    digest: str | None = None
    error: str | None = None


class Update:
    """One update of what is known about a folder, for one model.

    key: what the vectors of the model are kept under. counts: of files, for the report.
    """

    def __init__(
        self, database: sqlite3.Connection, photos: PhotoFolder, model: nn.Module, key: str
    ):
        self.database = database
        self.photos = photos
        self.model = model
        self.preprocess = find_preprocess(model)
        self.key = key
        self.counts: Counter[str] = Counter()
        files = database.execute(
            "SELECT image_id, size, mtime, digest, error FROM files"
        ).fetchall()
        check_cells(files, str, int, int, str | None, str | None)
        self.known = {row[0]: File(*row) for row in files}
        command = "SELECT digest FROM vectors JOIN contents USING (digest) WHERE weights = ?"
        self.encoded = {digest for (digest,) in database.execute(command, [key])}
        self.gone: set[str] = set()  # image ids
        self.moved_from: Counter[str] = Counter()  # how often each digest was under them

    def run(self) -> Counter[str]:
        """Bring the index up to date.

        Returns how many files were added, changed, moved and removed, and encoded.
        """
        if work := self.find_work():
            self.read(work)
        self.forget()
        self.counts["removed"] = len(self.gone & set(self.known)) - self.counts["moved"]
        return self.counts

    def find_work(self) -> list[File]:
        """Return the files to read: new ones, changed ones, and those without a vector."""
        work = []
        hidden = tuple(self.photos.unlisted)  # nobody knows whether files below these are gone
        self.gone = {image_id for image_id in self.known if not image_id.startswith(hidden)}
        for image_id, path in self.photos.paths.items():
            try:
                status = path.stat()
                size, mtime = status.st_size, min(status.st_mtime_ns, LATEST)
            except (FileNotFoundError, NotADirectoryError):  # it vanished just now
                continue
            except OSError:  # it is there; reading it will say what is wrong
                size, mtime = -1, -1
            self.gone.discard(image_id)
            old = self.known.get(image_id)
            is_same = old is not None and (old.size, old.mtime) == (size, mtime)
            if not (is_same and self.is_done(old)):
                work.append(File(image_id, size, mtime))
        self.moved_from = Counter(self.known[image_id].digest for image_id in self.gone)
        return work

    def is_done(self, file: File) -> bool:
        """Tell whether nothing more can be learnt from a file that has not changed."""
        if file.error:
            return file.mtime != -1 and not (file.error == NEEDS_HEIC and enable_heic())
        return file.digest in self.encoded

    def read(self, work: list[File]) -> None:
        """Read and encode files, batch by batch, while threads read ahead."""

        def read(file: File) -> Reading:
            return read_file(self.photos.paths[file.image_id], self.preprocess, self.encoded)

        title = f"encoding {self.photos.path.resolve().name}"
        bar = progress(total=len(work), desc=title, unit="image")
        quiet = warnings.catch_warnings(action="ignore")  # Pillow warns about single files
        with quiet, bar, contextlib.closing(read_ahead(read, work)) as results:
            while batch := list(itertools.islice(results, BATCH_SIZE)):
                self.save(batch)
                bar.update(len(batch))

    def save(self, batch: list[tuple[File, Reading]]) -> None:
        """Encode what is new in a batch, and commit all that is known about its files."""
        new = {}  # {digest: reading}, each content once
        files = []
        for file, reading in batch:
            if reading.gone:
                self.gone.add(file.image_id)
                continue
            if reading.pixels is not None and reading.digest not in self.encoded:
                new[reading.digest] = reading
            self.tally(file, reading)
            digest = reading.digest
            if reading.error and not reading.lasting:
                file = file._replace(mtime=-1)  # so it is tried again
                old = self.known.get(file.image_id)
                digest = digest or (old and old.digest)  # it may still hold the same
            files.append(file._replace(digest=digest, error=reading.error))
        contents, vectors, thumbnails = self.encode(new)
        with self.database:  # all of it or nothing
            execute = self.database.executemany
            execute("INSERT OR IGNORE INTO contents VALUES (?, ?, ?, ?, ?)", contents)
            execute("INSERT OR IGNORE INTO thumbnails VALUES (?, ?)", thumbnails)
            execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", vectors)
            execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", files)
        self.encoded |= set(new)
        if len(files) < len(batch):
            self.check_folder()

    def encode(self, new: dict[str, Reading]) -> tuple[list[tuple], list[tuple], list[tuple]]:
        """Return rows for the tables of contents, of vectors and of thumbnails."""
        if not new:
            return [], [], []
        pixels = np.stack([reading.pixels for reading in new.values()])  # (B, S, S, 3)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # (B, 3, S, S), channels last: faster
        features = encode_images(self.model, images)  # (B, D)
        self.counts["encoded"] += len(new)
        contents, vectors, thumbnails = [], [], []
        whole = np.stack([reading.whole for reading in new.values()])  # (B, S, S, 3)
        hashes = hash_images(torch.from_numpy(whole).permute(0, 3, 1, 2))
        columns = (new.items(), features.numpy(), is_unit(features), hashes)
        for (digest, reading), feature, is_good, bits in zip(*columns, strict=True):
            row = (reading.width, reading.height, reading.taken, bits.tobytes())
            contents.append((digest, *row))
            vector = feature.tobytes() if is_good else None
            checksum = checksum_vector(digest, vector) if is_good else None
            vectors.append((digest, self.key, vector, checksum))
            if reading.thumbnail:
                thumbnails.append((digest, reading.thumbnail))
        return contents, vectors, thumbnails

    def tally(self, file: File, reading: Reading) -> None:
        """Count a file for the report."""
        old = self.known.get(file.image_id)
        if reading.error:
            return
        if old is not None:
            self.counts["changed"] += old.digest != reading.digest
        elif self.moved_from[reading.digest] > 0:
            self.moved_from[reading.digest] -= 1
            self.counts["moved"] += 1
        else:
            self.counts["added"] += 1

    def check_folder(self) -> None:
        """Raise an error if the whole folder vanished, so that it is not forgotten.

        A drive that was taken out can leave an empty folder.
        """
        if not any(map(is_there, self.photos.paths.values())):
            raise FileNotFoundError(
                f"{self.photos.path} vanished while it was read. What was read is kept."
            )

    def forget(self) -> None:
        """Delete what is known about files that are gone."""
        self.check_folder()
        stale = self.gone or self.counts["changed"]
        if not stale:
            return
        with self.database:
            gone = [(image_id,) for image_id in self.gone]
            self.database.executemany("DELETE FROM files WHERE image_id = ?", gone)
            for table in ("contents", "thumbnails", "vectors"):
                self.database.execute(
                    f"DELETE FROM {table} WHERE digest NOT IN "  # noqa: S608
                    "(SELECT digest FROM files WHERE digest IS NOT NULL)"
                )
