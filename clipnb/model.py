"""CLIP: two encoders, two linear projections, one temperature (paper §2.3 to 2.5, Fig 3)."""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.encoders import (
    BagOfWords,
    ResidualCNN,
    TextTransformer,
    TinyCNN,
    ViT,
)
from clipnb.preprocess import DEFAULT, Preprocess, choose_preprocess
from clipnb.recipe_checks import PATCH_SIZE
from clipnb.recipes import Recipe
from clipnb.towers import published
from clipnb.towers.libraries import LIBRARIES


class CLIP(nn.Module):
    """Two encoders whose outputs are projected into one space of `embed_dim` dimensions.

    Each encoder has a `width`, the size of its output. `logit_scale` is stored as a logarithm and
    starts at ln(1/0.07), as in the paper (§2.5). preprocess: how a photo becomes an image for this
    model; by default a square in [-1, 1], of the encoder's `image_size` if it has one.
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        text_encoder: nn.Module,
        embed_dim: int = 512,
        preprocess: Preprocess | None = None,
    ):
        super().__init__()
        image_size = getattr(image_encoder, "image_size", DEFAULT.size)
        self.preprocess = preprocess or Preprocess(image_size)
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        bias = getattr(image_encoder, "has_projection_bias", False)  # the published ResNets have it
        self.image_projection = nn.Linear(image_encoder.width, embed_dim, bias=bias)
        self.text_projection = nn.Linear(text_encoder.width, embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, images: Tensor, normalize: bool = False) -> Tensor:
        """Encode images.

        images: (B, 3, S, S), uint8, or floating point as `preprocess` makes them, which is in
        [-1, 1] for the models of this course. Returns features (B, embed_dim), of unit length if
        `normalize`.
        """
        if images.dtype == torch.uint8:
            images = self.preprocess.normalize(images).to(self.image_projection.weight.dtype)
        features = self.image_projection(self.image_encoder(images))
        return F.normalize(features, dim=-1) if normalize else features

    def encode_text(self, tokens: Tensor, normalize: bool = False) -> Tensor:
        """Encode texts.

        tokens: int64 (B, T), 0 is padding. Returns features (B, embed_dim), of unit length if
        `normalize`.
        """
        features = self.text_projection(self.text_encoder(tokens))
        return F.normalize(features, dim=-1) if normalize else features

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a batch of pairs.

        Returns image features and text features, each (B, embed_dim) of unit length, and the
        scale, a scalar (the factor itself, not its logarithm).
        """
        image_features = self.encode_image(images, normalize=True)
        text_features = self.encode_text(tokens, normalize=True)
        return image_features, text_features, self.logit_scale.exp()

    @torch.no_grad()
    def clamp_logit_scale(self) -> None:
        """Keep the scale between 1 and 100. Call it after every step.

        The paper (§2.5) clips it at 100: "necessary to prevent training instability". The lower
        bound is open_clip's.
        """
        self.logit_scale.clamp_(0, math.log(100))


# ---- the encoders by name --------------------------------------------------------------------


