"""Files and folders: written whole or not at all, and never over what clipnb did not make.

JSON is read here too, so that every reader finds damage told in the same way.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipnb.places import LONGEST_NAME, check_path, display_path, display_value, name_variable

NO_SPACE = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your quota of the disk is used up"}
NOT_WRITABLE = {
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "there is no permission to write there",
    errno.EPERM: "there is no permission to write there",
}
# A disk that is full to the last byte makes other programs fail too.
SPARE_BYTES = 20_000_000
MEGABYTE = 2**20
MOST_CHECKED = 128 * MEGABYTE  # so much of a file is read for its checksum
# The name of a temporary folder says for which path it is, and which process made it.
HOLDER = re.compile(r"\.(?P<name>.+)~(?P<process>\d+)@(?P<host>[\w.]+)-\w+")
OLD = ".old"  # what stood in the place of a new folder, until that is there
# Finder and Explorer put these into any folder that somebody looks at.
LITTER = {".ds_store", "thumbs.db", "desktop.ini"}
N_RANDOM = 8  # letters that tempfile adds to a name
MOST_DIGITS = 300  # of an integer in JSON; a longer one is not even a float


@contextlib.contextmanager
def replace_when_done(path: str | Path, replace_folder: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block ends well.

    `path` may be a file or a folder. After an error, Ctrl-C included, the temporary path is gone
    and `path` is as it was: nothing is ever half written. What a killed process left of the same
    path is cleared first.

    replace_folder: `path` may be a folder with something in it, because clipnb has made all of it.
    Otherwise such a folder is refused with FileExistsError, so that nobody loses what is in it.
    What Finder and Explorer put into a folder is no obstacle, and stays there.
    A full or read-only disk is told as an OSError in a sentence, with the variable that chooses
    another disk, and a path that cannot be as `check_path` does.
    """
    path = check_path(path)
    prefix = f".{path.name}~{os.getpid()}@{_host()}-"
    if (too_many := len(os.fsencode(prefix)) + N_RANDOM - LONGEST_NAME) > 0:
        raise ValueError(
            f"the name {display_value(path.name)} is {too_many} letters too long to be written "
            "safely. Choose a shorter one."
        )
    if not replace_folder:
        refuse_folder(path)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent)
        holder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
        try:
            yield holder / path.name
            if not replace_folder:
                refuse_folder(path)
            _move_into_place(holder / path.name, path, old=holder / OLD)
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def refuse_folder(path: str | Path) -> None:
    """Raise FileExistsError if a path is a folder with anything in it."""
    path = Path(path)
    if path.is_dir() and list_entries(path):
        raise FileExistsError(
            f"{display_path(path)} is a folder with something in it, and nothing of it was "
            "touched. Choose another name."
        )


def _move_into_place(new: Path, path: Path, old: Path) -> None:
    """Move `new` to `path`; a folder that stood there is moved to `old`, and back if that fails."""
    while True:
        if path.is_dir():  # os.replace moves a folder only onto an empty one
            os.replace(path, old)
        try:
            os.replace(new, path)
            break
        except BaseException as error:
            if os.path.lexists(old):
                os.replace(old, path)
            elif isinstance(error, OSError) and path.is_dir():
                continue  # another process made the same folder at this very moment
            raise
    if old.is_dir() and path.is_dir():
        for name in set(os.listdir(old)) - list_entries(old):
            with contextlib.suppress(OSError):
                os.replace(old / name, path / name)


