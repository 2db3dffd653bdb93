"""A page to share: one HTML file that searches a collection offline, with the model inside it."""

import base64
import hashlib
import html
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from clipnb.encoders import BagOfWords, TextTransformer
from clipnb.features import apply_in_batches, tokenize
from clipnb.runtime import display_path, write_file
from clipnb.search.bank import (
    BEST_SHARE,
    FUNCTION_WORDS,
    MOST_UNSEEN,
    MOST_WORDS,
    N_CONTEXTS,
    SHORT,
)
from clipnb.search.words import index_known_words
from clipnb.tokenizer import check_text

if TYPE_CHECKING:
    from clipnb.retrieval import ImageIndex
    from clipnb.runs import Run
    from clipnb.tokenizer import Tokenizer

PARTS = Path(__file__).parent  # page.html and what goes into it
STYLE = "page.css"
SCRIPTS = ("page_model.js", "page_search.js", "page.js")
OWN_MARK = '<meta name="generator" content="clipnb">'  # tells our pages from other files
SHOWN_SIDE = 96  # pixels: the longer side of an image in the page
MUCH = 6_000_000  # bytes: a page that is larger says why
N_EXAMPLES = 8


@dataclass(frozen=True)
class Page:
    """A page that was written. sizes: the bytes of each of its parts."""

    path: Path
    sizes: dict[str, int]

    def __str__(self) -> str:
        n_bytes = sum(self.sizes.values())
        text = f"{display_path(self.path)} is {n_bytes / 1e6:.1f} MB. Open it in a browser."
        if n_bytes > MUCH:
            parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in self.sizes.items())
            text += f" It is that large because of its parts, in MB: {parts}."
        return text

    __repr__ = __str__


def save_html(index: "ImageIndex", path: str | Path, title: str = "", about: str = "") -> Page:
    """Write one HTML file that searches an index in the browser, without network and server.

    It holds small images, their vectors, captions or file names, and the text encoder. Vectors and
    weights are rounded to 8 bits, with one scale per row. title: stands above the search box.
    about: what the model was trained on, such as `describe_run(run)`. The file is written whole or
    not at all.

    Raises ValueError if `path` does not end in .html, or if the text encoder is neither
    `BagOfWords` nor `TextTransformer`, and FileExistsError if something else than such a page is
    there already.
    """
    path = check_target(path)
    title = check_text(title) or f"Search {len(index):,} images"
    encoder = pack_encoder(index.model, index.tokenizer.vocab_size)  # first: it may be refused
    data = {
        "about": check_text(about),
        "examples": choose_examples(index),
        "ids": index.image_ids,
        "captions": index.captions and [list(own) for own in index.captions],
        "caption_lengths": measure_captions(index),
        "words": index_known_words(index.tokenizer, index.bank and index.bank.words).words,
        "tokenizer": pack_tokenizer(index.tokenizer),
        "encoder": encoder,
        "projection": pack_matrix(index.model.text_projection.weight),
        "features": pack_matrix(index.image_features),
        "bank": pack_bank(index),
        "thumbnails": [pack_thumbnail(index.thumbnail(name)) for name in index.image_ids],
    }
    page = fill_template(title, data)
    write_file(path, page)
    return Page(path, measure_parts(data, len(page)))


def describe_run(run: "Run") -> str:
    """Say in a sentence or two what a run was trained on, and how well it finds captions."""
    recipe = run.recipe
    text = f"Trained on {recipe.dataset} with the recipe {recipe.name}, seed {run.seed}."
    recall = run.metrics.get("dev", {}).get("mean_recall")
    if recall is not None:
        text += f" Mean recall on its dev split: {recall:.1f} %."
    return text


