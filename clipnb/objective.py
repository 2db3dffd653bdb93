"""The loss of a recipe: the one between images and captions, and what a recipe adds to it."""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clipnb.distributed import (
    gather_features,
    gather_tokens,
    pass_on,
    rank,
    take_share,
    world_size,
)
from clipnb.local_losses import local_clip_loss, local_siglip_loss
from clipnb.losses import clip_loss, shared_text_loss, siglip_loss
from clipnb.model import CLIP
from clipnb.recipes import Recipe
from clipnb.runtime import as_float, autocast
from clipnb.tokenizer import padding_mask, trim_padding

MOST_IMAGES = 0.3  # a word in the captions of a larger share of the batch, as "a", says little


def compute_loss(model: CLIP, images: Tensor, tokens: Tensor, recipe: Recipe) -> Tensor:
    """Compute the loss of a recipe for images (B, 3, S, S) and tokens (C, B, T), a scalar.

    The images are encoded once and compared with each of the C sets of captions in turn. More
    captions cost little where the text encoder is small. What a frozen encoder has made of them
    may stand for images and tokens (see `project_images`).

    Under torchrun images and tokens are this process's share of a batch. The loss is that of its
    rows among all, and the mean over the processes is the loss of the batch.
    """
    encode_images = functools.partial(project_images, model)
    encode_texts = functools.partial(project_texts, model)
    chunks = (recipe.chunk_size, recipe.cache_gradients)
    with autocast(images.device):
        own = [encode_in_chunks(encode_images, images, *chunks)]  # (B, D)
        own += [encode_in_chunks(encode_texts, texts, *chunks) for texts in tokens]
    # SigLIP's loss alone needs no gather.
    needs_whole = recipe.loss == "clip" or recipe.text_loss or recipe.word_loss
    whole = gather_features(own) if needs_whole else own  # 1 + C times (B, D), as `own`
    scale = model.logit_scale.exp()

    def compare(i: int, j: int) -> Tensor:
        return compare_features((own[i], own[j]), (whole[i], whole[j]), recipe, scale)

    sets = range(1, len(own))
    if recipe.loss == "siglip":
        loss = compare_in_ring(own[0], own[1:], recipe, scale, model.logit_bias)
    else:
        loss = torch.stack([compare(0, i) for i in sets]).mean()
    # Each caption of an image finds the next one, the last the first. One alone finds nothing.
    if recipe.text_loss and len(sets) > 1:
        text_losses = [compare(i, i % len(sets) + 1) for i in sets]
        loss = loss + recipe.text_loss * torch.stack(text_losses).mean()
    if recipe.word_loss:
        all_tokens = gather_tokens(tokens)
        loss = loss + recipe.word_loss * compute_word_loss(model, whole[0], all_tokens, scale)
    return loss


def compare_features(
    own: tuple[Tensor, Tensor], whole: tuple[Tensor, Tensor], recipe: Recipe, scale: Tensor
) -> Tensor:
    """Compute CLIP's loss, the softmax, between two sets of features.

    own: this process's rows (b, D) of both sets. whole: all rows (B, D). With `cache_gradients`
    not even the similarities of all rows are in memory at once. Returns a scalar.
    """
    first, second = own
    if len(first) == len(whole[0]) and not recipe.cache_gradients:
        return clip_loss(first, second, scale, recipe.label_smoothing)

    def compare_rows(first: Tensor, second: Tensor, start: int) -> Tensor:
        return local_clip_loss(first, second, *whole, start, scale, recipe.label_smoothing)

    start = rank() * len(first)
    if not recipe.cache_gradients:
        return compare_rows(first, second, start)
    losses = []
    for rows in zip(*(each.split(recipe.chunk_size) for each in own), strict=True):
        loss = checkpoint(compare_rows, *rows, start, use_reentrant=False, preserve_rng_state=False)
        losses.append(loss * len(rows[0]) / len(first))
        start += len(rows[0])
    return torch.stack(losses).sum()


