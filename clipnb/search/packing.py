"""What a page to share holds: images, vectors, captions and the text encoder, packed for a browser.

page.py puts them into one file, and page_model.js reads them.
"""

import base64
import io
import json
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from clipnb.encoders import BagOfWords, QuickGELU, TextTransformer
from clipnb.features import apply_in_batches, tokenize
from clipnb.search.bank import (
    BEST_SHARE,
    FUNCTION_WORDS,
    LEAST_DEVIATION,
    MOST_UNSEEN,
    MOST_WORDS,
    N_CONTEXTS,
    SHORT,
)

if TYPE_CHECKING:
    from clipnb.retrieval import ImageIndex
    from clipnb.tokenizer import Tokenizer

SHOWN_SIDE = 96  # pixels: the longer side of an image in the page
MOST = 100_000_000  # bytes: a larger page is refused, because browsers open it slowly or not at all
N_EXAMPLES = 8
# Numbers in a text transformer. One with more makes a page too large, and each letter that is typed
# would take the browser a second or more. The baseline's has 7 million.
MOST_NUMBERS = 20_000_000
ACTIVATIONS = (nn.GELU, QuickGELU)  # those that page_model.js knows


# ---- numbers and the text encoder --------------------------------------------------------------


def pack_bytes(array: np.ndarray) -> str:
    """Encode an array as base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def pack_matrix(matrix: Tensor, bits: int = 8) -> dict:
    """Round a matrix (rows, columns) to integers of 8 or 16 bits, with one scale per row.

    Raises ValueError if a number is NaN or infinite.
    """
    matrix = matrix.detach().float().cpu()
    if not matrix.isfinite().all():
        raise ValueError(
            "the model holds NaN or infinity, because its training diverged; train it again with a "
            "smaller learning rate."
        )
    largest = 2 ** (bits - 1) - 1
    scales = matrix.abs().amax(dim=1).clamp(min=1e-12) / largest  # (rows,)
    values = (matrix / scales[:, None]).round().numpy()
    return {
        "bits": bits,
        "columns": matrix.shape[1],
        "values": pack_bytes(values.astype(f"<i{bits // 8}")),
        "scales": pack_bytes(scales.numpy()),
    }


def check_encoder(model: nn.Module) -> None:
    """Raise ValueError, in one line, if the page cannot run the text encoder of a model."""
    encoder = getattr(model, "text_encoder", None)
    if type(encoder) not in (BagOfWords, TextTransformer):
        raise ValueError(
            f"a page can run the text encoders BagOfWords and TextTransformer, and this model has "
            f"{type(encoder).__name__}; train a recipe with one of these two."
        )
    if type(encoder) is BagOfWords:
        return
    activation = find_activation(encoder)
    if activation not in ACTIVATIONS:
        known = " and ".join(each.__name__ for each in ACTIVATIONS)
        raise ValueError(
            f"a page can run text encoders with the activations {known}, and this model has "
            f"{activation.__name__}; train a recipe with one of these two."
        )
    n_numbers = sum(weights.numel() for weights in encoder.parameters())
    if n_numbers > MOST_NUMBERS:
        raise ValueError(
            f"the text encoder of this model has {n_numbers / 1e6:.0f} million numbers, and a page "
            f"can hold and run at most {MOST_NUMBERS // 1_000_000} million. Use `clipnb search`, "
            "or make the page with a smaller model: clipnb train --recipe quick"
        )


def find_activation(encoder: TextTransformer) -> type[nn.Module]:
    """Return the kind of activation in the feed-forward nets of a text transformer."""
    return type(encoder.blocks[0].feedforward[1])


def pack_encoder(model: nn.Module, vocab_size: int) -> dict:
    """Return the weights of a text encoder, without the embeddings of ids that no token has.

    Raises ValueError for an encoder that the page cannot run (see `check_encoder`).
    """
    check_encoder(model)
    encoder = model.text_encoder
    weights = encoder.state_dict()
    weights["token_embedding.weight"] = weights["token_embedding.weight"][:vocab_size]
    # The layers of a transformer amplify the errors of what goes into the first one.
    is_fine = isinstance(encoder, TextTransformer)
    packed = {
        "kind": type(encoder).__name__,
        "matrices": {
            name: pack_matrix(w, bits=16 if is_fine and "embedding" in name else 8)
            for name, w in weights.items()
            if w.ndim == 2
        },
        "vectors": {
            name: pack_bytes(w.float().cpu().numpy()) for name, w in weights.items() if w.ndim == 1
        },
    }
    if isinstance(encoder, TextTransformer):
        packed["layers"] = len(encoder.blocks)
        packed["heads"] = encoder.blocks[0].attention.heads
        packed["causal"] = encoder.causal
        packed["reads_end"] = encoder.norm_out is not None
        packed["activation"] = find_activation(encoder).__name__
    return packed


def pack_tokenizer(tokenizer: "Tokenizer") -> dict:
    """Return the vocabulary, in the order of the ids, and the merges as ids: left, right, both."""
    settings = json.loads(tokenizer.bpe.to_str())
    vocabulary = settings["model"]["vocab"]
    merges = settings["model"]["merges"]
    return {
        "entries": sorted(vocabulary, key=vocabulary.get),
        "merges": [[vocabulary[a], vocabulary[b], vocabulary[a + b]] for a, b in merges],
        "specials": [token["content"] for token in settings["added_tokens"]],
        "start": tokenizer.sos,
        "end": tokenizer.eos,
        "context_length": tokenizer.context_length,
        "cleans": tokenizer.cleans,
    }


def pack_bank(index: "ImageIndex") -> dict | None:
    """Return what tells whether anything matches a query (see `CaptionBank`), None without a bank.

    The captions of the bank are not needed, except the few to which a short query is added.
    """
    bank = index.bank
    if bank is None:
        return None
    n_there = max(1, round(BEST_SHARE * len(index)))
    n_here = max(1, round(n_there / max(1, len(index)) * len(bank.image_features)))
    return {
        "contexts": bank.captions[:N_CONTEXTS],
        "features": pack_matrix(bank.image_features),
        "thresholds": bank.thresholds,
        "function_words": sorted(FUNCTION_WORDS),
        "short": SHORT,
        "most_words": MOST_WORDS,
        "most_unseen": MOST_UNSEEN,
        "least_deviation": LEAST_DEVIATION,
        "n_there": n_there,
        "n_here": n_here,
    }


# ---- images and captions ------------------------------------------------------------------------


def pack_thumbnails(index: "ImageIndex") -> list[str]:
    """Return all images, small. Raises ValueError as soon as they are too large for a page."""
    thumbnails, n_bytes = [], 0
    for image_id in index.image_ids:
        thumbnails.append(pack_thumbnail(index.thumbnail(image_id)))
        n_bytes += len(thumbnails[-1])
        check_size(n_bytes, len(index))
    return thumbnails


def pack_thumbnail(thumbnail: bytes) -> str:
    """Shrink an encoded image to `SHOWN_SIDE` pixels, as WebP in base64."""
    from PIL import Image

    image = Image.open(io.BytesIO(thumbnail))
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=75, method=6)
    return base64.b64encode(buffer.getvalue()).decode()


def check_size(n_bytes: int, n_images: int) -> None:
    """Raise ValueError, in one line, if a page is too large for a browser."""
    if n_bytes > MOST:
        raise ValueError(
            f"a page of {n_images:,} images would be larger than {MOST / 1e6:.0f} MB; make several "
            "pages of fewer images, such as one for each subfolder or split."
        )


def choose_examples(index: "ImageIndex") -> list[str]:
    """Choose some short captions as examples of a query: the index's own, else the bank's."""
    captions = [caption for own in index.captions or [] for caption in own]
    if not captions and index.bank is not None:
        captions = list(index.bank.captions)
    captions = list(dict.fromkeys(caption for caption in captions if caption.strip()))
    step = max(1, len(captions) // 200)
    return sorted(captions[::step], key=len)[:N_EXAMPLES]


def measure_captions(index: "ImageIndex") -> list[list[float]] | None:
    """Return the lengths of the captions' vectors before they are normalized, for a bag of words.

    With them the page finds the caption nearest to a query without encoding any caption: the
    product with a mean of tokens is the mean of the products. There are none for other encoders.
    """
    if index.captions is None or type(index.model.text_encoder) is not BagOfWords:
        return None
    model, tokens = index.model, tokenize(index.tokenizer, index.captions)  # (N, K, T)
    features = apply_in_batches(model, model.encode_text, tokens.flatten(0, 1), 1000)  # (N*K, D)
    lengths = features.norm(dim=-1).view(tokens.shape[:2])  # (N, K)
    return [[float(f"{length:.4g}") for length in own] for own in lengths.tolist()]
