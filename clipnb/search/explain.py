"""Why this image: each word's share of a cosine, and the region of the image that it comes from."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.encoders import BagOfWords
from clipnb.features import encode_images, encode_texts, evaluation_mode
from clipnb.model import CLIP
from clipnb.tokenizer import Tokenizer

if TYPE_CHECKING:
    from clipnb.search.bank import CaptionBank

REST = "the rest"  # the start, the end and the punctuation of a text
RAISES, LOWERS = (230, 159, 0), (86, 180, 233)  # orange and blue, for every kind of colour vision
VEIL, MOST_OPAQUE = 0.45, 0.7  # opacity of the overlay where a place matters least, and most
SQUARE = 3 / 16  # of the side of an image: the square that hides a part of it


# ---- words -----------------------------------------------------------------------------------


def word_shares(
    model: CLIP, tokenizer: Tokenizer, text: str, image_feature: Tensor
) -> list[tuple[str, float]]:
    """Tell what each word of a text adds to its cosine with an image.

    For a bag of words (`shares_add_up`) the shares are exact. With those of start, end and
    punctuation, which come last as `REST`, they add up to the cosine. For another text encoder a
    share is what the cosine loses if the word is left out. These do not add up, because the words
    change each other's meaning, and there is no rest.

    image_feature: (D,), of unit length. Returns the words in their order, each with its share; the
    pieces of a word are added up. Words that the model cannot read, or that it cuts off at the end
    of a long text, are not among them. There are none for a text without tokens.
    """
    words, positions = find_positions(tokenizer, text)
    if not words:
        return []
    tokens = tokenizer([text])  # (1, T)
    if not shares_add_up(model):
        return list(
            zip(words, measure_losses(model, tokens, positions, image_feature), strict=True)
        )
    device = model.text_projection.weight.device
    with evaluation_mode(model):
        shares = divide_cosine(model, tokens.to(device), image_feature.to(device)).cpu()  # (T,)
    own = [float(shares[places].sum()) for places in positions]
    others = torch.ones(len(shares), dtype=torch.bool)
    for places in positions:
        others[places] = False
    return [*zip(words, own, strict=True), (REST, float(shares[others].sum()))]


def short_query_shares(
    bank: "CaptionBank", text: str, image_feature: Tensor
) -> list[tuple[str, float]]:
    """Tell what the cosine of a short query and an image loses without each of its words.

    The vector of a short query is its direction (see `CaptionBank.expand`), and so is that of what
    is left of it. A single word has the whole cosine. The shares do not add up to it, whatever the
    text encoder.

    image_feature: (D,), of unit length. Returns each word once, with its share.
    """
    words = list(dict.fromkeys(find_positions(bank.tokenizer, text)[0]))
    shares = []
    for word in words:
        direction = bank.find_directions([text])[0]  # (D,)
        rest = " ".join(other for other in words if other != word)
        if rest:
            direction = direction - bank.find_directions([rest])[0]
        shares.append((word, float(direction @ image_feature)))
    return shares


def shares_add_up(model: nn.Module) -> bool:
    """Tell whether the shares of the words add up to the cosine: for a bag of words they do."""
    return isinstance(model.text_encoder, BagOfWords)


def reads_end(model: nn.Module) -> bool:
    """Tell whether the text encoder reads a text at [EOS], as the published CLIP models do."""
    return getattr(model.text_encoder, "norm_out", None) is not None


def find_positions(tokenizer: Tokenizer, text: str) -> tuple[list[str], list[list[int]]]:
    """Find the words of a text and where their tokens are: places in `tokenizer([text])`.

    Punctuation is left out. A text that holds [SOS] or [EOS] as text counts as a single word.
    """
    n_kept = tokenizer.context_length - 2
    words, positions = [], []
    start = 1  # behind [SOS]
    for word in tokenizer.split(text):
        end = start + len(tokenizer.encode(word))
        places = list(range(start, min(end, n_kept + 1)))
        if places and any(letter.isalnum() for letter in word):
            words.append(word)
            positions.append(places)
        start = end
    n_tokens = len(tokenizer.encode(text))
    if start - 1 != n_tokens:
        return [text], [list(range(1, 1 + min(n_tokens, n_kept)))]
    return words, positions


def divide_cosine(model: CLIP, tokens: Tensor, image_feature: Tensor) -> Tensor:
    """Divide the cosine of a bag of words and an image among the words: shares (T,).

    tokens: int64 (1, T), without padding. image_feature: (D,), of unit length. The shares add up
    to the cosine exactly, because mean and projection are linear.
    """
    projected = model.text_projection(model.text_encoder.token_embedding(tokens[0]))  # (T, D)
    length = projected.mean(dim=0).norm()
    return projected @ image_feature / (len(projected) * length)


def leave_one_out(model: CLIP, tokens: Tensor, image_feature: Tensor) -> Tensor:
    """Return what the cosine of a text and an image loses without each of the tokens: (T,).

    The arguments are those of `divide_cosine`. [SOS] and [EOS] are left out in their turn as well,
    which makes sense for a text encoder that takes the mean of all tokens. If it reads the text at
    [EOS] (`reads_end`), this token stays, and its number is 0.
    """
    n_left_out = tokens.shape[1] - reads_end(model)
    losses = measure_losses(model, tokens, [[i] for i in range(n_left_out)], image_feature)
    losses += [0.0] * reads_end(model)
    return torch.tensor(losses, device=tokens.device)


def measure_losses(
    model: CLIP, tokens: Tensor, positions: Iterable[list[int]], image_feature: Tensor
) -> list[float]:
    """Measure what the cosine of a text and an image loses without the tokens at some positions.

    tokens: int64 (1, T), without padding. positions: one list for each loss.
    """
    rows = [tokens[0]]
    for places in positions:
        kept = torch.ones(tokens.shape[1], dtype=torch.bool)
        kept[places] = False
        rows.append(tokens[0][kept])
    batch = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # (1 + words, T), 0 is padding
    whole, *without = (encode_texts(model, batch) @ image_feature.float().cpu()).tolist()
    return [whole - cosine for cosine in without]


# ---- regions ---------------------------------------------------------------------------------


def occlusion_map(
    model: nn.Module, image: Tensor | np.ndarray, query_feature: Tensor, n: int = 8
) -> Tensor:
    """Measure how much the cosine of an image and a query loses where a square hides the image.

    The square has three sixteenths of the image's side and the image's mean colour. It is put on
    n x n places, and all images are encoded in one batch (Zeiler and Fergus 2014, section 4.2).
    image: uint8 (3, S, S). query_feature: (D,), of unit length. Returns float32 (n, n): above zero
    where the image speaks for the query, below zero where it speaks against it.

    It works with every image encoder. On the residual network it points at the object more often
    than gradients do: Grad-CAM on the last layer has 4 x 4 places, each of which has seen almost
    the whole image. Raises ValueError for an array of another shape.
    """
    if not torch.is_tensor(image):
        image = torch.tensor(image)  # copied: a memory-mapped array is read-only
    check_image(image)
    hidden = [hide_square(image, row, column, n) for row in range(n) for column in range(n)]
    features = encode_images(model, torch.stack([image, *hidden]), batch_size=n * n + 1)
    cosines = features @ query_feature.float().cpu()  # (1 + n*n,)
    return (cosines[0] - cosines[1:]).view(n, n)


def check_image(image: Tensor) -> None:
    """Raise ValueError for what is no image uint8 (3, S, S)."""
    if image.ndim != 3 or len(image) != 3 or image.dtype != torch.uint8:
        raise ValueError(
            f"an image is an array uint8 (3, S, S); this one is {image.dtype} {tuple(image.shape)}."
        )


def hide_square(image: Tensor, row: int, column: int, n: int) -> Tensor:
    """Return a copy of an image (3, S, S) with a square in its mean colour on one of n x n places.

    The square is cut off at the border.
    """
    mean = image.float().mean(dim=(1, 2)).round().to(torch.uint8)  # (3,)
    spans = []
    for place, side in ((row, image.shape[1]), (column, image.shape[2])):
        middle = (place + 0.5) * side / n
        half = max(0.5, SQUARE * side / 2)
        spans.append(slice(max(0, round(middle - half)), max(1, round(middle + half))))
    hidden = image.clone()
    hidden[:, spans[0], spans[1]] = mean[:, None, None]
    return hidden


def draw_overlay(region: Tensor | np.ndarray, size: int) -> np.ndarray:
    """Turn the map of a region (h, w) into an image that is laid over the one it explains.

    What raises the cosine is orange and what lowers it is blue. A dark veil lies over the rest, so
    that both stand out from an image of any colour. Returns RGBA, uint8 (size, size, 4), not
    premultiplied; it is all transparent if the map is zero everywhere.
    """
    values = torch.as_tensor(region).float()[None, None]  # (1, 1, h, w)
    values = F.interpolate(values, size=(size, size), mode="bilinear", align_corners=False)[0, 0]
    overlay = np.zeros((size, size, 4), np.uint8)
    largest = values.abs().max()
    if largest == 0:
        return overlay
    strength = (values.abs() / largest).numpy()[..., None]  # (size, size, 1), from 0 to 1
    colours = np.where(values.numpy()[..., None] >= 0, RAISES, LOWERS)
    overlay[..., :3] = (strength * colours).round()
    overlay[..., 3:] = (255 * (VEIL + (MOST_OPAQUE - VEIL) * strength)).round()
    return overlay
