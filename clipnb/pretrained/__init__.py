"""Published weights in our own modules, and ours in the formats of others.

`load_pretrained("ViT-B-32", "openai")` gives an object that can stand wherever a run can.
"""

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clipnb.model import CLIP, create_model
from clipnb.places import check_path
from clipnb.preprocess import Preprocess
from clipnb.pretrained.configurations import read_file_settings
from clipnb.pretrained.fetch import fetch_weights
from clipnb.pretrained.files import read_weights
from clipnb.pretrained.names import find_differences, find_naming, rename_to_ours
from clipnb.pretrained.open_clip_config import read_tag_settings
from clipnb.pretrained.settings import Settings, check_sizes, make_preprocess
from clipnb.pretrained.sources import find_folder, find_source
from clipnb.recipes import BASELINE, Recipe
from clipnb.run_folders import find_run
from clipnb.runs import Run, load_run
from clipnb.runtime import display_path, get_device
from clipnb.selection import is_file, split_published_name
from clipnb.tokenizer import check_text, clip_tokenizer
from clipnb.towers import published
from clipnb.towers.libraries import LIBRARIES

QUICK = "-quickgelu"  # how open_clip ends the names of models with QuickGELU


@dataclass(repr=False)
class Pretrained(Run):
    """A published model in our own modules. It can stand wherever a run can.

    name: the architecture, as open_clip names it. tag: a tag of open_clip, or the name of the file.
    Its folder need not exist. It has no history and no metrics.
    """

    name: str = ""
    tag: str = ""

    @property
    def preprocess(self) -> Preprocess:
        """How a photo becomes an image for this model."""
        return self.model.preprocess

    def __repr__(self) -> str:
        return f"Pretrained({self.name}/{self.tag})"


def load_pretrained(name: str, tag: str | Path) -> Pretrained:
    """Load a published CLIP into our own modules, in evaluation mode on the fastest device.

    name: the architecture as open_clip names it, such as "ViT-B-32" (GELU), "ViT-B-32-quickgelu"
    or "RN50". tag: a tag of open_clip, such as "openai" (always QuickGELU) or "laion2b_s34b_b79k",
    whose file is looked for on this machine and else downloaded; or the path of a file or a folder,
    see `files.read_weights`. A tag and the JSON files in a folder say how images are made. For a
    file alone they are made as for OpenAI's weights.

    Raises ValueError for an unknown name or tag, and, naming the tensors or the fields, for weights
    or a configuration of another architecture. Raises FileNotFoundError if there is no file and no
    network; the message says which file to fetch. No code in a file is ever run.
    """
    name = check_text(name, "the name of an architecture")
    name = name.replace("/", "-")  # openai/CLIP writes ViT-B/32
    published.check_name(name)
    if not isinstance(tag, str | Path) or not str(tag):
        raise ValueError(
            f"tag={tag!r} names no weights; give a tag such as 'openai', or the path of a file."
        )
    if is_file(name, tag):
        path = check_path(Path(tag).expanduser())
        label = path.resolve().name
        weights = read_weights(path)
        settings = read_file_settings(path, weights, find_file_naming(path, weights))
        own_name, note = choose_activation(name, settings)
    else:
        source = find_source(name, tag)
        path, label = fetch_weights(source), source.tag
        weights = read_weights(path)
        settings = read_tag_settings(label, source.entry)
        own_name, note = choose_activation(name, settings, label)
    recipe = make_recipe(own_name, f"{name}/{label}", has_bias(weights))
    model = build(recipe, weights, settings, path)
    if note:
        warnings.warn(note, UserWarning, stacklevel=2)
    tokenizer = clip_tokenizer(recipe.context_length)
    folder = find_folder(name, label)
    return Pretrained(model, tokenizer, recipe, 0, folder, name=name, tag=label)


def open_run(name: str | Path) -> Run:
    """Open what the command line calls a run: one of your own, or a published model.

    name: whatever `find_run` knows; or "NAME/TAG" or "NAME/FILE", NAME being a published
    architecture, such as "ViT-B-32/openai" or "ViT-B/32/openai". A folder with a run comes first.
    Raises as `find_run` and `load_pretrained` do, and ValueError for the name of a library.
    """
    published_name = split_published_name(name)
    if published_name is None:
        return load_run(find_run(name))
    family, tag = published_name
    if family in LIBRARIES:
        raise ValueError(
            f"{name} is an image encoder alone, so it cannot search. Train a text encoder for it "
            f"with: clipnb train --init {name}"
        )
    return load_pretrained(family, tag)


# ---- which model -----------------------------------------------------------------------------


