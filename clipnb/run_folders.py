"""The folders of runs: how they are called, which one a name means, and what a run starts from."""

import dataclasses
import operator
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import SupportsIndex

from clipnb.datasets import versioned_name
from clipnb.disk import (
    HOLDER,
    digest_file,
    digest_text,
    explain_read_error,
    list_entries,
    parse_json,
    read_json,
)
from clipnb.places import display_value, is_device
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import cache_dir, display_path
from clipnb.selection import check_unknown_name, holds_run, is_file, split_published_name
from clipnb.towers.libraries import LIBRARIES

DELETE_ADVICE = "Nothing was loaded; if the folder is a run of clipnb, delete it and train again."
NEXT = "next"  # the folder in a finished run's folder in which its successor is trained
# What a run writes into its folder. Everything else there is somebody else's.
FILES = {
    "recipe.json",  # written first
    "tokenizer.json",
    "data.json",
    "history.csv",
    "state.pt",
    "model.safetensors",
    "metrics.json",  # written last
}
NAME = re.compile(r'[^/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]{1,100}')
MOST_BYTES = 100  # of a recipe's name; a letter of another alphabet has two to four
MOST_DIGITS = 18  # of a seed


def run_folder(recipe: Recipe, seed: int = 0, init: str | Path | None = None) -> Path:
    """Return the folder of a run.

    Its name says dataset, recipe and seed. It changes when any field of the recipe changes, or the
    version of the drawn scenes. init: the run or published model whose weights this one starts
    from (see `describe_init`). Then the name ends with a digest of these weights.
    """
    return name_folder(recipe, seed, None if init is None else describe_init(init))


def name_folder(recipe: Recipe, seed: int, start: dict | None) -> Path:
    """Return the folder of a run. start: what `describe_init` returned, or None.

    Raises ValueError for a name or a seed that cannot be part of a folder's name.
    """
    check_name(recipe.name, seed)
    name = f"{versioned_name(recipe.dataset)}-{recipe.name}-{seed}-{recipe.digest()}"
    if start is not None:
        name += f"-from-{start['weights']}"
    return cache_dir() / "runs" / name


def check_name(name: str, seed: int) -> None:
    """Raise ValueError if the name of a recipe, or a seed, cannot be part of a folder's name."""
    check_seed(seed)
    is_good = NAME.fullmatch(name) and name == name.strip(" .") and not is_device(name)
    if not is_good or len(name.encode()) > MOST_BYTES:
        raise ValueError(
            f"the recipe's name {display_value(name)} cannot be part of a folder's name: it may "
            r'have at most 100 letters, none of / \ : * ? " < > |, no dot or space at its ends, '
            "and be no device of Windows, such as CON or NUL. Rename it: "
            "dataclasses.replace(recipe, name=...)."
        )


