"""The image files of a dataset folder: find them, name them, and tell which one a text means."""

import errno
import functools
import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# The first of these folders that holds images is left out of their names: "Images/a.jpg" is called
# "a.jpg". The official archive of Flickr8k says "Flicker".
IMAGE_FOLDERS = ["flicker8k_dataset", "images"]

# fmt: off
IMAGE_SUFFIXES = {  # the formats of images that Pillow reads
    ".apng", ".avif", ".bmp", ".dds", ".dib", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe",
    ".jpeg", ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd",
    ".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp",
}
HEIC_SUFFIXES = {".heic", ".heif", ".hif"}  # with pillow-heif
OTHER_SUFFIXES = {  # images all the same, but nothing here reads them: cameras' raw files, drawings
    ".arw", ".cr2", ".cr3", ".dng", ".jxl", ".nef", ".orf", ".raf", ".rw2", ".svg",
}
CACHE_FOLDERS = {
    "__pycache__", "node_modules", "$RECYCLE.BIN", "System Volume Information", "lost+found",
}
# fmt: on
ALL_SUFFIXES = IMAGE_SUFFIXES | HEIC_SUFFIXES | OTHER_SUFFIXES
INSTALL_HEIC = "pip install pillow-heif"


@dataclass(frozen=True)
class ImageFiles:
    """The image files of a folder.

    paths: the file of each image name, sorted by name. unsupported: the names of further images
    whose format cannot be read here. unlisted: the sub-folders that cannot be listed.
    """

    folder: Path
    paths: dict[str, Path]
    unsupported: list[str]
    unlisted: list[str]


def find_images(folder: str | Path) -> ImageFiles:
    """Find the images of a folder and of all its sub-folders. No file is opened.

    An image's name is its path from the folder, such as "2019/beach.jpg". A first folder `Images`
    (see `IMAGE_FOLDERS`) is left out of the name, unless another image has the shorter name.
    """
    folder = Path(folder)
    readable = IMAGE_SUFFIXES
    unlisted: list[str] = []
    files = list(list_files(folder, lambda error: unlisted.append(error.filename)))
    if any(get_suffix(file) in HEIC_SUFFIXES for file in files) and enable_heic():
        readable = IMAGE_SUFFIXES | HEIC_SUFFIXES
    images = [file for file in files if get_suffix(file) in readable]
    unsupported = [file for file in files if get_suffix(file) in ALL_SUFFIXES - readable]
    image_folder = find_image_folder(images)
    loose = {file for file in images if shorten(file, image_folder) == file}
    paths = {}
    for file in images:
        short = shorten(file, image_folder)
        paths[file if short in loose else short] = folder / file
    return ImageFiles(folder, dict(sorted(paths.items())), sorted(unsupported), sorted(unlisted))


def list_files(
    folder: str | Path, on_error: Callable[[OSError], None] | None = None
) -> Iterator[str]:
    """Yield the path of every file below a folder, as "sub/name", without hidden ones.

    Links to folders are followed, each folder once. Links that lead nowhere are left out, and so
    are the caches of other programs. A link to an image of the same folder is left out too, because
    the image would be in two splits, or twice among the results; of several links to one image
    elsewhere the first one stays. on_error: called with the error of each folder that cannot be
    listed; its `filename` is that folder.
    """
    visited = set()
    listed = set()  # the real paths of images
    image_links = []
    links = [str(folder)]  # entered last, so that a file is found by its own path if it has one
    while links:
        for place, folders, names in os.walk(links.pop(0), onerror=on_error):
            real = os.path.realpath(place)
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = sorted(
                name
                for name in folders
                if not is_hidden(name) and not is_cache(os.path.basename(place), name)
            )
            paths = [os.path.join(place, name) for name in folders]
            links += [path for path in paths if os.path.islink(path)]
            relative = Path(place).relative_to(folder)
            for name in sorted(names):
                if is_hidden(name) or not is_there(os.path.join(place, name)):
                    continue
                file = (relative / name).as_posix()
                is_image = get_suffix(name) in ALL_SUFFIXES
                if is_image and os.path.islink(os.path.join(place, name)):
                    image_links.append(file)
                    continue
                if is_image:
                    listed.add(os.path.join(real, name))
                yield file
    for file in image_links:
        real = os.path.realpath(os.path.join(folder, file))
        if real not in listed:
            listed.add(real)
            yield file


