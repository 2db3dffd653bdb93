"""The scenes in the cache: drawn on first use, and drawn anew where they are damaged.

Programs that clear caches may delete some of the files, and disks may cut or change others. So the
checksums of the lists and the sizes of the images are noted when the scenes are drawn.
"""

import contextlib
import json
import os
import shutil
import warnings
import zlib
from pathlib import Path

from clipnb.disk import checksum_file, list_entries, parse_json, write_file

CHECKSUMS = "checksums.json"
LISTS = ("captions.txt", "labels.json")

_unchanged: set[Path] = set()  # the folders whose checksums this process has compared


def draw_once(folder: Path) -> None:
    """Draw the scenes into a folder of the cache, unless they are there and whole."""
    if os.path.lexists(folder) and not holds_scenes(folder):
        warnings.warn(f"{folder} is damaged; the scenes are drawn anew.", stacklevel=3)
        remove(folder)
    if not folder.exists():
        from clipnb.scenes import write_scenes

        with contextlib.suppress(FileExistsError):  # another process has drawn them meanwhile
            write_scenes(folder)
    if not os.path.lexists(folder / CHECKSUMS):  # an earlier version, or a kill, left none
        with contextlib.suppress(OSError):  # a cache that may only be read has no need of them
            write_file(folder / CHECKSUMS, json.dumps(compute_checksums(folder)))


def remove(path: Path) -> None:
    """Remove a folder, a file or a link; another process may do the same."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def holds_scenes(folder: Path) -> bool:
    """Tell whether a folder has all lists of the scenes, every image in them, and all unchanged.

    What has changed is looked for once in a process. A folder without checksums is not compared.
    """
    try:
        names = json.loads((folder / "labels.json").read_text(encoding="utf-8")).keys()
        splits = folder / "splits"
        lists = [(splits / name).read_text(encoding="utf-8") for name in list_entries(splits)]
        n_listed = sum(len(text.split()) for text in lists)
        if n_listed != len(names) or not names <= {*os.listdir(folder / "Images")}:
            return False
        if folder not in _unchanged and os.path.lexists(folder / CHECKSUMS):
            noted = parse_json((folder / CHECKSUMS).read_text(encoding="utf-8"))
            if noted != compute_checksums(folder):
                return False
            _unchanged.add(folder)
        return (folder / "captions.txt").is_file()
    except (OSError, ValueError, AttributeError):
        return False


def compute_checksums(folder: Path) -> dict[str, int]:
    """Return a checksum of each list, and one of the sizes of all images."""
    lists = [*LISTS, *(f"splits/{name}" for name in sorted(list_entries(folder / "splits")))]
    checksums = {name: checksum_file(folder / name) for name in lists}
    images = folder / "Images"
    sizes = [f"{name} {os.path.getsize(images / name)}" for name in sorted(list_entries(images))]
    return checksums | {"Images": zlib.crc32("\n".join(sizes).encode())}
