"""Files and folders: written whole or not at all, and never over what clipnb did not make.

JSON is read here too, so that every reader finds damage told in the same way.
"""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from clipnb.places import LONGEST_NAME, check_path, display_path, display_value, name_variable

NO_PERMISSION = ("there is no permission to write there", "change who may write there")
# Why a system refuses to write, and what to do about it if the file stays on this disk.
REFUSALS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("your quota of the disk is used up", "free some space"),
    errno.EFBIG: ("no file may be so large there", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the disk is read-only", "make it writable"),
    errno.EACCES: NO_PERMISSION,
    errno.EPERM: NO_PERMISSION,
    # What is replaced is moved, and the place at which a disk is connected cannot be.
    errno.EBUSY: ("a disk is connected at this very place", "name a new folder in it"),
    errno.EIO: ("the disk reports an error", "check the disk"),
    errno.ESTALE: ("the network drive has lost it", "connect the drive again"),
    errno.ENODEV: ("the disk is gone", "connect the disk again"),
    errno.ENXIO: ("the disk is gone", "connect the disk again"),
}
NO_ANSWER = ("the network drive does not answer", "connect the drive again")
NOT_ALLOWED = ("there is no permission to read it", "change who may read it")
TOO_MANY = ("too many files are open", "raise the limit (ulimit -n)")
# Why a system refuses to read a file, which may be whole all the same, and what to do.
UNREADABLE = {
    **{number: REFUSALS[number] for number in (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO)},
    **dict.fromkeys((errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN), NO_ANSWER),
    **dict.fromkeys((errno.EACCES, errno.EPERM), NOT_ALLOWED),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), TOO_MANY),
}
# A disk that is full to the last byte makes other programs fail too.
SPARE_BYTES = 20_000_000
MEGABYTE = 2**20
LARGE_FILE = 10_000_000  # bytes; such a file takes a while to read
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

    `path` may be a file or a folder, or a link to one, which stays a link. After an error, Ctrl-C
    included, the temporary path is gone and `path` is as it was: nothing is ever half written. What
    a killed process left of the same path is cleared first.

    replace_folder: `path` may be a folder with something in it, because clipnb has made all of it.
    Otherwise such a folder is refused with FileExistsError, so that nobody loses what is in it.
    What Finder and Explorer put into a folder is no obstacle, and stays there. A device or a pipe
    is refused with FileExistsError too. A full or read-only disk is told as an OSError in a
    sentence, with the variable that chooses another disk, and a path that cannot be as `check_path`
    does.
    """
    path = follow_link(check_path(path))
    refuse_odd_file(path)
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
            with hold_ctrl_c():
                _move_into_place(holder / path.name, path, old=holder / OLD)
        finally:
            with hold_ctrl_c():
                _clear(holder, path)


def refuse_folder(path: str | Path) -> None:
    """Raise FileExistsError if a path is a folder with anything in it."""
    path = Path(path)
    if path.is_dir() and list_entries(path):
        raise FileExistsError(
            f"{display_path(path)} is a folder with something in it, and nothing of it was "
            "touched. Choose another name."
        )


def refuse_odd_file(path: str | Path) -> None:
    """Raise FileExistsError for a device, a pipe, or anything else but a file or a folder.

    To replace a device would harm other programs, and to open a pipe can take forever.
    """
    path = Path(path)
    if os.path.lexists(path) and not (path.is_file() or path.is_dir()):
        raise FileExistsError(
            f"{display_path(path)} is no ordinary file, and it was not touched. Choose another "
            "name."
        )


def follow_link(path: Path) -> Path:
    """Return what a link leads to, which may not be there yet, or the path if it is no link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextlib.contextmanager
def hold_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done. No other thread than the main one ever sees it."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is None:  # set by a program around Python
        yield
        return
    held = []
    before = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            signal.raise_signal(signal.SIGINT)


