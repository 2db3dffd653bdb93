"""What selects a run: the name of the weights that it starts from, and options of a command."""

import dataclasses
import os
import re
import shlex
from pathlib import Path

from clipnb.places import display_value, options_given
from clipnb.recipes import KNOWN_DATASETS, RECIPES, Recipe
from clipnb.towers import published
from clipnb.towers.libraries import LIBRARIES, find_image_size

TAG = re.compile(r"[\w-]+")  # a path has a slash or a dot as well

# What an encoder takes from a recipe, besides its name.
IMAGE_FIELDS = ("image_encoder", "image_width", "image_depth", "image_size", "embed_dim")
TEXT_FIELDS = ("text_encoder", "tokenizer", "vocab_size", "context_length", "embed_dim")
# The augmentation that a frozen image encoder allows, which is none.
NO_AUGMENTATION = {"min_crop_area": 1.0, "flip": False, "colour": 0.0, "crop_size": 0}


# ---- names of published weights --------------------------------------------------------------


def split_published_name(name: str | Path) -> tuple[str, str] | None:
    """Split the name of published weights into model and weights, or return None if it is none.

    Such names are "ViT-B-32/openai", "ViT-B/32/openai", "ViT-B-32/FILE", "torchvision/resnet18"
    and "timm/…". A folder with a run goes before them. Raises TypeError for what is no name.
    """
    if holds_run(name):
        return None
    family, rest = _split(str(name))
    is_known = family in LIBRARIES or family in published.find_size_files()
    return (family, rest) if rest and is_known else None


def holds_run(name: str | Path) -> bool:
    """Tell whether a name is the path of a folder that holds a run, finished or not.

    A name that no folder can have holds none. Raises TypeError for what is neither text nor path.
    """
    if not isinstance(name, str | os.PathLike):
        raise TypeError(
            "a run is named by a text or a path, such as 'quick' or 'ViT-B-32/openai', not by "
            f"{display_value(name)} ({type(name).__name__})."
        )
    return os.path.exists(os.path.join(name, "recipe.json"))


def check_unknown_name(name: str) -> None:
    """Raise an error that helps if a name that stands for nothing is almost a published model's.

    Raises FileNotFoundError for an architecture alone, ValueError for a misspelled one.
    """
    family, rest = _split(name)
    if family in published.find_size_files():
        raise FileNotFoundError(
            f"{family} is an architecture. Name its weights too, by a tag or a file: "
            f"{family}/openai."
        )
    if rest and published.list_near(family, likeness=0.75):
        published.check_name(family)


def is_file(name: str, tag: str | Path) -> bool:
    """Tell whether a tag is the path of a file or folder. A tag of open_clip is a single word."""
    if isinstance(tag, Path) or not TAG.fullmatch(tag):
        return True
    from clipnb.pretrained.sources import is_tag

    return os.path.exists(tag) and not is_tag(name, tag)


def _split(name: str) -> tuple[str, str]:
    """Split a name at its first slash, but not within "ViT-B/32", as openai/CLIP writes it."""
    family, _, rest = name.partition("/")
    second, _, others = rest.partition("/")
    is_part = second and family not in published.find_size_files()
    if is_part and f"{family}-{second}" in published.find_size_files():
        return f"{family}-{second}", others
    return family, rest


# ---- what a recipe takes over ----------------------------------------------------------------


def adopt_fields(recipe: Recipe, other: Recipe) -> Recipe:
    """Return a recipe with another's encoders, as far as `init_towers` loads them.

    Images are stored at the size that is encoded.
    """
    fields = IMAGE_FIELDS if "image" in recipe.loaded_towers else ()
    fields += TEXT_FIELDS if "text" in recipe.loaded_towers else ()
    return _replace(recipe, {field: getattr(other, field) for field in fields})


def adopt_library_encoder(recipe: Recipe, name: str) -> Recipe:
    """Return a recipe with the image encoder of a library, such as "torchvision/resnet18".

    A library has image encoders alone, so the text encoder stays, and starts anew.
    """
    size = find_image_size(name)
    return _replace(recipe, {"image_encoder": name, "image_size": size, "init_towers": "image"})


def _replace(recipe: Recipe, changes: dict) -> Recipe:
    """Replace fields of a recipe. Images are stored at a new size too."""
    if changes.get("image_size", recipe.image_size) != recipe.image_size:
        changes |= {"stored_size": changes["image_size"], "crop_size": 0}
    return dataclasses.replace(recipe, **changes)


def choose_adaptation(recipe: Recipe, changes: dict) -> Recipe:
    """Set the fields `freeze` and `init_towers`. With a frozen image encoder nothing is augmented.

    changes: the new values of these fields.
    """
    if changes.get("freeze", recipe.freeze) in ("image", "both"):
        changes = NO_AUGMENTATION | changes
    return dataclasses.replace(recipe, **changes)


# ---- options ---------------------------------------------------------------------------------


def format_options(
    recipe: Recipe, seed: int, init: str | None = None, root: str | Path | None = None
) -> str:
    """Return the options of the command line that select a recipe, a seed and a start.

    init: what --init takes. root: what --data-dir takes, by default what was given there. No
    weights are read.
    """
    standard = RECIPES.get(recipe.name, RECIPES["quick"])
    plain = dataclasses.asdict(_make_plain_recipe(standard, recipe, init))
    fields = dataclasses.asdict(recipe)
    changed = {name for name in fields if fields[name] != plain[name]} - {"dataset"}
    if recipe.freeze != standard.freeze:
        changed.add("freeze")
    if recipe.init_towers != standard.init_towers and not _is_library(init):
        changed.add("init_towers")
    if recipe.dataset not in KNOWN_DATASETS and not changed & {"epochs", "batch_size"}:
        changed.add("epochs")  # else both would be fitted to the number of images
    options = [f"--recipe {standard.name}", f"--dataset {shlex.quote(recipe.dataset)}"]
    for name in fields:
        if name == "freeze" and name in changed:
            options.append(f"--freeze {fields[name]}")
        elif name in changed:
            options.append(f"--set {shlex.quote(f'{name}={fields[name]}')}")
    start = [f"--init {shlex.quote(init)}"] if init else []
    given = options_given if root is None else {"--data-dir": str(root)}
    place = [f"{name} {shlex.quote(value)}" for name, value in given.items()]
    return " ".join([*options, f"--seed {seed}", *start, *place])


def _make_plain_recipe(standard: Recipe, recipe: Recipe, init: str | None) -> Recipe:
    """Make the recipe that --recipe, --freeze, --init and `init_towers` alone would give.

    recipe: says what is frozen and loaded, and the architecture that `init` turned out to have.
    """
    adaptation = {"freeze": recipe.freeze, "init_towers": recipe.init_towers}
    plain = choose_adaptation(standard, adaptation)
    if _is_library(init):
        return adopt_library_encoder(plain, init)
    tower = "image" if "image" in recipe.loaded_towers else "text"
    family, _, architecture = getattr(recipe, f"{tower}_encoder").partition("/")
    if init and split_published_name(init) and family == "clip":
        return adopt_fields(plain, published.adopt_architecture(RECIPES["baseline"], architecture))
    return plain


def _is_library(init: str | None) -> bool:
    """Tell whether a run starts from the image encoder of a library."""
    start = split_published_name(init) if init else None
    return start is not None and start[0] in LIBRARIES