def check_target(path: str | Path) -> Path:
    """Return the path of a page. Raise an error, in one line, if none should be written there."""
    path = Path(path).expanduser()
    if path.is_dir():
        example = display_path(path / "search.html")
        raise FileExistsError(f"{display_path(path)} is a folder; name a file, such as {example}.")
    if path.suffix.lower() != ".html":
        raise ValueError(f"the name of a page ends in .html, and {path.name!r} does not.")
    if path.exists() and OWN_MARK.encode() not in path.open("rb").read(2000):
        raise FileExistsError(
            f"{display_path(path)} is there already and is no page of clipnb's; choose another "
            "name, or delete it first."
        )
    return path


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


# ---- what the page computes with ---------------------------------------------------------------


def pack_bytes(array: np.ndarray) -> str:
    """Encode an array as base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def pack_matrix(matrix: Tensor, bits: int = 8) -> dict:
    """Round a matrix (rows, columns) to integers of 8 or 16 bits, with one scale per row."""
    matrix = matrix.detach().float().cpu()
    largest = 2 ** (bits - 1) - 1
    scales = matrix.abs().amax(dim=1).clamp(min=1e-12) / largest  # (rows,)
    values = (matrix / scales[:, None]).round().numpy()
    return {
        "bits": bits,
        "columns": matrix.shape[1],
        "values": pack_bytes(values.astype(f"<i{bits // 8}")),
        "scales": pack_bytes(scales.numpy()),
    }


def pack_encoder(model: nn.Module, vocab_size: int) -> dict:
    """Return the weights of a text encoder, without the embeddings of ids that no token has.

    Raises ValueError for an encoder that the page cannot run.
    """
    encoder = getattr(model, "text_encoder", None)
    if type(encoder) not in (BagOfWords, TextTransformer):
        raise ValueError(
            f"a page can run the text encoders BagOfWords and TextTransformer, and this model has "
            f"{type(encoder).__name__}; train a recipe with one of these two."
        )
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
        "n_there": n_there,
        "n_here": n_here,
    }


def pack_thumbnail(thumbnail: bytes) -> str:
    """Shrink an encoded image to `SHOWN_SIDE` pixels, as WebP in base64."""
    from PIL import Image

    image = Image.open(io.BytesIO(thumbnail))
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=75, method=6)
    return base64.b64encode(buffer.getvalue()).decode()


# ---- the file ----------------------------------------------------------------------------------


def fill_template(title: str, data: dict) -> bytes:
    """Put data, scripts and style into page.html.

    The data holds no "<", so nothing in a caption can end the script element that it stands in. The
    policy lets the page run its own scripts and show the images it holds, and nothing else, so no
    request ever leaves it.
    """
    sources = {name: (PARTS / name).read_text(encoding="utf-8") for name in (STYLE, *SCRIPTS)}
    scripts = " ".join(digest_source(sources[name]) for name in SCRIPTS)
    policy = [
        "default-src 'none'",
        "img-src data:",
        f"script-src {scripts}",
        f"style-src {digest_source(sources[STYLE])}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    parts = {
        "policy": "; ".join(policy),
        "title": html.escape(title),
        "data": write_json(data),
        **sources,
    }
    template = (PARTS / "page.html").read_text(encoding="utf-8")
    # In one pass, so that a title such as "{{data}}" stays what it is.
    page = re.sub(r"\{\{([\w.]+)\}\}", lambda match: parts[match[1]], template)
    return page.encode()


def write_json(data: object) -> str:
    """Write data as JSON in ASCII, without any "<"."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def digest_source(source: str) -> str:
    """Return the digest by which a Content-Security-Policy allows an inline script or style."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def measure_parts(data: dict, n_bytes: int) -> dict[str, int]:
    """Return the bytes of the parts of a page of `n_bytes`."""
    parts = {
        "images": ["thumbnails"],
        "their vectors": ["features"],
        "images of the bank": ["bank"],
        "captions and names": ["captions", "caption_lengths", "ids"],
        "text encoder": ["encoder", "projection"],
        "vocabulary": ["tokenizer", "words"],
    }
    sizes = {
        part: sum(len(write_json(data[name])) for name in names) for part, names in parts.items()
    }
    sizes["scripts and style"] = n_bytes - sum(sizes.values())
    return sizes
