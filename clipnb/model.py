"""CLIP: two encoders, two linear projections onto one sphere, one learned temperature (paper §2.3 to 2.5, Fig 3)."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from clipnb import encoders
from clipnb.datasets import normalize_images

IMAGE_ENCODERS = {
    "tiny_cnn": lambda recipe: encoders.TinyCNN(),
    "residual_cnn": lambda recipe: encoders.ResidualCNN([recipe.image_width // shrunk for shrunk in (8, 4, 2, 1)], recipe.image_depth),
    "vit": lambda recipe: encoders.ViT(recipe.image_size),
}
TEXT_ENCODERS = {
    "transformer": lambda recipe: encoders.TextTransformer(recipe.vocab_size, recipe.context_length, dropout=recipe.dropout),
    "bag_of_words": lambda recipe: encoders.BagOfWords(recipe.vocab_size),
}


class CLIP(nn.Module):
    """Two encoders with a `width` each, made comparable: features (B, embed_dim) of pictures and of texts in one space.

    `logit_scale` is stored as a logarithm and starts at ln(1/0.07), as in the paper (§2.5).
    """

    def __init__(self, image_encoder, text_encoder, embed_dim=512):
        super().__init__()
        self.image_encoder, self.text_encoder = image_encoder, text_encoder
        self.image_projection = nn.Linear(image_encoder.width, embed_dim, bias=False)
        self.text_projection = nn.Linear(text_encoder.width, embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, images, normalize=False):
        """Pictures (B, 3, S, S), uint8 or already in [-1, 1] -> features (B, embed_dim), of unit length if `normalize`."""
        if images.dtype == torch.uint8:
            images = normalize_images(images)
        features = self.image_projection(self.image_encoder(images))
        return F.normalize(features, dim=-1) if normalize else features

    def encode_text(self, tokens, normalize=False):
        """Tokens int64 (B, T) -> features (B, embed_dim), of unit length if `normalize`."""
        features = self.text_projection(self.text_encoder(tokens))
        return F.normalize(features, dim=-1) if normalize else features

    def forward(self, images, tokens):
        """A batch of pairs -> image features (B, D) and text features (B, D), both of unit length, and the scale as a number, exp'ed."""
        return self.encode_image(images, normalize=True), self.encode_text(tokens, normalize=True), self.logit_scale.exp()

    @torch.no_grad()
    def clamp_logit_scale(self):
        """Keep the scale in [1, 100]; to be called after every step (paper §2.5: "necessary to prevent training instability")."""
        self.logit_scale.clamp_(0, math.log(100))


def create_model(recipe):
    """The CLIP that a recipe describes, freshly initialised. Raises ValueError for an encoder nobody has written."""
    for name, known in (recipe.image_encoder, IMAGE_ENCODERS), (recipe.text_encoder, TEXT_ENCODERS):
        if name not in known:
            raise ValueError(f"recipe {recipe.name!r} asks for an encoder {name!r}; there are {', '.join(known)}.")
    model = CLIP(IMAGE_ENCODERS[recipe.image_encoder](recipe), TEXT_ENCODERS[recipe.text_encoder](recipe), recipe.embed_dim)
    if recipe.loss == "siglip":
        model.logit_bias = nn.Parameter(torch.tensor(-math.log(recipe.batch_size - 1)))  # one cell in N is a yes
    return model