def list_entries(folder: str | Path) -> set[str]:
    """List the names in a folder, without what Finder and Explorer put into any folder.

    Beside a file on a disk of another system macOS writes a second one, named as the file after
    "._".
    """
    names = set(os.listdir(folder))
    return {name for name in names if name.lower() not in LITTER and not name.startswith("._")}


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write text (as UTF-8) or bytes, whole or not at all. Raises FileExistsError for a folder."""
    if check_path(path).is_dir():
        raise FileExistsError(f"{display_path(path)} is a folder, not a file. Choose another name.")
    with replace_when_done(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())


# ---- JSON ------------------------------------------------------------------------------------


def parse_json(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError, in words, for what is none or is too deep or too long."""
    try:
        return json.loads(text, parse_int=_parse_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises OSError if there is none, ValueError, naming it, if it is bad."""
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{display_path(path)} is no JSON that can be read: {error}.") from error


def _parse_integer(text: str) -> int:
    """Parse an integer. Python's own error for a long one advises to change a setting."""
    if len(text) > MOST_DIGITS:
        raise ValueError(f"it holds an integer of {len(text):,} digits")
    return int(text)


# ---- what a killed process left ----------------------------------------------------------------


def clear_leftovers(folder: str | Path) -> None:
    """Remove the temporary folders in a folder that dead processes of this machine left.

    A process that was killed while it put a folder into the place of another may have left none
    there. Then the new one, which is complete, is put there now.
    """
    folder = Path(folder)
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            match = HOLDER.fullmatch(name)
            if match is None or match["host"] != _host() or is_alive(int(match["process"])):
                continue
            path, holder = folder / match["name"], folder / name
            if (holder / OLD).exists() and not path.exists():
                os.replace(holder / path.name, path)
            shutil.rmtree(holder, ignore_errors=True)


def is_alive(process: int) -> bool:
    """Tell whether a process with this number runs on this machine."""
    if sys.platform == "win32":  # where os.kill(process, 0) would end it
        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it belongs to somebody else
        return True
    return True


def _host() -> str:
    """Return the name of this machine, as it stands in the names of temporary folders."""
    return re.sub(r"[^\w.]", "_", socket.gethostname())


# ---- flipped bytes ---------------------------------------------------------------------------


def checksum_file(path: str | Path) -> int:
    """Return a CRC-32 of a file: of all its bytes, or of a megabyte in each part of a large one.

    It finds damage and costs little; against intent it is no help.
    """
    size = os.path.getsize(path)
    if size <= MOST_CHECKED:
        starts = range(0, size, MEGABYTE)
    else:
        step = (size - MEGABYTE) / (MOST_CHECKED // MEGABYTE - 1)
        starts = [round(i * step) for i in range(MOST_CHECKED // MEGABYTE)]
    checksum = size & 0xFFFFFFFF
    with open(path, "rb") as file:
        for start in starts:
            file.seek(start)
            checksum = zlib.crc32(file.read(MEGABYTE), checksum)
    return checksum


# ---- a full disk -------------------------------------------------------------------------------


def check_space(path: str | Path, n_bytes: int) -> None:
    """Raise OSError, in a sentence, if the disk of a path has too little space for a large file."""
    folder = Path(path).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if n_bytes + SPARE_BYTES > free:
        raise OSError(
            f"there is too little space for {display_path(path)}: it takes "
            f"{(n_bytes + SPARE_BYTES) / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free. "
            f"{_advise(path)}"
        )


@contextlib.contextmanager
def explain_write_errors(path: str | Path) -> Iterator[None]:
    """Say in a sentence, within the block, that a disk is full or may not be written to."""
    try:
        yield
    except OSError as error:
        reason = (NO_SPACE | NOT_WRITABLE).get(error.errno)
        named = Path(os.fsdecode(error.filename or path)).absolute()
        if reason is None or not named.is_relative_to(Path(path).absolute().parent):
            raise  # it is about another file, such as one that is read
        message = f"{display_path(path)} cannot be written: {reason}. {_advise(path, error.errno)}"
        kind = type(error) if error.errno in NOT_WRITABLE else OSError
        raise kind(message) from error


def _advise(path: str | Path, number: int | None = None) -> str:
    """Say what to do if a file cannot be written."""
    variable = name_variable(path)
    elsewhere = f"set {variable} to a folder on another disk" if variable else "choose another disk"
    if number in NOT_WRITABLE:
        return f"{elsewhere[0].upper()}{elsewhere[1:]}, or change who may write there."
    return f"Free some space, or {elsewhere}. What was there before is unchanged."
