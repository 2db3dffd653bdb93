"""The loss of a recipe: the one between images and captions, and what a recipe adds to it."""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.losses import clip_loss, shared_text_loss, siglip_loss
from clipnb.model import CLIP
from clipnb.recipes import Recipe
from clipnb.runtime import autocast
from clipnb.tokenizer import padding_mask, trim_padding

MOST_IMAGES = 0.3  # a word in the captions of a larger share of the batch, as "a", says little


def compute_loss(model: CLIP, images: Tensor, tokens: Tensor, recipe: Recipe) -> Tensor:
    """Compute the loss of a recipe for images (B, 3, S, S) and tokens (C, B, T), a scalar.

    The images are encoded once and compared with each of the C sets of captions in turn. More
    captions cost little where the text encoder is small. What a frozen encoder has made of them
    may stand for images and tokens (see `project_images`).
    """
    encode_images = functools.partial(project_images, model)
    encode_texts = functools.partial(project_texts, model)
    with autocast(images.device):
        image_features = encode_in_chunks(encode_images, images, recipe.chunk_size)  # (B, D)
        text_features = [encode_in_chunks(encode_texts, own, recipe.chunk_size) for own in tokens]
    scale = model.logit_scale.exp()
    losses = []
    for features in text_features:  # C times (B, D)
        if recipe.loss == "siglip":
            loss = siglip_loss(image_features, features, scale, model.logit_bias)
        else:
            loss = clip_loss(image_features, features, scale, recipe.label_smoothing)
        losses.append(loss)
    loss = torch.stack(losses).mean()
    if recipe.text_loss:
        loss = loss + recipe.text_loss * compute_text_loss(text_features, scale, recipe)
    if recipe.word_loss:
        loss = loss + recipe.word_loss * compute_word_loss(model, image_features, tokens, scale)
    return loss


def check_chunks(model: CLIP, recipe: Recipe) -> None:
    """Raise ValueError if a model has batch norm, which looks at all images of a chunk."""
    batch_norms = nn.modules.batchnorm._BatchNorm
    if recipe.chunk_size and any(isinstance(part, batch_norms) for part in model.modules()):
        raise ValueError(
            f"recipe {recipe.name!r}: chunk_size={recipe.chunk_size} would change what batch norm "
            f"in {recipe.image_encoder} computes, because it looks at all images of a chunk; set "
            "chunk_size=0, or choose an encoder without batch norm."
        )


def encode_in_chunks(encode: Callable[[Tensor], Tensor], inputs: Tensor, chunk_size: int) -> Tensor:
    """Encode inputs (B, ...) as features float32 (B, D), `chunk_size` rows at a time; 0: at once.

    The features and their gradients are those of the whole batch, but for rounding, because each
    row is encoded by itself. (Batch norm looks at other rows; `check_chunks` refuses it.) Texts of
    like length share a chunk, so that little of it is padding.
    """
    if not chunk_size:
        return encode(inputs).float()
    if inputs.is_floating_point():
        return torch.cat([encode(chunk) for chunk in inputs.split(chunk_size)]).float()
    order = padding_mask(inputs).sum(dim=-1).argsort()  # (B,), shortest first
    chunks = [trim_padding(chunk) for chunk in inputs[order].split(chunk_size)]
    features = torch.cat([encode(chunk) for chunk in chunks]).float()
    return features[order.argsort()]


def project_images(model: CLIP, images: Tensor) -> Tensor:
    """Return features (B, D) of unit length of images, or of outputs of the image encoder.

    images: (B, 3, S, S), or (B, width) where a frozen image encoder has encoded them already.
    """
    if images.ndim == 2:
        return F.normalize(model.image_projection(images), dim=-1)
    return model.encode_image(images, normalize=True)


def project_texts(model: CLIP, texts: Tensor) -> Tensor:
    """Return features (B, D) of unit length of tokens, or of outputs of the text encoder.

    texts: int64 (B, T), or float32 (B, width) where a frozen text encoder has encoded them already.
    """
    if texts.is_floating_point():
        return F.normalize(model.text_projection(texts), dim=-1)
    return model.encode_text(texts, normalize=True)


def compute_text_loss(text_features: list[Tensor], scale: Tensor, recipe: Recipe) -> Tensor:
    """Compute the loss between captions of one image: the first and the second, and so on.

    text_features: C tensors (B, D). The last captions are compared with the first ones.
    """
    following = text_features[1:] + text_features[:1]
    losses = [
        clip_loss(features, others, scale, recipe.label_smoothing)
        for features, others in zip(text_features, following, strict=True)
    ]
    return torch.stack(losses).mean()


def compute_word_loss(model: CLIP, image_features: Tensor, tokens: Tensor, scale: Tensor) -> Tensor:
    """Compute the loss between images and the single words of their captions.

    People search with one word. A model that reads only whole captions has never seen a text so
    short. image_features: (B, D). tokens: int64 (C, B, T), the captions of these images.
    """
    words, is_right = find_words(tokens)  # (W,) and (B, W)
    ends = tokens[0, 0][padding_mask(tokens[0, 0])][[0, -1]]  # [SOS] and [EOS]
    texts = torch.stack([ends[0].expand_as(words), words, ends[1].expand_as(words)], dim=1)
    with autocast(image_features.device):
        text_features = model.encode_text(texts, normalize=True).float()  # (W, D)
    return shared_text_loss(image_features, text_features, is_right, scale)


def find_words(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Find the words of a batch of captions that tell some of its images from the others.

    tokens: int64 (C, B, T). Returns W token ids, int64 (W,), and bool (B, W): does any of the C
    captions of this image hold the word? A token that is only a piece of a word counts as well.
    """
    B = tokens.shape[1]
    by_image = tokens.transpose(0, 1).flatten(1)  # (B, C*T)
    words, place = by_image.unique(return_inverse=True)  # place: (B, C*T), which word
    held = torch.zeros(B, len(words), dtype=torch.bool, device=tokens.device)
    held.scatter_(1, place, True)
    n_images = held.sum(dim=0)  # [SOS] and [EOS] are in all of them, padding mostly too
    kept = (n_images <= MOST_IMAGES * B) & (words != 0)
    return words[kept], held[:, kept]
