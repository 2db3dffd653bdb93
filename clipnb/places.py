"""Where things lie: the folders for data, cache and records, which paths can be, and their text."""

import errno
import hashlib
import os
import re
import sys
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the repository, unless clipnb is a copy elsewhere
IS_WINDOWS = sys.platform == "win32"
LONGEST_NAME = 255  # bytes of a file's or folder's name; on Windows that many letters
LONGEST_SHORT_NAME = 80  # bytes; the name of a run's folder also has a recipe, a seed and digests
LONGEST_SHOWN = 120  # letters of a value in a message
# Windows opens a device by such a name, whatever follows its first dot.
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.I)
FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')  # in a name on Windows; a colon hides a second file

# What --data-dir says. A command that we tell a reader to give says it again.
options_given: dict[str, str] = {}


def data_dir() -> Path:
    """Return the folder that contains the dataset folders.

    It is `CLIPNB_DATA`, or `data/` in the repository, or the user's data folder if clipnb is
    installed elsewhere.
    """
    return check_path(_find_folder("CLIPNB_DATA", "data", "data"))


def cache_dir() -> Path:
    """Return the folder for what clipnb makes: decoded images, drawn scenes, runs. Make it.

    It is `CLIPNB_CACHE`, or `data/cache` in the repository, or the user's cache folder if clipnb
    is installed elsewhere.
    """
    folder = check_path(_find_folder("CLIPNB_CACHE", "data/cache", "cache"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"the cache {folder} cannot be made: {error.strerror}. Set CLIPNB_CACHE to a folder "
            "that may be written to."
        ) from error
    return folder


def results_dir() -> Path:
    """Return the folder of the records: one small JSON file per reported run or claim.

    It is `CLIPNB_RESULTS`, or `results/` in the repository, or `results/` in the data folder if
    clipnb is installed elsewhere.
    """
    return check_path(_find_results())


def is_repository() -> bool:
    """Tell whether this clipnb lies in its repository, or was installed elsewhere as a copy."""
    return (ROOT / "data" / "README.md").exists()


def _find_folder(variable: str, in_repository: str, kind: str) -> Path:
    """Return the folder that `variable` names, else the repository's, else the user's own."""
    if named := os.environ.get(variable):
        try:
            return Path(named).expanduser()
        except RuntimeError:
            raise ValueError(
                f"{variable}={named} names a home folder that is not there; write the whole path."
            ) from None
    if is_repository():
        return ROOT / in_repository
    import platformdirs

    folders = {"data": platformdirs.user_data_path, "cache": platformdirs.user_cache_path}
    return folders[kind]("clipnb", appauthor=False)


def _find_results() -> Path:
    if is_repository() or os.environ.get("CLIPNB_RESULTS"):
        return _find_folder("CLIPNB_RESULTS", "results", "data")
    return _find_folder("CLIPNB_DATA", "data", "data") / "results"


# ---- paths that a reader gives -----------------------------------------------------------------


def check_path(path: str | Path, *below: str) -> Path:
    """Return a path, and what lies below it, as one path. It may name nothing yet.

    Raises an error in a sentence for a path that no file or folder can have: TypeError for what is
    no text, NotADirectoryError if a file stands where a folder has to be, and ValueError for a name
    that is too long, or that the system cannot write.
    """
    for part in (path, *below):
        if not isinstance(part, str | os.PathLike):
            raise TypeError(
                f"a path is a string or a Path, not {display_value(part)} ({type(part).__name__})."
            )
    path = Path(path, *below)
    for name in path.parts:
        if problem := find_problem_of_name(name):
            raise ValueError(
                f"{display_value(name)} cannot be the name of a file or folder: {problem}. Choose "
                "another name."
            )
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        nearest = next((parent for parent in path.parents if os.path.exists(parent)), path)
        if os.path.isfile(nearest):
            raise NotADirectoryError(
                f"{display_path(path)} cannot be: {display_path(nearest)} is a file, not a folder. "
                "Choose another place."
            ) from None
    except OSError as error:  # the others will tell when something is read or written there
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(
                f"a path of {len(os.fsencode(path)):,} letters is too long for this system: "
                f"{display_value(str(path))}. Choose a shorter one."
            ) from None
    return path


def short_name(name: str) -> str:
    """Return a dataset's name as a part of a file's name: of a path the last part.

    A name of more than `LONGEST_SHORT_NAME` bytes is cut, and ends with a digest of the whole.
    """
    name = Path(name).name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    short = name
    while len(os.fsencode(short)) > LONGEST_SHORT_NAME:
        name = name[:-1]
        short = f"{name}-{digest}"
    return short


def find_problem_of_name(name: str) -> str:
    """Say why nothing can have a name on this system; "" if something can."""
    try:
        n_bytes = len(os.fsencode(name))
    except UnicodeEncodeError:
        return "it holds half of a character"
    if "\0" in name:
        return "it holds the character 0"
    if (len(name) if IS_WINDOWS else n_bytes) > LONGEST_NAME:
        return f"its {n_bytes:,} letters are too many, and {LONGEST_NAME} are the most"
    return find_problem_on_windows(name) if IS_WINDOWS else ""


def find_problem_on_windows(name: str) -> str:
    r"""Say why nothing can have a name on Windows; "" if something can.

    name: one part of a path, also the first one, such as "C:\\".
    """
    if re.fullmatch(r"([a-z]:)?[\\/]*|\\\\.*", name, re.I) or name in (".", ".."):
        return ""
    if FORBIDDEN.search(name):
        return 'Windows allows none of < > : " | ? * in it'
    if name != name.rstrip(" ."):
        return "Windows drops a dot or a space at its end"
    return "Windows keeps it for a device" if is_device(name) else ""


def is_device(name: str) -> bool:
    """Tell whether a name, such as "nul" or "con.txt", means a device on Windows."""
    return bool(DEVICES.fullmatch(name))


def display_path(path: str | Path) -> str:
    """Return a path as text to print, relative to the repository if it lies inside.

    Such a text reads the same on every machine.
    """
    path = Path(os.path.realpath(path))  # `resolve` raises an error for a link to itself
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def display_value(value: object) -> str:
    """Return a value as text of one line for a message, cut after `LONGEST_SHOWN` letters."""
    try:
        text = repr(value).replace("\n", " ")  # an array is written in several lines
    except ValueError:  # Python writes no integer that is as long as this one
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def escape(text: str) -> str:
    """Write control characters as Python does: a name must not act on the terminal."""
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in ("Cc", "Cs")
        else letter
        for letter in text
    )


def name_variable(path: str | Path) -> str | None:
    """Return the variable that moves a path to another disk, or None if none does."""
    path = Path(path).absolute()
    folders = {
        "CLIPNB_CACHE": _find_folder("CLIPNB_CACHE", "data/cache", "cache"),
        "CLIPNB_RESULTS": _find_results(),
        "CLIPNB_DATA": _find_folder("CLIPNB_DATA", "data", "data"),
    }
    for variable, folder in folders.items():
        if path.is_relative_to(folder.absolute()):
            return variable
    return None
