"""One process at a time trains into a folder, downloads a file, or adds to a record."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from clipnb.disk import explain_write_errors
from clipnb.distributed import on_first
from clipnb.places import check_path
from clipnb.runtime import display_path

FAR = 10**6  # Windows locks bytes: one behind the text, so that others can read it


@contextlib.contextmanager
def lock_folder(folder: str | Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes from training into a folder, for the length of a block.

    Of several processes under torchrun the first one holds the lock. See `lock_path`.
    """
    doing = f"training the run in {display_path(check_path(folder))}"
    with contextlib.ExitStack() as stack:
        on_first(lambda: stack.enter_context(lock_path(folder, doing, wait)))
        yield


@contextlib.contextmanager
def lock_path(path: str | Path, doing: str, wait: bool = True) -> Iterator[None]:
    """Keep other processes from a file or a folder, for the length of a block.

    The system frees the lock when its owner ends, however it ends, so a file that a killed process
    has left is no obstacle. doing: what the owner does, in words. wait: wait for the other process.
    Raises RuntimeError, naming the owner, if the path is locked.
    """
    lock = find_lock(path)
    with explain_write_errors(lock):
        file = take_lock(lock, doing, wait)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows deletes no open file
            lock.unlink()
        file.close()


def find_lock(path: str | Path) -> Path:
    """Return the file whose lock stands for a path. If nobody holds it, its owner was killed."""
    path = check_path(path).resolve()
    return check_path(path.with_name(f".{path.name}.lock"))


def take_lock(path: Path, doing: str, wait: bool) -> IO:
    """Lock a file, write our process into it, and return it. See `lock_path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (it stays open)
        if is_locked_now(file):
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                break
            file.close()  # its owner has just deleted it
            continue
        owner = path.read_text(encoding="utf-8") if path.exists() else ""
        file.close()
        message = f"{owner or 'another process'} is {doing}"
        if not wait:
            raise RuntimeError(f"{message}. Wait until it has finished, or end it first.")
        if not told:
            print(f"{message}. Waiting for it.", file=sys.stderr)
        told = True
        time.sleep(0.5)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file


def is_locked_now(file: IO) -> bool:
    """Try to lock an open file. Returns False if another process has locked it.

    A file system that knows no locks lets everybody in.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True
