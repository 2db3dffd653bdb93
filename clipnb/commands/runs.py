"""The command runs, and how the other commands find the run that they work with."""

import copy
import dataclasses
import json
import sys
from argparse import ArgumentParser, Namespace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clipnb.commands.options import (
    RECIPE_OPTIONS,
    AddCommand,
    add_recipe_options,
    has_recipe_options,
    read_recipe_options,
)
from clipnb.places import escape
from clipnb.recipes import RECIPES

if TYPE_CHECKING:
    from clipnb.runs import Run

MOST_RUNS = 8  # so many runs are listed when there is none as asked for
NO_RUN = "No run is finished yet."  # how `run_folders.find_run` ends if there is none at all
HOW_TO_TRAIN = "Train one in a minute with: clipnb train --recipe quick"


def add_commands(add_command: AddCommand) -> None:
    """Add the commands of this module to the parser."""
    runs = add_command("runs", handle_runs, "List the runs in the cache, the latest one last.")
    runs.add_argument("--json", action="store_true", help="print one JSON document")


def add_run_options(command: ArgumentParser) -> None:
    """Add the options that select a trained run."""
    add_run_option(
        command,
        f"(default: the run trained last). {', '.join(f'--{name}' for name in RECIPE_OPTIONS)} "
        "select it as in `clipnb train`.",
    )
    add_recipe_options(command, hidden=True)


def add_run_option(command: ArgumentParser, otherwise: str) -> None:
    """Add the option --run. otherwise: says in the help what is used without it."""
    command.add_argument(
        "--run",
        help="the run to use: a name from `clipnb runs`, its beginning, a recipe, or a folder; or "
        "a published model: ViT-B-32/openai, or ViT-B-32/FILE with a file of weights "
        f"{otherwise}",
    )


# ---- choosing --------------------------------------------------------------------------------


def choose_run(arguments: Namespace) -> "Run":
    """Load the run that the options select, or else the one trained last, and say which it is."""
    from clipnb.pretrained import open_run
    from clipnb.runs import load_run

    if arguments.run is None and has_recipe_options(arguments):
        return load_selected_run(arguments)
    if arguments.run is None:
        folder = find_latest_run()
        print(f"Using {folder.name}, the run trained last.", file=sys.stderr)
        return load_run(folder)
    if has_recipe_options(arguments):
        raise ValueError("--run names a run already; leave the options of the recipe out.")
    try:
        return open_run(arguments.run)
    except FileNotFoundError as error:
        if str(error).endswith(NO_RUN):
            raise FileNotFoundError(f"{error} {HOW_TO_TRAIN}") from None
        raise


def is_pretrained(run: "Run") -> bool:
    """Tell whether a run is a published model, which was trained on no dataset that is here."""
    from clipnb.pretrained import Pretrained

    return isinstance(run, Pretrained)


def move_to_dataset(run: "Run", dataset: str) -> "Run":
    """Return a run as if its dataset were another one: `load_run_dataset` then loads that one."""
    moved = copy.copy(run)
    moved.recipe = dataclasses.replace(run.recipe, dataset=dataset)
    return moved


def find_latest_run() -> Path:
    """Find the finished run that was trained last.

    Runs of a recipe with a name in `RECIPES` come first: experiments train models that are
    deliberately bad, and keep them in the same place.
    """
    from clipnb.run_folders import list_runs, read_recipe

    candidates = []
    for folder in list_runs():
        try:
            recipe, _ = read_recipe(folder)
            trained = (folder / "metrics.json").stat().st_mtime
        except (OSError, ValueError):
            continue  # of another version of clipnb, or not to be read
        candidates.append((recipe.name in RECIPES, trained, folder))
    if not candidates:
        raise FileNotFoundError(f"no run is finished yet. {HOW_TO_TRAIN}")
    return max(candidates)[-1]