def make_residual_cnn(recipe: Recipe) -> nn.Module:
    """Make the residual network of a recipe, from its `image_width` and `image_depth`."""
    widths = [recipe.image_width // divisor for divisor in (8, 4, 2, 1)]
    return ResidualCNN(widths, recipe.image_depth)


def make_vit(recipe: Recipe) -> nn.Module:
    """Make the vision transformer of a recipe."""
    return ViT(recipe.image_size, PATCH_SIZE)


def make_clip_vit(recipe: Recipe) -> nn.Module:
    """Make a small vision transformer with the parts of the published ones."""
    return ViT(recipe.image_size, PATCH_SIZE, pooling="class")


def make_tiny_cnn(recipe: Recipe) -> nn.Module:
    """Make the baseline's image encoder, which is the same in every recipe."""
    return TinyCNN()


def make_bag_of_words(recipe: Recipe) -> nn.Module:
    """Make the bag of words of a recipe."""
    return BagOfWords(recipe.vocab_size)


def make_text_transformer(recipe: Recipe) -> nn.Module:
    """Make the text transformer of a recipe."""
    return TextTransformer(recipe.vocab_size, recipe.context_length, dropout=recipe.dropout)


def make_clip_transformer(recipe: Recipe) -> nn.Module:
    """Make a small text transformer with the parts of the published ones."""
    return TextTransformer(
        recipe.vocab_size,
        recipe.context_length,
        dropout=recipe.dropout,
        causal=True,
        pooling="eos",
    )


# An encoder of your own needs two lines. Put a function of the recipe under a name of your choice,
# and name it in a recipe:
#
#     IMAGE_ENCODERS["my_encoder"] = make_my_encoder
#     recipe = dataclasses.replace(RECIPES["quick"], image_encoder="my_encoder")
#
# The function returns a module with a `width`. An image encoder maps images (B, 3, S, S), floating
# point in [-1, 1], to (B, width); a text encoder maps tokens int64 (B, T), 0 being padding, to
# (B, width). `train` trains all of its parameters but those with `requires_grad=False`. To load
# such a run later, in another process, put the function there again first.
IMAGE_ENCODERS: dict[str, Callable[[Recipe], nn.Module]] = {
    "tiny_cnn": make_tiny_cnn,
    "residual_cnn": make_residual_cnn,
    "vit": make_vit,
    "clip_vit": make_clip_vit,
}
TEXT_ENCODERS: dict[str, Callable[[Recipe], nn.Module]] = {
    "transformer": make_text_transformer,
    "bag_of_words": make_bag_of_words,
    "clip_transformer": make_clip_transformer,
}


def create_image_encoder(recipe: Recipe) -> nn.Module:
    """Create the image encoder of a recipe, freshly initialised.

    Its name is looked up in `IMAGE_ENCODERS`, where you may put one of your own. A name with a
    slash is that of an encoder made elsewhere: "clip/ViT-B-32", "torchvision/resnet18",
    "timm/vit_small_patch16_224". Raises ValueError for an unknown name.
    """
    return _create_encoder(recipe, "image_encoder", IMAGE_ENCODERS)


def create_text_encoder(recipe: Recipe) -> nn.Module:
    """Create the text encoder of a recipe, freshly initialised.

    Its name is looked up in `TEXT_ENCODERS`, where you may put one of your own. "clip/ViT-B-32"
    means the one of that published model. Raises ValueError for an unknown name.
    """
    return _create_encoder(recipe, "text_encoder", TEXT_ENCODERS)


def _create_encoder(recipe: Recipe, field: str, encoders: dict[str, Callable]) -> nn.Module:
    """Create the encoder that a field of the recipe names."""
    name = getattr(recipe, field)
    encoder = _find_maker(recipe, field, encoders)(recipe)
    if not isinstance(getattr(encoder, "width", None), int):
        raise ValueError(
            f"the {field} {name!r} is a {type(encoder).__name__} without a `width`; set it to the "
            "size of the encoder's output."
        )
    return encoder


def _find_maker(
    recipe: Recipe, field: str, encoders: dict[str, Callable]
) -> Callable[[Recipe], nn.Module]:
    """Find the function that makes the encoder that a field of the recipe names."""
    name = getattr(recipe, field)
    if name in encoders:
        return encoders[name]
    library, _, own_name = name.partition("/")
    if library == "clip" and own_name:
        return getattr(published.check_sizes(recipe, own_name), f"create_{field}")
    if library in LIBRARIES and own_name and field == "image_encoder":
        return functools.partial(LIBRARIES[library], own_name)
    raise ValueError(
        f"recipe {recipe.name!r}: {field} {name!r} is unknown; choose one of "
        f"{', '.join(encoders)}, or one made elsewhere, such as clip/ViT-B-32. To add one of your "
        f"own, assign a function of the recipe that returns it: clipnb.{field.upper()}S[{name!r}] "
        "= make_my_encoder."
    )


def check_encoders(recipe: Recipe) -> None:
    """Raise ValueError, with the names that there are, if an encoder of a recipe is unknown."""
    _find_maker(recipe, "image_encoder", IMAGE_ENCODERS)
    _find_maker(recipe, "text_encoder", TEXT_ENCODERS)


def create_model(recipe: Recipe) -> CLIP:
    """Create the CLIP that a recipe describes, freshly initialised."""
    image_encoder = create_image_encoder(recipe)
    text_encoder = create_text_encoder(recipe)
    model = CLIP(image_encoder, text_encoder, recipe.embed_dim, choose_preprocess(recipe))
    if recipe.loss == "siglip":  # one of batch_size captions belongs to an image
        model.logit_bias = nn.Parameter(torch.tensor(-math.log(recipe.batch_size - 1)))
    return model