def is_there(path: str | Path) -> bool:
    """Tell whether a file exists, also one that may not be looked at. A link to nowhere does not.

    `os.path.exists` says no for a file in a folder without permission.
    """
    try:
        os.stat(path)
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    return True


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder belongs to the system and not to the reader."""
    return name.startswith((".", "__MACOSX", "@eaDir"))


def is_cache(parent: str, name: str) -> bool:
    """Tell whether a folder in the folder `parent` holds copies that a program made for itself."""
    if parent.endswith(".photoslibrary"):  # of macOS: all but the photos as they were taken
        return name not in ("originals", "Masters")
    return name in CACHE_FOLDERS or name.endswith(".lrdata")  # previews of Lightroom


def get_suffix(name: str) -> str:
    """Return the suffix of a file name in lower case, such as ".jpg"."""
    return posixpath.splitext(name)[1].lower()


def drop_suffix(name: str) -> str:
    """Return a path without its suffix: "2019/a" for "2019/a.jpg"."""
    return posixpath.splitext(name)[0]


def find_image_folder(files: Iterable[str]) -> str:
    """Return the first folder of `IMAGE_FOLDERS` that holds images, as it is spelled on disk.

    Returns "" if there is none.
    """
    tops = {file.split("/")[0] for file in files if "/" in file}
    for wanted in IMAGE_FOLDERS:
        spellings = sorted(top for top in tops if top.lower() == wanted)
        if spellings:  # "Images" comes before "images"
            return spellings[0]
    return ""


def shorten(file: str, image_folder: str) -> str:
    """Return a path without the image folder in front."""
    return file.removeprefix(f"{image_folder}/") if image_folder else file


@functools.cache
def enable_heic() -> bool:
    """Teach Pillow to read HEIC. Returns whether pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


# ---- which image does a text mean? -----------------------------------------------------------


class ImageNames:
    """The names of some images, and which of them a caption file means by what it writes.

    A text means the image that has exactly this name. If there is none, it means the only image
    that fits when case, and the folders that one of the two leaves out, do not count. A text
    without the suffix of an image fits every suffix. Two images are never confused: if several
    fit, none is chosen.
    """

    def __init__(self, images: ImageFiles | Iterable[str]):
        if isinstance(images, ImageFiles):
            start = len(str(images.folder / "x")) - 1
            full_names = {name: str(path)[start:] for name, path in images.paths.items()}
            full_names = {name: full.replace(os.sep, "/") for name, full in full_names.items()}
        else:
            full_names = {name: name for name in images}
        image_folder = find_image_folder(full_names.values())
        self.aliases: dict[str, list[str]] = {}  # {path or shorter name: image names}
        for name, full in full_names.items():
            for alias in {name, full, shorten(full, image_folder)}:
                self.aliases.setdefault(alias, []).append(name)

    def find(self, text: str, place: str = "") -> tuple[list[str], bool]:
        """Find the images that a text may mean: none, one, or several.

        place: the folder of the file that holds the text, if not the dataset's own folder. Returns
        the image names, and whether the text is exactly a name, or one without its suffix.
        """
        wanted = clean_path(text)
        here = f"{place}/{wanted}" if place else wanted
        for path in (text, here, wanted):
            if path in self.aliases:
                return self.aliases[path], True
        if get_suffix(wanted) not in ALL_SUFFIXES:
            for path in (text, here, wanted):
                if path in self._by_stem:
                    return self._by_stem[path], True
        for path in (text, here, wanted):
            if names := self._by_accents.get(normalize_accents(path)):
                return names, True
        parts = fold(wanted).split("/")
        candidates = self._by_folded_file.get(parts[-1], {})
        names = {
            name
            for name, folders in candidates.items()
            if any(is_tail(parts[:-1], own) for own in folders)
        }
        return sorted(names), False

    @functools.cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """Image names by path without suffix."""
        index: dict[str, list[str]] = {}
        for alias, names in self.aliases.items():
            own = index.setdefault(drop_suffix(alias), [])
            own += [name for name in names if name not in own]
        return index

    @functools.cached_property
    def _by_accents(self) -> dict[str, list[str]]:
        """Image names by path with accents written in one way."""
        index: dict[str, list[str]] = {}
        for alias, names in self.aliases.items():
            own = index.setdefault(normalize_accents(alias), [])
            own += [name for name in names if name not in own]
        return index

    @functools.cached_property
    def _by_folded_file(self) -> dict[str, dict[str, list[list[str]]]]:
        """For each file name and each stem, folded: the images, each with its possible folders."""
        index: dict[str, dict[str, list[list[str]]]] = {}
        for alias, names in self.aliases.items():
            *folders, file = fold(alias).split("/")
            for key in {file, drop_suffix(file)}:
                for name in names:
                    index.setdefault(key, {}).setdefault(name, []).append(folders)
        return index


def clean_path(text: str) -> str:
    r"""Return a path as caption files write it in one form: "a.jpg" for ".\a.jpg" or "a.jpg#0"."""
    path = re.sub(r"#\d+$", "", text.strip()).replace("\\", "/")
    return path.removeprefix("./")


def normalize_accents(path: str) -> str:
    """Return a path in which the two ways to write an accent make no difference."""
    return unicodedata.normalize("NFC", path)


def fold(path: str) -> str:
    """Return a path in which case, and the two ways to write an accent, make no difference."""
    return normalize_accents(path).casefold()


def is_tail(one: list[str], other: list[str]) -> bool:
    """Tell whether the shorter of two lists of folders is the end of the longer one."""
    n = min(len(one), len(other))
    return n == 0 or one[-n:] == other[-n:]
