"""The vectors of an index as one array on disk, which a search maps into memory."""

import contextlib
import hashlib
import io
import shutil
import sqlite3
import time
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipnb.disk import check_space, replace_when_done
from clipnb.search.database import DamagedIndexError, check_cells

MODELS_KEPT = 3  # a course trains many, and each has a vector for every image
VECTORS_AT_ONCE = 1000  # read from the database


def keep_last_models(database: sqlite3.Connection, key: str) -> None:
    """Note that a model is used, and delete the vectors of all but the last `MODELS_KEPT` models.

    key: what the vectors of the model are kept under.
    """
    last = database.execute("SELECT weights FROM models ORDER BY used DESC LIMIT 1")
    if last.fetchone() == (key,):
        return
    note = "INSERT OR REPLACE INTO models SELECT ?, COALESCE(MAX(used), 0) + 1 FROM models"
    kept = "SELECT weights FROM models ORDER BY used DESC LIMIT ?"
    with database:
        database.execute(note, [key])
        for table in ("models", "vectors"):
            command = f"DELETE FROM {table} WHERE weights NOT IN ({kept})"  # noqa: S608
            database.execute(command, [MODELS_KEPT])


def load_features(
    database: sqlite3.Connection,
    folder: Path,
    key: str,
    digests: Sequence[str],
    checksums: Sequence[int],
) -> Tensor:
    """Map the features of some contents into memory: float32 (N, D).

    key: what the vectors of the model are kept under. checksums: of each vector (see
    `checksum_vector`). The name of the file says which contents it holds. It is written if it is
    not there yet. Raises DamagedIndexError.
    """
    order = hashlib.sha256("".join(digests).encode()).hexdigest()[:12]
    path = folder / f"vectors-{key}-{order}.npy"
    if path.exists():
        try:
            return map_features(path, digests, checksums)
        except (ValueError, OSError, EOFError):
            warnings.warn(f"{path.name} is damaged; it is made anew.", stacklevel=2)
            remove(path)
    others = database.execute("SELECT weights FROM models WHERE weights != ?", [key])
    remove_old_arrays(folder, [other for (other,) in others])
    write_features(database, path, key, digests)
    return map_features(path, digests, checksums)


def write_features(
    database: sqlite3.Connection, path: Path, key: str, digests: Sequence[str]
) -> None:
    """Write the vectors of some contents as one array, in this order.

    Raises DamagedIndexError if one is missing or damaged.
    """
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):  # copies share a digest
        rows.setdefault(digest, []).append(row)
    command = """
        SELECT digest, vector, checksum FROM vectors WHERE weights = ? AND vector IS NOT NULL"""
    found = database.execute(command, [key])
    header = b""
    # Through a file and not a memory map: a full disk would end the process without a word.
    with replace_when_done(path) as temporary, open(temporary, "wb") as file:
        while batch := found.fetchmany(VECTORS_AT_ONCE):
            vectors = join_vectors(batch)  # (B, D)
            if not header:
                shape = (len(digests), vectors.shape[1])
                header = make_header(shape)
                check_space(path, 4 * shape[0] * shape[1])
                file.write(header)
            for (digest, *_), vector in zip(batch, vectors, strict=True):
                for row in rows.pop(digest, []):
                    file.seek(len(header) + row * vector.nbytes)
                    file.write(vector.tobytes())
        if rows:
            raise DamagedIndexError("a vector is missing")


def make_header(shape: tuple[int, int]) -> bytes:
    """Return the beginning of an .npy file of float32."""
    header = io.BytesIO()
    settings = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, settings)
    return header.getvalue()


def checksum_vector(digest: str, vector: bytes | np.ndarray) -> int:
    """Return a CRC-32 of a vector and of the digest of the content that it belongs to."""
    return zlib.crc32(vector, zlib.crc32(digest.encode()))


def join_vectors(rows: Sequence[tuple[str, bytes, int]]) -> np.ndarray:
    """Turn rows (digest, vector, checksum) of a database into one array float32 (B, D).

    Raises DamagedIndexError if a vector is not as it was written.
    """
    check_cells(rows, str, bytes, int)
    if any(checksum_vector(digest, vector) != checksum for digest, vector, checksum in rows):
        raise DamagedIndexError("a vector has another checksum")
    lengths = {len(vector) for _, vector, _ in rows}
    if len(lengths) > 1 or lengths.pop() % 4:
        raise DamagedIndexError("vectors have different lengths")
    joined = bytearray().join(vector for _, vector, _ in rows)
    return np.frombuffer(joined, np.float32).reshape(len(rows), -1)


def map_features(path: Path, digests: Sequence[str], checksums: Sequence[int]) -> Tensor:
    """Map an array of the vectors of some contents into memory.

    Raises ValueError if it is anything else, down to a single bit.
    """
    array = np.load(path, mmap_mode="c")  # torch asks for writable memory; writes stay private
    if array.ndim != 2 or len(array) != len(digests) or array.dtype != np.float32:
        raise ValueError(f"{path.name} has the shape {array.shape}")
    rows = np.asarray(array)  # iterating over a memory map itself is slow
    if tuple(map(checksum_vector, digests, rows)) != tuple(checksums):
        raise ValueError(f"{path.name} holds a vector that has another checksum")
    return torch.from_numpy(array)


def is_unit(features: Tensor) -> Tensor:
    """Tell which features (..., D) have unit length: bool (...). NaN and infinity have none."""
    return (features.norm(dim=-1) - 1).abs() < 0.01


def remove_old_arrays(folder: Path, others: Sequence[str]) -> None:
    """Delete arrays of what the folder held earlier, and of models that are no longer kept.

    others: the keys of the other models that are kept; their arrays stay. Another process may be
    about to map a recent array, so those stay for an hour.
    """
    for path in folder.glob("*vectors-*"):
        if any(f"vectors-{other}-" in path.name for other in others):
            continue
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > 3600:
                remove(path)


def remove(path: Path) -> None:
    """Delete a file or a folder, unless it is in use."""
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
