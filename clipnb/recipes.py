"""Recipes: everything that decides a training run but the seed, in one frozen object."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal, get_type_hints

from clipnb.places import display_value
from clipnb.recipe_checks import check_field, check_together, take_plain_value

# For `fit_to_dataset`. Of the batch sizes tried on 48, 120, 500 and 1,200 of the scenes, those near
# 1.5 times the square root of the number of images did best, or within two points of the best.
ENOUGH_IMAGES = 2000  # from so many training images on, a recipe is used as it is
SMALLEST_BATCH = 12  # fewer wrong captions for an image teach less
MOST_EPOCHS = 100
KNOWN_DATASETS = ("scenes", "flickr8k")  # every recipe is used on them as it is

# Fields that were added when runs existed already. At their default they are left out of the
# digest, so that the older runs keep their names.
LATER_FIELDS = ("word_loss", "freeze", "init_towers", "lora_rank", "chunk_size", "cache_gradients")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run but the seed.

    To change a field: `dataclasses.replace(RECIPES["quick"], epochs=3)`. Raises ValueError, with
    the valid choices, for a value of the wrong type or outside of its range, for an unknown
    tokenizer, loss, sampling or optimizer, and for fields that contradict each other, such as
    `freeze` and augmentation. An unknown encoder is refused by `create_model`.
    """

    name: str
    dataset: str

    # The model.
    # image_encoder is a name in model.IMAGE_ENCODERS: tiny_cnn, residual_cnn, vit, clip_vit (small,
    # with the parts of a published one; it takes image_size), or your own; or one made elsewhere:
    # clip/ViT-B-32, torchvision/resnet18, timm/vit_small_patch16_224.
    image_encoder: str
    # text_encoder is a name in model.TEXT_ENCODERS: transformer, bag_of_words, clip_transformer
    # (small, with the parts of a published one; it takes vocab_size, context_length and dropout,
    # and needs CLIP's tokenizer), or your own; or that of a published model: clip/ViT-B-32.
    text_encoder: str
    # The next two are of residual_cnn alone.
    image_width: int = 192  # channels of its last stage; each stage before has half
    image_depth: int = 1  # residual blocks in each of its last two stages
    image_size: int = 64  # pixels a side of an image in evaluation and search
    tokenizer: Literal["captions", "clip"] = "captions"  # learned from the captions, or CLIP's own
    vocab_size: int = 4096  # rows of the token embedding; with "captions" an upper bound
    context_length: int = 77  # longer texts are cut
    embed_dim: int = 512
    dropout: float = 0.1  # of transformer and clip_transformer alone; published models have none

    # The optimisation.
    loss: Literal["clip", "siglip"] = "clip"  # softmax over rows and columns, or a sigmoid per cell
    sampling: Literal["images", "rows"] = "images"  # an epoch visits every image, or every caption
    epochs: int = 20
    captions_per_image: int = 1  # with how many of its captions an image is compared at each visit
    batch_size: int = 128
    # The encoders take so many pairs at a time, and the loss still compares all pairs of the batch.
    # What an encoder works on then fits the processor's cache; 0: the whole batch at a time.
    chunk_size: int = 0
    # Keep only the features of the chunks, and encode each again for its gradients (Gao et al.
    # 2021). The memory is then that of one chunk, and a step takes a quarter longer.
    cache_gradients: bool = False
    optimizer: Literal["adamw", "muon"] = "adamw"  # "muon": for matrices; AdamW for the rest
    learning_rate: float = 1e-3  # the peak, after the warm-up
    muon_learning_rate: float = 5e-3  # the peak for the matrices, with "muon"
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.05  # not on gains, biases and the scale
    clip_norm: float = 1.0  # longer gradients are shortened to this length
    label_smoothing: float = 0.0
    text_loss: float = 0.0  # weight of a second loss between the captions of one image
    word_loss: float = 0.0  # weight of a loss between images and single words of their captions
    ema: float = 0.0  # decay of the running average of the weights; 0: no average

    # The augmentation of a training batch. Evaluation always sees whole, unchanged images.
    stored_size: int = 64  # pixels a side of a stored training image
    crop_size: int = 0  # pixels a side of a crop; 0: image_size. Cropping enlarges objects, and a
    # crop_size below image_size compensates for that.
    min_crop_area: float = 1.0  # smallest share of the area that a crop keeps; 1: no crops
    flip: bool = False  # mirror half of the images; wrong if captions tell left from right
    colour: float = 0.0  # strength of random brightness and contrast
    token_dropout: float = 0.0  # share of the tokens left out of a caption

    # What is adapted, for a run that starts from trained weights (`init` of `train`).
    freeze: Literal["none", "image", "text", "both"] = "none"  # these encoders stay as they are
    init_towers: Literal["both", "image", "text"] = "both"  # these encoders are loaded from `init`
    lora_rank: int = 0  # loaded encoders learn only a change of this rank to each matrix; 0: all

    def __post_init__(self):
        for field, hint in get_type_hints(Recipe).items():
            value = take_plain_value(getattr(self, field), hint)
            check_field(self, field, hint, value)
            object.__setattr__(self, field, value)  # the recipe is frozen from here on
        check_together(self)

    @property
    def loaded_towers(self) -> set[str]:
        """The encoders that are loaded from `init`: "image", "text" or both."""
        return {"image", "text"} if self.init_towers == "both" else {self.init_towers}

    @property
    def frozen_towers(self) -> set[str]:
        """The encoders that do not change: "image", "text", both or none."""
        return {"none": set(), "both": {"image", "text"}}.get(self.freeze, {self.freeze})

    @property
    def lora_towers(self) -> set[str]:
        """The encoders that learn only changes of low rank."""
        return self.loaded_towers - self.frozen_towers if self.lora_rank else set()

    def digest(self) -> str:
        """Return eight hexadecimal digits that change when any field does."""
        fields = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.name in LATER_FIELDS and fields[field.name] == field.default:
                del fields[field.name]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:8]