def compare_in_ring(
    images: Tensor, texts: list[Tensor], recipe: Recipe, scale: Tensor, bias: Tensor
) -> Tensor:
    """Compute SigLIP's loss of this process's images (b, D) with the texts of all processes.

    texts: C sets of captions (b, D), this process's own. Each cell of the matrix is a question of
    its own, so nothing has to be summed over a row first. The texts go round a ring, and in each
    turn every process compares its images with those that have arrived (Zhai et al. 2023, §3.3).
    The similarities of one turn, b x b, are in memory at once, and with `cache_gradients` only
    those of a chunk. The texts of all turns are kept for the way back, so a ring saves the memory
    of similarities, and hardly that of features. Returns the mean over the C sets, a scalar.
    """
    if world_size() == 1 and not recipe.cache_gradients:
        return torch.stack([siglip_loss(images, own, scale, bias) for own in texts]).mean()
    n_rows = recipe.chunk_size if recipe.cache_gradients else len(images)
    sets = torch.stack(texts)  # (C, b, D)
    losses = []
    for turn in range(world_size()):
        if turn > 0:
            sets = pass_on(sets)
        for start in range(0, len(images), n_rows):
            rows = images[start : start + n_rows]
            place = start if turn == 0 else None  # of the rows' own texts among those that are here
            for arrived in sets:
                arguments = (local_siglip_loss, rows, arrived, place, scale, bias)
                loss = checkpoint(*arguments, use_reentrant=False, preserve_rng_state=False)
                losses.append(loss * len(rows))
    return torch.stack(losses).sum() / (len(images) * len(texts))


def check_chunks(model: CLIP, recipe: Recipe) -> None:
    """Raise ValueError if a model has batch norm, which looks at all images of a chunk."""
    batch_norms = nn.modules.batchnorm._BatchNorm
    if recipe.chunk_size and any(isinstance(part, batch_norms) for part in model.modules()):
        raise ValueError(
            f"recipe {recipe.name!r}: chunk_size={recipe.chunk_size} would change what batch norm "
            f"in {recipe.image_encoder} computes, because it looks at all images of a chunk; set "
            "chunk_size=0, or choose an encoder without batch norm."
        )


def encode_in_chunks(
    encode: Callable[[Tensor], Tensor], inputs: Tensor, chunk_size: int, cached: bool = False
) -> Tensor:
    """Encode inputs (B, ...) as features (B, D), `chunk_size` rows at a time; 0: at once.

    The features and their gradients are those of the whole batch, but for rounding, because each
    row is encoded by itself. (Batch norm looks at other rows; `check_chunks` refuses it.) Texts of
    like length share a chunk, so that little of it is padding.

    cached: gradient caching (GradCache, Gao et al. 2021). The chunks are encoded twice: first for
    their features alone, and again, one after the other, when the gradients of the features are
    known. Only one chunk's activations are in memory at a time. PyTorch's checkpoint does just
    that, and draws the same dropout both times.
    """
    if not chunk_size:
        return as_float(encode(inputs))

    def encode_chunk(chunk: Tensor) -> Tensor:
        return checkpoint(encode, chunk, use_reentrant=False) if cached else encode(chunk)

    if inputs.is_floating_point():
        return as_float(torch.cat([encode_chunk(chunk) for chunk in inputs.split(chunk_size)]))
    order = padding_mask(inputs).sum(dim=-1).argsort()  # (B,), shortest first
    chunks = [trim_padding(chunk) for chunk in inputs[order].split(chunk_size)]
    features = as_float(torch.cat([encode_chunk(chunk) for chunk in chunks]))
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


def compute_word_loss(model: CLIP, image_features: Tensor, tokens: Tensor, scale: Tensor) -> Tensor:
    """Compute the loss between images and the single words of their captions.

    People search with one word. A model that reads only whole captions has never seen a text so
    short. image_features: (B, D). tokens: int64 (C, B, T), the captions of these images. Under
    torchrun both are of the whole batch, and each process asks for its share of the words.
    """
    words, is_right = find_words(tokens)  # (W,) and (B, W)
    n_words = len(words)
    words, is_right = take_share(words), take_share(is_right, dim=1)
    ends = tokens[0, 0][padding_mask(tokens[0, 0])][[0, -1]]  # [SOS] and [EOS]
    texts = torch.stack([ends[0].expand_as(words), words, ends[1].expand_as(words)], dim=1)
    with autocast(image_features.device):
        text_features = as_float(model.encode_text(texts, normalize=True))  # (W, D)
    loss = shared_text_loss(image_features, text_features, is_right, scale)
    return loss * world_size() * len(words) / max(n_words, 1)  # shares may differ by a word


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
