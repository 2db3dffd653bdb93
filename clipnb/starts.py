"""Where a run starts: the weights of another run, of a published model, or of a library."""

import copy
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from clipnb import run_folders
from clipnb.model import CLIP
from clipnb.preprocess import Preprocess, choose_preprocess
from clipnb.pretrained import open_run
from clipnb.recipes import Recipe
from clipnb.runs import load_run_tokenizer, read_metrics, read_weights
from clipnb.selection import adopt_fields, adopt_library_encoder, split_published_name
from clipnb.tokenizer import Tokenizer
from clipnb.towers.libraries import LIBRARIES, load_library_weights


@dataclass
class Start:
    """Trained weights that a run can start from.

    name: of the run or the model. weights: tensors by their names in a `CLIP`; of a library's image
    encoder they all begin with "image_encoder.". recipe: of the run or the model, None for a
    library. encoders: the names that the recipe must have for "image" and "text", if the shapes of
    the weights do not tell enough. preprocess: of a published model.
    """

    name: str
    weights: dict[str, Tensor]
    tokenizer: Tokenizer | None = None
    recipe: Recipe | None = None
    encoders: dict[str, str] = field(default_factory=dict)
    preprocess: Preprocess | None = None


def check_init(recipe: Recipe, init: str | Path | None) -> None:
    """Raise ValueError, one line, if a recipe needs weights to start from and there are none."""
    adapts = recipe.freeze != "none" or recipe.lora_rank or recipe.init_towers != "both"
    if init is None and adapts:
        raise ValueError(
            f"the recipe {recipe.name!r} adapts trained encoders (freeze={recipe.freeze!r}, "
            f"init_towers={recipe.init_towers!r}, lora_rank={recipe.lora_rank}), so it needs "
            "weights to start from: `init=` of `train`, `--init` on the command line. It may be a "
            "run, or a name such as ViT-B-32/openai or torchvision/resnet18."
        )
    name = None if init is None else split_published_name(init)
    if name and name[0] in LIBRARIES and recipe.init_towers != "image":
        raise ValueError(
            f"{init} has only an image encoder; set init_towers='image', so that the text encoder "
            "of the recipe starts anew."
        )


def open_start(init: str | Path, recipe: Recipe | None = None) -> Start:
    """Open the weights that a run starts from.

    init: a run as `find_run` understands it, a published model ("ViT-B-32/openai", or with a file
    or folder after the slash), or the image encoder of a library ("torchvision/resnet18",
    "timm/vit_small_patch16_224"), whose published weights the library downloads once.
    recipe: of the new run; a library's encoder takes the size of its images.
    """
    name = split_published_name(init)
    if name is None:
        folder = run_folders.find_run(init)
        run_folders.install_next(folder)
        own, _ = run_folders.read_recipe(folder)
        tokenizer = load_run_tokenizer(folder, own)

        def advise() -> str:
            return "Train that run again, or start from another one."

        weights = read_weights(folder, read_metrics(folder, advise), advise)
        return Start(folder.name, weights, tokenizer, own)
    if name[0] in LIBRARIES:
        weights = load_library_weights(str(init), recipe)
        weights = {f"image_encoder.{key}": tensor for key, tensor in weights.items()}
        return Start(str(init), weights, encoders={"image": str(init)})
    run = open_run(init)
    return Start(
        run_folders.describe_init(init)["run"],
        run.model.state_dict(),
        run.tokenizer,
        run.recipe,
        {"image": run.recipe.image_encoder, "text": run.recipe.text_encoder},
        run.model.preprocess,
    )


# ---- into a new model ------------------------------------------------------------------------


def choose_tokenizer(start: Start, recipe: Recipe) -> Tokenizer | None:
    """Return the tokenizer that belongs to a loaded text encoder, or None if that one is new.

    Raises ValueError if the recipe wants a tokenizer of the other kind.
    """
    if "text" not in recipe.loaded_towers or start.tokenizer is None:
        return None
    kind = start.recipe.tokenizer
    if kind != recipe.tokenizer:
        raise ValueError(
            f"{start.name} was trained with tokenizer={kind!r}, the recipe {recipe.name!r} has "
            f"{recipe.tokenizer!r}; set tokenizer={kind!r}."
        )
    tokenizer = copy.copy(start.tokenizer)
    tokenizer.context_length = recipe.context_length
    return tokenizer


