"""Where things lie: the folders for data, cache and records, and how a path is printed."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the repository, unless clipnb is a copy elsewhere


def data_dir() -> Path:
    """Return the folder that contains the dataset folders.

    It is `CLIPNB_DATA`, or `data/` in the repository, or the user's data folder if clipnb is
    installed elsewhere.
    """
    return _find_folder("CLIPNB_DATA", "data", "data")


def cache_dir() -> Path:
    """Return the folder for what clipnb makes: decoded images, drawn scenes, runs. Make it.

    It is `CLIPNB_CACHE`, or `data/cache` in the repository, or the user's cache folder if clipnb
    is installed elsewhere.
    """
    folder = _find_folder("CLIPNB_CACHE", "data/cache", "cache")
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
    if is_repository() or os.environ.get("CLIPNB_RESULTS"):
        return _find_folder("CLIPNB_RESULTS", "results", "data")
    return data_dir() / "results"


def is_repository() -> bool:
    """Tell whether this clipnb lies in its repository, or was installed elsewhere as a copy."""
    return (ROOT / "data" / "README.md").exists()


def _find_folder(variable: str, in_repository: str, kind: str) -> Path:
    """Return the folder that `variable` names, else the repository's, else the user's own."""
    if named := os.environ.get(variable):
        return Path(named).expanduser()
    if is_repository():
        return ROOT / in_repository
    import platformdirs

    folders = {"data": platformdirs.user_data_path, "cache": platformdirs.user_cache_path}
    return folders[kind]("clipnb", appauthor=False)


def display_path(path: str | Path) -> str:
    """Return a path as text to print, relative to the repository if it lies inside.

    Such a text reads the same on every machine.
    """
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def name_variable(path: str | Path) -> str | None:
    """Return the variable that moves a path to another disk, or None if none does."""
    path = Path(path).absolute()
    folders = {
        "CLIPNB_CACHE": _find_folder("CLIPNB_CACHE", "data/cache", "cache"),
        "CLIPNB_RESULTS": results_dir(),
        "CLIPNB_DATA": data_dir(),
    }
    for variable, folder in folders.items():
        if path.is_relative_to(folder.absolute()):
            return variable
    return None
