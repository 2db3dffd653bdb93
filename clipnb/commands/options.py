"""Options that several commands share: which recipe, which seed, and how values are parsed."""

import argparse
import dataclasses
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import get_args, get_type_hints

from clipnb.places import display_value
from clipnb.recipes import KNOWN_DATASETS, RECIPES, Recipe, find_recipe, fit_to_dataset

MOST_SEEDS = 1000  # more of them are a slip
LARGEST_SEED = 2**32 - 1  # NumPy and scikit-learn take no larger one
RECIPE_OPTIONS = ("recipe", "dataset", "set", "seed", "init", "freeze")

# Adds a command to the parser: its name, the function that runs it, its help in a sentence, and
# what else argparse takes.
AddCommand = Callable[..., ArgumentParser]


def add_recipe_options(command: ArgumentParser, hidden: bool = False) -> None:
    """Add the options that select a recipe and a seed. hidden: the help does not show them."""

    def add(option: str, help: str, **how: object) -> None:
        command.add_argument(option, help=argparse.SUPPRESS if hidden else help, **how)

    add(
        "--recipe",
        help=f"what to train and how: {', '.join(RECIPES)} (default: quick; for a published "
        "--init finetune, or locked_image for an image encoder alone and with --freeze image)",
    )
    add(
        "--dataset",
        help="scenes, flickr8k, or the name of your own folder (default: the recipe's dataset)",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe, such as epochs=200. You can repeat this option. Give "
        "train, evaluate and search the same ones.",
    )
    add("--seed", type=parse_whole, help="the seed of the run (default: 0)")
    add(
        "--init",
        metavar="RUN",
        help="start from the weights of another run (its folder, or the name of a recipe or of a "
        "dataset with one finished run), of a published model (ViT-B-32/openai, ViT-B-32/FILE), "
        "or of an image encoder (torchvision/resnet18, timm/...). The recipe takes over published "
        "encoders. Give train, evaluate and search the same one.",
    )
    add(
        "--freeze",
        choices=get_args(get_type_hints(Recipe)["freeze"]),
        help="which encoders keep the weights of --init; the same as --set freeze=...",
    )


def has_recipe_options(arguments: Namespace) -> bool:
    """Tell whether any option that selects a recipe and a seed was given."""
    return any(getattr(arguments, name) not in (None, []) for name in RECIPE_OPTIONS)


def add_seeds_option(command: ArgumentParser) -> None:
    """Add the option that says with how many seeds something is repeated."""
    command.add_argument(
        "--seeds", type=parse_positive, default=3, help="with how many seeds (default: 3)"
    )


def parse_seeds(text: str) -> Sequence[int]:
    """Parse seeds: 5 means 0 to 4; 5,6 means 5 and 6; 5, with its comma means 5 alone."""
    words = text.removesuffix(",").split(",")
    numbers = [int(word) for word in words if re.fullmatch(r"\s*\d{1,18}\s*", word)]
    is_count = "," not in text
    is_good = len(set(numbers)) == len(words) <= MOST_SEEDS and max(numbers) <= LARGEST_SEED
    if not is_good or (is_count and not 1 <= numbers[0] <= MOST_SEEDS):
        raise argparse.ArgumentTypeError(
            f"{display_value(text)} are no seeds. Give how many, from 1 to {MOST_SEEDS:,}: 5 means "
            f"0 to 4. Or name them, each once, from 0 to {LARGEST_SEED:,}: 5,6 means 5 and 6, and "
            "5, with its comma means 5 alone"
        )
    return range(numbers[0]) if is_count else numbers


def parse_whole(text: str) -> int:
    """Parse a whole number of at most 18 digits."""
    if not re.fullmatch(r"\s*[+-]?\d{1,18}\s*", text):
        shown = display_value(text)
        raise argparse.ArgumentTypeError(f"{shown} is no whole number of at most 18 digits")
    return int(text)


def parse_positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    number = parse_whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def parse_date(text: str) -> datetime:
    """Parse a day, a month or a year, such as 2025-06-01, 2025-06 or 2025, as its first moment."""
    for form in ("%Y-%m-%d", "%Y-%m", "%Y"):
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2025-06-01, 2025-06 or 2025")