def check_seed(seed: SupportsIndex) -> int:
    """Return a seed as an int, also one of NumPy. Raises ValueError if it is no whole number."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = None
    if number is None or isinstance(seed, bool) or abs(number) >= 10**MOST_DIGITS:
        raise ValueError(
            f"the seed is {display_value(seed)}; it has to be a whole number of at most "
            f"{MOST_DIGITS} digits."
        )
    return number


def is_finished(folder: str | Path) -> bool:
    """Tell whether a folder holds a finished run. Its metrics are written last."""
    return all((Path(folder) / name).exists() for name in ("metrics.json", "model.safetensors"))


def find_work_folder(folder: Path) -> Path:
    """Return the folder in which a run is trained: its own, or `next` in it if it is finished.

    So a finished run stays until its successor is finished. Raises FileExistsError if `next` is
    something else than a run of clipnb.
    """
    install_next(folder)
    if not is_finished(folder):
        return folder
    work = folder / NEXT
    if os.path.lexists(work) and not is_work_folder(work):
        raise FileExistsError(
            f"{display_path(work)} is not of clipnb, and clipnb needs this name to train the run "
            "again. Nothing of it was touched; move it elsewhere."
        )
    return work


def is_work_folder(path: Path) -> bool:
    """Tell whether a path is a folder that is empty, or has files of a run and nothing else.

    What Finder and Explorer put into any folder does not count.

    The names of the files alone do not show it: others call a file metrics.json too. So its recipe
    or its metrics are read.
    """
    if path.is_symlink() or not path.is_dir():
        return False
    names = {name for name in list_entries(path) if not HOLDER.fullmatch(name)}
    own_keys = {"recipe.json": "recipe", "metrics.json": "dev"}
    is_ours = any(_has_key(path / name, key) for name, key in own_keys.items())
    return not names or (names <= FILES and is_ours)


def _has_key(path: Path, key: str) -> bool:
    """Tell whether a file is JSON that has a dict under a key."""
    try:
        return isinstance(read_json(path)[key], dict)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def has_no_successor(folder: Path) -> bool:
    """Tell whether a folder holds a finished run, and none that is to take its place."""
    return is_finished(folder) and not (folder / NEXT).exists()


def clear_work_folder(work: Path) -> None:
    """Remove what an earlier training left in `find_work_folder`, because a new one begins."""
    if work.name == NEXT and work.exists():
        shutil.rmtree(work)
    (work / "state.pt").unlink(missing_ok=True)  # an earlier run may have other tokens


def install_next(folder: Path) -> None:
    """Put a successor that is finished into the place of the run in a folder.

    Its metrics are moved last. If a process is killed in between, they are still in `next`, and the
    next call goes on. So weights and metrics that belong together are always found together.
    """
    new = folder / NEXT
    if not (new / "metrics.json").exists() or not is_work_folder(new):
        return
    with suppress(FileNotFoundError):  # another process does the same at this moment
        for path in sorted(new.iterdir(), key=lambda path: path.name == "metrics.json"):
            os.replace(path, folder / path.name)
    with suppress(OSError):
        new.rmdir()


# ---- finding ---------------------------------------------------------------------------------


def list_runs() -> list[Path]:
    """Return the folders of all finished runs in the cache, sorted by name.

    Raises OSError if the folder of runs may not be read.
    """
    runs = cache_dir() / "runs"
    try:
        folders = [runs / name for name in sorted(list_entries(runs))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise explain_read_error(runs, error) or error from error
    return [each for each in folders if (each / "recipe.json").exists() and is_finished(each)]


def find_run(run: str | Path) -> Path:
    """Find the folder of a finished run.

    run: a folder; or the name of a recipe, which means its run with seed 0 on its own dataset if
    there is one; or the name, or the beginning of the name, of a folder in the cache, such as
    "flickr8k-two_minutes-0" or "flickr8k". Raises FileNotFoundError if there is no such run,
    ValueError if there are several; both name those that there are. An architecture without weights
    and a misspelled one are told as such. Raises TypeError for what is neither a text nor a path.
    """
    if holds_run(run):
        if not is_finished(run):
            raise FileNotFoundError(f"the run in {display_path(run)} is unfinished.")
        return Path(run)
    name = str(run)
    if name in RECIPES and is_finished(run_folder(RECIPES[name])):
        return run_folder(RECIPES[name])
    runs = list_runs()
    found = [folder for folder in runs if folder.name == name]
    found = found or [folder for folder in runs if folder.name.startswith(f"{name}-")]
    if not found:
        found = [folder for folder in runs if find_recipe_name(folder) == name]
    if not found and os.path.isdir(run):
        raise FileNotFoundError(
            f"{display_path(run)} is a folder without a run: it has no recipe.json. "
            f"{describe_runs(runs)}"
        )
    if not found:
        check_unknown_name(name)
        raise FileNotFoundError(f"there is no finished run {name!r}. {describe_runs(runs)}")
    if len(found) > 1:
        raise ValueError(f"{name!r} may mean several runs; name one: {list_names(found)}.")
    return found[0]


def describe_runs(folders: list[Path]) -> str:
    """Say in a sentence which runs there are."""
    if not folders:
        return "No run is finished yet."
    return f"The finished runs are {list_names(folders)}."


def list_names(folders: list[Path], most: int = 8) -> str:
    """List the names of folders, the first ones if there are many."""
    names = ", ".join(folder.name for folder in folders[:most])
    return f"{names} and {len(folders) - most} more" if len(folders) > most else names


# ---- which recipe ----------------------------------------------------------------------------


def read_recipe(folder: str | Path) -> tuple[Recipe, int]:
    """Read the recipe and the seed of the run in a folder.

    Raises FileNotFoundError if there is no run, ValueError if its recipe has other fields.
    """
    path = Path(folder) / "recipe.json"
    if not path.exists():
        raise FileNotFoundError(
            f"no run in {display_path(folder)}: it has no recipe.json. Train one with "
            "`python -m clipnb train`, or `clipnb.load_or_train(recipe)`. "
            f"{describe_runs(list_runs())}"
        )
    stored = read_start(folder)
    try:
        check_name(stored["recipe"]["name"], stored["seed"])
        return Recipe(**stored["recipe"]), stored["seed"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{display_path(path)} was written by another version of clipnb ({error}). Nothing "
            "was loaded; delete the folder and train again."
        ) from error


def read_start(folder: str | Path) -> dict:
    """Read `recipe.json` as it stands: the seed, the fields of the recipe, perhaps `init`.

    A run that was begun under torchrun also has `launch`. Raises ValueError if it is damaged.
    """
    path = Path(folder) / "recipe.json"
    with name_damage(path, DELETE_ADVICE):
        start = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(start, dict) or not isinstance(start.get("recipe"), dict):
            raise ValueError("it holds no recipe")
        return start


def find_recipe_name(folder: Path) -> str | None:
    """Return the name of the recipe of a run, or None if its recipe.json cannot be read."""
    try:
        return read_start(folder)["recipe"].get("name")
    except (OSError, ValueError):
        return None


@contextmanager
def name_damage(path: Path, advice: str | Callable[[], str]) -> Iterator[None]:
    """Turn any error of a reader in the block into a ValueError that names the file.

    advice: a sentence that says what to do, or a function that writes it where it is needed. A file
    that is missing counts as damaged too. One that the system refuses to read, as on a network
    drive that is gone, does not: it is told as an OSError.
    """
    try:
        yield
    except (MemoryError, ModuleNotFoundError):
        raise
    except Exception as error:  # readers of damaged files raise nearly anything
        if refusal := explain_read_error(path, error):
            raise refusal from error
        told = advice() if callable(advice) else advice
        if isinstance(error, FileNotFoundError):
            raise ValueError(f"{display_path(path)} is missing. {told}") from error
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{display_path(path)} is damaged ({reason}). {told}") from error


def check_same_run(
    folder: str | Path, recipe: Recipe, seed: int, init: str | Path | None = None
) -> None:
    """Raise ValueError, naming both, if a folder holds a run of another recipe, seed or start.

    A folder without a run is fine. Raises FileExistsError as `check_no_clash` does.
    """
    if not (Path(folder) / "recipe.json").exists():
        check_no_clash(Path(folder))
        return
    found, found_seed = read_recipe(folder)
    asked_for = dataclasses.asdict(recipe) | {"seed": seed, "init": None}
    there = dataclasses.asdict(found) | {"seed": found_seed, "init": None}
    for fields, start in (
        (asked_for, None if init is None else describe_init(init)),
        (there, read_start(folder).get("init")),
    ):
        if start:  # the same weights may lie elsewhere
            fields["init"] = {"run": start["run"], "weights": start["weights"]}
    if differences := ", ".join(
        f"{key}: {there[key]!r} there, {asked_for[key]!r} asked for"
        for key in asked_for
        if asked_for[key] != there[key]
    ):
        raise ValueError(
            f"{display_path(folder)} holds the recipe {found.name!r}, not {recipe.name!r} as asked "
            f"for ({differences}). Nothing was loaded; choose another folder, or delete that one."
        )


def check_no_clash(folder: Path) -> None:
    """Check that a first run in a folder would write over nothing. The folder need not exist.

    Raises FileExistsError if the path is no folder, or if its files have names of a run's. In the
    cache they are what is left of a run, and there is no other folder for this one.
    """
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise FileExistsError(f"{display_path(folder)} is no folder. Choose another place.")
        return
    if taken := sorted(FILES & set(os.listdir(folder))):
        is_left = folder.resolve().parent == (cache_dir() / "runs").resolve()
        advice = "delete the folder and train again" if is_left else "choose another folder"
        raise FileExistsError(
            f"{display_path(folder)} holds no run, but {', '.join(taken)}, which a run would "
            f"write over. Nothing was touched; {advice}."
        )


# ---- what a run starts from ------------------------------------------------------------------


def describe_init(init: str | Path) -> dict[str, str]:
    """Describe what a run starts from: its name, and a digest of its weights.

    init: another run (see `find_run`), or the name of published weights. Weights that a library
    finds by their name are described by it, a file by its content. If the name alone does not find
    the weights again, as with a file, `path` is what does. Raises FileNotFoundError and ValueError
    for a file or a folder without weights.
    """
    name = split_published_name(init)
    if name is None:
        folder = find_run(init)
        install_next(folder)
        start = {"run": folder.name, "weights": digest_file(folder / "model.safetensors")}
        if folder.resolve() != (cache_dir() / "runs" / folder.name).resolve():
            start["path"] = str(folder.resolve())
        return start
    family, rest = name
    if family in LIBRARIES or not is_file(family, rest):
        return {"run": f"{family}/{rest}", "weights": digest_text(f"{family}/{rest}")}
    path = Path(rest).expanduser().resolve()
    return {
        "run": f"{family}/{path.name}",
        "weights": digest_weight_files(path),
        "path": f"{family}/{path}",
    }


def find_init(folder: str | Path) -> str | None:
    """Return what `init` has to be for the run in a folder, or None if it began anew."""
    start = read_start(folder).get("init")
    return start.get("path", start["run"]) if start else None


def digest_weight_files(path: Path) -> str:
    """Return eight hexadecimal digits of a file, or of the files of weights in a folder."""
    from clipnb.pretrained.files import find_weight_files

    files = find_weight_files(path)
    if not path.is_dir():
        return digest_file(path)
    return digest_text("".join(digest_file(file) for file in files))