def choose_activation(name: str, settings: Settings, tag: str = "") -> tuple[str, str]:
    """Choose the architecture with the activation that some weights are loaded with.

    tag: of open_clip; "" for a file or a folder. What a file needs decides, and OpenAI's weights
    are always QuickGELU. With all other tags the name decides, as in open_clip. Returns the name of
    the architecture, and one line that tells of a contradiction, or "". Raises ValueError if
    open_clip has no such architecture.
    """
    quick_gelu = published.read_architecture(name).quick_gelu
    if settings.quick_gelu in (None, quick_gelu):
        return name, ""
    twin = find_twin(name)
    if tag == "openai":
        return twin, ""
    if tag:
        trained, used = ("GELU", "QuickGELU") if quick_gelu else ("QuickGELU", "GELU")
        return name, (
            f"the weights of {settings.source} were trained with {trained}, and {name} has {used}; "
            f"{twin} fits them."
        )
    if twin not in published.find_size_files():
        raise ValueError(f"{settings.source}, and open_clip has no architecture {twin}.")
    return twin, f"{settings.source}, so the model is {twin}, not {name}."


def find_twin(name: str) -> str:
    """Return the name of the same architecture with the other activation."""
    return name.removesuffix(QUICK) if name.endswith(QUICK) else name + QUICK


def make_recipe(architecture: str, name: str, sigmoid: bool) -> Recipe:
    """Make the recipe that describes a published model. sigmoid: whether that was its loss."""
    loss = "siglip" if sigmoid else BASELINE.loss
    recipe = dataclasses.replace(BASELINE, name=name, dataset="scenes", loss=loss)
    return published.adopt_architecture(recipe, architecture)


def has_bias(weights: dict[str, Tensor]) -> bool:
    """Tell whether a file has the bias of the sigmoid loss."""
    return any(name.rpartition(".")[2] == "logit_bias" for name in weights)


# ---- building it -----------------------------------------------------------------------------


def build(recipe: Recipe, weights: dict[str, Tensor], settings: Settings, path: Path) -> CLIP:
    """Build the model of a recipe from the weights of a file. It empties `weights`.

    Raises ValueError, naming the tensors, if they belong to another architecture or are not finite.
    """
    architecture = published.read_architecture(recipe.image_encoder.partition("/")[2])
    with torch.device("meta"):  # without any numbers: they come from the file
        model = create_model(recipe)
    model.preprocess = make_preprocess(settings, model.preprocess)
    differences = list_differences(weights, model)
    if differences:
        asked_for = recipe.name.partition("/")[0]
        raise ValueError(explain_differences(differences, weights, asked_for, path))
    check_sizes(settings, architecture)
    renamed = rename_to_ours(weights, architecture)
    weights.clear()
    # Each tensor is copied off the file and let go, so that no moment needs a third copy.
    state = {}
    for name in list(renamed):
        tensor = renamed.pop(name).to(get_device(), copy=True)
        if not tensor.isfinite().all():
            raise ValueError(
                f"{display_path(path)}: the weights for {name} hold NaN or infinity. Nothing was "
                "loaded; fetch the file again."
            )
        state[name] = tensor.contiguous()
    model.load_state_dict(state, assign=True)
    return model.eval()


def find_file_naming(path: Path, weights: dict[str, Tensor]) -> str:
    """Find the naming of a file. Raises ValueError, with the name of the file, if it has none."""
    try:
        return find_naming(weights)
    except ValueError as error:
        raise ValueError(f"{display_path(path)}: {error} Nothing was loaded.") from error


def list_differences(weights: dict[str, Tensor], model: CLIP) -> list[str]:
    """List how a file's tensors differ from a model's, or why the two cannot be compared."""
    try:
        return find_differences(weights, model)
    except ValueError as error:
        return [str(error).rstrip(".")]


def explain_differences(
    differences: list[str], weights: dict[str, Tensor], name: str, path: Path
) -> str:
    """Say how the weights of a file differ from an architecture, and which one they fit."""
    more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
    fitting = guess_architecture(weights, published.read_architecture(name).quick_gelu)
    guess = f" It looks like {fitting}; load it by that name." if fitting else ""
    return (
        f"{display_path(path)} does not fit {name}: {'; '.join(differences[:3])}{more}. Nothing "
        f"was loaded.{guess}"
    )


def guess_architecture(weights: dict[str, Tensor], quick_gelu: bool) -> str:
    """Find a published architecture that has exactly the tensors of a file, or return "".

    quick_gelu: the activation that it has, if two differ in nothing else.
    """
    for name in sorted(published.list_architectures(), key=len):
        with torch.device("meta"):
            model = create_model(make_recipe(name, name, has_bias(weights)))
        if not list_differences(weights, model):
            same = published.read_architecture(name).quick_gelu == quick_gelu
            twin = find_twin(name)
            return twin if not same and twin in published.find_size_files() else name
    return ""
