"""What a recipe may say: the type and the range of each field, and which fields go together."""

import contextlib
import operator
from typing import TYPE_CHECKING, Literal, NoReturn, get_args, get_origin
from unicodedata import category

from clipnb.places import display_value

if TYPE_CHECKING:
    from clipnb.recipes import Recipe

# The smallest and the largest value of each field that is a number. A value outside is a slip.
RANGES = {
    "image_width": (8, 8192),  # the first stage of residual_cnn has an eighth of it
    "image_depth": (1, 100),
    "image_size": (4, 2048),
    "vocab_size": (2, 1_000_000),
    "context_length": (3, 4096),
    "embed_dim": (1, 65_536),
    "dropout": (0, 0.99),
    "epochs": (1, 100_000),
    "captions_per_image": (1, 1000),
    "batch_size": (2, 1_000_000),  # one pair alone has no wrong caption to learn from
    "chunk_size": (0, 1_000_000),
    "learning_rate": (0, 10),
    "muon_learning_rate": (0, 10),
    "warmup": (0, 1),
    "weight_decay": (0, 100),
    "clip_norm": (1e-6, 1e9),
    "label_smoothing": (0, 0.99),
    "text_loss": (0, 1000),
    "word_loss": (0, 1000),
    "ema": (0, 0.999999),
    "stored_size": (4, 2048),
    "crop_size": (0, 2048),
    "min_crop_area": (0.001, 1),
    "colour": (0, 1),
    "token_dropout": (0, 0.99),
    "lora_rank": (0, 4096),
}
PATCH_SIZE = 8  # pixels a side of a patch of vit and clip_vit


def take_plain_value(value: object, hint: type) -> object:
    """Return a scalar of NumPy or torch as the value of Python that it is.

    An int is made a float where one belongs: 0 and 0.0 are one recipe, and its run has one name.
    """
    if getattr(value, "shape", None) == ():
        value = value.item()
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    with contextlib.suppress(OverflowError):  # such an integer is out of every range
        return float(value) if hint is float and is_whole else value
    return value


def check_field(recipe: "Recipe", field: str, hint: type, value: object) -> None:
    """Raise ValueError for a value of the wrong type, outside of its range, or that is no choice.

    hint: the type that the field is annotated with.
    """
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            choices = ", ".join(get_args(hint))
            refuse(recipe, f"{field} {display_value(value)} is unknown; choose one of {choices}.")
    elif field in RANGES:
        low, high = RANGES[field]
        is_number = isinstance(value, int if hint is int else (int, float))
        # NaN is in no range. True counts as 1 in Python, but is no number here.
        if not is_number or isinstance(value, bool) or not low <= value <= high:
            kind = "a whole number" if hint is int else "a number"
            refuse(
                recipe,
                f"{field} is {display_value(value)}; set it to {kind} from {low:,} to {high:,}.",
            )
    elif hint is bool:
        if not isinstance(value, bool):
            refuse(recipe, f"{field} is {display_value(value)}; set it to True or False.")
    elif not isinstance(value, str) or not value.strip() or "Cc" in map(category, value):
        problem = "set it to a text without control characters, such as line breaks."
        refuse(recipe, f"{field} is {display_value(value)}; {problem}")
    elif "Cs" in map(category, value):  # as Python reads bytes of a path that are not UTF-8
        problem = "which is not UTF-8. Rename it, on the disk too if it is the name of a folder."
        refuse(recipe, f"{field} is {display_value(value)}, {problem}")


def check_whole_number(field: str, value: object) -> int:
    """Return a whole number, also one of NumPy, that a recipe could have in a field.

    Raises ValueError for anything else.
    """
    low, high = RANGES[field]
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if not low <= number <= high or isinstance(value, bool):
        raise ValueError(
            f"{field} is {display_value(value)}; set it to a whole number from {low:,} to {high:,}."
        )
    return number


def check_together(recipe: "Recipe") -> None:
    """Raise ValueError for fields that contradict each other."""
    if recipe.cache_gradients and not recipe.chunk_size:
        refuse(recipe, "cache_gradients works chunk by chunk; set chunk_size, as to 128.")
    if recipe.tokenizer == "clip" and recipe.vocab_size < 49408:
        refuse(
            recipe,
            "CLIP's tokenizer has 49,408 ids, but the token embedding has only "
            f"{recipe.vocab_size:,} rows; set vocab_size=49408.",
        )
    has_positions = recipe.image_encoder in ("vit", "clip_vit")
    if has_positions and recipe.image_size % PATCH_SIZE:
        refuse(
            recipe,
            f"{recipe.image_encoder} cuts an image into patches of {PATCH_SIZE} px, which do not "
            f"fill {recipe.image_size} px; set image_size to a multiple of {PATCH_SIZE} from "
            f"{PATCH_SIZE} to {RANGES['image_size'][1]:,}.",
        )
    has_positions |= recipe.image_encoder.startswith(("clip/", "timm/vit"))
    if has_positions and recipe.crop_size not in (0, recipe.image_size):
        refuse(
            recipe,
            f"{recipe.image_encoder} has a position for each patch of an image of "
            f"{recipe.image_size} px; set crop_size=0, or choose a convolutional encoder.",
        )
    reads_eos = recipe.text_encoder == "clip_transformer" or recipe.text_encoder.startswith("clip/")
    if reads_eos and recipe.tokenizer != "clip":
        refuse(
            recipe,
            f"{recipe.text_encoder} reads a text at the token with the largest id, which is "
            "[EOS] in CLIP's vocabulary alone; set tokenizer='clip' and vocab_size=49408.",
        )
    if recipe.text_loss and (recipe.captions_per_image < 2 or recipe.sampling == "rows"):
        refuse(
            recipe,
            "text_loss compares captions of one image with each other; set "
            "captions_per_image to 2 or more, and sampling='images'.",
        )
    if recipe.optimizer == "muon" and not recipe.learning_rate:
        refuse(recipe, "muon's steps follow the schedule of learning_rate; set it above 0.")
    check_adaptation(recipe)


def check_adaptation(recipe: "Recipe") -> None:
    """Raise ValueError if what is loaded, frozen and changed by LoRA makes no sense together."""
    if random := recipe.frozen_towers - recipe.loaded_towers:
        refuse(
            recipe,
            f"freeze={recipe.freeze!r} would keep the random weights of the {min(random)} "
            f"encoder, because init_towers={recipe.init_towers!r} does not load it; set "
            "init_towers='both', or freeze only what is loaded.",
        )
    varies = recipe.min_crop_area < 1 or recipe.flip or recipe.colour
    varies = varies or recipe.crop_size not in (0, recipe.image_size)
    if "image" in recipe.frozen_towers and varies:
        refuse(
            recipe,
            f"freeze={recipe.freeze!r} encodes each image only once, so the images cannot be "
            "changed at random; set min_crop_area=1, flip=False, colour=0 and crop_size=0.",
        )
    if recipe.lora_rank and not recipe.lora_towers:
        refuse(
            recipe,
            f"lora_rank={recipe.lora_rank} changes loaded encoders, but freeze={recipe.freeze!r} "
            "keeps all of them; set freeze='none' or lora_rank=0.",
        )


def refuse(recipe: "Recipe", problem: str) -> NoReturn:
    """Raise ValueError: the recipe of that name has this problem."""
    raise ValueError(f"recipe {display_value(recipe.name)}: {problem}")
