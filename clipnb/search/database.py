"""The SQLite file of a folder's index: its tables, and errors in words.

A row of `files` is one file of the folder. A row of `contents` is what such a file holds, whatever
its name. A row of `vectors` is what one model makes of it, or NULL if that is no finite vector,
with a checksum (see `checksum_vector`).
"""

import contextlib
import errno
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import UnionType

from clipnb.disk import advise, explain_write_errors

SECONDS_TO_WAIT = 30  # for another process that writes at this moment
# Raise it when these tables change, or when a file would get another vector or hash.
VERSION = 2
TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS files
  (image_id TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, digest TEXT, error TEXT);
CREATE TABLE IF NOT EXISTS contents
  (digest TEXT PRIMARY KEY, width INTEGER, height INTEGER, taken TEXT, hash BLOB);
CREATE TABLE IF NOT EXISTS thumbnails (digest TEXT PRIMARY KEY, webp BLOB);
CREATE TABLE IF NOT EXISTS vectors
  (digest TEXT, weights TEXT, vector BLOB, checksum INTEGER, PRIMARY KEY (digest, weights));
PRAGMA user_version = {VERSION};
COMMIT;
"""

# The models used, in the order of `used`. It is not among the tables above, so that an index
# without it stays valid.
MODELS = "CREATE TABLE IF NOT EXISTS models (weights TEXT PRIMARY KEY, used INTEGER)"

# SQLITE_ERROR stands for every error in a command. We count it as damage because of one of them: a
# table or a column is missing, and making the index anew heals that. A mistake in a command of
# ours comes back after that, and is raised then.
DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
REFUSED = {  # the system's number for what SQLite says in its own way
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
}


class DamagedIndexError(RuntimeError):
    """The file is no database, or not one of ours, or parts of it are wrong."""


class BusyIndexError(RuntimeError):
    """Another process writes into the same index for longer than we wait."""


@contextlib.contextmanager
def open_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for the length of a block, and make its tables if there are none.

    Raises DamagedIndexError, BusyIndexError, or OSError if the disk is full or cannot be written.
    """
    with explain_write_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with explain_write_errors(path), errors_in_words(path):
        database = connect(path)
        try:
            yield database
        finally:
            database.close()


@contextlib.contextmanager
def errors_in_words(path: Path) -> Iterator[None]:
    """Tell apart what SQLite can complain about (see `open_database`)."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", -1) & 0xFF  # without its finer distinctions
        if code in DAMAGED:
            raise DamagedIndexError(str(error)) from None
        if code in BUSY:
            raise BusyIndexError("another process is writing the same index") from None
        if code in REFUSED:
            raise OSError(REFUSED[code], os.strerror(REFUSED[code])) from error
        if code == sqlite3.SQLITE_CANTOPEN:
            write_nothing(path)
        advice = advise(path, "delete it, since it can be made anew")
        raise OSError(f"the index {path} cannot be used: {error}. {advice}") from error


def write_nothing(path: Path) -> None:
    """Raise the OSError for which SQLite cannot open a database; it does not say it itself."""
    with contextlib.suppress(IsADirectoryError):
        open(path, "ab").close()
        tempfile.TemporaryFile(dir=path.parent).close()  # SQLite keeps files beside it


def connect(path: Path) -> sqlite3.Connection:
    """Connect to a database. An empty one gets its tables, one of another version is refused."""
    # Threads may share a connection, as long as they take turns.
    database = sqlite3.connect(path, timeout=SECONDS_TO_WAIT, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with contextlib.suppress(sqlite3.OperationalError):  # another process does the same
                database.execute("PRAGMA journal_mode = WAL")  # readers need not wait for a writer
            database.executescript(TABLES)
        elif version != VERSION:
            raise DamagedIndexError("another version of clipnb wrote it")
        database.execute(MODELS)
        database.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        database.close()
        raise
    return database


@contextlib.contextmanager
def one_state(database: sqlite3.Connection) -> Iterator[None]:
    """Let all that a block reads come from one state, whatever another process writes meanwhile."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        database.rollback()


def check_cells(rows: Iterable[Sequence], *kinds: UnionType | type) -> None:
    """Raise DamagedIndexError if a cell is not of its column's kind. SQLite itself allows any."""
    for row in rows:
        if not all(map(isinstance, row, kinds)):
            raise DamagedIndexError("a cell is of another kind than its column")


def remove_database(path: Path) -> None:
    """Delete a database with the files that SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


class SavedThumbnails:
    """The thumbnails in a database, by digest. Threads may share one.

    The connection stays open, since closing the last one makes SQLite tidy up, which takes as long
    as making a few thumbnails. A database that cannot be used is passed over: a thumbnail can
    always be made again.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lock = threading.Lock()
        self.database: sqlite3.Connection | None = None

    def load(self, digest: str) -> bytes | None:
        """Return a thumbnail, or None if it is not there, or is no WebP."""
        found = self._execute("SELECT webp FROM thumbnails WHERE digest = ?", [digest])
        thumbnail = found[0][0] if found else None
        is_webp = isinstance(thumbnail, bytes) and thumbnail.startswith(b"RIFF")
        return thumbnail if is_webp else None

    def save(self, digest: str, thumbnail: bytes) -> None:
        """Keep a thumbnail."""
        self._execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", [digest, thumbnail])

    def _execute(self, command: str, values: list) -> list[tuple]:
        usual = (DamagedIndexError, BusyIndexError, OSError)
        with self.lock, contextlib.suppress(*usual), errors_in_words(self.path):
            if self.database is None:
                self.database = connect(self.path)
            with self.database:
                return self.database.execute(command, values).fetchall()
        return []
