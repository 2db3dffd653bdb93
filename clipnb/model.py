"""CLIP: two encoders, two linear projections, one temperature (paper §2.3 to 2.5, Fig 3)."""

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
    normalize_images,
)
from clipnb.recipes import Recipe


class CLIP(nn.Module):
    """Two encoders whose outputs are projected into one space of `embed_dim` dimensions.

    Each encoder has a `width`, the size of its output. `logit_scale` is stored as a logarithm and
    starts at ln(1/0.07), as in the paper (§2.5).
    """

    def __init__(self, image_encoder: nn.Module, text_encoder: nn.Module, embed_dim: int = 512):
        super().__init__()
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.image_projection = nn.Linear(image_encoder.width, embed_dim, bias=False)
        self.text_projection = nn.Linear(text_encoder.width, embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, images: Tensor, normalize: bool = False) -> Tensor:
        """Encode images.

        images: (B, 3, S, S), uint8, or floating point in [-1, 1]. Returns features (B, embed_dim),
        of unit length if `normalize`.
        """
        if images.dtype == torch.uint8:
            images = normalize_images(images).to(self.image_projection.weight.dtype)
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
    return ViT(recipe.image_size)


def make_tiny_cnn(recipe: Recipe) -> nn.Module:
    """Make the baseline's image encoder, which is the same in every recipe."""
    return TinyCNN()


def make_bag_of_words(recipe: Recipe) -> nn.Module:
    """Make the bag of words of a recipe."""
    return BagOfWords(recipe.vocab_size)


def make_text_transformer(recipe: Recipe) -> nn.Module:
    """Make the text transformer of a recipe."""
    return TextTransformer(recipe.vocab_size, recipe.context_length, dropout=recipe.dropout)


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
}
TEXT_ENCODERS: dict[str, Callable[[Recipe], nn.Module]] = {
    "transformer": make_text_transformer,
    "bag_of_words": make_bag_of_words,
}


def create_image_encoder(recipe: Recipe) -> nn.Module:
    """Create the image encoder of a recipe, freshly initialised.

    Its name is looked up in `IMAGE_ENCODERS`, where you may put one of your own. Raises ValueError
    for an unknown name.
    """
    return _create_encoder(recipe, "image_encoder", IMAGE_ENCODERS)


def create_text_encoder(recipe: Recipe) -> nn.Module:
    """Create the text encoder of a recipe, freshly initialised.

    Its name is looked up in `TEXT_ENCODERS`, where you may put one of your own. Raises ValueError
    for an unknown name.
    """
    return _create_encoder(recipe, "text_encoder", TEXT_ENCODERS)


def _create_encoder(recipe: Recipe, field: str, encoders: dict[str, Callable]) -> nn.Module:
    """Create the encoder that a field of the recipe names."""
    check_encoders(recipe)
    name = getattr(recipe, field)
    encoder = encoders[name](recipe)
    if not isinstance(getattr(encoder, "width", None), int):
        raise ValueError(
            f"the {field} {name!r} is a {type(encoder).__name__} without a `width`; set it to the "
            "size of the encoder's output."
        )
    return encoder


def check_encoders(recipe: Recipe) -> None:
    """Raise ValueError, with the names that there are, if an encoder of a recipe is unknown."""
    for field, encoders in (("image_encoder", IMAGE_ENCODERS), ("text_encoder", TEXT_ENCODERS)):
        name = getattr(recipe, field)
        if name not in encoders:
            raise ValueError(
                f"recipe {recipe.name!r}: {field} {name!r} is unknown; choose one of "
                f"{', '.join(encoders)}. To add one of your own, assign a function of the recipe "
                f"that returns it: clipnb.{field.upper()}S[{name!r}] = make_my_encoder."
            )


def create_model(recipe: Recipe) -> CLIP:
    """Create the CLIP that a recipe describes, freshly initialised."""
    image_encoder = create_image_encoder(recipe)
    text_encoder = create_text_encoder(recipe)
    model = CLIP(image_encoder, text_encoder, recipe.embed_dim)
    model.image_size = recipe.image_size  # for a search in photos of any size
    if recipe.loss == "siglip":  # one of batch_size captions belongs to an image
        model.logit_bias = nn.Parameter(torch.tensor(-math.log(recipe.batch_size - 1)))
    return model
