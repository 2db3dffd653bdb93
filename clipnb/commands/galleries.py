"""What is searched: a folder of photos or a dataset. The command index is here too."""

import os
import shlex
import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clipnb.commands.options import AddCommand
from clipnb.commands.runs import (
    add_run_options,
    choose_run,
    is_pretrained,
    move_to_dataset,
)
from clipnb.places import escape
from clipnb.recipes import KNOWN_DATASETS

if TYPE_CHECKING:
    from clipnb import ImageIndex
    from clipnb.datasets import CaptionDataset
    from clipnb.datasets.photos import PhotoFolder
    from clipnb.runs import Run
    from clipnb.search.bank import CaptionBank


def add_commands(add_command: AddCommand) -> None:
    """Add the commands of this module to the parser."""
    index = add_command(
        "index",
        handle_index,
        "Bring the index of a folder of photos up to date and say what has changed. `clipnb "
        "search` does so too.",
    )
    index.add_argument("folder", help="a folder of photos, such as ~/Pictures")
    lists = index.add_mutually_exclusive_group()
    lists.add_argument(
        "--unreadable",
        action="store_true",
        help="list the files that cannot be read, with the reasons",
    )
    lists.add_argument(
        "--duplicates",
        action="store_true",
        help="list photos that look nearly the same, with an empty line between groups",
    )
    add_run_options(index)


@dataclass
class Gallery:
    """Images that a run searches.

    place: the folder as the reader gave it, or the name of a dataset. title: how many images, and
    of what, in words.
    """

    index: "ImageIndex"
    place: str
    title: str
    is_folder: bool

    def get_path(self, image_id: str) -> str:
        """Return the path of an image: in a folder it begins as the reader gave the folder."""
        if self.is_folder:
            return os.path.join(self.place, image_id)
        path = self.index.paths[self.index.row[image_id]].resolve()
        here = Path.cwd()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)


# ---- from words to a place -------------------------------------------------------------------


def split_place(words: list[str]) -> tuple[str | None, list[str]]:
    """Divide the words of the command line into the place to search and the query.

    Returns None for the place if the first word is neither a folder nor a dataset. Raises
    FileNotFoundError if it seems to be meant as one.
    """
    if not words:
        return None, []
    first, rest = os.path.expanduser(words[0]), words[1:]
    if is_dataset(first) or os.path.isdir(first):
        return first, rest
    if seems_a_place(words) and not os.path.exists(first):
        raise FileNotFoundError(
            f"there is no folder and no dataset {words[0]!r}. If it belongs to the query, put the "
            "whole query into quotes."
        )
    return None, words


def seems_a_place(words: list[str]) -> bool:
    """Tell whether the first of some words has the form of a path, or stands before a quoted query.

    `clipnb search Pictrues "dog in the snow"` must not search elsewhere for four words.
    """
    if len(words) < 2 or " " in words[0] or {"+", "-"} & set(words[:2]):
        return False
    return words[0].startswith(("~", ".")) or os.sep in words[0] or " " in words[1]


def is_dataset(name: str) -> bool:
    """Tell whether a word is the name of a dataset: a known one, or the reader's own.

    A folder of that name in the present folder comes before the reader's own dataset.
    """
    from clipnb.datasets.caption_files import read_caption_lines
    from clipnb.runtime import data_dir

    if name in KNOWN_DATASETS:
        return True
    is_path = os.path.basename(name) != name or name in ("", ".", "..")
    if is_path or os.path.isdir(name) or not os.path.isdir(data_dir() / name):
        return False
    try:
        lines, _ = read_caption_lines(data_dir() / name)
    except ValueError:
        return True  # `load_dataset` says what is wrong with its captions
    return len(lines) > 0


def check_place(place: str | None, run: "Run") -> None:
    """Raise ValueError if no place is named and the run has no dataset to search."""
    if place is None and is_pretrained(run):
        raise ValueError(
            f"{run.recipe.name} was trained on no dataset that is here; say what to search: a "
            "folder of photos, scenes, flickr8k, or the name of your own dataset."
        )


# ---- from a place to an index ----------------------------------------------------------------


def open_gallery(
    place: str | None, run: "Run", split: str | None, bank: "CaptionBank | None"
) -> Gallery:
    """Encode the images of a place with a run, or read from the cache what is known of them.

    place: a folder, the name of a dataset, or None for the dataset that the run was trained on.
    split: which images of a dataset, "all" for all of them (default: test). bank: see `find_bank`.
    Raises ValueError if there is no image that can be read.
    """
    if place is None:
        return open_dataset(run.recipe.dataset, run, split or "test", bank)
    if is_dataset(place):
        return open_dataset(place, run, split or "test", bank)
    if split not in (None, "all"):
        raise ValueError(f"{place} is a folder and has no split {split!r}; leave --split out.")
    return open_folder(place, run, bank)


