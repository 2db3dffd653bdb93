"""One process at a time trains into a folder."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from clipnb.disk import explain_write_errors
from clipnb.distributed import is_first, on_first
from clipnb.places import check_path
from clipnb.runtime import display_path

FAR = 10**6  # Windows locks bytes: one behind the text, so that others can read it


@contextlib.contextmanager
def lock_folder(folder: str | Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes from training into a folder, for the length of a block.

    The system frees the lock when its owner ends, however it ends, so a file that a killed process
    has left is no obstacle. Of several processes under torchrun the first one holds the lock. wait:
    wait for the other process. Raises RuntimeError, naming the owner, if the folder is locked.
    """
    path = check_path(folder).resolve()
    path = check_path(path.with_name(f".{path.name}.lock"))
    file = None

    def take() -> None:
        nonlocal file
        with explain_write_errors(path):
            file = take_lock(path, folder, wait)

    on_first(take)
    try:
        yield
    finally:
        if is_first():
            with contextlib.suppress(OSError):  # Windows deletes no open file
                path.unlink()
            file.close()


def take_lock(path: Path, folder: str | Path, wait: bool) -> IO:
    """Lock a file, write our process into it, and return it. See `lock_folder`."""
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
        message = f"{owner or 'another process'} is training the run in {display_path(folder)}"
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