def load_selected_run(arguments: Namespace) -> "Run":
    """Load the run of the recipe on the command line, or raise an error that lists all runs."""
    from clipnb.run_folders import is_finished, list_runs, run_folder
    from clipnb.runs import load_run
    from clipnb.selection import format_options

    recipe = read_recipe_options(arguments, quiet=True)
    seed = arguments.seed or 0
    folder = run_folder(recipe, seed, arguments.init)
    wanted = format_options(recipe, seed, arguments.init)
    if is_finished(folder):
        return load_run(folder, recipe, seed, arguments.init)
    if (folder / "recipe.json").exists():
        raise FileNotFoundError(
            f"the run of {wanted} is unfinished. Go on with it: clipnb train {wanted} --resume"
        )
    runs = list_runs()
    runs.sort(key=lambda run: not run.name.startswith(f"{recipe.dataset}-"))  # these come first
    listed = "".join(f"\n  {format_run(run)}" for run in runs[:MOST_RUNS])
    if len(runs) > MOST_RUNS:
        listed += f"\n  and {len(runs) - MOST_RUNS} more"
    raise FileNotFoundError(
        f"no run of {wanted}. Train one with: clipnb train {wanted}"
        + (f"\nThe finished runs are:{listed}" if listed else f"\n{NO_RUN}")
    )


def format_run(folder: Path) -> str:
    """Return the options of the command line that select the run in a folder."""
    from clipnb.run_folders import find_init, read_recipe
    from clipnb.selection import format_options

    try:
        recipe, seed = read_recipe(folder)
    except ValueError:
        return f"{folder.name} (of another version of clipnb)"
    except OSError:
        return f"{folder.name} (it cannot be read)"
    return format_options(recipe, seed, find_init(folder))


# ---- listing ---------------------------------------------------------------------------------


def handle_runs(arguments: Namespace) -> None:
    """Print a table of all runs in the cache, or the same as JSON."""
    from clipnb.runtime import cache_dir

    runs = [summarize_run(path.parent) for path in (cache_dir() / "runs").glob("*/recipe.json")]
    runs.sort(key=lambda run: (run["state"] == "finished", run["date"], run["name"]))
    if arguments.json:
        print(json.dumps(runs, indent=1))
    elif runs:
        print_table(runs)
    for problem in filter(None, (run.get("problem") for run in runs)):
        print(f"clipnb: {escape(problem)}", file=sys.stderr)
    try:
        message = f"clipnb search uses {find_latest_run().name} unless --run names another."
    except FileNotFoundError as error:
        message = str(error)
    print(message, file=sys.stderr)


def summarize_run(folder: Path) -> dict:
    """Return the name of the run in a folder, what was trained, how good it is, and its date.

    state: "finished", "unfinished", or "damaged or of another version" if it cannot be read. Then
    `problem` says which file is damaged, and what to do.
    """
    from clipnb.run_commands import advise_training
    from clipnb.run_folders import is_finished, read_recipe
    from clipnb.runs import read_history, read_metrics

    finished = is_finished(folder)
    path = folder / ("metrics.json" if finished else "recipe.json")
    date = datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "minutes")
    try:
        recipe, seed = read_recipe(folder)
        mean_recall = None
        advise = partial(advise_training, folder, recipe, seed)
        if finished:
            mean_recall = read_metrics(folder, advise)["dev"]["mean_recall"]
            read_history(folder, recipe, advise)
    except (OSError, ValueError) as error:
        state = {"state": "damaged or of another version", "problem": str(error)}
        return {"name": folder.name, **state, "date": date}
    return {
        "name": folder.name,
        "state": "finished" if finished else "unfinished",
        "dataset": recipe.dataset,
        "recipe": recipe.name,
        "seed": seed,
        "dev_mean_recall": mean_recall,
        "date": date,
    }


def print_table(runs: list[dict]) -> None:
    """Print runs as an aligned table, one a line."""
    rows = [("name", "dataset", "recipe", "seed", "dev mean recall", "date")]
    for run in runs:
        recall = run.get("dev_mean_recall")
        result = run["state"] if recall is None else f"{recall:.1f}"
        what = [str(run.get(key, "")) for key in ("dataset", "recipe", "seed")]
        rows.append((run["name"], *what, result, run["date"]))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[4] = row[4].rjust(widths[4])
        print("  ".join(cells).rstrip())