def load_start(model: CLIP, start: Start, recipe: Recipe) -> set[str]:
    """Copy the weights that a recipe's `init_towers` names into a model.

    With "both" that is everything, the temperature included. With one encoder it is that encoder,
    and its projection if `embed_dim` is the same. The bias of the loss "siglip" starts anew if the
    weights have none. Returns the names of the copied tensors. Raises
    ValueError, naming the tensors, if any is missing, or has another shape.
    """
    check_names(start, recipe)
    ours, theirs = model.state_dict(), start.weights
    if recipe.init_towers != "both":
        ours, theirs = (
            select_tower(part, other, recipe.init_towers)
            for part, other in ((ours, theirs), (theirs, ours))
        )
    if "logit_bias" in theirs and "logit_bias" not in ours:
        raise ValueError(
            f"{start.name} was trained with the loss 'siglip', whose bias the loss {recipe.loss!r} "
            "has no use for; set loss='siglip'."
        )
    problems = [
        f"{name} is {tuple(theirs[name].shape)} there and {tuple(ours[name].shape)} here"
        for name in ours
        if name in theirs and theirs[name].shape != ours[name].shape
    ]
    missing = [name for name in ours if name not in theirs and name != "logit_bias"]
    problems += [f"{name} is missing there" for name in missing]
    problems += [f"{name} is missing here" for name in theirs if name not in ours]
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        advice = "Start from a run with the same encoders"
        if start.recipe:
            advice += f", or take the recipe of that run here too: {start.recipe.name}"
        raise ValueError(
            f"the weights of {start.name} do not fit the recipe: {'; '.join(problems[:3])}{more}. "
            f"{advice}."
        )
    model.load_state_dict(theirs, strict=False)
    return set(theirs)


def check_names(start: Start, recipe: Recipe) -> None:
    """Raise ValueError if a recipe has other encoders than the published model it starts from.

    Shapes alone do not tell: GELU and QuickGELU, for example, have no weights.
    """
    for tower in sorted(recipe.loaded_towers & set(start.encoders)):
        name = getattr(recipe, f"{tower}_encoder")
        if name != start.encoders[tower]:
            raise ValueError(
                f"recipe {recipe.name!r}: {start.name} has the {tower} encoder "
                f"{start.encoders[tower]}, not {name}; `clipnb.starts.adopt_init(recipe, init)` "
                "returns the recipe with the encoders of `init`."
            )
    own = choose_preprocess(recipe)
    if "image" in recipe.loaded_towers and start.preprocess not in (None, own):
        raise ValueError(
            f"{start.name} takes images scaled otherwise ({start.preprocess}) than a run can "
            f"remember ({own}); start from a model with OpenAI's preprocessing."
        )


def select_tower(
    weights: dict[str, Tensor], others: dict[str, Tensor], tower: str
) -> dict[str, Tensor]:
    """Select the weights of one encoder, and of its projection if both models' have one shape."""
    encoder, projection = f"{tower}_encoder.", f"{tower}_projection."
    fits = all(
        name in weights and name in others and weights[name].shape == others[name].shape
        for name in {*weights, *others}
        if name.startswith(projection)
    )
    chosen = (encoder, projection) if fits else (encoder,)
    return {name: tensor for name, tensor in weights.items() if name.startswith(chosen)}


# ---- into a recipe ---------------------------------------------------------------------------


def adopt_init(recipe: Recipe, init: str | Path) -> Recipe:
    """Return a recipe with the encoders, sizes and tokenizer that `init` has.

    Of an encoder that the recipe's `init_towers` does not load, all stays as it is, but the
    `embed_dim` of both is that of `init`. A library has image encoders alone, so `init_towers`
    becomes "image". Images are stored at the size that is encoded.
    """
    name = split_published_name(init)
    if name is None:
        return adopt_fields(recipe, run_folders.read_recipe(run_folders.find_run(init))[0])
    if name[0] in LIBRARIES:
        return adopt_library_encoder(recipe, str(init))
    return adopt_fields(recipe, open_run(init).recipe)
