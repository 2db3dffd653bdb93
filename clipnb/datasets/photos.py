"""A folder of photos without captions: which images it holds, and how to read any file safely."""

import contextlib
import io
import os
import stat
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from clipnb.datasets.image_files import (
    ALL_SUFFIXES,
    HEIC_SUFFIXES,
    INSTALL_HEIC,
    OTHER_SUFFIXES,
    enable_heic,
    get_suffix,
    list_files,
)
from clipnb.datasets.pixels import (
    convert_to_rgb,
    scale_transparent_colour,
    shrink_while_decoding,
)
from clipnb.places import check_path

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 178_956_970  # Pillow's own limit: a small file can claim to be a huge image
LARGE = 40_000_000  # images of more pixels are decoded one at a time, whatever number of threads
EXIF_FOLDER, DATE_TIME_ORIGINAL = 0x8769, 0x9003
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
NEEDS_HEIC = f"HEIC needs pillow-heif: {INSTALL_HEIC}"
OUT_OF_MEMORY = "it needs more memory than there is"
FORMATS_READ = "JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, and HEIC with pillow-heif"

_one_large_image = threading.Lock()


class Files(NamedTuple):
    """What a folder holds (see the properties of `PhotoFolder`)."""

    paths: dict[str, Path]
    unsupported: dict[str, str]
    unlisted: dict[str, str]
    n_other_files: int


class PhotoFolder:
    """The images of a folder and of all its sub-folders. They need no captions.

    Hidden folders and the caches of other programs are left out. A linked folder is entered once.
    Nothing is written into the folder. Raises FileNotFoundError or NotADirectoryError if `path` is
    no folder, and as `check_path` does if it can be none.
    """

    def __init__(self, path: str | Path):
        self.path = check_path(os.path.expanduser(path))
        self._check()
        self._files: Files | None = None

    def _check(self) -> None:
        """Raise an error in one sentence if there is no such folder."""
        if os.path.isdir(self.path):
            return
        if os.path.exists(self.path):
            raise NotADirectoryError(f"{self.path} is a file; give the folder that holds it.")
        raise FileNotFoundError(f"there is no folder {self.path}.")

    @property
    def paths(self) -> dict[str, Path]:
        """The file of each image id, sorted. An id is the path below the folder: "2019/a.jpg"."""
        return self._find().paths

    @property
    def unsupported(self) -> dict[str, str]:
        """The ids of images that cannot be read here, each with the reason and what to do."""
        return self._find().unsupported

    @property
    def unlisted(self) -> dict[str, str]:
        """The sub-folders that cannot be listed, such as "2019/", each with the reason."""
        return self._find().unlisted

    @property
    def n_other_files(self) -> int:
        """The number of files that are no images."""
        return self._find().n_other_files

    def refresh(self) -> None:
        """Look into the folder again. Raises FileNotFoundError if it is gone."""
        self._check()
        self._files = None

    def _find(self) -> Files:
        """List the folder when it is first asked for. Raises OSError if that is not possible."""
        if self._files is None:
            paths, unsupported, unlisted, n_other_files = {}, {}, {}, 0

            def note(error: OSError) -> None:
                name = Path(error.filename).relative_to(self.path).as_posix()
                reason = f"the folder cannot be listed ({error.strerror or error})"
                if name == ".":
                    raise OSError(f"{self.path}: {reason}.") from None
                unlisted[f"{make_printable(name)}/"] = reason

            for name in list_files(self.path, note):
                suffix = get_suffix(name)
                if suffix not in ALL_SUFFIXES:
                    n_other_files += 1
                elif reason := explain_unsupported(name):
                    unsupported[make_printable(name)] = reason
                else:
                    paths[name] = self.path / name
            self._files = Files(dict(sorted(paths.items())), unsupported, unlisted, n_other_files)
        return self._files

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"PhotoFolder({str(self.path)!r}: {len(self):,} images)"


def make_printable(name: str) -> str:
    """Return the name of a file with escapes for what is no Unicode."""
    return name.encode("utf-8", "backslashreplace").decode()