def read_recipe_options(arguments: Namespace, quiet: bool = False) -> Recipe:
    """Build the recipe selected on the command line.

    It has the encoders of a published model that it starts from. With a frozen image encoder it has
    no augmentation, unless the options set it, which is refused. For a folder of your own it is
    fitted to the number of images (`fit_to_dataset`), unless batch_size or epochs are set. quiet:
    do not print either. Raises ValueError for an unknown recipe or field, and for a value of the
    wrong type.
    """
    changes = {}
    if arguments.dataset:
        changes["dataset"] = arguments.dataset
    if arguments.freeze:
        changes["freeze"] = arguments.freeze
    for change in arguments.set:
        name, _, text = change.partition("=")
        changes[name] = text
    recipe = find_recipe(
        arguments.recipe or choose_recipe_name(arguments.init, changes.get("freeze"))
    )
    changes = {name: parse_field(recipe, name, text) for name, text in changes.items()}
    # What is frozen and loaded decides which encoders are taken over.
    first = {name: changes.pop(name) for name in ("freeze", "init_towers") if name in changes}
    recipe = adapt_recipe(recipe, arguments.init, first, quiet)
    recipe = dataclasses.replace(recipe, **changes)
    if recipe.dataset in KNOWN_DATASETS or {"batch_size", "epochs"} & set(changes):
        return recipe
    return fit_to_dataset(recipe, count_training_images(recipe.dataset), quiet)


def choose_recipe_name(init: str | None, freeze: str | None) -> str:
    """Choose a recipe where --recipe names none: one that adapts a published model, or quick."""
    from clipnb.selection import split_published_name
    from clipnb.towers.libraries import LIBRARIES

    start = split_published_name(init or "")
    if start is None:
        return "quick"
    return "locked_image" if start[0] in LIBRARIES or freeze == "image" else "finetune"


def adapt_recipe(recipe: Recipe, init: str | None, changes: dict, quiet: bool) -> Recipe:
    """Give a recipe what it freezes and loads, and the encoders of a published `init`.

    changes: the new values of `freeze` and `init_towers`. One line says what else changes, unless
    quiet.
    """
    from clipnb.selection import NO_AUGMENTATION, choose_adaptation, split_published_name
    from clipnb.starts import adopt_init

    adapted = chosen = choose_adaptation(recipe, changes)
    if init and split_published_name(init):
        adapted = adopt_init(chosen, init)
    told = [f"The recipe is {recipe.name}."]
    if adapted != chosen:
        told.append(
            f"For {init} it takes the image encoder {adapted.image_encoder}, the text encoder "
            f"{adapted.text_encoder} and images of {adapted.image_size} px."
        )
    if any(getattr(chosen, name) != getattr(recipe, name) for name in NO_AUGMENTATION):
        told.append("It leaves the augmentation out, because the image encoder is frozen.")
    if len(told) > 1 and not quiet:
        print(" ".join(told), file=sys.stderr)
    return adapted


def count_training_images(dataset: str) -> int:
    """Count the images in the training split of a dataset. No image is decoded."""
    from clipnb.datasets import dataset_folder
    from clipnb.datasets.folders import read_dataset_folder

    return len(read_dataset_folder(dataset_folder(dataset)).splits.get("train", []))


def parse_field(recipe: Recipe, name: str, text: str) -> str | bool | int | float:
    """Parse the text of a new value for a field of a recipe, as the type of its present value."""
    from clipnb.search.query import shorten

    fields = dataclasses.asdict(recipe)
    if name not in fields:
        raise ValueError(
            f"a recipe has no field {display_value(name)}; there are {', '.join(fields)}."
        )
    value = fields[name]
    if isinstance(value, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name}={shorten(text)}: expected true or false.")
        return text.lower() == "true"
    try:
        return type(value)(text)
    except ValueError:
        raise ValueError(f"{name}={shorten(text)}: expected something like {value!r}.") from None