def _move_into_place(new: Path, path: Path, old: Path) -> None:
    """Move `new` to `path`. A folder that stood there is moved to `old` first."""
    while True:
        if path.is_dir():  # os.replace moves a folder only onto an empty one
            os.replace(path, old)
        try:
            os.replace(new, path)
            break
        except OSError:
            if old.exists() or not path.is_dir():
                raise
            # Another process made the same folder at this very moment.
    if old.is_dir() and path.is_dir():
        for name in set(os.listdir(old)) - list_entries(old):
            with contextlib.suppress(OSError):
                os.replace(old / name, path / name)


def _clear(holder: Path, path: Path) -> None:
    """Remove a temporary folder. What it keeps of `path` is put back first if nothing is there.

    If that fails, the temporary folder stays, and the next start repairs it.
    """
    with contextlib.suppress(OSError):
        if (holder / OLD).exists() and not os.path.lexists(path):
            os.replace(holder / OLD, path)
        shutil.rmtree(holder, ignore_errors=True)


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
            new = holder / path.name
            with hold_ctrl_c(), contextlib.suppress(OSError):
                if (holder / OLD).exists() and new.exists() and not path.exists():
                    os.replace(new, path)
                _clear(holder, path)


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


# ---- what stands for a content ---------------------------------------------------------------


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


def digest_file(path: Path) -> str:
    """Return eight hexadecimal digits of the content of a file. A large one is read only once."""
    found = path.stat()
    if found.st_size < LARGE_FILE:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return _digest_large_file(path.resolve(), found.st_size, found.st_mtime_ns)


@cache
def _digest_large_file(path: Path, size: int, changed: int) -> str:
    """Digest a file. size, changed: another size or time of the last change asks for another."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def digest_text(text: str) -> str:
    """Return eight hexadecimal digits of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


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
            f"{advise(path)}"
        )


@contextlib.contextmanager
def explain_write_errors(path: str | Path) -> Iterator[None]:
    """Say in a sentence, within the block, why a disk refuses to be written to."""
    try:
        yield
    except OSError as error:
        whole = Path(path).absolute()
        named = Path(os.fsdecode(error.filename or path)).absolute()
        is_ours = named.is_relative_to(whole.parent) or whole.is_relative_to(named)
        if error.errno not in REFUSALS or not is_ours:
            raise  # it is about another file, such as one that is read
        reason, remedy = REFUSALS[error.errno]
        message = f"{display_path(path)} cannot be written: {reason}. {advise(path, remedy)}"
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        raise kind(message) from error


def explain_read_error(path: str | Path, error: Exception) -> OSError | None:
    """Return an error in a sentence if the system refuses to read a file, else None.

    Such a file is not damaged, and what would be written anew may be there.
    """
    if not isinstance(error, OSError) or error.errno not in UNREADABLE:
        return None
    reason, remedy = UNREADABLE[error.errno]
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    return kind(f"{display_path(path)} cannot be read: {reason}. {capitalize(remedy)}.")


@contextlib.contextmanager
def errors_of_the_system() -> Iterator[None]:
    """Raise an error of a library in Rust as the OSError that it tells of, such as a full disk."""
    try:
        yield
    except Exception as error:
        # "No space left on device (os error 28)", or of older versions "Os { code: 28, ..."
        told = re.search(r"\(os error (\d+)\)|Os { code: (\d+)", str(error))
        if isinstance(error, OSError) or told is None:
            raise
        number = int(told[1] or told[2])
        raise OSError(number, os.strerror(number)) from error


def advise(path: str | Path, remedy: str = "free some space") -> str:
    """Say what to do if a file cannot be written."""
    variable = name_variable(path)
    elsewhere = f"set {variable} to a folder on another disk" if variable else "choose another disk"
    return f"{capitalize(remedy)}, or {elsewhere}. What was there before is unchanged."


def capitalize(text: str) -> str:
    """Return a text as the beginning of a sentence."""
    return text[0].upper() + text[1:]
