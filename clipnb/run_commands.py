"""The command that trains the run of a folder again, or goes on with it."""

from pathlib import Path

from clipnb.recipes import Recipe
from clipnb.run_folders import find_init, name_folder, read_start
from clipnb.selection import format_options


def advise_training(folder: Path, recipe: Recipe, seed: int) -> str:
    """Say how the run of a folder, of which a file is damaged, is trained again."""
    return f"Train it again: `{format_command(folder, recipe, seed)}`."


def format_command(
    folder: Path,
    recipe: Recipe,
    seed: int,
    resume: bool = False,
    root: str | Path | None = None,
) -> str:
    """Return the command, or the Python call, that trains the run of a folder, or goes on with it.

    It has every option that differs from the standard recipe. The recipe is in the folder. root:
    that of `train`.
    """
    init = find_init(folder)
    start = read_start(folder).get("init")
    if folder.resolve() == name_folder(recipe, seed, start).resolve():
        options = format_options(recipe, seed, init, root)
        return f"python -m clipnb train {options}{' --resume' if resume else ''}"
    place = f"folder={str(folder.resolve())!r}"
    data = "" if root is None else f", root={str(root)!r}"
    return f"clipnb.train(recipe, {seed}, {place}, resume={resume}, init={init!r}{data})"
