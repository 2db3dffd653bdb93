"""Reading many files in threads, ahead of the model, with a bounded number in memory."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from clipnb.datasets.photos import OUT_OF_MEMORY, UnreadableImageError, open_file, read_photo
from clipnb.preprocess import DEFAULT, Preprocess
from clipnb.search.thumbnails import encode_thumbnail

FILES_PER_TASK = 8  # one by one, handing them to the threads would cost as much as small images do
TASKS_AHEAD = 32
MOST_THREADS = 16  # each may hold an image of 40 million pixels
SLOW_TO_DECODE = 2_000_000  # pixels; thumbnails of such images are made while they are decoded


class Reading(NamedTuple):
    """What reading one file gave: an error, or a digest, and if that is new, what the file holds.

    pixels: uint8 (S, S, 3), as the model takes it. whole: uint8 (s, s, 3), the whole image squashed
    to a square; the perceptual hash is made of it. width, height: of the upright image. taken: the
    date in the file, in ISO form. error: why it cannot be read; `lasting` if that lies in what the
    file holds. gone: the file is no longer there.
    """

    digest: str | None = None
    pixels: np.ndarray | None = None
    whole: np.ndarray | None = None
    width: int = 0
    height: int = 0
    taken: str | None = None
    thumbnail: bytes | None = None
    error: str | None = None
    lasting: bool = False
    gone: bool = False


def compute_digest(file: BinaryIO) -> str:
    """Return a digest of the bytes of an open file, 32 hexadecimal digits, and rewind it."""
    digest = hashlib.blake2b(digest_size=16)
    while chunk := file.read(2**20):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def read_file(path: Path, preprocess: Preprocess, known: Container[str]) -> Reading:
    """Read a file once. It is decoded only if its digest is not among the `known` ones.

    The image becomes upright, and white where it is transparent. Then `preprocess` makes it square.
    Never raises for a file.
    """
    digest = None
    try:
        with open_file(path) as file:
            digest = compute_digest(file)
            if digest in known:
                return Reading(digest)
            photo = read_photo(file, preprocess.least_side, exact=preprocess.crop)
            pixels = np.asarray(preprocess.resize(photo.image))
            whole = np.asarray(DEFAULT.resize(photo.image)) if preprocess.crop else pixels
            is_slow = photo.width * photo.height > SLOW_TO_DECODE
            return Reading(
                digest,
                pixels,
                whole,
                photo.width,
                photo.height,
                photo.taken and photo.taken.isoformat(),
                encode_thumbnail(photo.image) if is_slow else None,
            )
    except UnreadableImageError as error:
        return Reading(digest, error=str(error), lasting=True)
    except (FileNotFoundError, NotADirectoryError):
        return Reading(gone=True)
    except MemoryError:
        return Reading(digest, error=OUT_OF_MEMORY)
    except PermissionError:
        return Reading(error="there is no permission to read it")
    except OSError as error:
        return Reading(error=error.strerror or str(error))


def read_ahead(read: Callable[[Any], Reading], files: Iterable[Any]) -> Iterator[tuple]:
    """Read files in threads. Yields (file, reading) in order, while the threads read on.

    At most `TASKS_AHEAD` tasks of `FILES_PER_TASK` files each are waiting or done at any time.
    """

    def read_some(some: list[Any]) -> list[tuple]:
        return [(file, read(file)) for file in some]

    n_threads = min(MOST_THREADS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(n_threads)  # Pillow decodes outside Python's lock
    tasks = deque()
    files = list(files)
    try:
        for start in range(0, len(files), FILES_PER_TASK):
            tasks.append(pool.submit(read_some, files[start : start + FILES_PER_TASK]))
            if len(tasks) == TASKS_AHEAD:
                yield from tasks.popleft().result()
        while tasks:
            yield from tasks.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