# What the notebooks run: about a minute on two cores.
QUICK = Recipe(
    name="quick",
    dataset="scenes",
    image_encoder="residual_cnn",
    text_encoder="bag_of_words",
    epochs=6,
    captions_per_image=5,
    learning_rate=3e-3,
)

# For short queries: the same in about the same time, and each word learns its images too.
QUICK_WORDS = dataclasses.replace(QUICK, name="quick_words", word_loss=1.0)

# The exact replication: 7,351,489 parameters, 224 px, CLIP's vocabulary, no augmentation.
BASELINE = Recipe(
    name="baseline",
    dataset="flickr8k",
    image_encoder="tiny_cnn",
    text_encoder="transformer",
    image_size=224,
    stored_size=224,
    tokenizer="clip",
    vocab_size=49408,
    epochs=10,
)

# The same, its batches drawn from caption rows as the original does. It sees about as many images.
BASELINE_ROWS = dataclasses.replace(BASELINE, name="baseline_rows", epochs=2, sampling="rows")

# The original's own budget: batches of 1,024 caption rows, 32 epochs. In chunks a step takes half
# the time.
BASELINE_FULL = dataclasses.replace(
    BASELINE_ROWS, name="baseline_full", epochs=32, batch_size=1024, chunk_size=128
)

# The same number of steps, its batches drawn from images: 186 epochs of 5 steps for 32 of 29.
BASELINE_FULL_IMAGES = dataclasses.replace(
    BASELINE_FULL, name="baseline_full_images", epochs=186, sampling="images"
)

# A first better one: batch norm and shortcuts, no word order, a small vocabulary, augmentation.
RESIDUAL_BAG = Recipe(
    name="residual_bag",
    dataset="flickr8k",
    image_encoder="residual_cnn",
    text_encoder="bag_of_words",
    stored_size=80,
    epochs=40,
    captions_per_image=5,
    weight_decay=0.5,
    label_smoothing=0.1,
    min_crop_area=0.5,
    flip=True,
    colour=0.4,
    token_dropout=0.2,
)

# The best that two cores learn in two minutes: larger steps, captions compared with each other,
# an average of the weights.
TWO_MINUTES = dataclasses.replace(
    RESIDUAL_BAG,
    name="two_minutes",
    image_size=80,
    crop_size=64,
    optimizer="muon",
    muon_learning_rate=8e-3,
    epochs=8,
    weight_decay=1.0,
    text_loss=1.0,
    ema=0.98,
)

# The same ideas with more pixels, channels, blocks and epochs, and more against overfitting.
IMPROVED = dataclasses.replace(
    TWO_MINUTES,
    name="improved",
    image_width=256,
    image_depth=2,
    image_size=144,
    crop_size=112,
    stored_size=144,
    muon_learning_rate=5e-3,
    epochs=40,
    weight_decay=2.0,
    ema=0.995,
    min_crop_area=0.3,
    token_dropout=0.3,
)