def open_dataset(name: str, run: "Run", split: str, bank: "CaptionBank | None") -> Gallery:
    """Encode a split of a dataset, or all of them."""
    from clipnb import ImageIndex
    from clipnb.runs import load_run_dataset

    moved = move_to_dataset(run, name)
    dataset = load_all_splits(moved) if split == "all" else load_run_dataset(moved, split)
    index = ImageIndex.build(run.model, run.tokenizer, dataset, bank)
    where = f"of {name}" if split == "all" else f"in the split {split} of {name}"
    return Gallery(index, name, f"{len(index):,} images {where}", is_folder=False)


def load_all_splits(run: "Run") -> "CaptionDataset":
    """Load all images of a run's dataset that belong to a split."""
    import numpy as np

    from clipnb.datasets import dataset_folder
    from clipnb.datasets.folders import read_dataset_folder
    from clipnb.runs import load_run_dataset

    splits = read_dataset_folder(dataset_folder(run.recipe.dataset)).splits
    parts = [load_run_dataset(run, split) for split in splits if splits[split]]
    return replace(
        parts[0],
        split="all",
        images=np.concatenate([part.images for part in parts]),
        captions=[own for part in parts for own in part.captions],
        image_ids=[image_id for part in parts for image_id in part.image_ids],
        labels=None,
        skipped=[image_id for part in parts for image_id in part.skipped],
        paths=[path for part in parts for path in part.paths],
    )


def open_folder(folder: str, run: "Run", bank: "CaptionBank | None") -> Gallery:
    """Bring the index of a folder up to date, and say on stderr what has changed, if anything."""
    index = index_folder(folder, run, bank)
    report = index.report
    if report.added or report.changed or report.moved or report.removed:
        hint = describe_unreadable(folder, report.unreadable)
        print(f"{report}{escape(hint)}", file=sys.stderr)
    return Gallery(index, folder, f"{len(index):,} photos in {folder}", is_folder=True)


def index_folder(folder: str, run: "Run", bank: "CaptionBank | None" = None) -> "ImageIndex":
    """Bring the index of a folder up to date. After Ctrl-C, say on stderr how far it is."""
    from clipnb import ImageIndex, PhotoFolder

    photos = PhotoFolder(folder)
    try:
        return ImageIndex.build(run.model, run.tokenizer, photos, bank)
    except KeyboardInterrupt:
        n_indexed = count_indexed(photos, run)
        print(
            f"Interrupted: {n_indexed:,} of {len(photos):,} photos are indexed. The same command "
            "goes on.",
            file=sys.stderr,
        )
        raise


def describe_unreadable(folder: str, n_unreadable: int) -> str:
    """Say how the files are listed that cannot be read, if there are any."""
    if not n_unreadable:
        return ""
    return f" These cannot be read: clipnb index {shlex.quote(folder)} --unreadable"


def count_indexed(photos: "PhotoFolder", run: "Run") -> int:
    """Count the files of a folder whose vectors are on disk."""
    from clipnb.features import digest_weights
    from clipnb.search.database import open_database
    from clipnb.search.store import find_database

    command = "SELECT COUNT(*) FROM files JOIN vectors USING (digest) WHERE weights LIKE ?"
    with open_database(find_database(photos.path)) as database:
        return database.execute(command, [f"{digest_weights(run.model)}%"]).fetchone()[0]


def find_bank(run: "Run") -> "CaptionBank | None":
    """Load the bank that tells whether anything matches, or say on stderr why there is none."""
    from clipnb import load_bank

    try:
        return load_bank(run)
    except (OSError, ValueError) as error:  # the dataset of the run is not here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"Whether anything matches cannot be told: {escape(reason)}", file=sys.stderr)
        return None


# ---- the command -----------------------------------------------------------------------------


def handle_index(arguments: Namespace) -> None:
    """Bring the index of a folder up to date, and list what the options ask for."""
    folder = os.path.expanduser(arguments.folder)
    index = index_folder(folder, choose_run(arguments))
    hint = "" if arguments.unreadable else describe_unreadable(folder, len(index.unreadable))
    print(f"{index.report}{escape(hint)}", file=sys.stderr)
    if arguments.unreadable:
        for image_id, reason in index.unreadable.items():
            print(f"{escape(os.path.join(folder, image_id))}\t{escape(reason)}")
    if arguments.duplicates:
        groups = index.find_near_duplicates()
        paths = [[escape(os.path.join(folder, name)) for name in group] for group in groups]
        if groups:
            print("\n\n".join("\n".join(group) for group in paths))
        else:
            print("No two photos look nearly the same.", file=sys.stderr)
