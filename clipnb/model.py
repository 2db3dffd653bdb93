"""CLIP: two encoders, two linear projections, one temperature (paper §2.3 to 2.5, Fig 3)."""

import math

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


def create_image_encoder(recipe: Recipe) -> nn.Module:
    """Create the image encoder of a recipe, freshly initialised.

    To add one of your own, name it in `recipes.ImageEncoder` and add a case here. Raises
    ValueError for an encoder without a case.
    """
    if recipe.image_encoder == "tiny_cnn":
        return TinyCNN()
    if recipe.image_encoder == "vit":
        return ViT(recipe.image_size)
    if recipe.image_encoder == "residual_cnn":
        widths = [recipe.image_width // divisor for divisor in (8, 4, 2, 1)]
        return ResidualCNN(widths, recipe.image_depth)
    raise ValueError(f"create_image_encoder has no case for {recipe.image_encoder!r}.")


def create_text_encoder(recipe: Recipe) -> nn.Module:
    """Create the text encoder of a recipe, freshly initialised.

    To add one of your own, name it in `recipes.TextEncoder` and add a case here. Raises ValueError
    for an encoder without a case.
    """
    if recipe.text_encoder == "bag_of_words":
        return BagOfWords(recipe.vocab_size)
    if recipe.text_encoder == "transformer":
        return TextTransformer(recipe.vocab_size, recipe.context_length, dropout=recipe.dropout)
    raise ValueError(f"create_text_encoder has no case for {recipe.text_encoder!r}.")


def create_model(recipe: Recipe) -> CLIP:
    """Create the CLIP that a recipe describes, freshly initialised."""
    image_encoder = create_image_encoder(recipe)
    text_encoder = create_text_encoder(recipe)
    model = CLIP(image_encoder, text_encoder, recipe.embed_dim)
    if recipe.loss == "siglip":  # one of batch_size captions belongs to an image
        model.logit_bias = nn.Parameter(torch.tensor(-math.log(recipe.batch_size - 1)))
    return model