def explain_unsupported(name: str) -> str | None:
    """Return why an image file of this name cannot be read here, or None if it can."""
    suffix = get_suffix(name)
    if suffix in HEIC_SUFFIXES and not enable_heic():
        return NEEDS_HEIC
    if suffix == ".svg":
        return "SVG is not read: save it as PNG"
    if suffix == ".jxl":
        return "JPEG XL is not read: save it as JPEG or PNG"
    if suffix in OTHER_SUFFIXES:
        return "a camera's raw format is not read: save it as JPEG or TIFF"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not valid Unicode: rename it"
    return None


# ---- reading one file ------------------------------------------------------------------------


class UnreadableImageError(ValueError):
    """A file holds no image that can be shown. The message is a short reason without the name."""


@dataclass(frozen=True)
class Photo:
    """One image, read from its file.

    image: RGB and upright, perhaps smaller than the file's own. width, height: upright, of the
    file's own image. taken: the date that the camera wrote into the file, if any.
    """

    image: "Image.Image"
    width: int
    height: int
    taken: datetime | None


def open_file(path: Path) -> BinaryIO:
    """Open an ordinary file. Raises OSError.

    Raises UnreadableImageError for anything else, such as a pipe, which could be waited for
    forever.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadableImageError("it is no ordinary file")
    return open(path, "rb")


def read_photo(file: BinaryIO, least_side: int, exact: bool = False) -> Photo:
    """Decode an image of any supported format. An animation gives its first frame.

    least_side: pixels. A JPEG is shrunk while it is decoded, but no side below this number. exact:
    as in `shrink_while_decoding`. Raises UnreadableImageError for what lies in the file, OSError if
    there is too little memory now.
    """
    from PIL import Image

    enable_heic()
    try:
        with Image.open(file) as image:
            check_header(image)
            is_large = image.width * image.height > LARGE
            with _one_large_image if is_large else contextlib.nullcontext():
                return _decode(image, least_side, exact)
    except UnreadableImageError:
        raise
    except MemoryError:
        raise OSError(OUT_OF_MEMORY) from None
    except Exception as error:  # decoders of broken files raise nearly anything
        raise UnreadableImageError(explain(error, file)) from None


def _decode(image: "Image.Image", least_side: int, exact: bool) -> Photo:
    """Decode an opened image, turn it upright and convert it to RGB."""
    from PIL import ImageOps

    width, height = image.size
    shrink_while_decoding(image, least_side, exact)
    scale_transparent_colour(image)
    image.load()  # before the EXIF data: asking a PNG file for them would hide that it is broken
    taken = read_date(image)
    shape = image.size
    with contextlib.suppress(Exception):  # broken EXIF is no reason to lose the image
        ImageOps.exif_transpose(image, in_place=True)  # phones store images on their side
    if image.size != shape:
        width, height = height, width
    return Photo(convert_to_rgb(image), width, height, taken)


def check_header(image: "Image.Image") -> None:
    """Refuse an image by what its header says, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(
            f"its {image.width:,} x {image.height:,} pixels are too many to decode safely"
        )
    if min(image.size) < 2:
        raise UnreadableImageError(f"it has only {image.width} x {image.height} pixels")
    if image.format == "EPS":  # Pillow would start Ghostscript
        raise UnreadableImageError("it is a PostScript file")


def explain(error: Exception, file: BinaryIO) -> str:
    """Say in a few words why a file could not be decoded."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        return "its pixels are too many to decode safely"
    if isinstance(error, UnidentifiedImageError):
        if is_heic(file) and not enable_heic():
            return NEEDS_HEIC
        return "it is empty" if not file.seek(0, io.SEEK_END) else "it holds no image"
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return f"it is damaged or incomplete ({reason})"


def is_heic(file: BinaryIO) -> bool:
    """Tell by its first bytes whether a file is HEIC, whatever its name."""
    file.seek(0)
    start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:] in HEIC_BRANDS


def read_date(image: "Image.Image") -> datetime | None:
    """Return when a photo was taken, from its EXIF data: the camera's local time."""
    try:
        text = image.getexif().get_ifd(EXIF_FOLDER).get(DATE_TIME_ORIGINAL)
        return datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except Exception:  # none, or nonsense
        return None
