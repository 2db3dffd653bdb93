"""Options that several commands share: which recipe, which seed, and how values are parsed."""

import argparse
import dataclasses
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime
from typing import get_args, get_type_hints

from clipnb.recipes import RECIPES, Recipe, find_recipe, fit_to_dataset

KNOWN_DATASETS = ("scenes", "flickr8k")  # every recipe is used on them as it is
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
    add("--seed", type=int, help="the seed of the run (default: 0)")
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


def parse_positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


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

    It has the encoders of a published model that it starts from. For a folder of your own it is
    fitted to the number of images (`fit_to_dataset`), unless batch_size or epochs are set. quiet:
    do not print either. Raises ValueError for an unknown recipe or field, and for a value of the
    wrong type.
    """
    recipe = find_recipe(arguments.recipe or choose_recipe_name(arguments))
    adapted = adopt_encoders(recipe, arguments.init)
    if adapted != recipe and not quiet:
        print(
            f"The recipe is {recipe.name}. For {arguments.init} it takes the image encoder "
            f"{adapted.image_encoder}, the text encoder {adapted.text_encoder} and images of "
            f"{adapted.image_size} px.",
            file=sys.stderr,
        )
    recipe = adapted
    changes = {"dataset": arguments.dataset} if arguments.dataset else {}
    if arguments.freeze:
        changes["freeze"] = arguments.freeze
    for change in arguments.set:
        name, _, text = change.partition("=")
        changes[name] = parse_field(recipe, name, text)
    recipe = dataclasses.replace(recipe, **changes)
    if recipe.dataset in KNOWN_DATASETS or {"batch_size", "epochs"} & set(changes):
        return recipe
    return fit_to_dataset(recipe, count_training_images(recipe.dataset), quiet)


def choose_recipe_name(arguments: Namespace) -> str:
    """Choose a recipe where --recipe names none: one that adapts a published model, or quick."""
    from clipnb.runs import split_published_name
    from clipnb.towers.libraries import LIBRARIES

    start = split_published_name(arguments.init or "")
    if start is None:
        return "quick"
    is_image_only = start[0] in LIBRARIES or arguments.freeze == "image"
    return "locked_image" if is_image_only else "finetune"


def adopt_encoders(recipe: Recipe, init: str | None) -> Recipe:
    """Give a recipe the encoders of the published model that it starts from, if it is one.

    A library has image encoders alone, so the text encoder of the recipe stays.
    """
    from clipnb.runs import split_published_name
    from clipnb.starts import adopt_init
    from clipnb.towers.libraries import LIBRARIES

    start = split_published_name(init or "")
    if start is None:
        return recipe
    if start[0] in LIBRARIES:
        recipe = dataclasses.replace(recipe, init_towers="image")
    return adopt_init(recipe, init)


def list_adopted_fields(recipe: Recipe, init: str | None) -> set[str]:
    """List the fields of a recipe that `adopt_encoders` may have set."""
    from clipnb.runs import split_published_name
    from clipnb.starts import IMAGE_FIELDS, TEXT_FIELDS
    from clipnb.towers.libraries import LIBRARIES

    start = split_published_name(init or "")
    if start is None:
        return set()
    if start[0] in LIBRARIES:
        return {"image_encoder", "image_size", "stored_size", "crop_size", "init_towers"}
    fields = set()
    if "image" in recipe.loaded_towers:
        fields |= {*IMAGE_FIELDS, "stored_size", "crop_size"}
    if "text" in recipe.loaded_towers:
        fields |= set(TEXT_FIELDS)
    return fields


def count_training_images(dataset: str) -> int:
    """Count the images in the training split of a dataset. No image is decoded."""
    from clipnb.datasets import dataset_folder
    from clipnb.datasets.folders import read_dataset_folder

    return len(read_dataset_folder(dataset_folder(dataset)).splits.get("train", []))


def parse_field(recipe: Recipe, name: str, text: str) -> str | bool | int | float:
    """Parse the text of a new value for a field of a recipe, as the type of its present value."""
    fields = dataclasses.asdict(recipe)
    if name not in fields:
        raise ValueError(f"a recipe has no field {name!r}; there are {', '.join(fields)}.")
    value = fields[name]
    if isinstance(value, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name}={text}: expected true or false.")
        return text.lower() == "true"
    try:
        return type(value)(text)
    except ValueError:
        raise ValueError(f"{name}={text}: expected something like {value!r}.") from None


def format_options(recipe: Recipe, seed: int, init: str | None = None) -> str:
    """Return the options of the command line that select a recipe, a seed and a start."""
    standard = dataclasses.asdict(RECIPES.get(recipe.name, RECIPES["quick"]))
    adopted = list_adopted_fields(recipe, init)  # --init alone says what they are
    options = [f"--recipe {recipe.name}"]
    for name, value in dataclasses.asdict(recipe).items():
        if name == "dataset":
            options.append(f"--dataset {shlex.quote(value)}")
        elif name in ("name", *adopted) or value == standard[name]:
            continue
        elif name == "freeze":
            options.append(f"--freeze {value}")
        else:
            options.append(f"--set {name}={value}")
    start = [f"--init {shlex.quote(init)}"] if init else []
    return " ".join([*options, f"--seed {seed}", *start])