# Locked-image tuning (Zhai et al. 2022): a trained image encoder stays as it is, and a new text
# encoder learns to describe it. By default the image encoder is that of a `quick` run. On dev of
# the scenes 1e-3 did better (82.2) than 3e-3 (81.6) or 6e-3 (81.3).
LOCKED_IMAGE = dataclasses.replace(
    QUICK,
    name="locked_image",
    freeze="image",
    init_towers="image",
    epochs=10,
    learning_rate=1e-3,
)

# All weights of a published model, trained on with the reader's own captions. The values are usual
# ones for so few pairs. They are not tuned: no published weights were at hand. Every epoch changes
# what the model has learned before, so there are few, and the learning rate is small.
FINETUNE = Recipe(
    name="finetune",
    dataset="flickr8k",
    image_encoder="clip/ViT-B-32-quickgelu",  # that of the weights ViT-B-32/openai
    text_encoder="clip/ViT-B-32-quickgelu",
    image_size=224,
    stored_size=224,
    tokenizer="clip",
    vocab_size=49408,
    epochs=5,
    batch_size=64,
    learning_rate=1e-5,
    weight_decay=0.1,
    min_crop_area=0.8,
    flip=True,
)

# Those that start from random weights. The other two need weights to start from.
FROM_SCRATCH = (
    QUICK,
    QUICK_WORDS,
    BASELINE,
    BASELINE_ROWS,
    BASELINE_FULL,
    BASELINE_FULL_IMAGES,
    TWO_MINUTES,
    IMPROVED,
    RESIDUAL_BAG,
)
RECIPES = {recipe.name: recipe for recipe in (*FROM_SCRATCH, FINETUNE, LOCKED_IMAGE)}


def find_recipe(name: Recipe | str) -> Recipe:
    """Return the recipe of that name, or the recipe itself.

    Raises ValueError, with the list of names, if none has it, TypeError for what is neither.
    """
    if isinstance(name, Recipe):
        return name
    if not isinstance(name, str):
        raise TypeError(
            f"a recipe is one of clipnb.RECIPES, or its name, not {display_value(name)} "
            f"({type(name).__name__})."
        )
    if name not in RECIPES:
        raise ValueError(f"no recipe {display_value(name)}; there are {', '.join(RECIPES)}.")
    return RECIPES[name]


def fit_to_dataset(recipe: Recipe, n_images: int, quiet: bool = False) -> Recipe:
    """Fit a recipe to a dataset with few training images: smaller batches, more epochs.

    n_images: the size of the training split. With `ENOUGH_IMAGES` or more the recipe is returned as
    it is. With fewer, a batch of 128 would be most of the dataset, or more than all of it, and six
    epochs would be a dozen steps. Then the batch size is 1.5 times the square root of `n_images`,
    but at least `SMALLEST_BATCH`, and there are as many epochs as give the recipe's usual number of
    steps, but at most `MOST_EPOCHS`. One line that says so is printed, unless `quiet`. Raises
    ValueError for fewer than 2 images.
    """
    if n_images < 2:
        raise ValueError(f"{recipe.dataset} has {n_images} training images; at least 2 are needed.")
    if n_images >= ENOUGH_IMAGES:
        return recipe
    batch_size = max(SMALLEST_BATCH, round(1.5 * math.sqrt(n_images)))
    batch_size = min(batch_size, n_images, recipe.batch_size)
    usual_steps = recipe.epochs * (6000 // recipe.batch_size)  # flickr8k and scenes: 6,000 images
    epochs = min(MOST_EPOCHS, math.ceil(usual_steps / (n_images // batch_size)))
    epochs = max(epochs, recipe.epochs)
    if (batch_size, epochs) == (recipe.batch_size, recipe.epochs):
        return recipe
    if not quiet:
        _print_changes(recipe, n_images, batch_size, epochs)
    return dataclasses.replace(recipe, batch_size=batch_size, epochs=epochs)


def _print_changes(recipe: Recipe, n_images: int, batch_size: int, epochs: int) -> None:
    """Print in one line what `fit_to_dataset` changes."""
    changes = []
    if batch_size != recipe.batch_size:
        changes.append(f"batches of {batch_size} instead of {recipe.batch_size}")
    if epochs != recipe.epochs:
        changes.append(f"{epochs} epochs instead of {recipe.epochs}")
    print(
        f"{recipe.dataset} has {n_images:,} training images, so {recipe.name} takes "
        f"{' and '.join(changes)}."
    )
